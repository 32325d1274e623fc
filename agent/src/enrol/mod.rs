//! How an agent comes by its identity, once, with a token, and how it keeps it.

mod pinned;
mod renew;
mod run;

pub use renew::Renewal;
pub use run::{EnrolError, Enrolment, enrol};
