//! How inputs hand changes to the outbox: what the unit's clinical system only sends back of what it
//! received is set apart first.

use handfast_proto::ids::RecordId;

use super::{
    InputContext,
    copies::{Verdict, judge_late, judge_marked, judge_named, place_view, place_word},
};
use crate::{
    codec::fhir::{Change, Content, PatientLink, Said, is_derived_id},
    store::{
        inbox::{CopyOf, HeldCopy, InboxError},
        outbox::{Mark, OutboxError, Outcome, Refusal, WaitReason},
    },
};

impl InputContext {
    /// Takes each change by itself or, where `together`, all of them or none; durable when it returns, and
    /// with it the marks. One outcome for each change, in order.
    pub(super) async fn take(
        &self,
        mut changes: Vec<Change>,
        together: bool,
        marks: Vec<Mark>,
    ) -> Result<Vec<Outcome>, OutboxError> {
        let verdicts = self.judge(&mut changes).await?;
        let refused = verdicts.iter().any(|v| matches!(v, Verdict::Refused(_)));
        let (mut own, mut places) = (Vec::with_capacity(changes.len()), Vec::new());
        for (index, (mut change, verdict)) in changes.into_iter().zip(&verdicts).enumerate() {
            change.aside = matches!(verdict, Verdict::Aside { .. });
            if matches!(verdict, Verdict::Own | Verdict::Aside { .. }) && !(together && refused) {
                places.push(index);
                own.push(change);
            }
        }
        let taken = if own.is_empty() && marks.is_empty() {
            Vec::new()
        } else {
            self.outbox.take_marked(own, together, marks).await?
        };
        let none = together && (refused || taken.iter().any(|o| matches!(o, Outcome::Rejected(_))));
        let mut outcomes: Vec<Outcome> = verdicts.iter().map(|v| untaken(v, none)).collect();
        for (index, outcome) in places.into_iter().zip(taken) {
            if let Some(place) = outcomes.get_mut(index) {
                let exact = matches!(verdicts.get(index), Some(Verdict::Aside { exact: true }));
                *place = match outcome {
                    Outcome::Waiting(WaitReason::AsReceived) if exact => Outcome::Echo,
                    other => other,
                };
            }
        }
        // What the outbox did not see it did not count.
        let echoes = outcomes.iter().filter(|o| matches!(o, Outcome::Echo)).count();
        let rejected = |(outcome, verdict): &(&Outcome, &Verdict)| {
            let unseen = (together && refused) || matches!(verdict, Verdict::Refused(_) | Verdict::Echo);
            unseen && matches!(outcome, Outcome::Rejected(_))
        };
        let rejected = outcomes.iter().zip(&verdicts).filter(rejected).count();
        self.outbox.count_echoes(echoes as u64);
        self.outbox.count_rejected(rejected as u64);
        Ok(outcomes)
    }

    async fn judge(&self, changes: &mut [Change]) -> Result<Vec<Verdict>, OutboxError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let received = self.inbox.has_received().await.map_err(unreadable)?;
        let marked = |c: &Change| self.copy_of(c).is_some();
        if !received && !changes.iter().any(marked) {
            return Ok(vec![Verdict::Own; changes.len()]);
        }
        let questions: Vec<Question> = changes.iter().map(|c| self.question(c)).collect();
        let asked: Vec<CopyOf> = questions.iter().flat_map(|q| q.asked.clone()).collect();
        let mut found = self.inbox.copies(&asked).await.map_err(unreadable)?.into_iter();
        let mut answers = Vec::with_capacity(changes.len());
        for question in &questions {
            answers.push(found.by_ref().take(question.asked.len()).collect::<Vec<_>>());
        }
        let late = self.late(changes, &questions).await?;
        self.decide(changes, &questions, &answers, &late).await
    }

    /// Which of these are copies of what was held until lately.
    async fn late(&self, changes: &[Change], questions: &[Question]) -> Result<Vec<bool>, OutboxError> {
        let plain = |(change, question): (&Change, &Question)| match &change.content {
            Content::Put(version) if question.kind == Kind::Plain => Some(version.digest),
            _ => None,
        };
        let digests: Vec<Option<[u8; 32]>> = changes.iter().zip(questions).map(plain).collect();
        let names = changes.iter().map(|c| &c.record);
        let asked: Vec<_> = names
            .zip(&digests)
            .filter_map(|(name, d)| Some((name, (*d)?)))
            .collect();
        let found = self.inbox.were_removed(&asked).await.map_err(unreadable)?;
        let mut found = found.into_iter();
        let late = |asked: &Option<[u8; 32]>| asked.is_some() && found.next() == Some(true);
        Ok(digests.iter().map(late).collect())
    }

    async fn decide(
        &self,
        changes: &mut [Change],
        questions: &[Question],
        answers: &[Vec<Vec<HeldCopy>>],
        late: &[bool],
    ) -> Result<Vec<Verdict>, OutboxError> {
        // Only of what could be a copy is it asked whether it is the unit's own.
        let could_be = |index: usize| {
            answers
                .get(index)
                .is_some_and(|a| a.iter().any(|h| !h.is_empty()))
                || late.get(index) == Some(&true)
        };
        let doubtful: Vec<&Change> = (0..)
            .zip(changes.iter())
            .filter(|(i, _)| could_be(*i))
            .map(|(_, c)| c)
            .collect();
        let names: Vec<&RecordId> = doubtful.iter().map(|c| &c.record).collect();
        let ids: Vec<&str> = doubtful.iter().filter_map(|c| patient_id(c)).collect();
        let (own, mut patients) = if doubtful.is_empty() {
            Default::default()
        } else {
            (
                self.outbox.own_records(&names).await?,
                self.outbox.own_patients(&ids).await?,
            )
        };
        let mut verdicts = vec![Verdict::Own; changes.len()];
        // Patients first: what names one that comes with it names the unit's own.
        for of_patients in [true, false] {
            for ((((change, question), answer), late), verdict) in changes
                .iter_mut()
                .zip(questions)
                .zip(answers)
                .zip(late)
                .zip(&mut verdicts)
            {
                if (change.record.resource_type() == "Patient") != of_patients {
                    continue;
                }
                let own_patient = patient_id(change).is_some_and(|id| patients.contains(id));
                let own_record = own.contains(&change.record);
                *verdict = match late {
                    true if !own_record => judge_late(&change.record),
                    _ => verdict_of(change, (question, answer), own_patient, own_record),
                };
                if of_patients && *verdict == Verdict::Own {
                    patients.insert(change.record.id().to_owned());
                }
            }
        }
        Ok(verdicts)
    }

    /// Of what a change is marked as a copy.
    fn copy_of(&self, change: &Change) -> Option<CopyOf> {
        match &change.origin {
            Some((source, record)) if *source != self.unit => Some(CopyOf::Record(*source, record.clone())),
            _ if is_derived_id(change.record.id()) => Some(CopyOf::Target(change.record.clone())),
            _ => None,
        }
    }

    fn question(&self, change: &Change) -> Question {
        if let Some(copy) = self.copy_of(change) {
            return Question {
                kind: Kind::Marked,
                asked: vec![copy],
            };
        }
        let Content::Put(version) = &change.content else {
            return Question {
                kind: Kind::Plain,
                asked: Vec::new(),
            };
        };
        let patient = patient_id(change).and_then(|id| RecordId::new("Patient", id).ok());
        let view = match &version.said {
            Some(Said::View(view)) => view,
            Some(Said::Consent(_)) => {
                return Question {
                    kind: Kind::Word,
                    asked: patient.iter().map(looked_at).collect(),
                };
            }
            None => {
                return Question {
                    kind: Kind::Plain,
                    asked: vec![CopyOf::Named(change.record.clone())],
                };
            }
        };
        // Of other names it is not known whose they are.
        let is_a_copys = |r: &&RecordId| is_derived_id(r.id()) || uuid::Uuid::try_parse(r.id()).is_ok();
        let seen = view
            .seen
            .iter()
            .filter(|r| r.resource_type() != "Patient")
            .filter(is_a_copys);
        Question {
            kind: Kind::View,
            asked: patient.iter().chain(seen).map(looked_at).collect(),
        }
    }
}

