//! Raises the alerts of acts: each before its effect, so that one that then fails has an alert too many, never
//! one too few.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_proto::{
    ids::{Holder, NhsNumber, OdsCode, PersonId},
    v1::AlertStep,
};
use jiff::Timestamp;

use super::{ActError, Alerts, Caller, Context, SelfClaim};
use crate::{
    audit::{Actor, NotEntered, Scribe, events::Alerted},
    consent::{PatientWord, Side},
    delivery::Changes,
    store::{AlertKind, NewAlert, NewEntry, Store, With},
};

/// Alerts that the store keeps.
pub struct KeptAlerts {
    store: Arc<dyn Store>,
    changes: Arc<Changes>,
    scribe: Scribe,
}

impl KeptAlerts {
    /// Keeps them in `store`, and wakes those who watch.
    pub fn new(store: Arc<dyn Store>, changes: Arc<Changes>, scribe: Scribe) -> Self {
        Self {
            store,
            changes,
            scribe,
        }
    }

    async fn raise(&self, alerts: &[NewAlert], actor: &Actor) -> Result<(), ActError> {
        let entries = alerts.iter().map(|alert| raised(&self.scribe, alert, actor));
        let with = With::audit(entries.collect::<Result<_, _>>()?);
        let kept = self.store.raise_alerts(alerts, &with).await;
        self.changes.notify();
        kept?;
        Ok(())
    }
}

#[async_trait]
impl Alerts for KeptAlerts {
    async fn self_claimed(&self, claim: &SelfClaim) -> Result<(), ActError> {
        let alert = of_claim(claim);
        let actor = match &alert.person {
            Some(id) => Actor::Holder(Holder::Person(id.clone())),
            None => Actor::Agent(claim.unit),
        };
        self.raise(&[alert], &actor).await
    }
}

/// What the audit log says of an alert that is raised.
fn raised(scribe: &Scribe, alert: &NewAlert, actor: &Actor) -> Result<NewEntry, NotEntered> {
    let event = Alerted {
        step: AlertStep::Raised,
        kind: (alert.kind as i32).unsigned_abs(),
        alert: 0,
        unit: alert.unit,
        source: alert.source,
        patient: alert.patient,
        justified: false,
        note: &alert.note,
    };
    scribe.entry(alert.at, actor, &event)
}

/// One alert a claim: of a single patient it names the patient, of more it says how many and where they are named.
fn of_claim(claim: &SelfClaim) -> NewAlert {
    let (patient, note) = match claim.patients.as_slice() {
        [one] => (Some(*one), claim.reason.clone()),
        all => {
            let at =
                Timestamp::from_millisecond(claim.at).map_or_else(|_| String::new(), |at| at.to_string());
            let note = format!(
                "{} patients, whom the audit log names in entries of the kind caseload from {at} on: {}",
                all.len(),
                claim.reason
            );
            (None, note)
        }
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
    /// Alerts every one of these units that a caller records a patient's dissent for all of them: where that is in
    /// force on these sides already, as when it is asked for again, there is nothing to alert it of.
    pub(super) async fn alert_dissent_everywhere(
        &self,
        caller: &Caller,
        patient: NhsNumber,
        units: &[OdsCode],
        sides: &[Side],
    ) -> Result<(), ActError> {
        let book = self.revoker.book();
        let says_no = |unit: OdsCode, side: &Side| book.facts(unit, patient).word(*side) == PatientWord::No;
        let is_new = |unit: &&OdsCode| !sides.iter().all(|side| says_no(**unit, side));
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
        let alerts: Vec<NewAlert> = units.iter().filter(is_new).map(alert).collect();
        if alerts.is_empty() {
            return Ok(());
        }
        self.raise(caller, &alerts).await
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
        self.raise(caller, &[alert]).await
    }

    /// Raises alerts of what a caller does.
    pub(super) async fn raise(&self, caller: &Caller, alerts: &[NewAlert]) -> Result<(), ActError> {
        let (store, changes) = (Arc::clone(&self.store), Arc::clone(&self.changes));
        let kept = KeptAlerts::new(store, changes, self.audit.scribe().clone());
        kept.raise(alerts, &caller.actor()).await
    }
}

fn person_of(caller: &Caller) -> Option<PersonId> {
    match caller {
        Caller::Person { id, .. } => Some(id.clone()),
        Caller::Unit(_) => None,
    }
}
