//! I1: what a recipient's people are told of a source is what went to their unit.
//!
//! Detects: a removal of a record that never arrived, or with the category or the patient that it came to have; a
//! place to go on that names a unit that sent nothing; a log that is read for whoever received nothing of it; what is
//! left out of an answer that calls itself whole.

use futures::TryStreamExt as _;
use handfast_proto::{
    amendment::{Category, Confidentiality, Op, Subject},
    audit::Runs,
    ids::NhsNumber,
};

use super::{
    super::handed::MAX_ENTRIES_OF_STRETCH,
    kit::{Told, of, search},
};
use crate::{
    audit::{Actor, events::Disclosed},
    consent::Reason,
    sharing::{
        HandedOver, Standing, Wanted,
        testing::{ods, patient},
    },
    store::SqliteStore,
};

type Line = (String, u64, Op, Category, NhsNumber);

fn lines(handed: &[HandedOver]) -> Vec<Line> {
    let each = handed.iter();
    each.map(|h| (h.record.id().to_owned(), h.seq, h.op, h.category, h.patient))
        .collect()
}

async fn searched(told: &Told, who: &str, of: NhsNumber) -> Vec<Line> {
    let caller = told.world.caller(who).await;
    let found = told.desk.search(&caller, search(Some(of))).await.unwrap();
    assert_eq!(found.next, "");
    lines(&found.handed_over)
}

async fn exported(told: &Told, who: &str) -> Vec<Line> {
    let caller = told.world.caller(who).await;
    let wanted = Wanted {
        reason: "for the auditors".to_owned(),
        patient: None,
        from: 0,
        to: 0,
    };
    let pages = told.desk.export_entries(&caller, wanted).await.unwrap();
    let pages: Vec<Vec<_>> = pages.try_collect().await.unwrap();
    let entries = pages.into_iter().flatten();
    entries.flat_map(|entry| lines(&entry.handed_over)).collect()
}

async fn explained(told: &Told, who: &str, of: NhsNumber) -> Vec<(String, Standing, Category)> {
    let caller = told.world.caller(who).await;
    let pair = told.to("Z00202");
    let explained = told.desk.explain(&caller, of, pair, "a complaint", "").await;
    let records = explained.unwrap().records.into_iter();
    records
        .map(|r| (r.record.id().to_owned(), r.standing, r.category))
        .collect()
}

fn line(record: &str, seq: u64, op: Op, category: Category, of: NhsNumber) -> Line {
    (record.to_owned(), seq, op, category, of)
}

#[tokio::test]
async fn i1_a_removal_of_what_never_arrived_is_not_told() {
    let mut told = Told::new().await;
    let one = patient(0);
    let private = Subject {
        confidentiality: Confidentiality::from_bits(1).unwrap(),
        category: Category::Problems,
        ..of(one)
    };
    told.publish_as(&[
        ("Condition/p", private, Op::Create),
        ("Observation/a", of(one), Op::Create),
    ])
    .await;
    told.publish_as(&[
        ("Condition/p", private, Op::Retract),
        ("Observation/a", of(one), Op::Retract),
    ])
    .await;
    told.disclosed("Z00202", 2, 2).await;
    told.removed(3, 4).await;
    let kind = Category::Observations;
    let arrived = [
        line("a", 2, Op::Create, kind, one),
        line("a", 4, Op::Remove, kind, one),
    ];
    assert_eq!(searched(&told, "pat", one).await, arrived);
    assert_eq!(exported(&told, "pat").await, arrived[..1]);
    let at_recipient = explained(&told, "pat", one).await;
    assert_eq!(at_recipient, [("a".to_owned(), Standing::Withdrawn, kind)]);
    let mut all = arrived.to_vec();
    all.insert(1, line("p", 3, Op::Remove, Category::Problems, one));
    assert_eq!(searched(&told, "pam", one).await, all, "its source is told");
    assert_eq!(exported(&told, "pam").await, all);
}

#[tokio::test]
async fn i1_a_removal_is_told_as_the_version_that_had_arrived() {
    let mut told = Told::new().await;
    let (one, other) = (patient(0), patient(1));
    told.publish(&[
        ("Observation/a", one, Op::Create),
        ("Observation/b", one, Op::Create),
    ])
    .await;
    let elsewhere = Subject {
        category: Category::Problems,
        ..of(one)
    };
    told.publish_as(&[
        ("Observation/a", elsewhere, Op::Amend),
        ("Observation/b", of(other), Op::Amend),
    ])
    .await;
    told.disclosed("Z00202", 1, 2).await;
    told.removed(3, 4).await;
    let kind = Category::Observations;
    assert_eq!(
        searched(&told, "pat", one).await,
        [
            line("a", 1, Op::Create, kind, one),
            line("b", 2, Op::Create, kind, one),
            line("a", 3, Op::Remove, kind, one),
        ],
        "not in the category that it has now"
    );
    assert!(
        searched(&told, "pat", other).await.is_empty(),
        "not under the patient whose it is now"
    );
    assert!(explained(&told, "pat", other).await.is_empty());
    assert_eq!(exported(&told, "pat").await.len(), 2, "no removal");
    assert_eq!(
        explained(&told, "pat", one).await[0],
        ("a".to_owned(), Standing::Withdrawn, kind)
    );
}

