//! An input on loopback, and a client that sends requests as a clinical system does.

use std::{net::SocketAddr, sync::Arc};

use axum::body::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{FhirInput, FhirSettings};
use crate::{
    clock::SystemClock,
    codec::fhir::{Codec, PrivateCodes},
    input::{Input as _, InputContext},
    status::StatusBoard,
    store::{
        inbox::{Inbox, InboxLimits},
        outbox::{Outbox, OutboxLimits},
    },
};

pub(super) struct Stand {
    addr: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inbox: Inbox,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Stand {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.db");
        let outbox = Outbox::open(&path, Arc::new(SystemClock), OutboxLimits::default())
            .await
            .unwrap();
        let inbox = dir.path().join("inbox.db");
        let inbox = Inbox::open(&inbox, Arc::new(SystemClock), InboxLimits::default())
            .await
            .unwrap();
        let ctx = InputContext {
            unit: "Z00101".parse().unwrap(),
            outbox: outbox.clone(),
            inbox: inbox.clone(),
            codec: Arc::new(Codec::new(PrivateCodes::default(), 6 << 20)),
            board: StatusBoard::new().input("in", "fhir"),
            clock: Arc::new(SystemClock),
        };
        let settings = FhirSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
        };
        let input = FhirInput::bind(settings, ctx).await.unwrap();
        let addr = input.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(Box::new(input).run(stop.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            addr,
            client,
            outbox,
            inbox,
            stop,
            _dir: dir,
        }
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr));
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/fhir+json; charset=utf-8");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        Reply::of(self.client.request(request).await.unwrap()).await
    }

    pub(super) async fn put(&self, resource: &Value) -> Reply {
        self.put_if(resource, &[]).await
    }

    pub(super) async fn put_if(&self, resource: &Value, headers: &[(&str, &str)]) -> Reply {
        let path = format!(
            "/fhir/{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        self.call(Method::PUT, &path, headers, resource.to_string().as_bytes())
            .await
    }

    pub(super) async fn post(&self, bundle: &Value) -> Reply {
        self.call(Method::POST, "/fhir", &[], bundle.to_string().as_bytes())
            .await
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) location: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) body: Bytes,
}

impl Reply {
    async fn of(response: Response<hyper::body::Incoming>) -> Self {
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|h| h.to_str().unwrap().to_owned())
        };
        let (etag, location, last_modified) = (header("etag"), header("location"), header("last-modified"));
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Self {
            status,
            etag,
            location,
            last_modified,
            body,
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn code(&self) -> String {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        outcome["issue"][0]["code"].as_str().unwrap().to_owned()
    }
}
