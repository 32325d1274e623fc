//! What a job leaves out because the gate withholds it, on its way into the audit log.
//!
//! Invariants: it goes in with the progress of its job, so that a job that is taken up again enters nothing twice and
//! leaves nothing out; what waits is bounded, by the records that are looked up at once and by the credit.

use std::collections::VecDeque;

use handfast_proto::audit::Runs;

use crate::{
    audit::{Disclosures, Stream},
    consent::Reason,
};

/// Bytes that a run takes while it waits, about.
const RUN_BYTES: usize = 16;

/// Seqs that were left out, by reason.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LeftOut(Vec<(Reason, Runs)>);

impl LeftOut {
    /// Adds one; cheap where they rise.
    pub(super) fn add(&mut self, reason: Reason, seq: u64) {
        let known = self.0.iter_mut().find(|(of, _)| *of == reason);
        match known {
            Some((_, runs)) => runs.insert(seq, seq),
            None => self.0.push((reason, Runs::of(seq, seq))),
        }
    }

    /// Takes those up to `through` from the front of what was looked up.
    pub(super) fn take(waiting: &mut VecDeque<(u64, Reason)>, through: u64) -> Self {
        let mut taken = Self::default();
        while let Some((seq, reason)) = waiting.pop_front_if(|(seq, _)| *seq <= through) {
            taken.add(reason, seq);
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that it takes while it waits.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|(_, runs)| runs.len() * RUN_BYTES).sum()
    }

    /// Enters it as withheld.
    pub(super) fn enter(&self, stream: Stream, disclosures: &mut Disclosures) {
        for (reason, runs) in &self.0 {
            for (first, last) in runs.iter() {
                disclosures.withheld(stream, *reason, first, last);
            }
        }
    }
}
