//! The book: every consent in force, as one immutable value that the fence swaps.
//!
//! Invariants: a pair's `grant` is there only where both halves of the pair are on; a pair that is not in the
//! book has both halves off; `epoch` rises with each swap. A copy shares what did not change.

use std::{collections::HashMap, sync::Arc};

use handfast_proto::{
    amendment::Subject,
    ids::{NhsNumber, OdsCode},
};

use super::{
    agreement::{GrantId, HalfTerms, Pair},
    carrier::{Carrier, Terms},
    emergency::Emergency,
    gate::{Decision, Reason, Standing, refuse_pair},
    patient::Policy,
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

/// What the book says of one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Its grant is in force: ask for each amendment.
    InForce,
    /// Its grant has ended: nothing of it goes any more.
    Ended,
    /// A side of the pair is suspended: it waits.
    Paused,
}

/// Every consent in force.
#[derive(Clone, Debug, Default)]
pub struct Book {
    epoch: u64,
    policy: Policy,
    units: Arc<HashMap<OdsCode, Standing>>,
    pairs: Arc<HashMap<Pair, PairTerms>>,
    recipients: Arc<HashMap<OdsCode, Arc<[OdsCode]>>>,
    sources: Arc<HashMap<OdsCode, Arc<[OdsCode]>>>,
    emergencies: Arc<HashMap<GrantId, Emergency>>,
    patients: Arc<HashMap<OdsCode, UnitPatients>>,
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

    /// The book after a unit said that two numbers are one patient's.
    #[must_use]
    pub fn with_joined(&self, unit: OdsCode, one: NhsNumber, other: NhsNumber) -> Self {
        let mut next = self.next();
        Arc::make_mut(&mut next.patients)
            .entry(unit)
            .or_default()
            .join(one, other);
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

    /// The book after an emergency access began (or ended: `None`).
    #[must_use]
    pub fn with_emergency(&self, grant: GrantId, emergency: Option<Emergency>) -> Self {
        let mut next = self.next();
        let all = Arc::make_mut(&mut next.emergencies);
        match emergency {
            Some(emergency) => all.insert(grant, emergency),
            None => all.remove(&grant),
        };
        next
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
            .iter()
            .map(|(grant, emergency)| (*grant, *emergency))
    }

    /// What is known of a unit's patients.
    pub fn patients(&self, unit: OdsCode) -> Option<&UnitPatients> {
        self.patients.get(&unit)
    }

    /// What is known of a patient at a unit, under this very number.
    pub fn facts(&self, unit: OdsCode, patient: NhsNumber) -> Facts {
        self.patients(unit)
            .map_or(Facts::default(), |known| known.facts(patient))
    }

    /// Whether a message of a grant may still be handed over at all.
    pub fn verdict(&self, pair: Pair, grant: GrantId) -> Verdict {
        let emergency = self.emergencies.get(&grant).is_some_and(|e| e.pair == pair);
        if !emergency && self.terms(pair).grant != Some(grant) {
            return Verdict::Ended;
        }
        match (self.standing(pair.source), self.standing(pair.recipient)) {
            (Standing::Enrolled, Standing::Enrolled) => Verdict::InForce,
            _ => Verdict::Paused,
        }
    }

    /// What carries a message of a grant, to be asked for each amendment. `None` where the grant has ended.
    pub fn carrier(&self, pair: Pair, grant: GrantId) -> Option<Carrier<'_>> {
        if let Some(emergency) = self.emergencies.get(&grant).filter(|e| e.pair == pair) {
            let terms = Terms::of(&self.terms(pair), self.policy);
            return Some(Carrier::new(self, pair, terms, Some(*emergency)));
        }
        let terms = self.terms(pair);
        (terms.grant == Some(grant)).then(|| Carrier::new(self, pair, Terms::of(&terms, self.policy), None))
    }

    /// What the gate would say under these terms, whatever grant is in force.
    pub fn under(&self, pair: Pair, terms: Terms) -> Carrier<'_> {
        Carrier::new(self, pair, terms, None)
    }

    /// Whether any grant in force of the pair lets an amendment through.
    pub fn allows(&self, pair: Pair, subject: &Subject, now: i64) -> bool {
        let terms = self.terms(pair);
        let by_agreement = terms.grant.is_some()
            && self
                .under(pair, Terms::of(&terms, self.policy))
                .decide(subject, now)
                == Decision::Forward;
        by_agreement || self.allows_by_emergency(pair, subject, now)
    }

    fn allows_by_emergency(&self, pair: Pair, subject: &Subject, now: i64) -> bool {
        let of_pair = self.emergencies.iter().filter(|(_, e)| e.pair == pair);
        let mut carriers = of_pair.filter_map(|(grant, _)| self.carrier(pair, *grant));
        carriers.any(|c| c.concerns(subject) && c.decide(subject, now) == Decision::Forward)
    }

    /// The pairs of which a half was ever set and that have no grant in force, and why nothing of them goes.
    pub fn without_grant(&self, now: i64) -> Vec<(Pair, Reason)> {
        let without = self.pairs.iter().filter(|(_, terms)| terms.grant.is_none());
        let why = |(pair, terms): (&Pair, &PairTerms)| {
            let carrier = self.under(*pair, Terms::of(terms, self.policy));
            let (source, recipient, consents) = carrier.parts();
            refuse_pair(source, recipient, consents, now).map(|reason| (*pair, reason))
        };
        without.filter_map(why).collect()
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
