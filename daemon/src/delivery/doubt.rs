//! What recipients may have of a grant although no live subscription knows of it: what was handed over on
//! connections that are gone, and whatever an earlier process may have handed over.
//!
//! Invariants: a doubt is never too small; it is bounded by one entry a grant in force, and goes once the
//! receipt of the grant's end was made.

use std::collections::HashMap;

use handfast_proto::ids::OdsCode;
use parking_lot::Mutex;

use super::ledger::{Ledger, Mark};
use crate::{
    consent::{GrantId, Pair},
    store::{JobId, ReachMove},
};

/// Jobs of a grant of which it is kept apart what is in doubt; of more the doubts are one, until the grant ends.
const MAX_JOBS_IN_DOUBT: usize = 64;

/// What is known of connections that are gone.
#[derive(Debug)]
pub(super) struct Doubts {
    /// The last seq that an earlier process may have handed over of each, live or by a job.
    reaches_at_start: HashMap<GrantId, u64>,
    heads_at_start: HashMap<OdsCode, u64>,
    gone: Mutex<HashMap<(Pair, GrantId), Gone>>,
}

/// What is known of a grant.
#[derive(Debug, Default)]
struct Gone {
    mark: Mark,
    /// The first and the last seq of what jobs behind the live feed sent, and was not receipted.
    jobs: HashMap<JobId, (u64, u64)>,
}

/// What may be at a recipient of a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Doubt {
    /// How far the live feed got.
    pub(super) mark: Mark,
    /// The first and the last seq of what jobs behind it may have left there.
    pub(super) behind: Option<(u64, u64)>,
}

impl Doubts {
    /// Of what an earlier process handed over is known how far each stream may have been (`reaches`), and what there
    /// was of each source.
    pub(super) fn new(reaches: &[ReachMove], heads_at_start: Vec<(OdsCode, u64)>) -> Self {
        let mut reaches_at_start: HashMap<GrantId, u64> = HashMap::new();
        for reach in reaches {
            let known = reaches_at_start.entry(reach.grant).or_default();
            *known = reach.upto.max(*known);
        }
        Self {
            reaches_at_start,
            heads_at_start: heads_at_start.into_iter().collect(),
            gone: Mutex::default(),
        }
    }

    /// A subscription is gone; what its ledger knows stays known.
    pub(super) fn gone(&self, ledger: &Ledger) {
        let mut gone = self.gone.lock();
        for (grant, mark) in ledger.marks() {
            gone.entry(grant).or_default().mark.join(mark);
        }
        for (job, disclosed) in ledger.open_jobs() {
            let of_grant = gone.entry((disclosed.pair, disclosed.grant)).or_default();
            of_grant.add(job, (disclosed.first, disclosed.last));
        }
    }

    /// The recipient has the end of a job: all that it sent was receipted.
    pub(super) fn job_is_over(&self, job: JobId) {
        self.gone.lock().values_mut().for_each(|of_grant| {
            of_grant.jobs.remove(&job);
        });
    }

    /// What is known of a grant from connections that are gone and from before the start.
    pub(super) fn of(&self, pair: Pair, grant: GrantId) -> Doubt {
        let gone = self.gone.lock();
        let mut doubt = gone.get(&(pair, grant)).map(Gone::doubt).unwrap_or_default();
        // A reach goes beyond what there was.
        let reach = self.reaches_at_start.get(&grant).copied().unwrap_or(0);
        let before = reach.min(self.head_at_start(pair.source));
        doubt.mark.handed = doubt.mark.handed.max(before);
        doubt
    }

    /// The receipt of a grant's end was made.
    pub(super) fn forget(&self, pair: Pair, grant: GrantId) {
        self.gone.lock().remove(&(pair, grant));
    }

    /// The last seq that an earlier process may have handed over of a source.
    pub(super) fn head_at_start(&self, source: OdsCode) -> u64 {
        self.heads_at_start.get(&source).copied().unwrap_or(0)
    }
}

