//! Searching and reporting, and who may read.
//!
//! Detects: an answer to somebody who may not have it, a reading that is not entered or has no reason, a version
//! ascribed to another recipient or patient, and to a recipient's people what was withheld from them.

use std::collections::BTreeSet;

use handfast_proto::{
    amendment::{Op, Text},
    statement::View,
    v1::{AuditField, AuditKind},
};

use super::kit::{Told, search};
use crate::{
    audit::{
        Actor,
        events::{PolicySet, Viewed},
    },
    consent::{Facts, Policy, Reason},
    sharing::{
        ActError, Wanted,
        testing::{ods, pair, patient},
    },
    store::{AppendGroup, JoinedNumbers, Stated},
};

const OFFICERS: &[&str] = &["pam", "aud", "pat", "tom"];
const OFFICERS_AND_OPERATOR: &[&str] = &["op", "pam", "aud", "pat", "tom"];
const EVERYONE: &[&str] = &[
    "op", "ann", "cleo", "pam", "aud", "bob", "cat", "pat", "tom", "Z00101",
];

/// Each call, and who may.
const WHO_READS: [(&str, &[&str]); 11] = [
    ("Audit.Search", OFFICERS_AND_OPERATOR),
    ("Audit.Search, of a patient", OFFICERS),
    (
        "Audit.Explain, of a pair of one's own unit",
        &["pam", "aud", "pat"],
    ),
    ("Audit.PatientReport", OFFICERS),
    ("Audit.Export, the log", OFFICERS_AND_OPERATOR),
    ("Audit.Export, entries", OFFICERS_AND_OPERATOR),
    ("Audit.Export, a patient's entries", OFFICERS),
    ("Audit.Erase", &["pam", "pat", "tom"]),
    ("Audit.TreeHead", EVERYONE),
    ("Audit.ProveConsistency", EVERYONE),
    ("Audit.ProveInclusion", EVERYONE),
];

#[tokio::test]
async fn i1_each_call_is_for_those_who_may_and_for_no_one_else() {
    let told = Told::new().await;
    let (desk, world) = (&told.desk, &told.world);
    let wanted = || Wanted {
        reason: "a complaint".to_owned(),
        patient: None,
        from: 0,
        to: 0,
    };
    let between = pair("Z00101", "Z00202");
    for who in [
        "op", "ann", "cleo", "pam", "aud", "bob", "cat", "pat", "tom", "Z00101",
    ] {
        let caller = world.caller(who).await;
        let tried = |result: Result<(), ActError>, call: &str| {
            let (_, who_may) = WHO_READS.iter().find(|(name, _)| *name == call).unwrap();
            match result {
                Ok(()) => assert!(who_may.contains(&who), "{who} may not: {call}"),
                Err(ActError::Denied) => assert!(!who_may.contains(&who), "{who} may: {call}"),
                Err(other) => panic!("{who}: {call}: {other}"),
            }
        };
        let of_everyone = desk.search(&caller, search(None)).await.map(drop);
        tried(of_everyone, "Audit.Search");
        let of_patient = desk.search(&caller, search(Some(patient(0)))).await.map(drop);
        tried(of_patient, "Audit.Search, of a patient");
        let mut elsewhere = search(None);
        elsewhere.unit = Some(ods("Z00303"));
        let elsewhere = desk.search(&caller, elsewhere).await.is_ok();
        assert_eq!(elsewhere, ["op", "tom"].contains(&who), "{who}: another unit's");
        let explained = desk
            .explain(&caller, patient(0), between, "a complaint", "")
            .await;
        tried(explained.map(drop), "Audit.Explain, of a pair of one's own unit");
        let report = desk
            .patient_report(&caller, patient(0), (0, 0), "a complaint")
            .await;
        tried(report.map(drop), "Audit.PatientReport");
        let log = desk.export_log(&caller, "a complaint").await.map(drop);
        tried(log, "Audit.Export, the log");
        let entries = desk.export_entries(&caller, wanted()).await.map(drop);
        tried(entries, "Audit.Export, entries");
        let mut one = wanted();
        one.patient = Some(patient(0));
        let entries = desk.export_entries(&caller, one).await.map(drop);
        tried(entries, "Audit.Export, a patient's entries");
        let erased = desk.erase(&caller, patient(0), 0, "a complaint").await.map(drop);
        tried(erased, "Audit.Erase");
        tried(desk.tree_head(&caller, 0).await.map(drop), "Audit.TreeHead");
        let proof = desk.prove_consistency(&caller, 1, 0).await.map(drop);
        tried(proof, "Audit.ProveConsistency");
        let proof = desk.prove_inclusion(&caller, 0, 0).await.map(drop);
        tried(proof, "Audit.ProveInclusion");
    }
}

