//! The log as a file, as entries, and after something was erased.
//!
//! Detects: a file that does not check, one that shows what is not for its reader, an erasure that leaves
//! something behind or breaks the proof.

use futures::{StreamExt as _, TryStreamExt as _, pin_mut};
use handfast_proto::{
    amendment::Op,
    audit::{Exported, Fault, Verified, Verifier, decode_leaf, kind_of},
    merkle::{verify_consistency, verify_inclusion},
    v1::{AuditField, AuditKind, ConsentManner, PatientWordValue},
};

use super::kit::{Told, search};
use crate::{
    audit::{
        Actor,
        events::{CallRefused, EmergencyEnded},
    },
    sharing::{
        ActError, PatientConsents, SaidWords, Wanted,
        testing::{ods, patient},
    },
};

pub(super) async fn file(told: &Told, who: &str) -> Vec<u8> {
    let caller = told.world.caller(who).await;
    let pieces = told.desk.export_log(&caller, "the yearly check").await.unwrap();
    pieces.try_concat().await.unwrap()
}

pub(super) fn check(told: &Told, file: &[u8]) -> Result<(Verified, Vec<Exported>), Fault> {
    let mut verifier = Verifier::new(told.world.ctx.audit.tree().public_key());
    let mut seen = Vec::new();
    verifier
        .push(file, &mut |entry| seen.push(entry))
        .map_err(|fault| fault.fault)?;
    Ok((verifier.finish().map_err(|fault| fault.fault)?, seen))
}

pub(super) async fn dissent(told: &Told) {
    let consents = PatientConsents::new(told.world.ctx.clone());
    let cleo = told.world.caller("cleo").await;
    let said = SaidWords {
        patients: vec![patient(0)],
        share_out: Some(PatientWordValue::No),
        share_in: None,
        said_on: String::new(),
        manner: ConsentManner::Spoken,
        taken_by: "the receptionist".to_owned(),
    };
    consents.record(&cleo, None, said).await.unwrap();
}

#[tokio::test]
async fn a_file_checks_and_shows_its_reader_what_is_theirs() {
    let told = Told::new().await;
    dissent(&told).await;
    told.world.ctx.audit.tree().head_now().await.unwrap();
    told.disclosed("Z00202", 1, 3).await;
    let elsewhere = CallRefused {
        unit: Some(ods("Z00303")),
        method: "Units.Retire",
        why: "not allowed",
    };
    told.enter(&Actor::Anonymous, &elsewhere).await;
    for (who, word, name) in [("pam", true, true), ("pat", false, false), ("op", false, false)] {
        let (verified, seen) = check(&told, &file(&told, who).await).unwrap();
        let size = told.world.ctx.store.audit_size().await.unwrap();
        assert_eq!((verified.entries, seen.len() as u64), (size, size));
        assert!(verified.heads >= 2 && verified.sealed > 0, "{verified:?}");
        let values = || seen.iter().flat_map(|entry| &entry.values);
        let has = |value: &str| values().any(|v| v.value == value);
        assert_eq!(has("9990000018"), word, "{who} sees the patient");
        assert_eq!(has("the receptionist"), name, "{who} sees who took it down");
    }
    let unit = |who: &'static str| {
        let told = &told;
        async move { check(told, &file(told, who).await).unwrap().0.begin.unit }
    };
    assert_eq!(unit("pam").await, "Z00101");
    assert_eq!(unit("op").await, "");
}

#[tokio::test]
async fn heads_and_proofs_hold_for_whoever_asks() {
    let told = Told::new().await;
    let agent = told.world.caller("Z00303").await;
    let (first, _) = told.desk.tree_head(&agent, 0).await.unwrap();
    dissent(&told).await;
    let (second, proof) = told.desk.tree_head(&agent, first.head.size).await.unwrap();
    let (key, domain) = told.desk.public_key(&agent);
    key.verify(domain, &second).unwrap();
    let (old, new) = (first.head, second.head);
    verify_consistency((old.size, &old.root), (new.size, &new.root), &proof).unwrap();
    let (leaf, proof, size) = told.desk.prove_inclusion(&agent, 0, 0).await.unwrap();
    verify_inclusion(&leaf, 0, size, &proof, &new.root).unwrap();
    let beyond = told.desk.prove_inclusion(&agent, size, 0).await;
    assert!(matches!(beyond, Err(ActError::Invalid { .. })));
}

#[tokio::test]
async fn what_is_erased_is_gone_and_the_log_proves_what_it_proved() {
    let told = Told::new().await;
    dissent(&told).await;
    let (before, _) = told
        .desk
        .tree_head(&told.world.caller("pam").await, 0)
        .await
        .unwrap();
    told.world.clock.advance(10);
    let pam = told.world.caller("pam").await;
    let erased = told
        .desk
        .erase(&pam, patient(0), told.now(), "after eight years")
        .await
        .unwrap();
    assert_eq!(erased, 1);
    let again = told
        .desk
        .erase(&pam, patient(0), told.now(), "after eight years")
        .await
        .unwrap();
    assert_eq!(again, 0);
    let (verified, seen) = check(&told, &file(&told, "pam").await).unwrap();
    assert!(verified.entries > before.head.size);
    let word = seen
        .iter()
        .find(|e| {
            e.leaf
                .as_ref()
                .is_some_and(|l| kind_of(l) == AuditKind::PatientWord)
        })
        .unwrap();
    assert!(word.values.is_empty());
    let found = told.desk.search(&pam, search(Some(patient(0)))).await.unwrap();
    let kinds = found.entries.iter().map(|e| kind_of(&e.leaf));
    assert!(
        kinds.into_iter().all(|kind| kind == AuditKind::AuditRead),
        "only who read of them"
    );
    let (after, proof) = told.desk.tree_head(&pam, before.head.size).await.unwrap();
    let (old, new) = (before.head, after.head);
    verify_consistency((old.size, &old.root), (new.size, &new.root), &proof).unwrap();
}

