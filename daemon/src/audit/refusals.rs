//! Refused calls on their way into the log: those of callers who can be named one by one, up to a number a
//! minute each; all others as a count each minute.
//!
//! Invariants: a refusal is entered or counted, never passed over; what waits is bounded, and no caller can fill
//! the log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use handfast_proto::ids::{Holder, OdsCode};
use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    actor::Actor,
    events::{CallRefused, CallsRefused},
    scribe::Scribe,
};
use crate::{
    clock::Clock,
    store::{NewEntry, Store},
};

/// Refusals waiting to be entered.
const QUEUE_REFUSALS: usize = 256;

/// Refusals of one holder that are entered one by one, each minute.
const ONE_BY_ONE_A_MINUTE: u32 = 30;

/// Holders remembered in a minute; of further ones refusals are counted.
const MAX_HOLDERS: usize = 4096;

/// How long refusals are counted before the count is entered.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

/// Bytes of a method or a reason that are entered.
const MAX_WORDS_BYTES: usize = 200;

/// A refused call.
#[derive(Debug)]
struct Refused {
    at: i64,
    actor: Actor,
    unit: Option<OdsCode>,
    method: String,
    why: String,
}

#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    first: i64,
    last: i64,
    of_holders: HashMap<Holder, u32>,
}

impl Counts {
    fn count(&mut self, at: i64) {
        if self.calls == 0 {
            self.first = at;
        }
        self.calls += 1;
        self.last = at;
    }
}

impl Counts {
    /// Whether one more of a holder's refusals is entered one by one.
    fn takes(&mut self, holder: &Holder) -> bool {
        if self.of_holders.len() >= MAX_HOLDERS && !self.of_holders.contains_key(holder) {
            return false;
        }
        let so_far = self.of_holders.entry(holder.clone()).or_default();
        *so_far += 1;
        *so_far <= ONE_BY_ONE_A_MINUTE
    }
}

/// Takes note of refused calls. Cheap to clone.
#[derive(Clone)]
pub struct Refusals {
    queue: mpsc::Sender<Refused>,
    counts: Arc<Mutex<Counts>>,
    clock: Arc<dyn Clock>,
}

/// The task that enters them.
pub struct RefusalsTask {
    queue: mpsc::Receiver<Refused>,
    counts: Arc<Mutex<Counts>>,
    clock: Arc<dyn Clock>,
    scribe: Scribe,
    store: Arc<dyn Store>,
}

