//! The least of a FHIR server, and of a client for an agent's own endpoint.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::trees::Records;

/// Bytes of a resource that the server takes.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The type of what agents tell of sources.
const TOLD: &str = "Basic/";

/// How long an unsteady server takes with every other write.
const SLOWEST: Duration = Duration::from_millis(30);

/// A FHIR server in memory: read, update and delete by id.
#[derive(Debug)]
pub struct FhirServer {
    port: u16,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Inner {
    records: Mutex<Records>,
    refuse: Mutex<BTreeMap<String, u16>>,
    calls: Mutex<Vec<String>>,
    taken: Mutex<Vec<(String, Option<Value>)>>,
    unsteady: AtomicBool,
}

impl FhirServer {
    /// Serves on a port of its own, with what it already holds.
    pub async fn start(holds: Records) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let port = listener.local_addr().context("ask for the port")?.port();
        let inner = Arc::new(Inner {
            records: Mutex::new(holds),
            ..Inner::default()
        });
        let app = Router::new()
            .route("/fhir/{kind}/{id}", any(handle))
            .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(inner.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, inner, task })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/fhir", self.port)
    }

    /// The records that it holds, by `ResourceType/id`. What agents tell of sources is no record: see
    /// [`FhirServer::told`].
    pub fn records(&self) -> Records {
        self.held(|name| !name.starts_with(TOLD))
    }

    /// What agents tell its clinicians of sources.
    pub fn told(&self) -> Records {
        self.held(|name| name.starts_with(TOLD))
    }

    fn held(&self, which: impl Fn(&str) -> bool) -> Records {
        let records = self.inner.records.lock();
        let held = records.iter().filter(|(name, _)| which(name));
        held.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Answers every write of a resource type with a status, or takes them again.
    pub fn refuse(&self, kind: &str, status: Option<u16>) {
        let mut refuse = self.inner.refuse.lock();
        match status {
            Some(status) => refuse.insert(kind.to_owned(), status),
            None => refuse.remove(kind),
        };
    }

    /// Takes its time with every write of a record, each another, refuses every third for now (503), and for
    /// good (422) what refers to a subject that it does not hold. What agents tell of sources it takes at once.
    pub fn be_unsteady(&self) {
        self.inner.unsteady.store(true, Ordering::SeqCst);
    }

    /// Every write that it took, in order: `ResourceType/id` and the content, `None` for a deletion.
    pub fn taken(&self) -> Vec<(String, Option<Value>)> {
        self.inner.taken.lock().clone()
    }

    /// Every write it was asked for: method and `ResourceType/id`.
    pub fn calls(&self) -> Vec<String> {
        self.inner.calls.lock().clone()
    }
}

impl Drop for FhirServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(
    State(server): State<Arc<Inner>>,
    Path((kind, id)): Path<(String, String)>,
    method: Method,
    body: Bytes,
) -> Response {
    let name = format!("{kind}/{id}");
    if method == Method::GET {
        let found = server.records.lock().get(&name).map(ToString::to_string);
        return match found {
            Some(text) => (StatusCode::OK, text).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let is_record = !name.starts_with(TOLD);
    let nth = {
        let mut calls = server.calls.lock();
        calls.push(format!("{method} {name}"));
        calls.iter().filter(|call| !call.contains(TOLD)).count() as u64
    };
    if is_record && server.unsteady.load(Ordering::SeqCst) {
        // The earlier of two that come at once is the later to be taken.
        tokio::time::sleep(SLOWEST * u32::from(nth % 2 == 1)).await;
        if nth.is_multiple_of(3) {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    if let Some(status) = server.refuse.lock().get(&kind) {
        return StatusCode::from_u16(*status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
    }
    let mut records = server.records.lock();
    if method == Method::DELETE {
        records.remove(&name);
        server.taken.lock().push((name, None));
        return StatusCode::NO_CONTENT.into_response();
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) if server.unsteady.load(Ordering::SeqCst) && !has_its_subject(&value, &records) => {
            StatusCode::UNPROCESSABLE_ENTITY.into_response()
        }
        Ok(value) => {
            server.taken.lock().push((name.clone(), Some(value.clone())));
            let known = records.insert(name, value).is_some();
            let status = if known {
                StatusCode::OK
            } else {
                StatusCode::CREATED
            };
            (status, body).into_response()
        }
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn has_its_subject(value: &Value, records: &Records) -> bool {
    let subject = value.pointer("/subject/reference").and_then(Value::as_str);
    subject.is_none_or(|s| records.contains_key(s))
}

/// What an HTTP server answered.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The header lines, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

/// One HTTP/1.1 request to a port of this machine.
pub async fn http(port: u16, method: &str, path: &str, body: &str) -> anyhow::Result<HttpAnswer> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.context("connect")?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/fhir+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // A server that refuses the body may answer and close before it is all sent.
    let _ = socket.write_all(request.as_bytes()).await;
    let mut raw = Vec::new();
    let read = socket.read_to_end(&mut raw).await;
    let text = String::from_utf8_lossy(&raw).into_owned();
    if text.is_empty() {
        read.context("read the answer")?;
    }
    let (head, body) = text.split_once("\r\n\r\n").context("an HTTP answer")?;
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("an HTTP status")?;
    Ok(HttpAnswer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    })
}
