//! What carries amendments of a pair: the terms of its agreement, or an emergency access. Resolved once for
//! many amendments; then each is asked for its own patient.

use handfast_proto::{
    amendment::Subject,
    ids::{NhsNumber, OdsCode},
};

use super::{
    agreement::{HalfTerms, Pair, Side},
    book::{Book, PairTerms},
    emergency::Emergency,
    gate::{Consents, Decision, Party, Reason, Standing, asks_caseload, decide},
    patient::{PatientWord, Policy},
    patients::{Facts, UnitPatients},
};

/// The terms under which a pair's amendments are decided, without the patients' part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The source's half.
    pub share_out: HalfTerms,
    /// The recipient's half.
    pub share_in: HalfTerms,
    /// What the deployment asks of patients.
    pub policy: Policy,
}

impl Terms {
    /// Those of a pair.
    pub fn of(pair: &PairTerms, policy: Policy) -> Self {
        Self {
            share_out: pair.share_out,
            share_in: pair.share_in,
            policy,
        }
    }

    /// The same without an end to either half: what they let through while they held.
    #[must_use]
    pub fn without_end(self) -> Self {
        let open = |half: HalfTerms| HalfTerms {
            ends_at: None,
            ..half
        };
        Self {
            share_out: open(self.share_out),
            share_in: open(self.share_in),
            ..self
        }
    }
}

/// What is known of a patient on both sides of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    at_source: Facts,
    at_recipient: Facts,
}

/// What carries amendments of a pair.
#[derive(Debug)]
pub struct Carrier<'b> {
    source: Party,
    recipient: Party,
    consents: Consents,
    emergency: Option<Emergency>,
    at_source: Option<&'b UnitPatients>,
    at_recipient: Option<&'b UnitPatients>,
}

impl<'b> Carrier<'b> {
    pub(super) fn new(book: &'b Book, pair: Pair, terms: Terms, emergency: Option<Emergency>) -> Self {
        let party = |ods: OdsCode| Party {
            ods,
            standing: book.standing(ods),
        };
        let consents = Consents {
            share_out: terms.share_out,
            share_in: terms.share_in,
            policy: terms.policy,
            patient_out: PatientWord::NotRecorded,
            patient_in: PatientWord::NotRecorded,
            on_caseload: false,
            emergency: emergency.map(|e| e.window),
        };
        Self {
            source: party(pair.source),
            recipient: party(pair.recipient),
            consents,
            emergency,
            at_source: book.patients(pair.source).filter(|known| !known.is_empty()),
            at_recipient: book.patients(pair.recipient).filter(|known| !known.is_empty()),
        }
    }

    /// The same if neither side were suspended.
    #[must_use]
    pub fn if_none_were_suspended(mut self) -> Self {
        for party in [&mut self.source, &mut self.recipient] {
            if party.standing == Standing::Suspended {
                party.standing = Standing::Enrolled;
            }
        }
        self
    }

    /// Whether it carries amendments of this patient at all: an emergency access is for one patient, and follows
    /// them to the number that theirs became at the source, but never to somebody else who had it too.
    pub fn concerns(&self, subject: &Subject) -> bool {
        self.emergency.is_none_or(|emergency| {
            emergency.patient == subject.patient
                || self
                    .at_source
                    .is_some_and(|known| known.leads_to(emergency.patient, subject.patient))
        })
    }

    /// What is known of a patient: the part of a decision that waits for memory. Who has many to decide asks for all of
    /// them first, so that they are waited for together.
    #[inline]
    pub fn known(&self, patient: NhsNumber) -> Known {
        let facts = |at: Option<&UnitPatients>| at.map_or_else(Facts::default, |at| at.facts(patient));
        Known {
            at_source: facts(self.at_source),
            at_recipient: facts(self.at_recipient),
        }
    }

    /// What the gate says of an amendment. `now` is milliseconds since 1970-01-01T00:00:00Z.
    pub fn decide(&self, subject: &Subject, now: i64) -> Decision {
        self.decide_knowing(subject, self.known(subject.patient), now)
    }

    /// The same with what [`Carrier::known`] says of the subject's patient.
    pub fn decide_knowing(&self, subject: &Subject, known: Known, now: i64) -> Decision {
        let over = self
            .emergency
            .is_some_and(|emergency| !emergency.window.in_force(now));
        if over || !self.concerns(subject) {
            return Decision::Withhold(Reason::EmergencyOver);
        }
        let patient = subject.patient;
        let consents = Consents {
            patient_out: self.word(Side::ShareOut, patient, known.at_source),
            patient_in: self.word(Side::ShareIn, patient, known.at_recipient),
            on_caseload: asks_caseload(&self.consents) && known.at_recipient.on_caseload(),
            ..self.consents
        };
        decide(subject, &self.source, &self.recipient, &consents, now)
    }

    pub(super) fn parts(&self) -> (&Party, &Party, &Consents) {
        (&self.source, &self.recipient, &self.consents)
    }

    /// The patient's word on one side, where `facts` are known of them. A dissent under any number that the source, or
    /// the unit on this side, said is the patient's holds for all of them; a yes only under its own number.
    fn word(&self, side: Side, patient: NhsNumber, facts: Facts) -> PatientWord {
        let at = match side {
            Side::ShareOut => self.at_source,
            Side::ShareIn => self.at_recipient,
        };
        let Some(at) = at else {
            return PatientWord::NotRecorded;
        };
        let own = facts.word(side);
        if own == PatientWord::No {
            return own;
        }
        let no_under_another = |known: &UnitPatients| {
            let mut others = known.others(patient).iter();
            others.any(|number| at.facts(*number).word(side) == PatientWord::No)
        };
        if self.at_source.is_some_and(no_under_another) || no_under_another(at) {
            return PatientWord::No;
        }
        own
    }
}
