//! Which AuditEvents are views, and what they say.

use serde_json::{Value, json};

use super::{Fault, NHS_NUMBER_SYSTEM, PatientLink, ViewSaid, audit_event::view, reference::Neighbours};

fn event() -> Value {
    json!({"resourceType": "AuditEvent", "id": "a",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
        "action": "R", "recorded": "2026-03-05T10:00:00Z", "outcome": "0",
        "agent": [
            {"type": {"coding": [{"code": "110153"}]}, "requestor": false, "who": {"display": "EHR"}},
            {"requestor": true, "who": {"reference": "Practitioner/7", "display": "Dr A"},
             "role": [{"coding": [{"code": "R8000", "display": "Clinical practitioner"}]}],
             "purposeOfUse": [{"coding": [{"code": "TREAT"}]}]}],
        "entity": [
            {"what": {"reference": "Patient/p"}, "role": {"code": "1"}},
            {"what": {"reference": "Observation/hf-1"}, "role": {"code": "4"}}]})
}

fn read(event: &Value) -> Result<(PatientLink, ViewSaid), Fault> {
    view(event.as_object().unwrap(), &Neighbours::new())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut event = event();
    *event.pointer_mut(pointer).unwrap() = value;
    event
}

#[test]
fn a_view_says_who_looked_at_whom_by_what_right_and_why() {
    let (patient, view) = read(&event()).unwrap();
    assert_eq!(patient, PatientLink::Id("p".to_owned()));
    assert_eq!(view.person.as_str(), "Dr A (Practitioner/7)");
    assert_eq!(view.permission.as_str(), "Clinical practitioner");
    assert_eq!(view.reason.as_str(), "TREAT");
    assert_eq!(view.viewed_at, 1_772_704_800_000);
    assert_eq!(view.seen.len(), 2);
    let by_number =
        json!({"identifier": {"system": NHS_NUMBER_SYSTEM, "value": "9990000018"}, "type": "Patient"});
    let (patient, _) = read(&with("/entity/0/what", by_number)).unwrap();
    assert_eq!(patient, PatientLink::Number("9990000018".parse().unwrap()));
    let smartcard = json!({"identifier": {"value": "555000111222"}});
    assert_eq!(
        read(&with("/agent/1/who", smartcard)).unwrap().1.person.as_str(),
        "555000111222"
    );
    let herself = json!({"reference": "Patient/p", "display": "Her name"});
    assert_eq!(
        read(&with("/agent/1/who", herself)).unwrap().1.person.as_str(),
        "the patient"
    );
}

#[test]
fn who_looked_is_the_person_and_not_the_device_that_asked_for_them() {
    let person = |value: Value| {
        let mut event = event();
        event["agent"] = value;
        read(&event).map(|(_, view)| view.person.as_str().to_owned())
    };
    let device = json!({"requestor": true, "type": {"coding": [{"code": "110153"}]},
        "who": {"reference": "Device/ehr", "display": "EHR"}});
    let plain_device = json!({"requestor": true, "who": {"type": "Device", "display": "EHR"}});
    let coded = json!({"requestor": true, "who": {"display": "Dr A"},
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}});
    let practitioner = json!({"requestor": true, "who": {"reference": "Practitioner/7", "display": "Dr A"}});
    let by_card = json!({"requestor": true, "who": {"identifier": {"value": "555"}, "display": "Dr A"}});
    for device in [&device, &plain_device] {
        assert_eq!(person(json!([device, coded])).unwrap(), "Dr A");
        assert_eq!(
            person(json!([device, practitioner])).unwrap(),
            "Dr A (Practitioner/7)"
        );
        assert_eq!(person(json!([device, by_card])).unwrap(), "Dr A (555)");
        // One so coded goes before whoever else asked.
        assert_eq!(person(json!([practitioner, device, coded])).unwrap(), "Dr A");
    }
    let mut unmarked = coded;
    unmarked["requestor"] = json!(false);
    assert_eq!(person(json!([device, unmarked])).unwrap(), "Dr A");
    // Where only a device asked, that is who looked.
    assert_eq!(person(json!([device])).unwrap(), "EHR (Device/ehr)");
}

#[test]
fn what_is_no_view_or_says_too_little_is_refused() {
    for code in ["vread", "search", "search-type", "history"] {
        assert!(read(&with("/subtype/0/code", json!(code))).is_ok(), "{code}");
    }
    for (pointer, value) in [
        ("/subtype/0/code", json!("update")),
        ("/type/code", json!("110114")),
        ("/action", json!("D")),
        ("/outcome", json!("8")),
    ] {
        assert_eq!(
            read(&with(pointer, value)).unwrap_err(),
            Fault::NotAView,
            "{pointer}"
        );
    }
    assert_eq!(
        read(&with("/recorded", json!("x"))).unwrap_err(),
        Fault::ViewLacks("recorded")
    );
    assert!(matches!(
        read(&with("/agent/1/who", json!({}))),
        Err(Fault::ViewLacks(_))
    ));
    assert!(matches!(
        read(&with("/agent/1/requestor", json!(false))),
        Err(Fault::ViewLacks(_))
    ));
    assert_eq!(
        read(&with("/entity/0/what", json!({"display": "p"}))).unwrap_err(),
        Fault::NoPatient
    );
    let two = with("/entity/1/what", json!({"reference": "Patient/q"}));
    assert_eq!(read(&two).unwrap_err(), Fault::SeveralPatients);
}
