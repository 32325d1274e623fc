//! Entries as they are made, and who sees what of them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use handfast_proto::{
    amendment::Text,
    audit::{Runs, check_values, decode_leaf, kind_of, units_of},
    ids::{Holder, NhsNumber, OdsCode},
    merkle::leaf_hash,
    statement::View,
    v1::{
        AuditField, AuditKind, AuditLeaf, AuditPersonal, AuditValue, PerhapsCause, PersonChange,
        audit_leaf::Event as Wire,
    },
};
use prost::Message as _;

use super::{
    Actor, Disclosures, Event, Reader, Scribe, Sight, Stream,
    events::{AuditRead, CallRefused, EmergencyOpened, HalfSet, PersonChanged, PolicySet, Viewed, Withheld},
    shown,
};
use crate::{
    consent::{GrantId, Pair, Policy, Reason, Side},
    random::Random,
    store::{HalfChange, HalfScope, JobId, NewEntry, PersonRow, Role},
};

use Sight::{Outside, Sealed, Whole};

const AT: i64 = 1_790_000_000_000;

/// Bytes that are never twice the same, or none.
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) -> io::Result<()> {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        if n == u64::MAX {
            return Err(io::ErrorKind::Unsupported.into());
        }
        out.iter_mut()
            .zip(n.to_le_bytes().iter().cycle())
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

fn scribe() -> Scribe {
    Scribe::new(Arc::new(Counting(AtomicU64::new(1))))
}

fn ods(code: &str) -> OdsCode {
    code.parse().unwrap()
}

fn pair() -> Pair {
    Pair {
        source: ods("Z00101"),
        recipient: ods("Z00202"),
    }
}

fn person(id: &str, unit: &str) -> Actor {
    Actor::Person {
        id: id.parse().unwrap(),
        unit: Some(ods(unit)),
        role: Role::UnitAdmin,
    }
}

fn operator() -> Actor {
    Actor::Person {
        id: "op-1".parse().unwrap(),
        unit: None,
        role: Role::Operator,
    }
}

fn patient() -> NhsNumber {
    "9990000018".parse().unwrap()
}

fn made(actor: &Actor, event: &dyn Event) -> (NewEntry, AuditLeaf, Vec<AuditValue>) {
    let entry = scribe().entry(AT, actor, event).unwrap();
    let leaf = decode_leaf(&entry.leaf).unwrap();
    let values = AuditPersonal::decode(entry.personal.clone()).unwrap().values;
    (entry, leaf, values)
}

fn value(values: &[AuditValue], field: AuditField) -> Option<&str> {
    values
        .iter()
        .find(|v| v.field() == field)
        .map(|v| v.value.as_str())
}

fn half(side: Side) -> HalfChange {
    HalfChange {
        pair: pair(),
        side,
        on: true,
        by: "person bob-1".to_owned(),
        reason: "agreed at the board".to_owned(),
        scope: Some(HalfScope::EVERYTHING),
        at: AT,
    }
}

fn view() -> View {
    View {
        person: Text::new("Dr Lee").unwrap(),
        permission: Text::new("clinical").unwrap(),
        reason: Text::new("on the ward").unwrap(),
        source: Some(ods("Z00101")),
        viewed_at: AT - 5,
    }
}

#[test]
fn what_identifies_a_person_is_in_the_leaf_as_a_hash_alone() {
    let view = view();
    let event = Viewed {
        unit: ods("Z00202"),
        patient: patient(),
        view: &view,
        seq: 9,
    };
    let (entry, leaf, values) = made(&Actor::Agent(ods("Z00202")), &event);
    assert_eq!(entry.hash, leaf_hash(&entry.leaf));
    assert_eq!((entry.kind, entry.patient), (AuditKind::Viewed, Some(patient())));
    assert_eq!(kind_of(&leaf), AuditKind::Viewed);
    check_values(&leaf, &values, &[], &[]).unwrap();
    let text = String::from_utf8_lossy(&entry.leaf).into_owned();
    for personal in ["9990000018", "Dr Lee", "clinical", "on the ward"] {
        assert!(!text.contains(personal), "{personal} stands in the leaf");
        assert!(
            values.iter().any(|v| v.value == personal),
            "{personal} is kept beside it"
        );
    }
    let salts: Vec<_> = values
        .iter()
        .map(|v| v.salt.clone())
        .chain([leaf.salt.clone()])
        .collect();
    let distinct: std::collections::HashSet<_> = salts.iter().collect();
    assert_eq!(distinct.len(), salts.len(), "each has a salt of its own");

    let (_, leaf, values) = made(&person("bob-1", "Z00202"), &HalfSet(&half(Side::ShareIn)));
    assert_eq!(value(&values, AuditField::Actor), Some("bob-1"));
    assert_eq!(value(&values, AuditField::Reason), Some("agreed at the board"));
    check_values(&leaf, &values, &[], &[]).unwrap();
    assert_eq!(leaf.actor.unwrap().unit, "Z00202");
}

#[test]
fn without_random_bytes_nothing_is_entered() {
    let scribe = Scribe::new(Arc::new(Counting(AtomicU64::new(u64::MAX))));
    let policy = PolicySet {
        policy: Policy::Explicit,
        reason: "",
    };
    assert!(scribe.entry(AT, &operator(), &policy).is_err());
}

/// What Z00101, Z00202, Z00303 and the operator see of an entry.
fn sights(actor: &Actor, event: &dyn Event) -> [Sight; 4] {
    let (_, leaf, _) = made(actor, event);
    let units = ["Z00101", "Z00202", "Z00303"].map(|unit| Reader::Unit(ods(unit)));
    [units[0], units[1], units[2], Reader::Operator].map(|reader| reader.sight(&leaf))
}

#[test]
fn i1_what_is_about_a_pair_is_seen_by_its_units() {
    let bob = person("bob-1", "Z00202");
    assert_eq!(
        sights(&bob, &HalfSet(&half(Side::ShareIn))),
        [Outside, Whole, Sealed, Whole]
    );
    assert_eq!(
        sights(&person("ann-1", "Z00101"), &HalfSet(&half(Side::ShareOut))),
        [Whole, Outside, Sealed, Whole]
    );
    let withheld = Withheld {
        pair: pair(),
        grant: GrantId(3),
        job: None,
        withheld: &[(Reason::PatientDissentOut, Runs::of(1, 2))],
    };
    assert_eq!(
        sights(&Actor::Daemon, &withheld),
        [Outside, Sealed, Sealed, Whole],
        "not for whom it was withheld from"
    );
}

#[test]
fn i1_what_is_about_a_patient_is_never_the_operators() {
    let view = view();
    let viewed = Viewed {
        unit: ods("Z00202"),
        patient: patient(),
        view: &view,
        seq: 9,
    };
    let agent = Actor::Agent(ods("Z00202"));
    assert_eq!(sights(&agent, &viewed), [Outside, Whole, Sealed, Sealed]);
    let opened = EmergencyOpened {
        pair: pair(),
        patient: patient(),
        ground: (2, 5),
        until: AT + 1,
        note: "unconscious",
    };
    let cleo = person("cleo-1", "Z00202");
    assert_eq!(sights(&cleo, &opened), [Whole, Whole, Sealed, Sealed]);
    let read = AuditRead {
        unit: Some(ods("Z00101")),
        call: "Search",
        asked: "",
        patient: Some(patient()),
        reason: "a complaint",
    };
    let pam = person("pam-1", "Z00101");
    assert_eq!(sights(&pam, &read), [Whole, Sealed, Sealed, Sealed]);
}

#[test]
fn i1_what_the_operator_does_is_seen_by_those_whom_it_concerns() {
    let policy = PolicySet {
        policy: Policy::Explicit,
        reason: "law",
    };
    assert_eq!(sights(&operator(), &policy), [Outside, Outside, Outside, Whole]);
    let refused = CallRefused {
        unit: None,
        method: "Units.Retire",
        why: "not allowed",
    };
    assert_eq!(sights(&operator(), &refused), [Sealed, Sealed, Sealed, Whole]);
    let row = PersonRow {
        id: "cleo-1".parse().unwrap(),
        name: "Cleo".to_owned(),
        unit: Some(ods("Z00101")),
        role: Role::Clinician,
        revoked: false,
        added_at: AT,
    };
    let added = PersonChanged {
        person: &row,
        change: PersonChange::Added,
        reason: "",
    };
    assert_eq!(sights(&operator(), &added), [Whole, Sealed, Sealed, Whole]);
}

#[test]
fn of_the_other_units_doings_only_the_patient_is_shown() {
    let (_, _, values) = made(&person("bob-1", "Z00202"), &HalfSet(&half(Side::ShareIn)));
    let fields = |sight| {
        let (here, hidden) = shown(sight, values.clone());
        (here.iter().map(AuditValue::field).collect::<Vec<_>>(), hidden)
    };
    let all = vec![AuditField::Actor, AuditField::Reason];
    assert_eq!(fields(Whole), (all.clone(), Vec::new()));
    assert_eq!(fields(Outside), (Vec::new(), all));
    assert!(Outside.shows(AuditField::Patient) && !Sealed.shows(AuditField::Patient));
}

#[test]
fn a_certificates_holder_is_named_by_what_is_known() {
    let event = CallRefused {
        unit: None,
        method: "Sync.Publish",
        why: "not a unit's agent",
    };
    let holder = Actor::Holder(Holder::Person("ann-1".parse().unwrap()));
    let (_, leaf, values) = made(&holder, &event);
    assert_eq!(value(&values, AuditField::Actor), Some("ann-1"));
    assert_eq!(units_of(&leaf).count(), 0);
}

// === What was handed over ===

fn stream(job: Option<u64>) -> Stream {
    Stream {
        pair: pair(),
        grant: GrantId(3),
        job: job.map(JobId),
    }
}

fn wires(disclosures: &Disclosures) -> Vec<Wire> {
    let entries = disclosures.entries(&scribe(), AT).unwrap();
    let leaves = entries.iter().map(|entry| decode_leaf(&entry.leaf).unwrap());
    leaves.map(|leaf| leaf.event.unwrap()).collect()
}

#[test]
fn a_commit_enters_one_entry_for_each_stream_however_many_messages_there_were() {
    let mut waiting = Disclosures::default();
    assert!(waiting.is_empty() && wires(&waiting).is_empty());
    for batch in 0..100 {
        waiting.versions(stream(None), batch * 64 + 1, batch * 64 + 64);
    }
    let mut later = Disclosures::default();
    later.versions(stream(None), 6401, 6401);
    later.removals(stream(None), 6402, 6402);
    later.versions(stream(Some(9)), 5, 5);
    later.withheld(stream(None), Reason::PrivateEntry, 6403, 6404);
    later.withheld(stream(None), Reason::NotOnCaseload, 6405, 6405);
    later.withheld(stream(None), Reason::PrivateEntry, 6406, 6406);
    later.perhaps(stream(None), PerhapsCause::Connection, 6407, 6500);
    waiting.merge(later);
    let events = wires(&waiting);
    let [
        Wire::Disclosed(live),
        Wire::Withheld(withheld),
        Wire::PerhapsDisclosed(perhaps),
        Wire::Disclosed(job),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((live.grant, live.job), (3, 0));
    assert_eq!(Runs::from_wire(&live.runs), Ok(Runs::of(1, 6401)));
    assert_eq!(Runs::from_wire(&live.removals), Ok(Runs::of(6402, 6402)));
    assert_eq!(withheld.withheld.len(), 2);
    assert_eq!(withheld.recipient, "Z00202");
    assert_eq!(Runs::from_wire(&perhaps.runs), Ok(Runs::of(6407, 6500)));
    assert_eq!(job.job, 9);
}

#[test]
fn what_has_too_many_runs_for_one_entry_goes_into_several() {
    let mut waiting = Disclosures::default();
    let far = u64::MAX / 2;
    for n in 0..2500 {
        waiting.versions(stream(None), far + n * 3, far + n * 3);
        waiting.withheld(
            stream(None),
            Reason::PrivateEntry,
            far + n * 3 + 1,
            far + n * 3 + 1,
        );
        waiting.withheld(stream(None), Reason::RestrictedPatient, n * 3 + 1, n * 3 + 1);
    }
    let mut versions = Runs::default();
    let mut withheld = 0;
    for entry in waiting.entries(&scribe(), AT).unwrap() {
        match decode_leaf(&entry.leaf).unwrap().event.unwrap() {
            Wire::Disclosed(event) => versions.extend(&Runs::from_wire(&event.runs).unwrap()),
            Wire::Withheld(event) => {
                let runs = event
                    .withheld
                    .iter()
                    .map(|w| Runs::from_wire(&w.runs).unwrap().len());
                withheld += runs.sum::<usize>();
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((versions.len(), withheld), (2500, 5000));
}
