//! What people and units do to consents in a walk: chosen at random, done to the daemon, and said to the oracle.

use handfast_proto::{
    amendment::Category,
    ids::{NhsNumber, OdsCode},
    v1::{ConsentManner, PatientWordValue},
};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    emergencies,
    oracle::{Consents, Half, Opened, Said},
    source::CATEGORIES,
};
use crate::{
    consent::{CategorySet, Pair, Patients, Policy, Side},
    delivery::{Delivery, Revoker as _},
    store::{ClaimChange, HalfChange, HalfOutcome, HalfScope, StoreError, UnitChange, UnitState, WordChange},
};

/// One change of consents. As a side, `true` is out and `false` is in.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Half(Pair, bool, Half),
    Word(OdsCode, NhsNumber, bool, Said, i64),
    Claim(OdsCode, NhsNumber, bool),
    Explicit(bool),
    Suspend(OdsCode, bool),
    Resume(OdsCode),
    Open(Opened),
    /// Before its time.
    End(Opened),
}

/// What became of it.
pub(super) struct Answer {
    pub(super) in_force: bool,
    /// The grants that it ended.
    pub(super) ended: Vec<(Pair, u64)>,
}

/// Where a walk takes place.
pub(super) struct Place<'p> {
    pub(super) units: &'p [OdsCode],
    pub(super) patients: &'p [NhsNumber],
}

impl Place<'_> {
    pub(super) fn pair(&self, rng: &mut StdRng) -> Pair {
        let two: Vec<&OdsCode> = self.units.choose_multiple(rng, 2).collect();
        Pair {
            source: *two[0],
            recipient: *two[1],
        }
    }

    pub(super) fn unit(&self, rng: &mut StdRng) -> OdsCode {
        *self.units.choose(rng).unwrap()
    }

    pub(super) fn patient(&self, rng: &mut StdRng) -> NhsNumber {
        *self.patients.choose(rng).unwrap()
    }

    /// Something that is done to consents.
    pub(super) fn act(&self, rng: &mut StdRng, now: &Consents) -> Act {
        match rng.random_range(0..100) {
            0..45 => self.half(rng, now),
            45..65 => {
                let (unit, patient, out) = (self.unit(rng), self.patient(rng), rng.random());
                Act::Word(unit, patient, out, said(rng), said_at(rng, now))
            }
            65..73 => Act::Claim(self.unit(rng), self.patient(rng), rng.random_bool(0.6)),
            73..76 => Act::Explicit(rng.random_bool(0.3)),
            76..79 => Act::Suspend(self.unit(rng), rng.random_bool(0.4)),
            79..84 => Act::Resume(self.unit(rng)),
            84..95 => Act::Open(self.opens(rng, now)),
            _ => match now.opened.choose(rng) {
                Some(opened) => Act::End(*opened),
                None => self.half(rng, now),
            },
        }
    }

    /// Often what a colleague has open already.
    fn opens(&self, rng: &mut StdRng, now: &Consents) -> Opened {
        let colleagues = now.opened.choose(rng).filter(|_| rng.random_bool(0.5));
        let (pair, patient) = match colleagues {
            Some(opened) => (opened.pair, opened.patient),
            None => (self.pair(rng), self.patient(rng)),
        };
        Opened {
            pair,
            patient,
            until: now.now + rng.random_range(1..300),
            access: rng.random(),
        }
    }

    fn half(&self, rng: &mut StdRng, now: &Consents) -> Act {
        let (pair, out) = (self.pair(rng), rng.random());
        let mut half = now.half(pair, out);
        half.on = rng.random_bool(0.8);
        if rng.random_bool(0.5) {
            let some = CATEGORIES.choose_multiple(rng, 2).map(|c| *c as i32).collect();
            half.categories = if rng.random_bool(0.6) {
                Half::default().categories
            } else {
                some
            };
            half.caseload = rng.random_bool(0.3);
            half.explicit = rng.random_bool(0.15);
        }
        half.ends = match half.ends {
            Some(end) if end > now.now && rng.random_bool(0.5) => Some(end),
            _ => rng.random_bool(0.2).then(|| now.now + rng.random_range(1..400)),
        };
        Act::Half(pair, out, half)
    }
}

pub(super) fn said(rng: &mut StdRng) -> Said {
    *[Said::Yes, Said::No, Said::No, Said::Ended].choose(rng).unwrap()
}

/// Mostly just now, sometimes a while ago.
pub(super) fn said_at(rng: &mut StdRng, now: &Consents) -> i64 {
    if rng.random_bool(0.8) {
        now.now
    } else {
        now.now - rng.random_range(0..100)
    }
}

pub(super) fn word_value(said: Said) -> PatientWordValue {
    match said {
        Said::Yes => PatientWordValue::Yes,
        Said::No => PatientWordValue::No,
        Said::Ended => PatientWordValue::Ended,
    }
}

// === To the oracle ===

