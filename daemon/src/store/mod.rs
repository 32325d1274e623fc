//! What is durable at the daemon: one trait, its types, and the backends.

mod api;
#[cfg(test)]
pub(crate) mod conformance;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod sqlite;
mod types;

pub use api::Store;
pub use error::StoreError;
pub use sqlite::SqliteStore;
pub use types::{
    AgreementRow, AppendGroup, CatchUpMove, Certificate, ConfirmWithdrawal, CursorMove, DeadLetterRow,
    Deployment, HalfChange, HalfOutcome, HalfRow, Head, Hello, IssuedToken, Job, JobId, JobKind, LogBatch,
    LogRow, NewPerson, NewToken, NewUnit, PairState, PersonRow, RecipientReceipt, RecordVersion, Role,
    Subscription, TokenHash, UnitKind, UnitRow, UnitState, UnitStateOutcome, WithdrawalRow, WithdrawalState,
};
