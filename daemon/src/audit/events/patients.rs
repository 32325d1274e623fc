//! Patients' words, joined numbers, caseloads and views.

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    statement::View,
    v1::{self, AuditField, audit_leaf::Event as Wire},
};

use crate::{
    audit::{
        parts::{Event, Parts},
        wire::side,
    },
    store::{ClaimChange, JoinedNumbers, WordChange},
};

/// A patient's own word was recorded. Concerns the unit alone.
#[derive(Debug)]
pub struct WordRecorded<'c> {
    /// As it is committed.
    pub change: &'c WordChange,
    /// The seq of the unit's statement; 0: it was recorded by a call.
    pub seq: u64,
}

impl Event for WordRecorded<'_> {
    fn parts(&self) -> Parts {
        let word = self.change;
        let event = v1::PatientWordEvent {
            side: side(word.side).into(),
            word: word.word.into(),
            said_at: word.said_at,
            manner: word.manner.into(),
            seq: self.seq,
        };
        Parts::of(Wire::PatientWord(event))
            .unit(word.unit)
            .patient(word.patient)
            .personal(AuditField::TakenBy, &word.taken_by)
    }
}

/// A unit said that two numbers are one patient's. Concerns the unit alone.
#[derive(Debug)]
pub struct NumbersJoined {
    /// As it is committed.
    pub joined: JoinedNumbers,
    /// The seq of its statement.
    pub seq: u64,
}

impl Event for NumbersJoined {
    fn parts(&self) -> Parts {
        let JoinedNumbers {
            unit,
            former,
            current,
        } = self.joined;
        Parts::of(Wire::NumbersJoined(v1::NumbersJoinedEvent { seq: self.seq }))
            .unit(unit)
            .patient(current)
            .personal(AuditField::FormerPatient, &former.reveal())
    }
}

/// A patient was put on a caseload by name, or taken off. Concerns the unit alone.
#[derive(Debug)]
pub struct CaseloadChanged<'c>(
    /// As it is committed.
    pub &'c ClaimChange,
);

impl Event for CaseloadChanged<'_> {
    fn parts(&self) -> Parts {
        let claim = self.0;
        Parts::of(Wire::Caseload(v1::CaseloadEvent { on: claim.on }))
            .unit(claim.unit)
            .patient(claim.patient)
            .personal(AuditField::Reason, &claim.reason)
    }
}

/// A unit reported that somebody looked at what it received. Concerns the unit, and the source where it was
/// said.
#[derive(Debug)]
pub struct Viewed<'c> {
    /// Which unit.
    pub unit: OdsCode,
    /// Whose records.
    pub patient: NhsNumber,
    /// Who, why and when.
    pub view: &'c View,
    /// The seq of the unit's statement.
    pub seq: u64,
}

impl Event for Viewed<'_> {
    fn parts(&self) -> Parts {
        let event = v1::ViewedEvent {
            viewed_at: self.view.viewed_at,
            seq: self.seq,
        };
        let mut parts = Parts::of(Wire::Viewed(event)).patient(self.patient);
        (parts.source, parts.recipient) = (self.view.source, Some(self.unit));
        parts
            .personal(AuditField::Viewer, self.view.person.as_str())
            .personal(AuditField::Permission, self.view.permission.as_str())
            .personal(AuditField::Reason, self.view.reason.as_str())
    }
}
