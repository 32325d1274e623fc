//! The units of the demo: a daemon, three agents, and their sample records.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::harness::{AgentProcess, Deployment, Records, UnitAtTest, expected, fixtures, tree, wait_until};

/// How long a step may take until what it says has happened.
pub(super) const STEP_WITHIN: Duration = Duration::from_secs(30);

/// The name of the file with a unit's sample records.
const SAMPLE: &str = "sample.ndjson";

#[derive(Deserialize)]
struct Listed {
    ods: String,
    name: String,
    kind: String,
}

/// A unit with its agent.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) unit: UnitAtTest,
    pub(super) agent: AgentProcess,
    /// The lines of its sample.
    pub(super) lines: Vec<String>,
    /// What it holds.
    pub(super) holds: Records,
    /// Of these, what is marked private.
    pub(super) private: usize,
}

/// Everything that runs.
pub(super) struct Scene {
    pub(super) deployment: Deployment,
    pub(super) places: Vec<Place>,
}

/// How a pair stands: what its recipient holds of its source, and what was withheld and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) received: u64,
    pub(super) in_force: bool,
    pub(super) withheld: BTreeMap<String, u64>,
}

impl Scene {
    /// Starts the daemon, enrols three units and starts their agents.
    pub(super) async fn set() -> anyhow::Result<Self> {
        let deployment = Deployment::start().await?;
        let listed: Vec<Listed> =
            serde_json::from_slice(&fs::read(fixtures().join("units.json")).context("read units.json")?)
                .context("read units.json")?;
        let mut places = Vec::new();
        for unit in listed {
            places.push(Place::enrol(&deployment, unit).await?);
        }
        Ok(Self { deployment, places })
    }

    pub(super) fn place(&self, ods: &str) -> anyhow::Result<&Place> {
        let found = self.places.iter().find(|p| p.unit.ods == ods);
        found.with_context(|| format!("no unit {ods} in the demo"))
    }

    /// Every ordered pair.
    pub(super) fn pairs(&self) -> Vec<(&Place, &Place)> {
        let mut out = Vec::new();
        for source in &self.places {
            for recipient in &self.places {
                if source.unit.ods != recipient.unit.ods {
                    out.push((source, recipient));
                }
            }
        }
        out
    }

    /// What `handfastctl status` says of every pair, and what the folders hold.
    pub(super) async fn standing(&self) -> anyhow::Result<BTreeMap<(String, String), Standing>> {
        let status = self.deployment.operate(&["status"]).await?.json()?;
        let mut out = BTreeMap::new();
        for (source, recipient) in self.pairs() {
            let (s, r) = (&source.unit.ods, &recipient.unit.ods);
            let told = status
                .get("pairs")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .find(|p| text(p, "source") == s && text(p, "recipient") == r);
            let mut standing = told.map(read_standing).unwrap_or_default();
            standing.received = recipient.count_from(s);
            out.insert((s.clone(), r.clone()), standing);
        }
        Ok(out)
    }
}

impl Place {
    async fn enrol(deployment: &Deployment, listed: Listed) -> anyhow::Result<Self> {
        let unit = deployment
            .add_named_unit(&listed.ods, &listed.name, &listed.kind)
            .await?;
        let agent = deployment.agent(&unit).await?;
        agent.run()?;
        let sample = fixtures().join(format!("{}.ndjson", listed.ods));
        let sample = fs::read_to_string(&sample).with_context(|| format!("read {}", sample.display()))?;
        let lines: Vec<String> = sample.lines().map(str::to_owned).collect();
        let holds = expected(lines.iter().map(String::as_str))?;
        let private = holds
            .values()
            .filter(|v| v.pointer("/meta/security").is_some())
            .count();
        Ok(Self {
            name: listed.name,
            unit,
            agent,
            lines,
            holds,
            private,
        })
    }

    /// Gives the agent its sample, and waits until it is taken.
    pub(super) async fn stream_sample(&self) -> anyhow::Result<()> {
        self.agent
            .drop_lines(SAMPLE, self.lines.iter().map(String::as_str))?;
        wait_until("the sample is taken", STEP_WITHIN, || self.agent.took(SAMPLE)).await
    }

    /// How many of its records may leave.
    pub(super) fn shareable(&self) -> usize {
        self.holds.len() - self.private
    }

    /// How many records of a source its output holds.
    pub(super) fn count_from(&self, source: &str) -> u64 {
        let kinds = fs::read_dir(self.current(source)).into_iter().flatten().flatten();
        kinds
            .filter_map(|kind| fs::read_dir(kind.path()).ok())
            .map(|files| files.count() as u64)
            .sum()
    }

    /// The records of a source that its output holds.
    pub(super) fn records_from(&self, source: &str) -> anyhow::Result<Records> {
        tree(&self.agent.output(), source)
    }

    pub(super) fn current(&self, source: &str) -> std::path::PathBuf {
        self.agent.output().join("current").join(Path::new(source))
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn read_standing(pair: &Value) -> Standing {
    let number = |v: &Value, key: &str| v.get(key).and_then(Value::as_u64).unwrap_or_default();
    let withheld = pair
        .get("withheld")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|w| (text(w, "reason").replace('_', " "), number(w, "count")))
        .filter(|(_, count)| *count > 0)
        .collect();
    Standing {
        received: 0,
        in_force: number(pair, "grant") > 0,
        withheld,
    }
}
