//! One resource, or a file or request body with one resource or Bundle, read into changes.
//!
//! The payload of a change is the text as it came, without white space around it: nothing is written
//! anew, so that decimals and the order of members stay what the source holds. No message here carries
//! content: serde's own would quote it.

use std::borrow::Cow;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Category, Text},
    ids::{IdError, OdsCode, RecordId},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Bundle, Change, Content, Expected, Fault, NumberStanding, PatientLink, PrivateCodes, Said, Version,
    audit_event,
    bundle::{self, BundleType},
    canonical, category, consent, copied, meta, patient, reference,
    reference::Neighbours,
    retraction,
};

/// White space that JSON allows around a value (RFC 8259, section 2).
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Reads FHIR R4 JSON by one unit's rules. Cheap to share behind an `Arc`.
#[derive(Debug, Clone)]
pub struct Codec {
    private: PrivateCodes,
    max_payload_bytes: usize,
    unit: Option<OdsCode>,
}

/// What a file, a line or a request body holds.
#[derive(Debug)]
pub enum Document {
    /// One resource.
    Resource(Box<Change>),
    /// Entries to take one by one, or all together.
    Bundle(Bundle),
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "resourceType", default)]
    kind: Option<Cow<'a, str>>,
    /// Other resources have a `type` of another shape.
    #[serde(rename = "type", default)]
    bundle_type: Option<Value>,
}

impl Codec {
    /// Reads by a list of private codes and a bound on one resource's bytes.
    pub fn new(private: PrivateCodes, max_payload_bytes: usize) -> Self {
        Self {
            private,
            max_payload_bytes,
            unit: None,
        }
    }

    /// Knows whose records it reads, so that a Consent can name the unit.
    #[must_use]
    pub fn of_unit(mut self, unit: OdsCode) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Bytes of one resource.
    pub fn max_payload_bytes(&self) -> usize {
        self.max_payload_bytes
    }

    /// A resource or a Bundle of them. A Bundle of type document is one resource, a record of its own.
    pub fn document(&self, raw: &[u8]) -> Result<Document, Fault> {
        let text = text(raw)?;
        if let Some(kind) = bundle_type(text)? {
            return bundle::read(self, kind, text).map(Document::Bundle);
        }
        self.change(text, &Neighbours::new())
            .map(|c| Document::Resource(Box::new(c)))
    }

    /// One resource, whose references to its neighbours in a Bundle are known.
    pub(super) fn change(&self, text: &str, neighbours: &Neighbours) -> Result<Change, Fault> {
        let text = text.trim_matches(SPACE);
        if text.len() > self.max_payload_bytes {
            return Err(Fault::TooLarge {
                bytes: text.len(),
                bound: self.max_payload_bytes,
            });
        }
        let digest = canonical::digest(text)?;
        let value: Value = serde_json::from_str(text).map_err(|e| fault(&e))?;
        let object = value.as_object().ok_or(Fault::NotAResource)?;
        let record = record_id(object)?;
        let change = |author, content| Change {
            record: record.clone(),
            last_updated: meta::last_updated(object),
            author,
            content,
            expected: Expected::Anything,
            origin: copied::origin_of(object),
            aside: false,
        };
        if retraction::is_entered_in_error(object) {
            return Ok(change(Text::default(), Content::Retract));
        }
        if let Some((patient, said)) = self.said(&record, object, neighbours)? {
            let version = Version {
                payload: Bytes::copy_from_slice(text.as_bytes()),
                digest,
                patient,
                category: Category::Administrative,
                private: false,
                facts: None,
                said: Some(said),
            };
            return Ok(change(Text::default(), Content::Put(Box::new(version))));
        }
        let marked = self.private.marks(&value);
        let is_patient = record.resource_type() == "Patient";
        let facts = is_patient.then(|| patient::facts(object, marked)).transpose()?;
        let private = marked && !is_patient;
        let version = Version {
            payload: Bytes::copy_from_slice(text.as_bytes()),
            digest,
            patient: patient_of(&record, object, neighbours)?,
            category: category(record.resource_type()),
            private,
            facts,
            said: None,
        };
        // Who recorded a private entry may already say what it is about.
        let author = if private {
            Text::default()
        } else {
            meta::author(object)
        };
        Ok(change(author, Content::Put(Box::new(version))))
    }

