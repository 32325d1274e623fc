//! Consent as pure data and pure functions: no I/O, no clock, no async.

mod agreement;
mod allowed;
#[cfg(test)]
mod allowed_tests;
mod book;
#[cfg(test)]
mod book_tests;
mod carrier;
#[cfg(test)]
mod carrier_tests;
mod consequence;
#[cfg(test)]
mod consequence_tests;
mod emergency;
mod gate;
#[cfg(test)]
mod gate_rows;
#[cfg(test)]
mod gate_table;
mod patient;
mod patients;
#[cfg(test)]
mod sample;
mod shards;

pub use agreement::{CategorySet, GrantId, HalfTerms, Pair, Patients, Scope, Side};
pub use allowed::Verdict;
pub use book::{Book, PairTerms};
pub use carrier::{Carrier, Known, Terms};
pub use consequence::{
    Difference, categories, of_patient, of_terms, of_terms_in_emergency, pairs_of_patient,
};
pub use emergency::Emergency;
pub use gate::{Consents, Decision, Party, Reason, Standing, decide};
pub use patient::{EmergencyWindow, PatientWord, Policy, prevails};
pub use patients::{Facts, UnitPatients};
