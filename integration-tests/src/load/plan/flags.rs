//! The flags of `handfast-load run`: the common case by themselves, and a scenario with some of its fields
//! given anew.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{Agents, Payload, Plan, Rate, Sabotage, Topology};

/// What a run is. Without a scenario: so many sources share with so many recipients, as fast as it goes.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Reads everything from this file; other flags given replace what it says.
    #[arg(long, value_name = "FILE.toml")]
    pub scenario: Option<PathBuf>,
    /// Units that send; with --recipients each shares with each.
    #[arg(long, value_name = "N")]
    pub sources: Option<u32>,
    /// Units that receive.
    #[arg(long, value_name = "N")]
    pub recipients: Option<u32>,
    /// A county: so many practices around an acute and a community trust.
    #[arg(long, value_name = "PRACTICES", conflicts_with_all = ["sources", "recipients"], num_args = 0..=1, default_missing_value = "140")]
    pub county: Option<u32>,
    /// Agreements with both halves on, at most.
    #[arg(long, value_name = "N")]
    pub agreements: Option<u32>,
    /// How long it is measured.
    #[arg(long, value_name = "N")]
    pub seconds: Option<u32>,
    /// How long it runs before.
    #[arg(long, value_name = "N")]
    pub warm_up_seconds: Option<u32>,
    /// Runs with the same seed send the same data.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Amendments a second of all sources, at random distances; without it, as many as are taken.
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// Patients whom the records are about.
    #[arg(long, value_name = "N")]
    pub patients: Option<u32>,
    /// Records of each source.
    #[arg(long, value_name = "N")]
    pub records: Option<u32>,
    /// Bytes of every payload; without it, as in real records.
    #[arg(long, value_name = "N")]
    pub payload_bytes: Option<u32>,
    /// Halves turned off or on in a second.
    #[arg(long, value_name = "N")]
    pub toggles_per_second: Option<f64>,
    /// Patients in a second who say no, or take it back.
    #[arg(long, value_name = "N")]
    pub dissents_per_second: Option<f64>,
    /// Agents in a second that lose their connection and come back.
    #[arg(long, value_name = "N")]
    pub drops_per_second: Option<f64>,
    /// Recipients that take --slow-delay-ms over each message.
    #[arg(long, value_name = "N", requires = "slow_delay_ms")]
    pub slow_recipients: Option<u32>,
    /// Milliseconds that a slow recipient takes over a message.
    #[arg(long, value_name = "N")]
    pub slow_delay_ms: Option<u32>,
    /// Who sends and receives.
    #[arg(long, value_enum)]
    pub agents: Option<Agents>,
    /// Loads 1,000 agreements and what 100,000 patients said before it runs.
    #[arg(long)]
    pub loaded: bool,
    /// Lets one amendment be dropped, forged or leaked on its way to the checker, which must find it.
    #[arg(long, value_enum)]
    pub sabotage: Option<Sabotage>,
}

/// What `--loaded` loads.
const LOADED_AGREEMENTS: u32 = 1_000;
const LOADED_PATIENTS: u32 = 100_000;

impl Flags {
    /// The plan that they say, checked.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let mut plan = match &self.scenario {
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
                Plan::from_toml(&text).with_context(|| format!("the scenario {}", file.display()))?
            }
            None => Plan::default(),
        };
        self.replace(&mut plan);
        plan.check()?;
        Ok(plan)
    }

    fn replace(&self, plan: &mut Plan) {
        self.replace_topology(plan);
        set(&mut plan.seconds, self.seconds);
        set(&mut plan.warm_up_seconds, self.warm_up_seconds);
        set(&mut plan.seed, self.seed);
        set(
            &mut plan.rate,
            self.rate.map(|per_second| Rate::Poisson { per_second }),
        );
        set(&mut plan.data.patients, self.patients);
        set(&mut plan.data.records_per_source, self.records);
        set(&mut plan.data.payload, self.payload_bytes.map(Payload::Fixed));
        set(&mut plan.changes.toggles_per_second, self.toggles_per_second);
        set(&mut plan.changes.dissents_per_second, self.dissents_per_second);
        set(&mut plan.changes.drops_per_second, self.drops_per_second);
        set(&mut plan.slow.recipients, self.slow_recipients);
        set(&mut plan.slow.delay_ms, self.slow_delay_ms);
        set(&mut plan.agents, self.agents);
        if self.loaded {
            plan.loaded.agreements = LOADED_AGREEMENTS;
            plan.loaded.patients = LOADED_PATIENTS;
        }
        plan.agreements = self.agreements.or(plan.agreements);
        plan.sabotage = self.sabotage.or(plan.sabotage);
    }

    fn replace_topology(&self, plan: &mut Plan) {
        if let Some(practices) = self.county {
            plan.topology = Topology::County {
                practices,
                centres: 2,
            };
        }
        if self.sources.is_none() && self.recipients.is_none() {
            return;
        }
        let (sources, recipients) = match plan.topology {
            Topology::Bipartite { sources, recipients } => (sources, recipients),
            _ => (1, 1),
        };
        plan.topology = Topology::Bipartite {
            sources: self.sources.unwrap_or(sources),
            recipients: self.recipients.unwrap_or(recipients),
        };
    }
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}