#[tokio::test]
async fn what_the_daemon_ended_and_who_read_of_a_patient_can_be_erased_too() {
    let told = Told::new().await;
    let ended = EmergencyEnded {
        pair: told.to("Z00202"),
        patient: patient(0),
        access: 0,
        grant: Some(told.grant),
        expired: true,
    };
    told.enter(&Actor::Daemon, &ended).await;
    let (pam, pat) = (told.world.caller("pam").await, told.world.caller("pat").await);
    let erase = async |who| {
        told.world.clock.advance(10);
        let erased = told
            .desk
            .erase(who, patient(0), told.now(), "after eight years")
            .await;
        erased.unwrap()
    };
    assert_eq!(erase(&pam).await, 0, "the recipient's affair");
    assert_eq!(erase(&pat).await, 1);
    assert_eq!(erase(&pat).await, 1, "that it was erased before");
    let rows = told.world.ctx.store.entries_of_patient(patient(0), u64::MAX, 100);
    let units: Vec<String> = rows
        .await
        .unwrap()
        .iter()
        .map(|row| decode_leaf(&row.entry.leaf).unwrap().unit)
        .collect();
    assert_eq!(units, ["Z00202", "Z00101"], "the last of either to read of them");
    // Who read, and why, stays.
    let (_, seen) = check(&told, &file(&told, "pat").await).unwrap();
    let reads = seen.iter().filter(|e| {
        let leaf = e.leaf.as_ref();
        leaf.is_some_and(|l| kind_of(l) == AuditKind::AuditRead && l.unit == "Z00202")
    });
    let fields: Vec<Vec<AuditField>> = reads
        .map(|e| {
            e.values
                .iter()
                .map(handfast_proto::v1::AuditValue::field)
                .collect()
        })
        .collect();
    assert!(!fields[0].contains(&AuditField::Patient) && fields[1].contains(&AuditField::Patient));
    assert!(fields[0].contains(&AuditField::Actor) && fields[0].contains(&AuditField::Reason));
}

#[tokio::test]
async fn an_entry_of_many_records_is_exported_in_parts_that_hold_each_once() {
    const RECORDS: u64 = 2_304;
    let mut told = Told::new().await;
    for batch in 0..RECORDS / 64 {
        let names: Vec<String> = (0..64).map(|n| format!("Observation/{batch}-{n}")).collect();
        let changes = names.iter().map(|name| (name.as_str(), patient(0), Op::Create));
        told.publish(&changes.collect::<Vec<_>>()).await;
    }
    told.disclosed("Z00202", 1, RECORDS).await;
    let pam = told.world.caller("pam").await;
    for of in [None, Some(patient(0))] {
        let wanted = Wanted {
            reason: "for the auditors".to_owned(),
            patient: of,
            from: 0,
            to: 0,
        };
        let pages = told.desk.export_entries(&pam, wanted).await.unwrap();
        let pages: Vec<Vec<_>> = pages.try_collect().await.unwrap();
        let mut seqs = Vec::new();
        for page in &pages {
            let of_page = page.iter().flat_map(|e| &e.handed_over).map(|h| h.seq);
            let before = seqs.len();
            seqs.extend(of_page);
            assert!(seqs.len() - before <= 2_000, "a page of {}", seqs.len() - before);
        }
        assert_eq!(seqs, (1..=RECORDS).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn entries_are_exported_with_the_records_that_were_handed_over() {
    let mut told = Told::new().await;
    told.publish(&[
        ("Observation/a", patient(0), Op::Create),
        ("Observation/b", patient(1), Op::Create),
    ])
    .await;
    told.disclosed("Z00202", 1, 2).await;
    dissent(&told).await;
    let exported = async |who: &str, of: Option<usize>| {
        let caller = told.world.caller(who).await;
        let wanted = Wanted {
            reason: "for the auditors".to_owned(),
            patient: of.map(patient),
            from: 0,
            to: 0,
        };
        let pages = told.desk.export_entries(&caller, wanted).await.unwrap();
        pin_mut!(pages);
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            all.extend(page.unwrap());
        }
        assert!(
            all.windows(2).all(|w| w[0].entry.index < w[1].entry.index),
            "in order"
        );
        all
    };
    let records = |all: &[crate::sharing::ExportedEntry]| {
        let each = all.iter().flat_map(|e| &e.handed_over);
        each.map(|h| (h.record.id().to_owned(), h.patient))
            .collect::<Vec<_>>()
    };
    let (a, b) = (("a".to_owned(), patient(0)), ("b".to_owned(), patient(1)));
    let all = exported("pam", None).await;
    assert_eq!(records(&all), [a.clone(), b]);
    let of_one = exported("pam", Some(0)).await;
    assert_eq!(records(&of_one), [a]);
    let patients = of_one.iter().flat_map(|e| &e.entry.values);
    assert!(
        patients
            .filter(|v| v.field() == AuditField::Patient)
            .all(|v| v.value == "9990000018")
    );
    let op = exported("op", None).await;
    assert!(records(&op).is_empty() && !op.is_empty());
    assert_eq!(
        exported("tom", Some(0)).await.len(),
        1,
        "only that it was asked for"
    );
}
