//! What the gate says of 64 amendments, with 1,000 agreements in the book and the words of 100,000 patients at either
//! side of the pair. The patients of one batch lie apart in the book, and no batch comes twice in a row, so that the
//! words are not all in the processor's nearest memory already.

use divan::{Bencher, black_box, counter::ItemsCount};
use handfast_daemon::consent::{
    Book, Consents, Decision, Facts, GrantId, HalfTerms, Pair, PairTerms, Party, PatientWord, Policy, Side,
    Standing, UnitPatients, decide,
};
use handfast_proto::{amendment::Subject, ids::NhsNumber, limits::MAX_BATCH_AMENDMENTS};

use crate::kit;

const AGREEMENTS: usize = 1_000;

/// Enough for so many agreements in both directions.
const UNITS: usize = 33;

const PATIENTS: usize = 100_000;

/// Batches that take turns.
const BATCHES: usize = 128;

/// How far apart in the list two patients lie who stand beside each other in a batch: a prime, so that the batches go
/// through everybody.
const STRIDE: usize = 7_919;

fn pairs() -> impl Iterator<Item = Pair> {
    let all = (0..UNITS).flat_map(|source| (0..UNITS).map(move |recipient| (source, recipient)));
    let apart = all.filter(|(source, recipient)| source != recipient);
    apart.take(AGREEMENTS).map(|(source, recipient)| Pair {
        source: kit::unit(source),
        recipient: kit::unit(recipient),
    })
}

fn measured() -> (Pair, GrantId) {
    let first = pairs().next().unwrap();
    (first, GrantId(1))
}

fn book(patients: &[NhsNumber]) -> Book {
    let terms = |grant| PairTerms {
        share_out: HalfTerms::ON,
        share_in: HalfTerms::ON,
        grant: Some(GrantId(grant)),
    };
    let units = (0..UNITS).map(|n| (kit::unit(n), Standing::Enrolled));
    let agreements = pairs().zip((1..).map(terms));
    let book = Book::new(Policy::UnlessDissented, units, agreements);
    let (pair, _) = measured();
    let words = |side: Side| {
        let mut known = UnitPatients::default();
        let (no, yes) = kit::by_word(patients);
        for (these, word) in [(no, PatientWord::No), (yes, PatientWord::Yes)] {
            for patient in these {
                known.set(patient, Facts::default().with_word(side, word));
            }
        }
        known
    };
    book.with_patients(pair.source, words(Side::ShareOut))
        .with_patients(pair.recipient, words(Side::ShareIn))
}

/// Batches of what the gate reads, about these patients.
fn batches(about: &[NhsNumber]) -> Vec<Vec<Subject>> {
    let mut next = (0..).step_by(STRIDE).map(|n: usize| about[n % about.len()]);
    let mut batch = || {
        next.by_ref()
            .take(MAX_BATCH_AMENDMENTS)
            .map(kit::subject)
            .collect()
    };
    (0..BATCHES).map(|_| batch()).collect()
}

/// Amendments of a batch that go.
fn forwarded(book: &Book, batch: &[Subject]) -> usize {
    let (pair, grant) = measured();
    let carrier = book.carrier(pair, grant).unwrap();
    let goes = |subject: &&Subject| carrier.decide(subject, kit::T0) == Decision::Forward;
    batch.iter().filter(goes).count()
}

fn a_batch(bencher: Bencher<'_, '_>, book: &Book, batches: &[Vec<Subject>]) {
    let mut turns = batches.iter().cycle();
    bencher
        .counter(ItemsCount::new(MAX_BATCH_AMENDMENTS))
        .with_inputs(|| turns.next().unwrap())
        .bench_local_values(|batch| forwarded(book, batch));
}

/// Everybody has said yes, on both sides.
#[divan::bench]
fn all_pass(bencher: Bencher<'_, '_>) {
    let patients = kit::patients(PATIENTS);
    let book = book(&patients);
    let batches = batches(&kit::by_word(&patients).1);
    assert_eq!(forwarded(&book, &batches[0]), MAX_BATCH_AMENDMENTS);
    a_batch(bencher, &book, &batches);
}

/// One patient in ten has said no.
#[divan::bench]
fn one_in_ten_dissents(bencher: Bencher<'_, '_>) {
    let patients = kit::patients(PATIENTS);
    let book = book(&patients);
    let batches = batches(&patients);
    let withheld = MAX_BATCH_AMENDMENTS - forwarded(&book, &batches[0]);
    assert!((5..=8).contains(&withheld), "{withheld} of a batch withheld");
    a_batch(bencher, &book, &batches);
}

/// The table alone: everything that it reads was looked up before.
#[divan::bench]
fn table_alone(bencher: Bencher<'_, '_>) {
    let (pair, _) = measured();
    let [source, recipient] = [pair.source, pair.recipient].map(|ods| Party {
        ods,
        standing: Standing::Enrolled,
    });
    let consents = Consents {
        share_out: HalfTerms::ON,
        share_in: HalfTerms::ON,
        policy: Policy::UnlessDissented,
        patient_out: PatientWord::Yes,
        patient_in: PatientWord::Yes,
        on_caseload: false,
        emergency: None,
    };
    let batch: Vec<Subject> = kit::patients(MAX_BATCH_AMENDMENTS)
        .into_iter()
        .map(kit::subject)
        .collect();
    let goes = |subject: &&Subject| {
        decide(subject, &source, &recipient, black_box(&consents), kit::T0) == Decision::Forward
    };
    bencher
        .counter(ItemsCount::new(MAX_BATCH_AMENDMENTS))
        .bench(|| batch.iter().filter(goes).count());
}
