//! Answers as FHIR servers give them: status, ETag, OperationOutcome (FHIR R4, "HTTP" and
//! "OperationOutcome"). Diagnostics name what is wrong, never content.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    codec::fhir::{FHIR_JSON, Fault},
    store::outbox::{OutboxError, Outcome, Refusal},
};

/// Seconds after which what failed for now may be tried again.
const RETRY_AFTER_SECONDS: &str = "5";

/// An answer with an OperationOutcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    /// A code of FHIR's IssueType.
    pub(super) code: &'static str,
    pub(super) severity: &'static str,
    pub(super) text: String,
}

impl Told {
    /// An error.
    pub(super) fn error(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            severity: "error",
            text: text.into(),
        }
    }

    /// Taken, but not as one might expect.
    pub(super) fn note(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            code: "informational",
            severity: "information",
            text: text.into(),
        }
    }

    /// Its issue, of an OperationOutcome.
    pub(super) fn issue(&self) -> Value {
        json!({"severity": self.severity, "code": self.code, "diagnostics": self.text})
    }

    /// The OperationOutcome.
    pub(super) fn outcome(&self) -> Value {
        json!({"resourceType": "OperationOutcome", "issue": [self.issue()]})
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &self.outcome());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let after = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}

impl From<&Fault> for Told {
    fn from(fault: &Fault) -> Self {
        let (status, code) = match fault {
            Fault::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
            Fault::TooManyValues { .. } | Fault::TooManyEntries { .. } | Fault::TooDeep { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too-costly")
            }
            Fault::NotAView
            | Fault::ViewLacks(_)
            | Fault::NoPatient
            | Fault::SeveralPatients
            | Fault::UnresolvedReference
            | Fault::InvalidNumber(_)
            | Fault::ContainedPatientWithoutNumber => (StatusCode::UNPROCESSABLE_ENTITY, "business-rule"),
            Fault::BundleType | Fault::BundleRequest => (StatusCode::UNPROCESSABLE_ENTITY, "not-supported"),
            Fault::NotUtf8
            | Fault::NotJson { .. }
            | Fault::Truncated
            | Fault::NotAResource
            | Fault::DuplicateMember { .. } => (StatusCode::BAD_REQUEST, "structure"),
            Fault::Id(_) | Fault::AddressMismatch | Fault::BundleEntry => {
                (StatusCode::BAD_REQUEST, "invalid")
            }
        };
        Self::error(status, code, fault.to_string())
    }
}

impl From<&OutboxError> for Told {
    fn from(error: &OutboxError) -> Self {
        let code = match error {
            OutboxError::DiskFull => "no-store",
            _ => "transient",
        };
        Self::error(
            StatusCode::SERVICE_UNAVAILABLE,
            code,
            format!("nothing was taken: {error}"),
        )
    }
}

impl From<&Refusal> for Told {
    fn from(refusal: &Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::VersionMismatch { .. } => (StatusCode::PRECONDITION_FAILED, "conflict"),
            Refusal::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
            Refusal::TooManyWaiting { .. } => (StatusCode::SERVICE_UNAVAILABLE, "throttled"),
            Refusal::ChangedCopy { .. } | Refusal::LostCopy | Refusal::ReportedBefore => {
                (StatusCode::UNPROCESSABLE_ENTITY, "business-rule")
            }
            Refusal::WithOthers => (StatusCode::FAILED_DEPENDENCY, "business-rule"),
        };
        Self::error(status, code, refusal.to_string())
    }
}

/// What is told of a change that was handed to the outbox: its status, its version where it has one, and
/// what there is to say.
pub(super) struct Verdict {
    pub(super) status: StatusCode,
    pub(super) version: Option<u64>,
    pub(super) told: Option<Told>,
}

impl Verdict {
    /// Of a change; `deletes` where it was asked for by DELETE.
    pub(super) fn of(outcome: &Outcome, deletes: bool) -> Self {
        let plain = |status, version| Self {
            status,
            version: Some(version),
            told: None,
        };
        let done = if deletes {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::OK
        };
        let said = |told: Told| Self {
            status: told.status,
            version: None,
            told: Some(told),
        };
        match outcome {
            Outcome::Taken {
                version,
                created: true,
                ..
            } => plain(StatusCode::CREATED, *version),
            Outcome::Taken { version, .. } => plain(done, *version),
            Outcome::Unchanged { version: 0 } => Self {
                status: done,
                version: None,
                told: None,
            },
            Outcome::Unchanged { version } => plain(done, *version),
            Outcome::Older => said(Told::error(
                StatusCode::CONFLICT,
                "conflict",
                "it is older than the version held (by meta.lastUpdated) and was set aside",
            )),
            Outcome::Said {
                version,
                created,
                note,
                ..
            } => {
                let status = if *created { StatusCode::CREATED } else { done };
                Self {
                    told: note.map(|note| Told::note(status, note.to_string())),
                    ..plain(status, *version)
                }
            }
            Outcome::Echo => said(Told::note(
                StatusCode::OK,
                "it is another unit's record as it was received: it is not published as this unit's own",
            )),
            Outcome::Waiting(reason) => said(Told::note(
                StatusCode::ACCEPTED,
                format!("it is kept and will be taken later: {reason}"),
            )),
            Outcome::Rejected(refusal) => said(Told::from(refusal)),
        }
    }
}

/// A FHIR resource as an answer.
pub(super) fn json_response(status: StatusCode, resource: &Value) -> Response {
    fhir_response(status, Body::from(resource.to_string()))
}

/// A FHIR resource, written already, as an answer.
pub(super) fn fhir_response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    response
}

/// The entity tag of a version (FHIR R4, "HTTP": weak ETags).
pub(super) fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// A time as HTTP writes it (RFC 9110, section 5.6.7).
pub(super) fn http_date(ms: i64) -> Option<HeaderValue> {
    let at = jiff::Timestamp::from_millisecond(ms).ok()?;
    HeaderValue::from_str(&at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}
