//! Requests over loopback, as a clinical system sends them.

use std::{net::SocketAddr, sync::Arc};

use axum::body::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{FhirInput, FhirSettings};
use crate::{
    clock::SystemClock,
    codec::fhir::{Codec, PrivateCodes},
    input::{Input as _, InputContext},
    status::StatusBoard,
    store::outbox::{Outbox, OutboxLimits},
};

struct Stand {
    addr: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    outbox: Arc<Outbox>,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Stand {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.db");
        let outbox = Outbox::open(&path, Arc::new(SystemClock), OutboxLimits::default())
            .await
            .unwrap();
        let ctx = InputContext {
            outbox: outbox.clone(),
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
            stop,
            _dir: dir,
        }
    }

    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
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

    async fn put(&self, resource: &Value) -> Reply {
        self.put_if(resource, &[]).await
    }

    async fn put_if(&self, resource: &Value, headers: &[(&str, &str)]) -> Reply {
        let path = format!(
            "/fhir/{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        self.call(Method::PUT, &path, headers, resource.to_string().as_bytes())
            .await
    }

    async fn post(&self, bundle: &Value) -> Reply {
        self.call(Method::POST, "/fhir", &[], bundle.to_string().as_bytes())
            .await
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Reply {
    status: u16,
    etag: Option<String>,
    location: Option<String>,
    last_modified: Option<String>,
    body: Bytes,
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

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> String {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        outcome["issue"][0]["code"].as_str().unwrap().to_owned()
    }
}

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p", "identifier": [
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]})
}

fn condition(id: &str, text: &str) -> Value {
    json!({"resourceType": "Condition", "id": id, "subject": {"reference": "Patient/p"}, "code": {"text": text}})
}

#[tokio::test]
async fn a_resource_is_created_read_updated_and_deleted() {
    let stand = Stand::start().await;
    let created = stand.put(&patient()).await;
    assert_eq!((created.status, created.etag.as_deref()), (201, Some("W/\"1\"")));
    assert_eq!(created.location.as_deref(), Some("/fhir/Patient/p/_history/1"));
    assert!(created.last_modified.unwrap().ends_with(" GMT"));
    assert_eq!(stand.outbox.position().last_seq, 1, "answered after the commit");
    let mut stamped = condition("c", "a");
    stamped["meta"] = json!({"lastUpdated": "2026-01-02T03:04:05Z"});
    assert_eq!(
        stand.put(&stamped).await.last_modified.as_deref(),
        Some("Fri, 02 Jan 2026 03:04:05 GMT")
    );
    let repeat = stand.put(&stamped).await;
    assert_eq!((repeat.status, repeat.etag.as_deref()), (200, Some("W/\"1\"")));
    let path = "/fhir/Condition/c";
    let posted = stand
        .call(
            Method::POST,
            path,
            &[],
            condition("c", "b").to_string().as_bytes(),
        )
        .await;
    assert_eq!((posted.status, posted.etag.as_deref()), (200, Some("W/\"2\"")));
    let read = stand.call(Method::GET, path, &[], b"").await;
    assert_eq!(
        (read.status, read.json(), read.etag.as_deref()),
        (200, condition("c", "b"), Some("W/\"2\""))
    );
    let deleted = stand.call(Method::DELETE, path, &[], b"").await;
    assert_eq!((deleted.status, deleted.etag.as_deref()), (204, Some("W/\"3\"")));
    let gone = stand.call(Method::GET, path, &[], b"").await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "deleted"));
    assert_eq!(stand.call(Method::DELETE, path, &[], b"").await.status, 204);
    assert_eq!(stand.put(&condition("c", "b")).await.status, 201);
}

#[tokio::test]
async fn contention_is_told() {
    let stand = Stand::start().await;
    stand.put(&patient()).await;
    stand.put(&condition("c", "a")).await;
    let lost = stand
        .put_if(&condition("c", "b"), &[("if-match", "W/\"7\"")])
        .await;
    assert_eq!((lost.status, lost.code().as_str()), (412, "conflict"));
    assert_eq!(
        stand
            .put_if(&condition("c", "b"), &[("if-match", "W/\"1\"")])
            .await
            .status,
        200
    );
    assert_eq!(
        stand
            .put_if(&condition("c", "c"), &[("if-none-match", "*")])
            .await
            .status,
        412
    );
    assert_eq!(
        stand
            .put_if(&condition("c", "c"), &[("if-match", "x")])
            .await
            .status,
        400
    );
    let stale = stand
        .call(
            Method::DELETE,
            "/fhir/Condition/c",
            &[("if-match", "W/\"1\"")],
            b"",
        )
        .await;
    assert_eq!(stale.status, 412);
    let mut old = condition("c", "old");
    old["meta"] = json!({"lastUpdated": "2020-01-01T00:00:00Z"});
    assert_eq!(
        stand.put(&old).await.status,
        200,
        "without a time held there is nothing to compare"
    );
    old["meta"] = json!({"lastUpdated": "2019-01-01T00:00:00Z"});
    old["code"] = json!({"text": "older"});
    assert_eq!(stand.put(&old).await.status, 409);
}

