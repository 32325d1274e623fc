//! What happened, taken apart into what stands in a leaf in the clear and what is reduced to salted hashes.

use handfast_proto::{
    ids::{Holder, NhsNumber, OdsCode},
    v1::{AuditField, audit_leaf},
};

use crate::consent::Pair;

/// Something that is entered. See [`super::events`] for all there are.
pub trait Event: Send + Sync {
    /// Takes it apart.
    fn parts(&self) -> Parts;
}

/// An event taken apart.
pub struct Parts {
    pub(super) source: Option<OdsCode>,
    pub(super) recipient: Option<OdsCode>,
    pub(super) unit: Option<OdsCode>,
    /// What identifies a person or is in somebody's own words, in any order; at most one a field.
    pub(super) personal: Vec<(AuditField, String)>,
    /// For searching.
    pub(super) patient: Option<NhsNumber>,
    pub(super) event: audit_leaf::Event,
}

impl Parts {
    /// An event that concerns everyone, until a unit is named.
    pub(super) fn of(event: audit_leaf::Event) -> Self {
        Self {
            source: None,
            recipient: None,
            unit: None,
            personal: Vec::new(),
            patient: None,
            event,
        }
    }

    /// Concerns both units of a pair.
    pub(super) fn pair(mut self, pair: Pair) -> Self {
        (self.source, self.recipient) = (Some(pair.source), Some(pair.recipient));
        self
    }

    /// Concerns a unit that is no side of a pair.
    pub(super) fn unit(mut self, unit: impl Into<Option<OdsCode>>) -> Self {
        self.unit = unit.into();
        self
    }

    /// Is about a patient.
    pub(super) fn patient(mut self, patient: impl Into<Option<NhsNumber>>) -> Self {
        self.patient = patient.into();
        if let Some(patient) = self.patient {
            self.personal.push((AuditField::Patient, patient.reveal()));
        }
        self
    }

    /// Has a personal field. What is empty was not said, and leaves nothing in the leaf.
    pub(super) fn personal(mut self, field: AuditField, text: &str) -> Self {
        if !text.is_empty() {
            self.personal.push((field, text.to_owned()));
        }
        self
    }

    /// Is about whom a certificate names: a unit's agent, or a person of `unit`.
    pub(super) fn holder(self, holder: &Holder, unit: Option<OdsCode>) -> Self {
        match holder {
            Holder::Unit(ods) => self.unit(*ods),
            Holder::Person(id) => self.unit(unit).personal(AuditField::Person, id.as_str()),
        }
    }
}
