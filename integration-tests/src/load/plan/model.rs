//! The plan of a run, as a scenario's TOML says it and the result's JSON repeats it.

use serde::{Deserialize, Serialize};

use super::{Rate, Topology};

/// What a run is. One from [`Plan::from_toml`] or [`super::Flags::plan`] has passed every check; who changes
/// one calls [`Plan::check`] again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// What it is called in the result.
    pub name: String,
    /// Runs with the same seed send the same data.
    pub seed: u64,
    /// Seconds that are measured.
    pub seconds: u32,
    /// Seconds that it runs before it is measured.
    pub warm_up_seconds: u32,
    /// Agreements with both halves on, in the topology's order of its pairs. Absent: all its pairs. More than
    /// it has pairs: the others are between units beside it, of which nobody sends anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreements: Option<u32>,
    /// Whether clients speak the agents' protocol, or agents themselves run.
    pub agents: Agents,
    /// What the checker is tried with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// Which units there are, and which pairs of them.
    pub topology: Topology,
    /// How often something is amended.
    pub rate: Rate,
    /// What is sent.
    pub data: Data,
    /// What changes while it runs.
    pub changes: Changes,
    /// Recipients that take their time.
    pub slow: Slow,
    /// What the deployment holds beside it.
    pub loaded: Loaded,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: "run".to_owned(),
            seed: 1,
            seconds: 30,
            warm_up_seconds: 2,
            agreements: None,
            agents: Agents::Protocol,
            sabotage: None,
            topology: Topology::default(),
            rate: Rate::Closed,
            data: Data::default(),
            changes: Changes::default(),
            slow: Slow::default(),
            loaded: Loaded::default(),
        }
    }
}

/// What the sources send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Patients whom all sources' records are about.
    pub patients: u32,
    /// Records that each source has at most at one time.
    pub records_per_source: u32,
    /// How large payloads are.
    pub payload: Payload,
    /// How much of what.
    pub mix: Mix,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            patients: 10_000,
            records_per_source: 5_000,
            payload: Payload::Spread,
            mix: Mix::default(),
        }
    }
}

/// How large payloads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Payload {
    /// As in real records: 300 B to 300 KiB, median about 1 KiB.
    Spread,
    /// All of so many bytes.
    Fixed(u32),
}

/// Shares of amendments, in percent. Where a source has all its records, a create becomes an amend; where it
/// has none, what would change one becomes a create.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// New records.
    pub create_percent: f64,
    /// New versions.
    pub amend_percent: f64,
    /// Retractions.
    pub retract_percent: f64,
    /// Of the creates and amends, those that are private.
    pub private_percent: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            create_percent: 50.0,
            amend_percent: 45.0,
            retract_percent: 5.0,
            private_percent: 1.0,
        }
    }
}

/// What changes while it runs, in events a second over the whole deployment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// Halves turned off or on.
    pub toggles_per_second: f64,
    /// Patients who say no, or take it back.
    pub dissents_per_second: f64,
    /// Agents that lose their connection and come back.
    pub drops_per_second: f64,
}

/// Recipients that take their time over each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slow {
    /// How many of the recipients: the last ones.
    pub recipients: u32,
    /// Milliseconds over each message.
    pub delay_ms: u32,
}

/// What a deployment of some years holds beside what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loaded {
    /// Agreements between units beside the measured ones.
    pub agreements: u32,
    /// Patients of whom it is recorded what they said.
    pub patients: u32,
}

/// Who sends and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Agents {
    /// Clients that speak the agents' protocol, without their stores.
    Protocol,
    /// `handfast-agent` itself, with its stores, fed through its folder.
    Full,
}

/// What becomes of one amendment on the way to its checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sabotage {
    /// It does not arrive.
    Drop,
    /// A byte of it is another.
    Forge,
    /// It arrives where it must not.
    Leak,
}
