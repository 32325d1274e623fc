//! Leaves: what is hashed into the tree. A leaf is read only where writing it again gives the same bytes, so
//! that there is one way to write each entry and no byte of it is without meaning.

use prost::Message as _;

use crate::v1::{AuditKind, AuditLeaf, audit_leaf::Event};

/// Bytes of one leaf.
pub const MAX_LEAF_BYTES: usize = 64 * 1024;

/// What is wrong with a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafFault {
    /// It is no leaf, or is too large.
    #[error("the entry cannot be read")]
    Encoding,
    /// It is read as something that is written otherwise.
    #[error("the entry is not written in the one way in which it must be")]
    NotCanonical,
    /// A part that every leaf has is missing.
    #[error("the entry has no salt, or says nothing")]
    Missing,
}

/// Reads a leaf.
pub fn decode_leaf(raw: &[u8]) -> Result<AuditLeaf, LeafFault> {
    if raw.len() > MAX_LEAF_BYTES {
        return Err(LeafFault::Encoding);
    }
    let leaf = AuditLeaf::decode(raw).map_err(|_| LeafFault::Encoding)?;
    if leaf.encode_to_vec() != raw {
        return Err(LeafFault::NotCanonical);
    }
    if leaf.salt.len() != super::SALT_BYTES || kind_of(&leaf) == AuditKind::Unspecified {
        return Err(LeafFault::Missing);
    }
    Ok(leaf)
}

/// What kind of entry a leaf is; `Unspecified` only where it says nothing.
pub fn kind_of(leaf: &AuditLeaf) -> AuditKind {
    let Some(event) = &leaf.event else {
        return AuditKind::Unspecified;
    };
    match event {
        Event::HalfSet(_) => AuditKind::HalfSet,
        Event::PolicySet(_) => AuditKind::PolicySet,
        Event::PatientWord(_) => AuditKind::PatientWord,
        Event::NumbersJoined(_) => AuditKind::NumbersJoined,
        Event::Caseload(_) => AuditKind::Caseload,
        Event::GrantEnded(_) => AuditKind::GrantEnded,
        Event::Withdrawal(_) => AuditKind::Withdrawal,
        Event::Disclosed(_) => AuditKind::Disclosed,
        Event::Withheld(_) => AuditKind::Withheld,
        Event::PerhapsDisclosed(_) => AuditKind::PerhapsDisclosed,
        Event::EmergencyOpened(_) => AuditKind::EmergencyOpened,
        Event::EmergencyEnded(_) => AuditKind::EmergencyEnded,
        Event::EmergencyReviewed(_) => AuditKind::EmergencyReviewed,
        Event::EmergencyRefused(_) => AuditKind::EmergencyRefused,
        Event::Viewed(_) => AuditKind::Viewed,
        Event::Enrolled(_) => AuditKind::Enrolled,
        Event::TokenMade(_) => AuditKind::TokenMade,
        Event::UnitChanged(_) => AuditKind::UnitChanged,
        Event::PersonChanged(_) => AuditKind::PersonChanged,
        Event::CallRefused(_) => AuditKind::CallRefused,
        Event::CallsRefused(_) => AuditKind::CallsRefused,
        Event::AuditRead(_) => AuditKind::AuditRead,
        Event::PersonalErased(_) => AuditKind::PersonalErased,
        Event::Daemon(_) => AuditKind::Daemon,
        Event::Alert(_) => AuditKind::Alert,
    }
}

/// The units that an entry concerns.
pub fn units_of(leaf: &AuditLeaf) -> impl Iterator<Item = &str> {
    let all = [&leaf.source, &leaf.recipient, &leaf.unit];
    all.into_iter()
        .filter(|unit| !unit.is_empty())
        .map(String::as_str)
}
