//! A log as a file: what was written passes, and whatever was done to it is found, and where.
//!
//! Detects: a byte of the file that nothing covers, an entry that can be changed, left out, added or moved, an
//! erasure that nobody entered, a file that ends early or goes on, another key or deployment.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use handfast_proto::{
    audit::{EXPORT_MAGIC, ExportFault, ExportWriter, Exported, Fault, Runs, Verified, Verifier, reduce},
    merkle::{Frontier, SigningKey, TreeHead, leaf_hash},
    v1::{
        AuditActor, AuditActorKind, AuditField, AuditLeaf, AuditReduced, AuditValue, DisclosedEvent,
        ExportBegin, ExportEntry, ExportScope, PersonalErasedEvent, ViewedEvent, audit_leaf::Event,
    },
};
use prost::Message as _;

const DOMAIN: &str = "care.example";

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

fn value(field: AuditField, value: &str) -> AuditValue {
    AuditValue {
        field: field.into(),
        salt: vec![field as u8; 16].into(),
        value: value.to_owned(),
    }
}

fn entry(n: u8, event: Event, values: Vec<AuditValue>) -> ExportEntry {
    let reduced = values.iter().map(|v| AuditReduced {
        field: v.field,
        hash: reduce(v.field(), &v.salt, &v.value).to_vec().into(),
    });
    let leaf = AuditLeaf {
        salt: vec![n; 16].into(),
        at: 1_790_000_000_000 + i64::from(n),
        source: "Z00101".to_owned(),
        recipient: "Z00202".to_owned(),
        actor: Some(AuditActor {
            kind: AuditActorKind::Agent.into(),
            unit: "Z00202".to_owned(),
            role: 0,
        }),
        reduced: reduced.collect(),
        event: Some(event),
        ..AuditLeaf::default()
    };
    let leaf = leaf.encode_to_vec();
    ExportEntry {
        hash: leaf_hash(&leaf).as_bytes().to_vec().into(),
        leaf: leaf.into(),
        values,
        ..ExportEntry::default()
    }
}

fn disclosed(n: u8) -> ExportEntry {
    let runs = Runs::of(u64::from(n) * 10 + 1, u64::from(n) * 10 + 5).to_wire();
    let event = DisclosedEvent {
        grant: 3,
        runs,
        ..DisclosedEvent::default()
    };
    entry(n, Event::Disclosed(event), Vec::new())
}

fn viewed(n: u8) -> ExportEntry {
    let values = vec![
        value(AuditField::Patient, "9990000018"),
        value(AuditField::Viewer, "Dr Lee"),
        value(AuditField::Permission, "clinical"),
    ];
    entry(n, Event::Viewed(ViewedEvent { viewed_at: 5, seq: 9 }), values)
}

/// Eight entries, with heads over three, five and eight; the fourth was erased, the sixth says so, the seventh
/// is for somebody else.
fn entries() -> Vec<ExportEntry> {
    let mut erased = viewed(3);
    erased.erased = erased.values.drain(..).map(|v| v.field).collect();
    let erasure = Event::PersonalErased(PersonalErasedEvent {
        entries: Runs::of(4, 4).to_wire(),
    });
    let mut partly = viewed(7);
    partly.withheld = vec![partly.values.remove(1).field];
    let mut sealed = disclosed(6);
    sealed.leaf.clear();
    vec![
        disclosed(0),
        viewed(1),
        disclosed(2),
        erased,
        disclosed(4),
        entry(5, erasure, Vec::new()),
        sealed,
        partly,
    ]
}

fn pieces(entries: &[ExportEntry], heads: &[usize]) -> Vec<Vec<u8>> {
    let begin = ExportBegin {
        trust_domain: DOMAIN.to_owned(),
        key_id: key().public().id().as_bytes().to_vec().into(),
        size: entries.len() as u64,
        scope: ExportScope::Unit.into(),
        unit: "Z00202".to_owned(),
        made_at: 1_790_000_000_500,
    };
    let (mut writer, first) = ExportWriter::begin(begin);
    let mut out = vec![first];
    let mut tree = Frontier::default();
    for (at, entry) in entries.iter().enumerate() {
        out.push(writer.entry(entry.clone()));
        let hash = handfast_proto::merkle::TreeHash::from_slice(&entry.hash).unwrap();
        tree.push(hash, |_, _| {});
        if heads.contains(&(at + 1)) {
            let head = TreeHead {
                size: tree.size(),
                root: tree.root(),
                signed_at: 1_790_000_000_100 + at as i64,
            };
            out.push(writer.head(&key().sign(DOMAIN, head)));
        }
    }
    out.push(writer.end(&key()));
    out
}

fn file() -> Vec<u8> {
    pieces(&entries(), &[3, 5, 8]).concat()
}

/// In pieces of a few bytes, as they may come.
fn check(file: &[u8]) -> Result<(Verified, Vec<Exported>), ExportFault> {
    let mut verifier = Verifier::new(key().public());
    let mut seen = Vec::new();
    for part in file.chunks(7) {
        verifier.push(part, &mut |entry| seen.push(entry))?;
    }
    Ok((verifier.finish()?, seen))
}

