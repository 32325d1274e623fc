//! FHIR R4 JSON, read into changes of records.

mod bundle;
mod canonical;
mod category;
mod change;
mod fault;
mod meta;
mod parse;
mod patient;
mod privacy;
mod reference;
mod retraction;

pub use bundle::{Bundle, BundleType, Entry};
pub use category::category;
pub use change::{Change, Content, Expected, NumberStanding, PatientFacts, PatientLink, Version};
pub use fault::Fault;
pub use parse::{Codec, Document};
pub use privacy::{PrivateCodes, PrivateCodesError};

/// The media type of a FHIR resource in JSON (FHIR R4, "HTTP": MIME types).
pub const FHIR_JSON: &str = "application/fhir+json";

/// The identifier system of NHS numbers (NHS England, "Personal demographics", FHIR UK Core).
pub const NHS_NUMBER_SYSTEM: &str = "https://fhir.nhs.uk/Id/nhs-number";
