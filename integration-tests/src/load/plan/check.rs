//! Whether a plan can be run. Each fault names the field, its value and what to do.

use std::ops::RangeInclusive;

use anyhow::{Context as _, bail, ensure};

use super::{
    Agents, Data, Layout, Mix, Payload, Plan, Rate, Topology,
    bounds::{
        MAX_AMENDMENTS_PER_SECOND, MAX_CHANGES_PER_SECOND, MAX_DELAY_MS, MAX_FIXED_BYTES,
        MAX_LOADED_AGREEMENTS, MAX_LOADED_PATIENTS, MAX_NAME_CHARS, MAX_PAIRS, MAX_PATIENTS,
        MAX_RECORDS_PER_SOURCE, MAX_SECONDS, MAX_UNITS, MAX_WARM_UP_SECONDS, MIN_FIXED_BYTES,
    },
};

/// How far shares may lie from 100, percent.
const SHARES_WITHIN: f64 = 0.001;
/// The most units of which each runs an agent of its own.
const MAX_FULL_AGENTS: u64 = 200;

impl Plan {
    /// Reads a scenario and checks it.
    pub fn from_toml(text: &str) -> anyhow::Result<Self> {
        let plan: Self = toml::from_str(text)
            .context("read the scenario; integration-tests/fixtures/load/ has examples of every field")?;
        plan.check()?;
        Ok(plan)
    }

    /// As a scenario's file would say it.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The units and pairs of it.
    pub fn layout(&self) -> Layout {
        self.topology.layout(self.agreements)
    }

    /// Refuses what cannot be run.
    pub fn check(&self) -> anyhow::Result<()> {
        let chars = self.name.chars().count();
        let plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
        ensure!(
            (1..=MAX_NAME_CHARS).contains(&chars) && self.name.chars().all(plain),
            "name is {:?}: choose 1 to {MAX_NAME_CHARS} letters, digits, spaces, '-', '_' or '.'",
            self.name
        );
        within("seconds", self.seconds, 1..=MAX_SECONDS)?;
        within("warm_up_seconds", self.warm_up_seconds, 0..=MAX_WARM_UP_SECONDS)?;
        self.check_topology()?;
        self.check_rate()?;
        self.data.check()?;
        self.check_changes()?;
        within(
            "loaded.agreements",
            self.loaded.agreements,
            0..=MAX_LOADED_AGREEMENTS,
        )?;
        within("loaded.patients", self.loaded.patients, 0..=MAX_LOADED_PATIENTS)
    }

    fn check_topology(&self) -> anyhow::Result<()> {
        let (name, least, values) = match self.topology {
            Topology::Bipartite { sources, recipients } => (
                "bipartite",
                1,
                vec![("sources", sources), ("recipients", recipients)],
            ),
            Topology::Ring { units } => ("ring", 2, vec![("units", units)]),
            Topology::Star { around } => ("star", 1, vec![("around", around)]),
            Topology::County { practices, centres } => {
                ("county", 1, vec![("practices", practices), ("centres", centres)])
            }
            Topology::Mesh { units } => ("mesh", 2, vec![("units", units)]),
        };
        for (field, value) in values {
            within(&format!("topology.{field} of a {name}"), value, least..=MAX_UNITS)?;
        }
        let (units, pairs) = (self.topology.units(), self.topology.pairs());
        ensure!(
            units <= u64::from(MAX_UNITS),
            "topology has {units} units: choose a smaller one, of at most {MAX_UNITS} units"
        );
        ensure!(
            pairs <= u64::from(MAX_PAIRS),
            "topology has {pairs} ordered pairs: choose a smaller one, of at most {MAX_PAIRS} pairs"
        );
        ensure!(
            self.agents == Agents::Protocol || units <= MAX_FULL_AGENTS,
            "agents is \"full\" and topology has {units} units: choose at most {MAX_FULL_AGENTS} units, or agents = \
             \"protocol\""
        );
        within("agreements", self.agreements.unwrap_or(0), 0..=MAX_PAIRS)
    }

