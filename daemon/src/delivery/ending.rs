//! What was handed over under grants that end, and is not entered in the audit log yet: it is entered with the end
//! itself, because from then on the store keeps nothing of their streams that a start after a kill could go by.
//!
//! Invariants (A1): nothing more is handed over under a grant from the moment at which it is looked what is entered of
//! it; what is entered is never too little, and of what arrives after all the receipt is entered too.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use handfast_proto::v1::PerhapsCause;

use super::{drain::Which, fence::Fence, half_acts::ended_by, state::Inner};
use crate::{
    audit::{Disclosures, Scribe, Stream},
    consent::{Book, GrantId, Pair},
    ingest::Committer,
    store::{Did, Enters, HalfOutcome, NewEntry, StoreError},
};

/// Why it is not known of these whether they arrived.
const CAUSE: PerhapsCause = PerhapsCause::GrantEnded;

/// Closes grants ahead of the commit that ends them, and makes the entries for it.
pub(super) struct Ending {
    fence: Arc<Fence>,
    committer: Committer,
    scribe: Scribe,
    at: i64,
    ahead: Arc<AtomicBool>,
}

impl Inner {
    /// For a change that may end grants.
    pub(super) fn ending(&self, at: i64) -> Ending {
        Ending {
            fence: Arc::clone(&self.fence),
            committer: self.committer.clone(),
            scribe: self.scribe.clone(),
            at,
            ahead: Arc::clone(&self.ahead),
        }
    }

    /// A change was kept, or none is under way: the book is not ahead of the store.
    pub(super) fn is_abreast(&self) {
        self.ahead.store(false, Ordering::SeqCst);
    }

    /// A change failed. Where it is not known whether it was kept, what it was to end of `pairs` goes no more; and the
    /// book is read again before the next change, also where grants were closed for an end that was not kept.
    pub(super) fn not_kept(&self, error: &StoreError, pairs: impl IntoIterator<Item = Pair>) {
        if matches!(error, StoreError::Failed(_)) {
            self.is_unsure(pairs);
        } else if self.ahead.load(Ordering::SeqCst) {
            self.is_unsure([]);
        }
    }
}

impl Ending {
    /// The entries of what the outcomes end.
    pub(super) fn of_outcomes(&self, outcomes: &[HalfOutcome]) -> Result<Vec<NewEntry>, StoreError> {
        let which = outcomes.iter().flat_map(ended_by);
        let ended: Vec<(Pair, GrantId)> = which
            .filter_map(|which| match which {
                Which::Grant(pair, grant) => Some((pair, grant)),
                _ => None,
            })
            .collect();
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.close(&ended).entries(&self.scribe, self.at);
        entries.map_err(|error| StoreError::Failed(error.to_string()))
    }

    /// Has nothing more go under these grants; what went and is not entered.
    fn close(&self, ended: &[(Pair, GrantId)]) -> Disclosures {
        self.ahead.store(true, Ordering::SeqCst);
        let without = |book: &Book| {
            let one = |book: Book, (pair, grant): &(Pair, GrantId)| book.ended(*pair, *grant);
            ended.iter().fold(book.clone(), one)
        };
        self.fence.swap(without, &[]);
        let is_meant = |stream: &Stream| ended.contains(&(stream.pair, stream.grant));
        let mut unentered = Disclosures::default();
        let mut recipients: Vec<_> = ended.iter().map(|(pair, _)| pair.recipient).collect();
        recipients.sort_unstable();
        recipients.dedup();
        for subscriber in recipients.into_iter().flat_map(|of| self.fence.of(of)) {
            unentered.merge(subscriber.ledger.unreceipted(CAUSE, is_meant));
        }
        // After the ledgers: what leaves one is here by then.
        unentered.merge(self.committer.unentered(CAUSE, is_meant));
        unentered
    }
}

impl Enters for Ending {
    fn entries(&self, did: Did<'_>) -> Result<Vec<NewEntry>, StoreError> {
        match did {
            Did::Pairs(outcomes) => self.of_outcomes(outcomes),
            Did::Words(_) => Ok(Vec::new()),
        }
    }
}