#[tokio::test]
async fn a_removal_of_what_arrived_on_an_earlier_page_is_told() {
    let mut told = Told::new().await;
    let one = patient(0);
    for batch in 0..20 {
        let names: Vec<String> = (0..64).map(|n| format!("Observation/{batch}-{n}")).collect();
        let changes = names.iter().map(|name| (name.as_str(), one, Op::Create));
        told.publish(&changes.collect::<Vec<_>>()).await;
    }
    told.publish(&[("Observation/0-0", one, Op::Retract)]).await;
    told.disclosed("Z00202", 1, 1_280).await;
    told.removed(1_281, 1_281).await;
    let pat = told.world.caller("pat").await;
    let mut next = search(Some(one));
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let found = told.desk.search(&pat, next.clone()).await.unwrap();
        all.extend(lines(&found.handed_over));
        pages += 1;
        if found.next.is_empty() {
            break;
        }
        next.after = found.next;
    }
    assert!(pages > 1);
    assert_eq!(all.len(), 1_281);
    let removal = line("0-0", 1_281, Op::Remove, Category::Observations, one);
    assert_eq!(all.last(), Some(&removal));
}

/// More stretches than one answer looks at, and more versions than one explains; all of them withheld.
const BATCHES: u64 = 310;

#[tokio::test]
async fn i1_of_a_unit_that_sent_nothing_nothing_is_read_and_nothing_told() {
    let mut told = Told::new().await;
    let one = patient(0);
    for batch in 0..BATCHES {
        let names: Vec<String> = (0..64).map(|n| format!("Observation/{batch}-{n}")).collect();
        let changes = names.iter().map(|name| (name.as_str(), one, Op::Create));
        told.publish(&changes.collect::<Vec<_>>()).await;
    }
    told.withheld(Reason::PatientDissentOut, 1, BATCHES * 64).await;
    let pam = told.world.caller("pam").await;
    let found = told.desk.search(&pam, search(Some(one))).await.unwrap();
    assert!(found.next.starts_with('h'), "of its own stream there is more");
    // Whoever reads of the log from here on fails.
    let store = SqliteStore::open(told.world.dir()).await.unwrap();
    store
        .tamper(&["UPDATE log SET header_len = length(data) + 1".to_owned()])
        .await;
    told.desk.search(&pam, search(Some(one))).await.unwrap_err();
    for who in ["tom", "pat"] {
        assert!(searched(&told, who, one).await.is_empty(), "{who}");
        let caller = told.world.caller(who).await;
        let report = told.desk.patient_report(&caller, one, (0, 0), "asked for").await;
        let report = report.unwrap();
        assert!(report.complete && report.sendings.is_empty(), "{who}");
    }
    assert!(explained(&told, "pat", one).await.is_empty());
}

#[tokio::test]
async fn a_report_that_leaves_something_out_is_not_complete() {
    let mut told = Told::new().await;
    told.publish(&[("Observation/a", patient(0), Op::Create)]).await;
    let event = Disclosed {
        pair: told.to("Z00202"),
        grant: told.grant,
        job: None,
        runs: &Runs::of(1, 1),
        removals: &Runs::default(),
    };
    let ctx = &told.world.ctx;
    let entry = |_| ctx.audit.entry(told.now(), &Actor::Daemon, &event).unwrap();
    let entries: Vec<_> = (0..MAX_ENTRIES_OF_STRETCH + 1).map(entry).collect();
    let complete = async |who: &str| {
        let caller = told.world.caller(who).await;
        let report = told
            .desk
            .patient_report(&caller, patient(0), (0, 0), "asked for")
            .await;
        report.unwrap().complete
    };
    ctx.store.enter(&entries[..10]).await.unwrap();
    assert!(complete("pam").await && complete("pat").await);
    ctx.store.enter(&entries[10..]).await.unwrap();
    assert!(!complete("pam").await && !complete("pat").await);
    assert_eq!(told.to("Z00202").source, ods("Z00101"));
}
