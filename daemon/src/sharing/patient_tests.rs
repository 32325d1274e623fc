//! What recording patients' words does beyond asking who may.

use std::sync::atomic::Ordering;

use handfast_proto::v1::{ConsentManner, PatientWordValue};

use super::{
    ActError, PatientConsents, SaidWords,
    testing::{START, World, ods, pair, patient},
};
use crate::{
    consent::{GrantId, PatientWord, Side},
    delivery::{PairReceipt, Receipt},
    store::{AlertQuery, AlertsOf},
};

const HOUR_MS: i64 = 3_600_000;

fn said(word: PatientWordValue) -> SaidWords {
    SaidWords {
        patients: vec![patient(0)],
        share_out: Some(word),
        share_in: None,
        said_on: String::new(),
        manner: ConsentManner::Spoken,
        taken_by: String::new(),
    }
}

fn receipt(source: &str, recipient: &str) -> PairReceipt {
    PairReceipt {
        pair: pair(source, recipient),
        receipt: Receipt {
            ended: GrantId(1),
            received_through: 5,
            may_have_received: None,
            connection_cut: false,
        },
    }
}

#[tokio::test]
async fn what_is_recorded_stands_and_is_shown_with_its_history() {
    let world = World::new().await;
    let consents = PatientConsents::new(world.ctx.clone());
    let cleo = world.caller("cleo").await;
    let both = SaidWords {
        share_in: Some(PatientWordValue::Yes),
        taken_by: "Reception".to_owned(),
        ..said(PatientWordValue::No)
    };
    let recorded = consents.record(&cleo, Some(ods("Z00101")), both).await.unwrap();
    let stands: Vec<_> = recorded
        .words
        .iter()
        .map(|(_, side, outcome)| (*side, outcome.now))
        .collect();
    assert_eq!(
        stands,
        [
            (Side::ShareOut, PatientWord::No),
            (Side::ShareIn, PatientWord::Yes)
        ]
    );
    assert!(recorded.in_force.in_force && recorded.said_at == START && recorded.units == 1);

    world.clock.advance(HOUR_MS);
    consents
        .record(&cleo, None, said(PatientWordValue::Ended))
        .await
        .unwrap();
    let (unit, words) = consents
        .get(&world.caller("pam").await, None, patient(0))
        .await
        .unwrap();
    assert_eq!(unit, ods("Z00101"));
    let shown: Vec<_> = words
        .iter()
        .map(|w| (w.change.side, w.change.word, w.in_force))
        .collect();
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0].0, Side::ShareOut);
    assert_eq!(shown[0].1, PatientWordValue::Ended);
    assert!(
        shown.contains(&(Side::ShareOut, PatientWordValue::No, false))
            && shown.contains(&(Side::ShareIn, PatientWordValue::Yes, true))
    );
    assert_eq!(words[0].change.by, "person cleo");
    let (_, listed) = consents
        .list(&world.caller("aud").await, None, None, 10)
        .await
        .unwrap();
    assert!(listed.iter().all(|w| w.change.patient == patient(0)));
    let (_, beyond) = consents
        .list(&world.caller("aud").await, None, Some(patient(0)), 10)
        .await
        .unwrap();
    assert_eq!(beyond, []);
}

#[tokio::test]
async fn pending_and_the_receipts_are_passed_on() {
    let world = World::new().await;
    world.revoker.pending.store(true, Ordering::Relaxed);
    world.revoker.receipts.lock().push(receipt("Z00101", "Z00202"));
    let consents = PatientConsents::new(world.ctx.clone());
    let recorded = consents
        .record(&world.caller("cleo").await, None, said(PatientWordValue::No))
        .await
        .unwrap();
    assert!(!recorded.in_force.in_force);
    assert_eq!(recorded.in_force.receipts.len(), 1);
}

#[tokio::test]
async fn of_a_day_a_no_counts_from_its_end_and_a_yes_from_its_beginning() {
    let world = World::new().await;
    let consents = PatientConsents::new(world.ctx.clone());
    let cleo = world.caller("cleo").await;
    // START is midnight in London on 2026-11-23.
    let at = async |word, said_on: &str| {
        let words = SaidWords {
            said_on: said_on.to_owned(),
            ..said(word)
        };
        consents.record(&cleo, None, words).await.map(|r| r.said_at)
    };
    let day = 24 * HOUR_MS;
    assert_eq!(
        at(PatientWordValue::Yes, "2026-11-21").await.unwrap(),
        START - 2 * day
    );
    assert_eq!(
        at(PatientWordValue::No, "2026-11-21").await.unwrap(),
        START - day - 1
    );
    assert_eq!(
        at(PatientWordValue::No, "2026-11-23").await.unwrap(),
        START,
        "never after now"
    );
    assert_eq!(
        at(PatientWordValue::Yes, "2026-11-22T23:00").await.unwrap(),
        START - HOUR_MS
    );
    for bad in ["2026-11-24", "2026-11-23T00:06", "yesterday"] {
        let refused = at(PatientWordValue::No, bad).await;
        assert!(
            matches!(refused, Err(ActError::Invalid { field: "said_on", .. })),
            "{bad}: {refused:?}"
        );
    }
    // What was said before what stands is history.
    let late = SaidWords {
        said_on: "2026-11-01".to_owned(),
        ..said(PatientWordValue::Yes)
    };
    let recorded = consents.record(&cleo, None, late).await.unwrap();
    assert_eq!(recorded.words[0].2.now, PatientWord::No);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let consents = PatientConsents::new(world.ctx.clone());
    let cleo = world.caller("cleo").await;
    let no = || said(PatientWordValue::No);
    let bad = [
        (
            "patients",
            SaidWords {
                patients: Vec::new(),
                ..no()
            },
        ),
        (
            "patients",
            SaidWords {
                patients: vec![patient(0), patient(0)],
                ..no()
            },
        ),
        (
            "patients",
            SaidWords {
                patients: vec![patient(0); 101],
                ..no()
            },
        ),
        (
            "share_out",
            SaidWords {
                share_out: None,
                ..no()
            },
        ),
        (
            "manner",
            SaidWords {
                manner: ConsentManner::Unspecified,
                ..no()
            },
        ),
        (
            "taken_by",
            SaidWords {
                taken_by: "two\nlines".to_owned(),
                ..no()
            },
        ),
    ];
    for (want, words) in bad {
        let refused = consents.record(&cleo, None, words).await;
        assert!(
            matches!(&refused, Err(ActError::Invalid { field, .. }) if *field == want),
            "{want}: {refused:?}"
        );
    }
    assert_eq!(world.revoker.recorded.lock().len(), 0);
}

