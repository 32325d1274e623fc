//! A FHIR server of the test's own over loopback, and the output with a real inbox.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path as Route, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::{FhirOutput, FhirSettings};
use crate::{
    clock::ManualClock,
    codec::fhir::derived_id,
    output::{Output as _, Pause},
    store::inbox::{Inbox, InboxLimits, OutputSpec, testing::*},
};

pub(super) const A: &str = "Z00101";
pub(super) const B: &str = "Z00102";

/// A server: what it holds, what it was asked, and what it is to answer instead.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) held: BTreeMap<String, serde_json::Value>,
    pub(super) asked: Vec<String>,
    pub(super) authorization: Vec<String>,
    /// Answers by `TYPE/id`, first come first used; a status that stays is the last.
    pub(super) instead: BTreeMap<String, VecDeque<u16>>,
    pub(super) retry_after: Option<&'static str>,
}

pub(super) type Shared = Arc<Mutex<Shelf>>;

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) shelf: Shared,
    pub(super) _stop: tokio::sync::oneshot::Sender<()>,
}

impl Shelf {
    pub(super) fn answer(&mut self, verb: &str, name: &str, headers: &HeaderMap) -> Option<Response> {
        self.asked.push(format!("{verb} {name}"));
        let authorization = headers.get(header::AUTHORIZATION);
        self.authorization
            .extend(authorization.map(|v| v.to_str().unwrap().to_owned()));
        let queue = self.instead.get_mut(name)?;
        let status = if queue.len() > 1 {
            queue.pop_front()
        } else {
            queue.front().copied()
        }?;
        if status == 200 {
            return None;
        }
        let mut response = (
            StatusCode::from_u16(status).unwrap(),
            r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","diagnostics":"Mr Secret"}]}"#,
        )
            .into_response();
        if let Some(after) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, after.parse().unwrap());
        }
        Some(response)
    }
}

pub(super) async fn server() -> Server {
    let shelf = Shared::default();
    let write = |State(shelf): State<Shared>,
                 Route((kind, id)): Route<(String, String)>,
                 headers: HeaderMap,
                 body: Bytes| async move {
        let name = format!("{kind}/{id}");
        let mut shelf = shelf.lock();
        if let Some(response) = shelf.answer("PUT", &name, &headers) {
            return response;
        }
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["id"], id, "FHIR: the id of body and URL must be one");
        match shelf.held.insert(name, json) {
            None => StatusCode::CREATED.into_response(),
            Some(_) => StatusCode::OK.into_response(),
        }
    };
    let delete = |State(shelf): State<Shared>,
                  Route((kind, id)): Route<(String, String)>,
                  headers: HeaderMap| async move {
        let name = format!("{kind}/{id}");
        let mut shelf = shelf.lock();
        if let Some(response) = shelf.answer("DELETE", &name, &headers) {
            return response;
        }
        match shelf.held.remove(&name) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let app = Router::new()
        .route("/fhir/metadata", get(|| async { "{}" }))
        .route("/fhir/{kind}/{id}", put(write).delete(delete))
        .with_state(Arc::clone(&shelf));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let stopped = async move { drop(stopped.await) };
        axum::serve(listener, app)
            .with_graceful_shutdown(stopped)
            .await
            .unwrap();
    });
    Server {
        addr,
        shelf,
        _stop: stop,
    }
}

pub(super) struct Rig {
    pub(super) inbox: Inbox,
    pub(super) clock: ManualClock,
    pub(super) server: Server,
    pub(super) output: FhirOutput,
    pub(super) number: u64,
    pub(super) _folder: tempfile::TempDir,
}

impl Rig {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(NOON);
        let inbox = inbox_at(folder.path(), &clock).await;
        let server = server().await;
        let output = FhirOutput::new("out", settings(&server), inbox.clone());
        let mut rig = Self {
            inbox,
            clock,
            server,
            output,
            number: 1,
            _folder: folder,
        };
        rig.receive(vec![welcome(true, &[])]).await;
        assert_eq!(rig.settle().await, None);
        rig
    }

    pub(super) async fn receive(&mut self, contents: Vec<crate::store::inbox::Incoming>) {
        let group = group(1, self.number, contents);
        self.number = group.durable + 1;
        self.inbox.apply(&group).await.unwrap();
    }

    /// Runs the output, as the runner does, until nothing is left to do or it pauses.
    pub(super) async fn settle(&mut self) -> Option<Pause> {
        self.output
            .start(&self.inbox.output("out").await.unwrap())
            .await
            .unwrap();
        loop {
            let position = self.inbox.output("out").await.unwrap().position;
            let group = self.inbox.pending(position).await.unwrap();
            let step = if group.is_empty() {
                self.output.idle(position).await
            } else {
                self.output.apply(group).await
            };
            let did = step.progress.is_some();
            if let Some(progress) = step.progress {
                self.inbox.commit_output("out", &progress).await.unwrap();
            }
            if step.pause.is_some() || !did {
                return step.pause;
            }
        }
    }

    /// Runs it through pauses until nothing is left to do; gives how many there were.
    pub(super) async fn settle_through(&mut self) -> usize {
        for pauses in 0..100 {
            if self.settle().await.is_none() {
                return pauses;
            }
        }
        panic!("it pauses for ever");
    }

    pub(super) fn instead(&self, source: &str, record: &str, answers: &[u16]) {
        let name = at(source, record);
        self.server
            .shelf
            .lock()
            .instead
            .insert(name, answers.iter().copied().collect());
    }

    pub(super) fn held(&self) -> Vec<String> {
        self.server.shelf.lock().held.keys().cloned().collect()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.server.shelf.lock().asked)
    }
}

pub(super) async fn inbox_at(folder: &Path, clock: &ManualClock) -> Inbox {
    let limits = InboxLimits::default();
    let inbox = Inbox::open(&folder.join("inbox.db"), Arc::new(clock.clone()), limits)
        .await
        .unwrap();
    let spec = OutputSpec {
        name: "out".to_owned(),
        kind: "fhir".to_owned(),
    };
    inbox.set_outputs(&[spec]).await.unwrap();
    inbox
}

pub(super) fn settings(server: &Server) -> FhirSettings {
    FhirSettings {
        base_url: format!("http://{}/fhir", server.addr),
        credentials_file: None,
        ca_file: None,
        timeout: Duration::from_secs(10),
    }
}

/// Where a source's record stands at the server.
pub(super) fn at(source: &str, record: &str) -> String {
    let record: handfast_proto::ids::RecordId = record.parse().unwrap();
    format!("{}/{}", record.resource_type(), derived_id(ods(source), &record))
}

pub(super) fn patient(name: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"1","name":[{{"text":"{name}"}}]}}"#)
}

pub(super) fn observation(value: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"1","subject":{{"reference":"Patient/1"}},"valueDecimal":{value}}}"#
    )
}
