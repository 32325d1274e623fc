//! Consent as pure data and pure functions: no I/O, no clock, no async.

mod agreement;
mod book;
mod gate;
#[cfg(test)]
mod gate_table;
mod patient;

pub use agreement::{CategorySet, GrantId, HalfTerms, Pair, Patients, Scope, Side};
pub use book::{Book, PairTerms, Verdict};
pub use gate::{Consents, Decision, Party, Reason, Standing, decide};
pub use patient::{EmergencyWindow, PatientWord, Policy};
