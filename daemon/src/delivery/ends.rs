//! What is entered in the audit log of grants that end, and of removals that become due, because of an act that is
//! about something else: a half, a unit, a patient's word, a time that is over.
//!
//! Invariants: what ended is taken from what the store did, in its transaction, and from nothing else; of an act
//! there is at most one entry for each grant that ended and each pair whose terms changed, as many as the rows that
//! the act writes for them, and of a patient one for each unit at which something about them changed, however many
//! recipients that concerns.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::GrantEnd,
};

use super::{
    consequences::{Consequences, Due},
    ending::Ending,
    state::Inner,
    statements::{is_as_said, of_outcomes},
};
use crate::{
    audit::{
        Actor, Event, Scribe,
        events::{EmergencyEnded, GrantEnded, WithdrawalDue, WithdrawalsDue},
    },
    consent::{Book, GrantId, Pair},
    store::{AgreementRow, Did, Enters, HalfOutcome, NewEntry, Stated, StoreError},
};

/// Makes the entries. The daemon is who did it: the act itself is entered with whose it is.
struct Writer<'w> {
    scribe: &'w Scribe,
    at: i64,
    entries: Vec<NewEntry>,
}

/// Of a change to pairs: the grants that it ends, and what it makes due under those that go on.
pub(super) struct PairsEnd {
    scribe: Scribe,
    ending: Ending,
    at: i64,
    before: Arc<Book>,
    /// Why agreements' grants end; `None`: as their halves say.
    why: Option<GrantEnd>,
    due: BTreeSet<Due>,
}

/// Of patients' words and numbers: what they make due, if it comes out as it was worked out; otherwise worked out
/// anew.
pub(super) struct WordsEnd {
    scribe: Scribe,
    at: i64,
    before: Arc<Book>,
    stated: Vec<Stated>,
    due: BTreeSet<Due>,
}

impl Inner {
    /// For a change to pairs.
    pub(super) fn pairs_end(&self, at: i64) -> PairsEnd {
        PairsEnd {
            scribe: self.scribe.clone(),
            ending: self.ending(at),
            at,
            before: self.fence.book(),
            why: None,
            due: BTreeSet::new(),
        }
    }

    /// For patients' words and numbers, that `follows` was worked out for.
    pub(super) fn words_end(&self, at: i64, stated: Vec<Stated>, follows: &Consequences) -> WordsEnd {
        WordsEnd {
            scribe: self.scribe.clone(),
            at,
            before: self.fence.book(),
            stated,
            due: follows.due.clone(),
        }
    }

    /// For a change of which it is certain what follows.
    pub(super) fn entries_of_due(&self, at: i64, due: &BTreeSet<Due>) -> Result<Vec<NewEntry>, StoreError> {
        let mut writer = Writer::new(&self.scribe, at);
        writer.due(&self.fence.book(), due)?;
        Ok(writer.entries)
    }
}

impl PairsEnd {
    /// Why agreements' grants end.
    pub(super) fn because(self, why: GrantEnd) -> Self {
        let why = Some(why);
        Self { why, ..self }
    }

    /// What is due under grants that go on.
    pub(super) fn due(self, follows: &Consequences) -> Self {
        let due = follows.due.clone();
        Self { due, ..self }
    }
}

impl Enters for PairsEnd {
    fn entries(&self, did: Did<'_>) -> Result<Vec<NewEntry>, StoreError> {
        let Did::Pairs(outcomes) = did else {
            return Ok(Vec::new());
        };
        let mut writer = Writer::new(&self.scribe, self.at);
        for outcome in outcomes {
            self.ended(&mut writer, outcome)?;
        }
        let ended: BTreeSet<Pair> = outcomes
            .iter()
            .filter(|outcome| outcome.ended.is_some())
            .map(|outcome| outcome.agreement.pair)
            .collect();
        let mut due = self.due.clone();
        due.retain(|due| !matches!(due, Due::Terms(pair, _, None) if ended.contains(pair)));
        writer.due(&self.before, &due)?;
        writer.entries.extend(self.ending.of_outcomes(outcomes)?);
        Ok(writer.entries)
    }
}

