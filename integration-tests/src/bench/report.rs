//! The figures of a run, as a table and as JSON.

use serde::Serialize;

use super::{
    load::LoadFigures,
    toggle::{Calls, ToggleFigures},
};

/// What a run measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Scenarios in which amendments flow.
    pub scenarios: Vec<Figures>,
    /// Turning halves.
    pub toggle: Option<ToggleFigures>,
}

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
    /// What was loaded before.
    pub load: Option<LoadFigures>,
}

/// Prints a report as tables.
pub fn print_report(report: &Report) {
    if !report.scenarios.is_empty() {
        print_table(&report.scenarios);
    }
    if let Some(toggle) = &report.toggle {
        print_toggle(toggle);
    }
}

#[expect(clippy::print_stdout, reason = "the benchmark's output")]
fn print_table(figures: &[Figures]) {
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
        print_load(f.load.as_ref());
    }
}

#[expect(clippy::print_stdout, reason = "the benchmark's output")]
fn print_load(load: Option<&LoadFigures>) {
    if let Some(load) = load {
        println!(
            "  loaded before: {} units, {} agreements ({:.0} halves/s), {} words of {} patients ({:.0} words/s)",
            load.units,
            load.agreements,
            load.halves_per_second,
            load.words,
            load.patients,
            load.words_per_second,
        );
    }
}

#[expect(clippy::print_stdout, reason = "the benchmark's output")]
fn print_toggle(t: &ToggleFigures) {
    println!(
        "toggle: {} current records, durable at {:.0}/s; the daemon had nothing to do {:.1} s later",
        t.records, t.filled_per_second, t.settled_seconds
    );
    print_load(t.load.as_ref());
    println!("  {:<48} {:>6} {:>11} {:>11}", "ms", "calls", "p50", "most");
    let row = |what: &str, calls: &Calls| {
        println!(
            "  {what:<48} {:>6} {:>11.1} {:>11.1}",
            calls.count, calls.p50_ms, calls.max_ms
        );
    };
    row("on", &t.on);
    row("  until every record has arrived", &t.caught_up);
    row("off, nothing on its way", &t.off_at_rest);
    row("off, in the middle of a catch-up", &t.off_in_the_middle);
    row("  until the withdrawal has arrived", &t.withdrawn);
    row("narrowed to nothing, and widened again", &t.narrowed);
    row("  until every removal or record has arrived", &t.changed);
    println!(
        "  the fence itself may wait {} ms; pending or cut: {}; a preview took {:.0} ms",
        t.fence_may_wait_ms, t.pending_or_cut, t.preview_ms
    );
    println!(
        "  the daemon: {:.1} s of CPU; {:.0} MiB before, {:.0} at most, {:.0} after",
        t.daemon_cpu_seconds, t.resident_before_mib, t.peak_mib, t.resident_after_mib
    );
}
