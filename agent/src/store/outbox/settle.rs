//! What follows when a Patient changes: numbers that moved are said, words count for other numbers, records
//! move or are held back, and what waited is taken.
//!
//! Invariants: that a number moved, and what patients said, is in the stream before any record that follows
//! from it; while a number cannot be relied on, nothing that was sent under it stays with recipients.
//!
//! What is taken back is amended with the mark "restricted" and without its payload, not retracted: a
//! retraction would say that the source no longer stands by the record, while recipients are to see that
//! something was withdrawn; and an amendment names what the record was before, so that it is removed where
//! it had gone and comes back, with its payload, once the number can be relied on again.

use handfast_proto::ids::NhsNumber;

use super::{
    OutboxError, WaitReason,
    patients::{self, Resolution},
    records,
    unit_of_work::UnitOfWork,
    waiting, words,
};
use crate::codec::fhir::PatientLink;

impl UnitOfWork<'_> {
    /// Whose an entry of the unit's own is. A Patient that was set aside counts once such an entry names it.
    pub(super) async fn resolve_own(&mut self, link: &PatientLink) -> Result<Resolution, OutboxError> {
        let resolution = self.resolve(link).await?;
        let PatientLink::Id(id) = link else {
            return Ok(resolution);
        };
        if resolution != Resolution::Wait(WaitReason::NotSeen) || self.tally.waiting == 0 {
            return Ok(resolution);
        }
        let Some(affected) = patients::adopt(self.conn, id).await? else {
            return Ok(resolution);
        };
        self.forget_patients();
        self.announce(&affected).await?;
        self.settle(&affected).await?;
        self.resolve(link).await
    }

    /// Says what these Patients' changes mean to the daemon, before any of their records is amended.
    pub(super) async fn announce(&mut self, patients: &[String]) -> Result<(), OutboxError> {
        for id in patients {
            match patients::resolve_id(self.conn, id).await? {
                Resolution::Known(known) => {
                    for former in records::other_numbers(self.conn, id, known.number).await? {
                        self.say_moved(id, former, known.number).await?;
                    }
                    self.point_words(id, Some(known.number)).await?;
                    self.point_words(&waiting::number_key(known.number), Some(known.number))
                        .await?;
                    self.let_in(id, &known, true).await?;
                    self.let_in(&waiting::number_key(known.number), &known, true)
                        .await?;
                }
                Resolution::Wait(reason) if reason.is_doubt() => {
                    self.point_words(id, None).await?;
                    if let Some(number) = patients::claimed(self.conn, id).await? {
                        self.point_words(&waiting::number_key(number), None).await?;
                    }
                }
                Resolution::Wait(_) => {}
            }
        }
        Ok(())
    }

    /// The Consents of a Patient, or those that gave a number themselves, count for this number.
    async fn point_words(&mut self, key: &str, number: Option<NhsNumber>) -> Result<(), OutboxError> {
        let mut numbers = Vec::new();
        for record in words::of_patient(self.conn, key).await? {
            numbers.extend(words::numbers(self.conn, &record).await?);
            words::point(self.conn, &record, number.map(|n| (n, false))).await?;
            numbers.extend(words::numbers(self.conn, &record).await?);
        }
        self.say(&numbers).await.map(|_| ())
    }

    /// Brings the records of these Patients in step with who they are now, and takes what waited for them.
    pub(super) async fn settle(&mut self, patients: &[String]) -> Result<(), OutboxError> {
        for id in patients {
            match patients::resolve_id(self.conn, id).await? {
                Resolution::Known(known) => {
                    let number = Some(known.number);
                    self.realign_all(id, number, known.restricted).await?;
                    records::set_doubt(self.conn, id, None).await?;
                    self.let_in(id, &known, false).await?;
                    self.let_in(&waiting::number_key(known.number), &known, false)
                        .await?;
                }
                Resolution::Wait(reason) => {
                    // Who it is may be in doubt; that nothing of it is to leave is not. What was taken back
                    // stays so until it is known.
                    let restricted = patients::is_restricted(self.conn, id).await?;
                    if reason.is_doubt() || restricted {
                        self.realign_all(id, None, true).await?;
                    }
                    if reason.is_doubt() {
                        records::set_doubt(self.conn, id, Some(reason)).await?;
                    }
                    waiting::set_reason(self.conn, id, reason).await?;
                }
            }
        }
        Ok(())
    }

    async fn realign_all(
        &mut self,
        id: &str,
        number: Option<NhsNumber>,
        restricted: bool,
    ) -> Result<(), OutboxError> {
        for record in records::misaligned(self.conn, id, number, restricted).await? {
            self.realign(record, number, restricted).await?;
        }
        Ok(())
    }

    async fn realign(
        &mut self,
        record: i64,
        number: Option<NhsNumber>,
        restricted: bool,
    ) -> Result<(), OutboxError> {
        let Some(before) = records::amendment(self.conn, record).await? else {
            return Ok(());
        };
        let Some(former) = before.subject else {
            return Ok(());
        };
        let patient = number.unwrap_or(former.patient);
        records::realign(self.conn, record, patient, restricted).await?;
        // Read again: a payload that stayed before may go now, and the other way round.
        let Some(mut amendment) = records::amendment(self.conn, record).await? else {
            return Ok(());
        };
        amendment.former = Some(former);
        self.numbering.push(self.conn, &amendment).await?;
        Ok(())
    }

    /// Takes what waits under a key, in the order in which it came; only what speaks to the daemon where that
    /// is asked for.
    async fn let_in(
        &mut self,
        key: &str,
        known: &patients::Known,
        only_said: bool,
    ) -> Result<(), OutboxError> {
        if self.tally.waiting == 0 {
            return Ok(());
        }
        while let Some((id, candidate)) = waiting::first(self.conn, key, only_said).await? {
            self.no_longer_waits(Some(id)).await?;
            if candidate.statement.is_some() {
                self.write_said(&candidate, known).await?;
            } else {
                let held = records::find(self.conn, &candidate.record).await?;
                self.write(&candidate, held.as_ref(), known).await?;
            }
        }
        Ok(())
    }
}
