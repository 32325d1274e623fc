//! `handfast-load`: drives a real daemon, checks what arrives while it measures, and reports; and gives others
//! the same work.

mod check;
pub mod cli;
pub mod data;
mod drive;
mod interrupt;
mod outcome;
pub mod peers;
pub mod plan;
mod progress;
pub mod report;
mod run;
pub mod scale;
mod sum;
mod target;
mod watch;

pub use outcome::{
    DaemonUse, FORMAT, Latency, MAX_CURVE_POINTS, MAX_FINDINGS, Machine, Outcome, Second, Spread,
};
pub use run::{Options, run};
pub use target::Given;
