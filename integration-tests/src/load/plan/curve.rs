//! A rate over time, straight between its points, and when so many amendments are due by it.

/// A point: seconds since the start, amendments a second.
type Point = (f64, f64);

/// Rates below this count as none, amendments a second.
const NOTHING: f64 = 1e-9;

/// A county's day: how busy each hour begins, against the busiest. The morning's appointments and the letters
/// of the night come together; at noon and towards evening it falls.
const DAY: [f64; 25] = [
    0.05, 0.04, 0.04, 0.04, 0.04, 0.06, 0.10, 0.25, 0.60, 0.95, 1.00, 0.90, 0.70, 0.55, 0.70, 0.78, 0.72,
    0.60, 0.40, 0.28, 0.20, 0.15, 0.10, 0.07, 0.05,
];

/// A rate over time. Its points rise in time; none is negative.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    points: Vec<Point>,
}

impl Curve {
    /// From one rate to another.
    pub(super) fn straight(from: f64, to: f64, seconds: f64) -> Self {
        Self {
            points: vec![(0.0, from), (seconds, to)],
        }
    }

    /// A day in so many seconds, its busiest moment at a rate.
    pub(super) fn day(peak: f64, seconds: f64) -> Self {
        let hours = (DAY.len() - 1) as f64;
        let at = |(hour, busy): (usize, &f64)| (hour as f64 * seconds / hours, busy * peak);
        Self {
            points: DAY.iter().enumerate().map(at).collect(),
        }
    }

    /// The same behind a stretch at its first rate.
    pub(super) fn after(mut self, seconds: f64) -> Self {
        let first = self.points.first().map_or(0.0, |p| p.1);
        for point in &mut self.points {
            point.0 += seconds;
        }
        if seconds > 0.0 {
            self.points.insert(0, (0.0, first));
        }
        self
    }

    /// A part of it.
    pub(super) fn part(mut self, share: f64) -> Self {
        for point in &mut self.points {
            point.1 *= share;
        }
        self
    }

    /// A cursor at its start.
    pub(super) fn walk(self) -> Walk {
        Walk {
            curve: self,
            segment: 0,
            before: 0.0,
        }
    }
}

/// Goes along a curve, only forwards.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Walk {
    curve: Curve,
    segment: usize,
    /// Amendments due before the segment.
    before: f64,
}

impl Walk {
    /// When the integral of the rate reaches `count`, in seconds; `None` where it never does. Counts rise from
    /// call to call.
    pub(super) fn reaches(&mut self, count: f64) -> Option<f64> {
        loop {
            let (from, to) = match self.curve.points.get(self.segment..)? {
                [from, to, ..] => (*from, *to),
                _ => return None,
            };
            let lasts = to.0 - from.0;
            let area = (from.1 + to.1) / 2.0 * lasts;
            let missing = count - self.before;
            if missing <= area {
                return Some(from.0 + within(from.1, to.1, lasts, missing).min(lasts));
            }
            self.before += area;
            self.segment += 1;
        }
    }
}

/// How far into a segment from rate `a` to rate `b` the integral reaches `count`.
fn within(a: f64, b: f64, lasts: f64, count: f64) -> f64 {
    let slope = (b - a) / lasts;
    // a·t + slope·t²/2 = count, solved in the form that loses no digits where the slope is small.
    let root = (a * a + 2.0 * slope * count).max(0.0).sqrt();
    if a + root < NOTHING {
        lasts
    } else {
        2.0 * count / (a + root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral up to `t`, by small steps.
    fn integral(curve: &Curve, t: f64) -> f64 {
        let rate = |at: f64| {
            let pair = curve.points.windows(2).find(|w| at <= w[1].0).unwrap();
            pair[0].1 + (pair[1].1 - pair[0].1) * (at - pair[0].0) / (pair[1].0 - pair[0].0)
        };
        let steps = 100_000;
        let step = t / f64::from(steps);
        (0..steps).map(|n| rate((f64::from(n) + 0.5) * step) * step).sum()
    }

    #[test]
    fn what_is_due_is_the_inverse_of_the_integrated_rate() {
        for curve in [
            Curve::straight(50.0, 50.0, 20.0).after(5.0),
            Curve::straight(0.0, 100.0, 10.0),
            Curve::straight(100.0, 0.0, 10.0).part(0.5),
            Curve::day(200.0, 60.0).after(3.0),
        ] {
            let mut walk = curve.clone().walk();
            let mut last = 0.0;
            for count in [0.5, 1.0, 10.0, 100.0, 200.0] {
                let at = walk.reaches(count).unwrap();
                assert!(at >= last);
                last = at;
                let there = integral(&curve, at);
                assert!(
                    (there - count).abs() < 0.01 * count.max(1.0),
                    "{count}: {there} at {at}"
                );
            }
        }
    }

    #[test]
    fn a_curve_ends() {
        let mut walk = Curve::straight(10.0, 10.0, 2.0).walk();
        assert!(walk.reaches(20.0).is_some());
        assert_eq!(walk.reaches(20.1), None);
        assert_eq!(Curve::straight(0.0, 0.0, 2.0).walk().reaches(1.0), None);
    }

    #[test]
    fn a_day_is_busiest_in_the_morning() {
        let day = Curve::day(100.0, 24.0);
        let busiest = day
            .points
            .iter()
            .copied()
            .fold((0.0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        assert_eq!(busiest, (10.0, 100.0));
        assert_eq!(day.points.last(), Some(&(24.0, 5.0)));
    }
}
