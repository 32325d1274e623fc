//! Two outcomes side by side, with ratios, and a warning where they are not of a kind.

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::Value;

use super::{
    table::checks,
    verdict::{Standing, verdict},
    words::figure,
};
use crate::load::Outcome;

/// Differences between two plans that are named; more are counted.
const MAX_DIFFERENCES: usize = 12;

/// An outcome with the name that it goes by, such as its file's.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// The outcome.
    pub outcome: &'a Outcome,
}

/// Both as a table, the ratio of the second to the first, and what makes them hard to compare.
pub fn compare(a: Named<'_>, b: Named<'_>) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header(vec!["figure", a.name, b.name, "ratio"]);
    for (name, of) in FIGURES {
        let (x, y) = (of(a.outcome), of(b.outcome));
        if x.is_none() && y.is_none() {
            continue;
        }
        let show = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), figure);
        table.add_row(vec![(*name).to_owned(), show(x), show(y), ratio(x, y)]);
    }
    for ((name, x), (_, y)) in checks(a.outcome).into_iter().zip(checks(b.outcome)) {
        table.add_row(vec![name.to_owned(), x.to_string(), y.to_string(), String::new()]);
    }
    for place in 1..=3 {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = format!("{table}\n");
    for warning in warnings(a, b) {
        out.push_str(&format!("Warning: {warning}\n"));
    }
    out
}

type Of = fn(&Outcome) -> Option<f64>;

const FIGURES: &[(&str, Of)] = &[
    ("amendments/s", |o| Some(o.amendments_per_s)),
    ("deliveries/s", |o| Some(o.deliveries_per_s)),
    ("latency p50 ms", |o| o.latency_ms.map(|l| l.p50)),
    ("latency p90 ms", |o| o.latency_ms.map(|l| l.p90)),
    ("latency p99 ms", |o| o.latency_ms.map(|l| l.p99)),
    ("latency p99.9 ms", |o| o.latency_ms.map(|l| l.p999)),
    ("latency most ms", |o| o.latency_ms.map(|l| l.max)),
    ("turned off p50 ms", |o| o.revoke_ms.map(|s| s.p50)),
    ("turned off p99 ms", |o| o.revoke_ms.map(|s| s.p99)),
    ("turned on p99 ms", |o| o.grant_ms.map(|s| s.p99)),
    ("daemon's CPU s per million", |o| {
        o.daemon.map(|d| d.cpu_s_per_million)
    }),
    ("daemon's peak MiB", |o| o.daemon.map(|d| d.rss_peak_mib)),
    ("disk bytes an amendment", |o| {
        o.daemon.map(|d| d.disk_bytes_per_amendment)
    }),
    ("halves turned", |o| Some(o.toggles as f64)),
    ("calls pending", |o| Some(o.pending as f64)),
];

fn ratio(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a > 0.0 => format!("{:.3}", b / a),
        _ => String::new(),
    }
}

fn warnings(a: Named<'_>, b: Named<'_>) -> Vec<String> {
    let (m, n) = (&a.outcome.machine, &b.outcome.machine);
    let mut out = Vec::new();
    let mut differs = |what: &str, x: String, y: String| {
        if x != y {
            out.push(format!("{what} differs: {x} against {y}"));
        }
    };
    differs("the processor", m.cpu.clone(), n.cpu.clone());
    differs("the number of cores", m.cores.to_string(), n.cores.to_string());
    differs(
        "the memory in MiB",
        m.memory_mib.to_string(),
        n.memory_mib.to_string(),
    );
    differs("the kernel", m.kernel.clone(), n.kernel.clone());
    differs("the version", m.version.clone(), n.version.clone());
    let built = |optimised: bool| if optimised { "optimised" } else { "not optimised" }.to_owned();
    differs("the build", built(m.optimised), built(n.optimised));
    differs("the seed", a.outcome.seed.to_string(), b.outcome.seed.to_string());
    let mut plans = Vec::new();
    differences("plan", Some(&a.outcome.plan), Some(&b.outcome.plan), &mut plans);
    let more = plans.len().saturating_sub(MAX_DIFFERENCES);
    out.extend(plans.into_iter().take(MAX_DIFFERENCES));
    if more > 0 {
        out.push(format!("the plans differ in {more} more"));
    }
    for named in [a, b] {
        let v = verdict(named.outcome);
        if v.standing != Standing::Sound {
            out.push(format!("{}: {}", named.name, v.words));
        }
        out.extend(
            v.caveats
                .into_iter()
                .map(|caveat| format!("{}: {caveat}", named.name)),
        );
    }
    out
}

/// Where two JSON values differ, by path.
fn differences(path: &str, a: Option<&Value>, b: Option<&Value>, out: &mut Vec<String>) {
    if a == b {
        return;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (a, b) {
        let also = b.keys().filter(|key| !a.contains_key(*key));
        for key in a.keys().chain(also) {
            differences(&format!("{path}.{key}"), a.get(key), b.get(key), out);
        }
        return;
    }
    let show = |v: Option<&Value>| v.map_or_else(|| "nothing".to_owned(), Value::to_string);
    out.push(format!("{path} differs: {} against {}", show(a), show(b)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::load::report::page::tests::outcome;

    #[test]
    fn runs_of_a_kind_are_compared_without_a_warning() {
        let (a, mut b) = (outcome(), outcome());
        b.amendments_per_s = a.amendments_per_s * 1.5;
        let text = compare(named("a", &a), named("b", &b));
        assert!(text.contains("1.500"), "{text}");
        assert!(!text.contains("Warning"), "{text}");
    }

    fn named<'a>(name: &'a str, outcome: &'a Outcome) -> Named<'a> {
        Named { name, outcome }
    }

    #[test]
    fn another_machine_build_plan_or_seed_is_warned_of() {
        let a = outcome();
        type Change = fn(&mut Outcome);
        let changes: [(Change, &str); 6] = [
            (|o| o.machine.cpu = "another".to_owned(), "the processor differs"),
            (|o| o.machine.cores = 64, "cores differs: 2 against 64"),
            (|o| o.machine.optimised = false, "the build differs"),
            (|o| o.machine.version = "9".to_owned(), "the version differs"),
            (|o| o.seed = 8, "the seed differs: 7 against 8"),
            (
                |o| o.plan["sources"] = json!(9),
                "plan.sources differs: 4 against 9",
            ),
        ];
        for (change, warning) in changes {
            let mut b = outcome();
            change(&mut b);
            let text = compare(named("a", &a), named("b", &b));
            assert!(text.contains(warning), "{warning} is missing in\n{text}");
        }
    }

    #[test]
    fn an_unsound_run_is_warned_of() {
        let (a, mut b) = (outcome(), outcome());
        b.leaks = 2;
        let text = compare(named("a", &a), named("b.json", &b));
        assert!(text.contains("Warning: b.json: Not sound: 2 leaks."), "{text}");
    }

    #[test]
    fn keys_of_one_plan_alone_are_named() {
        let mut out = Vec::new();
        let (a, b) = (json!({"x": {"y": 1}}), json!({"x": {"y": 1, "z": [2]}}));
        differences("plan", Some(&a), Some(&b), &mut out);
        assert_eq!(out, ["plan.x.z differs: nothing against [2]"]);
    }
}
