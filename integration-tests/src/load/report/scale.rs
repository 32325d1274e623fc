//! Axes: where a value lies between two ends, and which values are marked.

use super::words::figure;

/// Marks on a linear axis, about.
const MARKS: f64 = 5.0;
/// Marks on a logarithmic axis at most.
const MAX_DECADES: usize = 12;

/// One axis of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    kind: Kind,
    from: f64,
    to: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
    /// Quantiles: each step to the right leaves a tenth of what the one before left.
    Nines,
}

impl Axis {
    /// From 0 to a round number that is not below `most`.
    pub(super) fn linear(most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = step(most);
        Self {
            kind: Kind::Linear,
            from: 0.0,
            to: (most / step).ceil() * step,
        }
    }

    /// Linear, of seconds, to exactly `most`.
    pub(super) fn seconds(most: f64) -> Self {
        Self {
            kind: Kind::Linear,
            from: 0.0,
            to: most.max(1.0),
        }
    }

    /// From the power of ten below the least to that above the most; both above 0.
    pub(super) fn log(least: f64, most: f64) -> Self {
        let low = least.max(1e-6).log10().floor();
        let high = most.max(1e-6).log10().ceil().max(low + 1.0);
        Self {
            kind: Kind::Log,
            from: 10_f64.powf(low),
            to: 10_f64.powf(high),
        }
    }

    /// Quantiles from 0 to `most`, below 1.
    pub(super) fn nines(most: f64) -> Self {
        Self {
            kind: Kind::Nines,
            from: 0.0,
            to: most.clamp(0.9, 1.0 - 1e-9),
        }
    }

    /// Where a value lies: 0 at the beginning, 1 at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (from, to, value) = (self.bend(self.from), self.bend(self.to), self.bend(value));
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }

    fn bend(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear => value,
            Kind::Log => value.max(1e-9).log10(),
            Kind::Nines => -(1.0 - value.min(1.0 - 1e-9)).log10(),
        }
    }

    /// The values that are marked, with their words.
    pub(super) fn marks(&self) -> Vec<(f64, String)> {
        match self.kind {
            Kind::Linear => {
                let step = step(self.to);
                let n = (self.to / step + 1e-6).floor() as u32;
                (0..=n)
                    .map(|k| f64::from(k) * step)
                    .map(|v| (v, figure_short(v)))
                    .collect()
            }
            Kind::Log => {
                let (low, high) = (self.from.log10().round() as i32, self.to.log10().round() as i32);
                (low..=high)
                    .take(MAX_DECADES)
                    .map(|e| 10_f64.powi(e))
                    .map(|v| (v, figure_short(v)))
                    .collect()
            }
            Kind::Nines => {
                let nines = (0..9).map(|n| 1.0 - 10_f64.powi(-n));
                std::iter::once(0.5)
                    .chain(nines.skip(1))
                    .take_while(|q| *q <= self.to + 1e-12)
                    .map(|q| (q, percent(q)))
                    .collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten: the least that needs no more marks than about [`MARKS`].
fn step(most: f64) -> f64 {
    let rough = most / MARKS;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|f| f * power >= rough * 0.999)
        .unwrap_or(10.0);
    factor * power
}

/// A figure with few letters: 1.5k, 20M.
fn figure_short(value: f64) -> String {
    let short = |v: f64, unit: &str| format!("{}{unit}", (v * 100.0).round() / 100.0);
    match value {
        v if v >= 1e6 => short(v / 1e6, "M"),
        v if v >= 1e4 => short(v / 1e3, "k"),
        v if v >= 1e3 => figure(v),
        v if v >= 0.01 || v == 0.0 => short(v, ""),
        v => format!("{v}"),
    }
}

/// A quantile as people say it.
fn percent(q: f64) -> String {
    let digits = (0..6).find(|d| {
        let scale = 10_f64.powi(*d);
        let v = q * 100.0 * scale;
        (v - v.round()).abs() < 1e-4
    });
    format!(
        "{:.*}%",
        usize::try_from(digits.unwrap_or(6)).unwrap_or(6),
        q * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis) -> Vec<String> {
        axis.marks().into_iter().map(|(_, w)| w).collect()
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        let axis = Axis::linear(160_857.0);
        assert_eq!(words(&axis), ["0", "50k", "100k", "150k", "200k"]);
        assert_eq!(axis.place(100_000.0), 0.5);
        assert_eq!(words(&Axis::linear(0.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(words(&Axis::linear(f64::NAN)).len(), 6);
    }

    #[test]
    fn a_logarithmic_axis_goes_by_powers_of_ten() {
        let axis = Axis::log(0.7, 82.0);
        assert_eq!(words(&axis), ["0.1", "1", "10", "100"]);
        assert!((axis.place(1.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(axis.place(0.0), 0.0);
        assert_eq!(words(&Axis::log(10.0, 10.0)), ["10", "100"]);
    }

    #[test]
    fn quantiles_go_by_nines() {
        let axis = Axis::nines(0.9999);
        assert_eq!(words(&axis), ["50%", "90%", "99%", "99.9%", "99.99%"]);
        assert!((axis.place(0.99) - 0.5).abs() < 1e-9);
        assert_eq!(axis.place(1.0), 1.0);
    }

    #[test]
    fn a_time_axis_ends_where_the_run_does() {
        let axis = Axis::seconds(37.0);
        assert_eq!(words(&axis), ["0", "10", "20", "30"]);
        assert_eq!(axis.place(37.0), 1.0);
    }
}
