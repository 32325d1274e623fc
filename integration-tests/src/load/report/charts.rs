//! Which charts a run has.

use super::{
    chart::{Chart, Line},
    scale::Axis,
};
use crate::load::{Outcome, Second};

/// Every chart of a run, in the order of the page.
pub(super) fn charts(outcome: &Outcome) -> Vec<Chart> {
    let over = Over {
        timeline: &outcome.timeline,
    };
    vec![
        over.time(
            "Amendments and deliveries",
            "a second",
            &[
                ("amendments durable", |s| Some(s.amendments as f64)),
                ("deliveries, all recipients", |s| Some(s.deliveries as f64)),
            ],
        ),
        over.time(
            "Latency over time, 99th percentile",
            "ms from the intended sending",
            &[("p99 ms", |s| s.p99_ms)],
        ),
        curve(&outcome.latency_curve),
        over.time(
            "The daemon’s processor time",
            "cores busy",
            &[("cores", |s| s.cpu)],
        ),
        over.time("The daemon’s memory", "MiB resident", &[("MiB", |s| s.rss_mib)]),
    ]
}

struct Over<'a> {
    timeline: &'a [Second],
}

type Value = fn(&Second) -> Option<f64>;

impl Over<'_> {
    /// Values second by second, with the halves that were turned along the bottom.
    fn time(&self, title: &'static str, unit: &'static str, values: &[(&'static str, Value)]) -> Chart {
        let lines: Vec<Line> = values
            .iter()
            .map(|(name, of)| Line {
                name,
                points: self.seconds().map(|(at, second)| (at, of(second))).collect(),
            })
            .collect();
        let most = lines
            .iter()
            .flat_map(|l| &l.points)
            .filter_map(|(_, y)| *y)
            .fold(0.0, f64::max);
        let turned = self.timeline.iter().any(|s| s.toggles > 0);
        let marks = self.seconds().map(|(at, second)| (at, second.toggles));
        Chart {
            title,
            along: "seconds",
            unit,
            x: Axis::seconds(self.timeline.len() as f64),
            y: Axis::linear(most),
            lines,
            marks: if turned { marks.collect() } else { Vec::new() },
            marked: "halves turned",
        }
    }

    /// Each second with its end.
    fn seconds(&self) -> impl Iterator<Item = (f64, &Second)> {
        self.timeline
            .iter()
            .enumerate()
            .map(|(at, second)| ((at + 1) as f64, second))
    }
}

/// The latency by quantile, both axes bent so that the few slow ones can be seen.
fn curve(points: &[[f64; 2]]) -> Chart {
    let values = points.iter().map(|[_, ms]| *ms).filter(|ms| *ms > 0.0);
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(0.0, f64::max);
    let last = points
        .iter()
        .map(|[q, _]| *q)
        .filter(|q| *q < 1.0)
        .fold(0.0, f64::max);
    Chart {
        title: "Latency by quantile",
        along: "quantile",
        unit: "ms from the intended sending, logarithmic",
        x: Axis::nines(last),
        y: Axis::log(if least.is_finite() { least } else { 1.0 }, most),
        lines: vec![Line {
            name: "ms",
            points: points.iter().map(|[q, ms]| (*q, Some(*ms))).collect(),
        }],
        marks: Vec::new(),
        marked: "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::page::tests::outcome;

    #[test]
    fn all_five_are_drawn_and_toggles_are_marked() {
        let charts = charts(&outcome());
        assert_eq!(charts.len(), 5);
        for chart in &charts {
            let svg = chart.figure();
            assert!(svg.contains("<polyline"), "{svg}");
            assert_eq!(svg.contains("class=\"mark\""), chart.along == "seconds", "{svg}");
        }
    }

    #[test]
    fn an_empty_run_has_charts_that_say_so() {
        let mut o = outcome();
        o.timeline.clear();
        o.latency_curve.clear();
        let said = charts(&o)
            .iter()
            .filter(|c| c.figure().contains("Nothing was measured"))
            .count();
        assert_eq!(said, 5);
    }
}
