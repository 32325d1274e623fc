//! Units: registering them, suspending, resuming and retiring them, and their agents' tokens.
//!
//! Who may: the operator; for the agent's token the unit's administrators, and the operator only while
//! the unit has none. The list of units is open to all who are enrolled.

use handfast_proto::{
    ids::{Holder, OdsCode},
    v1,
};

use super::{
    ActError, Caller, Context, Secret,
    context::{detached, required, text},
};
use crate::{
    audit::events::{HalfSet, TokenMade, UnitChanged},
    consent::{Pair, Side},
    delivery::UnitInForce,
    store::{HalfChange, NewUnit, UnitChange, UnitKind, UnitRow, UnitState, UnitStateOutcome, With},
};

/// The acts on units.
#[derive(Clone)]
pub struct Units {
    ctx: Context,
}

impl Units {
    /// Acts on what `ctx` holds.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// Registers a unit and makes its agent's first token. [`ActError::Exists`] where it is there, a
    /// retired one too.
    pub async fn register(
        &self,
        caller: &Caller,
        ods: OdsCode,
        name: &str,
        kind: UnitKind,
    ) -> Result<(UnitRow, Secret), ActError> {
        caller.must_operate()?;
        let name = required("name", name)?;
        if kind == UnitKind::Unspecified {
            return Err(ActError::invalid("kind", "must be given"));
        }
        let (ctx, caller) = (self.ctx.clone(), caller.clone());
        detached(async move {
            let now = ctx.clock.now_ms();
            let (kept, secret) = ctx.tokens.mint(Holder::Unit(ods), caller.name(), now)?;
            let unit = NewUnit { ods, name, kind };
            let registered = UnitChanged {
                unit: ods,
                change: v1::UnitChange::Registered,
                registered: Some(&unit),
                reason: "",
            };
            let token = TokenMade {
                token: &kept,
                unit: None,
            };
            let entries = vec![
                ctx.entry(&caller, now, &registered)?,
                ctx.entry(&caller, now, &token)?,
            ];
            let row = ctx
                .store
                .register_unit(&unit, &kept, now, &With::audit(entries))
                .await?;
            ctx.revoker.registered(ods);
            Ok((row, secret))
        })
        .await
    }

    /// Every unit, by ODS code.
    pub async fn list(&self, _enrolled: &Caller) -> Result<Vec<UnitRow>, ActError> {
        Ok(self.ctx.store.units(self.ctx.clock.now_ms()).await?)
    }

    /// Nothing is forwarded from or to a suspended unit. What others hold of it stays, and is marked stale;
    /// with `withdraw` it is withdrawn, and comes back when the suspension ends.
    pub async fn suspend(
        &self,
        caller: &Caller,
        ods: OdsCode,
        reason: &str,
        withdraw: bool,
    ) -> Result<UnitInForce, ActError> {
        caller.must_operate()?;
        let reason = text("reason", reason)?;
        let mut change = self.change(caller, ods, UnitState::Suspended, &reason);
        change.withdraw = withdraw;
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move { this.change_state(&caller, change).await }).await
    }

    /// Ends a suspension.
    pub async fn resume(&self, caller: &Caller, ods: OdsCode) -> Result<UnitInForce, ActError> {
        caller.must_operate()?;
        let change = self.change(caller, ods, UnitState::Enrolled, "");
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move { this.change_state(&caller, change).await }).await
    }

    /// For good: the unit's halves go off, the certificates of its agent and its people are refused.
    /// Retiring again asks again whether that is in force.
    pub async fn retire(&self, caller: &Caller, ods: OdsCode, reason: &str) -> Result<UnitInForce, ActError> {
        caller.must_operate()?;
        let reason = required("reason", reason)?;
        let before = self.ctx.unit(ods).await?.ok_or(ActError::Missing("unit"))?;
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move {
            let retired = if before.state == UnitState::Retired {
                this.ask_again(before, &caller, &reason).await
            } else {
                let change = this.change(&caller, ods, UnitState::Retired, &reason);
                this.change_state(&caller, change).await
            };
            // Also where the store cannot say whether it was committed.
            if matches!(retired, Ok(_) | Err(ActError::Failed(_))) {
                this.close_connections(ods).await?;
            }
            retired
        })
        .await
    }

    /// A one-time token for the unit's agent. Earlier unused ones are void.
    pub async fn create_token(&self, caller: &Caller, ods: OdsCode) -> Result<Secret, ActError> {
        self.ctx.may_staff(caller, ods).await?;
        let (ctx, caller) = (self.ctx.clone(), caller.clone());
        detached(async move {
            let now = ctx.clock.now_ms();
            let (kept, secret) = ctx.tokens.mint(Holder::Unit(ods), caller.name(), now)?;
            let what = "made a token for the unit's agent".to_owned();
            ctx.alert_recovery(&caller, ods, what).await?;
            let made = TokenMade {
                token: &kept,
                unit: None,
            };
            let with = With::audit(vec![ctx.entry(&caller, now, &made)?]);
            ctx.store.add_token(&kept, now, &with).await?;
            Ok(secret)
        })
        .await
    }

    fn change(&self, caller: &Caller, ods: OdsCode, state: UnitState, reason: &str) -> UnitChange {
        UnitChange {
            ods,
            state,
            withdraw: false,
            by: caller.name(),
            reason: reason.to_owned(),
            at: self.ctx.clock.now_ms(),
        }
    }

    async fn change_state(&self, caller: &Caller, change: UnitChange) -> Result<UnitInForce, ActError> {
        let event = UnitChanged {
            unit: change.ods,
            change: match change.state {
                UnitState::Enrolled => v1::UnitChange::Resumed,
                UnitState::Suspended => v1::UnitChange::Suspended,
                UnitState::Retired => v1::UnitChange::Retired,
            },
            registered: None,
            reason: &change.reason,
        };
        let audit = vec![self.ctx.entry(caller, change.at, &event)?];
        let changed = self.ctx.revoker.set_unit_state(change, audit).await;
        // Also after an error: it may have been committed.
        self.ctx.changes.notify();
        Ok(changed?)
    }

    /// A retired unit's halves are off: turning them off again tells of each whether that is in force.
    async fn ask_again(&self, unit: UnitRow, caller: &Caller, reason: &str) -> Result<UnitInForce, ActError> {
        let mut in_force = true;
        for agreement in self.ctx.store.agreements(Some(unit.ods)).await? {
            in_force &= self.turn_off(agreement.pair, caller, reason).await?;
        }
        let outcome = UnitStateOutcome {
            unit,
            pairs: Vec::new(),
        };
        Ok(UnitInForce { outcome, in_force })
    }

    /// Turns a share-out half off; whether that is in force.
    async fn turn_off(&self, pair: Pair, caller: &Caller, reason: &str) -> Result<bool, ActError> {
        let off = HalfChange {
            pair,
            side: Side::ShareOut,
            on: false,
            by: caller.name(),
            reason: reason.to_owned(),
            scope: None,
            at: self.ctx.clock.now_ms(),
        };
        let entry = self.ctx.entry(caller, off.at, &HalfSet(&off))?;
        Ok(self.ctx.revoker.set_half(off, vec![entry]).await?.in_force)
    }

    async fn close_connections(&self, ods: OdsCode) -> Result<(), ActError> {
        self.ctx.connections.close(&Holder::Unit(ods));
        let people = self.ctx.store.people().await?;
        for person in people.into_iter().filter(|p| p.unit == Some(ods)) {
            self.ctx.connections.close(&Holder::Person(person.id));
        }
        Ok(())
    }
}
