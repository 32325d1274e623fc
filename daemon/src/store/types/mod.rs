//! What goes into the store and comes out of it.

mod accesses;
mod agreements;
mod alerts;
mod audit;
mod deployment;
mod emergencies;
mod index_sums;
mod log;
mod patients;
mod people;
mod subscriptions;
mod with;

pub use accesses::{
    AccessEnded, AccessId, AccessQuery, AccessRow, AccessesOf, EndAccess, NewAccess, OpenedSource,
    RemovalRow, SourceRow,
};
pub use agreements::{
    AgreementRow, ConfirmWithdrawal, HalfChange, HalfOutcome, HalfRow, HalfScope, Job, JobId, JobKind,
    NewJob, PartialWithdrawals, UnitChange, UnitStateOutcome, WithdrawalRow, WithdrawalState,
};
pub use alerts::{
    AlertId, AlertKind, AlertQuery, AlertRow, AlertState, AlertsOf, HandOff, HandedOff, NewAlert, ReviewRow,
    Target,
};
pub use audit::{EntryKeys, EntryQuery, EntryRow, ErasePersonal, NewEntry, ToldStretches, WrongStretch};
pub use deployment::Deployment;
pub use emergencies::{EmergencyRow, OpenEmergency};
pub use index_sums::{IndexSums, SUMMED_ENTRIES};
pub(in crate::store) use log::logged_batch;
pub use log::{
    AppendGroup, CatchUpMove, CurrentRecord, CursorMove, Head, LogBatch, LogRow, Of, ReachMove,
    RecipientReceipt, RecordVersion, SubjectCount, WithdrawalReceipt, is_erased,
};
pub use patients::{
    ClaimChange, ClaimRow, Erased, JoinedNumbers, StandingWord, StandingWords, Stated, WordChange,
    WordOutcome, WordRow,
};
pub use people::{
    Certificate, IssuedToken, NewPerson, NewToken, NewUnit, PersonRow, Role, TokenHash, UnitKind, UnitRow,
    UnitState,
};
pub use subscriptions::{DeadLetterRow, Hello, PairState, Subscription};
pub use with::{Did, Enters, With};