#[tokio::test]
async fn an_objection_everywhere_is_a_no_at_every_unit_in_bounded_steps() {
    let world = World::new().await;
    for n in 0..140 {
        world.unit(&format!("Z1{n:04}")).await;
    }
    world
        .revoker
        .receipts
        .lock()
        .extend([receipt("Z00101", "Z00202"), receipt("Z00202", "Z00303")]);
    let consents = PatientConsents::new(world.ctx.clone());
    let pam = world.caller("pam").await;
    let both = SaidWords {
        share_in: Some(PatientWordValue::No),
        ..said(PatientWordValue::No)
    };
    let recorded = consents.record_everywhere(&pam, both).await.unwrap();
    assert_eq!(recorded.units, 143);
    assert_eq!(recorded.words, [], "what stood at others does not show");
    let pairs: Vec<_> = recorded.in_force.receipts.iter().map(|r| r.pair).collect();
    assert_eq!(
        pairs,
        [pair("Z00101", "Z00202"); 2],
        "nor do the receipts of others, of either step"
    );
    assert_eq!(*world.revoker.recorded.lock(), [256, 30]);
    for unit in ["Z00101", "Z00202", "Z10139"] {
        let words = world
            .ctx
            .store
            .words_of(patient(0), Some(ods(unit)), 10)
            .await
            .unwrap();
        assert_eq!(
            words
                .iter()
                .filter(|w| w.in_force && w.change.word == PatientWordValue::No)
                .count(),
            2
        );
    }
    // At another unit it does not show who of whom recorded it.
    let (_, seen) = consents
        .get(&world.caller("cat").await, None, patient(0))
        .await
        .unwrap();
    assert!(seen.iter().all(|w| w.change.by.is_empty()));
}

#[tokio::test]
async fn an_objection_everywhere_alerts_each_unit_once_however_often_it_is_asked_for() {
    let world = World::new().await;
    let consents = PatientConsents::new(world.ctx.clone());
    let pam = world.caller("pam").await;
    let alerts = async || {
        let mut all = Vec::new();
        for unit in ["Z00101", "Z00202", "Z00303"] {
            let query = AlertQuery {
                of: AlertsOf::Unit(ods(unit), None),
                open: true,
                before: None,
                limit: 10,
            };
            all.push(world.ctx.store.alerts(&query).await.unwrap().len());
        }
        all
    };
    let no = || said(PatientWordValue::No);
    world.revoker.pending.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let recorded = consents.record_everywhere(&pam, no()).await.unwrap();
        assert!(!recorded.in_force.in_force);
    }
    assert_eq!(alerts().await, [1, 1, 1]);
    // About another side, or where the patient has said otherwise since, it is another matter.
    let yes = said(PatientWordValue::Ended);
    world.clock.advance(10);
    consents.record(&pam, None, yes).await.unwrap();
    world.clock.advance(10);
    consents.record_everywhere(&pam, no()).await.unwrap();
    assert_eq!(alerts().await, [2, 1, 1]);
    let both = SaidWords {
        share_in: Some(PatientWordValue::No),
        ..no()
    };
    consents.record_everywhere(&pam, both).await.unwrap();
    assert_eq!(alerts().await, [3, 2, 2]);
}

#[tokio::test]
async fn at_every_unit_nothing_but_one_patients_no_is_recorded() {
    let world = World::new().await;
    let consents = PatientConsents::new(world.ctx.clone());
    let pam = world.caller("pam").await;
    for word in [PatientWordValue::Yes, PatientWordValue::Ended] {
        let refused = consents.record_everywhere(&pam, said(word)).await;
        assert!(
            matches!(
                refused,
                Err(ActError::Invalid {
                    field: "all_units",
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    let two = SaidWords {
        patients: vec![patient(0), patient(1)],
        ..said(PatientWordValue::No)
    };
    let refused = consents.record_everywhere(&pam, two).await;
    assert!(
        matches!(
            refused,
            Err(ActError::Invalid {
                field: "patients",
                ..
            })
        ),
        "{refused:?}"
    );
}
