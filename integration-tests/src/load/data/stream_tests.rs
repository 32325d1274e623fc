//! Sizes, life cycles, determinism, and what making an amendment costs.

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use handfast_proto::amendment::{Amendment, Batch, BatchBuilder, Category, Form, Op};

use super::{Meta, Stamp, Stream, read};
use crate::load::plan::{Data, MAX_SPREAD_BYTES, MIN_SPREAD_BYTES, Mix, Payload};

/// Nanoseconds that one amendment of 1 KiB may take to make.
const MAX_NANOSECONDS: f64 = 1_500.0;
/// Amendments in one round of measuring it.
const A_ROUND: u32 = 500;

fn data(payload: Payload, private_percent: f64) -> Data {
    Data {
        patients: 5_000,
        records_per_source: 2_000,
        payload,
        mix: Mix {
            private_percent,
            ..Mix::default()
        },
    }
}

fn taken(data: &Data, seed: u64, source: u32, count: usize) -> Vec<(Meta, Amendment)> {
    let mut stream = Stream::new(data, seed, source).unwrap();
    (0..count).map(|_| stream.next().unwrap()).collect()
}

#[test]
fn sizes_are_those_of_real_records() {
    let data = Data {
        records_per_source: 30_000,
        mix: Mix {
            create_percent: 100.0,
            amend_percent: 0.0,
            retract_percent: 0.0,
            private_percent: 0.0,
        },
        ..data(Payload::Spread, 0.0)
    };
    let mut sizes: Vec<usize> = taken(&data, 5, 0, 30_000)
        .iter()
        .map(|(_, a)| a.payload.len())
        .collect();
    sizes.sort_unstable();
    let at = |part: f64| sizes[(sizes.len() as f64 * part) as usize];
    assert!(
        sizes[0] >= MIN_SPREAD_BYTES as usize && sizes[0] < 400,
        "least {}",
        sizes[0]
    );
    let most = sizes[sizes.len() - 1];
    assert!(
        most <= MAX_SPREAD_BYTES as usize && most > 250 * 1024,
        "most {most}"
    );
    assert!((900..1_150).contains(&at(0.5)), "median {}", at(0.5));
    // A long tail: one in a hundred is ten times the median, few are smaller than half of it.
    assert!(at(0.99) > 10 * 1024, "99 % {}", at(0.99));
    assert!(at(0.1) > 512, "10 % {}", at(0.1));
}

