//! Bundles: transaction, batch and collection (FHIR R4, "HTTP": batch/transaction).

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{
    answer::{Told, Verdict, etag, json_response},
    intake::Intake,
};
use crate::codec::fhir::{Bundle, BundleType, Change, Content, Document, Entry};

/// Faults that an answer names.
const MAX_ISSUES: usize = 100;

/// `POST /fhir`.
pub(super) async fn post(State(intake): State<Intake>, headers: HeaderMap, body: Body) -> Response {
    let posted = Box::pin(take(&intake, &headers, body)).await;
    posted.unwrap_or_else(Told::into_response)
}

async fn take(intake: &Intake, headers: &HeaderMap, body: Body) -> Result<Response, Told> {
    let held = intake.receive(headers, body, intake.bundle_bound()).await?;
    let bundle = match intake.parse(&held.bytes).await {
        Ok(Document::Bundle(bundle)) => bundle,
        Ok(Document::Resource(_)) => {
            return Err(Told::error(
                StatusCode::BAD_REQUEST,
                "not-supported",
                "only a transaction, batch or collection Bundle is posted here; put a resource to /fhir/Type/id",
            ));
        }
        Err(fault) => {
            intake.refused(1);
            return Err(Told::from(&fault));
        }
    };
    match bundle.kind {
        BundleType::Transaction => transaction(intake, bundle).await,
        BundleType::Batch | BundleType::Collection => each_alone(intake, bundle).await,
    }
}

async fn transaction(intake: &Intake, bundle: Bundle) -> Result<Response, Told> {
    let total = bundle.entries.len();
    let faults: Vec<(usize, Told)> = bundle
        .entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| Some((index, Told::from(entry.change.as_ref().err()?))))
        .collect();
    if !faults.is_empty() {
        intake.refused(total as u64);
        return Ok(refused(&faults));
    }
    let changes: Vec<Change> = bundle.entries.into_iter().filter_map(|e| e.change.ok()).collect();
    let asked: Vec<Asked> = changes.iter().map(Asked::of).collect();
    let outcomes = intake
        .ctx
        .take(changes, true, Vec::new())
        .await
        .map_err(|e| Told::from(&e))?;
    let verdicts: Vec<Verdict> = outcomes
        .iter()
        .zip(&asked)
        .map(|(outcome, asked)| Verdict::of(outcome, asked.deletes))
        .collect();
    let failed: Vec<(usize, Told)> = verdicts
        .iter()
        .enumerate()
        .filter(|(_, v)| v.status.is_server_error() || v.status.is_client_error())
        .filter(|(_, v)| !matches!(v.status, StatusCode::CONFLICT | StatusCode::FAILED_DEPENDENCY))
        .filter_map(|(index, v)| Some((index, v.told.clone()?)))
        .collect();
    if !failed.is_empty() {
        intake.ctx.board.count("rejected", total as u64);
        return Ok(refused(&failed));
    }
    intake.ctx.board.count("taken", total as u64);
    let entries: Vec<Value> = verdicts
        .iter()
        .zip(&asked)
        .map(|(v, asked)| answer(v, asked))
        .collect();
    Ok(response("transaction-response", &entries))
}

async fn each_alone(intake: &Intake, bundle: Bundle) -> Result<Response, Told> {
    let mut entries = Vec::with_capacity(bundle.entries.len());
    let mut changes = Vec::new();
    let mut places = Vec::new();
    for (index, Entry { change, .. }) in bundle.entries.into_iter().enumerate() {
        match change {
            Ok(change) => {
                places.push((index, Asked::of(&change)));
                changes.push(change);
                entries.push(Value::Null);
            }
            Err(fault) => {
                let told = Told::from(&fault);
                let status = told.status;
                entries.push(entry(status, None, Some(&told), None));
                intake.refused(1);
            }
        }
    }
    let outcomes = intake
        .ctx
        .take(changes, false, Vec::new())
        .await
        .map_err(|e| Told::from(&e))?;
    for ((index, asked), outcome) in places.iter().zip(&outcomes) {
        let verdict = Verdict::of(outcome, asked.deletes);
        let name = if verdict.status.is_success() {
            "taken"
        } else {
            "rejected"
        };
        intake.ctx.board.count(name, 1);
        if let Some(place) = entries.get_mut(*index) {
            *place = answer(&verdict, asked);
        }
    }
    Ok(response("batch-response", &entries))
}

/// What an entry asked for, kept for its answer.
struct Asked {
    record: String,
    deletes: bool,
}

impl Asked {
    fn of(change: &Change) -> Self {
        Self {
            record: change.record.to_string(),
            deletes: matches!(change.content, Content::Retract) && change.last_updated.is_none(),
        }
    }
}

fn answer(verdict: &Verdict, asked: &Asked) -> Value {
    let location = verdict.version.map(|v| format!("{}/_history/{v}", asked.record));
    entry(verdict.status, verdict.version, verdict.told.as_ref(), location)
}

fn entry(status: StatusCode, version: Option<u64>, told: Option<&Told>, location: Option<String>) -> Value {
    let mut response = json!({"status": status.to_string()});
    if let Some(location) = location {
        response["location"] = Value::String(location);
    }
    if let Some(version) = version {
        response["etag"] = Value::String(etag(version));
    }
    if let Some(told) = told {
        response["outcome"] = told.outcome();
    }
    json!({"response": response})
}

fn response(kind: &str, entries: &[Value]) -> Response {
    let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": entries});
    json_response(StatusCode::OK, &bundle)
}

/// A transaction fails as a whole, with the status of its first fault.
fn refused(faults: &[(usize, Told)]) -> Response {
    let status = faults
        .first()
        .map_or(StatusCode::BAD_REQUEST, |(_, told)| told.status);
    let issues: Vec<Value> = faults
        .iter()
        .take(MAX_ISSUES)
        .map(|(index, told)| {
            let mut issue = told.issue();
            issue["expression"] = json!([format!("Bundle.entry[{index}]")]);
            issue
        })
        .collect();
    json_response(
        status,
        &json!({"resourceType": "OperationOutcome", "issue": issues}),
    )
}
