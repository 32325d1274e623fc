//! Single resources: read, put, delete (FHIR R4, "HTTP": read, update, delete).

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use handfast_proto::ids::RecordId;

use super::{
    answer::{Told, Verdict, etag, fhir_response, http_date},
    intake::Intake,
    request::expected,
};
use crate::codec::fhir::{Change, Document, Fault};

/// `GET /fhir/{type}/{id}`: the version held.
pub(super) async fn read(State(intake): State<Intake>, Path(name): Path<(String, String)>) -> Response {
    read_one(&intake, &name).await.unwrap_or_else(Told::into_response)
}

async fn read_one(intake: &Intake, (kind, id): &(String, String)) -> Result<Response, Told> {
    let record = address(kind, id)?;
    let held = intake
        .ctx
        .outbox
        .record(&record)
        .await
        .map_err(|e| Told::from(&e))?;
    let held = held.ok_or_else(|| {
        Told::error(
            StatusCode::NOT_FOUND,
            "not-found",
            "this record is not held; it may wait for its patient",
        )
    })?;
    let mut response = match held.payload {
        Some(payload) => fhir_response(StatusCode::OK, Body::from(payload)),
        None => Told::error(StatusCode::GONE, "deleted", "this record was retracted").into_response(),
    };
    tag(&mut response, held.version, Some(held.recorded_at));
    Ok(response)
}

/// `PUT` and `POST /fhir/{type}/{id}`: a new version.
pub(super) async fn put(
    State(intake): State<Intake>,
    Path(name): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let put = Box::pin(put_one(&intake, &name, &headers, body)).await;
    put.unwrap_or_else(Told::into_response)
}

async fn put_one(
    intake: &Intake,
    (kind, id): &(String, String),
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Told> {
    let record = address(kind, id)?;
    let expected = expected(headers)?;
    let held = intake.receive(headers, body, intake.resource_bound()).await?;
    let change = match intake.parse(&held.bytes).await {
        Ok(Document::Resource(change)) if change.record == record => Ok(*change),
        Ok(_) => Err(Fault::AddressMismatch),
        Err(fault) => Err(fault),
    };
    let mut change = change.map_err(|fault| {
        intake.refused(1);
        Told::from(&fault)
    })?;
    change.expected = expected;
    let recorded_at = change.last_updated;
    let mut response = take(intake, change, Method::PUT).await?;
    let at = recorded_at.unwrap_or_else(|| intake.ctx.clock.now_ms());
    if let Some(date) = http_date(at) {
        response.headers_mut().insert(header::LAST_MODIFIED, date);
    }
    Ok(response)
}

/// `DELETE /fhir/{type}/{id}`: a retraction.
pub(super) async fn delete(
    State(intake): State<Intake>,
    Path(name): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let delete = Box::pin(delete_one(&intake, &name, &headers)).await;
    delete.unwrap_or_else(Told::into_response)
}

async fn delete_one(
    intake: &Intake,
    (kind, id): &(String, String),
    headers: &HeaderMap,
) -> Result<Response, Told> {
    let mut change = Change::retraction(address(kind, id)?);
    change.expected = expected(headers)?;
    take(intake, change, Method::DELETE).await
}

async fn take(intake: &Intake, change: Change, method: Method) -> Result<Response, Told> {
    let record = change.record.clone();
    let outcomes = intake
        .ctx
        .take(vec![change], false, Vec::new())
        .await
        .map_err(|e| Told::from(&e))?;
    let outcome = outcomes.first().ok_or_else(|| {
        Told::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "the outbox gave no answer",
        )
    })?;
    let verdict = Verdict::of(outcome, method == Method::DELETE);
    let name = if verdict.status.is_success() {
        "taken"
    } else {
        "rejected"
    };
    intake.ctx.board.count(name, 1);
    let mut response = match verdict.told {
        Some(told) => told.into_response(),
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = verdict.status;
            response
        }
    };
    if let Some(version) = verdict.version {
        tag(&mut response, version, None);
        let location = format!("/fhir/{record}/_history/{version}");
        if verdict.status == StatusCode::CREATED
            && let Ok(location) = HeaderValue::from_str(&location)
        {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    Ok(response)
}

fn tag(response: &mut Response, version: u64, recorded_at: Option<i64>) {
    if let Ok(tag) = HeaderValue::from_str(&etag(version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if let Some(date) = recorded_at.and_then(http_date) {
        response.headers_mut().insert(header::LAST_MODIFIED, date);
    }
}

fn address(kind: &str, id: &str) -> Result<RecordId, Told> {
    RecordId::new(kind, id).map_err(|e| Told::error(StatusCode::BAD_REQUEST, "invalid", e.to_string()))
}
