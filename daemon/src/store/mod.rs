//! What is durable at the daemon: one trait, its types, and the backends.

mod access_api;
mod api;
mod audit_api;
#[cfg(test)]
pub(crate) mod conformance;
mod error;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod fake_accesses;
#[cfg(test)]
mod fake_audit;
mod patient_api;
mod sqlite;
mod types;

pub use access_api::AccessStore;
pub use api::Store;
pub use audit_api::AuditStore;
pub use error::StoreError;
pub use patient_api::PatientStore;
pub use sqlite::SqliteStore;
pub use types::{
    AccessId, AccessQuery, AccessRow, AccessesOf, AlertId, AlertKind, AlertQuery, AlertRow, AlertState,
    AlertsOf, EndAccess, HandOff, HandedOff, NewAccess, NewAlert, OpenedSource, RemovalRow, ReviewRow,
    SourceRow, Target,
};
pub use types::{
    AgreementRow, AppendGroup, CatchUpMove, Certificate, ClaimChange, ClaimRow, ConfirmWithdrawal,
    CursorMove, DeadLetterRow, Deployment, EntryKeys, EntryQuery, EntryRow, FactsRow, HalfChange,
    HalfOutcome, HalfRow, HalfScope, Head, Hello, IssuedToken, Job, JobId, JobKind, JoinedNumbers, LogBatch,
    LogRow, NewEntry, NewJob, NewPerson, NewToken, NewUnit, Of, PairState, PersonRow, RecipientReceipt,
    RecordVersion, Role, Stated, SubjectCount, Subscription, TokenHash, UnitKind, UnitRow, UnitState,
    UnitStateOutcome, With, WithdrawalRow, WithdrawalState, WordChange, WordOutcome, WordRow, is_erased,
};
