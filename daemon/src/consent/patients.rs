//! What a book knows of the patients of one unit: their words there, whether they are on its caseload, and
//! which NHS numbers it said are one patient's.

use std::{collections::HashMap, sync::Arc};

use handfast_proto::ids::NhsNumber;

use super::{agreement::Side, patient::PatientWord, shards::Shards};

/// What is known of a patient at a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Their word about what the unit recorded, towards others.
    pub share_out: PatientWord,
    /// Their word about what others recorded, towards the unit.
    pub share_in: PatientWord,
    /// Whether the unit itself holds a record about them.
    pub recorded: bool,
    /// Whether they were added to the caseload by name.
    pub claimed: bool,
}

impl Facts {
    /// Whether the patient is on the unit's caseload.
    pub fn on_caseload(self) -> bool {
        self.recorded || self.claimed
    }

    /// The word on one side.
    pub fn word(self, side: Side) -> PatientWord {
        match side {
            Side::ShareOut => self.share_out,
            Side::ShareIn => self.share_in,
        }
    }

    /// The same with another word on one side.
    #[must_use]
    pub fn with_word(self, side: Side, word: PatientWord) -> Self {
        match side {
            Side::ShareOut => Self {
                share_out: word,
                ..self
            },
            Side::ShareIn => Self {
                share_in: word,
                ..self
            },
        }
    }
}

/// The patients of one unit. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct UnitPatients {
    facts: Shards<Facts>,
    /// For each number of which it was said: the other numbers of the same patient.
    others: Arc<HashMap<NhsNumber, Vec<NhsNumber>>>,
}

impl UnitPatients {
    /// What is known of a patient under this number.
    pub fn facts(&self, patient: NhsNumber) -> Facts {
        self.facts.get(patient).unwrap_or_default()
    }

    /// Everyone of whom something is known, in no order.
    pub fn all(&self) -> impl Iterator<Item = (NhsNumber, Facts)> + '_ {
        self.facts.iter()
    }

    /// How many patients something is known of.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether nothing is known of anyone.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.others.is_empty()
    }

    /// Sets what is known of a patient.
    pub fn set(&mut self, patient: NhsNumber, facts: Facts) {
        let known = (facts != Facts::default()).then_some(facts);
        self.facts.set(patient, known);
    }

    /// Two numbers are one patient's, with all that either was known to be the same as.
    pub fn join(&mut self, one: NhsNumber, other: NhsNumber) {
        let mut all = self.numbers_of(one);
        all.extend(self.numbers_of(other));
        all.sort_unstable();
        all.dedup();
        let others = Arc::make_mut(&mut self.others);
        for number in &all {
            others.insert(*number, all.iter().copied().filter(|n| n != number).collect());
        }
    }

    /// A patient's other numbers, as this unit said.
    pub fn others(&self, patient: NhsNumber) -> &[NhsNumber] {
        if self.others.is_empty() {
            return &[];
        }
        self.others.get(&patient).map_or(&[], Vec::as_slice)
    }

    /// A number and the patient's others.
    pub fn numbers_of(&self, patient: NhsNumber) -> Vec<NhsNumber> {
        let mut all = vec![patient];
        all.extend(self.others(patient));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_joined_one_after_the_other_are_all_one_patients() {
        let number = |n| NhsNumber::from_u64(n).unwrap();
        let (a, b, c) = (
            number(9_990_000_018),
            number(9_990_000_026),
            number(9_990_000_034),
        );
        let mut unit = UnitPatients::default();
        unit.join(a, b);
        unit.join(b, c);
        assert_eq!(unit.others(a), [b, c]);
        assert_eq!(unit.others(c), [a, b]);
    }

    #[test]
    fn what_is_known_of_nobody_takes_no_room() {
        let patient = NhsNumber::from_u64(9_990_000_018).unwrap();
        let mut unit = UnitPatients::default();
        unit.set(
            patient,
            Facts {
                claimed: true,
                ..Facts::default()
            },
        );
        assert!(unit.facts(patient).on_caseload());
        assert_eq!((unit.len(), unit.is_empty()), (1, false));
        unit.set(patient, Facts::default());
        assert_eq!((unit.len(), unit.is_empty()), (0, true));
    }

    #[test]
    fn of_whom_only_another_number_is_known_something_is_known() {
        let [a, b] = [9_990_000_018, 9_990_000_026].map(|n| NhsNumber::from_u64(n).unwrap());
        let mut unit = UnitPatients::default();
        unit.join(a, b);
        assert_eq!((unit.len(), unit.is_empty()), (0, false));
        assert_eq!(unit.numbers_of(a), [a, b]);
    }

    #[test]
    fn a_word_is_said_on_one_side_and_leaves_the_rest() {
        let patient = NhsNumber::from_u64(9_990_000_018).unwrap();
        let before = Facts {
            recorded: true,
            ..Facts::default()
        };
        let said = before
            .with_word(Side::ShareOut, PatientWord::No)
            .with_word(Side::ShareIn, PatientWord::Yes);
        let words = [Side::ShareOut, Side::ShareIn].map(|side| said.word(side));
        assert_eq!(words, [PatientWord::No, PatientWord::Yes]);
        assert!(said.recorded && !said.claimed);
        let mut unit = UnitPatients::default();
        unit.set(patient, said);
        assert_eq!(unit.all().collect::<Vec<_>>(), [(patient, said)]);
    }

    #[test]
    fn on_the_caseload_is_who_was_recorded_about_or_added_by_name() {
        let facts = |recorded, claimed| Facts {
            recorded,
            claimed,
            ..Facts::default()
        };
        let on = [(false, false), (true, false), (false, true), (true, true)]
            .map(|(recorded, claimed)| facts(recorded, claimed).on_caseload());
        assert_eq!(on, [false, true, true, true]);
    }
}