#[tokio::test]
async fn reading_needs_a_reason_and_is_entered_before_the_answer() {
    let told = Told::new().await;
    let pam = told.world.caller("pam").await;
    let mut without = search(Some(patient(0)));
    without.reason = "  ".to_owned();
    let refused = told.desk.search(&pam, without).await;
    assert!(matches!(refused, Err(ActError::Invalid { field: "reason", .. })));
    told.desk.search(&pam, search(Some(patient(0)))).await.unwrap();
    let aud = told.world.caller("aud").await;
    let found = told.desk.search(&aud, search(None)).await.unwrap();
    let read: Vec<_> = found
        .entries
        .iter()
        .filter(|e| told_kind(e) == AuditKind::AuditRead)
        .collect();
    assert_eq!(read.len(), 2, "its own too");
    let value = |field| {
        read[1]
            .values
            .iter()
            .find(|v| v.field() == field)
            .unwrap()
            .value
            .as_str()
    };
    assert_eq!(value(AuditField::Actor), "pam");
    assert_eq!(value(AuditField::Reason), "a complaint");
    assert_eq!(value(AuditField::Patient), "9990000018");
}

fn told_kind(entry: &crate::sharing::SeenEntry) -> AuditKind {
    handfast_proto::audit::kind_of(&entry.leaf)
}

#[tokio::test]
async fn i1_a_unit_finds_what_concerns_it_and_the_operator_no_patient() {
    let told = Told::new().await;
    told.withheld(Reason::NotOnCaseload, 1, 1).await;
    told.disclosed("Z00202", 2, 2).await;
    let policy = PolicySet {
        policy: Policy::Explicit,
        reason: "law",
    };
    told.enter(&Actor::Host, &policy).await;
    let kinds = async |who: &str| {
        let caller = told.world.caller(who).await;
        let found = told.desk.search(&caller, search(None)).await.unwrap();
        found.entries.iter().map(told_kind).collect::<BTreeSet<_>>()
    };
    use AuditKind::{AuditRead, Disclosed, HalfSet, PolicySet as Set, Withheld};
    assert_eq!(kinds("tom").await, BTreeSet::from([Set, AuditRead]));
    let pam = kinds("pam").await;
    assert!(pam.is_superset(&BTreeSet::from([Set, HalfSet, Withheld, Disclosed, AuditRead])));
    let pat = kinds("pat").await;
    assert!(pat.contains(&Disclosed) && !pat.contains(&Withheld), "{pat:?}");
    let op = kinds("op").await;
    assert!(
        op.contains(&HalfSet) && !op.contains(&Disclosed),
        "not without a unit: {op:?}"
    );
}

#[tokio::test]
async fn a_search_says_which_record_went_to_whom_and_when() {
    let mut told = Told::new().await;
    let (one, other) = (patient(0), patient(1));
    told.publish(&[
        ("Observation/a", one, Op::Create),
        ("Observation/b", other, Op::Create),
        ("Observation/c", one, Op::Create),
    ])
    .await;
    told.publish(&[
        ("Observation/a", one, Op::Amend),
        ("Observation/d", one, Op::Create),
    ])
    .await;
    told.disclosed("Z00202", 1, 4).await;
    told.withheld(Reason::PrivateEntry, 5, 5).await;
    told.disclosed("Z00303", 1, 1).await;
    let found = async |who: &str| {
        let caller = told.world.caller(who).await;
        let found = told.desk.search(&caller, search(Some(one))).await.unwrap();
        assert_eq!(found.next, "");
        let each = found.handed_over.iter();
        each.map(|h| (h.record.to_string(), h.seq, h.recipient.to_string(), h.kind))
            .collect::<BTreeSet<_>>()
    };
    let to = |record: &str, seq, recipient: &str, kind| {
        (format!("Observation/{record}"), seq, recipient.to_owned(), kind)
    };
    use AuditKind::{Disclosed, Withheld};
    let to_ward = [
        to("a", 1, "Z00202", Disclosed),
        to("c", 3, "Z00202", Disclosed),
        to("a", 4, "Z00202", Disclosed),
    ];
    let mut all = BTreeSet::from(to_ward.clone());
    all.insert(to("d", 5, "Z00202", Withheld));
    all.insert(to("a", 1, "Z00303", Disclosed));
    assert_eq!(found("pam").await, all);
    assert_eq!(
        found("pat").await,
        BTreeSet::from(to_ward),
        "what it received, and no more"
    );
    assert_eq!(
        found("tom").await,
        BTreeSet::from([to("a", 1, "Z00303", Disclosed)])
    );
}

#[tokio::test]
async fn a_patient_whose_number_was_used_by_mistake_is_not_in_anothers_report() {
    let mut told = Told::new().await;
    let (one, other) = (patient(0), patient(1));
    // The first was entered under the number of the second.
    told.publish(&[
        ("Observation/first", other, Op::Create),
        ("Observation/second", other, Op::Create),
    ])
    .await;
    let joined = JoinedNumbers {
        unit: ods("Z00101"),
        former: other,
        current: one,
    };
    let said = AppendGroup {
        stated: vec![Stated::Joined(joined)],
        ..AppendGroup::default()
    };
    told.world.ctx.store.append(&said).await.unwrap();
    told.publish(&[("Observation/first", one, Op::Amend)]).await;
    told.disclosed("Z00202", 1, 3).await;
    let pam = told.world.caller("pam").await;
    let seqs = async |of| {
        let found = told.desk.search(&pam, search(Some(of))).await.unwrap();
        found.handed_over.iter().map(|h| h.seq).collect::<BTreeSet<_>>()
    };
    let holds = |recorded| {
        told.world
            .revoker
            .knows(ods("Z00101"), other, |facts| Facts { recorded, ..facts });
    };
    holds(true);
    assert_eq!(seqs(one).await, BTreeSet::from([3]));
    assert_eq!(seqs(other).await, BTreeSet::from([1, 2]));
    // Where nobody else has the number, it was the patient's own.
    holds(false);
    assert_eq!(seqs(one).await, BTreeSet::from([1, 2, 3]));
    assert_eq!(seqs(other).await, BTreeSet::from([1, 2, 3]));
}

