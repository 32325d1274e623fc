//! Looks at a load while it is measured: what was done in each second, and what the daemon used for it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{
    DaemonUse, Latency, MAX_CURVE_POINTS, Second, Spread,
    check::{Checker, latencies},
};
use crate::harness::{cpu, forget_peak, peak_memory, resident_memory};

const MIB: f64 = 1_048_576.0;
/// Steps between one half of the remaining quantiles and the next.
const CURVE_STEPS: u32 = 8;

/// Counts that only grow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) amendments: u64,
    pub(super) deliveries: u64,
    pub(super) toggles: u64,
}

/// A measured stretch, under way.
pub(super) struct Watch<'a> {
    daemon: Option<(u32, &'a Path)>,
    begun: Instant,
    first: Counts,
    last: (Instant, Counts, Option<Duration>),
    used: Option<(Duration, u64)>,
    latency: Histogram<u64>,
    timeline: Vec<Second>,
}

/// What a stretch was.
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) amendments: u64,
    pub(super) deliveries: u64,
    pub(super) latency: Histogram<u64>,
    pub(super) daemon: Option<DaemonUse>,
    pub(super) timeline: Vec<Second>,
}

impl<'a> Watch<'a> {
    /// Begins: `daemon` is its process and its folder, where it is this load's own.
    pub(super) fn begin(
        daemon: Option<(u32, &'a Path)>,
        counts: Counts,
        checker: &Checker,
    ) -> anyhow::Result<Self> {
        // What arrived during the warm-up is thrown away.
        checker.take_latencies(&mut latencies()?)?;
        let used = match daemon {
            None => None,
            Some((pid, dir)) => {
                forget_peak(pid)?;
                Some((cpu(pid)?, bytes_under(dir)))
            }
        };
        let begun = Instant::now();
        Ok(Self {
            daemon,
            begun,
            first: counts,
            last: (begun, counts, used.map(|(cpu, _)| cpu)),
            used,
            latency: latencies()?,
            timeline: Vec::new(),
        })
    }

    /// A second, or what was left of one, is over.
    pub(super) fn second(&mut self, counts: Counts, checker: &Checker) -> anyhow::Result<Second> {
        let (since, before, cpu_before) = self.last;
        let now = Instant::now();
        let mut latency = latencies()?;
        checker.take_latencies(&mut latency)?;
        let cpu_now = self.daemon.map(|(pid, _)| cpu(pid)).transpose()?;
        let seconds = (now - since).as_secs_f64().max(f64::EPSILON);
        let second = Second {
            amendments: counts.amendments - before.amendments,
            deliveries: counts.deliveries - before.deliveries,
            p99_ms: (!latency.is_empty()).then(|| ms(latency.value_at_quantile(0.99))),
            cpu: cpu_now
                .zip(cpu_before)
                .map(|(now, before)| now.saturating_sub(before).as_secs_f64() / seconds),
            rss_mib: self
                .daemon
                .map(|(pid, _)| resident_memory(pid))
                .transpose()?
                .map(|bytes| bytes as f64 / MIB),
            toggles: counts.toggles.saturating_sub(before.toggles),
        };
        self.latency.add(&latency)?;
        self.last = (now, counts, cpu_now);
        self.timeline.push(second);
        Ok(second)
    }

    /// The stretch is over.
    pub(super) fn end(self, counts: Counts) -> anyhow::Result<Measured> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let amendments = counts.amendments - self.first.amendments;
        let daemon = match (self.daemon, self.used) {
            (Some((pid, dir)), Some((cpu_before, disk_before))) => {
                let cpu_s = cpu(pid)?.saturating_sub(cpu_before).as_secs_f64();
                let disk_bytes = bytes_under(dir).saturating_sub(disk_before);
                Some(DaemonUse {
                    cpu_s,
                    rss_peak_mib: peak_memory(pid)? as f64 / MIB,
                    disk_bytes,
                    cpu_s_per_million: cpu_s * 1e6 / amendments.max(1) as f64,
                    disk_bytes_per_amendment: disk_bytes as f64 / amendments.max(1) as f64,
                })
            }
            _ => None,
        };
        Ok(Measured {
            seconds,
            amendments,
            deliveries: counts.deliveries - self.first.deliveries,
            latency: self.latency,
            daemon,
            timeline: self.timeline,
        })
    }
}

/// Bytes of all files below a folder; what goes meanwhile counts as nothing.
fn bytes_under(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_under(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

/// The quantiles of a latency; none where nothing was timed.
pub(super) fn latency(histogram: &Histogram<u64>) -> Option<Latency> {
    let at = |quantile| ms(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: ms(histogram.max()),
    })
}

/// Quantiles and milliseconds, closer to one another towards the end.
pub(super) fn curve(histogram: &Histogram<u64>) -> Vec<[f64; 2]> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let mut points: Vec<[f64; 2]> = histogram
        .iter_quantiles(CURVE_STEPS)
        .map(|step| [step.quantile_iterated_to(), ms(step.value_iterated_to())])
        .take(MAX_CURVE_POINTS - 1)
        .collect();
    points.push([1.0, ms(histogram.max())]);
    points
}

/// How long calls took; none where there were none.
pub(super) fn spread(histogram: &Histogram<u64>) -> Option<Spread> {
    (!histogram.is_empty()).then(|| Spread {
        count: histogram.len(),
        p50: ms(histogram.value_at_quantile(0.5)),
        p99: ms(histogram.value_at_quantile(0.99)),
        max: ms(histogram.max()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_recorded() {
        let mut histogram = latencies().unwrap();
        assert!(latency(&histogram).is_none() && spread(&histogram).is_none());
        assert!(curve(&histogram).is_empty());
        for us in 1..=1_000 {
            histogram.record(us * 10).unwrap();
        }
        let found = latency(&histogram).unwrap();
        assert!((found.p50 - 5.0).abs() < 0.05 && (found.p99 - 9.9).abs() < 0.05);
        let curve = curve(&histogram);
        assert!(curve.len() <= MAX_CURVE_POINTS);
        assert!(
            curve.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1]),
            "{curve:?}"
        );
        assert_eq!(spread(&histogram).unwrap().count, 1_000);
    }
}
