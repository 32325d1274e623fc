//! Output `fhir`: keeps a FHIR server in step, under ids of Handfast's own making.

mod about;
mod client;
mod credentials;
mod outcome;
mod output;
mod patience;
mod tls;
mod work;

#[cfg(test)]
mod about_tests;
#[cfg(test)]
mod letters_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

pub use output::{FhirOutput, FhirSettings};
