//! The store's operations about emergency accesses, alerts, their reviews and their hand-off. What holds for
//! every operation stands at [`super::Store`].

use async_trait::async_trait;
use handfast_proto::ids::OdsCode;

use super::{
    error::StoreError,
    types::{
        AccessEnded, AccessId, AccessQuery, AccessRow, AlertId, AlertQuery, AlertRow, EmergencyRow,
        EndAccess, HandOff, HandedOff, NewAccess, NewAlert, OpenedSource, ReviewRow, Target, With,
    },
};

/// What is durable about emergency accesses and alerts.
#[async_trait]
pub trait AccessStore: Send + Sync + 'static {
    /// Whether a unit has a privacy officer who could review at `now`: not revoked, and with a certificate
    /// that holds.
    async fn has_privacy_officer(&self, unit: OdsCode, now: i64) -> Result<bool, StoreError>;

    // --- emergency accesses ---

    /// Keeps an emergency access that is about to be opened, and raises an alert for each of its sources. The
    /// grants are opened after it, so that there is none without its alert. [`StoreError::Missing`] where a
    /// unit or the person is not there, [`StoreError::Conflict`] without a source, with the recipient as one,
    /// or where it would not last.
    async fn add_access(&self, access: &NewAccess, with: &With) -> Result<AccessId, StoreError>;

    /// Notes which grants carry an access, and has each hold for at least as long as the access does: gives them
    /// as they are then. What is noted already stays. [`StoreError::Conflict`] where one of them does not hold at
    /// `at`; then none is noted.
    async fn note_opened(
        &self,
        id: AccessId,
        opened: &[OpenedSource],
        at: i64,
        with: &With,
    ) -> Result<Vec<EmergencyRow>, StoreError>;

    /// Notes the grants of accesses of which the daemon was stopped between opening and noting: of each source
    /// without one, the emergency grant in force of the same pair and patient that began no earlier. Says how
    /// many it found.
    async fn adopt_grants(&self) -> Result<u64, StoreError>;

    /// Emergency accesses, the newest first.
    async fn accesses(&self, query: &AccessQuery) -> Result<Vec<AccessRow>, StoreError>;

    /// Ends an access before its time, and notes who did: a grant that carries others as well goes on for as long
    /// as the longest of them that holds at `end.at`; one that carries none ends as if its time were over: what follows
    /// is a reconcile of the patient under the agreement's grant, or a withdrawal where none is in force. A source that
    /// is over already stays as it is.
    /// [`StoreError::Missing`] where there is no such access.
    async fn end_access(&self, end: &EndAccess, with: &With) -> Result<AccessEnded, StoreError>;

    // --- alerts ---

    /// Raises alerts, in order. [`StoreError::Missing`] where a unit is not there.
    async fn raise_alerts(&self, alerts: &[NewAlert], with: &With) -> Result<Vec<AlertId>, StoreError>;

    /// Alerts, the newest first.
    async fn alerts(&self, query: &AlertQuery) -> Result<Vec<AlertRow>, StoreError>;

    /// Adds a review to alerts, and closes those that are open. [`StoreError::Missing`] where one is not
    /// there, [`StoreError::Conflict`] where the reviewer is the person whom it is about, or a review of theirs
    /// is there already; then none is changed.
    async fn review(&self, alerts: &[AlertId], review: &ReviewRow, with: &With) -> Result<(), StoreError>;

    /// The open alerts that are not escalated, those raised first, at most `limit`.
    async fn not_escalated(&self, limit: u32) -> Result<Vec<AlertRow>, StoreError>;

    /// Escalates alerts. [`StoreError::Conflict`] where one of them is not open, or is escalated already; then
    /// none is.
    async fn escalate(&self, alerts: &[AlertId], at: i64, with: &With) -> Result<(), StoreError>;

    // --- hand-off ---

    /// Says which targets there are. One that is added is owed every alert that is not reviewed; one that is
    /// gone is owed nothing any more. Says how many alerts those that are gone were still owed.
    async fn set_targets(&self, targets: &[Target], at: i64) -> Result<u64, StoreError>;

    /// Alerts that a target is owed at `now`, those that wait longest first, at most `limit`.
    async fn owed(&self, target: Target, now: i64, limit: u32) -> Result<Vec<HandOff>, StoreError>;

    /// When a target is next owed something.
    async fn next_owed(&self, target: Target) -> Result<Option<i64>, StoreError>;

    /// Keeps what came of a try.
    async fn handed_off(&self, tried: &HandedOff) -> Result<(), StoreError>;
}
