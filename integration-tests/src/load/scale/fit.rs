//! How well a straight line describes points.

/// The share of the variance that the best line explains: 1 is a line exactly. 1 where there are fewer than three
/// points, or where they do not vary.
pub(super) fn straightness(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x_mean, y_mean) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|(x, y)| of(x - x_mean, y - y_mean)).sum()
    };
    let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    if points.len() < 3 || xx <= 0.0 || yy <= 0.0 {
        return 1.0;
    }
    xy * xy / (xx * yy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_straight_and_a_parabola_less() {
        let of = |y: fn(f64) -> f64| [1.0, 2.0, 4.0, 8.0, 16.0].map(|x| (x, y(x)));
        assert!((straightness(&of(|x| 3.0 + 2.0 * x)) - 1.0).abs() < 1e-9);
        assert!(straightness(&of(|x| x * x)) < 0.97);
        assert!((straightness(&[(1.0, 1.0), (2.0, 9.0)]) - 1.0).abs() < 1e-9);
    }
}
