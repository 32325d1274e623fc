//! Where a unit's changes come from: connectors that hand them to the outbox.

mod api;
mod copies;
mod directory;
mod fhir;
mod take;

#[cfg(test)]
mod copies_tests;

pub use api::{Input, InputContext, InputError};
pub use directory::{DirectoryInput, DirectorySettings};
pub use fhir::{FhirInput, FhirSettings};
