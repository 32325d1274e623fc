//! The outbox: a unit's amendments on their way to the daemon, and the current version of each of its
//! records.

mod again;
mod error;
mod handle;
mod jobs;
mod model;
mod numbering;
mod own;
mod patients;
mod reader;
mod rebase;
mod records;
mod say;
mod schema;
mod settle;
mod shared;
mod statements;
mod summary;
mod take;
mod unit_of_work;
mod waiting;
mod words;
mod writer;

#[cfg(test)]
mod tests;

pub use error::OutboxError;
pub use handle::Outbox;
pub use model::{
    DaemonHead, Disk, HeldRecord, Mark, OutboxLimits, Outcome, Position, Refusal, StatementCounts, Summary,
    Unsent, WaitReason, Welcomed,
};
pub use numbering::Outgoing;
pub use words::CopysWord;