fn verdict_of(
    change: &mut Change,
    (question, answer): (&Question, &[Vec<HeldCopy>]),
    own_patient: bool,
    own_record: bool,
) -> Verdict {
    let first = answer.first().map(Vec::as_slice).unwrap_or_default();
    match (question.kind, &change.content) {
        (Kind::Marked, _) => judge_marked(change, first.first()),
        (Kind::View, _) => judge_view(change, answer, own_patient),
        (Kind::Word, _) => {
            // The unit's own Patient is whom it means, whoever else has one of that name.
            if let (false, Content::Put(version)) = (own_patient, &mut change.content) {
                place_word(version, first);
            }
            Verdict::Own
        }
        (Kind::Plain, Content::Put(version)) if !first.is_empty() && !own_record => {
            judge_named(&change.record, version, first, own_patient)
        }
        (Kind::Plain, _) => Verdict::Own,
    }
}

/// What is asked of the inbox about a change.
struct Question {
    kind: Kind,
    asked: Vec<CopyOf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Marked,
    View,
    Word,
    Plain,
}

/// As what it is asked for in the inbox.
pub(super) fn looked_at(record: &RecordId) -> CopyOf {
    if is_derived_id(record.id()) {
        CopyOf::Target(record.clone())
    } else {
        CopyOf::Named(record.clone())
    }
}

/// The Patient's id that a version names.
fn patient_id(change: &Change) -> Option<&str> {
    match &change.content {
        Content::Put(version) => match &version.patient {
            PatientLink::Id(id) => Some(id),
            PatientLink::Number(_) => None,
        },
        Content::Retract => None,
    }
}

fn judge_view(change: &mut Change, answer: &[Vec<HeldCopy>], own_patient: bool) -> Verdict {
    let named = patient_id(change).map(is_derived_id);
    let Content::Put(version) = &mut change.content else {
        return Verdict::Own;
    };
    let (patients, seen) = match named {
        Some(_) => answer.split_at_checked(1).unwrap_or_default(),
        None => (&[][..], answer),
    };
    let patients = patients.first().map(Vec::as_slice).unwrap_or_default();
    if named == Some(true) && patients.is_empty() {
        return Verdict::Refused(Refusal::LostCopy);
    }
    // The unit's own Patient is whom it means, whoever else has one of that name.
    let patients = if own_patient { &[] } else { patients };
    place_view(version, patients, &seen.concat());
    Verdict::Own
}

fn untaken(verdict: &Verdict, none: bool) -> Outcome {
    match verdict {
        Verdict::Refused(refusal) => Outcome::Rejected(*refusal),
        Verdict::Echo if !none => Outcome::Echo,
        Verdict::Own | Verdict::Aside { .. } | Verdict::Echo => Outcome::Rejected(Refusal::WithOthers),
    }
}

fn unreadable(error: InboxError) -> OutboxError {
    OutboxError::Io(format!("what was received cannot be compared with: {error}"))
}
