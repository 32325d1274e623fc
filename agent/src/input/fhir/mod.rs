//! A local HTTP endpoint that speaks FHIR R4, as a clinical system expects of a FHIR server.

mod answer;
mod bundle;
mod capability;
mod intake;
mod listen;
mod request;
mod resource;
mod run;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use run::{FhirInput, FhirSettings};
