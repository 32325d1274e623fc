//! Moves that wait for a commit. While batches flow there is a commit every few milliseconds, and one that moved
//! the same cursors and entered the same grants each time would cost more than the batches in it.
//!
//! Invariants: nothing waits longer than [`MOVES_LINGER`] for a commit to begin, and what a job or a withdrawal
//! came to, and how far a stream may go, with the very next; what is taken out is committed as a whole, so that a disclosure is entered with
//! the cursor that records its receipt (A1). What waits is not in force: after a crash it counts as never received.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::moves::Moves;
use crate::audit::Disclosures;

/// How long moves wait for others, and for a batch to travel with.
pub(super) const MOVES_LINGER: Duration = Duration::from_millis(50);

/// Moves that wait, or are being committed.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    moves: Moves,
    /// Those of the commit that is under way: until it is over nobody knows whether they are entered.
    committing: Option<Arc<Moves>>,
    /// When the first of them is to be committed; `None` where there are none.
    due: Option<Instant>,
    /// They go with the next batch, however soon that comes.
    awaited: bool,
}

impl Waiting {
    /// Adds what came later.
    pub(super) fn add(&mut self, moves: Moves, now: Instant) {
        if moves.is_empty() {
            return;
        }
        let due = if moves.is_urgent() {
            now
        } else {
            now + MOVES_LINGER
        };
        self.due = Some(self.due.map_or(due, |first| first.min(due)));
        self.awaited |= moves.is_awaited();
        self.moves.merge(moves);
    }

    /// When they are to be committed even where there is no batch.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Runs of seqs that are to be entered.
    pub(super) fn runs(&self) -> usize {
        self.moves.disclosures.runs()
    }

    /// What goes with a commit of batches, or (`alone`) with one of moves only: all, or nothing where it may wait
    /// for more.
    pub(super) fn take(&mut self, alone: bool, now: Instant) -> Arc<Moves> {
        let may_wait = self.due.is_none_or(|due| now < due) && !self.awaited;
        if may_wait && !alone {
            return Arc::default();
        }
        let taken = Arc::new(std::mem::take(self).moves);
        self.committing = (!taken.is_empty()).then(|| Arc::clone(&taken));
        taken
    }

    /// What was taken is committed.
    pub(super) fn are_committed(&mut self) {
        self.committing = None;
    }

    /// What was taken was not committed, or nobody knows whether it was.
    pub(super) fn put_back(&mut self, now: Instant) {
        let taken = self.committing.take().and_then(Arc::into_inner);
        let later = std::mem::take(self);
        self.add(taken.unwrap_or_default(), now);
        self.add(later.moves, now);
    }

    /// What is to be entered of disclosures and is not, as far as is known.
    pub(super) fn disclosures(&self) -> impl Iterator<Item = &Disclosures> {
        let all = self.committing.iter().map(AsRef::as_ref).chain([&self.moves]);
        all.map(|moves| &moves.disclosures)
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::PerhapsCause;

    use super::*;
    use crate::{
        audit::Stream,
        consent::{GrantId, Pair},
        store::{JobId, WithdrawalReceipt},
    };

    fn cursor(seq: u64) -> Moves {
        let mut moves = Moves::default();
        moves.cursor(stream().pair, GrantId(1), seq);
        moves
    }

    fn stream() -> Stream {
        let pair = Pair {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00102".parse().unwrap(),
        };
        Stream {
            pair,
            grant: GrantId(1),
            job: None,
        }
    }

    fn received(first: u64, last: u64) -> Moves {
        let mut disclosures = Disclosures::default();
        disclosures.versions(stream(), first, last);
        Moves::of_disclosures(disclosures)
    }

    fn seqs(moves: &Moves) -> Vec<u64> {
        moves.cursors().map(|(_, _, seq)| seq).collect()
    }

    #[test]
    fn moves_wait_for_one_another_but_not_for_long() {
        let begun = Instant::now();
        let mut waiting = Waiting::default();
        assert_eq!(waiting.due(), None);
        waiting.add(cursor(3), begun);
        waiting.add(cursor(5), begun + MOVES_LINGER / 2);
        assert_eq!(
            waiting.due(),
            Some(begun + MOVES_LINGER),
            "from the first of them on"
        );
        assert!(waiting.take(false, begun + MOVES_LINGER / 2).is_empty());
        assert_eq!(seqs(&waiting.take(false, begun + MOVES_LINGER)), [5]);
        assert_eq!(waiting.due(), None);
        assert!(waiting.take(true, begun).is_empty());
    }

    #[test]
    fn what_is_awaited_goes_with_the_next_batch_and_takes_the_rest_along() {
        let begun = Instant::now();
        let mut waiting = Waiting::default();
        waiting.add(cursor(3), begun);
        let mut withdrawn = Moves::default();
        withdrawn.withdrawal(WithdrawalReceipt {
            job: JobId(7),
            recipient: "Z00102".parse().unwrap(),
            session: 1,
        });
        waiting.add(withdrawn, begun);
        assert_eq!(seqs(&waiting.take(false, begun)), [3]);
        waiting.add(cursor(4), begun);
        assert!(
            waiting.take(false, begun).is_empty(),
            "and nothing is awaited any more"
        );
    }

    #[test]
    fn what_is_being_committed_is_not_entered_yet() {
        let begun = Instant::now();
        let mut waiting = Waiting::default();
        let seqs = |waiting: &Waiting| {
            let mut all = Disclosures::default();
            let each = waiting.disclosures();
            each.for_each(|d| all.merge(d.as_perhaps(PerhapsCause::GrantEnded, |_| true)));
            all
        };
        let of = |first, last| {
            let mut disclosures = Disclosures::default();
            disclosures.perhaps(stream(), PerhapsCause::GrantEnded, first, last);
            disclosures
        };
        waiting.add(received(1, 2), begun);
        drop(waiting.take(true, begun));
        waiting.add(received(3, 4), begun);
        assert_eq!(seqs(&waiting), of(1, 4));
        waiting.put_back(begun);
        assert_eq!(seqs(&waiting), of(1, 4));
        drop(waiting.take(true, begun));
        waiting.add(received(5, 5), begun);
        waiting.are_committed();
        assert_eq!(seqs(&waiting), of(5, 5));
    }

    #[test]
    fn what_was_not_committed_is_there_again_with_what_came_meanwhile() {
        let begun = Instant::now();
        let mut waiting = Waiting::default();
        waiting.add(cursor(3), begun);
        let failed = waiting.take(true, begun);
        waiting.add(cursor(4), begun);
        drop(failed);
        waiting.put_back(begun + MOVES_LINGER);
        assert_eq!(waiting.due(), Some(begun + 2 * MOVES_LINGER));
        assert_eq!(seqs(&waiting.take(true, begun)), [4]);
    }
}