#[test]
fn a_fixed_size_is_exact() {
    for bytes in [1024, 1025, 70_000] {
        for (_, amendment) in taken(&data(Payload::Fixed(bytes), 0.0), 5, 0, 500) {
            let expected = if amendment.op == Op::Retract {
                0
            } else {
                bytes as usize
            };
            assert_eq!(amendment.payload.len(), expected);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_others() {
    let data = data(Payload::Spread, 2.0);
    let first = taken(&data, 7, 3, 2_000);
    assert_eq!(first, taken(&data, 7, 3, 2_000));
    assert_ne!(first, taken(&data, 8, 3, 2_000));
    assert_ne!(first, taken(&data, 7, 4, 2_000));
    let other = Data {
        payload: Payload::Fixed(1024),
        ..data
    };
    assert_ne!(first, taken(&other, 7, 3, 2_000));
}

#[test]
fn records_are_others_for_each_seed_and_source() {
    // Nothing but creates, so that the order of events is the same for all.
    let data = Data {
        mix: Mix {
            create_percent: 100.0,
            amend_percent: 0.0,
            retract_percent: 0.0,
            private_percent: 0.0,
        },
        ..data(Payload::Spread, 0.0)
    };
    let about = |seed, source| -> Vec<_> {
        let all = taken(&data, seed, source, 500);
        all.iter()
            .map(|(m, a)| (m.patient, m.category, a.payload.len()))
            .collect()
    };
    assert_ne!(about(7, 3), about(8, 3));
    assert_ne!(about(7, 3), about(7, 4));
}

#[test]
fn a_record_lives_from_its_create_to_its_retraction_and_perhaps_again() {
    let data = data(Payload::Fixed(1024), 2.0);
    let mut held: BTreeMap<u32, (Meta, Amendment)> = BTreeMap::new();
    let mut again = 0;
    for (n, (meta, amendment)) in taken(&data, 7, 3, 40_000).into_iter().enumerate() {
        assert_eq!(meta.seq, n as u64 + 1);
        let before = held.get(&meta.record);
        let lives = before.is_some_and(|(m, _)| m.op != Op::Retract);
        assert_eq!(meta.op == Op::Create, !lives, "{meta:?}");
        match before {
            Some((m, a)) => {
                assert_eq!(meta.version, m.version + 1);
                assert_eq!((meta.patient, meta.category), (m.patient, m.category));
                assert_eq!(amendment.record, a.record);
                let differs = meta.op == Op::Amend && a.subject != amendment.subject;
                assert_eq!(amendment.former, a.subject.filter(|_| differs), "{meta:?}");
                again += u32::from(m.op == Op::Retract);
            }
            None => assert_eq!((meta.version, amendment.former), (0, None)),
        }
        let header_only = meta.private || meta.op == Op::Retract;
        assert_eq!(amendment.payload.is_empty(), header_only);
        assert_eq!(
            amendment.subject.unwrap().confidentiality.is_private(),
            meta.private
        );
        if !header_only {
            let stamp = Stamp {
                source: 3,
                seq: meta.seq,
                record: meta.record,
                version: meta.version,
            };
            assert_eq!(read(&amendment.payload), Ok(stamp));
        }
        held.insert(meta.record, (meta, amendment));
    }
    assert!(
        held.len() == data.records_per_source as usize && again > 100,
        "{again} lived again"
    );
}

#[test]
fn shares_are_those_of_the_mix() {
    let data = Data {
        records_per_source: 100_000,
        ..data(Payload::Fixed(1024), 10.0)
    };
    let all = taken(&data, 9, 0, 20_000);
    let share = |what: fn(&Meta) -> bool| all.iter().filter(|(m, _)| what(m)).count() as f64 / 200.0;
    assert!((share(|m| m.op == Op::Create) - 50.0).abs() < 2.0);
    assert!((share(|m| m.op == Op::Retract) - 5.0).abs() < 1.0);
    assert!((share(|m| m.private) - 10.0).abs() < 1.5);
}

#[test]
fn some_patients_have_many_records() {
    let mut records: BTreeMap<u32, u32> = BTreeMap::new();
    for (meta, _) in taken(&data(Payload::Fixed(1024), 0.0), 9, 0, 40_000) {
        if meta.op == Op::Create && meta.version == 0 {
            *records.entry(meta.patient).or_default() += 1;
        }
    }
    assert!(records.keys().all(|p| *p < 5_000));
    let total: u32 = records.values().sum();
    let first: u32 = records.range(..1_250).map(|(_, n)| n).sum();
    let part = f64::from(first) / f64::from(total);
    assert!(
        (part - 0.5).abs() < 0.05,
        "{part} of the records are a quarter of the patients'"
    );
    assert!(records.values().any(|n| *n > 10));
}

#[test]
fn a_patient_is_registered_once_and_stays() {
    let data = Data {
        patients: 300,
        ..data(Payload::Fixed(1024), 20.0)
    };
    let mut registered: BTreeMap<u32, u32> = BTreeMap::new();
    for (meta, _) in taken(&data, 13, 0, 10_000) {
        assert!(meta.patient < data.patients, "{meta:?}");
        if meta.category == Category::Demographics {
            assert!(meta.op != Op::Retract && !meta.private, "{meta:?}");
            assert_eq!(
                *registered.entry(meta.patient).or_insert(meta.record),
                meta.record
            );
        }
    }
    assert!(!registered.is_empty());
}

#[test]
fn batches_of_them_are_sound() {
    let mut stream = Stream::new(&data(Payload::Spread, 5.0), 11, 2).unwrap();
    let mut next = stream.next().unwrap();
    for _ in 0..200 {
        let mut builder = BatchBuilder::new(next.0.seq);
        while builder.fits(&next.1) {
            builder.push(&next.1);
            next = stream.next().unwrap();
        }
        if builder.is_empty() {
            let header = BatchBuilder::header_in_pieces(next.0.seq, &next.1);
            Batch::parse(header, next.1.payload.clone(), Form::PublishedInPieces).unwrap();
            next = stream.next().unwrap();
            continue;
        }
        let encoded = builder.finish();
        Batch::parse(encoded.header, encoded.body, Form::Published).unwrap();
    }
}

#[test]
fn an_amendment_costs_little_to_make() {
    let data = Data {
        patients: 100_000,
        records_per_source: 50_000,
        ..data(Payload::Fixed(1024), 0.0)
    };
    let mut stream = Stream::new(&data, 1, 0).unwrap();
    let mut round = || {
        let begun = Instant::now();
        for _ in 0..A_ROUND {
            black_box(stream.next().unwrap());
        }
        begun.elapsed().as_nanos() as f64 / f64::from(A_ROUND)
    };
    // The least of many short rounds: others use this machine too.
    let least = (0..200).map(|_| round()).fold(f64::INFINITY, f64::min);
    println!("{least:.0} ns an amendment of 1 KiB");
    assert!(cfg!(debug_assertions) || least < MAX_NANOSECONDS, "{least} ns");
}
