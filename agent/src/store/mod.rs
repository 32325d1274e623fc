//! What the agent keeps on disk.

pub mod inbox;
