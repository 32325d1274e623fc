//! The book: every consent in force, as one immutable value that the fence swaps. What it says of an amendment
//! is in `allowed`.
//!
//! Invariants: a pair's `grant` is there only where both halves of the pair are on; a pair that is not in the
//! book has both halves off; `epoch` rises with each swap. A copy shares what did not change.

use std::{collections::HashMap, sync::Arc};

use handfast_proto::ids::{NhsNumber, OdsCode};

use super::{
    agreement::{GrantId, HalfTerms, Pair},
    carrier::Terms,
    emergency::Emergency,
    gate::Standing,
    patient::{PatientWord, Policy},
    patients::{Facts, UnitPatients},
};

/// The terms of one pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PairTerms {
    /// The source's half.
    pub share_out: HalfTerms,
    /// The recipient's half.
    pub share_in: HalfTerms,
    /// The grant in force.
    pub grant: Option<GrantId>,
}

impl PairTerms {
    /// Both halves off, as where nobody ever set one.
    pub const NOTHING: Self = Self {
        share_out: HalfTerms::OFF,
        share_in: HalfTerms::OFF,
        grant: None,
    };
}

/// The emergency accesses of one pair.
type Opened = [(GrantId, Emergency)];

/// Every consent in force.
#[derive(Clone, Debug, Default)]
pub struct Book {
    epoch: u64,
    policy: Policy,
    units: Arc<HashMap<OdsCode, Standing>>,
    pairs: Arc<HashMap<Pair, PairTerms>>,
    recipients: Arc<HashMap<OdsCode, Arc<[OdsCode]>>>,
    sources: Arc<HashMap<OdsCode, Arc<[OdsCode]>>>,
    emergencies: Arc<HashMap<Pair, Arc<Opened>>>,
    patients: Arc<HashMap<OdsCode, UnitPatients>>,
    /// The terms that a pair had before changes of which its recipient does not have everything yet.
    former_terms: Arc<HashMap<Pair, Arc<[Terms]>>>,
}

// === Making and changing ===

impl Book {
    /// The book of a deployment as its store has it, but for patients and emergencies.
    pub fn new(
        policy: Policy,
        units: impl IntoIterator<Item = (OdsCode, Standing)>,
        pairs: impl IntoIterator<Item = (Pair, PairTerms)>,
    ) -> Self {
        let mut book = Self {
            policy,
            units: Arc::new(units.into_iter().collect()),
            pairs: Arc::new(pairs.into_iter().collect()),
            ..Self::default()
        };
        let (mut recipients, mut sources) = (HashMap::new(), HashMap::new());
        for pair in book
            .pairs
            .iter()
            .filter(|(_, terms)| terms.grant.is_some())
            .map(|(pair, _)| *pair)
        {
            recipients
                .entry(pair.source)
                .or_insert_with(Vec::new)
                .push(pair.recipient);
            sources
                .entry(pair.recipient)
                .or_insert_with(Vec::new)
                .push(pair.source);
        }
        book.recipients = Arc::new(sorted(recipients));
        book.sources = Arc::new(sorted(sources));
        book
    }

    /// The same with what is known of a unit's patients.
    #[must_use]
    pub fn with_patients(&self, unit: OdsCode, patients: UnitPatients) -> Self {
        let mut next = self.next();
        Arc::make_mut(&mut next.patients).insert(unit, patients);
        next
    }

    /// The book after a change of one pair.
    #[must_use]
    pub fn with_pair(&self, pair: Pair, terms: PairTerms) -> Self {
        let mut next = self.next();
        Arc::make_mut(&mut next.pairs).insert(pair, terms);
        let in_force = terms.grant.is_some();
        list(&mut next.recipients, pair.source, pair.recipient, in_force);
        list(&mut next.sources, pair.recipient, pair.source, in_force);
        next
    }

    /// The book after a change of how a unit stands.
    #[must_use]
    pub fn with_unit(&self, ods: OdsCode, standing: Standing) -> Self {
        let mut next = self.next();
        Arc::make_mut(&mut next.units).insert(ods, standing);
        next
    }

