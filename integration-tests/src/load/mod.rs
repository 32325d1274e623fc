//! `handfast-load`: drives a real daemon, checks what arrives while it measures, and reports; and gives others
//! the same work.

pub mod data;
mod outcome;
pub mod plan;
pub mod report;

pub use outcome::{
    DaemonUse, FORMAT, Latency, MAX_CURVE_POINTS, MAX_FINDINGS, Machine, Outcome, Second, Spread,
};
