//! An outcome as one HTML file that needs nothing beside it: style and drawings are in it, there are no
//! scripts, and nothing is fetched.

use super::{
    charts::charts,
    html::{escape, pairs},
    table::rows,
    verdict::{Standing, verdict},
    words::{count, figure, several},
};
use crate::load::Outcome;

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(outcome: &Outcome) -> String {
    let charts: String = charts(outcome).iter().map(super::chart::Chart::figure).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"under\">{under}</p>\n{banner}{tiles}\
         <h2>Over time</h2>\n<div class=\"charts\">\n{charts}</div>\n\
         <h2>All figures</h2>\n<div class=\"columns\">\n<div class=\"card\">{figures}</div>\n<div>\n\
         <div class=\"card\">{machine}</div>\n</div>\n</div>\n{plan}</main>\n</body>\n</html>\n",
        title = escape(&format!("handfast-load: {}", outcome.scenario)),
        under = escape(&under(outcome)),
        banner = banner(outcome),
        tiles = tiles(outcome),
        figures = pairs(&rows(outcome)),
        machine = pairs(&machine(outcome)),
        plan = plan(outcome),
    )
}

fn under(outcome: &Outcome) -> String {
    format!(
        "Begun {} · {} s measured · seed {} · synthetic patients only",
        outcome.started_at,
        figure(outcome.seconds),
        outcome.seed
    )
}

fn banner(outcome: &Outcome) -> String {
    let verdict = verdict(outcome);
    let class = match verdict.standing {
        Standing::Sound => "sound",
        Standing::Unsound => "unsound",
        Standing::Caught | Standing::Empty => "odd",
    };
    let list = |items: &[String]| -> String {
        items
            .iter()
            .map(|item| format!("<li>{}</li>\n", escape(item)))
            .collect()
    };
    let findings = if outcome.findings.is_empty() {
        String::new()
    } else {
        format!("<ul>\n{}</ul>\n", list(&outcome.findings))
    };
    let caveats = if verdict.caveats.is_empty() {
        String::new()
    } else {
        format!("<ul class=\"caveats\">\n{}</ul>\n", list(&verdict.caveats))
    };
    format!(
        "<section class=\"verdict {class}\" aria-label=\"Verdict\">\n<p>{}</p>\n{findings}</section>\n{caveats}",
        escape(&verdict.words)
    )
}

/// The figures that are looked for first.
fn tiles(o: &Outcome) -> String {
    let mut tiles = vec![
        (figure(o.amendments_per_s), "amendments durable a second"),
        (figure(o.deliveries_per_s), "deliveries a second"),
    ];
    if let Some(latency) = &o.latency_ms {
        tiles.push((format!("{} ms", figure(latency.p50)), "latency, median"));
        tiles.push((format!("{} ms", figure(latency.p99)), "latency, 99th percentile"));
    }
    if let Some(revoke) = &o.revoke_ms {
        tiles.push((
            format!("{} ms", figure(revoke.p99)),
            "until off is in force, 99th percentile",
        ));
    }
    if let Some(daemon) = &o.daemon {
        tiles.push((
            format!("{} s", figure(daemon.cpu_s_per_million)),
            "daemon’s CPU per million",
        ));
        tiles.push((
            format!("{} MiB", figure(daemon.rss_peak_mib)),
            "daemon’s memory at most",
        ));
    }
    tiles.push((count(o.toggles), "halves turned"));
    let items: String = tiles
        .iter()
        .map(|(value, name)| format!("<li><b>{}</b><span>{}</span></li>\n", escape(value), escape(name)))
        .collect();
    format!("<ul class=\"tiles\">\n{items}</ul>\n")
}

