//! What is durable at the daemon: one trait, its types, and the backends.

mod access_api;
mod api;
mod audit_api;
#[cfg(test)]
pub(crate) mod conformance;
mod emergency_api;
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
pub use emergency_api::EmergencyGrants;
pub use error::StoreError;
pub use patient_api::PatientStore;
pub use sqlite::SqliteStore;
pub use types::{
    AccessEnded, AccessId, AccessQuery, AccessRow, AccessesOf, AlertId, AlertKind, AlertQuery, AlertRow,
    AlertState, AlertsOf, EndAccess, HandOff, HandedOff, NewAccess, NewAlert, OpenedSource, RemovalRow,
    ReviewRow, SourceRow, Target,
};
pub use types::{
    AgreementRow, AppendGroup, CatchUpMove, Certificate, ClaimChange, ClaimRow, ConfirmWithdrawal,
    CurrentRecord, CursorMove, DeadLetterRow, Deployment, Did, EmergencyRow, Enters, EntryKeys, EntryQuery,
    EntryRow, ErasePersonal, Erased, HalfChange, HalfOutcome, HalfRow, HalfScope, Head, Hello, IndexSums,
    IssuedToken, Job, JobId, JobKind, JoinedNumbers, LogBatch, LogRow, NewEntry, NewJob, NewPerson, NewToken,
    NewUnit, Of, OpenEmergency, PairState, PartialWithdrawals, PersonRow, ReachMove, RecipientReceipt,
    RecordVersion, Role, SUMMED_ENTRIES, StandingWord, StandingWords, Stated, SubjectCount, Subscription,
    TokenHash, ToldStretches, UnitChange, UnitKind, UnitRow, UnitState, UnitStateOutcome, With,
    WithdrawalReceipt, WithdrawalRow, WithdrawalState, WordChange, WordOutcome, WordRow, WrongStretch,
    is_erased,
};
