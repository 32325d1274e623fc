//! Random walks over the delivery side: units record, say what patients said, narrow and turn halves, open
//! emergency accesses, are suspended; recipients read slowly, drop their connection, are installed anew; the
//! daemon crashes and starts again from its store; while an oracle of plain sets looks on.
//!
//! What it holds delivery to: at no time is anything handed over that was not allowed at that moment (S2), nor
//! anything of a grant once the call that ended it has returned (S1) or its marker has gone; at quiet every
//! recipient holds exactly what the consents say (L1, W1). The seed is printed, and `HANDFAST_SEED` replays it.

use std::{path::Path, sync::Arc, time::Duration};

use handfast_proto::{
    amendment::Text,
    ids::{NhsNumber, OdsCode},
    statement::{PatientWord, Statement, WordSide},
    v1::ConsentManner,
};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinHandle;

use super::{
    acts::{Act, Place, perform, said, said_at, word_value},
    bounds::Bounds,
    oracle::Consents,
    recipient::{Recipient, Watch},
    rig::{Rig, UNITS},
    source::Source,
};
use crate::{
    clock::{Clock as _, ManualClock},
    store::StoreError,
};

/// Patients that records are about.
const PATIENTS: usize = 5;

/// How long a statement may take to come into force: many times what it takes on a busy machine.
const STATEMENT_BOUND: Duration = Duration::from_secs(20);

/// A change that the daemon was asked for.
enum UnderWay {
    /// By a call.
    Call(Act, JoinHandle<Result<(), StoreError>>),
    /// By a unit, at a place of its stream.
    Statement(usize, u64),
}

/// Why a life of the daemon ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Crash,
    Over,
}

/// Everything that outlives the daemon.
pub(super) struct World {
    pub(super) rng: StdRng,
    clock: Arc<ManualClock>,
    pub(super) watch: Arc<Mutex<Watch>>,
    pub(super) recipients: Vec<Recipient>,
    pub(super) sources: Vec<Source>,
    pub(super) units: Vec<OdsCode>,
    patients: Vec<NhsNumber>,
    under_way: Option<UnderWay>,
    left: usize,
    bounds: Bounds,
}

