//! The audit log: what is entered, by whom, for whom to see, and the tree over it.

mod actor;
mod collected;
pub mod events;
mod parts;
mod scribe;
mod sight;
#[cfg(test)]
mod tests;
mod wire;

pub use actor::Actor;
pub use collected::{Disclosures, Stream};
pub use parts::{Event, Parts};
pub use scribe::{NotEntered, Scribe};
pub use sight::{Reader, Sight, shown};
