//! The id of a record at this unit's own server: made from its source, type and id alone, so that two
//! sources, and the unit itself, may all have `Observation/1`, and a re-installed agent finds its own.

use handfast_proto::ids::{OdsCode, RecordId};
use sha2::{Digest as _, Sha256};

/// Bytes of the digest that are used: 160 bits, 32 characters.
const ID_BYTES: usize = 20;

/// Small letters and digits only, as ids may be compared without regard to case (RFC 4648, base32hex).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// An id of 35 characters; FHIR R4 allows 64 (datatypes, `id`).
pub(super) fn derived_id(source: OdsCode, record: &RecordId) -> String {
    let hash = Sha256::new()
        .chain_update(b"handfast output id 1")
        .chain_update([0])
        .chain_update(source.as_str())
        .chain_update([0])
        .chain_update(record.as_bytes())
        .finalize();
    let mut id = String::from("hf-");
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

/// Where a record comes from, as it stands in `meta.source`.
pub(super) fn origin(source: OdsCode, record: &RecordId) -> String {
    format!("urn:handfast:{}:{}", source.as_str(), record.as_str())
}

#[cfg(test)]
mod tests {
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
        }
    }
}
