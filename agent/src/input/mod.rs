//! Where a unit's changes come from: connectors that hand them to the outbox.

mod api;
mod directory;
mod fhir;

pub use api::{Input, InputContext, InputError};
pub use directory::{DirectoryInput, DirectorySettings};
pub use fhir::{FhirInput, FhirSettings};
