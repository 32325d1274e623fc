//! Units: registering them, suspending, resuming and retiring them, and their agents' tokens.
//!
//! Who may: the operator; for the agent's token the unit's administrators, and the operator only while
//! the unit has none. The list of units is open to all who are enrolled.

use handfast_proto::ids::{Holder, OdsCode};

use super::{
    ActError, Caller, Context, Secret,
    context::{detached, required, text},
};
use crate::{
    consent::Side,
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
        let (ctx, by) = (self.ctx.clone(), caller.name());
        detached(async move {
            let now = ctx.clock.now_ms();
            let (kept, secret) = ctx.tokens.mint(Holder::Unit(ods), by, now)?;
            let unit = NewUnit { ods, name, kind };
            let row = ctx
                .store
                .register_unit(&unit, &kept, now, &With::nothing())
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
    /// with `withdraw` its share-out halves go off too, so that it is withdrawn.
    pub async fn suspend(
        &self,
        caller: &Caller,
        ods: OdsCode,
        reason: &str,
        withdraw: bool,
    ) -> Result<UnitInForce, ActError> {
        caller.must_operate()?;
        let reason = text("reason", reason)?;
        let (this, by) = (self.clone(), caller.name());
        detached(async move {
            let mut suspended = this.change_state(ods, UnitState::Suspended, &by, &reason).await?;
            if withdraw {
                suspended.in_force &= this.withdraw(ods, &by, &reason).await?;
            }
            Ok(suspended)
        })
        .await
    }

    /// Ends a suspension.
    pub async fn resume(&self, caller: &Caller, ods: OdsCode) -> Result<UnitInForce, ActError> {
        caller.must_operate()?;
        self.set_state(caller, ods, UnitState::Enrolled, String::new())
            .await
    }

    /// For good: the unit's halves go off, the certificates of its agent and its people are refused.
    /// Retiring again asks again whether that is in force.
    pub async fn retire(&self, caller: &Caller, ods: OdsCode, reason: &str) -> Result<UnitInForce, ActError> {
        caller.must_operate()?;
        let reason = required("reason", reason)?;
        let before = self.ctx.unit(ods).await?.ok_or(ActError::Missing("unit"))?;
        let (this, by) = (self.clone(), caller.name());
        detached(async move {
            let retired = if before.state == UnitState::Retired {
                this.ask_again(before, &by, &reason).await
            } else {
                this.change_state(ods, UnitState::Retired, &by, &reason).await
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
        let (ctx, by) = (self.ctx.clone(), caller.name());
        let caller = caller.clone();
        detached(async move {
            let now = ctx.clock.now_ms();
            let (kept, secret) = ctx.tokens.mint(Holder::Unit(ods), by, now)?;
            let what = "made a token for the unit's agent".to_owned();
            ctx.alert_recovery(&caller, ods, what).await?;
            ctx.store.add_token(&kept, now, &With::nothing()).await?;
            Ok(secret)
        })
        .await
    }

    async fn set_state(
        &self,
        caller: &Caller,
        ods: OdsCode,
        state: UnitState,
        reason: String,
    ) -> Result<UnitInForce, ActError> {
        let (this, by) = (self.clone(), caller.name());
        detached(async move { this.change_state(ods, state, &by, &reason).await }).await
    }

    async fn change_state(
        &self,
        ods: OdsCode,
        state: UnitState,
        by: &str,
        reason: &str,
    ) -> Result<UnitInForce, ActError> {
        let change = UnitChange {
            ods,
            state,
            withdraw: false,
            by: by.to_owned(),
            reason: reason.to_owned(),
            at: self.ctx.clock.now_ms(),
        };
        let changed = self.ctx.revoker.set_unit_state(change, Vec::new()).await;
        // Also after an error: it may have been committed.
        self.ctx.changes.notify();
        Ok(changed?)
    }

    /// A retired unit's halves are off: turning them off again tells of each whether that is in force.
    async fn ask_again(&self, unit: UnitRow, by: &str, reason: &str) -> Result<UnitInForce, ActError> {
        let mut in_force = true;
        for agreement in self.ctx.store.agreements(Some(unit.ods)).await? {
            let off = HalfChange {
                pair: agreement.pair,
                side: Side::ShareOut,
                on: false,
                by: by.to_owned(),
                reason: reason.to_owned(),
                scope: None,
                at: self.ctx.clock.now_ms(),
            };
            in_force &= self.ctx.revoker.set_half(off, Vec::new()).await?.in_force;
        }
        let outcome = UnitStateOutcome {
            unit,
            pairs: Vec::new(),
        };
        Ok(UnitInForce { outcome, in_force })
    }

    /// Turns every share-out half of a unit off, those too that were turned off in this way before, so that
    /// asking again tells whether it is in force. Whether all of it is.
    async fn withdraw(&self, ods: OdsCode, by: &str, reason: &str) -> Result<bool, ActError> {
        let mut in_force = true;
        let agreements = self.ctx.store.agreements(Some(ods)).await?;
        let own = agreements.into_iter().filter(|a| a.pair.source == ods);
        for agreement in own.filter(|a| a.share_out.on || a.share_out.set_by == by) {
            let off = HalfChange {
                pair: agreement.pair,
                side: Side::ShareOut,
                on: false,
                by: by.to_owned(),
                reason: reason.to_owned(),
                scope: None,
                at: self.ctx.clock.now_ms(),
            };
            in_force &= self.ctx.revoker.set_half(off, Vec::new()).await?.in_force;
        }
        self.ctx.changes.notify();
        tracing::warn!(unit = %ods, %by, "the operator withdrew what others hold of a suspended unit");
        Ok(in_force)
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
