//! Cursor moves, the progress of jobs, receipts, how far streams may be handed over and what is to be entered of disclosures, waiting for the next
//! commit. Merged as they come, so what waits is bounded by the number of pairs, jobs and recipients.
//!
//! Invariant (A1): a disclosure is entered with the cursor that records its receipt.

use std::{collections::HashMap, sync::Arc};

use handfast_proto::ids::OdsCode;

use super::reach::{Reach, Stretch};
use crate::{
    audit::{Disclosures, NotEntered, Scribe},
    consent::{GrantId, Pair},
    store::{AppendGroup, CatchUpMove, CursorMove, JobId, RecipientReceipt, WithdrawalReceipt},
};

/// What a recipient made durable, on its way into the store.
#[derive(Debug, Default)]
pub struct Moves {
    cursors: HashMap<(Pair, GrantId), u64>,
    catch_ups: HashMap<JobId, CatchUpMove>,
    receipts: HashMap<OdsCode, RecipientReceipt>,
    withdrawals: HashMap<JobId, WithdrawalReceipt>,
    reaches: HashMap<(GrantId, Option<JobId>), (Arc<Reach>, Stretch)>,
    /// A feed waits for one of the reaches.
    urgent: bool,
    /// What was disclosed, withheld or is in doubt.
    pub disclosures: Disclosures,
}

impl Moves {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.cursors.is_empty()
            && self.catch_ups.is_empty()
            && self.receipts.is_empty()
            && self.withdrawals.is_empty()
            && self.reaches.is_empty()
            && self.disclosures.is_empty()
    }

    /// Only what is to be entered of disclosures.
    pub fn of_disclosures(disclosures: Disclosures) -> Self {
        Self {
            disclosures,
            ..Self::default()
        }
    }

    /// Only how far a stream may be handed over; `urgent`: a feed waits for it.
    pub(super) fn of_reach(reach: Arc<Reach>, stretch: Stretch, urgent: bool) -> Self {
        Self {
            reaches: HashMap::from([(reach.of(), (reach, stretch))]),
            urgent,
            ..Self::default()
        }
    }

    /// A cursor goes forward.
    pub fn cursor(&mut self, pair: Pair, grant: GrantId, seq: u64) {
        let at = self.cursors.entry((pair, grant)).or_default();
        *at = seq.max(*at);
    }

    /// A job goes forward.
    pub fn catch_up(&mut self, to: CatchUpMove) {
        let at = self.catch_ups.entry(to.job).or_insert(to);
        at.through = at.through.max(to.through);
        at.complete |= to.complete;
    }

    /// A recipient's inbox made messages durable.
    pub fn receipt(&mut self, receipt: RecipientReceipt) {
        let at = self.receipts.entry(receipt.recipient).or_insert(receipt);
        if (receipt.session, receipt.durable) > (at.session, at.durable) {
            *at = receipt;
        }
    }

    /// A withdrawal is in the recipient's inbox.
    pub fn withdrawal(&mut self, receipt: WithdrawalReceipt) {
        let at = self.withdrawals.entry(receipt.job).or_insert(receipt);
        at.session = at.session.max(receipt.session);
    }

    /// The cursors that go forward.
    pub fn cursors(&self) -> impl Iterator<Item = (Pair, GrantId, u64)> {
        self.cursors
            .iter()
            .map(|((pair, grant), seq)| (*pair, *grant, *seq))
    }

    /// The jobs of which the recipient has the end.
    pub fn jobs_over(&self) -> impl Iterator<Item = JobId> {
        self.catch_ups.values().filter(|to| to.complete).map(|to| to.job)
    }

    /// Whether a feed stands still until it is committed.
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// They were committed.
    pub(super) fn are_committed(&self) {
        self.reaches
            .values()
            .for_each(|(reach, stretch)| reach.is_committed(*stretch));
    }

    /// Whether somebody waits for it: a feed, or who asked for a job or a withdrawal of which the recipient has the end.
    pub(super) fn is_awaited(&self) -> bool {
        !self.withdrawals.is_empty() || !self.reaches.is_empty() || self.jobs_over().next().is_some()
    }

    /// Adds what came later.
    pub fn merge(&mut self, later: Self) {
        for ((pair, grant), seq) in later.cursors {
            self.cursor(pair, grant, seq);
        }
        later.catch_ups.into_values().for_each(|to| self.catch_up(to));
        later
            .receipts
            .into_values()
            .for_each(|receipt| self.receipt(receipt));
        later
            .withdrawals
            .into_values()
            .for_each(|receipt| self.withdrawal(receipt));
        // A later one of the same subscription holds the earlier; of an earlier subscription the doubt is entered.
        self.reaches.extend(later.reaches);
        self.urgent |= later.urgent;
        self.disclosures.merge(later.disclosures);
    }

    /// Puts everything into a commit, with the entries of the audit log. Where none can be made, nothing of it
    /// may be committed.
    pub(crate) fn write_into(&self, group: &mut AppendGroup, scribe: &Scribe) -> Result<(), NotEntered> {
        let cursor = |((pair, grant), seq): (&(Pair, GrantId), &u64)| CursorMove {
            pair: *pair,
            grant: *grant,
            seq: *seq,
        };
        group.cursors = self.cursors.iter().map(cursor).collect();
        group.catch_ups = self.catch_ups.values().copied().collect();
        group.receipts = self.receipts.values().copied().collect();
        group.withdrawals_received = self.withdrawals.values().copied().collect();
        group.reaches = self
            .reaches
            .values()
            .map(|(reach, stretch)| reach.moved(*stretch))
            .collect();
        group
            .with
            .audit
            .extend(self.disclosures.entries(scribe, group.at)?);
        Ok(())
    }
}
