//! The commands on the audit log.

mod entry;
mod explain;
mod export;
mod fhir;
mod fhir_parts;
#[cfg(test)]
mod fhir_tests;
mod head;
mod kinds;
mod report;
mod report_html;
mod report_json;
mod run;
mod search;
mod verify;

pub(in crate::ctl) use kinds::KindArg;
pub(in crate::ctl) use run::{run, verify_offline};
