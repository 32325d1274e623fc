//! How a copy of another unit's record is told from everything else at this unit's own server: its id,
//! made from its source, type and id alone, so that two sources, and the unit itself, may all have
//! `Observation/1`, and a re-installed agent finds its own; and its origin in `meta.source`.

use handfast_proto::ids::{OdsCode, RecordId};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Bytes of the digest that are used: 160 bits, 32 characters.
const ID_BYTES: usize = 20;

/// Small letters and digits only, as ids may be compared without regard to case (RFC 4648, base32hex).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// What every such id begins with.
const PREFIX: &str = "hf-";

/// Characters behind the prefix.
const DIGITS: usize = ID_BYTES * 8 / 5;

/// What every origin begins with.
const ORIGIN: &str = "urn:handfast:";

/// An id of 35 characters; FHIR R4 allows 64 (datatypes, `id`).
pub fn derived_id(source: OdsCode, record: &RecordId) -> String {
    id_of(source, record.as_bytes())
}

/// The id of what is told about a source itself. No record has it: none is without a name.
pub fn about_id(source: OdsCode) -> String {
    id_of(source, b"")
}

fn id_of(source: OdsCode, name: &[u8]) -> String {
    let hash = Sha256::new()
        .chain_update(b"handfast output id 1")
        .chain_update([0])
        .chain_update(source.as_str())
        .chain_update([0])
        .chain_update(name)
        .finalize();
    let mut id = String::from(PREFIX);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in hash.iter().take(ID_BYTES) {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            let index = (bits >> held) & 31;
            id.push(ALPHABET.get(index as usize).map_or('0', |b| char::from(*b)));
        }
    }
    id
}

/// Whether an id is one of those: no system of a unit gives such a one by itself.
pub fn is_derived_id(id: &str) -> bool {
    let digits = id.strip_prefix(PREFIX).unwrap_or_default().as_bytes();
    digits.len() == DIGITS && digits.iter().all(|d| ALPHABET.contains(d))
}

/// Where a record comes from, as it stands in `meta.source`.
pub(super) fn origin(source: OdsCode, record: &RecordId) -> String {
    format!("{ORIGIN}{}:{}", source.as_str(), record.as_str())
}

/// The origin that a resource carries. A server may add to `meta.source` behind a `#` (HAPI FHIR does, the
/// request's id); that is passed over.
pub(super) fn origin_of(resource: &Map<String, Value>) -> Option<(OdsCode, RecordId)> {
    let text = resource.get("meta")?.get("source")?.as_str()?;
    let (text, _) = text.split_once('#').unwrap_or((text, ""));
    let (source, record) = text.strip_prefix(ORIGIN)?.split_once(':')?;
    Some((source.parse().ok()?, record.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_fixed_and_apart() {
        let id = |source: &str, record: &str| derived_id(source.parse().unwrap(), &record.parse().unwrap());
        let first = id("Z00101", "Observation/1");
        // Never to change: it names what earlier versions wrote.
        assert_eq!(first, "hf-vqrs8brq5rmspiub14hr6jh7n3i0nu9j");
        assert_eq!(first.len(), 35);
        assert!(
            first
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
        for (source, record) in [
            ("Z00102", "Observation/1"),
            ("Z00101", "Patient/1"),
            ("Z00101", "Observation/10"),
        ] {
            assert_ne!(id(source, record), first);
            assert!(is_derived_id(&id(source, record)));
        }
        for other in [
            "hf-1",
            "1",
            "hf-VQRS8BRQ5RMSPIUB14HR6JH7N3I0NU9J",
            &first[1..],
            &first[..34],
        ] {
            assert!(!is_derived_id(other), "{other}");
        }
    }

    #[test]
    fn an_origin_is_read_as_it_was_written_and_with_what_a_server_adds() {
        let (source, record) = ("Z00101".parse().unwrap(), "Observation/1".parse().unwrap());
        let read = |text: &str| origin_of(json!({"meta": {"source": text}}).as_object().unwrap());
        let text = origin(source, &record);
        assert_eq!(read(&text), Some((source, record.clone())));
        assert_eq!(read(&format!("{text}#8GsGRkO1nWOYgRFm")), Some((source, record)));
        for other in [
            "urn:handfast:Z00101",
            "urn:handfast:z:Observation/1",
            "http://ehr.example",
            "",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
