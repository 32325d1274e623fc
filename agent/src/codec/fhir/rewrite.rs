//! Makes a source's resource into one for this unit's server: another id, references to match, and where
//! it comes from in `meta.source`. Everything else stays byte for byte, so that no decimal loses a digit
//! (FHIR R4, datatypes: the precision of a decimal has meaning).

use std::fmt;

use handfast_proto::ids::{OdsCode, RecordId};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::copied::{derived_id, origin};

/// Levels of nesting that are read.
const MAX_DEPTH: usize = 64;

/// Why a payload cannot be made into a resource for the server. Names no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// Not JSON, or no resource.
    #[error("the payload is not a FHIR resource in JSON")]
    NotJson,
    /// Its name says another type.
    #[error("the resource is of another type than its record")]
    Type,
    /// Too deep.
    #[error("the resource is nested more than {MAX_DEPTH} levels deep")]
    Depth,
}

/// The resource as it goes to the server.
pub fn rewrite(payload: &[u8], source: OdsCode, record: &RecordId) -> Result<Vec<u8>, RewriteError> {
    let text = std::str::from_utf8(payload).map_err(|_| RewriteError::NotJson)?;
    let members = members(text)?;
    let resource_type = members.iter().find(|(key, _)| key == "resourceType");
    match resource_type.and_then(|(_, raw)| string(raw.get())) {
        Some(found) if found == record.resource_type() => {}
        Some(_) => return Err(RewriteError::Type),
        None => return Err(RewriteError::NotJson),
    }
    let mut out = Writer {
        source,
        text: String::with_capacity(text.len() + 256),
    };
    let (mut id, mut meta) = (false, false);
    out.begin('{');
    for (key, raw) in &members {
        match key.as_str() {
            "id" => {
                id = true;
                out.member_text("id", &derived_id(source, record));
            }
            "meta" => {
                meta = true;
                out.key("meta");
                out.meta(raw.get(), &origin(source, record))?;
            }
            _ => {
                out.key(key);
                out.value(key, raw.get(), 1)?;
            }
        }
    }
    if !id {
        out.member_text("id", &derived_id(source, record));
    }
    if !meta {
        out.key("meta");
        out.meta("{}", &origin(source, record))?;
    }
    out.text.push('}');
    Ok(out.text.into_bytes())
}

struct Writer {
    source: OdsCode,
    text: String,
}

impl Writer {
    fn begin(&mut self, bracket: char) {
        self.text.push(bracket);
    }

    /// The comma, where one is due, and the key.
    fn key(&mut self, key: &str) {
        self.comma();
        self.string(key);
        self.text.push(':');
    }

    fn comma(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }

    fn string(&mut self, text: &str) {
        // Only what cannot be encoded fails, and a string always can.
        self.text
            .push_str(&serde_json::to_string(text).unwrap_or_default());
    }

    fn member_text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    fn meta(&mut self, raw: &str, origin: &str) -> Result<(), RewriteError> {
        self.begin('{');
        for (key, value) in members(raw)?.iter().filter(|(key, _)| key != "source") {
            self.key(key);
            self.value(key, value.get(), 2)?;
        }
        self.member_text("source", origin);
        self.text.push('}');
        Ok(())
    }

    fn value(&mut self, key: &str, raw: &str, depth: usize) -> Result<(), RewriteError> {
        if depth > MAX_DEPTH {
            return Err(RewriteError::Depth);
        }
        match raw.as_bytes().first() {
            Some(b'{') => {
                self.begin('{');
                for (key, value) in &members(raw)? {
                    self.key(key);
                    self.value(key, value.get(), depth + 1)?;
                }
                self.text.push('}');
            }
            Some(b'[') => {
                self.begin('[');
                let values: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| RewriteError::NotJson)?;
                for value in values {
                    self.comma();
                    self.value(key, value.get(), depth + 1)?;
                }
                self.text.push(']');
            }
            Some(b'"') => match string(raw).and_then(|text| self.rewritten(key, &text)) {
                Some(other) => self.string(&other),
                None => self.text.push_str(raw),
            },
            _ => self.text.push_str(raw),
        }
        Ok(())
    }

    /// What a string becomes that points at another record of the source.
    fn rewritten(&self, key: &str, text: &str) -> Option<String> {
        match key {
            "reference" => reference(self.source, text),
            // An attachment may name a Binary of its own server (FHIR R4, Attachment.url).
            "url" if text.starts_with("Binary/") => reference(self.source, text),
            _ => None,
        }
    }
}

