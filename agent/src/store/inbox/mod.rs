//! The inbox: what this unit holds of other units' records, durable in one SQLite file, and the queue of
//! changes for its outputs.

mod absent;
mod apply;
mod columns;
mod echo;
mod edges;
mod error;
mod feed;
mod fold;
mod heads;
mod job;
mod letters;
mod model;
mod notice;
mod open;
mod outcome;
mod outputs;
mod pages;
mod purge;
mod removed;
mod rule;
mod source;
mod standing;
mod state;
mod summary;
mod sweep;
mod tag;
mod target;
mod tombstone;
mod withdrawals;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use echo::{CopyOf, HeldCopy};
pub use error::InboxError;
pub use feed::{OutputRow, Progress};
pub use heads::{Alarm, HeadStanding, KeptHead};
pub use letters::{Letter, LetterOp, LetterState, NewLetter};
pub use model::{
    Applied, Change, ChangeOp, Current, Grant, Group, HeldHead, HeldRecord, InboxLimits, Incoming, Message,
    OutputSpec, Scope, Violation,
};
pub use notice::{Notice, NoticeCode, NoticeReason};
pub use open::Inbox;
pub use standing::{About, category_name};
pub use state::Hello;
pub use summary::{InboxSummary, OutputBacklog, SourceSummary};
pub use withdrawals::{Confirmation, Confirmations};
