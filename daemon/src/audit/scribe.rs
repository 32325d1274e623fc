//! Makes entries: salts what is personal, and encodes the leaf.
//!
//! Invariants: every leaf and every personal value has a salt of its own; what identifies a person is in
//! `personal` alone, and in the leaf as a hash.

use std::{io, sync::Arc};

use handfast_proto::{
    audit::{SALT_BYTES, kind_of, reduce},
    merkle::leaf_hash,
    v1::{AuditField, AuditLeaf, AuditPersonal, AuditReduced, AuditValue},
};
use prost::Message as _;

use super::{
    actor::Actor,
    parts::{Event, Parts},
};
use crate::{random::Random, store::NewEntry};

/// An entry could not be made; what it is about must not happen.
#[derive(Debug, thiserror::Error)]
#[error("an audit entry could not be made, because the machine gives no random bytes: {0}")]
pub struct NotEntered(#[from] io::Error);

/// Makes entries. Cheap to clone.
#[derive(Clone)]
pub struct Scribe {
    random: Arc<dyn Random>,
}

impl Scribe {
    /// Takes salts from `random`.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random }
    }

    /// What happened, by whom, at `at` (milliseconds since 1970-01-01T00:00:00Z): to go into the transaction of
    /// its effect.
    pub fn entry(&self, at: i64, actor: &Actor, event: &dyn Event) -> Result<NewEntry, NotEntered> {
        let parts = event.parts();
        let personal = self.personal(actor, &parts)?;
        let unit = |unit: Option<handfast_proto::ids::OdsCode>| unit.map(|ods| ods.to_string());
        let leaf = AuditLeaf {
            salt: self.salt()?.into(),
            at,
            source: unit(parts.source).unwrap_or_default(),
            recipient: unit(parts.recipient).unwrap_or_default(),
            unit: unit(parts.unit).unwrap_or_default(),
            actor: Some(actor.to_wire()),
            reduced: personal.values.iter().map(reduced).collect(),
            event: Some(parts.event),
        };
        let kind = kind_of(&leaf);
        let leaf = leaf.encode_to_vec();
        Ok(NewEntry {
            hash: leaf_hash(&leaf),
            leaf: leaf.into(),
            personal: personal.encode_to_vec().into(),
            kind,
            at,
            patient: parts.patient,
        })
    }

    fn personal(&self, actor: &Actor, parts: &Parts) -> Result<AuditPersonal, NotEntered> {
        let who = actor
            .person()
            .map(|id| (AuditField::Actor, id.as_str().to_owned()));
        let mut fields: Vec<(AuditField, String)> = who.into_iter().chain(parts.personal.clone()).collect();
        fields.sort_by_key(|(field, _)| *field as i32);
        let salted = fields.into_iter().map(|(field, value)| {
            Ok(AuditValue {
                field: field.into(),
                salt: self.salt()?.into(),
                value,
            })
        });
        Ok(AuditPersonal {
            values: salted.collect::<Result<_, NotEntered>>()?,
        })
    }

    fn salt(&self) -> Result<Vec<u8>, NotEntered> {
        let mut salt = vec![0; SALT_BYTES];
        self.random.fill(&mut salt)?;
        Ok(salt)
    }
}

fn reduced(value: &AuditValue) -> AuditReduced {
    AuditReduced {
        field: value.field,
        hash: reduce(value.field(), &value.salt, &value.value).to_vec().into(),
    }
}
