//! An outcome as a table for a terminal.

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};

use super::{
    verdict::verdict,
    words::{bytes, count, figure},
};
use crate::load::Outcome;

/// The verdict, the figures and the first findings.
pub fn table(outcome: &Outcome) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header(vec!["figure", "value"]);
    for (name, value) in rows(outcome) {
        table.add_row(vec![name, value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let verdict = verdict(outcome);
    let mut out = format!(
        "{} · seed {} · {:.1} s measured\n{table}\n",
        outcome.scenario, outcome.seed, outcome.seconds
    );
    for finding in &outcome.findings {
        out.push_str(&format!("  - {finding}\n"));
    }
    for caveat in &verdict.caveats {
        out.push_str(&format!("Note: {caveat}\n"));
    }
    out.push_str(&verdict.words);
    out.push('\n');
    out
}

/// Every figure with its name, in the order in which they are shown.
pub(super) fn rows(o: &Outcome) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row("amendments durable", count(o.amendments));
    row("amendments durable, a second", figure(o.amendments_per_s));
    row("deliveries", count(o.deliveries));
    row("deliveries a second", figure(o.deliveries_per_s));
    if let Some(l) = &o.latency_ms {
        let all = [l.p50, l.p90, l.p99, l.p999, l.max].map(figure).join(" / ");
        row("latency ms, p50 / p90 / p99 / p99.9 / most", all);
    }
    for (name, spread) in [("turned off", &o.revoke_ms), ("turned on", &o.grant_ms)] {
        if let Some(s) = spread {
            let all = [s.p50, s.p99, s.max].map(figure).join(" / ");
            row(
                &format!("{name}, ms, p50 / p99 / most of {}", count(s.count)),
                all,
            );
        }
    }
    if let Some(d) = &o.daemon {
        row("daemon's CPU s", figure(d.cpu_s));
        row(
            "daemon's CPU s, per million amendments",
            figure(d.cpu_s_per_million),
        );
        row("daemon's peak memory, MiB", figure(d.rss_peak_mib));
        row("disk, all", bytes(d.disk_bytes as f64));
        row("disk, an amendment", bytes(d.disk_bytes_per_amendment));
    }
    row("halves turned", count(o.toggles));
    row("patients' words", count(o.dissents));
    row("agents dropped", count(o.drops));
    row("calls pending", count(o.pending));
    for (reason, n) in &o.withheld {
        row(&format!("withheld: {reason}"), count(*n));
    }
    for (name, n) in checks(o) {
        row(name, count(n));
    }
    rows
}

/// What must be 0.
pub(super) fn checks(o: &Outcome) -> [(&'static str, u64); 5] {
    [
        ("leaks", o.leaks),
        ("lost", o.lost),
        ("duplicated", o.duplicated),
        ("out of order", o.out_of_order),
        ("forged", o.forged),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::page::tests::outcome;

    #[test]
    fn a_table_has_the_figures_the_findings_and_the_verdict() {
        let mut o = outcome();
        o.lost = 1;
        o.findings = vec!["Z00001 seq 7 never came to Z00002".to_owned()];
        let text = table(&o);
        for part in [
            "1,234,567",
            "leaks",
            "withheld: share-in off",
            "Z00001 seq 7 never came",
            "Not sound: 1 lost.",
            "per million",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