    fn check_rate(&self) -> anyhow::Result<()> {
        let above = f64::MIN_POSITIVE..=MAX_AMENDMENTS_PER_SECOND;
        let from_none = 0.0..=MAX_AMENDMENTS_PER_SECOND;
        match self.rate {
            Rate::Closed => Ok(()),
            Rate::Constant { per_second } | Rate::Poisson { per_second } => {
                number("rate.per_second", per_second, &above, "amendments a second")
            }
            Rate::Ramp {
                from_per_second,
                to_per_second,
            } => {
                number(
                    "rate.from_per_second",
                    from_per_second,
                    &from_none,
                    "amendments a second",
                )?;
                number(
                    "rate.to_per_second",
                    to_per_second,
                    &from_none,
                    "amendments a second",
                )?;
                ensure!(
                    from_per_second + to_per_second > 0.0,
                    "rate.from_per_second and rate.to_per_second are both 0: nothing would be sent; raise one"
                );
                Ok(())
            }
            Rate::MorningPeak { peak_per_second } => number(
                "rate.peak_per_second",
                peak_per_second,
                &above,
                "amendments a second",
            ),
        }
    }

    fn check_changes(&self) -> anyhow::Result<()> {
        let bound = 0.0..=MAX_CHANGES_PER_SECOND;
        let changes = &self.changes;
        for (field, value) in [
            ("changes.toggles_per_second", changes.toggles_per_second),
            ("changes.dissents_per_second", changes.dissents_per_second),
            ("changes.drops_per_second", changes.drops_per_second),
        ] {
            number(field, value, &bound, "a second")?;
        }
        let recipients = u32::try_from(self.layout().recipients.len()).unwrap_or(u32::MAX);
        within("slow.recipients", self.slow.recipients, 0..=recipients)?;
        within("slow.delay_ms", self.slow.delay_ms, 0..=MAX_DELAY_MS)?;
        ensure!(
            self.slow.recipients == 0 || self.slow.delay_ms > 0,
            "slow.delay_ms is 0 and slow.recipients is {}: give a delay in milliseconds, or no slow recipients",
            self.slow.recipients
        );
        Ok(())
    }
}

impl Data {
    /// Refuses what no stream can be made of.
    pub fn check(&self) -> anyhow::Result<()> {
        within("data.patients", self.patients, 1..=MAX_PATIENTS)?;
        within(
            "data.records_per_source",
            self.records_per_source,
            1..=MAX_RECORDS_PER_SOURCE,
        )?;
        if let Payload::Fixed(bytes) = self.payload {
            within(
                "data.payload.fixed (bytes)",
                bytes,
                MIN_FIXED_BYTES..=MAX_FIXED_BYTES,
            )?;
        }
        self.mix.check()
    }
}

impl Mix {
    fn check(&self) -> anyhow::Result<()> {
        for (field, value) in [
            ("data.mix.create_percent", self.create_percent),
            ("data.mix.amend_percent", self.amend_percent),
            ("data.mix.retract_percent", self.retract_percent),
            ("data.mix.private_percent", self.private_percent),
        ] {
            number(field, value, &(0.0..=100.0), "percent")?;
        }
        let sum = self.create_percent + self.amend_percent + self.retract_percent;
        if (sum - 100.0).abs() > SHARES_WITHIN {
            bail!(
                "data.mix: create_percent {}, amend_percent {} and retract_percent {} make {sum}: let them make 100",
                self.create_percent,
                self.amend_percent,
                self.retract_percent
            );
        }
        Ok(())
    }
}

fn within(field: &str, value: u32, bound: RangeInclusive<u32>) -> anyhow::Result<()> {
    ensure!(
        bound.contains(&value),
        "{field} is {value}: choose {} to {}",
        bound.start(),
        bound.end()
    );
    Ok(())
}

fn number(field: &str, value: f64, bound: &RangeInclusive<f64>, unit: &str) -> anyhow::Result<()> {
    if bound.contains(&value) {
        return Ok(());
    }
    if *bound.start() > 0.0 {
        bail!(
            "{field} is {value}: choose more than 0 and at most {} {unit}",
            bound.end()
        );
    }
    bail!(
        "{field} is {value}: choose {} to {} {unit}",
        bound.start(),
        bound.end()
    );
}
