//! What speaks to the daemon: Consents and views, taken like records, numbered like amendments, each alone
//! in its batch.
//!
//! Invariants: a Consent's word is in the stream before any later amendment of the unit; a permit is in
//! force for a number only while a Consent of a Patient whose number can be relied on says so; a denial ends
//! only where its Consent says so, not where it says something that cannot be honoured.
//!
//! A number can be relied on where the unit's own Patient has it, where the Consent itself gives it and no Patient of
//! the unit's own claims it, and where another unit's Patient was received under it.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Category, Confidentiality, Op, Subject, Text},
    ids::{NhsNumber, RecordId},
    statement::{PatientWord, STATEMENT_TYPE, Statement, View, WordSide},
    v1::PatientWordValue,
};

use super::{
    OutboxError, Outcome, Refusal, WaitReason,
    patients::{self, Known, Resolution},
    records::{self, Candidate, Held},
    statements::{self, Spoken},
    take::candidate,
    unit_of_work::UnitOfWork,
    waiting, words,
};
use crate::codec::fhir::{
    Change, ConsentNote, ConsentSays, ConsentWord, PatientLink, Said, Version, ViewSaid,
};

impl UnitOfWork<'_> {
    /// Takes a version of what speaks to the daemon.
    pub(super) async fn put_said(
        &mut self,
        change: &Change,
        (version, said): (&Version, &Said),
        held: Option<Held>,
        waits: Option<i64>,
    ) -> Result<Outcome, OutboxError> {
        let held = match held {
            // It was sent as a record: that ends first.
            Some(held) if held.live && !held.said => {
                self.retract_record(change, &held).await?;
                records::find(self.conn, &change.record).await?
            }
            other => other,
        };
        let mut candidate = candidate(change, version, self.now_ms);
        candidate.statement = Some(statement_of(said, self.now_ms).encode().into());
        match said {
            Said::Consent(says) => {
                self.put_consent(&candidate, (version, says), held.as_ref(), waits)
                    .await
            }
            Said::View(_) => {
                // A report is passed on and not kept.
                candidate.payload = Bytes::new();
                self.put_view(&candidate, version, held.as_ref(), waits).await
            }
        }
    }

    async fn put_consent(
        &mut self,
        candidate: &Candidate,
        (version, says): (&Version, &ConsentSays),
        held: Option<&Held>,
        waits: Option<i64>,
    ) -> Result<Outcome, OutboxError> {
        if says.takes_back_only() {
            self.no_longer_waits(waits).await?;
            return self.write_word(candidate, held, None, says.note).await;
        }
        let said_of = self.resolve_word(&version.patient, says, (&candidate.record, held));
        match said_of.await? {
            Resolution::Known(known) => {
                self.no_longer_waits(waits).await?;
                self.write_word(candidate, held, Some(&known), says.note).await
            }
            Resolution::Wait(reason) => {
                // It no longer permits what it said before, whoever its patient proves to be.
                let numbers = words::numbers(self.conn, &candidate.record).await?;
                words::point(self.conn, &candidate.record, None).await?;
                self.say(&numbers).await?;
                self.wait(candidate, &version.patient, held, waits, reason).await
            }
        }
    }

    /// Whose a Consent is. What the unit knows of its own Patients goes before what was received; but a word makes
    /// no Patient the unit's own, so one that was set aside is left there.
    async fn resolve_word(
        &mut self,
        link: &PatientLink,
        says: &ConsentSays,
        (record, held): (&RecordId, Option<&Held>),
    ) -> Result<Resolution, OutboxError> {
        let own = self.resolve(link).await?;
        if own != Resolution::Wait(WaitReason::NotSeen) {
            return Ok(own);
        }
        let known = |number, is_copys| {
            Resolution::Known(Known {
                patient_id: waiting::key(link),
                number,
                restricted: false,
                is_copys,
            })
        };
        let id = match link {
            PatientLink::Number(number) => return Ok(known(*number, false)),
            PatientLink::Id(id) => id,
        };
        if patients::is_own(self.conn, id).await? {
            return Ok(own);
        }
        if let Some(number) = says.received {
            return Ok(known(number, true));
        }
        // What it was said about may be gone by now, because it was said.
        if held.is_some_and(|h| h.live && h.patient_id.as_ref() == Some(id))
            && let Some(number) = words::copys_number(self.conn, record).await?
        {
            return Ok(known(number, true));
        }
        self.resolve_own(link).await
    }

    async fn put_view(
        &mut self,
        candidate: &Candidate,
        version: &Version,
        held: Option<&Held>,
        waits: Option<i64>,
    ) -> Result<Outcome, OutboxError> {
        if let Some(held) = held.filter(|h| h.live) {
            return Ok(match held.digest == Some(candidate.digest) {
                true => Outcome::Unchanged {
                    version: held.version,
                },
                false => self.rejected(Refusal::ReportedBefore),
            });
        }
        let number = match &version.patient {
            // Of whom nothing but what was received may be known.
            PatientLink::Number(number) => *number,
            PatientLink::Id(_) => match self.resolve(&version.patient).await? {
                Resolution::Known(known) => known.number,
                Resolution::Wait(reason) => {
                    return self.wait(candidate, &version.patient, held, waits, reason).await;
                }
            },
        };
        self.no_longer_waits(waits).await?;
        self.write_view(candidate, number).await
    }

    /// Takes what waited until its patient was known.
    pub(super) async fn write_said(
        &mut self,
        candidate: &Candidate,
        known: &Known,
    ) -> Result<(), OutboxError> {
        let held = records::find(self.conn, &candidate.record).await?;
        if candidate.record.resource_type() == "AuditEvent" {
            self.write_view(candidate, known.number).await?;
        } else {
            self.write_word(candidate, held.as_ref(), Some(known), None)
                .await?;
        }
        Ok(())
    }

    async fn write_view(&mut self, candidate: &Candidate, number: NhsNumber) -> Result<Outcome, OutboxError> {
        let Some(body) = &candidate.statement else {
            return Err(OutboxError::Damaged("a view says nothing".to_owned()));
        };
        records::put_said(self.conn, candidate, 1, (None, Some(number)), body).await?;
        let seq = self
            .push_statement(&candidate.record, number, body.clone())
            .await?;
        Ok(Outcome::Said {
            seq: Some(seq),
            version: 1,
            created: true,
            note: None,
        })
    }

    /// Makes a version of a Consent the one held, and says what follows. `known`: whose it is; `None` where
    /// it only takes back.
    async fn write_word(
        &mut self,
        candidate: &Candidate,
        held: Option<&Held>,
        known: Option<&Known>,
        note: Option<ConsentNote>,
    ) -> Result<Outcome, OutboxError> {
        let record = &candidate.record;
        let live = held.filter(|h| h.live);
        let same_patient = |h: &Held| match known {
            Some(known) => h.patient_id.as_ref() == Some(&known.patient_id),
            None => true,
        };
        let repeat = live.is_some_and(|h| h.digest == Some(candidate.digest) && same_patient(h));
        let mut numbers = words::numbers(self.conn, record).await?;
        let mut version = held.map_or(0, |h| h.version);
        if repeat {
            if let (Some(held), Some(stamp)) = (live, candidate.last_updated) {
                records::touch(self.conn, held.id, stamp.max(held.last_updated.unwrap_or(stamp))).await?;
            }
        } else {
            version += 1;
            let statement = self.carried(candidate).await?;
            let patient_id = known.map(|k| k.patient_id.as_str());
            // Not that of one that is gone: what is said anew may be another patient's.
            let patient_id = patient_id.or_else(|| live.and_then(|h| h.patient_id.as_deref()));
            records::put_said(self.conn, candidate, version, (patient_id, None), &statement).await?;
        }
        if let Some(known) = known {
            if !live.is_none_or(same_patient) {
                words::forget(self.conn, record).await?;
            }
            words::point(self.conn, record, Some((known.number, known.is_copys))).await?;
            numbers.push(known.number);
        }
        let seq = self.say(&numbers).await?;
        Ok(match seq {
            None if repeat => Outcome::Unchanged { version },
            seq => Outcome::Said {
                seq,
                version,
                created: live.is_none(),
                note,
            },
        })
    }

    /// What a version says, given what the one before said: a denial outlasts what cannot be honoured.
    async fn carried(&mut self, candidate: &Candidate) -> Result<Bytes, OutboxError> {
        let new = candidate.statement.clone().unwrap_or_default();
        if Statement::decode(&new).is_ok() {
            return Ok(new);
        }
        let before = words::of_record(self.conn, &candidate.record).await?;
        Ok(match before.filter(|word| word.word == PatientWordValue::No) {
            Some(denial) => Statement::PatientWord(denial).encode().into(),
            None => new,
        })
    }

    /// A Consent is gone, and with it what it said.
    pub(super) async fn unsay(&mut self, change: &Change, held: &Held) -> Result<Outcome, OutboxError> {
        let version = held.version + 1;
        let at = change.last_updated.unwrap_or(self.now_ms);
        records::entomb(self.conn, &change.record, version, change.last_updated, at).await?;
        let numbers = words::numbers(self.conn, &change.record).await?;
        words::forget(self.conn, &change.record).await?;
        Ok(Outcome::Said {
            seq: self.say(&numbers).await?,
            version,
            created: false,
            note: None,
        })
    }

    /// The Patient whom a Consent names was received under another number.
    pub(super) async fn follow_copy(
        &mut self,
        record: &RecordId,
        number: NhsNumber,
    ) -> Result<(), OutboxError> {
        if words::copys_number(self.conn, record).await?.is_none() {
            // It was taken anew meanwhile, or is gone.
            return Ok(());
        }
        let mut numbers = words::numbers(self.conn, record).await?;
        words::point(self.conn, record, Some((number, true))).await?;
        numbers.push(number);
        self.say(&numbers).await.map(|_| ())
    }

    /// Says what is due to these numbers; gives the seq of the last statement.
    pub(super) async fn say(&mut self, numbers: &[NhsNumber]) -> Result<Option<u64>, OutboxError> {
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        let mut last_seq = None;
        for number in numbers {
            let held = words::of_number(self.conn, number).await?;
            let mut due: Vec<Spoken> = Vec::new();
            for side in WordSide::BOTH {
                let last = statements::last(self.conn, side, number).await?;
                let Some(next) = words::due(last.as_ref(), words::counting(&held, side), side) else {
                    continue;
                };
                match due.iter_mut().find(|d| is_same_but_side(d, &next)) {
                    Some(one) => one.word.sides.push(side),
                    None => due.push(next),
                }
            }
            for spoken in due {
                let body = Statement::PatientWord(spoken.word.clone()).encode();
                let seq = self.push_statement(&spoken.record, number, body.into()).await?;
                statements::put_word(self.conn, number, &spoken, seq).await?;
                last_seq = Some(seq);
            }
        }
        Ok(last_seq)
    }

    /// Says that the records of a Patient stood under another number, unless that was said before.
    pub(super) async fn say_moved(
        &mut self,
        patient_id: &str,
        former: NhsNumber,
        current: NhsNumber,
    ) -> Result<(), OutboxError> {
        if statements::has_moved(self.conn, former, current).await? {
            return Ok(());
        }
        let record = RecordId::new("Patient", patient_id)
            .map_err(|_| OutboxError::Damaged("a Patient's id is invalid".to_owned()))?;
        let body = Statement::NumberMoved { former, current }.encode();
        let seq = self.push_statement(&record, current, body.into()).await?;
        statements::put_moved(self.conn, &record, (former, current), seq).await
    }

    /// Gives a statement its seq.
    pub(super) async fn push_statement(
        &mut self,
        record: &RecordId,
        patient: NhsNumber,
        body: Bytes,
    ) -> Result<u64, OutboxError> {
        let amendment = Amendment {
            op: Op::Statement,
            record: record.clone(),
            subject: Some(Subject {
                patient,
                category: Category::Administrative,
                confidentiality: Confidentiality::NORMAL,
            }),
            former: None,
            author: Text::default(),
            recorded_at: self.now_ms,
            content_type: Text::new(STATEMENT_TYPE).unwrap_or_default(),
            payload: body,
        };
        self.numbering.push(self.conn, &amendment).await
    }
}

