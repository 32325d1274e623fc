//! What is explained of each record, and to whom.
//!
//! Detects: a standing or a reason that is not the gate's, and to a recipient's people what was withheld from them or
//! came after what they received.

use handfast_proto::{amendment::Op, audit::Runs, ids::NhsNumber, v1::WithheldReason};

use super::kit::Told;
use crate::{
    audit::{
        Actor,
        events::{Disclosed, WithdrawalConfirmed, WithdrawalsDue},
    },
    consent::{HalfTerms, Policy, Reason, Side, Terms},
    sharing::{
        Agreements, Standing,
        testing::{half, pair, patient},
    },
    store::{Job, JobId, JobKind, UnitChange, UnitState},
};

#[tokio::test]
async fn an_explanation_says_why_and_tells_the_recipient_only_what_it_received() {
    let mut told = Told::new().await;
    let one = patient(0);
    told.publish(&[
        ("Observation/a", one, Op::Create),
        ("Observation/b", one, Op::Create),
        ("Observation/c", one, Op::Create),
        ("Observation/x", patient(1), Op::Create),
    ])
    .await;
    told.publish(&[("Observation/c", one, Op::Retract)]).await;
    told.disclosed("Z00202", 1, 1).await;
    told.disclosed("Z00202", 3, 3).await;
    let explain = async |who: &str| {
        let caller = told.world.caller(who).await;
        let pair = pair("Z00101", "Z00202");
        let explained = told
            .desk
            .explain(&caller, one, pair, "a complaint", "")
            .await
            .unwrap();
        let each = explained.records.into_iter();
        each.map(|r| (r.record.id().to_owned(), r.standing, r.withheld))
            .collect::<Vec<_>>()
    };
    let none = WithheldReason::Unspecified;
    assert_eq!(
        explain("pam").await,
        [
            ("a".to_owned(), Standing::Forwarded, none),
            ("b".to_owned(), Standing::Due, none),
            ("c".to_owned(), Standing::Withdrawn, none),
        ]
    );
    let agreements = Agreements::new(told.world.ctx.clone());
    let ann = told.world.caller("ann").await;
    let off = half("Z00101", "Z00202", Side::ShareOut, false);
    agreements.set(&ann, off).await.unwrap();
    let why = WithheldReason::ShareOutOff;
    assert_eq!(
        explain("pam").await,
        [
            ("a".to_owned(), Standing::Withdrawn, why),
            ("b".to_owned(), Standing::Withheld, why),
            ("c".to_owned(), Standing::Withdrawn, none),
        ]
    );
    let received = explain("pat").await;
    assert_eq!(
        received,
        [
            ("a".to_owned(), Standing::Withdrawn, none),
            ("c".to_owned(), Standing::Withdrawn, none)
        ]
    );
}

#[tokio::test]
async fn a_recipient_is_told_of_the_version_that_it_received_and_of_none_after_it() {
    let mut told = Told::new().await;
    let one = patient(0);
    told.publish(&[("Observation/a", one, Op::Create)]).await;
    told.publish(&[("Observation/a", one, Op::Amend)]).await;
    told.publish(&[("Observation/a", one, Op::Retract)]).await;
    told.disclosed("Z00202", 1, 1).await;
    told.withheld(Reason::PrivateEntry, 2, 2).await;
    for (who, seq, retracted, events) in [("pam", 3, true, 2), ("pat", 1, false, 1)] {
        let caller = told.world.caller(who).await;
        let explained = told
            .desk
            .explain(&caller, one, told.to("Z00202"), "why", "")
            .await;
        let records = explained.unwrap().records;
        let [record] = records.as_slice() else {
            panic!("{records:?}")
        };
        let found = (record.seq, record.retracted, record.events.len());
        assert_eq!(found, (seq, retracted, events), "{who}");
    }
}

/// How a record stands for the source's officer, why, and how many withdrawals and ends are shown of it.
async fn stands(told: &Told, patient: NhsNumber, record: &str) -> Option<(Standing, WithheldReason, usize)> {
    let pam = told.world.caller("pam").await;
    let explained = told
        .desk
        .explain(&pam, patient, told.to("Z00202"), "why", "")
        .await
        .unwrap();
    assert!(explained.all_ends);
    let record = explained
        .records
        .into_iter()
        .find(|r| r.record.to_string() == record)?;
    let ends = record.events.iter().filter(|e| e.seq == 0).count();
    Some((record.standing, record.withheld, ends))
}

fn confirmed(told: &Told, kind: JobKind) -> WithdrawalConfirmed {
    WithdrawalConfirmed {
        job: Job {
            id: JobId(9),
            pair: told.to("Z00202"),
            grant: told.grant,
            kind,
        },
        removed: 1,
        not_removed: 0,
    }
}

