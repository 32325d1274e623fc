//! Promises about patients' own words.

use handfast_proto::v1::{
    ConsentManner,
    PatientWordValue::{self, Ended, No, Yes},
};

use super::{
    backend::Backend,
    kit::{HILL, VALE, WARD, assert_fails, jobs, joined, ods, pair, with_units},
    patients_kit::{about, ann, ben, cleo, patient_jobs, patients, say, word},
};
use crate::{
    consent::{GrantId, PatientWord, Side},
    store::{PatientStore as _, StandingWord, Store, StoreError, With, WordRow},
};

const OUT: Side = Side::ShareOut;
const IN: Side = Side::ShareIn;

async fn in_force(store: &impl Store, unit: &str) -> Vec<WordRow> {
    store.words_in_force(ods(unit), None, 100).await.unwrap()
}

pub(crate) async fn the_later_word_stands<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let none = PatientWord::NotRecorded;
    let ours = |said: PatientWordValue, at| word(HILL, ann(), OUT, said, at);
    assert_eq!(say(store, ours(No, 10)).await, (none, PatientWord::No));
    let late = (PatientWord::No, PatientWord::No);
    assert_eq!(say(store, ours(Yes, 9)).await, late, "a yes of before is history");
    assert_eq!(
        say(store, ours(Yes, 10)).await,
        late,
        "of two at once the dissent"
    );
    assert_eq!(
        say(store, ours(Yes, 11)).await,
        (PatientWord::No, PatientWord::Yes)
    );
    assert_eq!(
        say(store, ours(No, 11)).await,
        (PatientWord::Yes, PatientWord::No)
    );
    assert_eq!(say(store, ours(Ended, 12)).await, (PatientWord::No, none));
    assert_eq!(
        say(store, ours(Yes, 11)).await,
        (none, none),
        "said before that was ended"
    );
    assert_eq!(say(store, ours(Yes, 13)).await, (none, PatientWord::Yes));
    let stands = in_force(store, HILL).await;
    assert_eq!((stands.len(), &stands[0].change), (1, &ours(Yes, 13)));
}

pub(crate) async fn words_are_of_one_unit_patient_and_side<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let changes = [
        word(HILL, ann(), OUT, No, 1),
        word(HILL, ann(), IN, Yes, 1),
        word(HILL, ben(), OUT, Yes, 1),
        word(VALE, ann(), OUT, Yes, 1),
        word(HILL, ann(), OUT, Yes, 2),
    ];
    let outcomes = store.record_words(&changes, &With::nothing()).await.unwrap();
    let now: Vec<_> = outcomes.iter().map(|outcome| outcome.now).collect();
    let (yes, no) = (PatientWord::Yes, PatientWord::No);
    assert_eq!(now, [no, yes, yes, yes, yes]);
    assert_eq!(
        outcomes[4].before, no,
        "the first of the same call stands by then"
    );
    let of_hill: Vec<_> = in_force(store, HILL)
        .await
        .into_iter()
        .map(|row| row.change)
        .collect();
    assert_eq!(
        of_hill,
        [changes[4].clone(), changes[1].clone(), changes[2].clone()]
    );
    assert!(in_force(store, WARD).await.is_empty());
}

pub(crate) async fn every_word_is_kept<B: Backend>() {
    let backend: B = with_units().await;
    let mut written = word(HILL, ann(), OUT, No, 1);
    written.manner = ConsentManner::Written;
    let said = [
        written,
        word(VALE, ann(), IN, No, 2),
        word(HILL, ann(), OUT, Yes, 0),
        word(HILL, ben(), OUT, Yes, 4),
        word(HILL, ann(), OUT, Ended, 5),
    ];
    for change in &said {
        say(backend.store(), change.clone()).await;
    }
    let backend = backend.reopen().await;
    let store = backend.store();
    let all = store.words_of(ann(), None, 100).await.unwrap();
    let expected = [(4, true), (2, false), (1, true), (0, false)].map(|(n, in_force)| WordRow {
        change: said[n].clone(),
        in_force,
    });
    assert_eq!(all, expected, "the newest first");
    assert_eq!(store.words_of(ann(), None, 2).await.unwrap(), expected[..2]);
    let at_vale = store.words_of(ann(), Some(ods(VALE)), 100).await.unwrap();
    assert_eq!(at_vale, expected[2..3]);
    assert!(store.words_of(cleo(), None, 100).await.unwrap().is_empty());
    let patients: Vec<_> = in_force(store, HILL)
        .await
        .iter()
        .map(|row| row.change.patient)
        .collect();
    assert_eq!(patients, [ben()], "one that ended is in force no more");
}

