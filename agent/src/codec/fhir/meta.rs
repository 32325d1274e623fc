//! When a resource was last changed at its source, and who recorded it.

use handfast_proto::{amendment::Text, limits::MAX_TEXT_CHARS};
use serde_json::{Map, Value};

/// Elements that name who recorded an entry, the more telling first (FHIR R4, "Five Ws": author, recorder).
const AUTHORS: [&str; 7] = [
    "recorder",
    "author",
    "asserter",
    "requester",
    "performer",
    "participant",
    "informationSource",
];

/// `meta.lastUpdated` (FHIR R4, "Resource": an instant) in milliseconds since 1970-01-01T00:00:00Z. What is
/// not an instant counts as not said.
pub(super) fn last_updated(resource: &Map<String, Value>) -> Option<i64> {
    let text = resource.get("meta")?.get("lastUpdated")?.as_str()?;
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(instant.as_millisecond())
}

/// Who recorded it: the display of the first of the elements that name an author, else its reference, cut
/// to what a header may carry. Empty where none is named.
pub(super) fn author(resource: &Map<String, Value>) -> Text {
    let found = AUTHORS.iter().find_map(|key| resource.get(*key).and_then(named));
    short_text(found.unwrap_or_default())
}

/// A text cut to what a header may carry.
pub(super) fn short_text(text: &str) -> Text {
    let plain = text.chars().filter(|c| !c.is_control());
    Text::new(plain.take(MAX_TEXT_CHARS).collect::<String>()).unwrap_or_default()
}

fn named(value: &Value) -> Option<&str> {
    let one = match value {
        Value::Array(all) => all.first()?,
        other => other,
    };
    let reference = one.get("actor").or_else(|| one.get("individual")).unwrap_or(one);
    let text = |key| reference.get(key).and_then(Value::as_str);
    let is_patient = text("reference").is_some_and(|r| r.contains("Patient/"));
    // A patient's own name has no place in a header.
    if is_patient {
        return None;
    }
    text("display").or_else(|| text("reference"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn instants_and_authors_are_read() {
        let resource = json!({
            "meta": {"lastUpdated": "2026-01-02T03:04:05.678+01:00"},
            "asserter": {"reference": "Patient/1", "display": "Herself"},
            "performer": [{"actor": {"display": "Dr\u{7} A"}}],
        });
        let object = resource.as_object().unwrap();
        assert_eq!(last_updated(object), Some(1_767_319_445_678));
        assert_eq!(author(object).as_str(), "Dr A");
        let none = json!({"meta": {"lastUpdated": "yesterday"}});
        assert_eq!(last_updated(none.as_object().unwrap()), None);
        assert_eq!(author(none.as_object().unwrap()).as_str(), "");
    }
}
