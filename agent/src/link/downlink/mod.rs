//! The Subscribe stream: takes what other units share into the inbox, and tells the daemon what arrived,
//! what is durable, and what became of withdrawals and dead letters.

mod assemble;
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

pub use run::{DownlinkContext, run};