fn machine(o: &Outcome) -> Vec<(String, String)> {
    let m = &o.machine;
    let built = if m.optimised { "optimised" } else { "not optimised" };
    [
        ("processor", m.cpu.clone()),
        ("cores", several(u64::from(m.cores), "core", "cores")),
        ("memory", format!("{} MiB", count(m.memory_mib))),
        ("kernel", m.kernel.clone()),
        ("load average before the run", figure(m.load_average)),
        ("build", format!("Handfast {}, {built}", m.version)),
        ("format of the outcome", o.format.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn plan(o: &Outcome) -> String {
    let text = serde_json::to_string_pretty(&o.plan).unwrap_or_default();
    format!(
        "<h2>The plan</h2>\n<div class=\"card\"><details open>\n<summary>As it was run</summary>\n\
         <pre>{}</pre>\n</details></div>\n",
        escape(&text)
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::load::{DaemonUse, FORMAT, Latency, Machine, Second, Spread};

    /// A sound run.
    pub(in crate::load::report) fn outcome() -> Outcome {
        Outcome {
            format: FORMAT,
            seed: 7,
            scenario: "run".to_owned(),
            plan: json!({"sources": 4, "recipients": 4, "mix": {"create": 0.4, "amend": 0.55, "retract": 0.05}}),
            machine: Machine {
                cpu: "AMD EPYC".to_owned(),
                cores: 2,
                memory_mib: 24_105,
                kernel: "6.1.0".to_owned(),
                load_average: 0.4,
                optimised: true,
                version: "0.1.0".to_owned(),
            },
            started_at: "2026-11-26T20:40:00Z".to_owned(),
            seconds: 20.0,
            amendments: 1_234_567,
            deliveries: 2_469_134,
            amendments_per_s: 61_728.0,
            deliveries_per_s: 123_456.0,
            latency_ms: Some(Latency {
                p50: 1.3,
                p90: 2.9,
                p99: 5.5,
                p999: 24.4,
                max: 28.8,
            }),
            latency_curve: (0..50)
                .map(|n| (1.0 - 0.8_f64.powi(n), 1.0 + f64::from(n) * 0.6))
                .map(<[f64; 2]>::from)
                .collect(),
            leaks: 0,
            lost: 0,
            duplicated: 0,
            out_of_order: 0,
            forged: 0,
            findings: Vec::new(),
            daemon: Some(DaemonUse {
                cpu_s: 11.2,
                rss_peak_mib: 231.5,
                disk_bytes: 1_700_000_000,
                cpu_s_per_million: 9.1,
                disk_bytes_per_amendment: 1_377.0,
            }),
            revoke_ms: Some(Spread {
                count: 100,
                p50: 2.0,
                p99: 9.0,
                max: 12.0,
            }),
            grant_ms: Some(Spread {
                count: 100,
                p50: 3.0,
                p99: 10.0,
                max: 14.0,
            }),
            toggles: 200,
            dissents: 20,
            drops: 3,
            pending: 0,
            withheld: BTreeMap::from([("share-in off".to_owned(), 1_024)]),
            timeline: (0..20).map(second).collect(),
            sabotage: None,
        }
    }

    fn second(n: u32) -> Second {
        let wave = (f64::from(n) / 3.0).sin();
        Second {
            amendments: 60_000 + u64::from(n % 5) * 1_000,
            deliveries: 120_000 + u64::from(n % 7) * 2_000,
            p99_ms: (n != 9).then_some(5.5 + wave),
            cpu: Some(1.1 + wave / 10.0),
            rss_mib: Some(180.0 + f64::from(n) * 2.5),
            toggles: u64::from(n % 4) * 4,
        }
    }

    #[test]
    fn a_page_fetches_nothing_and_runs_nothing() {
        let page = page(&outcome());
        for banned in [
            "http://", "https://", "//", "src=", "href=", "url(", "@import", "<script", "onload",
        ] {
            let body = page.split_once("default-src").map_or("", |(_, rest)| rest);
            assert!(!body.contains(banned), "{banned} is in the page");
        }
        assert_eq!(page.matches("<svg").count(), 5);
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn whatever_comes_from_a_file_is_escaped() {
        let evil = "<script>alert(1)</script>\"'&";
        let mut o = outcome();
        o.scenario = evil.to_owned();
        o.started_at = evil.to_owned();
        o.plan = json!({ evil: evil });
        o.machine.cpu = evil.to_owned();
        o.machine.kernel = evil.to_owned();
        o.machine.version = evil.to_owned();
        o.findings = vec![evil.to_owned()];
        o.sabotage = Some(evil.to_owned());
        o.withheld = BTreeMap::from([(evil.to_owned(), 1)]);
        let page = page(&o);
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;alert(1)").count(), 11);
    }

    #[test]
    fn the_banner_is_of_the_verdicts_kind() {
        let mut o = outcome();
        assert!(page(&o).contains("class=\"verdict sound\""));
        o.leaks = 1;
        assert!(page(&o).contains("class=\"verdict unsound\""));
        o.sabotage = Some("leak".to_owned());
        assert!(page(&o).contains("class=\"verdict odd\""));
    }

    #[test]
    fn a_daemon_elsewhere_leaves_gaps_and_no_fault() {
        let mut o = outcome();
        o.daemon = None;
        for second in &mut o.timeline {
            (second.cpu, second.rss_mib) = (None, None);
        }
        let page = page(&o);
        assert_eq!(page.matches("Nothing was measured.").count(), 2);
        assert!(!page.contains("daemon’s CPU per million"));
    }
}
