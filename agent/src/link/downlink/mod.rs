//! The Subscribe stream: takes what other units share into the inbox, and tells the daemon what arrived,
//! what is durable, and what became of withdrawals and dead letters.

mod assemble;
mod heads;
mod outbound;
mod queue;
mod report;
mod run;
mod session;
mod translate;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod told_tests;

pub use run::{DownlinkContext, run};
