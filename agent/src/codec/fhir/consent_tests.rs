//! What Consents say.
//!
//! Detects: a yes read from a Consent that denies anything anywhere, or that permits only in part; a denial
//! of less than was said.

use handfast_proto::{
    statement::WordSide::{self, ShareIn, ShareOut},
    v1::ConsentManner,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    ConsentNote, ConsentSays,
    ConsentWord::{self, Ended, No, Nothing, Yes},
    consent::read,
};

const BOTH: [WordSide; 2] = WordSide::BOTH;

fn says(consent: &Value) -> ConsentSays {
    read(consent.as_object().unwrap(), "Z00101".parse().ok(), Some(1_000)).unwrap()
}

fn word(consent: &Value) -> (ConsentWord, Vec<WordSide>, Option<ConsentNote>) {
    let says = says(consent);
    (says.word, says.sides, says.note)
}

fn consent(provision: Value) -> Value {
    json!({"resourceType": "Consent", "id": "c", "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/p"}, "dateTime": "2026-03-05T10:00:00Z",
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "provision": provision})
}

fn with(mut consent: Value, key: &str, value: Value) -> Value {
    consent[key] = value;
    consent
}

fn actor(system: &str, code: &str, reference: Value) -> Value {
    json!({"role": {"coding": [{"system": system, "code": code}]}, "reference": reference})
}

