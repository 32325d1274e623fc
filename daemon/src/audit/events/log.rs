//! Refused calls, and what the log says of itself.

use handfast_proto::{
    audit::Runs,
    ids::{NhsNumber, OdsCode},
    v1::{self, AuditField, DaemonChange, audit_leaf::Event as Wire},
};

use crate::audit::parts::{Event, Parts};

/// A call of somebody who could be named was refused. Concerns their unit.
#[derive(Debug)]
pub struct CallRefused<'c> {
    /// Their unit.
    pub unit: Option<OdsCode>,
    /// Which call.
    pub method: &'c str,
    /// Why, in words that name nobody.
    pub why: &'c str,
}

impl Event for CallRefused<'_> {
    fn parts(&self) -> Parts {
        let event = v1::CallRefusedEvent {
            method: self.method.to_owned(),
            why: self.why.to_owned(),
        };
        Parts::of(Wire::CallRefused(event)).unit(self.unit)
    }
}

/// Calls were refused that are not entered one by one. Concerns everyone.
#[derive(Debug)]
pub struct CallsRefused {
    /// How many.
    pub calls: u64,
    /// From when.
    pub from: i64,
    /// Until when.
    pub to: i64,
}

impl Event for CallsRefused {
    fn parts(&self) -> Parts {
        Parts::of(Wire::CallsRefused(v1::CallsRefusedEvent {
            calls: self.calls,
            from: self.from,
            to: self.to,
        }))
    }
}

/// The log was read. Concerns the reader's unit.
#[derive(Debug)]
pub struct AuditRead<'c> {
    /// The reader's unit.
    pub unit: Option<OdsCode>,
    /// The call.
    pub call: &'c str,
    /// What was asked for, in words that name nobody.
    pub asked: &'c str,
    /// Whose entries.
    pub patient: Option<NhsNumber>,
    /// Why.
    pub reason: &'c str,
}

impl Event for AuditRead<'_> {
    fn parts(&self) -> Parts {
        let event = v1::AuditReadEvent {
            call: self.call.to_owned(),
            asked: self.asked.to_owned(),
        };
        Parts::of(Wire::AuditRead(event))
            .unit(self.unit)
            .patient(self.patient)
            .personal(AuditField::Reason, self.reason)
    }
}

/// Personal values were erased. Concerns everyone: it says of which entries, not what.
#[derive(Debug)]
pub struct PersonalErased<'c> {
    /// Their indexes, from 1.
    pub entries: &'c Runs,
    /// Why.
    pub reason: &'c str,
}

impl Event for PersonalErased<'_> {
    fn parts(&self) -> Parts {
        let event = v1::PersonalErasedEvent {
            entries: self.entries.to_wire(),
        };
        Parts::of(Wire::PersonalErased(event)).personal(AuditField::Reason, self.reason)
    }
}

/// The daemon was started or stopped. Concerns everyone.
#[derive(Debug)]
pub struct DaemonChanged<'c> {
    /// Which.
    pub change: DaemonChange,
    /// Of the program.
    pub version: &'c str,
}

impl Event for DaemonChanged<'_> {
    fn parts(&self) -> Parts {
        Parts::of(Wire::Daemon(v1::DaemonEvent {
            change: self.change.into(),
            version: self.version.to_owned(),
        }))
    }
}