#[tokio::test]
async fn a_search_that_is_read_in_parts_gives_each_once() {
    let mut told = Told::new().await;
    for n in 0..600 {
        let record = format!("Observation/r{n}");
        told.publish(&[(&record, patient(0), Op::Create)]).await;
    }
    for n in 0..60 {
        told.disclosed("Z00202", n * 10 + 1, n * 10 + 10).await;
    }
    let view = View {
        person: Text::new("Dr Lee").unwrap(),
        permission: Text::default(),
        reason: Text::default(),
        source: None,
        viewed_at: 5,
    };
    for seq in 1..=450 {
        let event = Viewed {
            unit: ods("Z00202"),
            patient: patient(0),
            view: &view,
            seq,
        };
        told.enter(&Actor::Agent(ods("Z00202")), &event).await;
    }
    let pat = told.world.caller("pat").await;
    let (mut entries, mut seqs, mut calls) = (Vec::new(), Vec::new(), 0);
    let mut next = search(Some(patient(0)));
    loop {
        let found = told.desk.search(&pat, next.clone()).await.unwrap();
        entries.extend(found.entries.iter().map(|e| e.index));
        seqs.extend(found.handed_over.iter().map(|h| h.seq));
        calls += 1;
        if found.next.is_empty() {
            break;
        }
        next.after = found.next;
    }
    let reads = entries.len() - 450;
    assert!(reads <= calls, "{reads} of {calls}");
    assert!(
        entries.windows(2).all(|w| w[0] > w[1]),
        "the newest first, each once"
    );
    assert_eq!(seqs, (1..=600).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_report_says_perhaps_only_of_what_is_not_known_to_have_arrived() {
    let mut told = Told::new().await;
    told.publish(&[
        ("Observation/a", patient(0), Op::Create),
        ("Observation/b", patient(0), Op::Create),
    ])
    .await;
    told.perhaps("Z00202", 1, 2).await;
    told.disclosed("Z00202", 1, 1).await;
    let pam = told.world.caller("pam").await;
    let report = told.desk.patient_report(&pam, patient(0), (0, 0), "asked for");
    let sendings = report.await.unwrap().sendings;
    let each = sendings.iter().map(|s| (s.perhaps, s.categories[0].1));
    assert_eq!(each.collect::<Vec<_>>(), [(false, 1), (true, 1)]);
}

#[tokio::test]
async fn a_report_says_sent_to_and_viewed_by_only_where_a_view_was_reported() {
    let mut told = Told::new().await;
    told.publish(&[
        ("Observation/a", patient(0), Op::Create),
        ("Observation/b", patient(0), Op::Create),
    ])
    .await;
    told.disclosed("Z00202", 1, 2).await;
    let pam = told.world.caller("pam").await;
    let report = told
        .desk
        .patient_report(&pam, patient(0), (0, 0), "asked for")
        .await
        .unwrap();
    assert!(report.views.is_empty() && report.complete);
    assert_eq!(report.sendings.len(), 1);
    let sending = &report.sendings[0];
    assert_eq!((sending.recipient, sending.perhaps), (ods("Z00202"), false));
    assert_eq!(sending.categories.iter().map(|(_, n)| n).sum::<u64>(), 2);
    assert_eq!(report.names[&ods("Z00202")], "Unit Z00202");
    let view = View {
        person: Text::new("Dr Lee").unwrap(),
        permission: Text::new("clinical").unwrap(),
        reason: Text::new("on the ward").unwrap(),
        source: Some(ods("Z00101")),
        viewed_at: 77,
    };
    let event = Viewed {
        unit: ods("Z00202"),
        patient: patient(0),
        view: &view,
        seq: 3,
    };
    told.enter(&Actor::Agent(ods("Z00202")), &event).await;
    let views = async |who: &str| {
        let caller = told.world.caller(who).await;
        let report = told
            .desk
            .patient_report(&caller, patient(0), (0, 0), "asked for")
            .await;
        report.unwrap().views
    };
    let at_ward = views("pat").await;
    assert_eq!((at_ward[0].person.as_str(), at_ward[0].at), ("Dr Lee", 77));
    let at_source = views("pam").await;
    assert_eq!(
        (at_source[0].person.as_str(), at_source[0].unit.as_str()),
        ("", "Z00202"),
        "that it was viewed, not by whom"
    );
    assert!(views("tom").await.is_empty());
}
