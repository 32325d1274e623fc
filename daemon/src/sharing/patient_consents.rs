//! Patients' own words: recording, showing and listing them.
//!
//! Who may: the people of the unit at which a word was said. Its clinicians, administrators and privacy
//! officers record; they and its auditors look one patient up; all of them but its clinicians list everyone. A
//! privacy officer may record a no at every unit, for a patient who objects everywhere. The operator and
//! agents may not (an agent says it in its stream).
//!
//! Invariant (I1): an answer never tells of another unit than the caller's own, not by a receipt either.

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::{ConsentManner, PatientWordValue},
};

use super::{
    ActError, Caller, Context, When,
    context::{detached, text},
};
use crate::{
    audit::events::WordRecorded,
    consent::Side,
    delivery::{InForce, PairReceipt},
    store::{NewEntry, Role, UnitState, WordChange, WordOutcome, WordRow},
};

/// Patients of one call.
const MAX_PATIENTS_A_CALL: usize = 100;

/// Words of a patient in one answer.
const MAX_WORDS_SHOWN: u32 = 200;

/// Words in one page of a list.
pub const MAX_PAGE: u32 = 1_000;

/// Words recorded in one transaction where they are recorded at every unit.
const MAX_CHANGES_A_STEP: usize = 256;

/// How far ahead of the daemon's clock a moment may be at which something was said, in milliseconds.
const CLOCK_LEEWAY_MS: i64 = 5 * 60 * 1000;

/// Who records.
const RECORDERS: &[Role] = &[Role::Clinician, Role::UnitAdmin, Role::PrivacyOfficer];
/// Who looks one patient up.
const READERS: &[Role] = &[
    Role::Clinician,
    Role::UnitAdmin,
    Role::PrivacyOfficer,
    Role::Auditor,
];
/// Who lists everyone.
pub(super) const LISTERS: &[Role] = &[Role::UnitAdmin, Role::PrivacyOfficer, Role::Auditor];

/// What patients said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaidWords {
    /// Who said it: at most [`MAX_PATIENTS_A_CALL`].
    pub patients: Vec<NhsNumber>,
    /// About sharing out.
    pub share_out: Option<PatientWordValue>,
    /// About sharing in.
    pub share_in: Option<PatientWordValue>,
    /// When: a day or a moment as people write it; empty: now.
    pub said_on: String,
    /// How. Must not be `Unspecified`.
    pub manner: ConsentManner,
    /// Who took it down; may be empty.
    pub taken_by: String,
}

/// What was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Each patient's word on each side, as far as the caller may know it.
    pub words: Vec<(NhsNumber, Side, WordOutcome)>,
    /// Whether it is in force, and the receipts of the caller's own unit's pairs.
    pub in_force: InForce,
    /// When it counts as said, milliseconds since 1970-01-01T00:00:00Z.
    pub said_at: i64,
    /// At how many units it was recorded.
    pub units: usize,
    /// At which, where it was one.
    pub unit: Option<OdsCode>,
}

/// The acts on patients' words.
#[derive(Clone)]
pub struct PatientConsents {
    ctx: Context,
}

impl PatientConsents {
    /// Acts on what `ctx` holds.
    pub fn new(ctx: Context) -> Self {
        Self { ctx }
    }

    /// Records what patients said at a unit (`None`: the caller's own). Returns when it is in force, or says
    /// that it is pending; recording the same again is safe.
    pub async fn record(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
        said: SaidWords,
    ) -> Result<Recorded, ActError> {
        let unit = caller.at_own_unit(unit, RECORDERS)?;
        let now = self.ctx.clock.now_ms();
        let said = self.check(&said, now)?;
        let changes = said.at(unit, &caller.name(), now);
        let audit = entries(&self.ctx, caller, &changes)?;
        let (ctx, this) = (self.ctx.clone(), said);
        detached(async move {
            let done = ctx.revoker.record_words(changes, audit).await;
            // Also after an error: it may have been committed.
            ctx.changes.notify();
            let done = done?;
            let asked = this
                .patients
                .iter()
                .flat_map(|p| this.sides().map(move |(side, _)| (*p, side)));
            let words = asked
                .zip(done.outcomes)
                .map(|((patient, side), outcome)| (patient, side, outcome));
            Ok(Recorded {
                words: words.collect(),
                in_force: of_unit(unit, done.in_force),
                said_at: this.said_at,
                units: 1,
                unit: Some(unit),
            })
        })
        .await
    }

