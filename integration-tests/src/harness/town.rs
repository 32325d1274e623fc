//! A daemon and some units with real agents, whose folders the test fills and reads.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use handfast_proto::v1::Side;

use super::{
    agent::AgentProcess,
    chaos::Chaos,
    deployment::{Deployment, UnitAtTest},
    synthetic::{nhs_number, observation_line, patient_line},
    trees::{Records, changes, check_changes, expected, tree_differs},
    wait::wait_until,
};

/// Patients of each unit of a town; the same people at each.
const PATIENTS: u64 = 20;

/// A unit, its agent, and what its clinical system has written.
#[derive(Debug)]
pub struct Household {
    /// The unit and its administrator.
    pub unit: UnitAtTest,
    /// Its agent.
    pub agent: AgentProcess,
    /// Every line given to the agent, in order.
    pub written: Vec<String>,
    files: u64,
    records: u64,
}

/// A deployment whose units have real agents.
#[derive(Debug)]
pub struct Town {
    /// The units, `Z00001` first. Dropped first: an agent that still ran would write into a folder that goes.
    pub households: Vec<Household>,
    /// The daemon.
    pub deployment: Deployment,
}

impl Town {
    /// So many units with running agents, all halves off.
    pub async fn new(units: usize) -> anyhow::Result<Self> {
        Self::over(Deployment::start().await?, units).await
    }

    /// The same, in a deployment that is there.
    pub async fn over(deployment: Deployment, units: usize) -> anyhow::Result<Self> {
        let mut households = Vec::new();
        for n in 1..=units {
            let unit = deployment.add_unit(&format!("Z{n:05}"), "gp").await?;
            let agent = deployment.agent(&unit).await?;
            agent.run()?;
            households.push(Household {
                unit,
                agent,
                written: Vec::new(),
                files: 0,
                records: 0,
            });
        }
        Ok(Self {
            deployment,
            households,
        })
    }

    /// A household by its place.
    pub fn house(&self, place: usize) -> anyhow::Result<&Household> {
        self.households.get(place).context("a household")
    }

    /// A household by its place, to write in.
    pub fn house_mut(&mut self, place: usize) -> anyhow::Result<&mut Household> {
        self.households.get_mut(place).context("a household")
    }

    /// Every ordered pair.
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let n = self.households.len();
        (0..n)
            .flat_map(|s| (0..n).filter(move |r| *r != s).map(move |r| (s, r)))
            .collect()
    }

    /// Turns one half of a pair.
    pub async fn turn(&self, side: Side, from: usize, to: usize, on: bool) -> anyhow::Result<u64> {
        let (source, recipient) = (self.house(from)?, self.house(to)?);
        let who = if side == Side::ShareOut { source } else { recipient };
        let turned = who
            .unit
            .admin
            .set(side, &source.unit.ods, &recipient.unit.ods, on)
            .await?;
        Ok(turned.agreement.grant)
    }

    /// Turns both halves of every pair on.
    pub async fn join_all(&self) -> anyhow::Result<()> {
        for (s, r) in self.pairs() {
            self.turn(Side::ShareOut, s, r, true).await?;
            self.turn(Side::ShareIn, s, r, true).await?;
        }
        Ok(())
    }

    /// Waits until a recipient holds exactly what a source has written, or nothing of it.
    pub async fn tree_is_right(
        &self,
        (s, r): (usize, usize),
        shared: bool,
        timeout: Duration,
    ) -> anyhow::Result<()> {
        let (source, recipient) = (self.house(s)?, self.house(r)?);
        let want = if shared { source.holds()? } else { Records::new() };
        let what = format!("{} holds what it may of {}", recipient.unit.ods, source.unit.ods);
        wait_until(&what, timeout, || {
            tree_differs(&recipient.agent.output(), &source.unit.ods, &want)
        })
        .await
    }

    /// Every recipient has every seq of every source once and in order.
    pub fn changes_are_whole(&self) -> anyhow::Result<()> {
        for (place, house) in self.households.iter().enumerate() {
            let heads: BTreeMap<String, u64> = self
                .households
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place)
                .map(|(_, h)| (h.unit.ods.clone(), h.written.len() as u64))
                .collect();
            let lines = changes(&house.agent.output())?;
            check_changes(&lines, &heads)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("changes.ndjson of {}", house.unit.ods))?;
        }
        Ok(())
    }

    /// No recipient has a seq twice or out of order.
    pub fn changes_are_in_order(&self) -> anyhow::Result<()> {
        for house in &self.households {
            check_changes(&changes(&house.agent.output())?, &BTreeMap::new())
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("changes.ndjson of {}", house.unit.ods))?;
        }
        Ok(())
    }
}

impl Household {
    /// What its clinical system holds.
    pub fn holds(&self) -> anyhow::Result<Records> {
        expected(self.written.iter().map(String::as_str))
    }

    /// Writes a file of so many lines, every one of them a change: the patients first, then observations,
    /// new ones and new values of old ones, sometimes of the same one twice in a file.
    pub fn write(&mut self, lines: usize, chaos: &mut Chaos) -> anyhow::Result<String> {
        let mut new = Vec::new();
        while new.len() < lines {
            let n = (self.written.len() + new.len()) as u64;
            new.push(self.line(n, chaos)?);
        }
        let name = format!("f{:05}.ndjson", self.files);
        self.files += 1;
        self.agent.drop_lines(&name, new.iter().map(String::as_str))?;
        self.written.append(&mut new);
        Ok(name)
    }

    /// Writes a file with given lines.
    pub fn write_lines(&mut self, lines: Vec<String>) -> anyhow::Result<String> {
        let name = format!("f{:05}.ndjson", self.files);
        self.files += 1;
        self.agent.drop_lines(&name, lines.iter().map(String::as_str))?;
        self.written.extend(lines);
        Ok(name)
    }

    /// The name of the last file written.
    pub fn last_file(&self) -> String {
        format!("f{:05}.ndjson", self.files.saturating_sub(1))
    }

    fn line(&mut self, n: u64, chaos: &mut Chaos) -> anyhow::Result<String> {
        if n < PATIENTS {
            // The same people under the same ids at each unit, but for what a unit writes of them: one unit's
            // record that another sent word for word would be an echo.
            let family = format!("Synthetic-{}", self.unit.ods);
            return Ok(patient_line(&format!("p{n}"), nhs_number(n)?, &family));
        }
        let record = if self.records == 0 || chaos.once_in(3) {
            self.records += 1;
            self.records - 1
        } else {
            chaos.number(0, self.records)
        };
        // The value is the line's place at its unit, so that no two lines are alike.
        let unit: u64 = self.unit.ods.trim_start_matches('Z').parse()?;
        Ok(observation_line(
            &format!("o{record}"),
            &format!("p{}", record % PATIENTS),
            n + unit * 1_000_000,
        ))
    }
}
