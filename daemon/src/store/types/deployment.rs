//! What was chosen when a deployment was made. Times are milliseconds since 1970-01-01T00:00:00Z.

use crate::consent::{Patients, Policy};

/// What was chosen when the deployment was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployment {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Whether it was made for synthetic data only.
    pub test: bool,
    /// What is asked of patients.
    pub policy: Policy,
    /// In which zone its days are, as the IANA time zone database names it.
    pub zone: String,
    /// Whose records a half lets through that is set for the first time and does not say.
    pub default_patients: Patients,
    /// Whether the operator may set any half.
    pub operator_sets_halves: bool,
    /// When it was made.
    pub made_at: i64,
}