impl PairsEnd {
    fn ended(&self, writer: &mut Writer<'_>, outcome: &HalfOutcome) -> Result<(), StoreError> {
        let pair = outcome.agreement.pair;
        if let Some((grant, _)) = outcome.ended {
            let end = self.why.unwrap_or_else(|| end_of(&outcome.agreement, self.at));
            writer.enter(&GrantEnded { pair, grant, end })?;
        }
        let emergencies = outcome.emergencies_ended.iter().map(|(grant, _)| *grant);
        for grant in emergencies {
            let known = self
                .before
                .of_pair(pair)
                .iter()
                .find(|(known, _)| *known == grant);
            let Some((_, emergency)) = known else {
                let end = GrantEnd::EmergencyOver;
                writer.enter(&GrantEnded { pair, grant, end })?;
                continue;
            };
            writer.enter(&EmergencyEnded {
                pair,
                patient: emergency.patient,
                access: 0,
                grant: Some(grant),
                expired: emergency.window.until <= self.at,
            })?;
        }
        Ok(())
    }
}

/// Why a grant of an agreement has ended that stands so now.
fn end_of(agreement: &AgreementRow, at: i64) -> GrantEnd {
    let halves = [&agreement.share_out, &agreement.share_in];
    if halves.iter().any(|half| !half.on) {
        GrantEnd::HalfOff
    } else if halves.iter().any(|half| !half.holds(at)) {
        GrantEnd::Expired
    } else {
        GrantEnd::UnitSuspended
    }
}

impl Enters for WordsEnd {
    fn entries(&self, did: Did<'_>) -> Result<Vec<NewEntry>, StoreError> {
        let Did::Words(outcomes) = did else {
            return Ok(Vec::new());
        };
        let mut writer = Writer::new(&self.scribe, self.at);
        if is_as_said(&self.stated, outcomes) {
            writer.due(&self.before, &self.due)?;
        } else {
            let follows = of_outcomes(&self.before, &self.stated, outcomes, self.at);
            writer.due(&self.before, &follows.due)?;
        }
        Ok(writer.entries)
    }
}

impl<'w> Writer<'w> {
    fn new(scribe: &'w Scribe, at: i64) -> Self {
        Self {
            scribe,
            at,
            entries: Vec::new(),
        }
    }

    fn enter(&mut self, event: &dyn Event) -> Result<(), StoreError> {
        let entry = self.scribe.entry(self.at, &Actor::Daemon, event);
        self.entries
            .push(entry.map_err(|error| StoreError::Failed(error.to_string()))?);
        Ok(())
    }

    fn due(&mut self, book: &Book, due: &BTreeSet<Due>) -> Result<(), StoreError> {
        let mut of_patients: BTreeMap<(OdsCode, NhsNumber), Vec<(Pair, GrantId)>> = BTreeMap::new();
        for one in due {
            match *one {
                Due::Patient(unit, patient, pair) => {
                    let grants = grants_of(book, pair, patient).into_iter();
                    let of = of_patients.entry((unit, patient)).or_default();
                    of.extend(grants.map(|grant| (pair, grant)));
                }
                Due::Terms(pair, left, patient) => {
                    let grant = match patient {
                        None => book.terms(pair).grant,
                        Some(patient) => emergencies_of(book, pair, patient).next(),
                    };
                    let Some(grant) = grant else { continue };
                    self.enter(&WithdrawalDue {
                        pair,
                        grant,
                        patient,
                        categories: left.categories,
                        some_patients: left.some_patients,
                    })?;
                }
            }
        }
        for ((unit, patient), due) in of_patients {
            for due in due.chunks(WithdrawalsDue::MAX_GRANTS) {
                self.enter(&WithdrawalsDue { unit, patient, due })?;
            }
        }
        Ok(())
    }
}

/// The grants of a pair that may carry a patient's records.
fn grants_of(book: &Book, pair: Pair, patient: NhsNumber) -> Vec<GrantId> {
    let agreement = book.terms(pair).grant.into_iter();
    agreement.chain(emergencies_of(book, pair, patient)).collect()
}

fn emergencies_of(book: &Book, pair: Pair, patient: NhsNumber) -> impl Iterator<Item = GrantId> + '_ {
    let numbers = book
        .patients(pair.source)
        .map(|known| known.numbers_of(patient))
        .unwrap_or_else(|| vec![patient]);
    let of_pair = book.of_pair(pair).iter();
    of_pair
        .filter(move |(_, emergency)| numbers.contains(&emergency.patient))
        .map(|(grant, _)| *grant)
}

#[cfg(test)]
#[path = "ends_tests.rs"]
mod tests;
