//! The benchmark: how many amendments become durable and are delivered, how quickly, and what that costs
//! the daemon. Not a timed test: it reports.

mod agents;
mod flood;
mod latency;
mod report;
mod run;
mod sink;

pub use report::{Figures, print_table};
pub use run::{Plan, run};
