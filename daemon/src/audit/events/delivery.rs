//! What was handed over, may have been, and was withheld: sets of seqs, so that an amendment costs a fraction of
//! a byte.

use handfast_proto::{
    audit::Runs,
    v1::{self, PerhapsCause, audit_leaf::Event as Wire},
};

use crate::{
    audit::{
        parts::{Event, Parts},
        wire::{job_number, withheld_reason},
    },
    consent::{GrantId, Pair, Reason},
    store::JobId,
};

/// Amendments are durable at a recipient. Concerns both units.
#[derive(Debug)]
pub struct Disclosed<'c> {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// The reconcile job; `None`: live.
    pub job: Option<JobId>,
    /// Which seqs, as versions.
    pub runs: &'c Runs,
    /// Which seqs, as removals by record id alone.
    pub removals: &'c Runs,
}

impl Event for Disclosed<'_> {
    fn parts(&self) -> Parts {
        let event = v1::DisclosedEvent {
            grant: self.grant.0,
            job: job_number(self.job),
            runs: self.runs.to_wire(),
            removals: self.removals.to_wire(),
        };
        Parts::of(Wire::Disclosed(event)).pair(self.pair)
    }
}

/// Amendments were withheld although a grant was in force. Concerns the source alone: what is withheld from a
/// unit is not for it to know.
#[derive(Debug)]
pub struct Withheld<'c> {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// The reconcile job; `None`: live.
    pub job: Option<JobId>,
    /// Why, and which seqs.
    pub withheld: &'c [(Reason, Runs)],
}

impl Event for Withheld<'_> {
    fn parts(&self) -> Parts {
        let withheld = self.withheld.iter().map(|(reason, runs)| v1::WithheldRuns {
            reason: withheld_reason(*reason).into(),
            runs: runs.to_wire(),
        });
        let event = v1::WithheldEvent {
            grant: self.grant.0,
            job: job_number(self.job),
            withheld: withheld.collect(),
            recipient: self.pair.recipient.to_string(),
        };
        let mut parts = Parts::of(Wire::Withheld(event));
        parts.source = Some(self.pair.source);
        parts
    }
}

/// Amendments were handed over, or may have been, and it is not known whether they arrived. Concerns both
/// units.
#[derive(Debug)]
pub struct PerhapsDisclosed<'c> {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// The reconcile job; `None`: live.
    pub job: Option<JobId>,
    /// Which seqs.
    pub runs: &'c Runs,
    /// Why it is not known.
    pub cause: PerhapsCause,
}

impl Event for PerhapsDisclosed<'_> {
    fn parts(&self) -> Parts {
        let event = v1::PerhapsDisclosedEvent {
            grant: self.grant.0,
            job: job_number(self.job),
            runs: self.runs.to_wire(),
            cause: self.cause.into(),
        };
        Parts::of(Wire::PerhapsDisclosed(event)).pair(self.pair)
    }
}
