//! The same scenarios with and without a load, one after the other several times, and what the load costs.

use serde::Serialize;

use super::{
    report::Figures,
    run::{Plan, streams},
};

/// A figure without and with the load: medians over the rounds.
#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub struct Beside {
    /// Without.
    pub plain: f64,
    /// With.
    pub loaded: f64,
    /// The second over the first.
    pub ratio: f64,
}

/// What a scenario gave without and with the load.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Which scenario.
    pub scenario: String,
    /// How often it was run each way.
    pub rounds: usize,
    /// Amendments a second that became durable.
    pub durable_per_second: Beside,
    /// Amendments a second that arrived.
    pub delivered_per_second: Beside,
    /// CPU time of the daemon for a million durable amendments.
    pub daemon_cpu_seconds_per_million: Beside,
    /// Peak memory of the daemon.
    pub daemon_peak_mib: Beside,
    /// The 99th percentile of the latency, where it was measured.
    pub p99_ms: Option<Beside>,
    /// Patients' words recorded in a second while loading, median.
    pub words_per_second: f64,
    /// Halves turned on in a second while loading, median.
    pub halves_per_second: f64,
}

/// Runs the scenarios in which amendments flow, without and with a load, so many times each. Which comes first
/// changes from round to round, so that a machine that slows down, or warms up, favours neither.
pub async fn compare_loaded(plan: &Plan, rounds: u32) -> anyhow::Result<Vec<Compared>> {
    let (mut plain, mut loaded) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for with_load in [round % 2 == 1, round % 2 == 0] {
            let plan = Plan {
                loaded: with_load,
                ..plan.clone()
            };
            let figures = streams(&plan).await?;
            if with_load { &mut loaded } else { &mut plain }.extend(figures);
        }
    }
    Ok(compare(&plain, &loaded))
}

/// Scenario by scenario, in the order of `plain`.
fn compare(plain: &[Figures], loaded: &[Figures]) -> Vec<Compared> {
    let mut names: Vec<&str> = Vec::new();
    for figures in plain {
        if !names.contains(&figures.scenario.as_str()) {
            names.push(&figures.scenario);
        }
    }
    names.into_iter().map(|name| one(name, plain, loaded)).collect()
}

fn one(name: &str, plain: &[Figures], loaded: &[Figures]) -> Compared {
    let of = |figures: &[Figures]| -> Vec<Figures> {
        figures.iter().filter(|f| f.scenario == name).cloned().collect()
    };
    let (plain, loaded) = (of(plain), of(loaded));
    let beside = |figure: fn(&Figures) -> f64| {
        let of = |figures: &[Figures]| median(figures.iter().map(figure).collect());
        Beside::new(of(&plain), of(&loaded))
    };
    let timed = plain.iter().all(|f| f.latency_ms.is_some());
    let loading = |figure: fn(&super::LoadFigures) -> f64| {
        median(
            loaded
                .iter()
                .filter_map(|f| f.load.as_ref())
                .map(figure)
                .collect(),
        )
    };
    Compared {
        scenario: name.to_owned(),
        rounds: plain.len(),
        durable_per_second: beside(|f| f.durable_per_second),
        delivered_per_second: beside(|f| f.delivered_per_second),
        daemon_cpu_seconds_per_million: beside(|f| f.daemon_cpu_seconds_per_million),
        daemon_peak_mib: beside(|f| f.daemon_peak_mib),
        p99_ms: timed.then(|| beside(|f| f.latency_ms.map_or(0.0, |[_, p99, ..]| p99))),
        words_per_second: loading(|load| load.words_per_second),
        halves_per_second: loading(|load| load.halves_per_second),
    }
}

impl Beside {
    fn new(plain: f64, loaded: f64) -> Self {
        Self {
            plain,
            loaded,
            ratio: if plain > 0.0 { loaded / plain } else { 0.0 },
        }
    }
}

/// Of an even number the mean of the two in the middle; 0 of none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let at = |place: usize| figures.get(place).copied().unwrap_or(0.0);
    if figures.len().is_multiple_of(2) && middle > 0 {
        f64::midpoint(at(middle - 1), at(middle))
    } else {
        at(middle)
    }
}

/// Prints what was compared as a table.
#[expect(clippy::print_stdout, reason = "the benchmark's output")]
pub fn print_compared(compared: &[Compared]) {
    println!(
        "{:<34} {:<26} {:>12} {:>12} {:>7}",
        "scenario", "medians", "plain", "loaded", "ratio"
    );
    for c in compared {
        let rows = [
            ("durable/s", Some(c.durable_per_second)),
            ("delivered/s", Some(c.delivered_per_second)),
            ("daemon CPU s/million", Some(c.daemon_cpu_seconds_per_million)),
            ("daemon peak MiB", Some(c.daemon_peak_mib)),
            ("p99 ms", c.p99_ms),
        ];
        let mut name = c.scenario.as_str();
        for (what, beside) in rows {
            let Some(Beside { plain, loaded, ratio }) = beside else {
                continue;
            };
            println!("{name:<34} {what:<26} {plain:>12.1} {loaded:>12.1} {ratio:>7.3}");
            name = "";
        }
        println!(
            "{:<34} of {} rounds each; loading: {:.0} words/s, {:.0} halves/s",
            "", c.rounds, c.words_per_second, c.halves_per_second
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(scenario: &str, durable: f64, p99: Option<f64>) -> Figures {
        Figures {
            scenario: scenario.to_owned(),
            sources: 1,
            recipients: 1,
            seconds: 1.0,
            durable_per_second: durable,
            delivered_per_second: durable / 2.0,
            daemon_cpu_seconds: 1.0,
            daemon_cpu_seconds_per_million: 10.0,
            daemon_peak_mib: 100.0,
            latency_ms: p99.map(|p99| [1.0, p99, 9.0, 10.0]),
            load: None,
        }
    }

    #[test]
    fn medians_are_compared_scenario_by_scenario() {
        let plain = [
            figures("a", 100.0, None),
            figures("b", 1.0, Some(4.0)),
            figures("a", 300.0, None),
            figures("a", 200.0, None),
        ];
        let loaded = [figures("a", 180.0, None), figures("b", 1.0, Some(5.0))];
        let compared = compare(&plain, &loaded);
        let [a, b] = compared.as_slice() else {
            panic!("two scenarios: {compared:?}");
        };
        assert_eq!((a.scenario.as_str(), a.rounds), ("a", 3));
        assert_eq!(
            a.durable_per_second,
            Beside {
                plain: 200.0,
                loaded: 180.0,
                ratio: 0.9
            }
        );
        assert_eq!(a.p99_ms, None);
        assert_eq!(b.p99_ms.map(|p99| p99.ratio), Some(1.25));
    }

    #[test]
    fn a_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
