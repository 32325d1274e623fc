//! A relay between an agent and the daemon that can hold back what the daemon sends: to the daemon the
//! recipient is there and takes in bytes, but it answers nothing. And it can be a link that is dead: what
//! either side sends is lost, and neither learns of it from the other.

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
    dead: watch::Sender<bool>,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: AtomicU64,
    opened: AtomicU64,
    /// Of them, how many the daemon has ended.
    ended: AtomicU64,
    /// Of them, how many the other side has ended.
    left: AtomicU64,
}

/// What a relay goes by.
#[derive(Debug, Clone)]
struct Orders {
    held: watch::Receiver<bool>,
    dead: watch::Receiver<bool>,
    seen: Arc<Seen>,
}

impl WireTap {
    /// Listens, and relays every connection to `port`.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let own = listener.local_addr().context("ask for the port")?.port();
        let (hold, held) = watch::channel(false);
        let (dead, died) = watch::channel(false);
        let seen = Arc::new(Seen::default());
        let orders = Orders {
            held,
            dead: died,
            seen: seen.clone(),
        };
        let task = tokio::spawn(accept(listener, port, orders));
        Ok(Self {
            port: own,
            hold,
            dead,
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

    /// From now on everything is lost, and whoever connects anew finds nobody; or the link works again,
    /// for new connections.
    pub fn die(&self, dead: bool) {
        self.dead.send_replace(dead);
    }

    /// Bytes read from the daemon so far, held back or not.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::SeqCst)
    }

    /// Connections that the daemon has neither closed nor reset.
    pub fn open(&self) -> u64 {
        self.seen.opened.load(Ordering::SeqCst) - self.seen.ended.load(Ordering::SeqCst)
    }

    /// Connections that the other side has neither closed nor reset.
    pub fn attended(&self) -> u64 {
        self.seen.opened.load(Ordering::SeqCst) - self.seen.left.load(Ordering::SeqCst)
    }
}

impl Drop for WireTap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, orders: Orders) {
    let mut relays = tokio::task::JoinSet::new();
    let mut in_vain = Vec::new();
    while let Ok((client, _)) = listener.accept().await {
        if *orders.dead.borrow() {
            in_vain.push(client);
            continue;
        }
        let Ok(daemon) = TcpStream::connect(("127.0.0.1", port)).await else {
            continue;
        };
        orders.seen.opened.fetch_add(1, Ordering::SeqCst);
        let (from_client, to_client) = client.into_split();
        let (from_daemon, to_daemon) = daemon.into_split();
        relays.spawn(upward(from_client, to_daemon, orders.clone()));
        relays.spawn(downward(from_daemon, to_client, orders.clone()));
    }
}

/// Once the link was dead, the end of one side never reaches the other.
async fn upward(mut from_client: OwnedReadHalf, mut to_daemon: OwnedWriteHalf, orders: Orders) {
    let mut buffer = vec![0; READ_BYTES];
    let mut died = false;
    loop {
        let read = from_client.read(&mut buffer).await;
        died |= *orders.dead.borrow();
        let Some(bytes) = read.ok().filter(|n| *n > 0).and_then(|n| buffer.get(..n)) else {
            break;
        };
        if !died && to_daemon.write_all(bytes).await.is_err() {
            return;
        }
    }
    orders.seen.left.fetch_add(1, Ordering::SeqCst);
    if died {
        std::future::pending::<()>().await;
    }
}

/// Reads all the time; writes only while nothing is held.
async fn downward(mut from_daemon: OwnedReadHalf, mut to_client: OwnedWriteHalf, orders: Orders) {
    let Orders { mut held, dead, seen } = orders;
    let mut waiting = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let (mut open, mut died) = (true, false);
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
            read = from_daemon.read(&mut buffer), if open && waiting.len() < MAX_HELD_BYTES => {
                died |= *dead.borrow();
                match read {
                    Ok(0) | Err(_) => {
                        open = false;
                        seen.ended.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(n) => {
                        seen.bytes.fetch_add(n as u64, Ordering::SeqCst);
                        if !died {
                            waiting.extend_from_slice(buffer.get(..n).unwrap_or_default());
                        }
                    }
                }
            }
            changed = held.changed() => if changed.is_err() { break },
        }
    }
    if open {
        seen.ended.fetch_add(1, Ordering::SeqCst);
    }
    if died {
        std::future::pending::<()>().await;
    }
}
