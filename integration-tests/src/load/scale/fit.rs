//! How well a straight line describes points.

/// The largest distance of a point from the best line through all of them (least squares), of what the line says there:
/// 0 is a line exactly. `None` where there are fewer than three points, of which nothing can be said.
pub(super) fn bend(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x_mean, y_mean) = (mean(|p| p.0), mean(|p| p.1));
    let xx: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let xy: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    if points.len() < 3 || xx <= 0.0 {
        return None;
    }
    let line = |x: f64| y_mean + xy / xx * (x - x_mean);
    let off = points.iter().map(|(x, y)| ((y - line(*x)) / line(*x)).abs());
    off.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_does_not_bend_and_a_parabola_does() {
        let of = |y: fn(f64) -> f64| [1.0, 2.0, 4.0, 8.0, 16.0].map(|x| (x, y(x)));
        assert!(bend(&of(|x| 3.0 + 2.0 * x)).unwrap() < 1e-9);
        assert!(bend(&of(|x| 10.0 + x * x)).unwrap() > 0.15);
        assert_eq!(bend(&[(1.0, 1.0), (2.0, 9.0)]), None);
    }

    /// What hardly grows is a line too, whatever share of its changes is chance.
    #[test]
    fn what_is_flat_but_for_little_hardly_bends() {
        let flat = [
            (1.0, 100.0),
            (2.0, 101.0),
            (4.0, 99.0),
            (8.0, 102.0),
            (16.0, 101.0),
        ];
        assert!(bend(&flat).unwrap() < 0.02);
    }
}
