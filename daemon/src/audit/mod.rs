//! The audit log: what is entered, by whom, for whom to see, and the tree over it.

mod actor;
mod check;
mod check_index;
mod check_stretches;
mod collected;
pub mod events;
mod index;
mod key_file;
mod keys;
mod log;
mod parts;
mod refusals;
mod scribe;
mod sight;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tree;
#[cfg(test)]
mod tree_tests;
mod wire;

pub use actor::Actor;
pub use check::{CheckError, Checked, check_log};
pub use check_index::check_index;
pub use check_stretches::check_stretches;
pub use collected::{Disclosures, Stream};
pub use index::AuditIndex;
pub use key_file::{new_audit_key, read_audit_key};
pub use log::{AuditLog, EnterError};
pub use parts::{Event, Parts};
pub use refusals::{Refusals, RefusalsTask, refusals};
pub use scribe::{NotEntered, Scribe};
pub use sight::{FOR_EVERYONE, Reader, Sight, shown};
pub use tree::{AuditTree, TreeError};
pub use wire::withheld_reason;
