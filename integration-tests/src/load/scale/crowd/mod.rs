//! A process of its own with the links of many idle agents: as many files as one process may have open are too
//! few for all of them.

mod counts;
mod keep;
mod link;
mod process;

pub use process::{CrowdOptions, crowd};

pub(super) use counts::Counts;
pub(super) use process::Crowd;
