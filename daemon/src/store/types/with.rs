//! What goes into a change's own transaction beside the change: the reconcile jobs that follow from it, and
//! its entries in the audit log.

use std::{fmt, sync::Arc};

use super::{
    accesses::AccessEnded,
    agreements::{HalfOutcome, NewJob, UnitStateOutcome},
    audit::NewEntry,
    patients::WordOutcome,
};
use crate::store::StoreError;

/// What a change turned out to do, while its transaction is open.
#[derive(Clone, Copy, Debug)]
pub enum Did<'d> {
    /// To the grants of pairs.
    Pairs(&'d [HalfOutcome]),
    /// To patients' words: one outcome a word.
    Words(&'d [WordOutcome]),
}

impl<'d> From<&'d HalfOutcome> for Did<'d> {
    fn from(outcome: &'d HalfOutcome) -> Self {
        Self::Pairs(std::slice::from_ref(outcome))
    }
}

impl<'d> From<&'d Vec<HalfOutcome>> for Did<'d> {
    fn from(outcomes: &'d Vec<HalfOutcome>) -> Self {
        Self::Pairs(outcomes)
    }
}

impl<'d> From<&'d UnitStateOutcome> for Did<'d> {
    fn from(outcome: &'d UnitStateOutcome) -> Self {
        Self::Pairs(&outcome.pairs)
    }
}

impl<'d> From<&'d AccessEnded> for Did<'d> {
    fn from(ended: &'d AccessEnded) -> Self {
        Self::Pairs(&ended.outcomes)
    }
}

impl<'d> From<&'d Vec<WordOutcome>> for Did<'d> {
    fn from(outcomes: &'d Vec<WordOutcome>) -> Self {
        Self::Words(outcomes)
    }
}

/// Makes the entries that depend on what a change turned out to do.
pub trait Enters: Send + Sync {
    /// Those entries, in order.
    fn entries(&self, did: Did<'_>) -> Result<Vec<NewEntry>, StoreError>;
}

/// What goes into a change's own transaction.
#[derive(Clone, Default)]
pub struct With {
    /// Entered in order, once the change itself is done.
    pub jobs: Vec<NewJob>,
    /// Entered in order.
    pub audit: Vec<NewEntry>,
    /// Makes what is entered behind those. Asked only by changes that do something to grants or words.
    pub enters: Option<Arc<dyn Enters>>,
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

    /// The same, with entries that depend on what the change turns out to do.
    #[must_use]
    pub fn and(self, enters: impl Enters + 'static) -> Self {
        Self {
            enters: Some(Arc::new(enters)),
            ..self
        }
    }
}

impl fmt::Debug for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("With")
            .field("jobs", &self.jobs)
            .field("audit", &self.audit)
            .field("enters", &self.enters.is_some())
            .finish()
    }
}
