//! What every request passes before its service: it marks the connection as alive, keeps those without a
//! certificate to the calls that need none, and holds calls that are not streams to their rate and time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, service::Routes};
use tower::Service as _;

use super::{connection::ConnectionInfo, peer::Peer, rate::UnaryRates};
use crate::{config::Limits, telemetry::LogThrottle};

/// What may be called without a certificate: one call, and the health service.
const OPEN_METHOD: &str = "/handfast.v1.Enrolment/Enrol";
const OPEN_SERVICE: &str = "/grpc.health.v1.Health/";

/// Services whose calls are streams: neither timed nor counted here.
const STREAMING_SERVICES: [&str; 2] = ["/handfast.v1.Sync/", "/grpc.reflection."];

/// What the requests of all connections share.
pub struct Edge {
    routes: Routes,
    rates: Arc<UnaryRates>,
    unary_timeout: Duration,
    refusals: LogThrottle,
}

impl Edge {
    /// In front of `routes`.
    pub fn new(routes: Routes, rates: Arc<UnaryRates>, limits: &Limits) -> Self {
        Self {
            routes: routes.prepare(),
            rates,
            unary_timeout: limits.unary_timeout_ms.as_millis(),
            refusals: LogThrottle::default(),
        }
    }

    /// Takes one request of a connection; `spoken` is marked on the first.
    pub(super) async fn handle(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        info: ConnectionInfo,
        spoken: CancellationToken,
    ) -> Result<Response<Body>, Infallible> {
        spoken.cancel();
        let path = request.uri().path();
        if info.peer == Peer::Anonymous && !open_to_all(path) {
            self.log_refusal(path, &info);
            return Ok(answer(Status::unauthenticated(
                "this call needs a client certificate",
            )));
        }
        let stream = STREAMING_SERVICES.iter().any(|service| path.starts_with(service));
        if !stream {
            self.rates.wait(&info).await;
        }
        request.extensions_mut().insert(info);
        let mut routes = self.routes.clone();
        // A router is always ready, and never fails.
        let call = routes.call(request);
        if stream {
            return call.await;
        }
        match timeout(self.unary_timeout, call).await {
            Ok(response) => response,
            Err(_) => Ok(answer(Status::deadline_exceeded(
                "the daemon could not answer in time: ask for the outcome before you try again",
            ))),
        }
    }

    fn log_refusal(&self, path: &str, info: &ConnectionInfo) {
        if let Some(held_back) = self.refusals.pass() {
            let method: String = path.chars().take(100).collect();
            tracing::warn!(
                holder = %info.peer, remote = %info.remote, method = ?method,
                reason = "no client certificate", held_back, "refused a call"
            );
        }
    }
}

fn open_to_all(path: &str) -> bool {
    path == OPEN_METHOD || path.starts_with(OPEN_SERVICE)
}

fn answer(status: Status) -> Response<Body> {
    status.into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_only_enrol_and_health_are_open_to_all() {
        for path in ["/handfast.v1.Enrolment/Enrol", "/grpc.health.v1.Health/Check"] {
            assert!(open_to_all(path), "{path}");
        }
        for path in [
            "/handfast.v1.Enrolment/Renew",
            "/handfast.v1.Enrolment/EnrolX",
            "/handfast.v1.Sync/Publish",
            "/handfast.v1.Units/List",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/",
            "",
        ] {
            assert!(!open_to_all(path), "{path}");
        }
    }
}
