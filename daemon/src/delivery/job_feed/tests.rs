//! What jobs choose.

use handfast_proto::ids::NhsNumber;

use super::*;
use crate::ingest::tests::batch;

fn run(job: u64, over: Over) -> Run {
    Run {
        job: JobId(job),
        over,
        upto: 3,
        known: 3,
        looked_up: 3,
        begun: true,
        wanted: VecDeque::from([1, 2, 3]),
        left_out: VecDeque::new(),
        batches: VecDeque::new(),
        overtaken: HashSet::new(),
        walked_at: None,
    }
}

/// Fails where `take_mask` does not look at what was overtaken: then a version follows the removal of its record
/// to a recipient that held nothing of it, and stays there.
#[test]
fn what_the_live_feed_is_past_is_not_sent_by_a_job_that_began_before() {
    let patient = NhsNumber::from_u64(9_990_000_018).unwrap();
    let mut jobs = Jobs {
        sweep: Some(run(1, Over::Patient(patient))),
        ..Jobs::default()
    };
    // Each amendment is of the record of its seq.
    let looked_up = batch(1, 3, 1);
    jobs.overtaken_by(&looked_up);
    let run = jobs.sweep.as_mut().unwrap();
    assert!(run.overtaken.is_empty(), "the job looked at these");
    run.upto = 1;
    jobs.overtaken_by(&batch(2, 1, 1));
    let mut run = jobs.sweep.take().unwrap();
    assert_eq!(run.take_mask(&looked_up), Mask::NONE.with(0).with(2));
    assert!(run.wanted.is_empty());
}

/// Fails where what was left out goes with another message than the one with which the job is past it: then a job
/// that is broken off between the two never enters it, or does so twice.
#[test]
fn what_is_left_out_goes_with_the_progress_that_is_past_it() {
    let serves = Serves {
        pair: Pair {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00202".parse().unwrap(),
        },
        grant: GrantId(2),
        take: Take(1),
        counters: Arc::default(),
    };
    let mut run = run(1, Over::Everything);
    (run.upto, run.looked_up) = (7, 7);
    run.wanted = VecDeque::from([2, 5]);
    run.left_out = [1, 3, 4, 6]
        .map(|seq| {
            (
                seq,
                if seq < 4 {
                    Reason::PrivateEntry
                } else {
                    Reason::NotOnCaseload
                },
            )
        })
        .into();
    let left_out = |seqs: &[(Reason, u64)]| {
        let mut all = LeftOut::default();
        seqs.iter().for_each(|(reason, seq)| all.add(*reason, *seq));
        all
    };
    let first = batch(1, 2, 1);
    let mask = run.take_mask(&first);
    let chosen = run.chosen(&serves, first, mask);
    assert_eq!(chosen.through, 4);
    let (private, others) = (Reason::PrivateEntry, Reason::NotOnCaseload);
    assert_eq!(
        chosen.left_out,
        left_out(&[(private, 1), (private, 3), (others, 4)])
    );
    let second = batch(3, 3, 1);
    let mask = run.take_mask(&second);
    let chosen = run.chosen(&serves, second, mask);
    assert_eq!((chosen.through, chosen.left_out), (7, left_out(&[(others, 6)])));
    assert!(run.left_out.is_empty());
}

/// Fails where a job looks up what is current before all that was durable when it began is projected.
#[test]
fn a_job_waits_for_what_was_durable_when_it_began() {
    let mut jobs = Jobs::default();
    for (job, upto, known) in [(1, Some(90), 95), (2, None, 95), (3, Some(99), 99)] {
        let waiting = Waiting {
            over: Over::Everything,
            upto,
            through: 0,
        };
        jobs.waiting.insert(JobId(job), waiting);
        let live = Live {
            head: 95,
            position: 90,
        };
        assert_eq!(jobs.take_up(JobId(job), live).map(|run| run.known), Some(known));
    }
}
