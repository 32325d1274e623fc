//! Patients on a unit's caseload by name, beside those that it recorded something about itself.
//!
//! Who may: the unit's clinicians, administrators and privacy officers add and take off; its administrators,
//! privacy officers and auditors list. Invariants: nobody is added before the unit's privacy officers can see
//! it; a person, and a unit, adds only so many within an hour.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultKeyedRateLimiter, Quota};
use handfast_proto::ids::{NhsNumber, OdsCode, PersonId};

use super::{
    ActError, Caller, Context, SelfClaim,
    context::{detached, required, text},
    patient_consents::{LISTERS, MAX_PAGE, distinct},
};
use crate::{
    audit::events::CaseloadChanged,
    delivery::InForce,
    store::{ClaimChange, ClaimRow, Role},
};

/// Patients that one person may add within an hour, and at once where they added none lately.
const CLAIMS_PER_PERSON_PER_HOUR: u32 = 200;

/// Patients that all people of a unit together may add within an hour, and at once.
const CLAIMS_PER_UNIT_PER_HOUR: u32 = 1_000;

/// Who adds and takes off.
const CLAIMANTS: &[Role] = &[Role::Clinician, Role::UnitAdmin, Role::PrivacyOfficer];

/// What an addition or removal did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimed {
    /// Whose caseload.
    pub unit: OdsCode,
    /// How it stands.
    pub in_force: InForce,
    /// Patients added or taken off.
    pub changed: usize,
    /// Patients of whom it was so already.
    pub unchanged: usize,
    /// Patients who are on the caseload all the same: the unit itself recorded something about them.
    pub recorded: usize,
    /// To how many privacy officers the alert is shown; 0 with a removal.
    pub alerted: usize,
}

/// The acts on caseloads.
#[derive(Clone)]
pub struct Caseload {
    ctx: Context,
    rates: Arc<Rates>,
}

struct Rates {
    people: DefaultKeyedRateLimiter<PersonId>,
    units: DefaultKeyedRateLimiter<OdsCode>,
}

impl Caseload {
    /// Acts on what `ctx` holds. One for the daemon: another would not know what was added through this one.
    pub fn new(ctx: Context) -> Self {
        let per_hour = |n| Quota::per_hour(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        let rates = Rates {
            people: DefaultKeyedRateLimiter::keyed(per_hour(CLAIMS_PER_PERSON_PER_HOUR)),
            units: DefaultKeyedRateLimiter::keyed(per_hour(CLAIMS_PER_UNIT_PER_HOUR)),
        };
        Self {
            ctx,
            rates: Arc::new(rates),
        }
    }

    /// Puts patients on a unit's caseload (`None`: the caller's own). Those of whom the unit itself recorded
    /// something are on it already and are passed over, as are those added before.
    pub async fn add(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
        patients: &[NhsNumber],
        reason: &str,
    ) -> Result<Claimed, ActError> {
        let unit = caller.at_own_unit(unit, CLAIMANTS)?;
        let reason = required("reason", reason)?;
        let split = self.split(unit, distinct("patients", patients)?, true);
        self.within_rate(caller, unit, split.change.len())?;
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move {
            let mut alerted = 0;
            if !split.change.is_empty() {
                let claim = SelfClaim {
                    unit,
                    by: caller.name(),
                    patients: split.change.clone(),
                    reason: reason.clone(),
                    at: this.ctx.clock.now_ms(),
                };
                this.ctx.alerts.self_claimed(&claim).await?;
                alerted = this.privacy_officers(unit).await?;
            }
            this.set(&caller, unit, split, true, &reason, alerted).await
        })
        .await
    }

    /// Takes patients off a unit's caseload (`None`: the caller's own), as far as they are on it by name.
    pub async fn remove(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
        patients: &[NhsNumber],
        reason: &str,
    ) -> Result<Claimed, ActError> {
        let unit = caller.at_own_unit(unit, CLAIMANTS)?;
        let reason = text("reason", reason)?;
        let split = self.split(unit, distinct("patients", patients)?, false);
        let (this, caller) = (self.clone(), caller.clone());
        detached(async move { this.set(&caller, unit, split, false, &reason, 0).await }).await
    }

