//! A relay between a recipient and the daemon that can hold back what the daemon sends: to the daemon the
//! recipient is there and takes in bytes, but it answers nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

/// Bytes read from the daemon at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes held back at most; far more than a daemon may hand over.
const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;

/// A relay in a task of its own.
#[derive(Debug)]
pub struct WireTap {
    port: u16,
    hold: watch::Sender<bool>,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: AtomicU64,
    opened: AtomicU64,
    ended: AtomicU64,
}

impl WireTap {
    /// Listens, and relays every connection to `port`.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let own = listener.local_addr().context("ask for the port")?.port();
        let (hold, held) = watch::channel(false);
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(accept(listener, port, held, seen.clone()));
        Ok(Self {
            port: own,
            hold,
            seen,
            task,
        })
    }

    /// Where the recipient connects to.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Holds back what the daemon sends from now on, or lets it go.
    pub fn hold(&self, held: bool) {
        self.hold.send_replace(held);
    }

    /// Bytes read from the daemon so far, held back or not.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::SeqCst)
    }

    /// Connections that the daemon has neither closed nor reset.
    pub fn open(&self) -> u64 {
        self.seen.opened.load(Ordering::SeqCst) - self.seen.ended.load(Ordering::SeqCst)
    }
}

impl Drop for WireTap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, held: watch::Receiver<bool>, seen: Arc<Seen>) {
    let mut relays = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(daemon) = TcpStream::connect(("127.0.0.1", port)).await else {
            continue;
        };
        seen.opened.fetch_add(1, Ordering::SeqCst);
        let (from_client, to_client) = client.into_split();
        let (from_daemon, to_daemon) = daemon.into_split();
        relays.spawn(upward(from_client, to_daemon));
        relays.spawn(downward(from_daemon, to_client, held.clone(), seen.clone()));
    }
}

async fn upward(mut from_client: OwnedReadHalf, mut to_daemon: OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from_client, &mut to_daemon).await;
}

/// Reads all the time; writes only while nothing is held.
async fn downward(
    mut from_daemon: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
    seen: Arc<Seen>,
) {
    let mut waiting = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut open = true;
    while open || !waiting.is_empty() {
        let holding = *held.borrow_and_update();
        if !holding && !waiting.is_empty() {
            if to_client.write_all(&waiting).await.is_err() {
                waiting.clear();
                break;
            }
            waiting.clear();
            continue;
        }
        tokio::select! {
            read = from_daemon.read(&mut buffer), if open && waiting.len() < MAX_HELD_BYTES => match read {
                Ok(0) | Err(_) => {
                    open = false;
                    seen.ended.fetch_add(1, Ordering::SeqCst);
                }
                Ok(n) => {
                    seen.bytes.fetch_add(n as u64, Ordering::SeqCst);
                    waiting.extend_from_slice(buffer.get(..n).unwrap_or_default());
                }
            },
            changed = held.changed() => if changed.is_err() { break },
        }
    }
    if open {
        seen.ended.fetch_add(1, Ordering::SeqCst);
    }
}
