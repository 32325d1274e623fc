//! Which sides of the unit's sharing a Consent's actors narrow it to: this unit as the one that discloses
//! (share-out), or as the one that receives (share-in).

use handfast_proto::{ids::OdsCode, statement::WordSide};
use serde_json::{Map, Value};

use super::{consent::codings, reference::local};

/// The identifier system of ODS codes (NHS England, FHIR UK Core).
const ODS_SYSTEM: &str = "https://fhir.nhs.uk/Id/ods-organization-code";

/// How someone takes part (HL7 Terminology), also under the name it had in FHIR before R4.
const PARTICIPATION: [&str; 2] = [
    "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
    "http://hl7.org/fhir/v3/ParticipationType",
];

/// Codes of Handfast's own, for systems that can say it plainly.
const SIDES: &str = "urn:handfast:side";

/// The sides a provision is about: both where it names no actor. `None`: it names others than this unit, or
/// this unit in a part that is not known.
pub(super) fn sides_of(
    provision: &Map<String, Value>,
    consent: &Map<String, Value>,
    unit: Option<OdsCode>,
) -> Option<Vec<WordSide>> {
    let actors = match provision.get("actor") {
        None => return Some(WordSide::BOTH.to_vec()),
        Some(actors) => actors.as_array()?,
    };
    if actors.is_empty() {
        return Some(WordSide::BOTH.to_vec());
    }
    let mut named = Vec::new();
    for actor in actors {
        let actor = actor.as_object()?;
        let plain = |key: &String| matches!(key.as_str(), "id" | "extension" | "role" | "reference");
        if !actor.keys().all(plain) || !is_unit(actor.get("reference")?, consent, unit?) {
            return None;
        }
        named.push(side(actor.get("role")?)?);
    }
    // In the order in which they always stand.
    Some(WordSide::BOTH.into_iter().filter(|s| named.contains(s)).collect())
}

/// `None`: a part that is not known, or two at once.
fn side(role: &Value) -> Option<WordSide> {
    let mut found = None;
    for coding in codings(Some(role)) {
        let text = |key| coding.get(key).and_then(Value::as_str);
        let side = match (text("system")?, text("code")?) {
            (SIDES, "share-out") => WordSide::ShareOut,
            (SIDES, "share-in") => WordSide::ShareIn,
            (system, "CST") if PARTICIPATION.contains(&system) => WordSide::ShareOut,
            (system, "IRCP" | "PRCP") if PARTICIPATION.contains(&system) => WordSide::ShareIn,
            _ => return None,
        };
        if found.is_some_and(|other| other != side) {
            return None;
        }
        found = Some(side);
    }
    found
}

/// Whether a reference names the unit: by its ODS code as identifier, by `Organization/<ODS code>`, or by a
/// contained Organization with that identifier.
fn is_unit(reference: &Value, consent: &Map<String, Value>, unit: OdsCode) -> bool {
    if let Some(identifier) = reference.get("identifier") {
        return is_code(identifier, unit);
    }
    let Some(text) = reference.get("reference").and_then(Value::as_str) else {
        return false;
    };
    let Some(id) = text.strip_prefix('#') else {
        return local(text) == Some(("Organization", unit.as_str()));
    };
    let contained = consent.get("contained").and_then(Value::as_array);
    let found = contained.into_iter().flatten().find(|c| {
        let text = |key| c.get(key).and_then(Value::as_str);
        text("resourceType") == Some("Organization") && text("id") == Some(id)
    });
    let identifiers = found.and_then(|c| c.get("identifier")).and_then(Value::as_array);
    identifiers.is_some_and(|all| all.iter().any(|i| is_code(i, unit)))
}

fn is_code(identifier: &Value, unit: OdsCode) -> bool {
    let text = |key| identifier.get(key).and_then(Value::as_str);
    text("system") == Some(ODS_SYSTEM) && text("value").is_some_and(|v| v.trim() == unit.as_str())
}
