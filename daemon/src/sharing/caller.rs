//! Who asks. Made from a verified client certificate and the store, and from nothing else.
//!
//! Invariant: a `Caller` is not revoked, and its unit is registered and not retired, at the moment it was
//! made; it is made anew for each call.

use handfast_proto::ids::{OdsCode, PersonId};

use crate::store::Role;

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    /// A unit's agent.
    Unit(OdsCode),
    /// A person.
    Person {
        /// Given by the daemon.
        id: PersonId,
        /// Their unit; `None` with the operator's role.
        unit: Option<OdsCode>,
        /// Their role.
        role: Role,
    },
}

impl Caller {
    /// Whether it is an operator.
    pub fn is_operator(&self) -> bool {
        matches!(
            self,
            Self::Person {
                role: Role::Operator,
                unit: None,
                ..
            }
        )
    }

    /// Whether it is an administrator of this unit.
    pub fn administers(&self, ods: OdsCode) -> bool {
        matches!(self, Self::Person { role: Role::UnitAdmin, unit: Some(own), .. } if *own == ods)
    }

    /// The unit it belongs to: an agent's own, or a person's.
    pub fn unit(&self) -> Option<OdsCode> {
        match self {
            Self::Unit(ods) => Some(*ods),
            Self::Person { unit, .. } => *unit,
        }
    }

    /// As the store and the audit name it: `unit Z00101` or `person ann-1`.
    pub fn name(&self) -> String {
        match self {
            Self::Unit(ods) => format!("unit {ods}"),
            Self::Person { id, .. } => format!("person {id}"),
        }
    }
}
