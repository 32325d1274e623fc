//! The end of a walk, and pauses in it: everyone reads on until nothing is left to do, and each recipient holds
//! exactly what the consents say.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, sleep};

use super::{acts::Act, rig::Rig, world::World};
use crate::store::Store as _;

/// How long quiet may take to come.
const QUIET_BOUND: Duration = Duration::from_secs(20);

impl World {
    /// Everyone reads on until nothing is left to do: then each holds exactly what it may.
    pub(super) async fn quiet(&mut self, rig: &Rig) {
        self.finish(rig).await;
        for unit in self.units.clone() {
            let (suspended, withdrawn) = self.watch.lock().stands(unit);
            if suspended && (!withdrawn || self.rng.random_bool(0.5)) {
                self.call(rig, Act::Resume(unit));
                self.finish(rig).await;
            }
        }
        let begun = Instant::now();
        loop {
            self.let_everyone_act(rig).await;
            let left = self.left_to_do(rig).await;
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < QUIET_BOUND, "L1, W1: {left:#?}");
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn let_everyone_act(&mut self, rig: &Rig) {
        let bounds = &rig.bounds;
        let tidied = bounds.within("what is over is tidied away", rig.delivery.tidy());
        tidied.await.unwrap();
        for source in &mut self.sources {
            source.listen();
            source.resend();
            source.send(rig).await;
            let head = rig.committer.heads().of(source.ods).seq;
            let projected = rig.projector.caught_up(source.ods, head);
            bounds.within("everything is projected", projected).await;
        }
        self.watch.lock().recorded_by_now(&self.sources);
        for recipient in &mut self.recipients {
            if recipient.live.is_none() {
                recipient.connect(rig).await;
            }
            while recipient.read_one() {}
            recipient.receipt(rig).await;
        }
    }

    /// What is in the logs although it is not to be kept.
    async fn not_erased(&self, rig: &Rig) -> Vec<String> {
        let mut found = Vec::new();
        for source in &self.sources {
            let kept = rig.bounds.within("a log is read", rig.kept(source.ods));
            for kept in kept.await {
                let marked = source
                    .current
                    .get(&kept.record)
                    .is_some_and(|version| version.marked);
                let dissents = self.watch.lock().sure.dissents(source.ods, kept.patient);
                if marked || dissents {
                    found.push(format!("{} {} {}", source.ods, kept.record, kept.content));
                }
            }
        }
        found
    }

    /// What keeps it from being quiet, but for units that stay suspended.
    async fn left_to_do(&self, rig: &Rig) -> Vec<String> {
        let unsent = self.sources.iter().filter(|source| !source.is_sent());
        let mut left: Vec<String> = unsent.map(|source| format!("{} sends", source.ods)).collect();
        for recipient in &self.recipients {
            if self.watch.lock().suspended(recipient.ods) {
                continue;
            }
            let due = rig.store.recipient_jobs(recipient.ods);
            let (_, jobs) = rig.bounds.within("jobs are read", due).await.unwrap();
            left.extend(jobs.iter().map(|job| format!("{job:?}")));
            let expected = self.watch.lock().expected(recipient.ods, &self.sources);
            let held = recipient.inbox.held();
            let wrong = held
                .iter()
                .filter(|(record, content)| expected.get(record) != Some(content));
            left.extend(wrong.map(|held| format!("{} holds {held:?}", recipient.ods)));
            let missing = expected.iter().filter(|(record, _)| !held.contains_key(record));
            left.extend(missing.map(|lacks| format!("{} lacks {lacks:?}", recipient.ods)));
        }
        let kept = self.not_erased(rig).await;
        left.extend(kept.iter().map(|kept| format!("{kept} is kept")));
        left
    }
}
