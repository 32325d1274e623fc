//! Where what other units share is written to: connectors to this unit's own systems, each behind the
//! trait [`Output`], each with a place of its own in the inbox's queue.

pub mod directory;
pub mod fhir;
mod model;
mod runner;
mod telling;

pub use model::{Output, Pause, Step};
pub use runner::run;
