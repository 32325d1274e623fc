//! What a Patient resource says of its NHS number, of merging, and of itself being restricted.

use handfast_proto::ids::NhsNumber;
use serde_json::{Map, Value};

use super::{Fault, NHS_NUMBER_SYSTEM, NumberStanding, PatientFacts, reference};

/// UK Core's extension on an identifier says whether the number was checked with PDS; these codes say yes
/// (UKCore-NHSNumberVerificationStatus, and the older NHS Data Dictionary code).
const VERIFICATION: &str = "NHSNumberVerificationStatus";
const VERIFIED: [&str; 2] = ["number-present-and-verified", "01"];

/// Reads a Patient. `restricted` is what its labels say.
pub(super) fn facts(patient: &Map<String, Value>, restricted: bool) -> Result<PatientFacts, Fault> {
    Ok(PatientFacts {
        standing: standing(patient)?,
        restricted,
        replaced_by: replaced_by(patient),
    })
}

/// The NHS number of a Patient, contained or not. An invalid one is refused, never passed over.
pub(super) fn standing(patient: &Map<String, Value>) -> Result<NumberStanding, Fault> {
    let mut standing = NumberStanding::Missing;
    for identifier in patient
        .get("identifier")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(number) = nhs_number(identifier)? else {
            continue;
        };
        let mut next = if is_verified(identifier) {
            NumberStanding::Verified(number)
        } else {
            NumberStanding::Unverified(number)
        };
        if let Some(before) = standing.claimed() {
            if before != number {
                return Ok(NumberStanding::Several);
            }
            // The same number twice, once in doubt: in doubt.
            if matches!(standing, NumberStanding::Unverified(_)) {
                next = standing;
            }
        }
        standing = next;
    }
    Ok(standing)
}

/// The NHS number in an identifier, if it is one and still in use.
pub(super) fn nhs_number(identifier: &Value) -> Result<Option<NhsNumber>, Fault> {
    let text = |key| identifier.get(key).and_then(Value::as_str);
    if text("system") != Some(NHS_NUMBER_SYSTEM) || text("use") == Some("old") {
        return Ok(None);
    }
    match text("value") {
        Some(value) => value.trim().parse().map(Some).map_err(Fault::InvalidNumber),
        None => Ok(None),
    }
}

fn is_verified(identifier: &Value) -> bool {
    let extensions = identifier.get("extension").and_then(Value::as_array);
    let mut statuses = extensions.into_iter().flatten().filter(|e| {
        let url = e.get("url").and_then(Value::as_str);
        url.is_some_and(|u| u.ends_with(VERIFICATION))
    });
    statuses.all(|status| {
        let concept = status.get("valueCodeableConcept").and_then(|c| c.get("coding"));
        let codes = concept.and_then(Value::as_array).into_iter().flatten();
        let code = |c: &Value| {
            c.get("code")
                .and_then(Value::as_str)
                .is_some_and(|c| VERIFIED.contains(&c))
        };
        codes.clone().count() > 0 && codes.into_iter().all(code)
    })
}

fn replaced_by(patient: &Map<String, Value>) -> Option<String> {
    let links = patient.get("link")?.as_array()?;
    let link = links
        .iter()
        .find(|l| l.get("type").and_then(Value::as_str) == Some("replaced-by"))?;
    let target = link.get("other")?.get("reference")?.as_str()?;
    reference::local(target)
        .filter(|(kind, _)| *kind == "Patient")
        .map(|(_, id)| id.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(identifiers: &Value) -> Result<NumberStanding, Fault> {
        standing(json!({"identifier": identifiers}).as_object().unwrap())
    }

    fn number(text: &str) -> NhsNumber {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_checked_and_their_standing_told() {
        let id = |value: &str| json!({"system": NHS_NUMBER_SYSTEM, "value": value});
        let marked = |value: &str, code: &str| {
            json!({"system": NHS_NUMBER_SYSTEM, "value": value, "extension": [{
                "url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus",
                "valueCodeableConcept": {"coding": [{"code": code}]}}]})
        };
        let n = number("9990000018");
        assert_eq!(
            read(&json!([id("999 000 0018")])),
            Ok(NumberStanding::Verified(n))
        );
        assert_eq!(
            read(&json!([{"system": "urn:x", "value": "1"}])),
            Ok(NumberStanding::Missing)
        );
        assert_eq!(
            read(&json!([id("9990000018"), id("9990000085")])),
            Ok(NumberStanding::Several)
        );
        assert_eq!(
            read(
                &json!([{"system": NHS_NUMBER_SYSTEM, "value": "9990000085", "use": "old"}, id("9990000018")])
            ),
            Ok(NumberStanding::Verified(n))
        );
        assert!(matches!(
            read(&json!([id("9990000019")])),
            Err(Fault::InvalidNumber(_))
        ));
        for code in VERIFIED {
            assert_eq!(
                read(&json!([marked("9990000018", code)])),
                Ok(NumberStanding::Verified(n))
            );
        }
        let doubtful = marked("9990000018", "number-present-but-not-traced");
        assert_eq!(read(&json!([doubtful])), Ok(NumberStanding::Unverified(n)));
        assert_eq!(
            read(&json!([doubtful, id("9990000018")])),
            Ok(NumberStanding::Unverified(n))
        );
    }

    #[test]
    fn a_merged_patient_names_its_successor() {
        let merged = json!({"link": [
            {"type": "seealso", "other": {"reference": "Patient/x"}},
            {"type": "replaced-by", "other": {"reference": "https://a.example/fhir/Patient/b"}}]});
        assert_eq!(replaced_by(merged.as_object().unwrap()).as_deref(), Some("b"));
    }
}
