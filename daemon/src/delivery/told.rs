//! What one message tells its recipient, as the audit log has it.

use handfast_proto::{audit::Runs, v1::PerhapsCause};

use super::left_out::LeftOut;
use crate::{
    audit::{Disclosures, Stream},
    consent::Reason,
};

/// What the gate made of one message's amendments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Told {
    /// Versions that go.
    pub(super) versions: Runs,
    /// Records that are to be removed.
    pub(super) removals: Runs,
    /// What is withheld, and why.
    pub(super) withheld: Vec<(Reason, u64)>,
}

impl Told {
    /// Enters what is withheld. It is decided once and for all at the hand-over, and waits for no receipt.
    pub(super) fn enter_withheld(&mut self, stream: Stream, disclosures: &mut Disclosures) {
        for (reason, seq) in std::mem::take(&mut self.withheld) {
            disclosures.withheld(stream, reason, seq, seq);
        }
    }

    /// A job leaves out what is withheld: that is entered with its progress.
    pub(super) fn leave_out(&mut self, left_out: &mut LeftOut) {
        for (reason, seq) in std::mem::take(&mut self.withheld) {
            left_out.add(reason, seq);
        }
    }
}

/// What a message on its way will have told once the recipient has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OnItsWay {
    pub(super) stream: Stream,
    pub(super) versions: Runs,
    pub(super) removals: Runs,
    /// What its job left out up to where it is with this message.
    pub(super) left_out: LeftOut,
    /// Whether the recipient has all of it with this message: it is not a piece with more behind it.
    pub(super) whole: bool,
}

impl OnItsWay {
    /// Of what goes without a message: what was left out, where something was.
    pub(super) fn left_out(stream: Stream, left_out: LeftOut) -> Option<Box<Self>> {
        if left_out.is_empty() {
            return None;
        }
        Some(Box::new(Self {
            stream,
            versions: Runs::default(),
            removals: Runs::default(),
            left_out,
            whole: true,
        }))
    }

    /// Bytes of what was left out, which is as long as what was looked up and not as what goes.
    pub(super) fn weight(&self) -> usize {
        self.left_out.weight()
    }

    /// The recipient has made it durable.
    pub(super) fn received(&self, disclosures: &mut Disclosures) {
        if !self.whole {
            return;
        }
        for (first, last) in self.versions.iter() {
            disclosures.versions(self.stream, first, last);
        }
        for (first, last) in self.removals.iter() {
            disclosures.removals(self.stream, first, last);
        }
        self.left_out.enter(self.stream, disclosures);
    }

    /// Nobody knows whether the recipient has it, or will. A removal tells nothing, and what was left out is looked up
    /// again.
    pub(super) fn in_doubt(&self, cause: PerhapsCause, disclosures: &mut Disclosures) {
        for (first, last) in self.versions.iter() {
            disclosures.perhaps(self.stream, cause, first, last);
        }
    }
}
