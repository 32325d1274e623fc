//! A connection that tells when the other side was heard first, and when it has ended.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};
use tokio_util::sync::DropGuard;

/// Passes everything through and tells once how the first read went, and its end by being dropped.
#[derive(Debug)]
pub(super) struct Listening<IO> {
    io: IO,
    heard: Option<oneshot::Sender<io::Result<()>>>,
    _end: DropGuard,
}

impl<IO> Listening<IO> {
    /// Tells `heard` how the first read of `io` went, and drops `end` with it.
    pub(super) fn new(io: IO, heard: oneshot::Sender<io::Result<()>>, end: DropGuard) -> Self {
        Self {
            io,
            heard: Some(heard),
            _end: end,
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Listening<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let mut result = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        if let Some(heard) = this.heard.take() {
            let told = match std::mem::replace(&mut result, Ok(())) {
                Ok(()) if buf.filled().len() > before => Ok(()),
                Ok(()) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) => {
                    result = Err(e.kind().into());
                    Err(e)
                }
            };
            // Nobody waits any more where the connect was given up.
            let _ = heard.send(told);
        }
        Poll::Ready(result)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Listening<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
