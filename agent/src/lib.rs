//! Handfast's agent: stands beside a unit's clinical system, turns its changes into amendments, and takes
//! in what other units share with it.
//!
//! Imports run one way: `input`, `output`, `link` → `codec`, `store` → `handfast_proto`. Connectors and
//! link meet only in the outbox and the inbox.

pub mod app;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod enrol;
pub mod identity;
pub mod input;
pub mod lifecycle;
pub mod link;
pub mod output;
pub mod retry;
pub mod status;
pub mod store;
pub mod telemetry;
