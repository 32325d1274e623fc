//! The book: every consent in force, as one immutable value that the fence swaps.
//!
//! Invariants: `grant` is there only where both halves of the pair are on; a pair that is not in the book
//! has both halves off; `epoch` rises with each swap.

use std::{collections::HashMap, sync::Arc};

use handfast_proto::{amendment::Subject, ids::OdsCode};

use super::{
    agreement::{GrantId, HalfTerms, Pair},
    gate::{Consents, Decision, Party, Reason, Standing, decide, refuse_pair},
    patient::{PatientWord, Policy},
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
    units: HashMap<OdsCode, Standing>,
    pairs: HashMap<Pair, PairTerms>,
    recipients: HashMap<OdsCode, Arc<[OdsCode]>>,
}

impl Book {
    /// The book of a deployment as its store has it.
    pub fn new(
        policy: Policy,
        units: impl IntoIterator<Item = (OdsCode, Standing)>,
        pairs: impl IntoIterator<Item = (Pair, PairTerms)>,
    ) -> Self {
        let mut book = Self {
            policy,
            units: units.into_iter().collect(),
            pairs: pairs.into_iter().collect(),
            ..Self::default()
        };
        let sources: Vec<OdsCode> = book.units.keys().copied().collect();
        for source in sources {
            book.index(source);
        }
        book
    }

    /// Rises with each change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The book after a change of one pair.
    #[must_use]
    pub fn with_pair(&self, pair: Pair, terms: PairTerms) -> Self {
        let mut next = self.clone();
        next.epoch += 1;
        next.pairs.insert(pair, terms);
        next.index(pair.source);
        next
    }

    /// The book after a change of how a unit stands.
    #[must_use]
    pub fn with_unit(&self, ods: OdsCode, standing: Standing) -> Self {
        let mut next = self.clone();
        next.epoch += 1;
        next.units.insert(ods, standing);
        next
    }

    /// How a unit stands.
    pub fn standing(&self, ods: OdsCode) -> Standing {
        self.units.get(&ods).copied().unwrap_or(Standing::NotEnrolled)
    }

    /// The terms of a pair; both halves off where nobody ever set one.
    pub fn terms(&self, pair: Pair) -> PairTerms {
        let nothing = PairTerms {
            share_out: HalfTerms::OFF,
            share_in: HalfTerms::OFF,
            grant: None,
        };
        self.pairs.get(&pair).copied().unwrap_or(nothing)
    }

    /// The recipients with a grant in force from a source.
    pub fn recipients_of(&self, source: OdsCode) -> Arc<[OdsCode]> {
        self.recipients.get(&source).cloned().unwrap_or_default()
    }

    /// Whether a message of a grant may still be handed over at all.
    pub fn verdict(&self, pair: Pair, grant: GrantId) -> Verdict {
        if self.terms(pair).grant != Some(grant) {
            return Verdict::Ended;
        }
        match (self.standing(pair.source), self.standing(pair.recipient)) {
            (Standing::Enrolled, Standing::Enrolled) => Verdict::InForce,
            _ => Verdict::Paused,
        }
    }

    /// What the gate says of an amendment of a pair. Closed: without a grant in force nothing goes.
    pub fn decide(&self, pair: Pair, terms: &PairTerms, subject: &Subject, now: i64) -> Decision {
        let (source, recipient, consents) = self.read(pair, terms);
        match decide(subject, &source, &recipient, &consents, now) {
            Decision::Forward if terms.grant.is_none() => Decision::Withhold(Reason::ShareOutOff),
            decision => decision,
        }
    }

    /// The pairs of which a half was ever set and that have no grant in force, and why nothing of them goes.
    pub fn without_grant(&self, now: i64) -> Vec<(Pair, Reason)> {
        let without = self.pairs.iter().filter(|(_, terms)| terms.grant.is_none());
        let why = |(pair, terms): (&Pair, &PairTerms)| {
            let (source, recipient, consents) = self.read(*pair, terms);
            refuse_pair(&source, &recipient, &consents, now).map(|reason| (*pair, reason))
        };
        without.filter_map(why).collect()
    }

    fn read(&self, pair: Pair, terms: &PairTerms) -> (Party, Party, Consents) {
        let party = |ods| Party {
            ods,
            standing: self.standing(ods),
        };
        let consents = Consents {
            share_out: terms.share_out,
            share_in: terms.share_in,
            policy: self.policy,
            patient_out: PatientWord::NotRecorded,
            patient_in: PatientWord::NotRecorded,
            on_caseload: false,
            emergency: None,
        };
        (party(pair.source), party(pair.recipient), consents)
    }

    fn index(&mut self, source: OdsCode) {
        let list = self
            .pairs
            .iter()
            .filter(|(p, t)| p.source == source && t.grant.is_some());
        let recipients: Arc<[OdsCode]> = list.map(|(p, _)| p.recipient).collect();
        self.recipients.insert(source, recipients);
    }
}
