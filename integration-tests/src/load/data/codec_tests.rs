//! Every template through the codec by which agents read what their clinical systems write.

use std::collections::BTreeSet;

use handfast_agent::codec::fhir::{Change, Codec, Content, Document, PatientLink, PrivateCodes};
use handfast_proto::amendment::Op;

use super::{Meta, Patients, Stream, read, unchecked};
use crate::load::plan::{Data, MAX_SPREAD_BYTES, Mix, Payload};

const MAX_PAYLOAD: usize = 2 * MAX_SPREAD_BYTES as usize;

fn codec_reads(raw: &[u8]) -> Change {
    let codec = Codec::new(PrivateCodes::default(), MAX_PAYLOAD);
    match codec.document(raw).unwrap() {
        Document::Resource(change) => *change,
        Document::Bundle(_) => panic!("a Bundle"),
    }
}

/// Whether a change is what the stream said of it.
fn check(change: &Change, meta: &Meta) {
    let Content::Put(version) = &change.content else {
        assert_eq!(meta.op, Op::Retract);
        return;
    };
    assert_ne!(meta.op, Op::Retract);
    assert_eq!(version.category, meta.category);
    assert_eq!(version.private, meta.private);
    assert!(version.said.is_none() && change.origin.is_none() && !change.aside);
    match (&version.patient, &version.facts) {
        (PatientLink::Number(number), None) => assert_eq!(*number, Patients::nhs(meta.patient)),
        (PatientLink::Id(id), Some(facts)) => {
            assert_eq!(change.record.id(), id);
            assert_eq!(facts.standing.claimed(), Some(Patients::nhs(meta.patient)));
            assert!(!facts.restricted && !meta.private);
        }
        other => panic!("{other:?}"),
    }
}

fn data(payload: Payload) -> Data {
    Data {
        records_per_source: 4_000,
        payload,
        mix: Mix {
            private_percent: 5.0,
            ..Mix::default()
        },
        ..Data::default()
    }
}

#[test]
fn the_codec_takes_every_amendment_as_its_header_says() {
    let mut types = BTreeSet::new();
    for payload in [Payload::Spread, Payload::Fixed(1024)] {
        let mut stream = Stream::new(&data(payload), 3, 1).unwrap();
        for _ in 0..3_000 {
            let (meta, amendment) = stream.next().unwrap();
            if amendment.payload.is_empty() {
                continue;
            }
            let change = codec_reads(&amendment.payload);
            assert_eq!(change.record, amendment.record);
            assert_eq!(change.author, amendment.author);
            let subject = amendment.subject.unwrap();
            assert_eq!(subject.patient, Patients::nhs(meta.patient));
            assert_eq!(subject.category, meta.category);
            check(&change, &meta);
            types.insert(change.record.resource_type().to_owned());
        }
    }
    for kind in [
        "AllergyIntolerance",
        "CarePlan",
        "Condition",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "Immunization",
        "MedicationRequest",
        "Observation",
        "Patient",
        "Procedure",
        "ServiceRequest",
    ] {
        assert!(types.contains(kind), "no {kind} among {types:?}");
    }
}

#[test]
fn a_clinical_system_writes_what_its_agent_makes_the_same_amendments_of() {
    let mut amendments = Stream::new(&data(Payload::Spread), 3, 1).unwrap();
    let mut resources = Stream::new(&data(Payload::Spread), 3, 1).unwrap();
    let (mut private, mut retracted) = (0, 0);
    for _ in 0..3_000 {
        let (meta, amendment) = amendments.next().unwrap();
        let (told, resource) = resources.next_resource();
        assert_eq!(told, meta);
        let change = codec_reads(&resource);
        assert_eq!(change.record, amendment.record);
        check(&change, &meta);
        if meta.op == Op::Retract {
            retracted += 1;
        } else {
            assert_eq!(read(&resource).unwrap().seq, meta.seq);
            private += u32::from(meta.private);
        }
        if !amendment.payload.is_empty() {
            assert_eq!(amendment.payload, resource);
        }
    }
    assert!(
        private > 50 && retracted > 50,
        "{private} private, {retracted} retracted"
    );
}

#[test]
fn what_an_output_wrote_anew_still_says_its_stamp() {
    let mut stream = Stream::new(&data(Payload::Fixed(1024)), 3, 1).unwrap();
    let (meta, amendment) = stream.next().unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&amendment.payload).unwrap();
    value["id"] = "another".into();
    let anew = serde_json::to_vec(&value).unwrap();
    assert!(read(&anew).is_err());
    let stamp = unchecked(&anew).unwrap();
    assert_eq!(
        (stamp.source, stamp.seq, stamp.record),
        (1, meta.seq, meta.record)
    );
}
