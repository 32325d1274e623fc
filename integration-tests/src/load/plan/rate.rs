//! How often something is amended, and when each amendment is due: times that the plan and the seed alone
//! decide, whatever the daemon does, so that a stall counts against every amendment that it held up.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Layout, Plan, SplitMix64,
    curve::{Curve, Walk},
};

/// What the seed is drawn for.
const PURPOSE: u64 = 1;

/// Amendments a second of all sources together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rate {
    /// As many as are taken: each source keeps the same amount under way.
    #[serde(deserialize_with = "nothing_else")]
    Closed,
    /// The same all the time, at even distances.
    Constant {
        /// Amendments a second.
        per_second: f64,
    },
    /// The same on average, at random distances.
    Poisson {
        /// Amendments a second.
        per_second: f64,
    },
    /// Rising or falling evenly.
    Ramp {
        /// Amendments a second at the start.
        from_per_second: f64,
        /// Amendments a second at the end.
        to_per_second: f64,
    },
    /// A county's day, compressed into the run.
    MorningPeak {
        /// Amendments a second in the busiest moment.
        peak_per_second: f64,
    },
}

/// A shape without fields: serde alone would pass over those of another shape.
fn nothing_else<'de, D: Deserializer<'de>>(fields: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    Nothing::deserialize(fields).map(|Nothing {}| ())
}

/// When one source's amendments are due, since the start of the warm-up. Ends with the measured stretch.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    walk: Walk,
    /// Amendments of this source that are due up to now, as the integral of its rate.
    count: f64,
    random: Option<SplitMix64>,
}

impl Schedule {
    /// Of the source at a place in [`Layout::sources`]; it has its unit's weight as its share of the total.
    /// `None` in a closed loop: as fast as they are taken.
    pub fn new(plan: &Plan, layout: &Layout, source: usize) -> Option<Self> {
        let seconds = f64::from(plan.seconds);
        let curve = match plan.rate {
            Rate::Closed => return None,
            Rate::Constant { per_second } | Rate::Poisson { per_second } => {
                Curve::straight(per_second, per_second, seconds)
            }
            Rate::Ramp {
                from_per_second,
                to_per_second,
            } => Curve::straight(from_per_second, to_per_second, seconds),
            Rate::MorningPeak { peak_per_second } => Curve::day(peak_per_second, seconds),
        };
        let weight = |place: &u32| layout.units.get(*place as usize).map_or(0, |unit| unit.weight);
        let total: f64 = layout.sources.iter().map(|place| f64::from(weight(place))).sum();
        let own = layout.sources.get(source).map_or(0, weight);
        let curve = curve
            .after(f64::from(plan.warm_up_seconds))
            .part(f64::from(own) / total.max(1.0));
        let random = matches!(plan.rate, Rate::Poisson { .. })
            .then(|| SplitMix64::of(plan.seed, PURPOSE, source as u64));
        // Sources with even distances take turns: their first amendments lie between 0 and 1 apart.
        let turn = (source as f64 + 0.5) / layout.sources.len().max(1) as f64;
        Some(Self {
            walk: curve.walk(),
            count: if random.is_some() { 0.0 } else { turn - 1.0 },
            random,
        })
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.count += match &mut self.random {
            // Exponential: of 1 - u, which is never 0.
            Some(random) => -(1.0 - random.unit()).ln(),
            None => 1.0,
        };
        Duration::try_from_secs_f64(self.walk.reaches(self.count)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Topology;

    fn all(rate: Rate, seed: u64) -> Vec<Vec<Duration>> {
        let plan = Plan {
            seed,
            seconds: 20,
            warm_up_seconds: 4,
            rate,
            topology: Topology::Bipartite {
                sources: 5,
                recipients: 1,
            },
            ..Plan::default()
        };
        let layout = plan.layout();
        let one = |source| Schedule::new(&plan, &layout, source).map(Iterator::collect);
        (0..layout.sources.len()).filter_map(one).collect()
    }

    fn per_second(due: &[Vec<Duration>], from: u64, to: u64) -> f64 {
        let within = |at: &&Duration| (from..to).contains(&at.as_secs());
        due.iter().flatten().filter(within).count() as f64 / (to - from) as f64
    }

    #[test]
    fn a_closed_loop_has_no_schedule() {
        assert!(all(Rate::Closed, 1).is_empty());
    }

    #[test]
    fn a_constant_rate_is_even_over_all_sources() {
        let due = all(Rate::Constant { per_second: 100.0 }, 1);
        let mut together: Vec<Duration> = due.concat();
        together.sort();
        assert_eq!(together.len(), 2400);
        let apart = together.windows(2).map(|w| (w[1] - w[0]).as_secs_f64());
        assert!(
            apart.clone().all(|gap| (gap - 0.01).abs() < 1e-6),
            "{:?}",
            apart.collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_poisson_rate_has_exponential_gaps_of_its_seed() {
        let rate = Rate::Poisson { per_second: 2000.0 };
        let due = all(rate, 7);
        assert_eq!(due, all(rate, 7));
        assert_ne!(due, all(rate, 8));
        assert!((per_second(&due, 0, 24) - 2000.0).abs() < 40.0);
        let gaps: Vec<f64> = due[0].windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let longer = gaps.iter().filter(|g| **g > mean).count() as f64 / gaps.len() as f64;
        // Of exponential gaps a part of 1/e is longer than the mean.
        assert!((longer - 0.368).abs() < 0.03, "{longer}");
        assert!(due.iter().all(|one| one.is_sorted()));
    }

    #[test]
    fn a_ramp_rises_behind_the_warm_up() {
        let due = all(
            Rate::Ramp {
                from_per_second: 100.0,
                to_per_second: 1100.0,
            },
            1,
        );
        assert!((per_second(&due, 0, 4) - 100.0).abs() < 3.0);
        assert!((per_second(&due, 13, 15) - 600.0).abs() < 5.0);
        assert!((per_second(&due, 23, 24) - 1075.0).abs() < 5.0);
    }

    #[test]
    fn a_day_has_its_peak_where_the_curve_says() {
        let due = all(
            Rate::MorningPeak {
                peak_per_second: 1000.0,
            },
            1,
        );
        assert!((per_second(&due, 0, 4) - 50.0).abs() < 3.0);
        let peak = per_second(&due, 12, 13);
        assert!((900.0..=1000.0).contains(&peak), "{peak}");
    }
}
