//! A socket that can be cut: after [`Cutter::cut`] has returned, not one more byte is written to it.
//!
//! The wrapper sits under TLS, right on the socket. Invariants: every read and write happens under the
//! lock that the cut takes; the cut takes the socket out and closes it with SO_LINGER 0 under that lock, so
//! that the kernel throws its send buffer away and resets the connection before the cut returns. Nothing
//! waits under the lock: the socket does not block.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use crate::delivery;

/// What a request knows of its connection; in the extensions of every request.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Who is on the other side.
    pub peer: Peer,
    /// From where.
    pub remote: SocketAddr,
    /// Cuts the connection.
    pub cutter: Cutter,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    cut: AtomicBool,
    written: AtomicU64,
    written_after_cut: AtomicU64,
    closed: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// `None` once it is closed.
    socket: Option<TcpStream>,
    /// The tasks that wait for the socket; the cut wakes them.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// Closes the socket where it is open and wakes who waits for it.
    fn close(&mut self) {
        drop(self.socket.take());
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

// === impl Cutter ===

/// A handle on a connection that can cut it. Cheap to clone; it does not keep the socket open.
#[derive(Clone, Debug)]
pub struct Cutter(Arc<Shared>);

impl Cutter {
    /// Cuts the connection. When this returns, the socket is closed, what the kernel had not yet sent is
    /// thrown away, and no byte will be written to it any more. Cutting twice is as cutting once.
    pub fn cut(&self) {
        let mut state = self.0.state.lock();
        self.0.cut.store(true, Ordering::Release);
        if let Some(socket) = &state.socket {
            // Fails only on a socket that is gone already.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        state.close();
        drop(state);
        self.0.closed.cancel();
    }

    /// Has the kernel throw away what is unsent when the socket closes, however it closes: also when the
    /// process is killed.
    pub fn discard_on_close(&self) -> io::Result<()> {
        match &self.0.state.lock().socket {
            Some(socket) => SockRef::from(socket).set_linger(Some(Duration::ZERO)),
            None => Ok(()),
        }
    }

    /// Whether [`Cutter::cut`] was called.
    pub fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// Bytes handed to the kernel.
    pub fn bytes_written(&self) -> u64 {
        self.0.written.load(Ordering::Acquire)
    }

    /// Bytes handed to the kernel after the cut: 0, always. Counted so that a test can see it.
    pub fn bytes_written_after_cut(&self) -> u64 {
        self.0.written_after_cut.load(Ordering::Acquire)
    }

    /// Resolves when the socket is closed, by a cut or otherwise. Cancellation-safe.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }
}

impl delivery::Connection for Cutter {
    fn cut(&self) {
        Self::cut(self);
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let closed = self.0.closed.clone();
        Box::pin(async move { closed.cancelled().await })
    }
}

// === impl CutStream ===

/// The socket of a connection.
#[derive(Debug)]
pub struct CutStream(Arc<Shared>);

impl CutStream {
    /// Wraps a socket.
    pub fn new(socket: TcpStream) -> Self {
        let state = State {
            socket: Some(socket),
            reader: None,
            writer: None,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            cut: AtomicBool::new(false),
            written: AtomicU64::new(0),
            written_after_cut: AtomicU64::new(0),
            closed: CancellationToken::new(),
        }))
    }

    /// A handle that cuts it.
    pub fn cutter(&self) -> Cutter {
        Cutter(Arc::clone(&self.0))
    }

    fn write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state.lock();
        let State { socket, writer, .. } = &mut *state;
        let Some(socket) = socket else {
            return Poll::Ready(Err(reset()));
        };
        let outcome = write(Pin::new(socket), cx);
        match &outcome {
            Poll::Pending => remember(writer, cx),
            Poll::Ready(Ok(n)) => {
                let n = u64::try_from(*n).unwrap_or_default();
                self.0.written.fetch_add(n, Ordering::AcqRel);
                if self.0.cut.load(Ordering::Acquire) {
                    self.0.written_after_cut.fetch_add(n, Ordering::AcqRel);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        outcome
    }
}

impl Drop for CutStream {
    fn drop(&mut self) {
        self.0.state.lock().close();
        self.0.closed.cancel();
    }
}

impl AsyncRead for CutStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state.lock();
        let State { socket, reader, .. } = &mut *state;
        let Some(socket) = socket else {
            return Poll::Ready(Err(reset()));
        };
        let outcome = Pin::new(socket).poll_read(cx, buf);
        if outcome.is_pending() {
            remember(reader, cx);
        }
        outcome
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write_with(cx, |socket, cx| socket.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_with(cx, |socket, cx| socket.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// A TCP socket has nothing to flush.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state.lock();
        match state.socket.as_mut() {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Err(reset())),
        }
    }
}

fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn pair() -> (CutStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (CutStream::new(server), client)
    }

    /// Reads to the end; the number of bytes, and whether the end was a reset.
    async fn drain(mut client: TcpStream) -> (u64, bool) {
        let mut total = 0;
        let mut buf = vec![0; 64 * 1024];
        loop {
            match client.read(&mut buf).await {
                Ok(0) => return (total, false),
                Ok(n) => total += u64::try_from(n).unwrap(),
                Err(e) => return (total, e.kind() == io::ErrorKind::ConnectionReset),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn s1_not_one_byte_is_written_after_the_cut_under_concurrent_writers() {
        for round in 0..50_u64 {
            let (stream, client) = pair().await;
            let cutter = stream.cutter();
            // Two halves of one stream, as two tasks: each writes as fast as it can.
            let (mut read, mut write) = tokio::io::split(stream);
            let failed = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&failed);
            let writer = tokio::spawn(async move {
                let chunk = vec![7; 16 * 1024];
                while write.write_all(&chunk).await.is_ok() {}
                seen.fetch_add(1, Ordering::SeqCst);
            });
            let seen = Arc::clone(&failed);
            let reader = tokio::spawn(async move {
                let refused = read.read_u8().await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionReset);
                seen.fetch_add(1, Ordering::SeqCst);
            });
            let client = tokio::spawn(drain(client));
            tokio::time::sleep(Duration::from_micros(round * 40)).await;
            cutter.cut();
            let written = cutter.bytes_written();
            timeout(PATIENCE, cutter.closed()).await.unwrap();
            timeout(PATIENCE, writer).await.unwrap().unwrap();
            timeout(PATIENCE, reader).await.unwrap().unwrap();
            let (arrived, reset) = timeout(PATIENCE, client).await.unwrap().unwrap();
            assert!(reset, "the peer sees a reset, not an orderly end");
            assert!(arrived <= written);
            assert_eq!(cutter.bytes_written(), written);
            assert_eq!(cutter.bytes_written_after_cut(), 0);
            assert_eq!(failed.load(Ordering::SeqCst), 2);
        }
    }

    #[tokio::test]
    async fn s1_what_the_kernel_still_held_is_thrown_away_by_the_cut() {
        let (mut stream, client) = pair().await;
        let cutter = stream.cutter();
        // The client does not read: the kernel's buffers fill until no more is taken.
        let chunk = vec![7; 64 * 1024];
        while timeout(Duration::from_millis(50), stream.write_all(&chunk))
            .await
            .is_ok()
        {}
        cutter.cut();
        assert!(stream.write_all(&chunk).await.is_err());
        let (arrived, reset) = timeout(PATIENCE, drain(client)).await.unwrap();
        assert!(reset);
        assert!(
            arrived < cutter.bytes_written(),
            "{arrived} of {}",
            cutter.bytes_written()
        );
        assert_eq!(cutter.bytes_written_after_cut(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_ends_by_itself_is_closed_but_not_cut() {
        let (stream, client) = pair().await;
        let cutter = stream.cutter();
        assert!(timeout(Duration::from_millis(20), cutter.closed()).await.is_err());
        drop(stream);
        timeout(PATIENCE, cutter.closed()).await.unwrap();
        assert!(!cutter.is_cut());
        assert_eq!(timeout(PATIENCE, drain(client)).await.unwrap(), (0, false));
        cutter.cut();
        assert!(cutter.is_cut());
    }

    #[tokio::test]
    async fn discard_on_close_resets_however_the_connection_ends() {
        let (mut stream, client) = pair().await;
        stream.cutter().discard_on_close().unwrap();
        stream.write_all(&[1]).await.unwrap();
        drop(stream);
        let (_, reset) = timeout(PATIENCE, drain(client)).await.unwrap();
        assert!(reset);
    }
}