/// A relative literal reference (FHIR R4, references 2.3.0.1) as it reads at this unit's server. A version
/// is left out, as versions are counted anew there. `None` for what is absolute, contained or a search.
fn reference(source: OdsCode, text: &str) -> Option<String> {
    let (path, fragment) = match text.split_once('#') {
        Some((path, fragment)) => (path, Some(fragment)),
        None => (text, None),
    };
    let (resource_type, rest) = path.split_once('/')?;
    let id = match rest.split_once('/') {
        None => rest,
        Some((id, version)) if version.starts_with("_history/") => id,
        Some(_) => return None,
    };
    if !resource_type.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let record = RecordId::new(resource_type, id).ok()?;
    let target = format!("{resource_type}/{}", derived_id(source, &record));
    Some(match fragment {
        Some(fragment) => format!("{target}#{fragment}"),
        None => target,
    })
}

fn string(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// The members of an object in their order, values as they stand.
fn members(raw: &str) -> Result<Vec<(String, &RawValue)>, RewriteError> {
    let members: Members<'_> = serde_json::from_str(raw).map_err(|_| RewriteError::NotJson)?;
    Ok(members.0)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(member) = map.next_entry()? {
                    found.push(member);
                }
                Ok(Members(found))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> OdsCode {
        "Z00101".parse().unwrap()
    }

    fn id(record: &str) -> String {
        derived_id(source(), &record.parse().unwrap())
    }

    fn rewritten(payload: &str, record: &str) -> String {
        let bytes = rewrite(payload.as_bytes(), source(), &record.parse().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn id_references_and_origin_change_and_nothing_else() {
        let payload = r##"{ "resourceType":"Observation", "id":"1",
            "meta":{"versionId":"7","source":"http://old","tag":[{"code":"x"}]},
            "subject":{"reference":"Patient/1","display":"Patient/1"},
            "valueQuantity":{"value":1.50,"unit":"µg"},
            "contained":[{"resourceType":"Practitioner","id":"p","extension":[{"valueReference":{"reference":"Organization/9/_history/3"}}]}],
            "performer":[{"reference":"#p"},{"reference":"https://other.example/Patient/1"},{"reference":"urn:uuid:4"},
            {"reference":"Patient?identifier=1"},{"reference":"Practitioner/a#b"}] }"##;
        let out = rewritten(payload, "Observation/1");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["id"], id("Observation/1"));
        assert_eq!(json["meta"]["source"], "urn:handfast:Z00101:Observation/1");
        assert_eq!(json["meta"]["tag"][0]["code"], "x");
        assert_eq!(
            json["subject"]["reference"],
            format!("Patient/{}", id("Patient/1"))
        );
        assert_eq!(json["subject"]["display"], "Patient/1");
        assert!(out.contains("1.50"), "a decimal keeps its digits");
        let contained = &json["contained"][0];
        assert_eq!(contained["id"], "p");
        let organisation = &contained["extension"][0]["valueReference"]["reference"];
        assert_eq!(*organisation, format!("Organization/{}", id("Organization/9")));
        let performers: Vec<_> = json["performer"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| &p["reference"])
            .collect();
        assert_eq!(performers[0], "#p");
        assert_eq!(performers[1], "https://other.example/Patient/1");
        assert_eq!(performers[2], "urn:uuid:4");
        assert_eq!(performers[3], "Patient?identifier=1");
        assert_eq!(*performers[4], format!("Practitioner/{}#b", id("Practitioner/a")));
    }

    #[test]
    fn what_is_missing_is_added() {
        let out = rewritten(r#"{"resourceType":"Patient"}"#, "Patient/1");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["id"], id("Patient/1"));
        assert_eq!(json["meta"]["source"], "urn:handfast:Z00101:Patient/1");
        let attached = r#"{"resourceType":"DocumentReference","content":[{"attachment":{"url":"Binary/b1"}}],"url":"http://x/Binary/b1"}"#;
        let json: serde_json::Value =
            serde_json::from_str(&rewritten(attached, "DocumentReference/1")).unwrap();
        assert_eq!(
            json["content"][0]["attachment"]["url"],
            format!("Binary/{}", id("Binary/b1"))
        );
        assert_eq!(json["url"], "http://x/Binary/b1");
    }

    #[test]
    fn what_is_no_such_resource_is_refused() {
        let try_one = |payload: &str| rewrite(payload.as_bytes(), source(), &"Patient/1".parse().unwrap());
        for bad in [
            "",
            "[]",
            "{",
            "MSH|^~\\&|",
            r#"{"id":"1"}"#,
            r#"{"resourceType":"Patient","meta":[]}"#,
        ] {
            assert_eq!(try_one(bad), Err(RewriteError::NotJson), "{bad}");
        }
        assert_eq!(
            try_one(r#"{"resourceType":"Observation"}"#),
            Err(RewriteError::Type)
        );
        let deep = format!(
            r#"{{"resourceType":"Patient","x":{}{}}}"#,
            "[".repeat(100),
            "]".repeat(100)
        );
        assert_eq!(try_one(&deep), Err(RewriteError::Depth));
    }
}
