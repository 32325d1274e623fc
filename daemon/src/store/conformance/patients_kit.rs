//! Synthetic patients, and what is said and done about them, for the suite.

use handfast_proto::{
    ids::NhsNumber,
    v1::{ConsentManner, PatientWordValue},
};

use super::kit::{T0, ods};
use crate::{
    consent::{Pair, PatientWord, Side},
    store::{ClaimChange, Job, JobKind, NewJob, Store, With, WordChange, WordOutcome},
};

/// The first numbers of those that are nobody's (999…), `count` of them, rising.
pub(crate) fn patients(count: usize) -> Vec<NhsNumber> {
    let numbers = (9_990_000_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
    numbers.take(count).collect()
}

/// The patient of the kit's batches.
pub(crate) fn ann() -> NhsNumber {
    "9990000018".parse().unwrap()
}

/// Another patient.
pub(crate) fn ben() -> NhsNumber {
    "9990000026".parse().unwrap()
}

/// A third patient.
pub(crate) fn cleo() -> NhsNumber {
    "9990000034".parse().unwrap()
}

/// A word said `said` milliseconds after the kit's beginning.
pub(crate) fn word(
    unit: &str,
    patient: NhsNumber,
    side: Side,
    word: PatientWordValue,
    said: i64,
) -> WordChange {
    WordChange {
        unit: ods(unit),
        patient,
        side,
        word,
        said_at: T0 + said,
        manner: ConsentManner::Spoken,
        taken_by: "a nurse".to_owned(),
        by: format!("the agent of {unit}"),
        at: T0 + 1_000,
    }
}

/// Records one word by itself: what stood before, and what stands now.
pub(crate) async fn say(store: &impl Store, change: WordChange) -> (PatientWord, PatientWord) {
    let outcomes = store.record_words(&[change], &With::nothing()).await.unwrap();
    let [WordOutcome { before, now }] = outcomes.as_slice() else {
        panic!("one outcome a change: {outcomes:?}")
    };
    (*before, *now)
}

pub(crate) fn claim(unit: &str, patient: NhsNumber, on: bool) -> ClaimChange {
    ClaimChange {
        unit: ods(unit),
        patient,
        on,
        by: "a clinician".to_owned(),
        reason: "referred by telephone".to_owned(),
        at: T0 + 5,
    }
}

/// Jobs that follow from a change, and nothing else.
pub(crate) fn followed_by(jobs: &[NewJob]) -> With {
    With {
        jobs: jobs.to_vec(),
        ..With::nothing()
    }
}

/// A job over one patient that follows from a change.
pub(crate) fn about(pair: Pair, patient: NhsNumber) -> With {
    followed_by(&[NewJob::Patient(pair, patient)])
}

/// The grant and patient of each job over one patient, in order.
pub(crate) fn patient_jobs(jobs: &[Job]) -> Vec<(u64, NhsNumber)> {
    let patients = jobs.iter().filter_map(|job| match job.kind {
        JobKind::Patient { patient, .. } => Some((job.grant.0, patient)),
        _ => None,
    });
    patients.collect()
}
