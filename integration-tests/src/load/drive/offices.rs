//! The administrators of the units, over connections kept open: they turn halves and record what patients said.
//! What they do is written down for the checker: what begins before its call, what ends after its return.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use handfast_proto::v1::{
    ConsentManner, InForce, PatientWordValue, RecordPatientConsentRequest, RecordPatientConsentResponse,
    SetAgreementRequest, SetAgreementResponse, Side, agreements_client::AgreementsClient,
    patient_consents_client::PatientConsentsClient,
};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tonic::{Code, Status, transport::Channel};

use super::super::check::{Known, Pair, latencies};

/// How long a call may answer "pending", or fail, before the load gives up.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(60);
/// How long after such an answer it is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What calls took and led to, since it was last cleared.
#[derive(Debug)]
pub(in crate::load) struct Calls {
    /// Halves turned, patients' words, and answers "pending".
    pub(in crate::load) toggles: AtomicU64,
    pub(in crate::load) words: AtomicU64,
    pub(in crate::load) pending: AtomicU64,
    /// Until a half that was turned off was in force, and one that was turned on; microseconds.
    pub(in crate::load) off: Mutex<Histogram<u64>>,
    pub(in crate::load) on: Mutex<Histogram<u64>>,
}

impl Calls {
    pub(in crate::load) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            toggles: AtomicU64::new(0),
            words: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            off: Mutex::new(latencies()?),
            on: Mutex::new(latencies()?),
        })
    }

    /// What came before does not count.
    pub(in crate::load) fn clear(&self) {
        for count in [&self.toggles, &self.words, &self.pending] {
            count.store(0, Relaxed);
        }
        self.off.lock().reset();
        self.on.lock().reset();
    }
}

/// Everybody who calls.
#[derive(Debug)]
pub(in crate::load) struct Offices {
    pub(super) known: Arc<Known>,
    /// By unit.
    pub(super) desks: Vec<Channel>,
    pub(in crate::load) calls: Calls,
}

impl Offices {
    pub(in crate::load) fn new(known: Arc<Known>, desks: Vec<Channel>) -> anyhow::Result<Self> {
        Ok(Self {
            known,
            desks,
            calls: Calls::new()?,
        })
    }

    fn desk(&self, unit: u32) -> anyhow::Result<Channel> {
        Ok(self
            .desks
            .get(unit as usize)
            .context("a unit's administrator")?
            .clone())
    }

    /// Turns one half, by whose it is, until it is in force.
    pub(in crate::load) async fn turn(&self, side: Side, pair: Pair, on: bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        let consents = &self.known.consents;
        if on {
            consents.turning_on(pair);
        } else {
            consents.turning_off(pair, true);
        }
        let answer = self
            .in_force(|| self.set(side, pair, on), SetAgreementResponse::in_force)
            .await?;
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let grant = answer.agreement.map_or(0, |agreement| agreement.grant);
        match answer.receipt {
            _ if on => consents.turned_on(pair, grant),
            Some(receipt) if receipt.ended_grant > 0 => consents.turned_off(pair, &receipt),
            _ => {}
        }
        consents.turning_off(pair, false);
        let histogram = if on { &self.calls.on } else { &self.calls.off };
        histogram.lock().saturating_record(took.max(1));
        self.calls.toggles.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn set(&self, side: Side, pair: Pair, on: bool) -> anyhow::Result<SetAgreementResponse> {
        let whose = if side == Side::ShareOut { pair.0 } else { pair.1 };
        let request = SetAgreementRequest {
            source: self.known.name(pair.0).to_owned(),
            recipient: self.known.name(pair.1).to_owned(),
            side: side.into(),
            on,
            reason: "a load".to_owned(),
            scope: None,
        };
        let answer = AgreementsClient::new(self.desk(whose)?).set(request).await?;
        Ok(answer.into_inner())
    }

    /// Records a patient's no at a unit, or takes it back, until that is in force.
    pub(in crate::load) async fn say(
        &self,
        (unit, side): (u32, Side),
        patient: u32,
        no: bool,
    ) -> anyhow::Result<()> {
        let consents = &self.known.consents;
        consents.saying(unit, side, patient);
        let word = if no {
            PatientWordValue::No
        } else {
            PatientWordValue::Yes
        };
        let answer = self
            .in_force(
                || self.record((unit, side), patient, word),
                RecordPatientConsentResponse::in_force,
            )
            .await?;
        for told in &answer.receipts {
            let other = if side == Side::ShareOut {
                &told.recipient
            } else {
                &told.source
            };
            if let (Some(other), Some(receipt)) = (self.known.place(other), &told.receipt) {
                consents.receipt_of_no((unit, side), other, patient, receipt);
            }
        }
        // Of two words of one moment the no stands.
        let stands = answer.words.iter().any(|word| word.now() == PatientWordValue::No);
        if no || stands {
            consents.said_no(unit, side, patient);
        }
        self.calls.words.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn record(
        &self,
        (unit, side): (u32, Side),
        patient: u32,
        word: PatientWordValue,
    ) -> anyhow::Result<RecordPatientConsentResponse> {
        let number = self
            .known
            .numbers
            .get(patient as usize)
            .context("a patient's number")?;
        let about = |of: Side| {
            if of == side {
                word
            } else {
                PatientWordValue::Unspecified
            }
        };
        let request = RecordPatientConsentRequest {
            patients: vec![format!("{number:010}")],
            share_out: about(Side::ShareOut).into(),
            share_in: about(Side::ShareIn).into(),
            manner: ConsentManner::Spoken.into(),
            ..RecordPatientConsentRequest::default()
        };
        let answer = PatientConsentsClient::new(self.desk(unit)?)
            .record(request)
            .await?;
        Ok(answer.into_inner())
    }

    /// Asks until it is in force. Receipts of an answer "pending" say no more than the last one.
    async fn in_force<T, F>(&self, ask: impl Fn() -> F, how: impl Fn(&T) -> InForce) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let end = Instant::now() + IN_FORCE_WITHIN;
        loop {
            let why = match ask().await {
                Ok(answer) if how(&answer) == InForce::Yes => return Ok(answer),
                Ok(_) => {
                    self.calls.pending.fetch_add(1, Relaxed);
                    anyhow::anyhow!("it is pending")
                }
                Err(error) if is_refused(&error) => return Err(error),
                Err(error) => error,
            };
            if Instant::now() >= end {
                return Err(why).context("a change of consent did not come into force within a minute");
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }
}

/// Whether the daemon answered, and said no.
fn is_refused(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| {
        matches!(
            status.code(),
            Code::PermissionDenied | Code::InvalidArgument | Code::NotFound | Code::Unauthenticated
        )
    })
}