    /// What a resource says to the daemon, and of whom; `None`: it is a record.
    fn said(
        &self,
        record: &RecordId,
        resource: &Map<String, Value>,
        neighbours: &Neighbours,
    ) -> Result<Option<(PatientLink, Said)>, Fault> {
        match record.resource_type() {
            "AuditEvent" => {
                let (patient, view) = audit_event::view(resource, neighbours)?;
                Ok(Some((patient, Said::View(view))))
            }
            "Consent" => match consent::read(resource, self.unit, meta::last_updated(resource)) {
                Some(says) => {
                    let patient = reference::patient_link(resource, neighbours)?;
                    Ok(Some((patient, Said::Consent(says))))
                }
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

fn patient_of(
    record: &RecordId,
    resource: &Map<String, Value>,
    neighbours: &Neighbours,
) -> Result<PatientLink, Fault> {
    let own = || PatientLink::Id(record.id().to_owned());
    match record.resource_type() {
        "Patient" => Ok(own()),
        "Bundle" => document_patient(resource),
        _ => match reference::patient_link(resource, neighbours) {
            // What an output tells about a source is nobody's; it is set apart before anyone asks whose.
            Err(Fault::NoPatient) if copied::is_derived_id(record.id()) => Ok(own()),
            link => link,
        },
    }
}

/// The patient of a document: the subject of its Composition, its first entry (FHIR R4, "Documents").
fn document_patient(document: &Map<String, Value>) -> Result<PatientLink, Fault> {
    let entries = document
        .get("entry")
        .and_then(Value::as_array)
        .ok_or(Fault::NoPatient)?;
    let resources = || {
        entries
            .iter()
            .filter_map(|e| e.get("resource").and_then(Value::as_object))
    };
    let composition = resources().next().ok_or(Fault::NoPatient)?;
    let mut neighbours = Neighbours::new();
    for entry in entries {
        let id = entry.get("resource").and_then(Value::as_object).map(record_id);
        if let (Some(url), Some(Ok(id))) = (entry.get("fullUrl").and_then(Value::as_str), id) {
            neighbours.insert(url.to_owned(), id);
        }
    }
    let link = reference::patient_link(composition, &neighbours)?;
    let PatientLink::Id(id) = &link else {
        return Ok(link);
    };
    // The document's own Patient need not be a record of the unit; its number is what can be relied on.
    let own = resources().find(|r| {
        let text = |key| r.get(key).and_then(Value::as_str);
        text("resourceType") == Some("Patient") && text("id") == Some(id)
    });
    let number = own
        .map(patient::standing)
        .transpose()?
        .and_then(NumberStanding::claimed);
    Ok(number.map_or(link, PatientLink::Number))
}

/// `ResourceType/id` of a resource.
pub(super) fn record_id(resource: &Map<String, Value>) -> Result<RecordId, Fault> {
    let kind = resource
        .get("resourceType")
        .and_then(Value::as_str)
        .ok_or(Fault::NotAResource)?;
    if !kind.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Err(Fault::NotAResource);
    }
    let id = resource
        .get("id")
        .and_then(Value::as_str)
        .ok_or(Fault::Id(IdError::RecordId))?;
    RecordId::new(kind, id).map_err(Fault::Id)
}

/// UTF-8, without a byte order mark and white space around it.
fn text(raw: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(raw).map_err(|e| match e.error_len() {
        Some(_) => Fault::NotUtf8,
        None => Fault::Truncated,
    })?;
    let text = text.trim_start_matches('\u{feff}').trim_matches(SPACE);
    if text.is_empty() {
        return Err(Fault::Truncated);
    }
    Ok(text)
}

/// What kind of Bundle a text is; `None` for any other resource, and for a document.
fn bundle_type(text: &str) -> Result<Option<BundleType>, Fault> {
    // Spares nearly every resource a second reading.
    if !text.contains("\"Bundle\"") {
        return Ok(None);
    }
    let head: Head<'_> = serde_json::from_str(text).map_err(|e| fault(&e))?;
    if head.kind.as_deref() != Some("Bundle") {
        return Ok(None);
    }
    BundleType::read(head.bundle_type.as_ref().and_then(Value::as_str))
}

/// Where the JSON is at fault, without a word of it.
pub(super) fn fault(error: &serde_json::Error) -> Fault {
    match error.classify() {
        serde_json::error::Category::Eof => Fault::Truncated,
        serde_json::error::Category::Data => Fault::NotAResource,
        _ => Fault::NotJson { at: error.column() },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codec() -> Codec {
        Codec::new(PrivateCodes::default(), 4096)
    }

    fn one(text: &str) -> Result<Change, Fault> {
        match codec().document(text.as_bytes())? {
            Document::Resource(change) => Ok(*change),
            Document::Bundle(_) => panic!("a Bundle"),
        }
    }

    fn version(text: &str) -> Version {
        match one(text).unwrap().content {
            Content::Put(version) => *version,
            Content::Retract => panic!("retracted"),
        }
    }

    #[test]
    fn a_resource_is_taken_as_it_came() {
        let text = r#"{"id":"c","resourceType":"Condition","subject":{"reference":"Patient/p"},"x":1.50}"#;
        let change = one(&format!("\u{feff}\n {text}\r\n")).unwrap();
        assert_eq!(change.record.as_str(), "Condition/c");
        let version = version(text);
        assert_eq!(version.payload, text);
        assert_eq!(version.patient, PatientLink::Id("p".to_owned()));
        assert!(!version.private && version.facts.is_none());
    }

    #[test]
    fn a_patient_is_restricted_where_an_entry_would_be_private() {
        let label = r#""meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}"#;
        let patient = version(&format!(r#"{{"resourceType":"Patient","id":"p",{label}}}"#));
        assert!(!patient.private);
        let facts = patient.facts.unwrap();
        assert!(facts.restricted && facts.standing == NumberStanding::Missing);
        let entry = format!(
            r#"{{"resourceType":"Condition","id":"c",{label},"subject":{{"reference":"Patient/p"}}}}"#
        );
        assert!(version(&entry).private);
    }

    #[test]
    fn entered_in_error_retracts_without_a_patient() {
        let change = one(r#"{"resourceType":"Observation","id":"o","status":"entered-in-error"}"#).unwrap();
        assert_eq!(change.content, Content::Retract);
    }

    #[test]
    fn faults_are_told_apart_and_quote_nothing() {
        for (text, expected) in [
            ("", Fault::Truncated),
            ("{\"resourceType\":\"Condition\"", Fault::Truncated),
            ("[]", Fault::NotAResource),
            (r#"{"resourceType":"condition","id":"1"}"#, Fault::NotAResource),
            (
                r#"{"resourceType":"Condition","id":"../1"}"#,
                Fault::Id(IdError::RecordId),
            ),
            (r#"{"resourceType":"Condition"}"#, Fault::Id(IdError::RecordId)),
            (r#"{"resourceType":"Organization","id":"1"}"#, Fault::NoPatient),
            (r#"{"resourceType":"Bundle","type":"message"}"#, Fault::BundleType),
        ] {
            assert_eq!(one(text).unwrap_err(), expected, "{text}");
        }
        assert_eq!(codec().document(b"{\"a\":\"\xff\"}").unwrap_err(), Fault::NotUtf8);
        let secret = one(r#"{"resourceType":"Condition","id":"1","subject":"secret"} secret"#).unwrap_err();
        assert!(!secret.to_string().contains("secret"));
        let large = format!(
            r#"{{"resourceType":"Condition","id":"1","note":"{}"}}"#,
            "x".repeat(5000)
        );
        let told = one(&large).unwrap_err().to_string();
        assert!(
            told.contains(&large.len().to_string()) && told.contains("4096"),
            "{told}"
        );
    }

    #[test]
    fn a_document_bundle_is_one_record_of_its_compositions_patient() {
        let text = r#"{"resourceType":"Bundle","id":"d","type":"document","entry":[
            {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Composition","id":"c","subject":{"reference":"urn:uuid:2"}}},
            {"fullUrl":"urn:uuid:2","resource":{"resourceType":"Patient","id":"p","identifier":[
                {"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}},
            {"resource":{"resourceType":"Condition","meta":{"security":[{"code":"V"}]}}}]}"#;
        let version = version(text);
        assert_eq!(
            version.patient,
            PatientLink::Number("9990000018".parse().unwrap())
        );
        assert!(version.private, "what contains a private resource is private");
    }

    proptest! {
        #[test]
        fn nothing_read_makes_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = codec().document(&raw);
        }

        #[test]
        fn no_cut_or_flip_of_a_resource_makes_it_panic(cut in 0_usize..300, at in 0_usize..300, with in any::<u8>()) {
            let text = r##"{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:a","resource":
                {"resourceType":"Patient","id":"p","identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number",
                "value":"9990000018"}]},"request":{"method":"PUT","url":"Patient/p"}}]}"##;
            let mut raw = text.as_bytes().to_vec();
            raw.truncate(cut);
            if let Some(byte) = raw.get_mut(at) { *byte = with; }
            let _ = codec().document(&raw);
        }
    }
}