impl Consents {
    /// How things stand after an act.
    pub(super) fn after(&self, act: &Act) -> Self {
        let mut after = self.clone();
        match act {
            Act::Half(pair, out, half) => {
                after.halves.insert((*pair, *out), half.clone());
            }
            Act::Word(unit, patient, out, said, at) => after.say(*unit, *patient, *out, *said, *at),
            Act::Claim(unit, patient, true) => {
                after.claims.insert((*unit, *patient));
            }
            Act::Claim(unit, patient, false) => {
                after.claims.remove(&(*unit, *patient));
            }
            Act::Explicit(explicit) => after.explicit = *explicit,
            Act::Suspend(unit, withdraw) => {
                after.suspended.insert(*unit);
                if *withdraw {
                    after.withdrawn.insert(*unit);
                }
            }
            Act::Resume(unit) => {
                after.suspended.remove(unit);
                after.withdrawn.remove(unit);
            }
            Act::Open(opened) => {
                if after.may_open(opened.pair) {
                    after.opened.push(*opened);
                }
            }
            Act::End(ended) => after.opened.retain(|o| o.access != ended.access),
        }
        after.end_what_is_over();
        after
    }
}

// === To the daemon ===

/// Does it. Doing it again does nothing more.
pub(super) async fn perform(delivery: &Delivery, act: &Act, now: i64) -> Result<Answer, StoreError> {
    Ok(match act {
        Act::Half(pair, out, half) => {
            let change = HalfChange {
                pair: *pair,
                side: side(*out),
                on: half.on,
                by: "walk".to_owned(),
                reason: String::new(),
                scope: Some(scope(half)),
                at: now,
            };
            let set = delivery.set_half(change, Vec::new()).await?;
            Answer {
                in_force: set.in_force,
                ended: ended(&set.outcome),
            }
        }
        Act::Word(unit, patient, out, said, at) => {
            let change = WordChange {
                unit: *unit,
                patient: *patient,
                side: side(*out),
                word: word_value(*said),
                said_at: *at,
                manner: ConsentManner::Spoken,
                taken_by: String::new(),
                by: "walk".to_owned(),
                at: now,
            };
            let recorded = delivery.record_words(vec![change], Vec::new()).await?;
            nothing_ended(recorded.in_force.in_force)
        }
        Act::Claim(unit, patient, on) => {
            let change = ClaimChange {
                unit: *unit,
                patient: *patient,
                on: *on,
                by: "walk".to_owned(),
                reason: String::new(),
                at: now,
            };
            nothing_ended(delivery.set_claims(vec![change], Vec::new()).await?.in_force)
        }
        Act::Explicit(explicit) => {
            let policy = if *explicit {
                Policy::Explicit
            } else {
                Policy::UnlessDissented
            };
            nothing_ended(delivery.set_policy(policy, Vec::new()).await?.in_force)
        }
        Act::Suspend(unit, withdraw) => stand(delivery, *unit, UnitState::Suspended, *withdraw, now).await?,
        Act::Resume(unit) => stand(delivery, *unit, UnitState::Enrolled, false, now).await?,
        Act::Open(opened) => {
            emergencies::open(delivery, opened, now).await?;
            nothing_ended(true)
        }
        Act::End(opened) => {
            let (in_force, ended) = emergencies::end(delivery, opened, now).await?;
            Answer {
                in_force,
                ended: ended.map(|grant| (opened.pair, grant.0)).into_iter().collect(),
            }
        }
    })
}

async fn stand(
    delivery: &Delivery,
    ods: OdsCode,
    state: UnitState,
    withdraw: bool,
    now: i64,
) -> Result<Answer, StoreError> {
    let change = UnitChange {
        ods,
        state,
        withdraw,
        by: "walk".to_owned(),
        reason: String::new(),
        at: now,
    };
    let changed = delivery.set_unit_state(change, Vec::new()).await?;
    Ok(Answer {
        in_force: changed.in_force,
        ended: changed.outcome.pairs.iter().flat_map(ended).collect(),
    })
}

fn nothing_ended(in_force: bool) -> Answer {
    Answer {
        in_force,
        ended: Vec::new(),
    }
}

fn ended(outcome: &HalfOutcome) -> Vec<(Pair, u64)> {
    let all = outcome.ended.iter().chain(&outcome.emergencies_ended);
    all.map(|(grant, _)| (outcome.agreement.pair, grant.0)).collect()
}

fn side(out: bool) -> Side {
    if out { Side::ShareOut } else { Side::ShareIn }
}

fn scope(half: &Half) -> HalfScope {
    let categories = half.categories.iter().filter_map(|c| Category::try_from(*c).ok());
    HalfScope {
        categories: categories.fold(CategorySet::NONE, CategorySet::with),
        patients: if half.caseload {
            Patients::Caseload
        } else {
            Patients::All
        },
        explicit: half.explicit,
        // Days are of no account here: what holds goes by the moment.
        ends_on: half.ends.map(|_| jiff::civil::date(2030, 1, 1)),
        ends_at: half.ends,
        ..HalfScope::default()
    }
}
