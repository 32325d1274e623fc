//! Ends the answers of streams when the daemon stops, so that agents reconnect at once elsewhere or later
//! instead of waiting for a connection to break.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Frame;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body};

/// What a stream that was ended says.
pub(super) fn stopping() -> Status {
    Status::unavailable("the daemon is stopping: connect again")
}

/// An answer that ends with UNAVAILABLE when the daemon stops.
pub(super) struct Ending {
    inner: Body,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    over: bool,
}

impl Ending {
    /// Ends `inner` on `stop`.
    pub(super) fn body(inner: Body, stop: CancellationToken) -> Body {
        Body::new(Self {
            inner,
            stop: Box::pin(stop.cancelled_owned()),
            over: false,
        })
    }
}

impl hyper::body::Body for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.stop.as_mut().poll(cx).is_ready() {
            self.over = true;
            // Whatever feeds the stream learns of its end now.
            self.inner = Body::empty();
            let mut trailers = HeaderMap::new();
            return Poll::Ready(match stopping().add_header(&mut trailers) {
                Ok(()) => Some(Ok(Frame::trailers(trailers))),
                Err(status) => Some(Err(status)),
            });
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::body::Body as _;

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_with_a_status_when_the_daemon_stops() {
        let stop = CancellationToken::new();
        let mut body = Ending::body(Body::new(Silent), stop.clone());
        let early = tokio::time::timeout(std::time::Duration::from_millis(10), next(&mut body)).await;
        assert!(early.is_err());
        stop.cancel();
        let last = next(&mut body).await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(last.get("grpc-status").unwrap(), "14");
        assert!(next(&mut body).await.is_none());
    }

    async fn next(body: &mut Body) -> Option<Result<Frame<Bytes>, Status>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    }

    struct Silent;

    impl hyper::body::Body for Silent {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Pending
        }
    }
}
