//! The scenario itself: on, everything comes; off at rest; on, and off again in the middle of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use handfast_proto::{amendment::Category, limits::MAX_BATCH_AMENDMENTS, v1::Side};
use serde::Serialize;

use super::{
    super::{
        load::LoadFigures,
        stage::{Stage, settled},
    },
    fill,
    halves::Halves,
    recipient::Recipient,
};
use crate::harness::{Identity, cpu, forget_peak, peak_memory, resident_memory};

/// What a call may wait for what is in flight, in milliseconds: the daemon's default for `drain_ms`.
const FENCE_MAY_WAIT_MS: u64 = 1_000;
/// A half is turned off in the middle of a catch-up once one record in so many has come.
const MIDDLE: u64 = 10;
/// How long what follows a call may take before the scenario gives up.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(300);
const MIB: f64 = 1_048_576.0;

/// How much is toggled.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Toggle {
    /// Current records of the source.
    pub(in super::super) records: u64,
    /// How often the half is turned off at rest, and as often in the middle of a catch-up.
    pub(in super::super) turns: u32,
    /// Whether agreements and words are loaded beside them.
    pub(in super::super) loaded: bool,
}

/// How long calls, or what followed them, took, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub struct Calls {
    /// How many.
    pub count: usize,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// None took longer.
    pub max_ms: f64,
}

/// What turning a half led to.
#[derive(Debug, Clone, Serialize)]
pub struct ToggleFigures {
    /// Current records of the source.
    pub records: u64,
    /// Records a second that became durable before anything was turned.
    pub filled_per_second: f64,
    /// From there until the daemon had nothing to do, in seconds: its projection of current records is behind.
    pub settled_seconds: f64,
    /// A call that asks what turning the half off would end.
    pub preview_ms: f64,
    /// Calls that turned the half on.
    pub on: Calls,
    /// From such a call until every record had arrived.
    pub caught_up: Calls,
    /// Calls that turned a half off with nothing on its way.
    pub off_at_rest: Calls,
    /// Calls that turned a half off in the middle of a catch-up.
    pub off_in_the_middle: Calls,
    /// From a call that turned a half off until the withdrawal had arrived.
    pub withdrawn: Calls,
    /// Calls that narrowed a half that stays on to categories that no record has, and that took that back.
    pub narrowed: Calls,
    /// From such a call until every removal, or every record, had arrived.
    pub changed: Calls,
    /// What a call that turns a half off may wait for what is in flight, in milliseconds.
    pub fence_may_wait_ms: u64,
    /// Calls that answered "pending", and connections cut.
    pub pending_or_cut: u32,
    /// CPU time of the daemon from the first call to the last withdrawal.
    pub daemon_cpu_seconds: f64,
    /// Memory of the daemon before the first call.
    pub resident_before_mib: f64,
    /// The most that it had from there on.
    pub peak_mib: f64,
    /// After the last withdrawal.
    pub resident_after_mib: f64,
    /// What was loaded beside.
    pub load: Option<LoadFigures>,
}

/// Fills a source, and turns its halves.
pub(in super::super) async fn run(toggle: Toggle) -> anyhow::Result<ToggleFigures> {
    let stage = Stage::apart(1, 1, toggle.loaded).await?;
    let (url, pid) = (stage.deployment.url(), stage.deployment.pid()?);
    let (source, from) = stage.sources.first().context("a source")?;
    let (recipient, to) = stage.recipients.first().context("a recipient")?;
    let batches = toggle.records.div_ceil(MAX_BATCH_AMENDMENTS as u64);
    let records = batches * MAX_BATCH_AMENDMENTS as u64;
    let filled = fill::fill(&url, from, batches).await?;
    let durable_since = Instant::now();
    settled(pid).await?;
    let settled_seconds = durable_since.elapsed().as_secs_f64();

    let halves = Halves::connect(&url, source, recipient).await?;
    let mut turns = Turns::new(halves, (url, to.clone()), records).await?;
    forget_peak(pid)?;
    let (cpu_before, resident_before) = (cpu(pid)?, resident_memory(pid)?);
    turns.all(toggle.turns).await?;
    let daemon_cpu = cpu(pid)? - cpu_before;
    let figures = ToggleFigures {
        records,
        filled_per_second: records as f64 / filled.as_secs_f64(),
        settled_seconds,
        preview_ms: turns.preview.as_secs_f64() * 1e3,
        on: calls(&turns.on),
        caught_up: calls(&turns.caught_up),
        off_at_rest: calls(&turns.off_at_rest),
        off_in_the_middle: calls(&turns.off_in_the_middle),
        withdrawn: calls(&turns.withdrawn),
        narrowed: calls(&turns.narrowed),
        changed: calls(&turns.changed),
        fence_may_wait_ms: FENCE_MAY_WAIT_MS,
        pending_or_cut: turns.pending_or_cut,
        daemon_cpu_seconds: daemon_cpu.as_secs_f64(),
        resident_before_mib: resident_before as f64 / MIB,
        peak_mib: peak_memory(pid)? as f64 / MIB,
        resident_after_mib: resident_memory(pid)? as f64 / MIB,
        load: stage.load,
    };
    drop(turns);
    stage.deployment.finished();
    Ok(figures)
}

