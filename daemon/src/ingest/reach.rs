//! How far a stream may be handed over: committed before anything up to there leaves, so that after an unclean end
//! what may have left is a stretch of the stream, not all that was due.
//!
//! Invariants (A1): nothing beyond what [`Reach::covers`] resolved for is handed over; a reach never goes back; while a
//! stream flows it is asked for long before it is used up, so that nothing waits for it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{committer::Committer, moves::Moves};
use crate::{
    consent::GrantId,
    store::{JobId, ReachMove},
};

/// Seqs that a reach goes beyond what it was asked for.
const REACH_SEQS: u64 = 32 * 1024;

/// Seqs that are left of it when more is asked for: what the fastest feed passes over in some commits.
const LEFT_SEQS: u64 = REACH_SEQS / 2;

/// From beyond which seq, and up to which, a stream may be handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) upto: u64,
}

impl Stretch {
    /// None of it.
    const NONE: Self = Self {
        from: u64::MAX,
        upto: 0,
    };

    fn covers(self, other: Self) -> bool {
        self.from <= other.from && other.upto <= self.upto
    }

    fn and(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            upto: self.upto.max(other.upto),
        }
    }
}

/// The reach of one stream on one subscription.
#[derive(Debug)]
pub struct Reach {
    grant: GrantId,
    job: Option<JobId>,
    asked: Mutex<Stretch>,
    committed: watch::Sender<Stretch>,
}

impl Reach {
    /// That of a grant's live feed, or of a job; nothing is committed of it yet, as far as is known.
    pub fn new(grant: GrantId, job: Option<JobId>) -> Arc<Self> {
        Arc::new(Self {
            grant,
            job,
            asked: Mutex::new(Stretch::NONE),
            committed: watch::Sender::new(Stretch::NONE),
        })
    }

    /// Asks for what is beyond `from` and up to `upto` to be committed, and for more where little is left beyond.
    pub fn ask(self: &Arc<Self>, from: u64, upto: u64, committer: &Committer) {
        let wanted = Stretch { from, upto };
        let with = |more: u64| Stretch {
            upto: upto.saturating_add(more),
            ..wanted
        };
        let asked = {
            let mut asked = self.asked.lock();
            if asked.covers(with(LEFT_SEQS)) {
                return;
            }
            *asked = asked.and(with(REACH_SEQS));
            *asked
        };
        let waits = !self.committed.borrow().covers(wanted);
        committer.offer_moves(Moves::of_reach(Arc::clone(self), asked, waits));
    }

    /// Resolves where it is committed for what is beyond `from` and up to `upto`, which was asked for.
    /// Cancellation-safe.
    pub async fn covers(&self, from: u64, upto: u64) {
        let wanted = Stretch { from, upto };
        let mut committed = self.committed.subscribe();
        // The sender is here: it cannot be gone.
        let _ = committed.wait_for(|committed| committed.covers(wanted)).await;
    }

    /// It was committed.
    pub(super) fn is_committed(&self, stretch: Stretch) {
        self.committed.send_modify(|at| *at = at.and(stretch));
    }

    /// Which stream it is of.
    pub(super) fn of(&self) -> (GrantId, Option<JobId>) {
        (self.grant, self.job)
    }

    /// As a commit has it.
    pub(super) fn moved(&self, stretch: Stretch) -> ReachMove {
        ReachMove {
            grant: self.grant,
            job: self.job,
            from: stretch.from,
            upto: stretch.upto,
        }
    }
}
