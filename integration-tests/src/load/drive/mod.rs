//! The units of a load: their sources and recipients speak the agents' protocol, their administrators call the
//! services that people use. What they do is what the plan says, at its times, and is written down for the checker.

mod batches;
mod changes;
mod crowd;
mod drops;
mod full;
mod loaded;
mod offices;
mod pacer;
mod pieces;
mod recipient;
mod source;
mod unworkable;

pub(in crate::load) use changes::{dissent, toggle};
pub(in crate::load) use crowd::{Agent, Crowd, delay};
pub(in crate::load) use loaded::{loaded_layout, record_words};
pub(in crate::load) use offices::{Calls, Offices};
use unworkable::Unworkable;
