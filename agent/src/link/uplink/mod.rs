//! Publishes what the outbox holds: the stream from this unit to the daemon.

mod run;
mod session;
mod window;

#[cfg(test)]
mod tests;

pub use run::{UplinkContext, run};
