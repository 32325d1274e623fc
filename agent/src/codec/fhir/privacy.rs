//! Which entries their source marked as not to leave: `meta.security` R or V, or a code from a configured
//! list, anywhere in the resource, so that what contains a private resource is private too.
//!
//! Where a label is unclear it counts as set: a code R or V without its system is taken for the label.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Confidentiality codes (HL7 Terminology, v3-Confidentiality); in FHIR R4's `meta.security`.
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// Codes in a private list, and bytes in a code or its system.
const MAX_CODES: usize = 100_000;
const MAX_CODE_BYTES: usize = 1024;

/// Codes that make an entry private wherever they occur in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrivateCodes {
    codes: HashSet<(String, String)>,
}

/// What is wrong with a list of private codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateCodesError {
    /// Not TOML, or other keys than those expected.
    #[error(
        "the list of private codes cannot be read: {0}; expected [[private]] tables with system and codes"
    )]
    Toml(String),
    /// Too many or too long.
    #[error("the list of private codes exceeds 100,000 codes, or one of them 1,024 bytes, or is empty")]
    Size,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    private: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    system: String,
    codes: Vec<String>,
    #[serde(default, rename = "note")]
    _note: String,
}

impl PrivateCodes {
    /// Reads a list: TOML with `[[private]]` tables, each with a `system`, its `codes` and, if wanted, a
    /// `note` for people. `agent/examples/private-codes.toml` is one.
    pub fn from_toml(text: &str) -> Result<Self, PrivateCodesError> {
        let file: File = toml::from_str(text).map_err(|e| PrivateCodesError::Toml(e.message().to_owned()))?;
        let mut codes = HashSet::new();
        for table in file.private {
            for code in table.codes {
                let fits = !code.is_empty() && !table.system.is_empty();
                if !fits || code.len() > MAX_CODE_BYTES || table.system.len() > MAX_CODE_BYTES {
                    return Err(PrivateCodesError::Size);
                }
                codes.insert((table.system.clone(), code));
            }
        }
        if codes.is_empty() || codes.len() > MAX_CODES {
            return Err(PrivateCodesError::Size);
        }
        Ok(Self { codes })
    }

    /// How many codes.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Whether a resource, or anything in it, is marked as not to leave. The depth was bounded before.
    pub(super) fn marks(&self, value: &Value) -> bool {
        match value {
            Value::Object(object) => {
                is_labelled(object) || self.lists(object) || object.values().any(|v| self.marks(v))
            }
            Value::Array(values) => values.iter().any(|v| self.marks(v)),
            _ => false,
        }
    }

    fn lists(&self, object: &Map<String, Value>) -> bool {
        if self.codes.is_empty() {
            return false;
        }
        let text = |key| object.get(key).and_then(Value::as_str);
        match (text("system"), text("code")) {
            (Some(system), Some(code)) => self.codes.contains(&(system.to_owned(), code.to_owned())),
            _ => false,
        }
    }
}

fn is_labelled(object: &Map<String, Value>) -> bool {
    let security = object.get("meta").and_then(|meta| meta.get("security"));
    if security.is_some_and(any_label) {
        return true;
    }
    // DocumentReference.securityLabel and Composition.confidentiality say the same of documents.
    let labels = object.get("securityLabel").and_then(Value::as_array);
    let in_labels = labels.is_some_and(|all| all.iter().any(|l| l.get("coding").is_some_and(any_label)));
    let composition = object.get("resourceType").and_then(Value::as_str) == Some("Composition");
    let confidentiality = object.get("confidentiality").and_then(Value::as_str);
    in_labels || (composition && confidentiality.is_some_and(is_private_code))
}

fn any_label(codings: &Value) -> bool {
    let one = |coding: &Value| {
        let system = coding.get("system").and_then(Value::as_str);
        let code = coding.get("code").and_then(Value::as_str);
        system.is_none_or(|s| s == CONFIDENTIALITY) && code.is_some_and(is_private_code)
    };
    match codings {
        Value::Array(all) => all.iter().any(one),
        single => one(single),
    }
}

fn is_private_code(code: &str) -> bool {
    matches!(code, "R" | "V")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn label(code: &str) -> Value {
        json!({"security": [{"system": CONFIDENTIALITY, "code": code}]})
    }

    #[test]
    fn labels_r_and_v_mark_at_any_depth() {
        let none = PrivateCodes::default();
        for code in ["R", "V"] {
            assert!(none.marks(&json!({"resourceType": "Condition", "meta": label(code)})));
            assert!(none.marks(&json!({"contained": [{"resourceType": "Condition", "meta": label(code)}]})));
            assert!(none.marks(&json!({"entry": [{"resource": {"contained": [{"meta": label(code)}]}}]})));
        }
        assert!(!none.marks(&json!({"meta": label("N")})));
        assert!(none.marks(&json!({"meta": {"security": [{"code": "R"}]}})));
        assert!(!none.marks(&json!({"meta": {"security": [{"system": "urn:x", "code": "R"}]}})));
        assert!(none.marks(&json!({"resourceType": "Composition", "confidentiality": "V"})));
        assert!(
            none.marks(&json!({"securityLabel": [{"coding": [{"system": CONFIDENTIALITY, "code": "R"}]}]}))
        );
    }

    #[test]
    fn a_listed_code_marks_only_with_its_system() {
        let list = PrivateCodes::from_toml(
            "[[private]]\nsystem = \"http://snomed.info/sct\"\ncodes = [\"86406008\"]\nnote = \"HIV\"\n",
        )
        .unwrap();
        let coded = |system: &str| json!({"code": {"coding": [{"system": system, "code": "86406008"}]}});
        assert!(list.marks(&coded("http://snomed.info/sct")));
        assert!(!list.marks(&coded("http://loinc.org")));
        assert!(!PrivateCodes::default().marks(&coded("http://snomed.info/sct")));
    }

    #[test]
    fn the_shipped_example_reads_and_a_wrong_list_is_refused() {
        assert!(
            !PrivateCodes::from_toml(include_str!("../../../examples/private-codes.toml"))
                .unwrap()
                .is_empty()
        );
        assert!(matches!(
            PrivateCodes::from_toml("x = 1"),
            Err(PrivateCodesError::Toml(_))
        ));
        assert!(PrivateCodes::from_toml("[[private]]\nsystem = \"s\"\ncodes = []\n").is_err());
        assert!(PrivateCodes::from_toml("[[private]]\nsystem = \"s\"\ncodes = [\"\"]\n").is_err());
    }
}