    /// Records that a patient objects at every unit. Unit by unit in bounded transactions: where one fails,
    /// what was recorded before stands, and asking again is safe.
    pub async fn record_everywhere(&self, caller: &Caller, said: SaidWords) -> Result<Recorded, ActError> {
        let own = caller.at_own_unit(None, &[Role::PrivacyOfficer])?;
        let now = self.ctx.clock.now_ms();
        let only_no = [said.share_out, said.share_in];
        if only_no
            .into_iter()
            .flatten()
            .any(|word| word != PatientWordValue::No)
        {
            let why = "at every unit only a no is recorded: a yes, or an end, is said to each unit";
            return Err(ActError::invalid("all_units", why));
        }
        if said.patients.len() > 1 {
            return Err(ActError::invalid("patients", "one at a time at every unit"));
        }
        let said = self.check(&said, now)?;
        let units = self.ctx.store.units(now).await?;
        let taking_part = units.iter().filter(|u| u.state != UnitState::Retired);
        let by = caller.name();
        let units: Vec<OdsCode> = taking_part.map(|u| u.ods).collect();
        let changes: Vec<WordChange> = units.iter().flat_map(|u| said.at(*u, &by, now)).collect();
        let (ctx, said_at) = (self.ctx.clone(), said.said_at);
        let about: Vec<Side> = said.sides().map(|(side, _)| side).collect();
        let sides = about.len().max(1);
        let (caller, patient) = (caller.clone(), said.patients.first().copied());
        detached(async move {
            if let Some(patient) = patient {
                ctx.alert_dissent_everywhere(&caller, patient, &units, &about)
                    .await?;
            }
            let all = changes.len() / sides;
            let mut in_force = InForce {
                in_force: true,
                receipts: Vec::new(),
            };
            for (step, some) in changes.chunks(MAX_CHANGES_A_STEP).enumerate() {
                let audit = entries(&ctx, &caller, some)?;
                let done = ctx.revoker.record_words(some.to_vec(), audit).await;
                ctx.changes.notify();
                let done =
                    done.map_err(|error| half_done(step * MAX_CHANGES_A_STEP / sides, all, error.into()))?;
                let ours = of_unit(own, done.in_force);
                in_force.in_force &= ours.in_force;
                in_force.receipts.extend(ours.receipts);
            }
            Ok(Recorded {
                words: Vec::new(),
                in_force,
                said_at,
                units: all,
                unit: None,
            })
        })
        .await
    }

    /// What a patient said at a unit (`None`: the caller's own), in force and before, the newest first.
    pub async fn get(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
        patient: NhsNumber,
    ) -> Result<(OdsCode, Vec<WordRow>), ActError> {
        let unit = caller.at_own_unit(unit, READERS)?;
        let words = self
            .ctx
            .store
            .words_of(patient, Some(unit), MAX_WORDS_SHOWN)
            .await?;
        Ok((unit, self.without_strangers(unit, words).await?))
    }

    /// The words in force at a unit (`None`: the caller's own) of patients beyond `after`, by NHS number, about
    /// `limit` of them; an empty list is the end.
    pub async fn list(
        &self,
        caller: &Caller,
        unit: Option<OdsCode>,
        after: Option<NhsNumber>,
        limit: u32,
    ) -> Result<(OdsCode, Vec<WordRow>), ActError> {
        let unit = caller.at_own_unit(unit, LISTERS)?;
        let words = self
            .ctx
            .store
            .words_in_force(unit, after, limit.clamp(1, MAX_PAGE))
            .await?;
        Ok((unit, self.without_strangers(unit, words).await?))
    }

    fn check(&self, said: &SaidWords, now: i64) -> Result<Checked, ActError> {
        let patients = distinct("patients", &said.patients)?;
        if said.share_out.is_none() && said.share_in.is_none() {
            let why = "say what the patient said about sharing out, sharing in, or both";
            return Err(ActError::invalid("share_out", why));
        }
        if said.manner == ConsentManner::Unspecified {
            return Err(ActError::invalid("manner", "one of spoken, written, by-proxy"));
        }
        let dissents = [said.share_out, said.share_in].contains(&Some(PatientWordValue::No));
        Ok(Checked {
            patients,
            share_out: said.share_out,
            share_in: said.share_in,
            said_at: self.said_at(&said.said_on, dissents, now)?,
            manner: said.manner,
            taken_by: text("taken_by", &said.taken_by)?,
        })
    }

