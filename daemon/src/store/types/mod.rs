//! What goes into the store and comes out of it.

mod agreements;
mod deployment;
mod log;
mod people;
mod subscriptions;

pub use agreements::{
    AgreementRow, ConfirmWithdrawal, HalfChange, HalfOutcome, HalfRow, Job, JobId, JobKind, UnitStateOutcome,
    WithdrawalRow, WithdrawalState,
};
pub use deployment::Deployment;
pub use log::{
    AppendGroup, CatchUpMove, CursorMove, Head, LogBatch, LogRow, RecipientReceipt, RecordVersion,
};
pub use people::{
    Certificate, IssuedToken, NewPerson, NewToken, NewUnit, PersonRow, Role, TokenHash, UnitKind, UnitRow,
    UnitState,
};
pub use subscriptions::{DeadLetterRow, Hello, PairState, Subscription};
