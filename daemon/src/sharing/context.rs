//! What every act stands on, and the checks that they share.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_proto::{
    ids::{Holder, NhsNumber, OdsCode},
    limits::MAX_TEXT_CHARS,
};

use super::{ActError, Caller, Days, Projected, TokenMint};
use crate::{
    audit::{AuditLog, Event},
    clock::Clock,
    delivery::{Changes, Revoker},
    store::{Deployment, NewEntry, Store, UnitRow, UnitState},
};

/// Live connections, so that those of a holder who was revoked can be closed.
pub trait Connections: Send + Sync + 'static {
    /// Closes every live connection of a holder, at once. New ones are refused from its state in the store.
    fn close(&self, holder: &Holder);
}

/// Someone puts patients on their own unit's caseload by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelfClaim {
    /// Whose caseload.
    pub unit: OdsCode,
    /// Who, as the audit names them.
    pub by: String,
    /// Whom; some.
    pub patients: Vec<NhsNumber>,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
}

/// What privacy officers are to see.
#[async_trait]
pub trait Alerts: Send + Sync + 'static {
    /// Alerts a unit's privacy officers of a self-claimed relationship (SCR alert type 1). Durable when it
    /// returns; called before the claim is made, so that none is made unseen.
    async fn self_claimed(&self, claim: &SelfClaim) -> Result<(), ActError>;
}

/// Alerts nobody: where nothing keeps alerts.
#[derive(Clone, Copy, Debug)]
pub struct NoAlerts;

#[async_trait]
impl Alerts for NoAlerts {
    async fn self_claimed(&self, _: &SelfClaim) -> Result<(), ActError> {
        Ok(())
    }
}

/// What every act stands on. Clones are cheap and alike.
#[derive(Clone)]
pub struct Context {
    /// What is durable.
    pub store: Arc<dyn Store>,
    /// Carries out changes of consents.
    pub revoker: Arc<dyn Revoker>,
    /// Live connections.
    pub connections: Arc<dyn Connections>,
    /// What privacy officers are to see.
    pub alerts: Arc<dyn Alerts>,
    /// Wakes those who watch agreements.
    pub changes: Arc<Changes>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where everything is entered.
    pub audit: AuditLog,
    /// Makes enrolment tokens.
    pub tokens: TokenMint,
    /// What was chosen when the deployment was made.
    pub deployment: Arc<Deployment>,
    /// Days of its zone.
    pub days: Days,
    /// What answers are read from that follows the log.
    pub projected: Projected,
}

impl Context {
    /// An entry of the audit log about what a caller does at `at`, for the transaction of its effect.
    pub(super) fn entry(&self, caller: &Caller, at: i64, event: &dyn Event) -> Result<NewEntry, ActError> {
        Ok(self.audit.entry(at, &caller.actor(), event)?)
    }

    /// One unit.
    pub(super) async fn unit(&self, ods: OdsCode) -> Result<Option<UnitRow>, ActError> {
        let units = self.store.units(self.clock.now_ms()).await?;
        Ok(units.into_iter().find(|u| u.ods == ods))
    }

    /// Whether the caller may give out roles and tokens at a unit: its administrators may, and the
    /// operator while it has none.
    pub(super) async fn may_staff(&self, caller: &Caller, ods: OdsCode) -> Result<(), ActError> {
        if caller.administers(ods) {
            return Ok(());
        }
        if !caller.is_operator() {
            return Err(ActError::Denied);
        }
        let unit = self.unit(ods).await?.ok_or(ActError::Missing("unit"))?;
        if unit.state == UnitState::Retired {
            return Err(ActError::Conflict("the unit is retired"));
        }
        if unit.has_administrator {
            return Err(ActError::Refused(
                "the unit has an administrator: only its administrators do this",
            ));
        }
        Ok(())
    }
}

/// Runs a write to its end even where the caller's own future is dropped: a store's writes are not
/// cancellation-safe, and an act must not stop between commit and fence.
pub(super) async fn detached<T, F>(act: F) -> Result<T, ActError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ActError>> + Send + 'static,
{
    let ended = tokio::spawn(act).await;
    ended.unwrap_or_else(|e| Err(ActError::Failed(format!("an act was broken off: {e}"))))
}

/// A short text of a person's: trimmed, without control characters, bounded.
pub(super) fn text(field: &'static str, raw: &str) -> Result<String, ActError> {
    let text = raw.trim();
    if text.chars().count() > MAX_TEXT_CHARS {
        let why = format!("at most {MAX_TEXT_CHARS} characters");
        return Err(ActError::invalid(field, why));
    }
    if text.chars().any(char::is_control) {
        return Err(ActError::invalid(field, "one line, without control characters"));
    }
    Ok(text.to_owned())
}

/// A short text that must not be empty.
pub(super) fn required(field: &'static str, raw: &str) -> Result<String, ActError> {
    let text = text(field, raw)?;
    if text.is_empty() {
        return Err(ActError::invalid(field, "must be given"));
    }
    Ok(text)
}