    /// Who is on a unit's caseload by name (`None`: the caller's own), beyond `after`, by NHS number, at most
    /// `limit`; an empty list is the end.
    pub async fn list(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<(OdsCode, Vec<ClaimRow>), ActError> {
        let unit = caller.at_own_unit(unit, LISTERS)?;
        let claims = self
            .ctx
            .store
            .claims(unit, after, limit.clamp(1, MAX_PAGE))
            .await?;
        Ok((unit, claims))
    }

    fn split(&self, unit: OdsCode, patients: Vec<NhsNumber>, on: bool) -> Split {
        let book = self.ctx.revoker.book();
        let mut split = Split::default();
        for patient in patients {
            let facts = book.facts(unit, patient);
            split.recorded += usize::from(facts.recorded);
            if facts.claimed != on && !(on && facts.recorded) {
                split.change.push(patient);
            } else {
                split.unchanged.push(patient);
            }
        }
        split
    }

    fn within_rate(&self, caller: &Caller, unit: OdsCode, patients: usize) -> Result<(), ActError> {
        let Some(n) = u32::try_from(patients).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        let Caller::Person { id, .. } = caller else {
            return Err(ActError::Denied);
        };
        // A call never adds more than either bound, so that the limiters never say that it can never fit.
        if !matches!(self.rates.people.check_key_n(id, n), Ok(Ok(()))) {
            return Err(ActError::TooMany(format!(
                "a person adds at most {CLAIMS_PER_PERSON_PER_HOUR} patients within an hour: nobody of this call \
                 was added; ask again later"
            )));
        }
        if !matches!(self.rates.units.check_key_n(&unit, n), Ok(Ok(()))) {
            return Err(ActError::TooMany(format!(
                "a unit adds at most {CLAIMS_PER_UNIT_PER_HOUR} patients within an hour: nobody of this call was \
                 added; ask again later"
            )));
        }
        Ok(())
    }

    async fn privacy_officers(&self, unit: OdsCode) -> Result<usize, ActError> {
        let people = self.ctx.store.people().await?;
        let officers = people
            .iter()
            .filter(|p| p.unit == Some(unit) && p.role == Role::PrivacyOfficer && !p.revoked);
        Ok(officers.count())
    }

    /// Not cancellation-safe: runs in a task of its own.
    async fn set(
        &self,
        caller: &Caller,
        unit: OdsCode,
        split: Split,
        on: bool,
        reason: &str,
        alerted: usize,
    ) -> Result<Claimed, ActError> {
        let at = self.ctx.clock.now_ms();
        // What is so already goes along: it is how one asks again whether a removal is in force.
        let all = if on {
            split.change.clone()
        } else {
            [&split.change[..], &split.unchanged].concat()
        };
        let changes: Vec<ClaimChange> = all
            .iter()
            .map(|patient| ClaimChange {
                unit,
                patient: *patient,
                on,
                by: caller.name(),
                reason: reason.to_owned(),
                at,
            })
            .collect();
        // Of those alone with whom something is changed.
        let changed = changes.iter().take(split.change.len());
        let entries = changed.map(|claim| self.ctx.entry(caller, at, &CaseloadChanged(claim)));
        let audit = entries.collect::<Result<Vec<_>, _>>()?;
        let in_force = self.ctx.revoker.set_claims(changes, audit).await?;
        Ok(Claimed {
            unit,
            in_force,
            changed: split.change.len(),
            unchanged: split.unchanged.len(),
            recorded: split.recorded,
            alerted,
        })
    }
}

/// Patients of a call by what it does to them.
#[derive(Default)]
struct Split {
    change: Vec<NhsNumber>,
    unchanged: Vec<NhsNumber>,
    recorded: usize,
}