    /// The book after a change of what is known of patients at a unit: `change` is asked for each.
    #[must_use]
    pub fn with_facts(
        &self,
        unit: OdsCode,
        patients: impl IntoIterator<Item = NhsNumber>,
        change: impl Fn(Facts) -> Facts,
    ) -> Self {
        let mut next = self.next();
        let at = Arc::make_mut(&mut next.patients).entry(unit).or_default();
        for patient in patients {
            at.set(patient, change(at.facts(patient)));
        }
        next
    }

    /// The book after a unit said that a number became another of the same patient.
    #[must_use]
    pub fn with_joined(&self, unit: OdsCode, former: NhsNumber, current: NhsNumber) -> Self {
        let mut next = self.next();
        Arc::make_mut(&mut next.patients)
            .entry(unit)
            .or_default()
            .join(former, current);
        next
    }

    /// The book after a change of the deployment's policy.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        Self {
            policy,
            ..self.next()
        }
    }

    /// The book after an emergency access began.
    #[must_use]
    pub fn with_emergency(&self, grant: GrantId, emergency: Emergency) -> Self {
        let mut next = self.without_emergency(emergency.pair, grant);
        let of_pair = Arc::make_mut(&mut next.emergencies)
            .entry(emergency.pair)
            .or_default();
        *of_pair = of_pair.iter().copied().chain([(grant, emergency)]).collect();
        next
    }

    /// The book after an emergency access ended.
    #[must_use]
    pub fn without_emergency(&self, pair: Pair, grant: GrantId) -> Self {
        let mut next = self.next();
        let rest: Arc<[_]> = next
            .of_pair(pair)
            .iter()
            .copied()
            .filter(|(g, _)| *g != grant)
            .collect();
        let all = Arc::make_mut(&mut next.emergencies);
        if rest.is_empty() {
            all.remove(&pair);
        } else {
            all.insert(pair, rest);
        }
        next
    }

    /// The book with other terms of which changes of a pair are not through yet.
    #[must_use]
    pub fn with_former_terms(&self, pair: Pair, terms: &[Terms]) -> Self {
        let mut next = self.next();
        let all = Arc::make_mut(&mut next.former_terms);
        if terms.is_empty() {
            all.remove(&pair);
        } else {
            all.insert(pair, terms.into());
        }
        next
    }

    /// The book in which nothing goes under a grant of a pair, an agreement's or an emergency access's.
    #[must_use]
    pub fn ended(&self, pair: Pair, grant: GrantId) -> Self {
        let terms = self.terms(pair);
        if terms.grant == Some(grant) {
            return self.with_pair(pair, PairTerms { grant: None, ..terms });
        }
        self.without_emergency(pair, grant)
    }

    /// The book in which nothing of a pair goes, until it is known how the pair stands.
    #[must_use]
    pub fn closed(&self, pair: Pair) -> Self {
        let terms = PairTerms {
            grant: None,
            ..self.terms(pair)
        };
        let mut next = self.with_pair(pair, terms);
        Arc::make_mut(&mut next.emergencies).remove(&pair);
        next
    }

    /// This book, read from the store, in the place of another.
    #[must_use]
    pub fn following(self, other: &Self) -> Self {
        Self {
            epoch: other.epoch + 1,
            ..self
        }
    }

    fn next(&self) -> Self {
        Self {
            epoch: self.epoch + 1,
            ..self.clone()
        }
    }
}

// === Reading ===

impl Book {
    /// Rises with each change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What the deployment asks of patients.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// How a unit stands.
    pub fn standing(&self, ods: OdsCode) -> Standing {
        self.units.get(&ods).copied().unwrap_or(Standing::NotEnrolled)
    }

    /// The terms of a pair; both halves off where nobody ever set one.
    pub fn terms(&self, pair: Pair) -> PairTerms {
        self.pairs.get(&pair).copied().unwrap_or(PairTerms::NOTHING)
    }

