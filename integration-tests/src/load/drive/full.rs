//! Agents themselves in place of clients: `handfast-agent` with its stores, fed through its input folder as a
//! clinical system would, and looked at through its output folder.
//!
//! What this sees less of: an output follows its inbox at its own pace, so that the moment of an arrival is not
//! known. Leaks and losses are found by what the folders hold once all is quiet, and the latency is until a change
//! stands in the output. An agent that is dropped is killed, and started again. The stream's own Patients are left
//! out: a unit's agent is told of all its patients before.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, bail};
use handfast_proto::ids::NhsNumber;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        check::{Known, Recipient as Checked},
        data::unchecked,
    },
    batches::Batches,
    drops::Away,
    source::Gauge,
};
use crate::harness::{AgentProcess, Change, now_millis, patient_line};

/// The file with the unit's patients.
const CENSUS: &str = "0-patients.ndjson";
/// Resources in one file, at most.
const LINES: usize = 256;
/// How often folders are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long an agent may take over a file.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// How often what an output holds is read, once nothing more is sent.
const READ_EVERY: Duration = Duration::from_millis(500);

/// Tells an agent of the unit's patients: what it has of a patient waits until it has seen them.
pub(super) fn census(agent: &AgentProcess, known: &Known) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for (k, number) in known.numbers.iter().enumerate() {
        lines.push(patient_line(
            &format!("load-{k}"),
            NhsNumber::from_u64(*number)?,
            "Load",
        ));
    }
    agent.drop_lines(CENSUS, lines.iter().map(String::as_str))
}

/// A unit's agent and what drives it.
pub(super) struct FullSource {
    pub(super) agent: Arc<AgentProcess>,
    pub(super) batches: Batches,
    pub(super) gauge: Arc<Gauge>,
    pub(super) stop: CancellationToken,
}

impl FullSource {
    /// Drops files into the agent's folder until it is told to stop, or its schedule ends, and all is durable.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        self.taken(CENSUS).await?;
        let (mut files, mut taken_at) = (0_u64, now_millis());
        loop {
            let lines = if self.stop.is_cancelled() {
                Vec::new()
            } else {
                self.batches.resources(LINES)?
            };
            let is_all = self.counted(taken_at);
            if lines.is_empty() {
                if self.is_over() && is_all {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            files += 1;
            let name = format!("{files:010}.ndjson");
            self.agent.drop_lines(&name, lines.iter().map(String::as_str))?;
            self.taken(&name).await?;
            taken_at = now_millis();
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.batches.pace().is_over() && !self.batches.is_due()
    }

    /// What is durable at the daemon, as the agent last counted. Whether that was all, and counted since `taken_at`.
    fn counted(&self, taken_at: i64) -> bool {
        let Some(status) = self.agent.status() else {
            return false;
        };
        let outbox = &status["outbox"];
        self.gauge
            .acked
            .fetch_max(outbox["acked_seq"].as_u64().unwrap_or(0), Relaxed);
        let since = status["counted_at_ms"].as_i64().is_some_and(|at| at > taken_at);
        since && outbox["unacknowledged"].as_u64() == Some(0)
    }

    async fn taken(&self, name: &str) -> anyhow::Result<()> {
        let end = tokio::time::Instant::now() + TAKEN_WITHIN;
        loop {
            let Err(why) = self.agent.took(name) else {
                return Ok(());
            };
            if why.contains("was rejected") || tokio::time::Instant::now() >= end {
                bail!("an agent did not take what was dropped into its folder: {why}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Kills an agent and starts it again whenever it is told, until `end`.
pub(super) async fn churn(
    agent: Arc<AgentProcess>,
    mut away: Away,
    end: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = end.cancelled() => return Ok(()),
            () = away.told() => {}
        }
        agent.kill();
        away.stay().await;
        agent.run()?;
    }
}

/// What an agent's output holds, as its checker is told.
pub(super) struct FullRecipient {
    pub(super) agent: Arc<AgentProcess>,
    pub(super) known: Arc<Known>,
    pub(super) checked: Arc<Mutex<Checked>>,
    /// Sources of its pairs.
    pub(super) sources: Vec<u32>,
    /// Nothing more is sent: what the output holds is read again and again.
    pub(super) stop: CancellationToken,
    pub(super) end: CancellationToken,
}

impl FullRecipient {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut at = 0;
        while !self.end.is_cancelled() {
            at = self.changes(at)?;
            if self.stop.is_cancelled() {
                self.holdings()?;
                tokio::time::sleep(READ_EVERY).await;
            } else {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// Reads the lines of `changes.ndjson` from a place on. The place behind the last whole one.
    fn changes(&self, at: u64) -> anyhow::Result<u64> {
        let Ok(mut file) = fs::File::open(self.agent.output().join("changes.ndjson")) else {
            return Ok(at);
        };
        file.seek(SeekFrom::Start(at))?;
        let mut text = String::new();
        file.read_to_string(&mut text).context("read changes.ndjson")?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text.get(..whole).unwrap_or_default().lines() {
            let change: Change = serde_json::from_str(line).context("read a line of changes.ndjson")?;
            let current = self.agent.output().join("current").join(&change.source);
            let written = fs::read(current.join(format!("{}.json", change.record)));
            let stamp = written.ok().and_then(|text| unchecked(&text));
            let seq = stamp.and_then(|stamp| u32::try_from(stamp.seq).ok());
            self.checked.lock().written(&change.source, seq, &change.op);
        }
        Ok(at + whole as u64)
    }

    /// Reads what `current/` holds of each source.
    fn holdings(&self) -> anyhow::Result<()> {
        for source in &self.sources {
            let folder = self.agent.output().join("current").join(self.known.name(*source));
            let mut held = Vec::new();
            read_stamps(&folder, &mut held)?;
            self.checked.lock().holds(*source, &held);
        }
        Ok(())
    }
}

/// Record and seq of every resource below a folder; one that goes meanwhile is not there.
fn read_stamps(folder: &Path, held: &mut Vec<(u32, u32)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_stamps(&path, held)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            // What carries no stamp is a Patient of the census.
            let Some(stamp) = fs::read(&path).ok().and_then(|text| unchecked(&text)) else {
                continue;
            };
            held.push((stamp.record, u32::try_from(stamp.seq)?));
        }
    }
    Ok(())
}