#[tokio::test]
async fn what_waits_is_accepted_and_taken_later() {
    let stand = Stand::start().await;
    let waits = stand.put(&condition("c", "a")).await;
    assert_eq!((waits.status, waits.code().as_str()), (202, "informational"));
    assert_eq!(
        stand
            .call(Method::GET, "/fhir/Condition/c", &[], b"")
            .await
            .status,
        404
    );
    stand.put(&patient()).await;
    assert_eq!(
        stand
            .call(Method::GET, "/fhir/Condition/c", &[], b"")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn errors_have_their_status_and_outcome() {
    let stand = Stand::start().await;
    let put = async |path: &str, body: &str| stand.call(Method::PUT, path, &[], body.as_bytes()).await;
    let told = async |path: &str, body: &str| {
        let reply = put(path, body).await;
        let code = reply.code();
        (reply.status, code)
    };
    let c = "/fhir/Condition/c";
    assert_eq!(told(c, "{\"resourceType\":").await, (400, "structure".into()));
    assert_eq!(told(c, "{}").await, (400, "structure".into()));
    assert_eq!(
        told(c, &condition("other", "a").to_string()).await,
        (400, "invalid".into())
    );
    assert_eq!(
        told(
            "/fhir/Condition/a%20b",
            &condition("c", "a").to_string().replace(' ', "")
        )
        .await
        .0,
        400
    );
    let organization = r#"{"resourceType":"Organization","id":"o"}"#;
    assert_eq!(
        told("/fhir/Organization/o", organization).await,
        (422, "business-rule".into())
    );
    let wrong = patient().to_string().replace("9990000018", "9990000019");
    assert_eq!(
        told("/fhir/Patient/p", &wrong).await,
        (422, "business-rule".into())
    );
    let large = condition("c", &"x".repeat(7 << 20)).to_string();
    assert_eq!(told(c, &large).await, (413, "too-long".into()));
    let media = stand
        .call(Method::PUT, c, &[("content-type", "text/plain")], b"{}")
        .await;
    assert_eq!(media.status, 415);
    let not_allowed = stand.call(Method::PATCH, c, &[], b"{}").await;
    assert_eq!(
        (not_allowed.status, not_allowed.code().as_str()),
        (405, "not-supported")
    );
    assert_eq!(stand.call(Method::GET, "/elsewhere", &[], b"").await.status, 404);
    let rebound = stand
        .call(
            Method::GET,
            "/fhir/metadata",
            &[("host", "attacker.example")],
            b"",
        )
        .await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST.as_u16());
    assert_eq!(stand.outbox.position().last_seq, 0);
    assert!(stand.outbox.summary().await.unwrap().rejected >= 5);
    let statement = stand.call(Method::GET, "/fhir/metadata", &[], b"").await.json();
    assert_eq!(statement["resourceType"], "CapabilityStatement");
}

#[tokio::test]
async fn a_transaction_is_whole_and_a_batch_is_not() {
    let stand = Stand::start().await;
    let put = |resource: Value| {
        let url = format!(
            "{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    };
    let organization = put(json!({"resourceType": "Organization", "id": "o"}));
    let delete = json!({"request": {"method": "DELETE", "url": "Condition/never"}});
    let bundle =
        |kind: &str, entries: &[Value]| json!({"resourceType": "Bundle", "type": kind, "entry": entries});
    let faulty = [put(condition("c", "a")), organization.clone()];
    let refused = stand.post(&bundle("transaction", &faulty)).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["issue"][0]["expression"][0], "Bundle.entry[1]");
    assert_eq!(stand.outbox.position().last_seq, 0);
    let whole = stand
        .post(&bundle(
            "transaction",
            &[put(condition("c", "a")), put(patient())],
        ))
        .await;
    assert_eq!(
        (whole.status, whole.json()["type"].as_str()),
        (200, Some("transaction-response"))
    );
    let status = |reply: &Reply, at: usize| {
        reply.json()["entry"][at]["response"]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(status(&whole, 0), "201 Created");
    assert_eq!(whole.json()["entry"][0]["response"]["etag"], "W/\"1\"");
    let mut stale = put(condition("c", "b"));
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    let stale = stand
        .post(&bundle("transaction", &[stale, put(condition("d", "a"))]))
        .await;
    assert_eq!(stale.status, 412);
    assert_eq!(stand.outbox.position().last_seq, 2);
    let batch = stand
        .post(&bundle(
            "batch",
            &[organization, put(condition("d", "a")), delete],
        ))
        .await;
    assert_eq!(batch.status, 200);
    assert_eq!(status(&batch, 0), "422 Unprocessable Entity");
    assert_eq!(
        (status(&batch, 1), status(&batch, 2)),
        ("201 Created".into(), "204 No Content".into())
    );
    assert_eq!(stand.post(&patient()).await.status, 400);
}

#[tokio::test]
async fn many_clients_share_commits() {
    let stand = Stand::start().await;
    stand.put(&patient()).await;
    let before = *stand.outbox.news().borrow();
    let large = condition("large", &"x".repeat(5 << 20));
    let replies = futures::future::join_all((0..200).map(|id| {
        let stand = &stand;
        async move { stand.put(&condition(&format!("c{id}"), "a")).await.status }
    }));
    let (replies, large) = futures::future::join(replies, stand.put(&large)).await;
    assert!(replies.iter().all(|status| *status == 201));
    assert_eq!(large.status, 201);
    assert_eq!(stand.outbox.position().last_seq, 202);
    let commits = *stand.outbox.news().borrow() - before;
    assert!(commits < 150, "{commits} commits for 201 requests");
}
