//! Who did what an entry is about.

use handfast_proto::{
    ids::{Holder, OdsCode, PersonId},
    v1::{AuditActor, AuditActorKind},
};

use crate::store::Role;

/// Who did it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// The daemon by itself: a time was over, a recipient's connection ended.
    Daemon,
    /// A unit's agent.
    Agent(OdsCode),
    /// A person.
    Person {
        /// Given by the daemon.
        id: PersonId,
        /// Their unit; `None` with the operator's role.
        unit: Option<OdsCode>,
        /// Their role.
        role: Role,
    },
    /// Whoever holds a certificate of this name, where nothing more is known of them.
    Holder(Holder),
    /// Whoever holds the state directory: acts without a call.
    Host,
    /// Nobody who could be named.
    Anonymous,
}

impl Actor {
    /// The unit whose agent or person it is.
    pub fn unit(&self) -> Option<OdsCode> {
        match self {
            Self::Agent(unit) | Self::Holder(Holder::Unit(unit)) => Some(*unit),
            Self::Person { unit, .. } => *unit,
            Self::Daemon | Self::Holder(Holder::Person(_)) | Self::Host | Self::Anonymous => None,
        }
    }

    /// The person, where it is one.
    pub(super) fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Person { id, .. } | Self::Holder(Holder::Person(id)) => Some(id),
            _ => None,
        }
    }

    /// As a leaf has it; a person's id is not in it.
    pub(super) fn to_wire(&self) -> AuditActor {
        let kind = match self {
            Self::Daemon => AuditActorKind::Daemon,
            Self::Agent(_) | Self::Holder(Holder::Unit(_)) => AuditActorKind::Agent,
            Self::Person { unit: None, .. } => AuditActorKind::Operator,
            Self::Person { .. } | Self::Holder(Holder::Person(_)) => AuditActorKind::Person,
            Self::Host => AuditActorKind::Host,
            Self::Anonymous => AuditActorKind::Anonymous,
        };
        let role = match self {
            Self::Person { role, .. } => (*role as i32).unsigned_abs(),
            _ => 0,
        };
        AuditActor {
            kind: kind.into(),
            unit: self.unit().map(|unit| unit.to_string()).unwrap_or_default(),
            role,
        }
    }
}
