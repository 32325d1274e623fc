//! What a book knows of the patients of one unit: their words there, whether they are on its caseload, and
//! which NHS numbers it said are one patient's.

use std::{collections::HashMap, iter::successors, sync::Arc};

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
    /// For each number that was left: what it became, each once.
    became: Arc<HashMap<NhsNumber, Vec<NhsNumber>>>,
}

impl UnitPatients {
    /// What is known of a patient under this number.
    #[inline]
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

    /// A number became another of the same patient, with all that either was known to be the same as.
    pub fn join(&mut self, former: NhsNumber, current: NhsNumber) {
        let became = Arc::make_mut(&mut self.became).entry(former).or_default();
        if !became.contains(&current) {
            became.push(current);
        }
        let mut all = self.numbers_of(former);
        all.extend(self.numbers_of(current));
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

    /// Whether what was recorded under one number is under another now, as far as no other patient can be meant: a
    /// number that was left is followed where nothing is recorded under it any more, and to one number only.
    /// Otherwise two patients had it, one of them by mistake, and each is found under their own number alone. A
    /// dissent is not asked this: it holds for all [`UnitPatients::others`].
    pub fn leads_to(&self, from: NhsNumber, to: NhsNumber) -> bool {
        self.from(from).any(|number| number == to)
    }

    /// Whether two numbers are one patient's for certain: they are one, or lead to one.
    pub fn are_surely_one(&self, one: NhsNumber, other: NhsNumber) -> bool {
        self.from(one).any(|number| self.leads_to(other, number))
    }

    /// A number and those that it leads to, in order.
    fn from(&self, number: NhsNumber) -> impl Iterator<Item = NhsNumber> + '_ {
        let next = |left: &NhsNumber| match self.became.get(left).map(Vec::as_slice) {
            Some([only]) if !self.facts(*left).recorded => Some(*only),
            _ => None,
        };
        // Numbers may have gone round in a circle.
        successors(Some(number), next).take(self.became.len() + 1)
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
    fn a_number_is_followed_where_nothing_is_left_under_it_and_to_one_other_only() {
        let [a, b, c, d] = [9_990_000_018, 9_990_000_026, 9_990_000_034, 9_990_000_042]
            .map(|n| NhsNumber::from_u64(n).unwrap());
        let recorded = Facts {
            recorded: true,
            ..Facts::default()
        };
        let mut unit = UnitPatients::default();
        unit.join(b, a);
        unit.join(a, c);
        assert!(unit.leads_to(b, c) && !unit.leads_to(c, b) && unit.leads_to(b, b));
        assert!(unit.are_surely_one(c, b) && unit.are_surely_one(b, a));
        // Somebody else has it.
        unit.set(b, recorded);
        assert!(!unit.leads_to(b, a) && !unit.are_surely_one(c, b) && unit.are_surely_one(a, c));
        assert_eq!(unit.others(b), [a, c], "for a dissent they stay one");
        // And left it for another: two patients had it.
        unit.join(b, d);
        unit.set(b, Facts::default());
        assert!(!unit.leads_to(b, a) && !unit.leads_to(b, d) && !unit.are_surely_one(a, d));
        // In a circle.
        unit.join(c, a);
        assert!(unit.leads_to(a, c) && unit.leads_to(c, a) && !unit.leads_to(a, d));
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
