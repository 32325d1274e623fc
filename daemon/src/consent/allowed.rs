//! What the book says of an amendment: whether its grant is in force, what carries it, whether anything does.

use handfast_proto::amendment::Subject;

use super::{
    agreement::{GrantId, Pair},
    book::Book,
    carrier::{Carrier, Terms},
    gate::{Decision, Reason, Standing, refuse_pair},
};

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

impl Book {
    /// Whether a message of a grant may still be handed over at all.
    pub fn verdict(&self, pair: Pair, grant: GrantId) -> Verdict {
        let emergency = self.of_pair(pair).iter().any(|(g, _)| *g == grant);
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
        let of_pair = self.terms(pair);
        let terms = Terms::of(&of_pair, self.policy());
        if let Some((_, emergency)) = self.of_pair(pair).iter().find(|(g, _)| *g == grant) {
            return Some(Carrier::new(self, pair, terms, Some(*emergency)));
        }
        (of_pair.grant == Some(grant)).then(|| Carrier::new(self, pair, terms, None))
    }

    /// What the gate would say under these terms, whatever grant is in force.
    pub fn under(&self, pair: Pair, terms: Terms) -> Carrier<'_> {
        Carrier::new(self, pair, terms, None)
    }

    /// Whether any grant in force of the pair lets an amendment through.
    pub fn allows(&self, pair: Pair, subject: &Subject, now: i64) -> bool {
        let mut carriers = self.carriers(pair);
        carriers.any(|carrier| carrier.decide(subject, now) == Decision::Forward)
    }

    /// Whether any grant in force would let an amendment through if neither side were suspended: what a recipient
    /// may have once that is over, and holds meanwhile.
    pub fn allows_but_for_suspension(&self, pair: Pair, subject: &Subject, now: i64) -> bool {
        let mut carriers = self.carriers(pair).map(Carrier::if_none_were_suspended);
        carriers.any(|carrier| carrier.decide(subject, now) == Decision::Forward)
    }

    /// What carries amendments of a pair, of every grant in force.
    fn carriers(&self, pair: Pair) -> impl Iterator<Item = Carrier<'_>> {
        let emergencies = self.of_pair(pair).iter().map(|(grant, _)| *grant);
        let grants = self.terms(pair).grant.into_iter().chain(emergencies);
        grants.filter_map(move |grant| self.carrier(pair, grant))
    }

    /// Whether the recipient may hold an amendment that the pair let through at some time: it does so now, or
    /// did under terms of which the change is not through yet.
    pub fn may_be_held(&self, pair: Pair, subject: &Subject, now: i64) -> bool {
        let before = |terms: &Terms| self.under(pair, terms.without_end()).decide(subject, now);
        self.allows(pair, subject, now)
            || self
                .former_terms(pair)
                .iter()
                .any(|terms| before(terms) == Decision::Forward)
    }

    /// Whether a grant of the pair may have carried an amendment at some time since everything before the terms now,
    /// and those of which the change is not through yet, was through: an end that has passed and a suspension may
    /// have come after it went.
    pub fn may_have_gone(&self, pair: Pair, grant: GrantId, subject: &Subject, now: i64) -> bool {
        let opened = self.of_pair(pair).iter().find(|(g, _)| *g == grant);
        let emergency = opened.map(|(_, emergency)| *emergency);
        // Of an access whose end has passed its last moment counts.
        let now = emergency.map_or(now, |e| now.min(e.window.until - 1).max(e.window.from));
        let of_now = Terms::of(&self.terms(pair), self.policy());
        let mut terms = [of_now]
            .into_iter()
            .chain(self.former_terms(pair).iter().copied());
        terms.any(|terms| {
            let carrier = Carrier::new(self, pair, terms.without_end(), emergency).if_none_were_suspended();
            carrier.decide(subject, now) == Decision::Forward
        })
    }

    /// The pairs of which a half was ever set and that have no grant in force, and why nothing of them goes.
    pub fn without_grant(&self, now: i64) -> Vec<(Pair, Reason)> {
        let without = self.pairs().filter(|(_, terms)| terms.grant.is_none());
        let why = |(pair, terms)| {
            let carrier = self.under(pair, Terms::of(&terms, self.policy()));
            let (source, recipient, consents) = carrier.parts();
            refuse_pair(source, recipient, consents, now).map(|reason| (pair, reason))
        };
        without.filter_map(why).collect()
    }
}
