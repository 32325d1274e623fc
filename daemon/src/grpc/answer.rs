//! What the services over the acts share: who asks, reading identifiers, and turning a refusal into a
//! status.

use std::sync::Arc;

use handfast_proto::{
    ids::{OdsCode, PersonId},
    v1,
};
use tonic::{Request, Response, Status};

use super::identity::Identities;
use crate::sharing::{ActError, Caller, MAX_PAGE, Secret};

/// Answers the calls of one service.
#[derive(Clone)]
pub(super) struct Desk {
    identities: Arc<Identities>,
}

impl Desk {
    pub(super) fn new(identities: Arc<Identities>) -> Self {
        Self { identities }
    }

    /// Who asks.
    pub(super) async fn caller<T: Sync>(
        &self,
        request: &Request<T>,
        method: &'static str,
    ) -> Result<Caller, Status> {
        self.identities.peer(request, method).await
    }

    /// An act's outcome as an answer.
    pub(super) fn answer<T>(
        &self,
        caller: &Caller,
        method: &'static str,
        outcome: Result<T, ActError>,
    ) -> Result<Response<T>, Status> {
        outcome
            .map(Response::new)
            .map_err(|error| self.status(caller, method, error))
    }

    /// Why an act was not carried out, for the caller. Refusals and failures are logged.
    pub(super) fn status(&self, caller: &Caller, method: &'static str, error: ActError) -> Status {
        let text = error.to_string();
        match error {
            ActError::Denied => {
                self.identities
                    .refuse(&caller.holder(), caller.unit(), method, "not allowed")
            }
            ActError::Refused(why) => {
                self.identities
                    .refuse(&caller.holder(), caller.unit(), method, why);
                Status::permission_denied(text)
            }
            ActError::Missing(_) => Status::not_found(text),
            ActError::Exists(_) => Status::already_exists(text),
            ActError::Conflict(_) => Status::failed_precondition(text),
            ActError::Invalid { .. } => Status::invalid_argument(text),
            ActError::TooMany(_) => Status::resource_exhausted(text),
            ActError::Unavailable(_) => {
                tracing::warn!(holder = %caller.holder(), method, error = %text, "could not do it now");
                Status::unavailable(text)
            }
            ActError::Failed(_) => {
                tracing::error!(holder = %caller.holder(), method, error = %text, "an act failed");
                Status::internal("the daemon failed, and its log says why: ask for the outcome, then again")
            }
        }
    }
}

/// Reads an ODS code.
pub(super) fn ods(field: &'static str, text: &str) -> Result<OdsCode, Status> {
    text.parse()
        .map_err(|e| Status::invalid_argument(format!("{field}: {e}")))
}

/// Reads an ODS code that may be left out.
pub(super) fn ods_if_any(field: &'static str, text: &str) -> Result<Option<OdsCode>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    ods(field, text).map(Some)
}

/// Reads a person's id.
pub(super) fn person(text: &str) -> Result<PersonId, Status> {
    text.parse()
        .map_err(|e| Status::invalid_argument(format!("id: {e}")))
}

/// How many things one page holds at most: as many as asked for, up to [`MAX_PAGE`]; 0 leaves it to the daemon.
pub(super) fn page_size(asked: u32) -> u32 {
    if asked == 0 { MAX_PAGE } else { asked.min(MAX_PAGE) }
}

/// A token as it travels, this once.
pub(super) fn token(secret: &Secret) -> v1::Token {
    v1::Token {
        token: secret.token.reveal(),
        expires_at: secret.expires_at,
    }
}
