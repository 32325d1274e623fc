//! The outbox: a unit's amendments on their way to the daemon, and the current version of each of its
//! records.

mod error;
mod handle;
mod model;
mod numbering;
mod patients;
mod reader;
mod rebase;
mod records;
mod schema;
mod shared;
mod summary;
mod take;
mod unit_of_work;
mod waiting;
mod writer;

#[cfg(test)]
mod tests;

pub use error::OutboxError;
pub use handle::Outbox;
pub use model::{
    DaemonHead, Disk, HeldRecord, Mark, OutboxLimits, Outcome, Position, Refusal, Summary, Unsent,
    WaitReason, Welcomed,
};
pub use numbering::Outgoing;
