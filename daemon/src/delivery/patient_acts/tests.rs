//! What follows from words that are taken together, held against what follows from each in turn.

use handfast_proto::v1::ConsentManner;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    consent::{GrantId, HalfTerms, PairTerms, Policy, Standing},
    store::NewJob,
};

const UNITS: usize = 3;
const PATIENTS: usize = 4;
const ROUNDS: u64 = 1_000;

fn unit(n: usize) -> OdsCode {
    format!("Z0010{n}").parse().unwrap()
}

fn patients() -> Vec<NhsNumber> {
    let numbers = (9_990_000_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
    numbers.take(PATIENTS).collect()
}

fn word(rng: &mut StdRng) -> PatientWordValue {
    [
        PatientWordValue::Yes,
        PatientWordValue::No,
        PatientWordValue::Ended,
    ][rng.random_range(0..3)]
}

fn change(rng: &mut StdRng) -> WordChange {
    WordChange {
        unit: unit(rng.random_range(0..UNITS)),
        patient: patients()[rng.random_range(0..PATIENTS)],
        side: [Side::ShareOut, Side::ShareIn][rng.random_range(0..2)],
        word: word(rng),
        said_at: 1,
        manner: ConsentManner::Spoken,
        taken_by: String::new(),
        by: "a test".to_owned(),
        at: 1,
    }
}

/// Everyone shares with everyone.
fn shared(policy: Policy) -> Book {
    let all = || (0..UNITS).flat_map(|a| (0..UNITS).map(move |b| (a, b)));
    let pairs = all().filter(|(a, b)| a != b).zip(1..).map(|((a, b), grant)| {
        let pair = Pair {
            source: unit(a),
            recipient: unit(b),
        };
        let terms = PairTerms {
            share_out: HalfTerms::ON,
            share_in: HalfTerms::ON,
            grant: Some(GrantId(grant)),
        };
        (pair, terms)
    });
    let units = (0..UNITS).map(|n| (unit(n), Standing::Enrolled));
    Book::new(policy, units, pairs)
}

/// Some have two numbers; some have said something.
fn book(rng: &mut StdRng) -> Book {
    let mut book = shared([Policy::UnlessDissented, Policy::Explicit][rng.random_range(0..2)]);
    for _ in 0..rng.random_range(0..12) {
        let said = change(rng);
        book = with_each(&book, std::iter::once((&said, standing(said.word))));
    }
    for _ in 0..rng.random_range(0..3) {
        let of = change(rng);
        book = book.with_joined(of.unit, of.patient, patients()[0]);
    }
    book
}

fn jobs(follows: &Consequences) -> Vec<(Pair, NhsNumber)> {
    let job = |job: &NewJob| match job {
        NewJob::Patient(pair, patient) => (*pair, *patient),
        NewJob::Changes(..) => unreachable!("words change no terms"),
    };
    let mut jobs: Vec<_> = follows.jobs.iter().map(job).collect();
    jobs.sort_unstable();
    jobs
}

#[test]
fn what_follows_from_words_together_is_what_follows_from_each_in_turn() {
    for seed in 0..ROUNDS {
        let rng = &mut StdRng::seed_from_u64(seed);
        let before = book(rng);
        let unit = unit(rng.random_range(0..UNITS));
        let mut changes: Vec<WordChange> = (0..rng.random_range(1..10)).map(|_| change(rng)).collect();
        if rng.random_bool(0.7) {
            changes.iter_mut().for_each(|change| change.unit = unit);
        }
        let mut in_turn = Consequences::default();
        let mut at = before.clone();
        for change in &changes {
            at = of_words(&mut in_turn, &at, std::slice::from_ref(change), 0);
        }
        let mut together = Consequences::default();
        let after = of_words(&mut together, &before, &changes, 0);
        assert_eq!(jobs(&together), jobs(&in_turn), "seed {seed}: {changes:?}");
        assert_eq!(together.ends, in_turn.ends, "seed {seed}: {changes:?}");
        for change in &changes {
            let known = |book: &Book| book.facts(change.unit, change.patient);
            assert_eq!(known(&after), known(&at), "seed {seed}: {changes:?}");
        }
    }
}

/// Of one person's two numbers one's no ends and the other's begins: nothing goes before or after, but the no that
/// begins may be only history.
#[test]
fn words_under_two_numbers_of_one_person_are_not_taken_together() {
    let numbers = patients();
    let said = |patient: usize, word| WordChange {
        unit: unit(0),
        patient: numbers[patient],
        side: Side::ShareOut,
        word,
        ..change(&mut StdRng::seed_from_u64(0))
    };
    let before = shared(Policy::UnlessDissented).with_joined(unit(0), numbers[0], numbers[1]);
    let no = said(0, PatientWordValue::No);
    let before = with_each(&before, std::iter::once((&no, PatientWord::No)));
    let changes = [said(0, PatientWordValue::Yes), said(1, PatientWordValue::No)];
    let mut follows = Consequences::default();
    of_words(&mut follows, &before, &changes, 0);
    assert!(
        !follows.jobs.is_empty() && !follows.ends.is_empty(),
        "{follows:?}"
    );
}
