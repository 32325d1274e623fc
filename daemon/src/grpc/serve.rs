//! Serves HTTP/2 on one connection until it ends, or is too slow, or the daemon stops.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    connection::{ConnectionInfo, CutStream},
    edge::Edge,
    peer::Peer,
    read_ahead::ReadAhead,
};
use crate::config::Limits;

/// Bytes of one HTTP/2 frame at most (RFC 9113, section 4.2): a batch takes one.
const MAX_FRAME_BYTES: u32 = 128 * 1024;

/// Why a connection was ended from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The peer ended it, or it failed.
    Over,
    /// No whole request in time.
    Silent,
    /// A connection without a certificate stayed too long.
    Overstayed,
}

/// How connections are served.
pub(super) struct Server {
    edge: Arc<Edge>,
    http: http2::Builder<TokioExecutor>,
    first_request: Duration,
    anonymous_lifetime: Duration,
}

impl Server {
    pub(super) fn new(edge: Arc<Edge>, limits: &Limits) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .initial_stream_window_size(limits.stream_window_bytes.as_u32())
            .initial_connection_window_size(limits.connection_window_bytes.as_u32())
            .max_concurrent_streams(limits.max_concurrent_streams.as_u32())
            .max_header_list_size(limits.max_header_list_bytes.as_u32())
            .max_send_buf_size(limits.send_buffer_bytes.as_usize())
            .max_frame_size(MAX_FRAME_BYTES)
            .keep_alive_interval(limits.keepalive_interval_ms.as_millis())
            .keep_alive_timeout(limits.keepalive_timeout_ms.as_millis());
        Self {
            edge,
            http,
            first_request: limits.first_request_timeout_ms.as_millis(),
            anonymous_lifetime: limits.anonymous_lifetime_ms.as_millis(),
        }
    }

    /// Serves until the end; on `stop` no new calls are taken, and those at work may finish.
    pub(super) async fn serve(
        &self,
        stream: TlsStream<ReadAhead<CutStream>>,
        info: ConnectionInfo,
        stop: CancellationToken,
    ) -> Ended {
        let spoken = CancellationToken::new();
        let (edge, seen) = (Arc::clone(&self.edge), spoken.clone());
        let (cutter, anonymous) = (info.cutter.clone(), info.peer == Peer::Anonymous);
        let service = service_fn(move |request: http::Request<Incoming>| {
            // Boxed: the task of a stream outlives by far the call that opened it, and would keep its room.
            Box::pin(Arc::clone(&edge).handle(request, info.clone(), seen.clone()))
        });
        let mut connection = Box::pin(self.http.serve_connection(TokioIo::new(stream), service));
        // Looks whether a request came only when the time is over: a precondition of `select!` would have been
        // looked at before the first request could come.
        let mut silence = pin!(async {
            sleep(self.first_request).await;
            if spoken.is_cancelled() {
                pending::<()>().await;
            }
        });
        let mut overstay = pin!(async {
            if anonymous {
                sleep(self.anonymous_lifetime).await;
            } else {
                pending::<()>().await;
            }
        });
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                outcome = &mut connection => {
                    if let Err(e) = outcome {
                        tracing::debug!(error = %e, "a connection failed");
                    }
                    break Ended::Over;
                }
                () = &mut silence => break Ended::Silent,
                () = &mut overstay => break Ended::Overstayed,
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if ended != Ended::Over {
            cutter.cut();
        }
        ended
    }
}
