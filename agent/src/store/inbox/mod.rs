//! The inbox: what this unit holds of other units' records, durable in one SQLite file, and the queue of
//! changes for its outputs.

mod apply;
mod columns;
mod echo;
mod edges;
mod error;
mod feed;
mod fold;
mod letters;
mod model;
mod open;
mod outputs;
mod rule;
mod state;
mod summary;
mod target;
mod withdrawals;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod withdrawals_tests;

pub use echo::{CopyOf, HeldCopy};
pub use error::InboxError;
pub use feed::{OutputRow, Progress};
pub use letters::{Letter, LetterOp, LetterState, NewLetter};
pub use model::{
    Applied, Change, ChangeOp, Current, Group, HeldHead, HeldRecord, InboxLimits, Incoming, Message,
    OutputSpec, Violation,
};
pub use open::Inbox;
pub use state::Hello;
pub use summary::{InboxSummary, OutputBacklog, SourceSummary};
pub use withdrawals::Confirmation;
