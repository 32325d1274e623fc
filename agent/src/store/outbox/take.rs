//! Decides what becomes of each change: an amendment, a repeat, older than what is held, waiting for its
//! patient, or refused. What speaks to the daemon goes on in `say`.
//!
//! Invariants: what is sent of a private entry or a restricted patient is its header alone; an amendment
//! that changes patient, category or confidentiality says what they were; when a Patient's number or
//! restriction changes, all its records are amended in the same transaction.

use bytes::Bytes;
use handfast_proto::amendment::{Amendment, Confidentiality, Op, Subject, Text};

use super::{
    OutboxError, Outcome, Refusal, WaitReason,
    patients::{self, Known, Resolution},
    records::{self, Candidate, Held, marks},
    unit_of_work::UnitOfWork,
    waiting,
};
use crate::codec::fhir::{Change, Content, Expected, FHIR_JSON, PatientLink, Said, Version};

impl UnitOfWork<'_> {
    /// Takes each change by itself.
    pub(super) async fn take(&mut self, changes: &[Change]) -> Result<Vec<Outcome>, OutboxError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            outcomes.push(Box::pin(self.take_one(change)).await?);
        }
        Ok(outcomes)
    }

    /// Takes all changes or, where one is refused, none. Consents go first, then Patients, because the order
    /// of entries in a FHIR transaction carries no meaning (FHIR R4, "HTTP": transaction): a Consent that waits
    /// for its Patient is taken before anything else of that Patient.
    pub(super) async fn take_all_or_none(&mut self, changes: &[Change]) -> Result<Vec<Outcome>, OutboxError> {
        let savepoint = self.savepoint().await?;
        let mut order: Vec<usize> = (0..changes.len()).collect();
        order.sort_by_key(|i| match changes.get(*i).map(|c| c.record.resource_type()) {
            Some("Consent") => 0,
            Some("Patient") => 1,
            _ => 2,
        });
        let mut outcomes = vec![Outcome::Rejected(Refusal::WithOthers); changes.len()];
        for index in order {
            let (Some(change), Some(place)) = (changes.get(index), outcomes.get_mut(index)) else {
                continue;
            };
            *place = Box::pin(self.take_one(change)).await?;
            if matches!(place, Outcome::Rejected(_)) {
                self.undo(savepoint).await?;
                let refused = place.clone();
                outcomes.fill(Outcome::Rejected(Refusal::WithOthers));
                if let Some(place) = outcomes.get_mut(index) {
                    *place = refused;
                }
                self.tally.rejected += outcomes.len() as u64;
                return Ok(outcomes);
            }
        }
        for (change, outcome) in changes.iter().zip(&mut outcomes) {
            self.look_again(change, outcome).await?;
        }
        self.release(savepoint).await?;
        Ok(outcomes)
    }

    /// A Consent that waited for a Patient of the same transaction waits no more.
    async fn look_again(&mut self, change: &Change, outcome: &mut Outcome) -> Result<(), OutboxError> {
        let Outcome::Waiting(_) = outcome else {
            return Ok(());
        };
        let Content::Put(version) = &change.content else {
            return Ok(());
        };
        let Some(Said::Consent(says)) = &version.said else {
            return Ok(());
        };
        if waiting::find(self.conn, change.record.as_str()).await?.is_some() {
            return Ok(());
        }
        if let Some(held) = records::find(self.conn, &change.record).await? {
            *outcome = Outcome::Said {
                seq: None,
                version: held.version,
                created: held.version == 1,
                note: says.note,
            };
        }
        Ok(())
    }

    async fn take_one(&mut self, change: &Change) -> Result<Outcome, OutboxError> {
        let held = records::find(self.conn, &change.record).await?;
        if let Some(refusal) = self.refusal(change, held.as_ref()) {
            return Ok(self.rejected(refusal));
        }
        let waits = match self.tally.waiting {
            0 => None,
            _ => waiting::find(self.conn, change.record.as_str()).await?,
        };
        let stamps = [
            held.as_ref().and_then(|h| h.last_updated),
            waits.and_then(|w| w.last_updated),
        ];
        let newest = stamps.into_iter().flatten().max();
        let older = matches!((change.last_updated, newest), (Some(this), Some(newest)) if this < newest);
        // A repeat of what is held is no loss, unless something newer waits that it would push out.
        let repeat = waits.is_none() && is_repeat(change, held.as_ref());
        if older && !repeat {
            self.tally.older += 1;
            return Ok(Outcome::Older);
        }
        match &change.content {
            Content::Retract => self.retract(change, held, waits.map(|w| w.id)).await,
            Content::Put(version) => self.put(change, version, held, waits.map(|w| w.id)).await,
        }
    }

    /// Counts it.
    pub(super) fn rejected(&mut self, refusal: Refusal) -> Outcome {
        self.tally.rejected += 1;
        Outcome::Rejected(refusal)
    }

    fn refusal(&self, change: &Change, held: Option<&Held>) -> Option<Refusal> {
        let live = held.filter(|h| h.live).map(|h| h.version);
        let as_expected = match change.expected {
            Expected::Anything => true,
            Expected::Version(version) => live == Some(version),
            Expected::Absent => live.is_none(),
        };
        if !as_expected {
            return Some(Refusal::VersionMismatch { held: live });
        }
        let bytes = match &change.content {
            Content::Put(version) => version.payload.len(),
            Content::Retract => 0,
        };
        let bound = self.limits.max_payload_bytes;
        (bytes > bound).then_some(Refusal::TooLarge { bytes, bound })
    }

    async fn put(
        &mut self,
        change: &Change,
        version: &Version,
        held: Option<Held>,
        waits: Option<i64>,
    ) -> Result<Outcome, OutboxError> {
        if let Some(said) = &version.said {
            return Box::pin(self.put_said(change, (version, said), held, waits)).await;
        }
        let held = match held {
            // A Consent that is a record now: what it said is over.
            Some(held) if held.live && held.said => {
                self.unsay(change, &held).await?;
                records::find(self.conn, &change.record).await?
            }
            other => other,
        };
        let candidate = candidate(change, version, self.now_ms);
        if change.aside
            && let Some(facts) = &version.facts
            && !waiting::is_awaited(self.conn, &change.record).await?
        {
            patients::set_aside(self.conn, change.record.id(), facts).await?;
            let reason = WaitReason::AsReceived;
            return self
                .wait(&candidate, &version.patient, held.as_ref(), waits, reason)
                .await;
        }
        let affected = match &version.facts {
            Some(facts) => patients::enter(self.conn, change.record.id(), facts).await?,
            None => Vec::new(),
        };
        if !affected.is_empty() {
            self.forget_patients();
            self.announce(&affected).await?;
        }
        let outcome = match self.resolve_own(&version.patient).await? {
            Resolution::Known(known) => {
                self.no_longer_waits(waits).await?;
                self.write(&candidate, held.as_ref(), &known).await?
            }
            Resolution::Wait(reason) => {
                self.wait(&candidate, &version.patient, held.as_ref(), waits, reason)
                    .await?
            }
        };
        self.settle(&affected).await?;
        Ok(outcome)
    }

    /// Lets a version wait for its patient.
    pub(super) async fn wait(
        &mut self,
        candidate: &Candidate,
        link: &PatientLink,
        held: Option<&Held>,
        waits: Option<i64>,
        reason: WaitReason,
    ) -> Result<Outcome, OutboxError> {
        let named = match link {
            PatientLink::Id(id) => Some(id),
            PatientLink::Number(_) => None,
        };
        // Back to what was sent before: nothing is to be sent, whoever the patient proves to be.
        let back =
            held.filter(|h| h.live && h.digest == Some(candidate.digest) && h.patient_id.as_ref() == named);
        if let Some(held) = back {
            self.no_longer_waits(waits).await?;
            return Ok(Outcome::Unchanged {
                version: held.version,
            });
        }
        if waits.is_none() {
            let bound = self.limits.max_waiting;
            if self.tally.waiting >= bound {
                return Ok(self.rejected(Refusal::TooManyWaiting { bound }));
            }
            self.tally.waiting += 1;
        }
        waiting::put(self.conn, candidate, &waiting::key(link), reason).await?;
        Ok(Outcome::Waiting(reason))
    }

    /// It was taken, or nothing is left to wait for.
    pub(super) async fn no_longer_waits(&mut self, id: Option<i64>) -> Result<(), OutboxError> {
        if let Some(id) = id {
            waiting::remove(self.conn, id).await?;
            self.tally.waiting = self.tally.waiting.saturating_sub(1);
        }
        Ok(())
    }

    /// Makes a version the one held, and an amendment of it unless it is a repeat.
    pub(super) async fn write(
        &mut self,
        candidate: &Candidate,
        held: Option<&Held>,
        known: &Known,
    ) -> Result<Outcome, OutboxError> {
        let subject = Subject {
            patient: known.number,
            category: candidate.category,
            confidentiality: marks(candidate.private, known.restricted),
        };
        let live = held.filter(|h| h.live);
        if let Some(held) = live
            && held.digest == Some(candidate.digest)
            && held.subject == Some(subject)
            && held.patient_id.as_ref() == Some(&known.patient_id)
        {
            if let Some(stamp) = candidate
                .last_updated
                .filter(|s| held.last_updated.is_none_or(|h| h < *s))
            {
                records::touch(self.conn, held.id, stamp).await?;
            }
            return Ok(Outcome::Unchanged {
                version: held.version,
            });
        }
        let version = held.map_or(0, |h| h.version) + 1;
        records::put(self.conn, candidate, version, &known.patient_id, &subject).await?;
        let stays = subject.confidentiality != Confidentiality::NORMAL;
        let amendment = Amendment {
            op: if live.is_some() { Op::Amend } else { Op::Create },
            record: candidate.record.clone(),
            subject: Some(subject),
            former: live.and_then(|h| h.subject).filter(|former| *former != subject),
            // Who recorded what is not to leave may already say what it is about.
            author: if stays {
                Text::default()
            } else {
                candidate.author.clone()
            },
            recorded_at: candidate.recorded_at,
            content_type: candidate.content_type.clone(),
            payload: if stays {
                Bytes::new()
            } else {
                candidate.payload.clone()
            },
        };
        let seq = self.numbering.push(self.conn, &amendment).await?;
        Ok(Outcome::Taken {
            seq,
            version,
            created: live.is_none(),
        })
    }

    async fn retract(
        &mut self,
        change: &Change,
        held: Option<Held>,
        waits: Option<i64>,
    ) -> Result<Outcome, OutboxError> {
        let before = held.as_ref().map_or(0, |h| h.version);
        if change.record.resource_type() == "AuditEvent" {
            // What was viewed was viewed.
            return Ok(Outcome::Unchanged { version: before });
        }
        self.no_longer_waits(waits).await?;
        let recorded_at = change.last_updated.unwrap_or(self.now_ms);
        let outcome = match held.filter(|h| h.live) {
            Some(held) if held.said => self.unsay(change, &held).await?,
            Some(held) => self.retract_record(change, &held).await?,
            None => {
                // Nothing was sent; but a version older than this must not come back to life.
                if change.last_updated.is_some() {
                    records::entomb(
                        self.conn,
                        &change.record,
                        before,
                        change.last_updated,
                        recorded_at,
                    )
                    .await?;
                }
                Outcome::Unchanged { version: before }
            }
        };
        if change.record.resource_type() == "Patient" {
            let affected = patients::retract(self.conn, change.record.id()).await?;
            self.forget_patients();
            self.announce(&affected).await?;
            self.settle(&affected).await?;
        }
        Ok(outcome)
    }

    /// Retracts a record that is held, and says so to everyone who may have it.
    pub(super) async fn retract_record(
        &mut self,
        change: &Change,
        held: &Held,
    ) -> Result<Outcome, OutboxError> {
        let version = held.version + 1;
        let recorded_at = change.last_updated.unwrap_or(self.now_ms);
        let amendment = Amendment {
            op: Op::Retract,
            record: change.record.clone(),
            subject: held.subject,
            former: None,
            author: change.author.clone(),
            recorded_at,
            content_type: Text::default(),
            payload: Bytes::new(),
        };
        records::entomb(
            self.conn,
            &change.record,
            version,
            change.last_updated,
            recorded_at,
        )
        .await?;
        let seq = self.numbering.push(self.conn, &amendment).await?;
        Ok(Outcome::Taken {
            seq,
            version,
            created: false,
        })
    }
}

fn is_repeat(change: &Change, held: Option<&Held>) -> bool {
    match &change.content {
        Content::Put(version) => held.is_some_and(|h| h.live && h.digest == Some(version.digest)),
        Content::Retract => held.is_some_and(|h| !h.live),
    }
}

/// A version on its way into the file.
pub(super) fn candidate(change: &Change, version: &Version, now_ms: i64) -> Candidate {
    Candidate {
        record: change.record.clone(),
        category: version.category,
        private: version.private,
        digest: version.digest,
        last_updated: change.last_updated,
        recorded_at: change.last_updated.unwrap_or(now_ms),
        author: change.author.clone(),
        content_type: Text::new(FHIR_JSON).unwrap_or_default(),
        payload: version.payload.clone(),
        statement: None,
    }
}
