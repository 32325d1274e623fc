//! The daemon: it forwards each amendment to another unit only where both hands are joined.

pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consent;
pub mod ctl;
pub mod delivery;
pub mod enrolment;
pub mod grpc;
pub mod hand_off;
pub mod ingest;
pub mod init;
pub mod lifecycle;
pub mod operator;
pub mod random;
pub mod sharing;
pub mod state_dir;
pub mod store;
pub mod telemetry;
