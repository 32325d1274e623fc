//! The daemon: it forwards each amendment to another unit only where both hands are joined.

pub mod clock;
pub mod config;
pub mod consent;
pub mod ctl;
pub mod delivery;
pub mod enrolment;
pub mod grpc;
pub mod ingest;
pub mod random;
pub mod sharing;
pub mod store;
pub mod telemetry;
