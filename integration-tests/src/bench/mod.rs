//! The benchmark: how many amendments become durable and are delivered, how quickly, and what that costs
//! the daemon; what it costs it to hold many consents; how quickly a half is turned. Not a timed test: it reports.

mod agents;
mod compare;
pub(crate) mod flood;
mod latency;
mod load;
mod report;
mod run;
pub(crate) mod sink;
mod stage;
mod toggle;

pub use compare::{Compared, compare_loaded, print_compared};
pub use load::LoadFigures;
pub use report::{Figures, Report, print_report};
pub use run::{Plan, run};
pub use toggle::{Calls, ToggleFigures};