#[test]
fn what_was_written_passes() {
    let (verified, seen) = check(&file()).unwrap();
    assert_eq!((verified.entries, verified.sealed, verified.heads), (8, 1, 3));
    assert_eq!(verified.head.unwrap().size, 8);
    assert_eq!(verified.begin.unit, "Z00202");
    assert_eq!(seen.len(), 8);
    assert_eq!(seen[1].values[1].value, "Dr Lee");
    assert!(seen[6].leaf.is_none() && seen[3].values.is_empty());
    let empty = pieces(&[], &[]).concat();
    assert_eq!(check(&empty).unwrap().0.head, None);
}

#[test]
fn each_bit_of_the_file_is_covered() {
    let whole = file();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert!(
                check(&flipped).is_err(),
                "bit {bit} of byte {at} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn a_file_that_ends_early_or_goes_on_is_noticed() {
    let whole = file();
    for len in 0..whole.len() {
        let fault = check(&whole[..len]).unwrap_err().fault;
        let wanted = if len > 0 && len < EXPORT_MAGIC.len() {
            Fault::NotALog
        } else {
            Fault::EndsEarly
        };
        assert_eq!(fault, wanted, "{len} bytes");
    }
    for more in [&b"x"[..], b"xxxxx", &whole] {
        let fault = check(&[&whole, more].concat()).unwrap_err().fault;
        assert_eq!(fault, Fault::Trailing);
    }
}

#[test]
fn the_first_bad_entry_is_named() {
    let faults = |entries: &[ExportEntry], heads: &[usize]| {
        let fault = check(&pieces(entries, heads).concat()).unwrap_err();
        (fault.from..fault.to, fault.fault)
    };
    let good = entries();
    let with = |change: &dyn Fn(&mut Vec<ExportEntry>)| {
        let mut other = good.clone();
        change(&mut other);
        other
    };
    let mut late = disclosed(2).leaf.to_vec();
    *late.last_mut().unwrap() ^= 1;
    let changed = with(&|e| e[2].leaf = late.clone().into());
    assert_eq!(faults(&changed, &[3, 5, 8]), (2..3, Fault::Changed));
    let renamed = with(&|e| e[1].values[1].value = "Dr Low".to_owned());
    let (at, fault) = faults(&renamed, &[3, 5, 8]);
    assert!(at == (1..2) && matches!(fault, Fault::Value(_)), "{fault}");
    let hidden = with(&|e| {
        let value = e[1].values.remove(1);
        e[1].erased.push(value.field);
    });
    assert_eq!(faults(&hidden, &[3, 5, 8]), (1..2, Fault::NotErased));
    assert_eq!(faults(&good[..7], &[3, 5]), (5..7, Fault::Incomplete));
    let later = with(&|e| {
        e[5] = entry(
            5,
            Event::PersonalErased(PersonalErasedEvent { entries: vec![5, 1] }),
            Vec::new(),
        );
    });
    assert_eq!(
        faults(&later, &[3, 5, 8]).0,
        5..6,
        "an erasure names no later entry, nor itself"
    );
}

#[test]
fn entries_that_were_left_out_added_or_moved_do_not_fit_the_signed_heads() {
    let honest = pieces(&entries(), &[3, 5, 8]);
    // Begin, three entries, a head, two, a head, three, a head, the end.
    let with = |order: &[usize]| {
        order
            .iter()
            .flat_map(|at| honest[*at].clone())
            .collect::<Vec<u8>>()
    };
    let all: Vec<usize> = (0..honest.len()).collect();
    assert!(check(&with(&all)).is_ok());
    let fault = |order: &[usize]| {
        let fault = check(&with(order)).unwrap_err();
        (fault.from, fault.to, fault.fault)
    };
    assert_eq!(
        fault(&[0, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (0, 3, Fault::Head),
        "moved"
    );
    assert_eq!(
        fault(&[0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]),
        (3, 4, Fault::Head),
        "left out"
    );
    assert_eq!(
        fault(&[0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12]),
        (3, 6, Fault::Head),
        "added"
    );
    assert_eq!(
        fault(&[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]).2,
        Fault::Signature,
        "a head left out"
    );
    assert_eq!(
        fault(&[0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (3, 3, Fault::Head),
        "twice"
    );
    assert_eq!(
        fault(&[0, 1, 2, 3, 4, 5, 6, 7, 12]),
        (5, 5, Fault::Incomplete),
        "the last ones left out"
    );
    assert_eq!(fault(&[1, 2, 3]).2, Fault::NotALog, "no begin");
    assert_eq!(fault(&[0, 0]).2, Fault::Frame, "two");
}

#[test]
fn another_key_is_not_trusted() {
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    let mut verifier = Verifier::new(other.public());
    let fault = verifier.push(&file(), &mut |_| {}).unwrap_err();
    assert_eq!(fault.fault, Fault::OtherKey);
    let mut verifier = Verifier::new(key().public());
    let fault = verifier
        .push(b"resourceType: AuditEvent, and more", &mut |_| {})
        .unwrap_err();
    assert_eq!(fault.fault, Fault::NotALog);
}
