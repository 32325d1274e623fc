//! What the sources send: synthetic patients, FHIR resources made from templates, and each source's stream of
//! them. The same plan, seed and source always give the same bytes.

mod catalogue;
mod filler;
mod lives;
mod patients;
mod stamp;
mod stream;
mod template;

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod stream_tests;

pub use patients::Patients;
pub use stamp::{Forged, Stamp, read, unchecked};
pub use stream::{Meta, Stream};