fn unit() -> Value {
    json!({"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "Z00101"}})
}

const PART: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";

#[test]
fn permit_and_deny_are_read_for_both_sides() {
    assert_eq!(
        word(&consent(json!({"type": "permit"}))),
        (Yes, BOTH.to_vec(), None)
    );
    assert_eq!(word(&consent(json!({"type": "deny"}))), (No, BOTH.to_vec(), None));
}

#[test]
fn an_ended_consent_ends_and_one_that_is_not_yet_says_nothing() {
    let permit = consent(json!({"type": "permit"}));
    for status in ["inactive", "rejected", "entered-in-error"] {
        assert_eq!(
            says(&with(permit.clone(), "status", json!(status))).word,
            Ended,
            "{status}"
        );
    }
    for status in [json!("draft"), json!("proposed"), json!("other"), Value::Null] {
        let (word, _, note) = word(&with(permit.clone(), "status", status));
        assert_eq!((word, note), (Nothing, Some(ConsentNote::NotInForce)));
    }
}

#[test]
fn other_scopes_are_records_and_an_unclear_one_permits_nothing() {
    let scoped = |scope: Value, kind: &str| with(consent(json!({"type": kind})), "scope", scope);
    let research = scoped(json!({"coding": [{"code": "research"}]}), "deny");
    assert_eq!(read(research.as_object().unwrap(), None, None), None);
    for unclear in [Value::Null, json!({"text": "sharing"}), json!({"coding": []})] {
        assert_eq!(says(&scoped(unclear.clone(), "permit")).word, Nothing);
        assert_eq!(says(&scoped(unclear, "deny")).word, No);
    }
}

#[test]
fn actors_narrow_it_to_a_side_of_this_unit_and_any_other_is_too_fine() {
    let out = [
        actor(PART, "CST", unit()),
        actor(
            "urn:handfast:side",
            "share-out",
            json!({"reference": "Organization/Z00101"}),
        ),
    ];
    let into = [
        actor(PART, "IRCP", unit()),
        actor(
            "http://hl7.org/fhir/v3/ParticipationType",
            "PRCP",
            json!({"reference": "#me"}),
        ),
        actor("urn:handfast:side", "share-in", unit()),
    ];
    let of = |kind: &str, actors: &[Value]| {
        let consent = consent(json!({"type": kind, "actor": actors}));
        let me = json!([{"resourceType": "Organization", "id": "me", "identifier": [unit()["identifier"]]}]);
        word(&with(consent, "contained", me))
    };
    for actor in out.clone() {
        assert_eq!(
            of("permit", std::slice::from_ref(&actor)),
            (Yes, vec![ShareOut], None)
        );
        assert_eq!(of("deny", &[actor]), (No, vec![ShareOut], None));
    }
    for actor in into.clone() {
        assert_eq!(of("permit", &[actor]), (Yes, vec![ShareIn], None));
    }
    assert_eq!(
        of("deny", &[into[0].clone(), out[0].clone()]),
        (No, BOTH.to_vec(), None)
    );
    assert_eq!(of("deny", &[]), (No, BOTH.to_vec(), None));
    let other =
        json!({"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "Z00202"}});
    let fine = [
        actor(PART, "IRCP", other),
        actor(PART, "AUT", unit()),
        actor("urn:x", "CST", unit()),
        actor(PART, "CST", json!({"reference": "Organization/7"})),
        json!({"role": {"text": "recipient"}, "reference": unit()}),
        json!({"role": {"coding": [{"system": PART, "code": "CST"}, {"system": PART, "code": "IRCP"}]}, "reference": unit()}),
    ];
    for actor in fine {
        let mixed = [out[0].clone(), actor.clone()];
        assert_eq!(
            of("permit", &mixed),
            (Nothing, BOTH.to_vec(), Some(ConsentNote::PartialPermit)),
            "{actor}"
        );
        assert_eq!(
            of("deny", &mixed),
            (No, BOTH.to_vec(), Some(ConsentNote::WholeDenial)),
            "{actor}"
        );
    }
    // Without the unit's code nobody is known to be the unit.
    let own = consent(json!({"type": "permit", "actor": [out[0]]}));
    assert_eq!(read(own.as_object().unwrap(), None, None).unwrap().word, Nothing);
}

#[test]
fn what_is_too_fine_denies_whole_and_permits_nothing() {
    let parts = [
        ("period", json!({"start": "2026-01-01"})),
        ("dataPeriod", json!({"end": "2026-01-01"})),
        ("class", json!([{"code": "Observation"}])),
        ("securityLabel", json!([{"code": "R"}])),
        ("purpose", json!([{"code": "HRESCH"}])),
        ("action", json!([{"coding": [{"code": "access"}]}])),
        ("provision", json!([{"type": "permit"}])),
        ("modifierExtension", json!([{"url": "urn:x"}])),
        ("unheardOf", json!(1)),
    ];
    for (key, value) in parts {
        let part = |kind: &str| word(&consent(json!({"type": kind, key: value})));
        assert_eq!(
            part("permit"),
            (Nothing, BOTH.to_vec(), Some(ConsentNote::PartialPermit)),
            "{key}"
        );
        assert_eq!(
            part("deny"),
            (No, BOTH.to_vec(), Some(ConsentNote::WholeDenial)),
            "{key}"
        );
    }
    let nested = consent(json!({"type": "permit", "actor": [actor(PART, "CST", unit())],
        "provision": [{"type": "permit", "provision": [{"type": "deny", "class": [{"code": "Condition"}]}]}]}));
    assert_eq!(
        word(&nested),
        (No, vec![ShareOut], Some(ConsentNote::WholeDenial))
    );
    let modified = with(consent(json!({"type": "permit"})), "modifierExtension", json!([]));
    assert_eq!(says(&modified).word, Nothing);
}

#[test]
fn a_policy_of_opting_out_denies_and_one_of_opting_in_permits_nothing_by_itself() {
    let policy = |code: &str| json!({"coding": [{"code": code}]});
    let mut bare = consent(Value::Null);
    bare.as_object_mut().unwrap().remove("provision");
    assert_eq!(says(&bare).word, Nothing);
    assert_eq!(
        word(&with(bare, "policyRule", policy("OPTOUT"))),
        (No, BOTH.to_vec(), None)
    );
    let permit = consent(json!({"type": "permit", "actor": [actor(PART, "CST", unit())]}));
    let both = (No, BOTH.to_vec(), Some(ConsentNote::WholeDenial));
    assert_eq!(word(&with(permit.clone(), "policyRule", policy("OPTOUTE"))), both);
    assert_eq!(word(&with(permit.clone(), "decision", json!("Deny"))), both);
    assert_eq!(says(&with(permit, "policyRule", policy("OPTINR"))).word, Nothing);
}

#[test]
fn when_how_and_by_whom_is_read() {
    let deny = || consent(json!({"type": "deny"}));
    let permit = || consent(json!({"type": "permit"}));
    let day = |c: Value| says(&with(c, "dateTime", json!("1970-01-01"))).said_at;
    // The source's own time of change lies within the day; beside it the day's end or beginning counts.
    assert_eq!(day(deny()), Some(1_000));
    let later = |c: Value| {
        read(
            with(c, "dateTime", json!("1970-01-01")).as_object().unwrap(),
            None,
            Some(1 << 40),
        )
    };
    assert_eq!(later(deny()).unwrap().said_at, Some(86_399_999));
    assert_eq!(later(permit()).unwrap().said_at, Some(0));
    assert_eq!(
        says(&with(deny(), "dateTime", json!("soon"))).said_at,
        Some(1_000)
    );
    assert_eq!(says(&deny()).said_at, Some(1_772_704_800_000));

    let performed = |by: Value| says(&with(deny(), "performer", json!([by])));
    assert_eq!(says(&deny()).manner, ConsentManner::Spoken);
    let written = with(deny(), "sourceAttachment", json!({"title": "form"}));
    assert_eq!(says(&written).manner, ConsentManner::Written);
    let daughter = performed(json!({"reference": "RelatedPerson/d", "display": "Daughter"}));
    assert_eq!(
        (daughter.manner, daughter.taken_by.as_str()),
        (ConsentManner::ByProxy, "")
    );
    let nurse = performed(json!({"reference": "Practitioner/n", "display": "Nurse"}));
    assert_eq!(
        (nurse.manner, nurse.taken_by.as_str()),
        (ConsentManner::Spoken, "Nurse")
    );
    let plain = json!([{"coding": [{"system": "urn:handfast:manner", "code": "by-proxy"}]}]);
    assert_eq!(
        says(&with(written, "category", plain)).manner,
        ConsentManner::ByProxy
    );
}

/// Members as Consents have them, in any combination, at any depth.
fn member() -> impl Strategy<Value = (String, Value)> {
    let text = prop_oneof![
        Just("permit"),
        Just("deny"),
        Just("Deny "),
        Just("active"),
        Just("patient-privacy"),
        Just("OPTIN"),
        Just("OPTOUT"),
        Just("Z00101"),
        Just(""),
    ];
    let leaf = prop_oneof![
        text.prop_map(|t| json!(t)),
        Just(Value::Null),
        Just(unit()),
        Just(actor(PART, "CST", unit())),
        Just(json!({"coding": [{"code": "patient-privacy"}]})),
        Just(json!({"coding": [{"code": "OPTOUT"}]})),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    (key(), value)
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("type"),
        4 => Just("provision"),
        2 => Just("actor"),
        1 => Just("decision"),
        1 => Just("policyRule"),
        1 => Just("scope"),
        1 => Just("status"),
        1 => Just("period"),
        1 => Just("modifierExtension"),
        1 => Just("extension"),
        1 => Just("verification"),
        1 => Just("dateTime"),
    ]
    .prop_map(str::to_owned)
}

/// Whether a Consent denies anything, told in another way than the codec tells it: by its text.
fn denies_anywhere(consent: &Map<String, Value>) -> bool {
    let text = |key: &str| {
        let part = consent.get(key).map(Value::to_string).unwrap_or_default();
        part.to_lowercase().replace(' ', "")
    };
    let typed = |key: &str| text(key).contains(r#""type":"deny""#);
    typed("provision")
        || typed("policyRule")
        || text("policyRule").contains("\"optout\"")
        || text("decision").contains("deny")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_denies_anything_never_says_yes(
        members in proptest::collection::vec(member(), 0..6),
        provision in proptest::collection::vec(member(), 0..5),
    ) {
        let mut whole = consent(json!({"type": "permit"}));
        for (key, value) in provision {
            whole["provision"][key] = value;
        }
        let object = whole.as_object_mut().unwrap();
        object.extend(members);
        let Some(says) = read(object, "Z00101".parse().ok(), None) else { return Ok(()) };
        prop_assert!(!says.sides.is_empty());
        if denies_anywhere(object) {
            prop_assert_ne!(says.word, Yes);
        }
        if says.word == Yes {
            let allowed = ["type", "actor", "extension", "id"];
            let keys = object["provision"].as_object().unwrap().keys();
            prop_assert!(keys.into_iter().all(|k| allowed.contains(&k.as_str())), "{object:?}");
        }
    }

    #[test]
    fn a_denial_put_anywhere_into_a_permit_turns_it(depth in 0_usize..8, in_list in any::<bool>(), spelt in "[dD][eE][nN][yY] ?") {
        let mut rule = json!({"type": spelt});
        for _ in 0..depth {
            let inner = if in_list { json!([rule]) } else { rule };
            rule = json!({"type": "permit", "provision": inner});
        }
        let says = says(&consent(rule));
        prop_assert_eq!((says.word, says.sides.len()), (No, 2));
    }
}
