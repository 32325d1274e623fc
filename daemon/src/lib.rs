//! The daemon: it forwards each amendment to another unit only where both hands are joined.

pub mod clock;
pub mod consent;
pub mod delivery;
pub mod ingest;
pub mod sharing;
pub mod store;
