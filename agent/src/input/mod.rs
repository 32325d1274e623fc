//! Where a unit's changes come from: connectors that hand them to the outbox.

mod api;
mod copies;
mod directory;
mod fhir;
mod following;
mod take;

#[cfg(test)]
mod copies_testing;
#[cfg(test)]
mod copies_tests;
#[cfg(test)]
mod late_copies_tests;
#[cfg(test)]
mod words_tests;

pub use api::{Input, InputContext, InputError};
pub use directory::{DirectoryInput, DirectorySettings};
pub use fhir::{FhirInput, FhirSettings};
pub use following::follow_copies;