    /// Every pair of which a half was ever set, in no order.
    pub fn pairs(&self) -> impl Iterator<Item = (Pair, PairTerms)> + '_ {
        self.pairs.iter().map(|(pair, terms)| (*pair, *terms))
    }

    /// The recipients with an agreement's grant in force from a source.
    pub fn recipients_of(&self, source: OdsCode) -> Arc<[OdsCode]> {
        self.recipients.get(&source).cloned().unwrap_or_default()
    }

    /// The sources with an agreement's grant in force towards a recipient.
    pub fn sources_to(&self, recipient: OdsCode) -> Arc<[OdsCode]> {
        self.sources.get(&recipient).cloned().unwrap_or_default()
    }

    /// The emergency accesses that were opened and not ended, in no order.
    pub fn emergencies(&self) -> impl Iterator<Item = (GrantId, Emergency)> + '_ {
        self.emergencies
            .values()
            .flat_map(|of_pair| of_pair.iter().copied())
    }

    /// The emergency accesses of a pair that were opened and not ended.
    pub fn of_pair(&self, pair: Pair) -> &[(GrantId, Emergency)] {
        self.emergencies.get(&pair).map(AsRef::as_ref).unwrap_or_default()
    }

    /// The terms that a pair had before changes of which its recipient does not have everything yet: what they
    /// let through may still be held there.
    pub fn former_terms(&self, pair: Pair) -> &[Terms] {
        self.former_terms
            .get(&pair)
            .map(AsRef::as_ref)
            .unwrap_or_default()
    }

    /// The pairs with such terms, in no order.
    pub fn pairs_with_former_terms(&self) -> impl Iterator<Item = Pair> + '_ {
        self.former_terms.keys().copied()
    }

    /// What is known of a unit's patients.
    pub fn patients(&self, unit: OdsCode) -> Option<&UnitPatients> {
        self.patients.get(&unit)
    }

    /// Whether any unit said that a patient has other numbers.
    pub fn has_other_numbers(&self, patient: NhsNumber) -> bool {
        self.patients
            .values()
            .any(|known| !known.others(patient).is_empty())
    }

    /// Whether a patient has said no to sharing out what a unit recorded, under any number that it said is
    /// theirs.
    pub fn dissents(&self, unit: OdsCode, patient: NhsNumber) -> bool {
        self.patients(unit).is_some_and(|known| {
            let mut numbers = [patient].into_iter().chain(known.others(patient).iter().copied());
            numbers.any(|number| known.facts(number).share_out == PatientWord::No)
        })
    }

    /// What is known of a patient at a unit, under this very number.
    pub fn facts(&self, unit: OdsCode, patient: NhsNumber) -> Facts {
        self.patients(unit)
            .map_or(Facts::default(), |known| known.facts(patient))
    }
}

fn sorted(lists: HashMap<OdsCode, Vec<OdsCode>>) -> HashMap<OdsCode, Arc<[OdsCode]>> {
    let sort = |mut list: Vec<OdsCode>| {
        list.sort_unstable();
        list.into()
    };
    lists.into_iter().map(|(key, list)| (key, sort(list))).collect()
}

/// Enters or strikes one unit in the list of another.
fn list(lists: &mut Arc<HashMap<OdsCode, Arc<[OdsCode]>>>, key: OdsCode, unit: OdsCode, listed: bool) {
    let now = lists.get(&key).map(AsRef::as_ref).unwrap_or_default();
    match (now.binary_search(&unit), listed) {
        (Ok(_), true) | (Err(_), false) => {}
        (Err(place), true) => {
            let mut longer = now.to_vec();
            longer.insert(place, unit);
            Arc::make_mut(lists).insert(key, longer.into());
        }
        (Ok(place), false) => {
            let mut shorter = now.to_vec();
            shorter.remove(place);
            Arc::make_mut(lists).insert(key, shorter.into());
        }
    }
}
