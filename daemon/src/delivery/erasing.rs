//! Payloads that are not to be kept: those of patients who said no at the source, and what records were before
//! they were marked as not to leave. Where a dissent ends, what was erased is asked for again.
//!
//! Invariants: what is due is in the store, or follows from it: words are, and of whom there are payloads still;
//! what records turn private is noted before they are projected, as are later payloads of who dissents. So a
//! crash loses nothing of it. What is erased from the log is let go of in memory too, so that no feed that was behind
//! sends it. What is asked for again is asked for after everything noted is erased, at each
//! connection and when a dissent ends, until it has come.

use std::{collections::BTreeSet, time::Duration};

use handfast_proto::ids::{NhsNumber, OdsCode};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::state::{Delivery, Inner};
use crate::{
    consent::Book,
    ingest::Notice,
    store::{Of, StoreError},
};

/// Erasures carried out before others get their turn.
const ERASURES: u32 = 64;

/// Patients noted at once: changes of consent wait meanwhile.
const NOTE_PATIENTS: usize = 256;

/// Patients read at once.
const PAGE_PATIENTS: u32 = 1024;

/// Records asked for in one message.
const RESEND_RECORDS: u32 = 1024;

/// How long an agent that takes nothing, or a projection that lags, holds up others. An agent is asked again when it
/// is connected anew, and as soon as the projection is there.
const ASK_BOUND: Duration = Duration::from_secs(2);

/// How often more is asked for where it was too much at once.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// How long the keeper rests after a failure.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What is to be erased, and asked for again.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    due: Mutex<Due>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Due {
    /// Of whom payloads are to be erased at a source.
    erase: BTreeSet<(OdsCode, NhsNumber)>,
    /// Of whom records are to be asked for again at a source; `None`: of everyone.
    ask: BTreeSet<(OdsCode, Option<NhsNumber>)>,
}

impl Erasing {
    /// What is known of patients at a unit has changed.
    pub(super) fn changed(&self, before: &Book, after: &Book, unit: OdsCode, patient: NhsNumber) {
        let known = after.patients(unit).map(|known| known.numbers_of(patient));
        let mut due = self.due.lock();
        for number in known.unwrap_or_else(|| vec![patient]) {
            match (before.dissents(unit, number), after.dissents(unit, number)) {
                (false, true) => drop(due.erase.insert((unit, number))),
                (true, false) => drop(due.ask.insert((unit, Some(number)))),
                _ => continue,
            }
            self.wake.notify_one();
        }
    }

    /// Something was noted.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    fn ask(&self, source: OdsCode, patient: Option<NhsNumber>) {
        self.due.lock().ask.insert((source, patient));
        self.wake.notify_one();
    }

    fn take(&self) -> Due {
        std::mem::take(&mut *self.due.lock())
    }
}

impl Delivery {
    /// Erases what is not to be kept, and asks again for what may go, until stopped.
    pub async fn run_erasing(self, stop: CancellationToken) {
        let begun = async {
            while let Err(error) = self.inner.find_what_is_due().await {
                tracing::error!(%error, "what is to be erased cannot be read; it is tried again");
                tokio::time::sleep(REST_AFTER_FAILURE).await;
            }
            loop {
                if let Err(error) = self.erase().await {
                    tracing::error!(%error, "payloads that are not to be kept cannot be erased; it is tried again");
                    tokio::time::sleep(REST_AFTER_FAILURE).await;
                    continue;
                }
                let woken = self.inner.erasing.wake.notified();
                // What there was too much of to ask for at once.
                let _tick = tokio::time::timeout(LOOK_INTERVAL, woken).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = begun => {}
        }
    }

    /// Carries out what is due by now. Not cancellation-safe, but what was broken off is done another time.
    pub async fn erase(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let due = inner.erasing.take();
        let noted = inner.note(&due).await;
        let erased = match noted {
            Ok(()) => inner.carry_out().await,
            Err(error) => Err(error),
        };
        if let Err(error) = erased {
            let mut later = inner.erasing.due.lock();
            later.erase.extend(due.erase);
            later.ask.extend(due.ask);
            return Err(error);
        }
        let mut asks = due.ask.into_iter();
        while let Some((source, patient)) = asks.next() {
            if let Err(error) = inner.ask_again_for(source, patient).await {
                let unasked = std::iter::once((source, patient)).chain(asks);
                inner.erasing.due.lock().ask.extend(unasked);
                return Err(error);
            }
        }
        Ok(())
    }

    /// A source's agent is connected: what was erased and may go is asked for.
    pub fn connected(&self, source: OdsCode) {
        self.inner.erasing.ask(source, None);
    }
}

impl Inner {
    /// Finds what became due before this process began: of everyone who dissents and of whom there are payloads
    /// still, or of whom nothing was ever noted.
    async fn find_what_is_due(&self) -> Result<(), StoreError> {
        let book = self.fence.book();
        for unit in self.store.units(self.clock.now_ms()).await? {
            let Some(known) = book.patients(unit.ods) else {
                continue;
            };
            let said_no = known
                .all()
                .filter(|(_, facts)| facts.share_out == crate::consent::PatientWord::No);
            let dissenting: BTreeSet<NhsNumber> = said_no.flat_map(|(n, _)| known.numbers_of(n)).collect();
            let noted = self.noted(unit.ods, &dissenting).await?;
            let head = self.committer.heads().of(unit.ods).seq;
            for patient in dissenting {
                let of = Of::Patient(patient);
                let there = self.store.current_records(unit.ods, of, 0, head, 1).await?;
                if !there.is_empty() || !noted.contains(&patient) {
                    self.erasing.due.lock().erase.insert((unit.ods, patient));
                }
            }
        }
        Ok(())
    }

