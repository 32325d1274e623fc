//! What changes while the load runs: halves are turned off and on again, patients say no. At times that the plan
//! decides; a change that is due while too many are under way waits for one of them.
//!
//! A no at the source stands for the rest of the run: the daemon erases what it was about, and would ask for it
//! again, which needs a source that keeps its records. A no at the recipient is taken back now and then.

use std::{collections::HashSet, sync::Arc, time::Duration};

use handfast_proto::v1::Side;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        check::Pair,
        plan::{Changes, SplitMix64},
    },
    offices::Offices,
};

/// Calls under way at one time, of each kind.
const MAX_UNDER_WAY: usize = 32;
/// Of dissents at a recipient, one in so many takes one back instead.
const TAKEN_BACK_ONE_IN: u32 = 4;
/// What the seed is drawn for.
const TOGGLES: u64 = 21;
const DISSENTS: u64 = 22;

/// So many a second, at even distances.
fn ticks(per_second: f64) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    ticks
}

/// The next tick, and before it room for one more call; `false` once it is to stop.
async fn next<T: 'static>(
    ticks: &mut tokio::time::Interval,
    stop: &CancellationToken,
    under_way: &mut JoinSet<anyhow::Result<T>>,
    mut done: impl FnMut(T),
) -> anyhow::Result<bool> {
    tokio::select! {
        () = stop.cancelled() => return Ok(false),
        _ = ticks.tick() => {}
    }
    while let Some(ended) = under_way.try_join_next() {
        done(ended??);
    }
    while under_way.len() >= MAX_UNDER_WAY {
        if let Some(ended) = under_way.join_next().await {
            done(ended??);
        }
    }
    Ok(true)
}

/// How a pair stands: whole, with one half off, or with a call under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Joined,
    Off(Side),
    Busy,
}

/// Turns halves until `stop`; then joins all pairs again.
pub(in crate::load) async fn toggle(
    offices: Arc<Offices>,
    pairs: Vec<Pair>,
    seed: u64,
    changes: Changes,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if changes.toggles_per_second <= 0.0 || pairs.is_empty() {
        return Ok(());
    }
    let mut random = SplitMix64::of(seed, TOGGLES, 0);
    let mut ticks = ticks(changes.toggles_per_second);
    let mut stands = vec![Stands::Joined; pairs.len()];
    // Where a pair stands once its call has returned.
    let mut becomes = stands.clone();
    let mut under_way = JoinSet::new();
    loop {
        let done = |place: usize| settle(&mut stands, &becomes, place);
        if !next(&mut ticks, &stop, &mut under_way, done).await? {
            break;
        }
        let first = random.below(below(pairs.len())) as usize;
        let free = |place: &usize| stands.get(*place).is_some_and(|s| *s != Stands::Busy);
        let Some(place) = (first..pairs.len()).chain(0..first).find(free) else {
            continue;
        };
        let (Some(state), Some(pair)) = (stands.get_mut(place), pairs.get(place).copied()) else {
            continue;
        };
        let (side, on) = match *state {
            Stands::Off(side) => (side, true),
            _ if random.below(2) == 0 => (Side::ShareOut, false),
            _ => (Side::ShareIn, false),
        };
        *state = Stands::Busy;
        if let Some(after) = becomes.get_mut(place) {
            *after = if on { Stands::Joined } else { Stands::Off(side) };
        }
        let offices = Arc::clone(&offices);
        under_way.spawn(async move { offices.turn(side, pair, on).await.map(|()| place) });
    }
    while let Some(ended) = under_way.join_next().await {
        settle(&mut stands, &becomes, ended??);
    }
    for (pair, stands) in pairs.iter().zip(&stands) {
        if let Stands::Off(side) = stands {
            offices.turn(*side, *pair, true).await?;
        }
    }
    Ok(())
}

fn settle(stands: &mut [Stands], becomes: &[Stands], place: usize) {
    if let (Some(state), Some(after)) = (stands.get_mut(place), becomes.get(place)) {
        *state = *after;
    }
}

/// A patient's word at a unit about one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Word {
    unit: u32,
    at_source: bool,
    patient: u32,
}

/// Who said no, and of whom a call is under way: two calls about one word might be taken in either order.
#[derive(Default)]
struct Said {
    busy: HashSet<Word>,
    /// At recipients: what may be taken back.
    no: Vec<Word>,
}

impl Said {
    fn done(&mut self, (word, no): (Word, bool)) {
        self.busy.remove(&word);
        if no && !word.at_source && !self.no.contains(&word) {
            self.no.push(word);
        }
    }
}

/// Records what patients say until `stop`.
pub(in crate::load) async fn dissent(
    offices: Arc<Offices>,
    pairs: Vec<Pair>,
    (seed, patients): (u64, u32),
    changes: Changes,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if changes.dissents_per_second <= 0.0 || pairs.is_empty() {
        return Ok(());
    }
    let mut random = SplitMix64::of(seed, DISSENTS, 0);
    let mut ticks = ticks(changes.dissents_per_second);
    let mut under_way = JoinSet::new();
    let mut said = Said::default();
    while next(&mut ticks, &stop, &mut under_way, |call| said.done(call)).await? {
        let pair = pairs.get(random.below(below(pairs.len())) as usize);
        let Some(pair) = pair.copied() else { continue };
        let at_source = random.below(2) == 0;
        let fresh = Word {
            unit: if at_source { pair.0 } else { pair.1 },
            at_source,
            patient: random.below(patients),
        };
        let takes_back = !at_source && !said.no.is_empty() && random.below(TAKEN_BACK_ONE_IN) == 0;
        let word = if takes_back {
            said.no.swap_remove(random.below(below(said.no.len())) as usize)
        } else {
            fresh
        };
        if !said.busy.insert(word) {
            continue;
        }
        let side = if word.at_source {
            Side::ShareOut
        } else {
            Side::ShareIn
        };
        let offices = Arc::clone(&offices);
        under_way.spawn(async move {
            offices.say((word.unit, side), word.patient, !takes_back).await?;
            Ok((word, !takes_back))
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}

fn below(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
