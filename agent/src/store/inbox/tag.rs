//! Keyed digests of names and numbers, by which they are recognised again without being kept: what a record was
//! called and whose it was must not outlive it here, yet an older version that comes late is to be known.

use handfast_proto::ids::{NhsNumber, RecordId};
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::error::InboxError;

/// Bytes of a tag.
const TAG_BYTES: usize = 16;

const KEY_BYTES: usize = 32;

/// A digest that only this inbox makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Tag([u8; TAG_BYTES]);

/// What this inbox's tags are made with.
#[derive(Clone)]
pub(super) struct TagKey([u8; KEY_BYTES]);

impl Tag {
    /// A column that may be NULL.
    pub(super) fn read(row: &SqliteRow, name: &str) -> Result<Option<Self>, InboxError> {
        let raw: Option<Vec<u8>> = row.try_get(name)?;
        raw.map(|raw| raw.as_slice().try_into().map(Self))
            .transpose()
            .map_err(|_| InboxError::Damaged("a tag"))
    }

    pub(super) fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// For a list in JSON; SQLite's `unhex` reads it.
    pub(super) fn hex(self) -> String {
        use std::fmt::Write as _;
        self.0
            .iter()
            .fold(String::with_capacity(2 * TAG_BYTES), |mut hex, b| {
                // Writing to a string does not fail.
                let _ = write!(hex, "{b:02x}");
                hex
            })
    }

    /// What [`Tag::hex`] wrote, in either case.
    pub(super) fn from_hex(hex: &str) -> Option<Self> {
        let mut tag = [0; TAG_BYTES];
        if hex.len() != 2 * TAG_BYTES {
            return None;
        }
        for (place, byte) in tag.iter_mut().enumerate() {
            let digits = hex.get(2 * place..2 * place + 2)?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(tag))
    }
}

impl TagKey {
    pub(super) fn random() -> Result<Self, InboxError> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|_| InboxError::Random)?;
        Ok(Self(key))
    }

    pub(super) fn from_slice(raw: &[u8]) -> Result<Self, InboxError> {
        let key = raw
            .try_into()
            .map_err(|_| InboxError::Damaged("the key of its tags"))?;
        Ok(Self(key))
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    pub(super) fn record(&self, record: &RecordId) -> Tag {
        self.tag(b"record", record.as_bytes())
    }

    pub(super) fn patient(&self, patient: NhsNumber) -> Tag {
        self.tag(b"patient", &patient.as_u64().to_be_bytes())
    }

    /// Of a name and the digest of a content together.
    pub(super) fn copy(&self, record: &RecordId, content: &[u8; 32]) -> Tag {
        let mut both = Vec::with_capacity(record.as_bytes().len() + content.len());
        both.extend_from_slice(content);
        both.extend_from_slice(record.as_bytes());
        self.tag(b"copy", &both)
    }

    fn tag(&self, kind: &[u8], name: &[u8]) -> Tag {
        let digest = Sha256::new()
            .chain_update(b"handfast inbox tag 1")
            .chain_update(self.0)
            .chain_update(kind)
            .chain_update([0])
            .chain_update(name)
            .finalize();
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Tag(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_names_kinds_and_inboxes_apart() {
        let (one, other) = (TagKey([1; 32]), TagKey([2; 32]));
        let record = |name: &str| one.record(&name.parse().unwrap());
        let tag = record("Observation/1");
        assert_eq!(tag, record("Observation/1"));
        assert_ne!(tag, record("Observation/2"));
        assert_ne!(tag, other.record(&"Observation/1".parse().unwrap()));
        assert_ne!(tag, one.patient(NhsNumber::from_u64(9_990_000_018).unwrap()));
        let copy = |name: &str, content: u8| one.copy(&name.parse().unwrap(), &[content; 32]);
        assert_ne!(copy("Observation/1", 1), copy("Observation/2", 1));
        assert_ne!(copy("Observation/1", 1), copy("Observation/1", 2));
        assert_eq!(Tag::from_hex(&tag.hex().to_uppercase()), Some(tag));
        assert_eq!(Tag::from_hex("0g"), None);
    }
}
