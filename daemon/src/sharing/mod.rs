//! The acts of people and units: authorise, commit, fence.

mod caller;

pub use caller::Caller;
