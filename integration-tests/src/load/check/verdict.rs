//! The end of a run: waits until every recipient holds what it must, and says what was found.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::{consents::Pair, findings::Findings, known::Known, recipient::Recipient};

/// How often it is looked whether all is quiet.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The recipients of a run, and what is known.
#[derive(Clone)]
pub(in crate::load) struct Checker {
    known: Arc<Known>,
    pairs: Arc<[Pair]>,
    /// By unit; none of a unit that does not receive.
    recipients: Arc<[Option<Arc<Mutex<Recipient>>>]>,
}

impl Checker {
    /// `timed` says of whom the latency is measured.
    pub(in crate::load) fn new(
        known: Arc<Known>,
        pairs: &[Pair],
        timed: impl Fn(u32) -> bool,
    ) -> anyhow::Result<Self> {
        let mut recipients: Vec<Option<Arc<Mutex<Recipient>>>> = Vec::new();
        for (unit, _) in (0..).zip(&known.units) {
            let receives = pairs.iter().any(|(_, recipient)| *recipient == unit);
            recipients.push(if receives {
                let recipient = Recipient::new(Arc::clone(&known), unit, timed(unit))?;
                Some(Arc::new(Mutex::new(recipient)))
            } else {
                None
            });
        }
        Ok(Self {
            known,
            pairs: pairs.into(),
            recipients: recipients.into(),
        })
    }

    /// A unit's recipient.
    pub(in crate::load) fn recipient(&self, unit: u32) -> Option<&Arc<Mutex<Recipient>>> {
        self.recipients.get(unit as usize)?.as_ref()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Mutex<Recipient>>> {
        self.recipients.iter().flatten()
    }

    /// Amendments that arrived so far.
    pub(in crate::load) fn delivered(&self) -> u64 {
        self.all().map(|recipient| recipient.lock().delivered).sum()
    }

    /// What was found so far.
    pub(in crate::load) fn findings(&self) -> Findings {
        let mut all = Findings::default();
        self.all()
            .for_each(|recipient| all.join(&recipient.lock().findings));
        all
    }

    /// Adds the latencies since the last time to a histogram.
    pub(in crate::load) fn take_latencies(&self, into: &mut Histogram<u64>) -> anyhow::Result<()> {
        for recipient in self.all() {
            if let Some(latency) = &mut recipient.lock().latency {
                into.add(&*latency)?;
                latency.reset();
            }
        }
        Ok(())
    }

    /// Waits until every recipient holds what it must, and nothing else; `None`, or what is not so when the bound
    /// has passed. Nothing is sent, said or turned any more.
    pub(in crate::load) async fn quiet(&self, within: Duration) -> Option<String> {
        let end = Instant::now() + within;
        let mut from = (0, 0);
        loop {
            from = self.unsettled(from)?;
            if Instant::now() >= end {
                let (source, recipient) = self.pairs.get(from.0)?;
                let (source, recipient) = (self.known.name(*source), self.known.name(*recipient));
                return Some(format!(
                    "{recipient} did not come to hold what it must of {source} within {within:?}"
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The first pair and record that are not as they must be; looked for from where they were last.
    fn unsettled(&self, from: (usize, u32)) -> Option<(usize, u32)> {
        let differs = |place: usize, record: u32| -> Option<(usize, u32)> {
            let (source, recipient) = self.pairs.get(place)?;
            let recipient = self.recipient(*recipient)?.lock();
            Some((place, recipient.differs(*source, record)?))
        };
        let later = || (from.0 + 1..self.pairs.len()).find_map(|place| differs(place, 0));
        let earlier = || (0..=from.0).find_map(|place| differs(place, 0));
        differs(from.0, from.1).or_else(later).or_else(earlier)
    }

    /// The verdict, once all is quiet or the wait for it was over.
    pub(in crate::load) fn conclude(&self) -> Findings {
        for (source, recipient) in self.pairs.iter() {
            if let Some(recipient) = self.recipient(*recipient) {
                recipient.lock().conclude(*source);
            }
        }
        self.findings()
    }
}