impl World {
    pub(super) fn new(seed: u64, steps: usize, bounds: Bounds) -> Self {
        let units: Vec<OdsCode> = UNITS.iter().map(|ods| ods.parse().unwrap()).collect();
        let watch = Arc::new(Mutex::new(Watch::default()));
        let clock = Arc::new(ManualClock::at(1_000));
        watch.lock().sure.now = clock.now_ms();
        let recipient = |(ods, n): (&OdsCode, u8)| Recipient::new(*ods, n, Arc::clone(&watch));
        let numbers = (9_990_000_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
        Self {
            rng: StdRng::seed_from_u64(seed),
            clock,
            recipients: units.iter().zip(1..).map(recipient).collect(),
            sources: units
                .iter()
                .zip(1..)
                .map(|(ods, n)| Source::new(*ods, n))
                .collect(),
            units,
            patients: numbers.take(PATIENTS).collect(),
            under_way: None,
            left: steps,
            bounds,
            watch,
        }
    }

    /// One life of the daemon.
    pub(super) async fn live(&mut self, dir: &Path) -> End {
        let rig = Rig::start(dir, Arc::clone(&self.clock), self.bounds.clone());
        let rig = self.bounds.within("the daemon has started", rig).await;
        self.come_back(&rig).await;
        while self.left > 0 {
            self.left -= 1;
            if self.step(&rig).await == Some(End::Crash) {
                self.crash();
                return End::Crash;
            }
        }
        self.quiet(&rig).await;
        self.crash();
        End::Over
    }

    /// What was under way when the daemon crashed is asked for again, or turns out to be there.
    async fn come_back(&mut self, rig: &Rig) {
        match self.under_way.take() {
            Some(UnderWay::Call(act, _)) => self.call(rig, act),
            Some(UnderWay::Statement(n, seq)) => {
                let kept = rig.committer.heads().of(self.sources[n].ods).seq >= seq;
                if kept {
                    self.watch.lock().come_into_force();
                } else {
                    self.under_way = Some(UnderWay::Statement(n, seq));
                }
            }
            None => {}
        }
        for source in &mut self.sources {
            source.send(rig).await;
        }
    }

    fn crash(&mut self) {
        tell!("the daemon is gone");
        self.recipients.iter_mut().for_each(|r| r.disconnect(false));
        self.sources.iter_mut().for_each(Source::disconnect);
    }

    async fn step(&mut self, rig: &Rig) -> Option<End> {
        self.listen();
        rig.bounds.check();
        // Each step draws from a well of its own: how much it draws may hang on how tasks interleave.
        let next = self.rng.random();
        let ended = self.one_of_many(rig).await;
        self.rng = StdRng::seed_from_u64(next);
        ended
    }

    async fn one_of_many(&mut self, rig: &Rig) -> Option<End> {
        match self.rng.random_range(0..1000) {
            0..250 => self.publish(rig).await,
            250..610 => self.read(rig).await,
            610..800 => self.change(rig).await,
            800..840 => self.state(rig).await,
            840..880 => self.pass_time(rig).await,
            880..910 => {
                let n = self.rng.random_range(0..self.recipients.len());
                let durable = self.rng.random();
                self.recipients[n].disconnect(durable);
            }
            910..915 => {
                let n = self.rng.random_range(0..self.recipients.len());
                self.recipients[n].install_anew();
            }
            915..935 => return Some(End::Crash),
            935..940 => self.quiet(rig).await,
            _ => tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..5))).await,
        }
        None
    }

    async fn publish(&mut self, rig: &Rig) {
        let n = self.rng.random_range(0..self.sources.len());
        let source = &mut self.sources[n];
        if self.watch.lock().suspended(source.ods) {
            return;
        }
        let published = source.record(&mut self.rng, &self.patients);
        tell!("{} records {:?}", source.ods, published.changes);
        self.watch.lock().recorded(source.ods, published);
        if self.rng.random_bool(0.9) {
            source.send(rig).await;
        } else {
            source.offer(rig).await;
        }
    }

    async fn read(&mut self, rig: &Rig) {
        let n = self.rng.random_range(0..self.recipients.len());
        if self.recipients[n].live.is_none() {
            self.recipients[n].connect(rig).await;
        }
        for _ in 0..self.rng.random_range(1..8) {
            tokio::task::yield_now().await;
            self.recipients[n].read_one();
        }
        if self.rng.random_bool(0.7) {
            self.recipients[n].receipt(rig).await;
        }
    }

    // --- changes: one at a time, while the rest goes on ---

    async fn change(&mut self, rig: &Rig) {
        self.finish(rig).await;
        let now = self.watch.lock().sure.clone();
        let place = Place {
            units: &self.units,
            patients: &self.patients,
        };
        let act = place.act(&mut self.rng, &now);
        self.call(rig, act);
    }

    pub(super) fn call(&mut self, rig: &Rig, act: Act) {
        let (delivery, watch, now) = (rig.delivery.clone(), Arc::clone(&self.watch), self.clock.now_ms());
        tell!("asked for {act:?}");
        self.watch.lock().may_come(|consents| consents.after(&act));
        let asked = act.clone();
        let call = tokio::spawn(async move {
            loop {
                let answer = perform(&delivery, &asked, now).await?;
                let mut watch = watch.lock();
                watch.ended.extend(answer.ended);
                if answer.in_force {
                    watch.come_into_force();
                    return Ok(());
                }
            }
        });
        self.under_way = Some(UnderWay::Call(act, call));
    }

    /// A unit says something to the daemon in its stream.
    async fn state(&mut self, rig: &Rig) {
        self.finish(rig).await;
        let n = self.rng.random_range(0..self.sources.len());
        let unit = self.sources[n].ods;
        let now = self.watch.lock().sure.clone();
        if now.suspended.contains(&unit) {
            return;
        }
        let place = Place {
            units: &self.units,
            patients: &self.patients,
        };
        let (patient, other) = (place.patient(&mut self.rng), place.patient(&mut self.rng));
        let statement = if patient != other && self.rng.random_bool(0.2) {
            self.watch.lock().may_come(|consents| {
                let mut after = consents.clone();
                after.joined.insert((unit, other, patient));
                after
            });
            Statement::NumberMoved {
                former: other,
                current: patient,
            }
        } else {
            self.state_word(unit, patient, &now)
        };
        let seq = self.sources[n].state(patient, &statement);
        tell!("{unit} states at {seq} of {patient:?}: {statement:?}");
        self.under_way = Some(UnderWay::Statement(n, seq));
        self.sources[n].send(rig).await;
    }

    fn state_word(&mut self, unit: OdsCode, patient: NhsNumber, now: &Consents) -> Statement {
        let (word, at) = (said(&mut self.rng), said_at(&mut self.rng, now));
        let (out, into) = (self.rng.random_bool(0.7), self.rng.random_bool(0.5));
        let sides = [(WordSide::ShareOut, out || !into), (WordSide::ShareIn, into)];
        let sides: Vec<WordSide> = sides
            .iter()
            .filter(|(_, about)| *about)
            .map(|(side, _)| *side)
            .collect();
        self.watch.lock().may_come(|consents| {
            let mut after = consents.clone();
            for side in &sides {
                after.say(unit, patient, *side == WordSide::ShareOut, word, at);
            }
            after
        });
        Statement::PatientWord(PatientWord {
            sides,
            word: word_value(word),
            said_at: at,
            manner: ConsentManner::Written,
            taken_by: Text::default(),
        })
    }

    /// Hears what the daemon tells its publishers.
    fn listen(&mut self) {
        self.sources.iter_mut().for_each(Source::listen);
        if let Some(UnderWay::Statement(n, seq)) = self.under_way
            && self.sources[n].in_force >= seq
        {
            self.watch.lock().come_into_force();
            self.under_way = None;
        }
    }

    /// Waits until what is under way is in force.
    pub(super) async fn finish(&mut self, rig: &Rig) {
        if let Some(UnderWay::Call(_, call)) = &mut self.under_way {
            let returned = rig.bounds.within("a change is in force", call).await;
            returned.unwrap().unwrap();
            self.under_way = None;
        }
        let begun = tokio::time::Instant::now();
        while let Some(UnderWay::Statement(n, _)) = self.under_way {
            assert!(
                begun.elapsed() < STATEMENT_BOUND,
                "a statement does not come into force"
            );
            self.sources[n].send(rig).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.listen();
        }
    }

    async fn pass_time(&mut self, rig: &Rig) {
        self.finish(rig).await;
        self.clock.advance(self.rng.random_range(1..150));
        self.watch.lock().time_passes(self.clock.now_ms());
        if self.rng.random_bool(0.5) {
            let tidied = rig
                .bounds
                .within("what is over is tidied away", rig.delivery.tidy());
            tidied.await.unwrap();
        }
    }
}
