//! Emergency accesses and alerts.

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::{self, AlertStep, AuditField, audit_leaf::Event as Wire},
};

use crate::{
    audit::parts::{Event, Parts},
    consent::{GrantId, Pair},
};

/// A patient's records of a source were opened in an emergency. Concerns both units.
#[derive(Debug)]
pub struct EmergencyOpened<'c> {
    /// From which source, at which recipient.
    pub pair: Pair,
    /// Whose.
    pub patient: NhsNumber,
    /// ScrAlertType and ScrAlertReason values of the contract.
    pub ground: (u32, u32),
    /// The first moment at which it no longer holds.
    pub until: i64,
    /// Why, in the clinician's words.
    pub note: &'c str,
}

impl Event for EmergencyOpened<'_> {
    fn parts(&self) -> Parts {
        let event = v1::EmergencyOpenedEvent {
            alert_type: self.ground.0,
            alert_reason: self.ground.1,
            until: self.until,
        };
        Parts::of(Wire::EmergencyOpened(event))
            .pair(self.pair)
            .patient(self.patient)
            .personal(AuditField::Reason, self.note)
    }
}

/// An emergency access ended. Concerns both units.
#[derive(Debug)]
pub struct EmergencyEnded {
    /// From which source, at which recipient.
    pub pair: Pair,
    /// Whose records.
    pub patient: NhsNumber,
    /// The access; 0 where its number is not known.
    pub access: u64,
    /// The grant that carried it; `None` where it is not known.
    pub grant: Option<GrantId>,
    /// Whether its time was over.
    pub expired: bool,
}

impl Event for EmergencyEnded {
    fn parts(&self) -> Parts {
        let event = v1::EmergencyEndedEvent {
            access: self.access,
            grant: self.grant.map_or(0, |grant| grant.0),
            expired: self.expired,
        };
        Parts::of(Wire::EmergencyEnded(event))
            .pair(self.pair)
            .patient(self.patient)
    }
}

/// A privacy officer said whether an access was justified. Concerns both units.
#[derive(Debug)]
pub struct EmergencyReviewed<'c> {
    /// From which source, at which recipient.
    pub pair: Pair,
    /// Whose records.
    pub patient: NhsNumber,
    /// The access.
    pub access: u64,
    /// What they found.
    pub justified: bool,
    /// Why.
    pub note: &'c str,
}

impl Event for EmergencyReviewed<'_> {
    fn parts(&self) -> Parts {
        let event = v1::EmergencyReviewedEvent {
            access: self.access,
            justified: self.justified,
        };
        Parts::of(Wire::EmergencyReviewed(event))
            .pair(self.pair)
            .patient(self.patient)
            .personal(AuditField::Reason, self.note)
    }
}

/// An emergency access was asked for and refused. Concerns the recipient alone.
#[derive(Debug)]
pub struct EmergencyRefused<'c> {
    /// Where it was asked for.
    pub recipient: OdsCode,
    /// Whose records.
    pub patient: Option<NhsNumber>,
    /// Why it was refused, in words that name nobody.
    pub why: &'c str,
    /// The clinician's words.
    pub note: &'c str,
}

impl Event for EmergencyRefused<'_> {
    fn parts(&self) -> Parts {
        let event = v1::EmergencyRefusedEvent {
            why: self.why.to_owned(),
        };
        Parts::of(Wire::EmergencyRefused(event))
            .unit(self.recipient)
            .patient(self.patient)
            .personal(AuditField::Reason, self.note)
    }
}

/// An alert was raised, not reviewed in time, or reviewed. Concerns its units.
#[derive(Debug)]
pub struct Alerted<'c> {
    /// Which of these.
    pub step: AlertStep,
    /// An AlertKind value of the contract.
    pub kind: u32,
    /// Its number; 0 where it is not known yet.
    pub alert: u64,
    /// Where it happened.
    pub unit: OdsCode,
    /// The other unit that it concerns.
    pub source: Option<OdsCode>,
    /// Whom it is about, where that is one patient.
    pub patient: Option<NhsNumber>,
    /// With a review: what was found.
    pub justified: bool,
    /// Why, or more about it.
    pub note: &'c str,
}

impl Event for Alerted<'_> {
    fn parts(&self) -> Parts {
        let event = v1::AlertEvent {
            step: self.step.into(),
            kind: self.kind,
            alert: self.alert,
            justified: self.justified,
        };
        let mut parts = Parts::of(Wire::Alert(event))
            .unit(self.unit)
            .patient(self.patient);
        parts.source = self.source;
        parts.personal(AuditField::Reason, self.note)
    }
}
