//! Consent as pure data and pure functions: no I/O, no clock, no async.

mod agreement;
mod book;
mod carrier;
mod consequence;
mod emergency;
mod gate;
#[cfg(test)]
mod gate_table;
mod patient;
mod patients;
mod shards;

pub use agreement::{CategorySet, GrantId, HalfTerms, Pair, Patients, Scope, Side};
pub use book::{Book, PairTerms, Verdict};
pub use carrier::{Carrier, Terms};
pub use consequence::{categories, differs, pairs_of_patient};
pub use emergency::Emergency;
pub use gate::{Consents, Decision, Party, Reason, Standing, decide};
pub use patient::{EmergencyWindow, PatientWord, Policy, prevails};
pub use patients::{Facts, UnitPatients};
