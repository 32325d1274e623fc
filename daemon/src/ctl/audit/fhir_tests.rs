//! Events as FHIR R4 and the IHE BALP patterns have them.
//!
//! Detects: an event without what FHIR asks of each, a disclosure that is not in its pattern or shows another
//! patient's records, and an entry that has no event.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use handfast_proto::v1::{
    AuditActor, AuditActorKind, AuditEntry, AuditField, AuditKind, AuditLeaf, AuditReadEvent, AuditValue,
    Category, DisclosedEvent, EmergencyOpenedEvent, EmergencyReviewedEvent, ExportedEntry, HandedOver, Op,
    ViewedEvent, WithdrawalEvent, WithdrawalStep, audit_leaf::Event,
};
use serde_json::{Value, json};

use super::fhir::{PROFILES, Writer};

fn leaf(event: Event) -> AuditLeaf {
    AuditLeaf {
        at: 1_790_000_000_123,
        source: "Z00101".to_owned(),
        recipient: "Z00202".to_owned(),
        actor: Some(AuditActor {
            kind: AuditActorKind::Person.into(),
            unit: "Z00202".to_owned(),
            role: 3,
        }),
        event: Some(event),
        ..AuditLeaf::default()
    }
}

fn exported(event: Event, values: &[(AuditField, &str)], handed_over: Vec<HandedOver>) -> ExportedEntry {
    let values = values.iter().map(|(field, value)| AuditValue {
        field: (*field).into(),
        value: (*value).to_owned(),
        ..AuditValue::default()
    });
    ExportedEntry {
        entry: Some(AuditEntry {
            index: 7,
            leaf: Some(leaf(event)),
            values: values.collect(),
        }),
        handed_over,
        emergency: false,
    }
}

fn handed(record: &str, patient: &str, seq: u64) -> HandedOver {
    HandedOver {
        source: "Z00101".to_owned(),
        recipient: "Z00202".to_owned(),
        patient: patient.to_owned(),
        record: record.to_owned(),
        seq,
        op: Op::Create.into(),
        category: Category::Observations.into(),
        kind: AuditKind::Disclosed.into(),
        ..HandedOver::default()
    }
}

