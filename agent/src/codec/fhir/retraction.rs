//! Whether a resource says of itself that it was entered in error.

use serde_json::{Map, Value};

const ENTERED_IN_ERROR: &str = "entered-in-error";

/// True where `status` is entered-in-error, or for conditions and allergies `verificationStatus` (FHIR R4,
/// "Lifecycle": entered-in-error).
pub(super) fn is_entered_in_error(resource: &Map<String, Value>) -> bool {
    let status = resource.get("status").and_then(Value::as_str);
    if status == Some(ENTERED_IN_ERROR) {
        return true;
    }
    match resource.get("verificationStatus") {
        Some(Value::String(code)) => code == ENTERED_IN_ERROR,
        Some(concept) => concept
            .get("coding")
            .and_then(Value::as_array)
            .is_some_and(|codings| {
                codings
                    .iter()
                    .any(|c| c.get("code").and_then(Value::as_str) == Some(ENTERED_IN_ERROR))
            }),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_places_count() {
        for (resource, expected) in [
            (json!({"status": "entered-in-error"}), true),
            (json!({"status": "final"}), false),
            (
                json!({"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
                true,
            ),
            (
                json!({"verificationStatus": {"coding": [{"code": "confirmed"}]}}),
                false,
            ),
            (json!({"note": [{"text": "entered-in-error"}]}), false),
        ] {
            assert_eq!(
                is_entered_in_error(resource.as_object().unwrap()),
                expected,
                "{resource}"
            );
        }
    }
}