    async fn noted(
        &self,
        source: OdsCode,
        of: &BTreeSet<NhsNumber>,
    ) -> Result<BTreeSet<NhsNumber>, StoreError> {
        let mut noted = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.store.erased_patients(source, after, PAGE_PATIENTS).await?;
            let Some(last) = page.last() else { return Ok(noted) };
            after = Some(*last);
            noted.extend(page.into_iter().filter(|patient| of.contains(patient)));
        }
    }

    /// Notes what is due of those who dissent still.
    async fn note(&self, due: &Due) -> Result<(), StoreError> {
        let due: Vec<(OdsCode, NhsNumber)> = due.erase.iter().copied().collect();
        for of_source in due.chunk_by(|a, b| a.0 == b.0) {
            for some in of_source.chunks(NOTE_PATIENTS) {
                self.note_some(some).await?;
            }
        }
        Ok(())
    }

    /// The same for patients at one source.
    async fn note_some(&self, due: &[(OdsCode, NhsNumber)]) -> Result<(), StoreError> {
        let Some((source, _)) = due.first().copied() else {
            return Ok(());
        };
        let _still = self.order.still().await;
        let book = self.fence.book();
        let patients = due.iter().map(|(_, patient)| *patient);
        let patients: Vec<NhsNumber> = patients.filter(|p| book.dissents(source, *p)).collect();
        let head = self.committer.heads().of(source).seq;
        self.store.note_erasures(source, &patients, &[], head).await
    }

    async fn carry_out(&self) -> Result<(), StoreError> {
        let tails = self.committer.tails();
        loop {
            let erased = self.store.carry_out_erasures(ERASURES).await;
            // Some of it may be overwritten by then, and the next try does not name it.
            let erased = erased.inspect_err(|_| tails.any_erased())?;
            for (source, upto) in erased.upto {
                tails.of(source).erased(upto);
            }
            if !erased.more {
                return Ok(());
            }
        }
    }

    /// Asks a source's agent for what was erased of its records and may go, if it is connected.
    async fn ask_again_for(&self, source: OdsCode, of: Option<NhsNumber>) -> Result<(), StoreError> {
        if self.publishers.of(source).is_none() {
            return Ok(());
        }
        let mut page = match of {
            Some(patient) => vec![patient],
            None => self.store.erased_patients(source, None, PAGE_PATIENTS).await?,
        };
        if !page.is_empty() && !self.is_projected(source).await {
            self.erasing.ask(source, of);
            return Ok(());
        }
        while let Some(last) = page.last().copied() {
            for patient in page {
                if !self.ask_again_for_patient(source, patient).await? {
                    return Ok(());
                }
            }
            page = match of {
                Some(_) => Vec::new(),
                None => {
                    self.store
                        .erased_patients(source, Some(last), PAGE_PATIENTS)
                        .await?
                }
            };
        }
        Ok(())
    }

    /// Whether what came while a dissent stood is known to be erased: that is once it is projected.
    async fn is_projected(&self, source: OdsCode) -> bool {
        let head = self.committer.heads().of(source).seq;
        let projected = self.sources.projector.caught_up(source, head);
        tokio::time::timeout(ASK_BOUND, projected).await.is_ok()
    }

    /// False where the agent takes nothing: it is asked for everything again when it is connected anew.
    async fn ask_again_for_patient(&self, source: OdsCode, patient: NhsNumber) -> Result<bool, StoreError> {
        let Some(session) = self.publishers.of(source) else {
            return Ok(false);
        };
        if self.fence.book().dissents(source, patient) {
            return Ok(true);
        }
        let records = self.store.erased_records(source, patient, RESEND_RECORDS).await?;
        if records.is_empty() {
            return Ok(true);
        }
        if records.len() >= RESEND_RECORDS as usize {
            self.erasing.due.lock().ask.insert((source, Some(patient)));
        }
        let told = session.tell(Notice::Resend(records));
        let told = tokio::time::timeout(ASK_BOUND, told).await;
        if told.is_err() {
            tracing::warn!(%source, "an agent does not take what is asked of it; its session ends");
            session.give_up();
        }
        Ok(told.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests;
