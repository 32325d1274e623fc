//! People and their roles at a unit; operators have no unit.
//!
//! Who may: a unit's administrators at their unit, and the operator while it has none; operators among
//! themselves. To recover a unit whose administrators are lost, the operator may revoke its people, with a
//! reason, and then add an administrator: it shows in the unit's list of people, in the daemon's log, and as an
//! alert to the unit's privacy officers and administrators.
//! Invariants: there is always an operator; nobody takes the last administrator's role from themselves.

use std::sync::Arc;

use handfast_proto::{
    ids::{Holder, OdsCode, PersonId},
    v1::PersonChange,
};
use tokio::sync::Mutex;

use super::{
    ActError, Caller, Context, Secret,
    context::{detached, required, text},
};
use crate::{
    audit::events::{PersonChanged, TokenMade},
    store::{NewEntry, NewPerson, PersonRow, Role, With},
};

/// Characters of a person's name that go into their id.
const ID_NAME_CHARS: usize = 40;

/// A person to be added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddPerson {
    /// Their name.
    pub name: String,
    /// Their unit; `None` with the operator's role.
    pub unit: Option<OdsCode>,
    /// Their role.
    pub role: Role,
}

/// The acts on people.
#[derive(Clone)]
pub struct People {
    ctx: Context,
    /// Held from the check to the commit, so that two who revoke each other cannot leave nobody.
    turn: Arc<Mutex<()>>,
}

impl People {
    /// Acts on what `ctx` holds. One for the daemon: two would not see each other's turn.
    pub fn new(ctx: Context) -> Self {
        Self {
            ctx,
            turn: Arc::default(),
        }
    }

