//! The figures of a run, as a table and as JSON.

use serde::Serialize;

/// What one scenario measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Which scenario.
    pub scenario: String,
    /// Units that published.
    pub sources: usize,
    /// Units that received from each of them.
    pub recipients: usize,
    /// How long it was measured.
    pub seconds: f64,
    /// Amendments a second that the daemon acknowledged as durable.
    pub durable_per_second: f64,
    /// Amendments a second that arrived, all recipients together.
    pub delivered_per_second: f64,
    /// CPU time of the daemon.
    pub daemon_cpu_seconds: f64,
    /// CPU time of the daemon for a million durable amendments.
    pub daemon_cpu_seconds_per_million: f64,
    /// Peak resident memory of the daemon.
    pub daemon_peak_mib: f64,
    /// From the intended time of sending to the arrival, in milliseconds: p50, p99, p99.9, most.
    pub latency_ms: Option<[f64; 4]>,
}

/// Prints the figures as a table.
#[expect(clippy::print_stdout, reason = "the benchmark's output")]
pub fn print_table(figures: &[Figures]) {
    println!(
        "{:<34} {:>11} {:>12} {:>9} {:>12} {:>9}   latency ms p50 / p99 / p99.9 / most",
        "scenario", "durable/s", "delivered/s", "CPU s", "CPU s/mill.", "peak MiB"
    );
    for f in figures {
        let latency = f.latency_ms.map_or(String::new(), |[p50, p99, p999, most]| {
            format!("{p50:.2} / {p99:.2} / {p999:.2} / {most:.2}")
        });
        println!(
            "{:<34} {:>11.0} {:>12.0} {:>9.1} {:>12.2} {:>9.0}   {latency}",
            f.scenario,
            f.durable_per_second,
            f.delivered_per_second,
            f.daemon_cpu_seconds,
            f.daemon_cpu_seconds_per_million,
            f.daemon_peak_mib,
        );
    }
}
