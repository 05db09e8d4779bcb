//! How one quantity grows with another, by least squares.

use super::Estimate;

/// `y = factor * x^exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    pub factor: f64,
    /// The slope of `ln y` over `ln x`.
    pub exponent: Estimate,
}

impl PowerLaw {
    pub fn at(&self, x: f64) -> f64 {
        self.factor * x.powf(self.exponent.value)
    }
}

/// `y = constant + factor * x^exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeyondConstant {
    pub constant: f64,
    pub factor: f64,
    pub exponent: Estimate,
}

impl BeyondConstant {
    pub fn at(&self, x: f64) -> f64 {
        self.constant + self.factor * x.powf(self.exponent.value)
    }
}

/// Exponents that [`beyond_constant`] looks at: outside of them there is no telling a power from a constant or a step.
const EXPONENTS: (f64, f64) = (0.1, 5.0);
const STEPS: usize = 200;

/// Fits a straight line to the logarithms. `None` without two different `x`, or where a number is not positive.
pub fn power_law(points: &[(f64, f64)]) -> Option<PowerLaw> {
    if points.iter().any(|(x, y)| !(x.is_finite() && y.is_finite() && *x > 0.0 && *y > 0.0)) {
        return None;
    }
    let logarithms: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let line = Line::through(&logarithms)?;
    Some(PowerLaw { factor: line.intercept.exp(), exponent: line.slope })
}

/// Fits a power and a constant: of all exponents that whose best line over `x^exponent` leaves the least squares (variable
/// projection, Golub & Pereyra 1973). The exponent's error is that of Gauss and Newton's linearisation. `None` for fewer than
/// four points, and where nothing grows.
pub fn beyond_constant(points: &[(f64, f64)]) -> Option<BeyondConstant> {
    let positive = points.iter().all(|(x, y)| x.is_finite() && y.is_finite() && *x > 0.0);
    if points.len() < 4 || !positive {
        return None;
    }
    // In units of the largest, so that no power is out of range.
    let unit = points.iter().map(|(x, _)| *x).fold(0.0, f64::max);
    let line = |exponent: f64| {
        let powers: Vec<(f64, f64)> = points.iter().map(|(x, y)| ((x / unit).powf(exponent), *y)).collect();
        Line::through(&powers)
    };
    let residue = |exponent: f64| line(exponent).map_or(f64::INFINITY, |line| line.squares);
    let step = (EXPONENTS.1 - EXPONENTS.0) / STEPS as f64;
    let coarse = (0..=STEPS)
        .map(|i| EXPONENTS.0 + i as f64 * step)
        .min_by(|a, b| residue(*a).total_cmp(&residue(*b)))
        .unwrap_or(EXPONENTS.0);
    let exponent = golden_section(coarse - step, coarse + step, residue);
    let Line { intercept, slope, squares } = line(exponent)?;
    if slope.value <= 0.0 {
        return None;
    }
    let columns: Vec<[f64; 3]> = points
        .iter()
        .map(|(x, _)| {
            let x = x / unit;
            [1.0, x.powf(exponent), slope.value * x.powf(exponent) * x.ln()]
        })
        .collect();
    let variance = squares / (points.len() as f64 - 3.0);
    let error = (variance / unexplained(&columns)).sqrt();
    Some(BeyondConstant {
        constant: intercept,
        factor: slope.value / unit.powf(exponent),
        exponent: Estimate { value: exponent, error },
    })
}

/// `y = intercept + slope * x`.
#[derive(Clone, Copy, Debug)]
struct Line {
    intercept: f64,
    /// With its standard error; NaN for two points.
    slope: Estimate,
    /// Of what is left over.
    squares: f64,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Option<Line> {
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x0, y0) = (mean(|p| p.0), mean(|p| p.1));
        let (mut xx, mut xy) = (0.0, 0.0);
        for (x, y) in points {
            xx += (x - x0) * (x - x0);
            xy += (x - x0) * (y - y0);
        }
        if points.len() < 2 || xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let intercept = y0 - slope * x0;
        let squares = points.iter().map(|(x, y)| (y - intercept - slope * x).powi(2)).sum::<f64>();
        let error = if points.len() > 2 { (squares / (count - 2.0) / xx).sqrt() } else { f64::NAN };
        Some(Line { intercept, slope: Estimate { value: slope, error }, squares })
    }
}

