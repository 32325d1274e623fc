//! Reads ahead of TLS, which asks its socket for four KiB at a time: while much comes, few reads bring it.
//!
//! Invariants: bytes are given in the order in which they came; a connection that waits for more has no buffer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Bytes read at once while much comes.
const AHEAD_BYTES: usize = 64 * 1024;

/// A read of fewer bytes says that little comes.
const LITTLE_BYTES: usize = 4 * 1024;

/// A stream that is read ahead of whoever reads it; written to as it is.
#[derive(Debug)]
pub(super) struct ReadAhead<IO> {
    io: IO,
    /// What was read and not given.
    ahead: BytesMut,
    /// The last read brought all that it had room for, or much.
    much: bool,
}

impl<IO> ReadAhead<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self {
            io,
            ahead: BytesMut::new(),
            much: false,
        }
    }
}

impl<IO: AsyncRead + Unpin> ReadAhead<IO> {
    /// Reads what there is; nothing at the end of the stream.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ahead.reserve(AHEAD_BYTES);
        let read = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.ahead);
        if !matches!(read, Poll::Ready(Ok(1..))) {
            self.ahead = BytesMut::new();
        }
        self.much = ready!(read)? >= LITTLE_BYTES;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if !this.much {
                ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                this.much = buf.remaining() == 0;
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_ahead(cx))?;
        }
        let given = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead[..given]);
        this.ahead.advance(given);
        if this.ahead.is_empty() && !this.much {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ReadAhead<IO> {
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Has room for more than is read at once.
    fn pair() -> (ReadAhead<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(4 * AHEAD_BYTES);
        (ReadAhead::new(near), far)
    }

    /// Polls once with so much room; the bytes that came, `None` where it has to wait.
    async fn poll_once(stream: &mut ReadAhead<DuplexStream>, room: usize) -> Option<Vec<u8>> {
        let mut into = vec![0; room];
        poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut into);
            let read = Pin::new(&mut *stream).poll_read(cx, &mut buf);
            Poll::Ready(match read {
                Poll::Ready(read) => {
                    read.unwrap();
                    Some(buf.filled().to_vec())
                }
                Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn while_much_comes_it_is_read_ahead_and_who_waits_has_no_buffer() {
        let (mut stream, mut far) = pair();
        far.write_all(&[7; 2 * LITTLE_BYTES]).await.unwrap();
        assert_eq!(
            poll_once(&mut stream, LITTLE_BYTES).await.unwrap().len(),
            LITTLE_BYTES
        );
        assert_eq!(
            stream.ahead.capacity(),
            0,
            "what was asked for went straight through"
        );
        assert_eq!(poll_once(&mut stream, 100).await.unwrap().len(), 100);
        assert_eq!(stream.ahead.len(), LITTLE_BYTES - 100, "and this was ahead");
        assert_eq!(
            poll_once(&mut stream, LITTLE_BYTES).await.unwrap().len(),
            LITTLE_BYTES - 100
        );
        assert_eq!(poll_once(&mut stream, LITTLE_BYTES).await, None);
        assert_eq!(stream.ahead.capacity(), 0);
        far.write_all(&[7; 10]).await.unwrap();
        assert_eq!(poll_once(&mut stream, LITTLE_BYTES).await.unwrap().len(), 10);
        assert_eq!(stream.ahead.capacity(), 0, "little came");
        assert_eq!(poll_once(&mut stream, LITTLE_BYTES).await, None);
        far.write_all(&[7; 10]).await.unwrap();
        assert_eq!(poll_once(&mut stream, LITTLE_BYTES).await.unwrap().len(), 10);
        assert_eq!(stream.ahead.capacity(), 0, "and went straight through");
    }

    #[tokio::test]
    async fn the_end_is_an_end_and_what_is_written_arrives() {
        let (mut stream, mut far) = pair();
        stream.write_all(b"there").await.unwrap();
        let mut there = [0; 5];
        far.read_exact(&mut there).await.unwrap();
        assert_eq!(&there, b"there");
        far.write_all(&[7; AHEAD_BYTES]).await.unwrap();
        drop(far);
        let mut all = Vec::new();
        assert_eq!(stream.read_to_end(&mut all).await.unwrap(), AHEAD_BYTES);
        assert!(poll_once(&mut stream, 1).await.unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn every_byte_comes_once_and_in_order(
            written in prop::collection::vec(1..3 * AHEAD_BYTES, 1..6),
            rooms in prop::collection::vec(1..2 * LITTLE_BYTES, 1..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (mut stream, mut far) = pair();
                let mut rooms = rooms.into_iter().cycle();
                let (mut sent, mut came) = (0_u32, 0_u32);
                for len in written {
                    let bytes: Vec<u8> = (sent..).take(len).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
                    sent += u32::try_from(len).unwrap();
                    far.write_all(&bytes).await.unwrap();
                    while let Some(part) = poll_once(&mut stream, rooms.next().unwrap()).await {
                        for byte in part {
                            assert_eq!(byte, came.to_le_bytes()[came as usize % 4]);
                            came += 1;
                        }
                    }
                    assert_eq!(came, sent);
                }
            });
        }
    }
}
