//! What a run is: units and who shares with whom, what they send and how often, and what changes meanwhile.
//! Read from flags or from a scenario's TOML, and checked before anything starts. No I/O but reading that file.

mod bounds;
mod check;
mod curve;
mod flags;
mod model;
mod random;
mod rate;
mod topology;

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod topology_tests;

pub use bounds::*;
pub use flags::Flags;
pub use model::{Agents, Changes, Data, Loaded, Mix, Payload, Plan, Sabotage, Slow};
pub use random::SplitMix64;
pub(in crate::load) use random::{mix, scaled};
pub use rate::{Rate, Schedule};
pub use topology::{Layout, Topology, Unit};
