//! Raises the alerts of acts: each before its effect, so that one that then fails has an alert too many, never
//! one too few.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode, PersonId};

use super::{ActError, Alerts, Caller, Context, SelfClaim};
use crate::{
    delivery::Changes,
    store::{AlertKind, NewAlert, Store, StoreError, With},
};

/// Alerts that the store keeps.
pub struct KeptAlerts {
    store: Arc<dyn Store>,
    changes: Arc<Changes>,
}

impl KeptAlerts {
    /// Keeps them in `store`, and wakes those who watch.
    pub fn new(store: Arc<dyn Store>, changes: Arc<Changes>) -> Self {
        Self { store, changes }
    }
}

#[async_trait]
impl Alerts for KeptAlerts {
    async fn self_claimed(&self, claim: &SelfClaim) -> Result<(), ActError> {
        let raised = self
            .store
            .raise_alerts(&[of_claim(claim)], &With::nothing())
            .await;
        self.changes.notify();
        raised?;
        Ok(())
    }
}

/// One alert a claim: of a single patient it names the patient, of more it says how many.
fn of_claim(claim: &SelfClaim) -> NewAlert {
    let (patient, note) = match claim.patients.as_slice() {
        [one] => (Some(*one), claim.reason.clone()),
        all => (None, format!("{} patients: {}", all.len(), claim.reason)),
    };
    NewAlert {
        kind: AlertKind::SelfClaimed,
        unit: claim.unit,
        source: None,
        patient,
        person: claim.by.strip_prefix("person ").and_then(|id| id.parse().ok()),
        by: claim.by.clone(),
        note,
        at: claim.at,
    }
}

impl Context {
    /// Alerts every one of these units that a caller records a patient's dissent for all of them.
    pub(super) async fn alert_dissent_everywhere(
        &self,
        caller: &Caller,
        patient: NhsNumber,
        units: &[OdsCode],
    ) -> Result<(), ActError> {
        let alert = |unit: &OdsCode| NewAlert {
            kind: AlertKind::DissentEverywhere,
            unit: *unit,
            source: None,
            patient: Some(patient),
            person: person_of(caller),
            by: caller.name(),
            note: String::new(),
            at: self.clock.now_ms(),
        };
        let alerts: Vec<NewAlert> = units.iter().map(alert).collect();
        Ok(self.raise(&alerts).await?)
    }

    /// Alerts a unit, before the act, that the operator does `what` there in place of its administrators.
    /// Nothing where it is not the operator who acts, or where the unit never had anyone: then nobody is
    /// replaced.
    pub(super) async fn alert_recovery(
        &self,
        caller: &Caller,
        unit: OdsCode,
        what: String,
    ) -> Result<(), ActError> {
        if !caller.is_operator() {
            return Ok(());
        }
        let people = self.store.people().await?;
        if !people.iter().any(|person| person.unit == Some(unit)) {
            return Ok(());
        }
        let alert = NewAlert {
            kind: AlertKind::OperatorRecovery,
            unit,
            source: None,
            patient: None,
            person: person_of(caller),
            by: caller.name(),
            note: what,
            at: self.clock.now_ms(),
        };
        Ok(self.raise(&[alert]).await?)
    }

    /// Raises alerts, and wakes those who watch.
    pub(super) async fn raise(&self, alerts: &[NewAlert]) -> Result<(), StoreError> {
        let raised = self.store.raise_alerts(alerts, &With::nothing()).await;
        self.changes.notify();
        raised.map(drop)
    }
}

fn person_of(caller: &Caller) -> Option<PersonId> {
    match caller {
        Caller::Person { id, .. } => Some(id.clone()),
        Caller::Unit(_) => None,
    }
}
