//! Reading the audit log: searching, explaining, reporting, exporting, erasing and proving.

mod desk;
mod ends;
mod entries;
mod erase;
mod explain;
mod export;
mod handed;
mod pages;
mod patients;
mod purposes;
mod received;
mod report;
#[cfg(test)]
mod tests;
mod token;

pub use desk::AuditDesk;
pub use entries::{Found, Search, SeenEntry};
pub use explain::{Explained, ExplainedRecord, RecordEvent, Standing};
pub use export::{ExportedEntry, Wanted};
pub use handed::HandedOver;
pub use report::{PatientReport, ReportedEvent, ReportedSending, ReportedView};
