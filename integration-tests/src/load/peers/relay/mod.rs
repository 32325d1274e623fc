//! A bare relay: what gRPC over mutual TLS and a synced log cost by themselves, without anything that Handfast
//! adds.

mod keys;
mod log;
mod peer;
mod server;
mod service;

pub(super) use peer::Relay;
pub use server::{RelayServerOptions, relay_server};
