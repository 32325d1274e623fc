//! What a run under load found: the figures, what was wrong, and where it was measured. Written as JSON, read
//! back to be shown and compared.
//!
//! Invariant: a run is sound exactly where nothing leaked, was lost, came twice, came out of order or was
//! forged; `findings` says the first of what was not, in words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the format that is written.
pub const FORMAT: u32 = 1;
/// Findings that are put into words; the counts go on.
pub const MAX_FINDINGS: usize = 20;
/// Points of the latency curve.
pub const MAX_CURVE_POINTS: usize = 200;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`FORMAT`].
    pub format: u32,
    /// What made the data; the same seed and plan send the same.
    pub seed: u64,
    /// The scenario's name.
    pub scenario: String,
    /// The whole plan, as it was run.
    pub plan: serde_json::Value,
    /// Where it ran.
    pub machine: Machine,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long was measured.
    pub seconds: f64,
    /// Amendments acknowledged as durable in that time.
    pub amendments: u64,
    /// Amendments that recipients received in that time, all recipients together.
    pub deliveries: u64,
    /// The first over the time.
    pub amendments_per_s: f64,
    /// The second over the time.
    pub deliveries_per_s: f64,
    /// From the intended time of sending to receipt; none where nothing was received.
    pub latency_ms: Option<Latency>,
    /// Quantile (0 to 1) and milliseconds, rising; at most [`MAX_CURVE_POINTS`].
    pub latency_curve: Vec<[f64; 2]>,
    /// Amendments that a recipient got or kept and must not have.
    pub leaks: u64,
    /// Amendments that a recipient must hold and does not.
    pub lost: u64,
    /// Amendments that came twice under one grant.
    pub duplicated: u64,
    /// Amendments of a live feed that came after a later one.
    pub out_of_order: u64,
    /// Amendments whose bytes are not those that were sent.
    pub forged: u64,
    /// The first findings in words; at most [`MAX_FINDINGS`].
    pub findings: Vec<String>,
    /// What the daemon used; none for a daemon elsewhere.
    pub daemon: Option<DaemonUse>,
    /// How long turning a half off took until it was in force.
    pub revoke_ms: Option<Spread>,
    /// How long turning a half on took.
    pub grant_ms: Option<Spread>,
    /// Halves turned.
    pub toggles: u64,
    /// Words of patients.
    pub dissents: u64,
    /// Agents that were dropped and came back.
    pub drops: u64,
    /// Calls that were answered "pending".
    pub pending: u64,
    /// Amendments that were withheld, by reason.
    pub withheld: BTreeMap<String, u64>,
    /// Second by second.
    pub timeline: Vec<Second>,
    /// What the check was made to find, where it was.
    pub sabotage: Option<String>,
}

impl Outcome {
    /// Whether all of leaks, lost, duplicated, out of order and forged are 0.
    pub fn sound(&self) -> bool {
        [
            self.leaks,
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.forged,
        ]
        .iter()
        .all(|count| *count == 0)
    }
}

/// Where a run was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Its cores, as the system counts them.
    pub cores: u32,
    /// Memory.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The load average over a minute, before the run.
    pub load_average: f64,
    /// Whether the build is optimised; figures of one that is not mean nothing.
    pub optimised: bool,
    /// Handfast's version.
    pub version: String,
}

/// Quantiles of the latency in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// Nine in ten are no later.
    pub p90: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    pub p999: f64,
    /// The most.
    pub max: f64,
}

/// How long calls took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Calls.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// The most.
    pub max: f64,
}

/// What the daemon used while it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DaemonUse {
    /// CPU time, user and system.
    pub cpu_s: f64,
    /// Peak resident memory.
    pub rss_peak_mib: f64,
    /// By how much its folder grew.
    pub disk_bytes: u64,
    /// CPU time for a million durable amendments.
    pub cpu_s_per_million: f64,
    /// By how much its folder grew for each.
    pub disk_bytes_per_amendment: f64,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Amendments acknowledged as durable.
    pub amendments: u64,
    /// Amendments received, all recipients together.
    pub deliveries: u64,
    /// The 99th percentile of the latency of what was received; none where nothing was.
    pub p99_ms: Option<f64>,
    /// Cores that the daemon kept busy; none for a daemon elsewhere.
    pub cpu: Option<f64>,
    /// Its resident memory; none for a daemon elsewhere.
    pub rss_mib: Option<f64>,
    /// Halves turned.
    pub toggles: u64,
}
