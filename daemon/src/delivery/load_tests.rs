//! What the book is told of patients when the daemon starts, read in pages that end anywhere.
//!
//! Detects: a word that is passed over, or read at another unit or about the other side; an older word that is read
//! though a later one stands; a word that is read though it was ended; someone on a caseload who is not.

use std::collections::HashMap;

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::PatientWordValue::{self, Ended, No, Yes},
};

use super::load::{PAGE, book_in_pages};
use crate::{
    consent::{Facts, PatientWord, Side, UnitPatients},
    store::{
        PatientStore as _, SqliteStore, With,
        conformance::{
            kit::{HILL, T0, VALE, WARD, deployment, ods, register},
            patients_kit::{claim, patients, word},
        },
    },
};

/// What one patient said about one side, in the order in which it was recorded and with when it was said; and what of
/// it stands.
type History = (&'static [(PatientWordValue, i64)], PatientWord);

const HISTORIES: [History; 9] = [
    (&[], PatientWord::NotRecorded),
    (&[(Yes, 1)], PatientWord::Yes),
    (&[(No, 1)], PatientWord::No),
    (&[(Yes, 1), (No, 2)], PatientWord::No),
    (&[(No, 1), (Yes, 2)], PatientWord::Yes),
    (&[(No, 2), (Yes, 1)], PatientWord::No),
    (&[(No, 1), (Ended, 2)], PatientWord::NotRecorded),
    (&[(No, 2), (Ended, 1)], PatientWord::No),
    (&[(Yes, 1), (Ended, 2), (No, 3)], PatientWord::No),
];
/// The most words of one of them.
const ROUNDS: usize = 3;
/// Each history about one side meets each about the other.
const PATIENTS: usize = HISTORIES.len() * HISTORIES.len();

/// Which histories patient `n` has, and where.
fn histories(n: usize) -> [(&'static str, Side, History); 4] {
    let (first, second) = (n % HISTORIES.len(), n / HISTORIES.len());
    [
        (HILL, Side::ShareOut, first),
        (HILL, Side::ShareIn, second),
        (VALE, Side::ShareOut, second + 4),
        (VALE, Side::ShareIn, first + 7),
    ]
    .map(|(unit, side, n)| (unit, side, HISTORIES[n % HISTORIES.len()]))
}

/// Records everything, the first word of everyone before the second of anyone: what replaces a word lies in a later
/// page than what it replaces. What is to be known then.
async fn fill(store: &SqliteStore, all: &[NhsNumber]) -> HashMap<(OdsCode, NhsNumber), Facts> {
    let mut known: HashMap<(OdsCode, NhsNumber), Facts> = HashMap::new();
    for round in 0..ROUNDS {
        let mut changes = Vec::new();
        for (n, patient) in all.iter().enumerate() {
            for (unit, side, (said, stands)) in histories(n) {
                let facts = known.entry((ods(unit), *patient)).or_default();
                *facts = facts.with_word(side, stands);
                changes.extend(
                    said.get(round)
                        .map(|(value, at)| word(unit, *patient, side, *value, *at)),
                );
            }
        }
        store.record_words(&changes, &With::nothing()).await.unwrap();
    }
    let claimed = |n: usize, unit: &str| n.is_multiple_of(if unit == WARD { 2 } else { 5 });
    for unit in [HILL, WARD] {
        let those = all.iter().enumerate().filter(|(n, _)| claimed(*n, unit));
        let claims: Vec<_> = those.map(|(_, patient)| claim(unit, *patient, true)).collect();
        store.set_claims(&claims, &With::nothing()).await.unwrap();
        for made in claims {
            known.entry((made.unit, made.patient)).or_default().claimed = true;
        }
    }
    known
}

#[tokio::test]
async fn the_book_has_every_word_as_it_stands_wherever_a_page_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(dir.path(), &deployment()).await.unwrap();
    for unit in [HILL, VALE, WARD] {
        register(&store, unit).await.unwrap();
    }
    let all = patients(PATIENTS);
    let known = fill(&store, &all).await;
    for page in [1, 2, 7, 100, PAGE] {
        let book = book_in_pages(&store, T0, page).await.unwrap();
        for unit in [HILL, VALE, WARD].map(ods) {
            let mut several = 0;
            for patient in &all {
                let expected = known.get(&(unit, *patient)).copied().unwrap_or_default();
                several += usize::from(expected != Facts::default());
                assert_eq!(book.facts(unit, *patient), expected, "{unit}, pages of {page}");
            }
            let read = book.patients(unit).map_or(0, UnitPatients::len);
            assert_eq!(read, several, "nobody else at {unit}, pages of {page}");
        }
    }
}
