//! What every request passes before its service: it marks the connection as alive, keeps those without a
//! certificate to the calls that need none, and holds calls that are not streams to their rate and time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, service::Routes};
use tower::Service as _;

use super::{
    connection::ConnectionInfo,
    ending::{Ending, stopping},
    peer::Peer,
    rate::UnaryRates,
};
use crate::{audit::Refusals, config::Limits, telemetry::LogThrottle};

/// What may be called without a certificate: one call, and the health service.
const OPEN_METHOD: &str = "/handfast.v1.Enrolment/Enrol";
const OPEN_SERVICE: &str = "/grpc.health.v1.Health/";

/// The service whose calls are not counted here: it bounds by itself what a unit may send.
const SYNC: &str = "/handfast.v1.Sync/";

/// A service and a method whose calls last as long as the caller likes.
const REFLECTION: &str = "/grpc.reflection.";
const WATCH: &str = "/Watch";
const EXPORT: &str = "/handfast.v1.Audit/Export";

/// What the requests of all connections share.
pub struct Edge {
    routes: Routes,
    rates: Arc<UnaryRates>,
    unary_timeout: Duration,
    stop: CancellationToken,
    refusals: Refusals,
    throttle: LogThrottle,
}

impl Edge {
    /// In front of `routes`; on `stop` streams are ended. Who is refused is told to `refusals`.
    pub fn new(
        routes: Routes,
        rates: Arc<UnaryRates>,
        limits: &Limits,
        refusals: Refusals,
        stop: CancellationToken,
    ) -> Self {
        Self {
            routes: routes.prepare(),
            rates,
            unary_timeout: limits.unary_timeout_ms.as_millis(),
            stop,
            refusals,
            throttle: LogThrottle::default(),
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
            self.refusals.anonymous();
            return Ok(answer(Status::unauthenticated(
                "this call needs a client certificate",
            )));
        }
        let stream = is_stream(path);
        if !path.starts_with(SYNC) {
            self.rates.wait(&info).await;
        }
        request.extensions_mut().insert(info);
        let mut routes = self.routes.clone();
        // A router is always ready, and never fails.
        let call = routes.call(request);
        if stream {
            return Ok(self.stream(call).await);
        }
        match timeout(self.unary_timeout, call).await {
            Ok(response) => response,
            Err(_) => Ok(answer(Status::deadline_exceeded(
                "the daemon could not answer in time: ask for the outcome before you try again",
            ))),
        }
    }

    /// The answer of a stream ends when the daemon stops.
    async fn stream(&self, call: impl Future<Output = Result<Response<Body>, Infallible>>) -> Response<Body> {
        let response = tokio::select! {
            response = call => response.unwrap_or_else(|never| match never {}),
            () = self.stop.cancelled() => answer(stopping()),
        };
        response.map(|body| Ending::body(body, self.stop.clone()))
    }

    fn log_refusal(&self, path: &str, info: &ConnectionInfo) {
        if let Some(held_back) = self.throttle.pass() {
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

fn is_stream(path: &str) -> bool {
    path.starts_with(SYNC) || path.starts_with(REFLECTION) || path.ends_with(WATCH) || path == EXPORT
}

fn answer(status: Status) -> Response<Body> {
    status.into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_calls_that_must_end() {
        for path in [
            "/handfast.v1.Sync/Publish",
            "/handfast.v1.Agreements/Watch",
            "/handfast.v1.Audit/Export",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(is_stream(path), "{path}");
        }
        for path in [
            "/handfast.v1.Enrolment/Enrol",
            "/handfast.v1.Agreements/Set",
            "/handfast.v1.Audit/Search",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(!is_stream(path), "{path}");
        }
    }

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
