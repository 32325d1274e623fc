//! FHIR R4 JSON, read into changes of records.

mod audit_event;
mod bundle;
mod canonical;
mod category;
mod change;
mod consent;
mod consent_actors;
mod consent_manner;
mod copied;
mod fault;
mod meta;
mod parse;
mod patient;
mod privacy;
mod reference;
mod retraction;
mod rewrite;
mod said;
mod when;

#[cfg(test)]
mod audit_event_tests;
#[cfg(test)]
mod canonical_tests;
#[cfg(test)]
mod consent_tests;

pub use bundle::{Bundle, BundleType, Entry};
pub use canonical::{content_digest, copy_digest};
pub use category::category;
pub use change::{Change, Content, Expected, NumberStanding, PatientFacts, PatientLink, Version};
pub use copied::{about_id, derived_id, is_derived_id};
pub use fault::Fault;
pub use parse::{Codec, Document};
pub use privacy::{PrivateCodes, PrivateCodesError};
pub use rewrite::{RewriteError, rewrite};
pub use said::{ConsentNote, ConsentSays, ConsentWord, Said, ViewSaid};

/// The media type of a FHIR resource in JSON (FHIR R4, "HTTP": MIME types).
pub const FHIR_JSON: &str = "application/fhir+json";

/// The identifier system of NHS numbers (NHS England, "Personal demographics", FHIR UK Core).
pub const NHS_NUMBER_SYSTEM: &str = "https://fhir.nhs.uk/Id/nhs-number";
