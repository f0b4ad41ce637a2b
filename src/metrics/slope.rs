//! Pure: how fast a figure rises, with how sure one may be of it. Ordinary least squares (NIST/SEMATECH e-Handbook of
//! Statistical Methods, 4.4.3.1), Student's interval of 95 %.
use crate::domain::Point;

/// A rise in an hour, and the interval that holds it in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    pub per_hour: f64,
    pub low: f64,
    pub high: f64,
    pub points: usize,
}

/// Least squares say nothing of fewer.
const FEWEST: usize = 3;

/// None of fewer than three points, or where all are of one moment.
///
/// Figures that are taken every ten seconds resemble the one before: taken for independent, they would make noise look
/// sure. They are counted as the fewer that would say as much: n (1 - r) / (1 + r), with r the correlation of each
/// residual with the next (Santer and others, Journal of Geophysical Research 105, 2000, 7337–7356).
pub fn slope(points: &[Point]) -> Option<Slope> {
    let first = points.first()?.at;
    let hours = |point: &Point| point.at.duration_since(first).as_secs_f64() / 3600.0;
    let pairs: Vec<(f64, f64)> = points.iter().map(|point| (hours(point), point.value)).collect();
    fitted(&pairs, true)
}

/// The same of any pairs, taken for independent.
pub fn least_squares(pairs: &[(f64, f64)]) -> Option<Slope> {
    fitted(pairs, false)
}

fn fitted(pairs: &[(f64, f64)], resembling: bool) -> Option<Slope> {
    if pairs.len() < FEWEST || pairs.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
        return None;
    }
    let n = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
    let (x_mean, y_mean) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let spread: f64 = pairs.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = pairs.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>() / spread;
    let residuals: Vec<f64> = pairs.iter().map(|(x, y)| (y - y_mean) - slope * (x - x_mean)).collect();
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let n = if resembling { effective(&residuals, squares, n) } else { n };
    let freedom = n - 2.0;
    let error = (squares / freedom / spread).sqrt();
    let reach = student(freedom) * error;
    Some(Slope { per_hour: slope, low: slope - reach, high: slope + reach, points: pairs.len() })
}

fn effective(residuals: &[f64], squares: f64, n: f64) -> f64 {
    if squares <= 0.0 {
        return n;
    }
    let together: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    // What swings from one side to the other would count as more than there are.
    let r = (together / squares).clamp(0.0, 1.0);
    (n * (1.0 - r) / (1.0 + r)).max(FEWEST as f64)
}

/// Student's t at 97.5 %: from the table for few degrees of freedom, else the expansion of Cornish and Fisher to the
/// fourth order (Abramowitz and Stegun, 26.7.5).
fn student(freedom: f64) -> f64 {
    const Z: f64 = 1.959_963_984_540_054;
    const BY_FREEDOM: [f64; 5] = [12.706_204_736, 4.302_652_730, 3.182_446_305, 2.776_445_105, 2.570_581_836];
    if freedom < 5.0 {
        // Between two whole numbers, that of the lower: rather too unsure than too sure.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 5")]
        let whole = freedom.clamp(1.0, 5.0).floor() as usize;
        return BY_FREEDOM[whole - 1];
    }
    let z2 = Z * Z;
    let terms = [
        (z2 + 1.0) / 4.0,
        ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0,
        (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0,
        ((((79.0 * z2 + 776.0) * z2 + 1482.0) * z2 - 1920.0) * z2 - 945.0) / 92_160.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| (sum + term) / freedom) * Z + Z
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    /// NIST Statistical Reference Datasets, linear regression, "Norris": y, x.
    const NORRIS: [(f64, f64); 36] = [
        (0.1, 0.2),
        (338.8, 337.4),
        (118.1, 118.2),
        (888.0, 884.6),
        (9.2, 10.1),
        (228.1, 226.5),
        (668.5, 666.3),
        (998.5, 996.3),
        (449.1, 448.6),
        (778.9, 777.0),
        (559.2, 558.2),
        (0.3, 0.4),
        (0.1, 0.6),
        (778.1, 775.5),
        (668.8, 666.9),
        (339.3, 338.0),
        (448.9, 447.5),
        (10.8, 11.6),
        (557.7, 556.0),
        (228.3, 228.1),
        (998.0, 995.8),
        (888.8, 887.6),
        (119.6, 120.2),
        (0.3, 0.3),
        (0.6, 0.3),
        (557.6, 556.8),
        (339.3, 339.1),
        (888.0, 887.2),
        (998.5, 999.0),
        (778.9, 779.0),
        (10.2, 11.1),
        (117.6, 118.3),
        (228.9, 229.2),
        (668.4, 669.1),
        (449.2, 448.9),
        (0.2, 0.5),
    ];

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        let at = |second| Timestamp::from_second(1_700_000_000 + second).expect("a time");
        (0_i64..)
            .zip(values)
            .map(|(n, value)| Point { at: at(n * 10), value, min: value, max: value, count: 1 })
            .collect()
    }

    #[test]
    fn the_certified_figures_of_norris_come_out() {
        let pairs: Vec<(f64, f64)> = NORRIS.iter().map(|(y, x)| (*x, *y)).collect();
        let found = least_squares(&pairs).expect("a slope");
        assert!((found.per_hour - 1.002_116_818_020_45).abs() < 1e-12, "{found:?}");
        let error = (found.high - found.per_hour) / student(34.0);
        assert!((error - 0.429_796_848_199_937e-3).abs() < 1e-12, "{error}");
    }

    #[test]
    fn students_table_comes_out() {
        for (freedom, t) in
            [(1.0, 12.706), (2.0, 4.303), (5.0, 2.571), (10.0, 2.228), (30.0, 2.042), (120.0, 1.980)]
        {
            assert!((student(freedom) - t).abs() < 0.002, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn a_leak_is_seen_and_noise_that_only_drifts_is_not() {
        let noise = |n: i32| f64::from((n * 7919) % 101) / 10.0;
        let leak = slope(&points((0..360).map(|n| 100.0 + f64::from(n) / 360.0 * 20.0 + noise(n))))
            .expect("a slope");
        assert!(leak.low > 15.0 && leak.high < 25.0, "{leak:?}");
        let still = slope(&points((0..360).map(|n| 100.0 + noise(n)))).expect("a slope");
        assert!(still.low < 0.0 && still.high > 0.0, "{still:?}");
        // Half a slow wave: whoever takes its points for independent is sure of a rise that is none.
        let wave: Vec<Point> = points((0..360).map(|n| (f64::from(n) / 57.3 + 3.0).sin() * 10.0));
        let hours: Vec<(f64, f64)> =
            (0..360).map(|n| f64::from(n) / 360.0).zip(wave.iter().map(|p| p.value)).collect();
        let sure = least_squares(&hours).expect("a slope");
        assert!(sure.low > 0.0 || sure.high < 0.0, "{sure:?}");
        let honest = slope(&wave).expect("a slope");
        assert!(honest.low < 0.0 && honest.high > 0.0, "{honest:?}");
    }

    #[test]
    fn of_too_little_nothing_is_told_and_a_straight_line_is_certain() {
        assert_eq!(slope(&points([1.0, 2.0])), None);
        assert_eq!(least_squares(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None, "all of one moment");
        assert_eq!(least_squares(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]), None);
        let line = slope(&points([0.0, 1.0, 2.0, 3.0])).expect("a slope");
        assert!((line.per_hour - 360.0).abs() < 1e-6 && (line.high - line.low).abs() < 1e-6, "{line:?}");
    }
}
