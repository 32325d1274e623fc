//! The running agent: the one place that puts its parts together.

mod inputs;
mod parts;
mod run;
mod status_file;

pub use run::{INBOX_FILE, OUTBOX_FILE, Start, run};
pub use status_file::{Report, STATUS_FILE};