/// Where a function of one valley is least, between two places (Kiefer 1953).
fn golden_section(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..60 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if f(a) < f(b) { high = b } else { low = a }
    }
    f64::midpoint(low, high)
}

/// The square of what the first two columns leave of the third: the inverse of the third diagonal element of `(J^T J)^-1`.
fn unexplained(columns: &[[f64; 3]]) -> f64 {
    let dot = |a: usize, b: usize| columns.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let determinant = dot(0, 0) * dot(1, 1) - dot(0, 1) * dot(0, 1);
    let first = (dot(1, 1) * dot(0, 2) - dot(0, 1) * dot(1, 2)) / determinant;
    let second = (dot(0, 0) * dot(1, 2) - dot(0, 1) * dot(0, 2)) / determinant;
    columns.iter().map(|row| (row[2] - first * row[0] - second * row[1]).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64, within: f64) {
        assert!((value - expected).abs() <= within * expected.abs(), "{value} is not {expected}");
    }

    #[test]
    fn a_power_law_is_the_line_that_numpy_fits_to_the_logarithms() {
        let points = [(8.0, 3.1), (16.0, 7.5), (32.0, 15.2), (64.0, 36.0), (128.0, 71.0)];
        let law = power_law(&points).expect("a law");
        // NumPy: polyfit(log(x), log(y), 1, cov=True).
        close(law.exponent.value, 1.129_799_221_384_413_2, 1e-12);
        close(law.exponent.error, 0.027_648_293_596_272_546, 1e-12);
        close(law.factor, 0.309_491_129_060_775_1, 1e-12);
        close(law.at(32.0), 0.309_491_129_060_775_1 * 32f64.powf(1.129_799_221_384_413_2), 1e-12);
    }

    #[test]
    fn what_no_power_law_describes_has_none() {
        assert_eq!(power_law(&[(1.0, 1.0)]), None);
        assert_eq!(power_law(&[(2.0, 1.0), (2.0, 3.0)]), None);
        assert_eq!(power_law(&[(1.0, 0.0), (2.0, 3.0)]), None);
        assert_eq!(power_law(&[(1.0, f64::NAN), (2.0, 3.0)]), None);
        let two = power_law(&[(1.0, 2.0), (4.0, 32.0)]).expect("a law");
        close(two.exponent.value, 2.0, 1e-12);
        assert!(two.exponent.error.is_nan(), "two points leave nothing over");
    }

    #[test]
    fn growth_beyond_a_constant_is_where_gauss_and_newton_end() {
        let points = [(1.0, 100.4), (128.0, 107.0), (256.0, 113.5), (512.0, 128.1), (1024.0, 153.9), (2048.0, 207.0)];
        let fit = beyond_constant(&points).expect("a fit");
        // NumPy: Gauss-Newton with lstsq until it stands still, and the covariance there.
        close(fit.constant, 100.180_356_172_534_97, 1e-6);
        close(fit.factor, 0.058_519_249_945_315_35, 1e-4);
        close(fit.exponent.value, 0.984_879_145_868_760_8, 1e-6);
        close(fit.exponent.error, 0.013_242_641_295_944_078, 1e-4);
        close(fit.at(1024.0), 153.9, 0.01);
    }

    #[test]
    fn a_known_power_is_found_under_its_constant_and_a_fall_is_no_growth() {
        for exponent in [0.5, 1.0, 2.0, 3.0] {
            let points: Vec<(f64, f64)> =
                [1.0f64, 10.0, 50.0, 100.0, 400.0].map(|x| (x, 7.0 + 0.3 * x.powf(exponent))).to_vec();
            let fit = beyond_constant(&points).expect("a fit");
            close(fit.exponent.value, exponent, 1e-6);
            close(fit.constant, 7.0, 1e-4);
        }
        assert_eq!(beyond_constant(&[(1.0, 4.0), (2.0, 3.0), (3.0, 2.0), (4.0, 1.0)]), None);
        assert_eq!(beyond_constant(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]), None);
    }
}