/// What was measured so far.
struct Turns {
    halves: Halves,
    recipient: Recipient,
    address: (String, Identity),
    records: u64,
    on: Vec<Duration>,
    caught_up: Vec<Duration>,
    off_at_rest: Vec<Duration>,
    off_in_the_middle: Vec<Duration>,
    withdrawn: Vec<Duration>,
    narrowed: Vec<Duration>,
    changed: Vec<Duration>,
    preview: Duration,
    pending_or_cut: u32,
}

impl Turns {
    async fn new(halves: Halves, address: (String, Identity), records: u64) -> anyhow::Result<Self> {
        Ok(Self {
            halves,
            recipient: Recipient::start(&address.0, &address.1).await?,
            address,
            records,
            on: Vec::new(),
            caught_up: Vec::new(),
            off_at_rest: Vec::new(),
            off_in_the_middle: Vec::new(),
            withdrawn: Vec::new(),
            narrowed: Vec::new(),
            changed: Vec::new(),
            preview: Duration::ZERO,
            pending_or_cut: 0,
        })
    }

    /// So many turns at rest and in the middle, the recipient's half and the source's in turn.
    async fn all(&mut self, turns: u32) -> anyhow::Result<()> {
        for turn in 0..turns {
            let side = if turn % 2 == 0 {
                Side::ShareIn
            } else {
                Side::ShareOut
            };
            self.halves.wait_for(side).await?;
            let grant = self.turn_on(side).await?;
            if turn == 0 {
                let (took, ends) = self.halves.preview(side).await?;
                ensure!(
                    ends == self.records,
                    "the preview counts {ends} records of {}",
                    self.records
                );
                self.preview = took;
                self.narrow(side, grant).await?;
            }
            let took = self.turn_off(side, grant).await?;
            self.off_at_rest.push(took);
            let grant = self.begin(side).await?;
            let some = self.records / MIDDLE;
            self.follow("a catch-up's beginning", |seen| seen.of(grant).received >= some)
                .await?;
            let took = self.turn_off(side, grant).await?;
            ensure!(
                !self.recipient.of(grant).caught_up,
                "the catch-up was over too soon: use more records"
            );
            self.off_in_the_middle.push(took);
        }
        Ok(())
    }

    async fn begin(&mut self, side: Side) -> anyhow::Result<u64> {
        let turned = self.halves.turn(side, true).await?;
        self.on.push(turned.took);
        ensure!(
            turned.grant > 0,
            "no grant is in force after {side:?} was turned on"
        );
        Ok(turned.grant)
    }

    /// Turns the half on, and waits until everything has come.
    async fn turn_on(&mut self, side: Side) -> anyhow::Result<u64> {
        let begun = Instant::now();
        let grant = self.begin(side).await?;
        self.follow("a catch-up", |seen| seen.of(grant).caught_up).await?;
        self.caught_up.push(begun.elapsed());
        let received = self.recipient.of(grant).received;
        ensure!(
            received == self.records,
            "{received} records came of {}",
            self.records
        );
        Ok(grant)
    }

    /// Narrows the half to what no record is, and takes that back.
    async fn narrow(&mut self, side: Side, grant: u64) -> anyhow::Result<()> {
        for (times, categories) in [(1, vec![Category::Referrals as u32]), (2, Vec::new())] {
            let turned = self.halves.narrow(side, categories).await?;
            self.narrowed.push(turned.took);
            ensure!(
                turned.grant == grant,
                "the grant did not stay when its half was narrowed"
            );
            self.follow("a change of scope", |seen| seen.of(grant).changed >= times)
                .await?;
            self.changed.push(turned.begun.elapsed());
        }
        Ok(())
    }

    /// Turns the half off, and waits for the withdrawal. How long the call took.
    async fn turn_off(&mut self, side: Side, grant: u64) -> anyhow::Result<Duration> {
        let turned = self.halves.turn(side, false).await?;
        let at_return = self.recipient.of(grant).received;
        if turned.pending_or_cut {
            self.pending_or_cut += 1;
            let (url, identity) = &self.address;
            self.recipient = Recipient::start(url, identity).await?;
        }
        self.follow("a withdrawal", |seen| seen.of(grant).withdrawn)
            .await?;
        self.withdrawn.push(turned.begun.elapsed());
        let late = self.recipient.of(grant).received.saturating_sub(at_return);
        ensure!(
            turned.pending_or_cut || late == 0,
            "{late} records came after {side:?} was off"
        );
        Ok(turned.took)
    }

    async fn follow(
        &mut self,
        what: &str,
        as_asked: impl Fn(&super::recipient::Seen) -> bool,
    ) -> anyhow::Result<()> {
        let seen = tokio::time::timeout(FOLLOWS_WITHIN, self.recipient.until(as_asked)).await;
        seen.with_context(|| format!("{what} took longer than {FOLLOWS_WITHIN:?}"))?
    }
}

fn calls(took: &[Duration]) -> Calls {
    let mut ms: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    Calls {
        count: ms.len(),
        // Of an even number the longer of the two in the middle.
        p50_ms: ms.get(ms.len() / 2).copied().unwrap_or(0.0),
        max_ms: ms.last().copied().unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_calls_took_no_longer_than_p50_and_none_longer_than_max() {
        let took: Vec<Duration> = [5, 1, 9, 3, 7].map(Duration::from_millis).to_vec();
        let calls = calls(&took);
        assert_eq!((calls.count, calls.p50_ms, calls.max_ms), (5, 5.0, 9.0));
        assert_eq!(super::calls(&[]).count, 0);
    }
}