pub(crate) async fn words_need_their_units<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let before = jobs(store, WARD).await;
    let changes = [word(HILL, ann(), OUT, No, 1), word("Z99999", ann(), OUT, No, 1)];
    let result = store
        .record_words(&changes, &about(pair(HILL, WARD), ann()))
        .await;
    assert_fails!(result, StoreError::Missing(_));
    assert!(in_force(store, HILL).await.is_empty(), "nothing was kept");
    assert_eq!(jobs(store, WARD).await, before, "nor what was to follow");
}

pub(crate) async fn a_word_is_followed_by_its_jobs<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let change = word(HILL, ann(), OUT, No, 1);
    let with = about(pair(HILL, WARD), ann());
    backend.store().record_words(&[change], &with).await.unwrap();
    let backend = backend.reopen().await;
    let due = jobs(backend.store(), WARD).await;
    assert_eq!(patient_jobs(&due), [(grant.0, ann())]);
}

pub(crate) async fn words_are_read_in_pages<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let patients = patients(20);
    let mut changes = Vec::new();
    for (n, patient) in patients.iter().enumerate() {
        let sides: &[Side] = [[OUT].as_slice(), &[IN], &[OUT, IN]][n % 3];
        changes.extend(sides.iter().map(|side| word(HILL, *patient, *side, Yes, 1)));
    }
    store.record_words(&changes, &With::nothing()).await.unwrap();
    for limit in [1, 2, 3, 7, 1000] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = store.words_in_force(ods(HILL), after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= usize::try_from(limit).unwrap() + 1);
            after = Some(last.change.patient);
            read.extend(page.into_iter().map(|row| row.change));
        }
        assert_eq!(read, changes, "no patient is parted, whatever the page: {limit}");
    }
}

pub(crate) async fn standing_words_are_read_in_pages<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut expected = Vec::new();
    for (n, patient) in patients(40).into_iter().enumerate() {
        let unit = [HILL, VALE][n % 2];
        for (side, said) in [
            (OUT, [None, Some(Yes), Some(No)][n % 3]),
            (IN, [Some(No), None][n % 2]),
        ] {
            let Some(said) = said else { continue };
            // An older word is history, and one that comes later stands.
            say(store, word(unit, patient, side, [No, Yes][n / 2 % 2], 1)).await;
            let (_, now) = say(store, word(unit, patient, side, said, 2)).await;
            expected.push(StandingWord {
                unit: ods(unit),
                patient,
                side,
                word: now,
            });
        }
    }
    let last = *patients(41).last().unwrap();
    say(store, word(HILL, last, OUT, No, 1)).await;
    say(store, word(HILL, last, OUT, Ended, 2)).await;
    let by_number = |word: &StandingWord| (word.patient, word.side == IN);
    expected.sort_by_key(by_number);
    for limit in [1, 2, 7, 1000] {
        let (mut read, mut through) = (Vec::new(), 0);
        loop {
            let page = store.standing_words(through, limit).await.unwrap();
            if page.words.is_empty() {
                break;
            }
            assert!(page.words.len() <= usize::try_from(limit).unwrap() && page.through > through);
            through = page.through;
            read.extend(page.words);
        }
        read.sort_by_key(by_number);
        assert_eq!(read, expected, "pages of {limit}");
    }
}
