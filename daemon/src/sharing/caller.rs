//! Who asks. Made from a verified client certificate and the store, and from nothing else.
//!
//! Invariant: a `Caller` is not revoked, and its unit is registered and not retired, at the moment it was
//! made; it is made anew for each call.

use handfast_proto::ids::{Holder, OdsCode, PersonId};

use super::ActError;
use crate::audit::Actor;
use crate::store::{Role, Store, StoreError, UnitState};

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
    /// Who a certificate's holder is now; `None` where they are revoked, retired or not known.
    pub async fn resolve(holder: &Holder, store: &dyn Store) -> Result<Option<Self>, StoreError> {
        match holder {
            Holder::Unit(ods) => Ok(takes_part(*ods, store).await?.then_some(Self::Unit(*ods))),
            Holder::Person(id) => {
                let Some(person) = store.person(id).await?.filter(|p| !p.revoked) else {
                    return Ok(None);
                };
                if let Some(ods) = person.unit
                    && !takes_part(ods, store).await?
                {
                    return Ok(None);
                }
                Ok(Some(Self::Person {
                    id: person.id,
                    unit: person.unit,
                    role: person.role,
                }))
            }
        }
    }

    /// Whom the caller's certificate names.
    pub fn holder(&self) -> Holder {
        match self {
            Self::Unit(ods) => Holder::Unit(*ods),
            Self::Person { id, .. } => Holder::Person(id.clone()),
        }
    }

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

    /// The unit asked about, or the caller's own where none was named: where the caller is a person of it with
    /// one of these roles. Refused alike for any other unit, there or not.
    pub(super) fn at_own_unit(&self, unit: Option<OdsCode>, roles: &[Role]) -> Result<OdsCode, ActError> {
        match self {
            Self::Person {
                unit: Some(own),
                role,
                ..
            } if roles.contains(role) && unit.is_none_or(|asked| asked == *own) => Ok(*own),
            _ => Err(ActError::Denied),
        }
    }

    /// Refused for all but operators.
    pub(super) fn must_operate(&self) -> Result<(), ActError> {
        if self.is_operator() {
            Ok(())
        } else {
            Err(ActError::Denied)
        }
    }

    /// The unit it belongs to: an agent's own, or a person's.
    pub fn unit(&self) -> Option<OdsCode> {
        match self {
            Self::Unit(ods) => Some(*ods),
            Self::Person { unit, .. } => *unit,
        }
    }

    /// As an entry of the audit log has it.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Unit(ods) => Actor::Agent(*ods),
            Self::Person { id, unit, role } => Actor::Person {
                id: id.clone(),
                unit: *unit,
                role: *role,
            },
        }
    }

    /// As the store and the audit name it: `unit Z00101` or `person ann-1`.
    pub fn name(&self) -> String {
        self.holder().to_string()
    }
}

async fn takes_part(ods: OdsCode, store: &dyn Store) -> Result<bool, StoreError> {
    let state = store.unit_state(ods).await?;
    Ok(state.is_some_and(|state| state != UnitState::Retired))
}
