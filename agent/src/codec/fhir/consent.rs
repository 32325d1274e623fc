//! A patient's word, read from a FHIR R4 Consent of scope `patient-privacy`. Consents of other scopes
//! (research, advance directives) are records like others.
//!
//! | in the Consent | read as |
//! |---|---|
//! | `status` active | in force |
//! | `status` inactive, rejected, entered-in-error | ended |
//! | any other `status` | nothing |
//! | `provision.type` permit, and nothing beside it but `actor` | yes |
//! | deny as any `type` within `provision`, or a `policyRule` of opting out | no, as a whole |
//! | a permit with anything else in it | nothing: it cannot be honoured so finely |
//! | `provision.actor`: this unit as custodian (CST), or `urn:handfast:side` share-out | about share-out alone |
//! | `provision.actor`: this unit as recipient (IRCP, PRCP), or `urn:handfast:side` share-in | about share-in alone |
//! | no actor | about both sides |
//! | any other actor | too fine |
//!
//! Invariant: a yes is read only where every element that could narrow or contradict it is absent; what is
//! not known is taken as such an element. So nothing that denies anywhere reads as a yes.

use handfast_proto::{ids::OdsCode, statement::WordSide};
use serde_json::{Map, Value};

use super::{
    ConsentNote, ConsentSays, ConsentWord,
    consent_actors::sides_of,
    consent_manner::{manner, said_at, taken_by},
};

/// The scope of a Consent about the sharing of records (HL7 Terminology, consentscope).
const SCOPE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
const PRIVACY: &str = "patient-privacy";

/// Policies by which nothing is shared (HL7 Terminology, v3-ActCode: opt-out, with exceptions or without).
const OPT_OUT: [&str; 2] = ["OPTOUT", "OPTOUTE"];

/// A policy by which only a part is shared (the same: opt-in with restrictions).
const OPT_IN_PARTLY: &str = "OPTINR";

/// Elements of a Consent beside which a permit is whole. Not among them: what may change the meaning of
/// others (`implicitRules`, `modifierExtension`), and what FHIR R4 does not have.
const HARMLESS: [&str; 20] = [
    "resourceType",
    "id",
    "meta",
    "language",
    "text",
    "contained",
    "extension",
    "identifier",
    "status",
    "scope",
    "category",
    "patient",
    "dateTime",
    "performer",
    "organization",
    "sourceAttachment",
    "sourceReference",
    "policy",
    "policyRule",
    "provision",
];

/// And one more that says only that it was checked.
const VERIFICATION: &str = "verification";

/// The same within `provision`.
const HARMLESS_IN_PROVISION: [&str; 4] = ["id", "extension", "type", "actor"];

/// What a Consent says; `None`: it is of another scope, a record like others. `unit` is the unit whose
/// system sent it; without it no actor is known to be the unit.
pub(super) fn read(
    consent: &Map<String, Value>,
    unit: Option<OdsCode>,
    last_updated: Option<i64>,
) -> Option<ConsentSays> {
    let scope = scope(consent)?;
    let (word, sides, note) = match consent.get("status").and_then(Value::as_str) {
        Some("active") => decision(consent, unit, scope),
        Some("inactive" | "rejected" | "entered-in-error") => {
            (ConsentWord::Ended, WordSide::BOTH.to_vec(), None)
        }
        _ => nothing(ConsentNote::NotInForce),
    };
    Some(ConsentSays {
        word,
        sides,
        said_at: said_at(consent, word, last_updated),
        manner: manner(consent),
        taken_by: taken_by(consent),
        note,
        received: None,
    })
}

type Decision = (ConsentWord, Vec<WordSide>, Option<ConsentNote>);

fn nothing(note: ConsentNote) -> Decision {
    (ConsentWord::Nothing, WordSide::BOTH.to_vec(), Some(note))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Privacy,
    /// Not said: it may be about privacy.
    Unclear,
}

/// `None`: another scope.
fn scope(consent: &Map<String, Value>) -> Option<Scope> {
    let mut coded = false;
    for coding in codings(consent.get("scope")) {
        let text = |key| coding.get(key).and_then(Value::as_str);
        let Some(code) = text("code") else { continue };
        if code == PRIVACY && text("system").is_none_or(|s| s == SCOPE_SYSTEM) {
            return Some(Scope::Privacy);
        }
        coded = true;
    }
    (!coded).then_some(Scope::Unclear)
}

fn decision(consent: &Map<String, Value>, unit: Option<OdsCode>, scope: Scope) -> Decision {
    let provision = consent.get("provision");
    let root = provision.and_then(Value::as_object);
    let plain = root.is_some_and(|root| root.keys().all(|k| HARMLESS_IN_PROVISION.contains(&k.as_str())));
    let sides = root.and_then(|root| sides_of(root, consent, unit));
    if opts_out(consent) {
        let note = provision.map(|_| ConsentNote::WholeDenial);
        return (ConsentWord::No, WordSide::BOTH.to_vec(), note);
    }
    let root_type = root.and_then(|root| root.get("type")).and_then(Value::as_str);
    if provision.is_some_and(denies) {
        let exact = plain && sides.is_some() && root_type == Some("deny");
        let note = (!exact).then_some(ConsentNote::WholeDenial);
        return (
            ConsentWord::No,
            sides.unwrap_or_else(|| WordSide::BOTH.to_vec()),
            note,
        );
    }
    match (root_type, sides) {
        (Some("permit"), Some(sides)) if plain && scope == Scope::Privacy && is_whole(consent) => {
            (ConsentWord::Yes, sides, None)
        }
        (Some("permit"), _) => nothing(ConsentNote::PartialPermit),
        _ => nothing(ConsentNote::Undecided),
    }
}

/// Whether anything within says deny, however it is spelt or nested.
fn denies(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(key, value)| match value {
            Value::String(text) => key == "type" && is_deny(text),
            other => denies(other),
        }),
        Value::Array(values) => values.iter().any(denies),
        _ => false,
    }
}

fn is_deny(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("deny")
}

fn opts_out(consent: &Map<String, Value>) -> bool {
    // `decision` is FHIR R5's; a system that sends it must not be misread.
    let decided = consent
        .get("decision")
        .and_then(Value::as_str)
        .is_some_and(is_deny);
    let policy = consent.get("policyRule");
    decided || policy.is_some_and(|p| denies(p) || OPT_OUT.iter().any(|code| mentions(p, code)))
}

/// Whether a code stands anywhere within.
fn mentions(value: &Value, code: &str) -> bool {
    match value {
        Value::String(text) => text.trim().eq_ignore_ascii_case(code),
        Value::Object(object) => object.values().any(|v| mentions(v, code)),
        Value::Array(values) => values.iter().any(|v| mentions(v, code)),
        _ => false,
    }
}

/// Whether nothing beside the provision narrows a permit.
fn is_whole(consent: &Map<String, Value>) -> bool {
    let harmless = |key: &String| {
        let key = key.as_str();
        HARMLESS.contains(&key) || key == VERIFICATION || key.starts_with('_')
    };
    let partly = consent
        .get("policyRule")
        .is_some_and(|p| mentions(p, OPT_IN_PARTLY));
    consent.keys().all(harmless) && !partly
}

/// The codings of a CodeableConcept, or of several.
pub(super) fn codings(concept: Option<&Value>) -> impl Iterator<Item = &Value> {
    let all: Vec<&Value> = match concept {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    all.into_iter()
        .filter_map(|c| c.get("coding").and_then(Value::as_array))
        .flatten()
}