impl Gone {
    fn add(&mut self, job: JobId, seqs: (u64, u64)) {
        let apart = self.jobs.len() < MAX_JOBS_IN_DOUBT || self.jobs.contains_key(&job);
        // No job has this number: what stands under it is in doubt until the grant ends.
        let job = if apart { job } else { JobId(0) };
        let known = self.jobs.entry(job).or_insert(seqs);
        *known = (known.0.min(seqs.0), known.1.max(seqs.1));
    }

    fn doubt(&self) -> Doubt {
        let ranges = self.jobs.values().copied();
        Doubt {
            mark: self.mark,
            behind: ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ledger::{Disclosed, Effect};

    fn pair() -> Pair {
        Pair {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00202".parse().unwrap(),
        }
    }

    fn disclosed(grant: u64, first: u64, last: u64, behind: Option<u64>) -> Option<Disclosed> {
        Some(Disclosed {
            pair: pair(),
            grant: GrantId(grant),
            first,
            last,
            behind: behind.map(JobId),
        })
    }

    fn mark(received: u64, handed: u64) -> Doubt {
        Doubt {
            mark: Mark { received, handed },
            behind: None,
        }
    }

    #[test]
    fn what_was_handed_over_on_a_connection_that_is_gone_stays_in_doubt() {
        let doubts = Doubts::new(&[], Vec::new());
        let first = Ledger::new(pair().recipient, 1, 100);
        first.hand(1, Effect::None, disclosed(2, 1, 9, None));
        doubts.gone(&first);
        let second = Ledger::new(pair().recipient, 2, 100);
        second.hand(1, Effect::None, disclosed(2, 1, 7, None));
        second.hand(1, Effect::None, disclosed(3, 10, 12, None));
        second.receipted(1, 1).unwrap();
        doubts.gone(&second);
        assert_eq!(
            doubts.of(pair(), GrantId(2)),
            mark(7, 9),
            "also beside another grant"
        );
        assert_eq!(doubts.of(pair(), GrantId(3)), mark(0, 12));
        doubts.forget(pair(), GrantId(2));
        assert_eq!(doubts.of(pair(), GrantId(2)), mark(0, 0));
    }

    #[test]
    fn of_what_an_earlier_process_handed_over_only_what_its_streams_reached_is_in_doubt() {
        let reach = |grant, job: Option<u64>, upto| ReachMove {
            grant: GrantId(grant),
            job: job.map(JobId),
            from: 0,
            upto,
        };
        let reaches = [
            reach(2, None, 40),
            reach(2, Some(7), 60),
            reach(3, None, 500),
            reach(4, None, 0),
        ];
        let doubts = Doubts::new(&reaches, vec![(pair().source, 100)]);
        assert_eq!(doubts.of(pair(), GrantId(2)), mark(0, 60), "by a job");
        assert_eq!(
            doubts.of(pair(), GrantId(3)),
            mark(0, 100),
            "no more than there was"
        );
        assert_eq!(
            doubts.of(pair(), GrantId(4)),
            mark(0, 0),
            "nothing was on its way"
        );
    }

    #[test]
    fn what_a_job_sent_is_in_doubt_until_its_end_was_receipted() {
        let doubts = Doubts::new(&[], Vec::new());
        let ledger = Ledger::new(pair().recipient, 1, 100);
        ledger.hand(1, Effect::None, disclosed(2, 90, 99, None));
        ledger.receipted(1, 1).unwrap();
        ledger.hand(1, Effect::None, disclosed(2, 4, 6, Some(7)));
        ledger.hand(1, Effect::None, disclosed(2, 10, 20, Some(7)));
        doubts.gone(&ledger);
        let behind = Some((4, 20));
        assert_eq!(
            doubts.of(pair(), GrantId(2)),
            Doubt {
                behind,
                ..mark(99, 99)
            }
        );
        doubts.job_is_over(JobId(7));
        assert_eq!(doubts.of(pair(), GrantId(2)), mark(99, 99));
    }
}
