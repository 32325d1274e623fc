//! What the agent keeps on disk.

pub mod inbox;
pub mod outbox;
mod room;