    /// When it counts as said. Of a day a no counts from its end, anything else from its beginning, so that of
    /// two words of a day the no stands.
    fn said_at(&self, said_on: &str, dissents: bool, now: i64) -> Result<i64, ActError> {
        if said_on.is_empty() {
            return Ok(now);
        }
        let when = self.ctx.days.when(said_on);
        let when = when.map_err(|e| ActError::invalid("said_on", e.to_string()))?;
        let (first, at) = match when {
            When::At(at) => (at.saturating_sub(CLOCK_LEEWAY_MS), at),
            When::Day { from, until } if dissents => (from, until - 1),
            When::Day { from, .. } => (from, from),
        };
        if first > now {
            let why = format!("{said_on} is yet to come: what was said was said before");
            return Err(ActError::invalid("said_on", why));
        }
        Ok(at.min(now))
    }

    /// Who of another unit recorded a word is that unit's own affair.
    async fn without_strangers(
        &self,
        unit: OdsCode,
        mut words: Vec<WordRow>,
    ) -> Result<Vec<WordRow>, ActError> {
        let agent = format!("unit {unit}");
        let people = self.ctx.store.people().await?;
        let ours = |by: &str| {
            let id = by.strip_prefix("person ");
            by == agent
                || id.is_some_and(|id| people.iter().any(|p| p.unit == Some(unit) && p.id.as_str() == id))
        };
        for word in &mut words {
            if !ours(&word.change.by) {
                word.change.by.clear();
            }
        }
        Ok(words)
    }
}

/// What patients said, checked.
struct Checked {
    patients: Vec<NhsNumber>,
    share_out: Option<PatientWordValue>,
    share_in: Option<PatientWordValue>,
    said_at: i64,
    manner: ConsentManner,
    taken_by: String,
}

impl Checked {
    fn sides(&self) -> impl Iterator<Item = (Side, PatientWordValue)> + Clone + use<> {
        let out = self.share_out.map(|word| (Side::ShareOut, word));
        let into = self.share_in.map(|word| (Side::ShareIn, word));
        out.into_iter().chain(into)
    }

    /// As the store takes it: by patient, share-out before share-in.
    fn at(&self, unit: OdsCode, by: &str, now: i64) -> Vec<WordChange> {
        let each = self
            .patients
            .iter()
            .flat_map(|p| self.sides().map(move |(side, word)| (*p, side, word)));
        each.map(|(patient, side, word)| WordChange {
            unit,
            patient,
            side,
            word,
            said_at: self.said_at,
            manner: self.manner,
            taken_by: self.taken_by.clone(),
            by: by.to_owned(),
            at: now,
        })
        .collect()
    }
}

/// Patients of one call: some, not too many, each once.
pub(super) fn distinct(field: &'static str, patients: &[NhsNumber]) -> Result<Vec<NhsNumber>, ActError> {
    if patients.is_empty() {
        return Err(ActError::invalid(field, "give at least one NHS number"));
    }
    if patients.len() > MAX_PATIENTS_A_CALL {
        let why = format!("at most {MAX_PATIENTS_A_CALL} in one call");
        return Err(ActError::invalid(field, why));
    }
    let mut all = patients.to_vec();
    all.sort_unstable();
    all.dedup();
    if all.len() < patients.len() {
        return Err(ActError::invalid(field, "a number stands in it twice"));
    }
    Ok(patients.to_vec())
}

/// One entry a word.
fn entries(ctx: &Context, caller: &Caller, changes: &[WordChange]) -> Result<Vec<NewEntry>, ActError> {
    let each = changes.iter().map(|change| WordRecorded { change, seq: 0 });
    each.map(|word| ctx.entry(caller, word.change.at, &word))
        .collect()
}

/// The receipts of a unit's own pairs.
fn of_unit(unit: OdsCode, mut in_force: InForce) -> InForce {
    let own = |r: &PairReceipt| r.pair.source == unit || r.pair.recipient == unit;
    in_force.receipts.retain(own);
    in_force
}

fn half_done(done: usize, all: usize, error: ActError) -> ActError {
    if done == 0 {
        return error;
    }
    ActError::Unavailable(format!(
        "recorded at {done} of {all} units, and then: {error}. What was recorded stands; ask again for the rest"
    ))
}
