//! Units and people: who takes part, in which role, and with which certificate.

use handfast_proto::{
    ids::{Holder, OdsCode},
    v1::{self, AuditField, PersonChange, UnitChange, audit_leaf::Event as Wire},
};

use crate::{
    audit::{
        parts::{Event, Parts},
        wire::{kind_number, role_number},
    },
    store::{Certificate, NewToken, NewUnit, PersonRow},
};

/// A certificate was issued. Concerns the holder's unit.
#[derive(Debug)]
pub struct Enrolled<'c> {
    /// As it is committed.
    pub certificate: &'c Certificate,
    /// The unit of a person.
    pub unit: Option<OdsCode>,
    /// Whether in place of an older one.
    pub renewal: bool,
}

impl Event for Enrolled<'_> {
    fn parts(&self) -> Parts {
        let certificate = self.certificate;
        let event = v1::EnrolledEvent {
            renewal: self.renewal,
            agent: matches!(certificate.holder, Holder::Unit(_)),
            serial: certificate.serial.clone().into(),
            not_after: certificate.not_after,
        };
        Parts::of(Wire::Enrolled(event)).holder(&certificate.holder, self.unit)
    }
}

/// A one-time token was made. Concerns the holder's unit.
#[derive(Debug)]
pub struct TokenMade<'c> {
    /// As it is committed; its hash is not entered.
    pub token: &'c NewToken,
    /// The unit of a person.
    pub unit: Option<OdsCode>,
}

impl Event for TokenMade<'_> {
    fn parts(&self) -> Parts {
        let event = v1::TokenMadeEvent {
            agent: matches!(self.token.holder, Holder::Unit(_)),
            expires_at: self.token.expires_at,
        };
        Parts::of(Wire::TokenMade(event)).holder(&self.token.holder, self.unit)
    }
}

/// A unit was registered, suspended, resumed or retired. Concerns the unit.
#[derive(Debug)]
pub struct UnitChanged<'c> {
    /// Which.
    pub unit: OdsCode,
    /// What.
    pub change: UnitChange,
    /// With its registration.
    pub registered: Option<&'c NewUnit>,
    /// Why.
    pub reason: &'c str,
}

impl Event for UnitChanged<'_> {
    fn parts(&self) -> Parts {
        let event = v1::UnitChangedEvent {
            change: self.change.into(),
            name: self.registered.map(|unit| unit.name.clone()).unwrap_or_default(),
            kind: self.registered.map_or(0, |unit| kind_number(unit.kind)),
        };
        Parts::of(Wire::UnitChanged(event))
            .unit(self.unit)
            .personal(AuditField::Reason, self.reason)
    }
}

/// A person was added, given another role, or revoked. Concerns their unit.
#[derive(Debug)]
pub struct PersonChanged<'c> {
    /// How they stand afterwards.
    pub person: &'c PersonRow,
    /// What.
    pub change: PersonChange,
    /// Why.
    pub reason: &'c str,
}

impl Event for PersonChanged<'_> {
    fn parts(&self) -> Parts {
        let event = v1::PersonChangedEvent {
            change: self.change.into(),
            role: role_number(self.person.role),
        };
        Parts::of(Wire::PersonChanged(event))
            .unit(self.person.unit)
            .personal(AuditField::Person, self.person.id.as_str())
            .personal(AuditField::PersonName, &self.person.name)
            .personal(AuditField::Reason, self.reason)
    }
}
