//! How clinical systems write what they recorded. No I/O, no clock.

pub mod fhir;