fn is_same_but_side(one: &Spoken, other: &Spoken) -> bool {
    let (a, b) = (&one.word, &other.word);
    one.record == other.record
        && (a.word, a.said_at, a.manner, &a.taken_by) == (b.word, b.said_at, b.manner, &b.taken_by)
}

/// What a resource says, as it travels. What was said in the future was said now.
fn statement_of(said: &Said, now_ms: i64) -> Statement {
    match said {
        Said::Consent(says) => Statement::PatientWord(PatientWord {
            sides: says.sides.clone(),
            word: match says.word {
                ConsentWord::Yes => PatientWordValue::Yes,
                ConsentWord::No => PatientWordValue::No,
                ConsentWord::Ended => PatientWordValue::Ended,
                ConsentWord::Nothing => PatientWordValue::Unspecified,
            },
            said_at: says.said_at.unwrap_or(now_ms).min(now_ms),
            manner: says.manner,
            taken_by: says.taken_by.clone(),
        }),
        Said::View(view) => Statement::View(view_of(view, now_ms)),
    }
}

fn view_of(view: &ViewSaid, now_ms: i64) -> View {
    View {
        person: view.person.clone(),
        permission: view.permission.clone(),
        reason: view.reason.clone(),
        source: view.source,
        viewed_at: view.viewed_at.min(now_ms),
    }
}
