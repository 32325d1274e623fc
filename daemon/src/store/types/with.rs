//! What goes into a change's own transaction beside the change: the reconcile jobs that follow from it, and
//! its entries in the audit log.

use super::{agreements::NewJob, audit::NewEntry};

/// What goes into a change's own transaction.
#[derive(Clone, Debug, Default)]
pub struct With {
    /// Entered in order, once the change itself is done.
    pub jobs: Vec<NewJob>,
    /// Entered in order.
    pub audit: Vec<NewEntry>,
}

impl With {
    /// The change alone.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Only entries in the audit log.
    pub fn audit(audit: Vec<NewEntry>) -> Self {
        Self {
            audit,
            ..Self::default()
        }
    }
}