/// What FHIR R4 asks of every AuditEvent.
fn check_base(event: &Value) {
    assert_eq!(event["resourceType"], "AuditEvent");
    for required in ["type", "recorded", "agent", "source"] {
        assert!(!event[required].is_null(), "{required} in {event}");
    }
    assert!(event["source"]["observer"].is_object());
    let agents = event["agent"].as_array().unwrap();
    assert!(!agents.is_empty() && agents.iter().all(|a| a["requestor"].is_boolean()));
    assert!(
        event["recorded"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    assert!(["0", "4", "8", "12"].contains(&event["outcome"].as_str().unwrap()));
    assert!(["C", "R", "U", "D", "E"].contains(&event["action"].as_str().unwrap()));
    let id = event["id"].as_str().unwrap();
    assert!(
        id.len() <= 64
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    );
}

/// The mandatory elements of IHE.BasicAudit.PrivacyDisclosure.Source and .Recipient, BALP 1.1.4.
fn check_disclosure(event: &Value, profile: &str, code: &str, action: &str, observer: &str) {
    check_base(event);
    let url = format!("{PROFILES}IHE.BasicAudit.PrivacyDisclosure.{profile}");
    assert_eq!(event["meta"]["profile"], json!([url]));
    assert!(event["modifierExtension"].is_null());
    assert_eq!(
        (&event["type"]["code"], &event["action"]),
        (&json!(code), &json!(action))
    );
    assert_eq!(
        event["type"]["system"],
        "http://dicom.nema.org/resources/ontology/DCM"
    );
    assert_eq!(
        event["subtype"][0]["system"],
        "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
    );
    assert_eq!(event["subtype"][0]["code"], "disclose");
    let agents = event["agent"].as_array().unwrap();
    for code in ["110153", "110152"] {
        let of: Vec<_> = agents
            .iter()
            .filter(|a| a["type"]["coding"][0]["code"] == code)
            .collect();
        assert_eq!(of.len(), 1);
        assert!(of[0]["who"].is_object() && of[0]["network"].is_object());
    }
    let own = agents
        .iter()
        .find(|a| a["type"]["coding"][0]["code"] == observer)
        .unwrap();
    assert_eq!(
        own["who"], event["source"]["observer"],
        "it is recorded by that side"
    );
    let entities = event["entity"].as_array().unwrap();
    let patients: Vec<_> = entities.iter().filter(|e| e["type"]["code"] == "1").collect();
    assert_eq!(patients.len(), 1);
    assert_eq!(patients[0]["role"]["code"], "1");
    assert_eq!(
        patients[0]["what"]["identifier"]["system"],
        "https://fhir.nhs.uk/Id/nhs-number"
    );
    assert!(entities.iter().any(|e| e["type"]["code"] == "2"), "some data");
}

#[test]
fn a_disclosure_is_one_event_a_patient_and_side_in_the_balp_pattern() {
    let event = Event::Disclosed(DisclosedEvent {
        grant: 3,
        runs: vec![0, 3],
        ..DisclosedEvent::default()
    });
    let records = vec![
        handed("Observation/a", "9990000018", 1),
        handed("Observation/b", "9990000026", 2),
        handed("Observation/c", "9990000018", 3),
    ];
    let events = Writer::new("care.example").events(&exported(event, &[], records));
    assert_eq!(events.len(), 4);
    for (at, event) in events.iter().enumerate() {
        if at % 2 == 0 {
            check_disclosure(event, "Source", "110106", "R", "110153");
        } else {
            check_disclosure(event, "Recipient", "110107", "C", "110152");
        }
    }
    let of_first = events[0]["entity"].as_array().unwrap();
    assert_eq!(of_first.iter().filter(|e| e["type"]["code"] == "2").count(), 2);
    let ids: std::collections::HashSet<_> = events.iter().map(|e| e["id"].to_string()).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn an_emergency_has_its_purpose_and_a_view_its_viewer() {
    let opened = Event::EmergencyOpened(EmergencyOpenedEvent::default());
    let values = [(AuditField::Patient, "9990000018"), (AuditField::Actor, "cleo-1")];
    let events = Writer::new("care.example").events(&exported(opened, &values, Vec::new()));
    check_base(&events[0]);
    assert_eq!(events[0]["purposeOfEvent"][0]["coding"][0]["code"], "ETREAT");
    assert_eq!(events[0]["subtype"][0]["code"], "110127");
    assert_eq!(
        events[0]["entity"][0]["what"]["identifier"]["value"],
        "9990000018"
    );
    let viewed = Event::Viewed(ViewedEvent::default());
    let values = [
        (AuditField::Viewer, "Dr Lee"),
        (AuditField::Permission, "Clinical practitioner"),
        (AuditField::Reason, "on the ward"),
    ];
    let events = Writer::new("care.example").events(&exported(viewed, &values, Vec::new()));
    check_base(&events[0]);
    assert_eq!(events[0]["agent"][0]["type"]["coding"][0]["code"], "IRCP");
    assert_eq!(events[0]["agent"][0]["role"][0]["text"], "Clinical practitioner");
    assert_eq!(events[0]["agent"][0]["purposeOfUse"][0]["text"], "on the ward");
    assert_eq!(events[0]["agent"][0]["who"]["display"], "Dr Lee");
    assert_eq!(events[0]["agent"][0]["requestor"], true);
    assert!(events[0]["purposeOfEvent"].is_null());
}

#[test]
fn what_was_disclosed_in_an_emergency_has_that_purpose() {
    let event = Event::Disclosed(DisclosedEvent {
        grant: 3,
        runs: vec![0, 1],
        ..DisclosedEvent::default()
    });
    let mut entry = exported(event, &[], vec![handed("Observation/a", "9990000018", 1)]);
    let events = Writer::new("care.example").events(&entry);
    assert!(events.iter().all(|event| event["purposeOfEvent"].is_null()));
    entry.emergency = true;
    let events = Writer::new("care.example").events(&entry);
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(event["purposeOfEvent"][0]["coding"][0]["code"], "ETREAT");
    }
}

#[test]
fn a_removal_is_told_as_a_removal_and_one_that_is_only_due_is_not() {
    let removed = Event::Disclosed(DisclosedEvent {
        grant: 3,
        removals: vec![0, 1],
        ..DisclosedEvent::default()
    });
    let mut record = handed("Observation/a", "9990000018", 1);
    record.op = Op::Remove.into();
    let events = Writer::new("care.example").events(&exported(removed, &[], vec![record]));
    assert_eq!((events.len(), &events[0]["type"]["code"]), (1, &json!("110110")));
    assert_eq!(events[0]["action"], "D");
    check_base(&events[0]);
    let due = Event::Withdrawal(WithdrawalEvent {
        step: WithdrawalStep::Due.into(),
        ..WithdrawalEvent::default()
    });
    let events = Writer::new("care.example").events(&exported(due, &[], Vec::new()));
    assert_eq!(
        (&events[0]["type"]["code"], &events[0]["action"]),
        (&json!("110113"), &json!("U"))
    );
}

#[test]
fn a_review_is_no_end_of_an_access_and_a_reading_says_what_was_asked() {
    let reviewed = Event::EmergencyReviewed(EmergencyReviewedEvent::default());
    let events = Writer::new("care.example").events(&exported(reviewed, &[], Vec::new()));
    check_base(&events[0]);
    assert_ne!(events[0]["subtype"][0]["code"], "110138");
    assert_eq!(events[0]["purposeOfEvent"][0]["coding"][0]["code"], "ETREAT");
    let read = Event::AuditRead(AuditReadEvent {
        call: "Search".to_owned(),
        asked: "from 0 to 5".to_owned(),
    });
    let of_patient = [(AuditField::Patient, "9990000018")];
    let events = Writer::new("care.example").events(&exported(read, &of_patient, Vec::new()));
    check_base(&events[0]);
    let entities = events[0]["entity"].as_array().unwrap();
    assert!(
        entities.iter().any(|entity| entity["role"]["code"] == "1"),
        "the patient"
    );
    let query = entities
        .iter()
        .find(|entity| entity["role"]["code"] == "24")
        .unwrap();
    let query = STANDARD.decode(query["query"].as_str().unwrap()).unwrap();
    assert_eq!(query, b"Search from 0 to 5");
}
