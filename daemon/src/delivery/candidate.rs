//! What a pump chooses for its feed to hand over. Nothing of it has been handed over yet.

use std::sync::Arc;

use handfast_proto::{amendment::Batch, ids::NhsNumber, v1};

use super::{
    counters::PairCounters,
    handover::{For, Mask},
    ledger::Disclosed,
    left_out::LeftOut,
};
use crate::{
    audit::Stream,
    consent::{GrantId, Pair, Terms},
    store::{CatchUpMove, JobId},
};

/// Something to hand over.
#[derive(Clone, Debug)]
pub(super) enum Candidate {
    /// Amendments, not yet gated.
    Batch(Chosen),
    /// A job is past records of which nothing goes.
    Passed(Passed),
    /// A job begins or is complete.
    Edge(Edge),
    /// A grant has ended.
    Fenced { pair: Pair, grant: GrantId },
    /// What a grant carried is to be removed.
    Withdraw(Withdraw),
    /// A grant stands otherwise than the recipient was told.
    Stands {
        pair: Pair,
        grant: GrantId,
        stands: v1::GrantInForce,
    },
}

/// Records that a job is past without a message.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) take: Take,
    pub(super) job: JobId,
    /// Everything up to this seq is dealt with.
    pub(super) through: u64,
    pub(super) left_out: LeftOut,
}

/// A withdrawal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Withdraw {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) job: JobId,
    pub(super) patient: Option<NhsNumber>,
}

/// Over what a job goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    /// Everything; the live feed waits for it.
    Everything,
    /// One patient's records.
    Patient(NhsNumber),
    /// What changed since these terms.
    Changes(Terms),
}

impl Over {
    /// What its amendments are handed over for.
    pub(super) fn what_for(self) -> For {
        match self {
            Self::Everything | Self::Patient(_) => For::Sweep,
            Self::Changes(before) => For::Changes(before),
        }
    }

    /// As it stands in the job's edges.
    pub(super) fn scope(self) -> (v1::ReconcileScope, u64) {
        match self {
            Self::Everything => (v1::ReconcileScope::Everything, 0),
            Self::Patient(patient) => (v1::ReconcileScope::Patient, patient.as_u64()),
            Self::Changes(_) => (v1::ReconcileScope::Changes, 0),
        }
    }
}

/// One edge of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) take: Take,
    pub(super) job: JobId,
    pub(super) over: Over,
    pub(super) upto: u64,
    pub(super) complete: bool,
}

/// Numbers one taking-up of a grant by a subscription. Once the feed had to drop something of a take, it
/// hands over nothing more of it; the grant is taken up again from what the store has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Take(pub(super) u64);

/// Amendments of a grant, not yet gated.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) take: Take,
    pub(super) batch: Arc<Batch>,
    pub(super) mask: Mask,
    /// The job they are part of.
    pub(super) job: Option<(JobId, Over)>,
    /// Everything up to this seq is dealt with by them.
    pub(super) through: u64,
    /// Up to which seq it is known that more of it is to go soon.
    pub(super) ahead: u64,
    /// What the job left out up to there, since it last chose something.
    pub(super) left_out: LeftOut,
    pub(super) counters: Arc<PairCounters>,
}

impl Passed {
    /// As the audit log names them.
    pub(super) fn stream(&self) -> Stream {
        Stream {
            pair: self.pair,
            grant: self.grant,
            job: Some(self.job),
        }
    }
}

impl Chosen {
    /// As a message names its job; 0 = live.
    pub(super) fn job_number(&self) -> u64 {
        self.job.map_or(0, |(job, _)| job.0)
    }

    /// As the audit log names them.
    pub(super) fn stream(&self) -> Stream {
        Stream {
            pair: self.pair,
            grant: self.grant,
            job: self.job.map(|(job, _)| job),
        }
    }

    /// What they are handed over for.
    pub(super) fn what_for(&self) -> For {
        self.job.map_or(For::Live, |(_, over)| over.what_for())
    }

    /// What they disclose. Every job goes back behind the cursor: where its grant began, that stood at the
    /// source's head, and what the job hands over below it is in doubt for itself.
    pub(super) fn disclosed(&self) -> Disclosed {
        Disclosed {
            pair: self.pair,
            grant: self.grant,
            first: self.batch.first_seq(),
            last: self.batch.last_seq(),
            behind: self.job.map(|(job, _)| job),
        }
    }

    /// How far the job is once they are durable at the recipient.
    pub(super) fn progress(&self) -> Option<CatchUpMove> {
        let (job, _) = self.job?;
        Some(CatchUpMove {
            job,
            through: self.through,
            complete: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::{
            doubt::{Doubt, Doubts},
            ledger::{Effect, Ledger},
        },
        ingest::tests::batch,
    };

    #[test]
    fn what_a_catch_up_sent_on_a_connection_that_is_gone_is_in_doubt_below_the_cursor() {
        let pair = Pair {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00202".parse().unwrap(),
        };
        let chosen = Chosen {
            pair,
            grant: GrantId(2),
            take: Take(1),
            batch: batch(1, 3, 10),
            mask: Mask::NONE,
            job: Some((JobId(5), Over::Everything)),
            through: 3,
            ahead: 3,
            left_out: LeftOut::default(),
            counters: Arc::default(),
        };
        let ledger = Ledger::new(pair.recipient, 1, 100);
        ledger.hand(1, Effect::None, Some(chosen.disclosed()));
        let doubts = Doubts::new(&[], Vec::new());
        doubts.gone(&ledger);
        let doubt = Doubt {
            behind: Some((1, 3)),
            ..Doubt::default()
        };
        assert_eq!(doubts.of(pair, GrantId(2)), doubt);
    }
}