    /// Adds a person and makes their token.
    pub async fn add(&self, caller: &Caller, person: AddPerson) -> Result<(PersonRow, Secret), ActError> {
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move { this.add_now(&caller, person).await }).await
    }

    /// The people of a unit, or all that the caller may see: the operator everyone, others those of their
    /// own unit.
    pub async fn list(&self, caller: &Caller, unit: Option<OdsCode>) -> Result<Vec<PersonRow>, ActError> {
        let only = match caller {
            Caller::Unit(_) => return Err(ActError::Denied),
            Caller::Person { .. } if caller.is_operator() => unit,
            Caller::Person { unit: own, .. } => {
                let own = own.ok_or(ActError::Denied)?;
                if unit.is_some_and(|asked| asked != own) {
                    return Err(ActError::Denied);
                }
                Some(own)
            }
        };
        let mut people = self.ctx.store.people().await?;
        people.retain(|p| only.is_none() || p.unit == only);
        Ok(people)
    }

    /// Gives a person of a unit another role there.
    pub async fn set_role(&self, caller: &Caller, id: PersonId, role: Role) -> Result<PersonRow, ActError> {
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move { this.set_role_now(&caller, &id, role).await }).await
    }

    /// Revokes a person, for good: their certificates are refused from now on, their live connections
    /// closed. Revoking again changes nothing.
    pub async fn revoke(&self, caller: &Caller, id: PersonId, reason: &str) -> Result<PersonRow, ActError> {
        let reason = text("reason", reason)?;
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move { this.revoke_now(&caller, &id, &reason).await }).await
    }

    async fn add_now(&self, caller: &Caller, person: AddPerson) -> Result<(PersonRow, Secret), ActError> {
        if !may_ever_staff(caller) {
            return Err(ActError::Denied);
        }
        let _turn = self.turn.lock().await;
        match (person.role, person.unit) {
            (Role::Unspecified, _) => return Err(ActError::invalid("role", "must be given")),
            (Role::Operator, None) if caller.is_operator() => {}
            (Role::Operator, None) => return Err(ActError::Denied),
            (Role::Operator, Some(_)) => {
                return Err(ActError::invalid("unit", "an operator belongs to no unit"));
            }
            (_, None) => return Err(ActError::invalid("unit", "must be given with this role")),
            (_, Some(ods)) => self.ctx.may_staff(caller, ods).await?,
        }
        let name = required("name", &person.name)?;
        let id = self.new_id(&name)?;
        if let Some(ods) = person.unit {
            self.ctx
                .alert_recovery(caller, ods, format!("added {id}"))
                .await?;
        }
        let now = self.ctx.clock.now_ms();
        let holder = Holder::Person(id.clone());
        let (kept, secret) = self.ctx.tokens.mint(holder, caller.name(), now)?;
        let new = NewPerson {
            id,
            name,
            unit: person.unit,
            role: person.role,
        };
        let afterwards = PersonRow {
            id: new.id.clone(),
            name: new.name.clone(),
            unit: new.unit,
            role: new.role,
            revoked: false,
            added_at: now,
        };
        let added = self.changed(caller, &afterwards, PersonChange::Added, "")?;
        let token = TokenMade {
            token: &kept,
            unit: new.unit,
        };
        let with = With::audit(vec![added, self.ctx.entry(caller, now, &token)?]);
        let row = self.ctx.store.add_person(&new, &kept, now, &with).await?;
        Ok((row, secret))
    }

    async fn set_role_now(&self, caller: &Caller, id: &PersonId, role: Role) -> Result<PersonRow, ActError> {
        let _turn = self.turn.lock().await;
        let (person, unit) = self.within_reach(caller, id).await?;
        let Some(ods) = unit else {
            return Err(ActError::invalid("id", "an operator has no other role"));
        };
        self.ctx.may_staff(caller, ods).await?;
        if matches!(role, Role::Unspecified | Role::Operator) {
            let why = "one of unit-admin, clinician, privacy-officer, auditor";
            return Err(ActError::invalid("role", why));
        }
        if person.revoked {
            return Err(ActError::Conflict("this person was revoked: add them again"));
        }
        if role != Role::UnitAdmin {
            self.leaves_another(caller, &person).await?;
        }
        let what = format!("changed the role of {id}");
        self.ctx.alert_recovery(caller, ods, what).await?;
        let now = self.ctx.clock.now_ms();
        let afterwards = PersonRow { role, ..person };
        let with = With::audit(vec![self.changed(caller, &afterwards, PersonChange::Role, "")?]);
        let row = self.ctx.store.set_role(id, role, now, &with).await?;
        self.ctx.changes.notify();
        Ok(row)
    }

    async fn revoke_now(&self, caller: &Caller, id: &PersonId, reason: &str) -> Result<PersonRow, ActError> {
        let _turn = self.turn.lock().await;
        let (person, unit) = self.within_reach(caller, id).await?;
        if person.revoked {
            return Ok(person);
        }
        if caller.is_operator() && unit.is_some() && reason.is_empty() {
            let why = "must be given when the operator revokes a unit's person";
            return Err(ActError::invalid("reason", why));
        }
        self.leaves_another(caller, &person).await?;
        let now = self.ctx.clock.now_ms();
        if let Some(ods) = unit {
            let what = format!("revoked {id}: {reason}");
            self.ctx.alert_recovery(caller, ods, what).await?;
        }
        let with = With::audit(vec![self.changed(
            caller,
            &person,
            PersonChange::Revoked,
            reason,
        )?]);
        let row = self.ctx.store.revoke_person(id, reason, now, &with).await?;
        if caller.is_operator() && unit.is_some() {
            tracing::warn!(person = %id, by = %caller.name(), "the operator revoked a unit's person");
        }
        self.ctx.connections.close(&Holder::Person(id.clone()));
        self.ctx.changes.notify();
        Ok(row)
    }

    /// The entry about a change of a person.
    fn changed(
        &self,
        caller: &Caller,
        person: &PersonRow,
        change: PersonChange,
        reason: &str,
    ) -> Result<NewEntry, ActError> {
        let event = PersonChanged {
            person,
            change,
            reason,
        };
        self.ctx.entry(caller, self.ctx.clock.now_ms(), &event)
    }

    /// A person whom the caller may change, and their unit. To all but the operator there is no difference
    /// between a person of another unit and none.
    async fn within_reach(
        &self,
        caller: &Caller,
        id: &PersonId,
    ) -> Result<(PersonRow, Option<OdsCode>), ActError> {
        if !may_ever_staff(caller) {
            return Err(ActError::Denied);
        }
        let found = self.ctx.store.person(id).await?;
        if caller.is_operator() {
            let person = found.ok_or(ActError::Missing("person"))?;
            let unit = person.unit;
            return Ok((person, unit));
        }
        match found {
            Some(person) => match person.unit {
                Some(ods) if caller.administers(ods) => Ok((person, Some(ods))),
                _ => Err(ActError::Denied),
            },
            None => Err(ActError::Denied),
        }
    }

    /// Whether there is still an operator, or an administrator of the unit, when `person` is one no more.
    async fn leaves_another(&self, caller: &Caller, person: &PersonRow) -> Result<(), ActError> {
        let own = matches!(caller, Caller::Person { id, .. } if *id == person.id);
        let why = match person.role {
            Role::Operator => "the deployment would have no operator: add another one first",
            Role::UnitAdmin if own => "the unit would have no administrator: add another one first",
            _ => return Ok(()),
        };
        let people = self.ctx.store.people().await?;
        let another = people
            .iter()
            .any(|p| p.role == person.role && p.unit == person.unit && !p.revoked && p.id != person.id);
        if another {
            Ok(())
        } else {
            Err(ActError::Conflict(why))
        }
    }

    /// `ann-lee-x3k9…`: readable in a list, and never given twice.
    fn new_id(&self, name: &str) -> Result<PersonId, ActError> {
        let mut id = String::new();
        for c in name.chars().take(ID_NAME_CHARS) {
            if c.is_ascii_alphanumeric() {
                id.push(c.to_ascii_lowercase());
            } else if !id.is_empty() && !id.ends_with('-') {
                id.push('-');
            }
        }
        if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
        id.push_str(&self.ctx.tokens.id_suffix()?);
        id.parse()
            .map_err(|e| ActError::Failed(format!("make an id for a person: {e}")))
    }
}

/// Whether the caller may give out roles anywhere.
fn may_ever_staff(caller: &Caller) -> bool {
    caller.is_operator() || caller.unit().is_some_and(|own| caller.administers(own))
}