/// Detects a withdrawal of another patient's records, or of what other terms left out, that is shown of records which
/// it did not withdraw.
#[tokio::test]
async fn a_withdrawal_is_shown_of_the_records_that_it_withdrew() {
    let mut told = Told::new().await;
    let (one, other) = (patient(0), patient(1));
    told.publish(&[
        ("Observation/a", one, Op::Create),
        ("Observation/b", one, Op::Create),
        ("Observation/x", other, Op::Create),
    ])
    .await;
    told.disclosed("Z00202", 1, 3).await;
    let none = WithheldReason::Unspecified;
    let of_other = JobKind::Patient {
        patient: other,
        through: 0,
    };
    told.enter(&Actor::Daemon, &confirmed(&told, of_other)).await;
    assert_eq!(
        stands(&told, one, "Observation/a").await,
        Some((Standing::Forwarded, none, 0))
    );
    assert_eq!(
        stands(&told, other, "Observation/x").await,
        Some((Standing::Due, none, 1))
    );
    let before = Terms {
        share_out: HalfTerms::ON,
        share_in: HalfTerms::ON,
        policy: Policy::UnlessDissented,
    };
    let removed = Disclosed {
        pair: told.to("Z00202"),
        grant: told.grant,
        job: Some(JobId(9)),
        runs: &Runs::default(),
        removals: &Runs::of(2, 2),
    };
    told.enter(&Actor::Daemon, &removed).await;
    let by_terms = JobKind::Changes { before, through: 0 };
    told.enter(&Actor::Daemon, &confirmed(&told, by_terms)).await;
    assert_eq!(
        stands(&told, one, "Observation/a").await,
        Some((Standing::Forwarded, none, 0))
    );
    assert_eq!(
        stands(&told, one, "Observation/b").await,
        Some((Standing::Due, none, 1))
    );
}

/// Detects what is frozen told as withdrawn.
#[tokio::test]
async fn what_a_suspension_freezes_is_there_still() {
    let mut told = Told::new().await;
    let one = patient(0);
    told.publish(&[
        ("Observation/a", one, Op::Create),
        ("Observation/b", one, Op::Create),
    ])
    .await;
    told.disclosed("Z00202", 1, 1).await;
    let change = UnitChange {
        ods: "Z00101".parse().unwrap(),
        state: UnitState::Suspended,
        withdraw: false,
        by: "a test".to_owned(),
        reason: "a test's".to_owned(),
        at: told.now(),
    };
    told.world
        .ctx
        .revoker
        .set_unit_state(change, Vec::new())
        .await
        .unwrap();
    let why = WithheldReason::SourceSuspended;
    assert_eq!(
        stands(&told, one, "Observation/a").await,
        Some((Standing::Forwarded, why, 0))
    );
    assert_eq!(
        stands(&told, one, "Observation/b").await,
        Some((Standing::Withheld, why, 0))
    );
}

/// Detects an arrival that counts although its grant has ended, or a removal of it came due, since then.
#[tokio::test]
async fn what_was_withdrawn_and_may_go_again_is_on_its_way() {
    let mut told = Told::new().await;
    let one = patient(0);
    told.publish(&[("Observation/a", one, Op::Create)]).await;
    told.disclosed("Z00202", 1, 1).await;
    let none = WithheldReason::Unspecified;
    let due = WithdrawalsDue {
        unit: "Z00101".parse().unwrap(),
        patient: one,
        due: &[(told.to("Z00202"), told.grant)],
    };
    told.enter(&Actor::Daemon, &due).await;
    assert_eq!(
        stands(&told, one, "Observation/a").await,
        Some((Standing::Due, none, 1))
    );
    told.disclosed("Z00202", 1, 1).await;
    assert_eq!(
        stands(&told, one, "Observation/a").await,
        Some((Standing::Forwarded, none, 1))
    );
    let agreements = Agreements::new(told.world.ctx.clone());
    let ann = told.world.caller("ann").await;
    for on in [false, true] {
        let change = half("Z00101", "Z00202", Side::ShareOut, on);
        agreements.set(&ann, change).await.unwrap();
    }
    assert_eq!(
        stands(&told, one, "Observation/a").await,
        Some((Standing::Due, none, 1))
    );
}

/// Detects a record that is another patient's now, told as this one's.
#[tokio::test]
async fn a_record_that_became_another_patients_is_not_this_ones_any_more() {
    let mut told = Told::new().await;
    let (one, other) = (patient(0), patient(1));
    told.publish(&[("Observation/a", one, Op::Create)]).await;
    told.disclosed("Z00202", 1, 1).await;
    told.publish(&[("Observation/a", other, Op::Amend)]).await;
    told.disclosed("Z00202", 2, 2).await;
    let none = WithheldReason::Unspecified;
    assert_eq!(
        stands(&told, one, "Observation/a").await,
        Some((Standing::Withdrawn, none, 0))
    );
    assert_eq!(
        stands(&told, other, "Observation/a").await,
        Some((Standing::Forwarded, none, 0))
    );
}