/// Makes both halves.
pub fn refusals(scribe: Scribe, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> (Refusals, RefusalsTask) {
    let (sender, queue) = mpsc::channel(QUEUE_REFUSALS);
    let counts: Arc<Mutex<Counts>> = Arc::default();
    let task = RefusalsTask {
        queue,
        counts: Arc::clone(&counts),
        clock: Arc::clone(&clock),
        scribe,
        store,
    };
    let refusals = Refusals {
        queue: sender,
        counts,
        clock,
    };
    (refusals, task)
}

impl Refusals {
    /// A call of a holder was refused; `unit` is a person's, where it is known. Never waits.
    pub fn named(&self, holder: &Holder, unit: Option<OdsCode>, method: &str, why: &str) {
        let at = self.clock.now_ms();
        let mut counts = self.counts.lock();
        let refused = Refused {
            at,
            actor: Actor::Holder(holder.clone()),
            unit: match holder {
                Holder::Unit(ods) => Some(*ods),
                Holder::Person(_) => unit,
            },
            method: words(method),
            why: words(why),
        };
        let one_by_one = counts.takes(holder) && self.queue.try_send(refused).is_ok();
        if !one_by_one {
            counts.count(at);
        }
    }

    /// A call of nobody who could be named was refused.
    pub fn anonymous(&self) {
        self.counts.lock().count(self.clock.now_ms());
    }
}

fn words(text: &str) -> String {
    let mut end = text.len().min(MAX_WORDS_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl RefusalsTask {
    /// Enters refusals until stopped; what waits then is entered still.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut minute = interval_at(Instant::now() + COUNT_INTERVAL, COUNT_INTERVAL);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => break,
                first = self.queue.recv() => first,
                _ = minute.tick() => {
                    self.enter_count().await;
                    continue;
                }
            };
            let Some(first) = first else { break };
            self.enter(first).await;
        }
        while let Ok(first) = self.queue.try_recv() {
            self.enter(first).await;
        }
        self.enter_count().await;
    }

    /// Enters one refusal and whatever waits behind it, in one transaction.
    async fn enter(&mut self, first: Refused) {
        let mut refused = vec![first];
        while refused.len() < QUEUE_REFUSALS
            && let Ok(next) = self.queue.try_recv()
        {
            refused.push(next);
        }
        let made = refused
            .iter()
            .map(|call| self.entry(call))
            .collect::<Result<Vec<_>, _>>();
        let entered = match made {
            Ok(entries) => self
                .store
                .enter(&entries)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = entered {
            let calls = refused.len();
            tracing::error!(
                error,
                calls,
                "refused calls could not be entered one by one; they are counted"
            );
            let mut counts = self.counts.lock();
            refused.iter().for_each(|call| counts.count(call.at));
        }
    }

    fn entry(&self, call: &Refused) -> Result<NewEntry, super::NotEntered> {
        let event = CallRefused {
            unit: call.unit,
            method: &call.method,
            why: &call.why,
        };
        self.scribe.entry(call.at, &call.actor, &event)
    }

    async fn enter_count(&self) {
        let counted = {
            let mut counts = self.counts.lock();
            counts.of_holders.clear();
            std::mem::take(&mut *counts)
        };
        if counted.calls == 0 {
            return;
        }
        let event = CallsRefused {
            calls: counted.calls,
            from: counted.first,
            to: counted.last,
        };
        let entered = match self.scribe.entry(self.clock.now_ms(), &Actor::Anonymous, &event) {
            Ok(entry) => self
                .store
                .enter(&[entry])
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = entered {
            tracing::error!(
                error,
                calls = counted.calls,
                "a count of refused calls could not be entered"
            );
            let mut counts = self.counts.lock();
            counts.first = if counts.calls == 0 {
                counted.first
            } else {
                counts.first.min(counted.first)
            };
            counts.calls += counted.calls;
            counts.last = counts.last.max(counted.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::{audit::decode_leaf, v1::audit_leaf::Event as Wire};

    use super::*;
    use crate::{
        clock::ManualClock,
        random::OsRandom,
        store::{AuditStore as _, SqliteStore, conformance::kit},
    };

    #[tokio::test]
    async fn each_refusal_is_entered_or_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::create(dir.path(), &kit::deployment()).await.unwrap());
        let scribe = Scribe::new(Arc::new(OsRandom));
        let clock = Arc::new(ManualClock::at(kit::T0));
        let (refusals, task) = refusals(scribe, Arc::clone(&store) as _, clock);
        let unit = Holder::Unit(kit::ods(kit::HILL));
        let ann = Holder::Person(kit::person_id("ann"));
        for _ in 0..100 {
            refusals.named(&unit, None, "Units.Retire", "not allowed");
        }
        refusals.named(&ann, Some(kit::ods(kit::HILL)), "Units.Retire", &"é".repeat(500));
        for _ in 0..1000 {
            refusals.anonymous();
        }
        let stop = CancellationToken::new();
        stop.cancel();
        task.run(stop).await;
        let rows = store.audit_entries(0, usize::MAX).await.unwrap();
        let events = rows.iter().map(|row| decode_leaf(&row.entry.leaf).unwrap());
        let (mut one_by_one, mut counted) = (0, 0);
        for leaf in events {
            match leaf.event.unwrap() {
                Wire::CallRefused(_) => {
                    assert_eq!(leaf.unit, kit::HILL);
                    one_by_one += 1;
                }
                Wire::CallsRefused(event) => counted += event.calls,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((one_by_one, counted), (u64::from(ONE_BY_ONE_A_MINUTE) + 1, 1070));
    }
}
