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

    /// Whether there is nothing beside the change.
    pub fn is_nothing(&self) -> bool {
        self.jobs.is_empty() && self.audit.is_empty()
    }

    /// Only entries in the audit log.
    pub fn audit(audit: Vec<NewEntry>) -> Self {
        Self {
            audit,
            ..Self::default()
        }
    }
}
