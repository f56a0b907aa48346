//! The long-run variance of a mean of windows: the variance under correlation between neighbouring windows.
//!
//! It is the mean of the first few squared cosine terms of the series, because a slow wave in the windows moves their mean
//! (Müller, "A theory of robust long-run variance estimation", Journal of Econometrics 141, 2007; recommended for tests by
//! Lazarus, Lewis, Stock and Watson, "HAR Inference: Recommendations for Practice", Journal of Business & Economic
//! Statistics 36(4), 2018). For independent windows it is the plain variance without a bias, and a mean divided by its root
//! follows Student's distribution with as many degrees of freedom as there are terms.

use std::f64::consts::PI;

/// The fewest windows for an estimate of the variance.
pub(super) const FEWEST_WINDOWS: usize = 6;

/// The estimated variance of the mean of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LongRun {
    /// Per window: the variance of the mean of `n` windows is this value divided by `n`.
    pub(super) variance: f64,
    /// Its degrees of freedom.
    pub(super) freedom: f64,
}

impl LongRun {
    /// The estimate for a series of deviations from its mean, with at least [`FEWEST_WINDOWS`] windows.
    pub(super) fn of(apart: &[f64]) -> Self {
        let terms = terms(apart.len());
        let mean = (1..=terms).map(|term| power(apart, term)).sum::<f64>() / terms as f64;
        Self { variance: mean * curvature(apart, terms), freedom: terms as f64 }
    }
}

/// The number of cosine terms: half as many as Lazarus et al. recommend (`0.4 n^(2/3)`), because services are more
/// correlated from second to second than their examples (a coefficient of 0.7), and at least three.
fn terms(n: usize) -> usize {
    (((n as f64).powf(2.0 / 3.0) * 0.2).round() as usize).max(3)
}

/// The square of one cosine term of the series. Each term adds half a wave.
fn power(apart: &[f64], term: usize) -> f64 {
    let n = apart.len() as f64;
    let wave = |at: usize| (PI * term as f64 * (at as f64 + 0.5) / n).cos();
    let sum: f64 = apart.iter().enumerate().map(|(at, value)| value * wave(at)).sum();
    sum * sum * 2.0 / n
}

/// The autocovariance of a series around its mean, times its length.
fn products(apart: &[f64], lag: usize) -> f64 {
    apart.iter().zip(&apart[lag..]).map(|(value, later)| value * later).sum()
}

/// The ratio of the mean of those terms to the variance of a mean of the whole series. The terms have frequencies above
/// zero, where a correlated series has less power.
///
/// The model is an AR(1) process with white noise: a level that wanders, and requests that vary around it. Its
/// autocovariance falls as `s r^k` from lag 1 on. The second lag divided by the first is therefore `r`, and the first
/// divided by `r` is the share `s` that is not noise. If the first is within chance (Bartlett, 1946: two standard errors of
/// `1/sqrt n`), there is no correction.
fn curvature(apart: &[f64], terms: usize) -> f64 {
    let n = apart.len() as f64;
    let (all, first, second) = (products(apart, 0), products(apart, 1), products(apart, 2));
    if first * n.sqrt() <= 2.0 * all {
        return 1.0;
    }
    let r = (second / first).max(first / all).min(0.9);
    let level = (first / (r * all)).min(1.0);
    // The variance of a mean of n values of an AR(1) process of variance 1, times n, and its spectrum.
    let of_mean = (1.0 + r) / (1.0 - r) - 2.0 * r * (1.0 - r.powf(n)) / (n * (1.0 - r) * (1.0 - r));
    let spectrum = |term: usize| (1.0 - r * r) / (1.0 + r * r - 2.0 * r * (PI * term as f64 / n).cos());
    let of_terms = (1..=terms).map(spectrum).sum::<f64>() / terms as f64;
    let with_noise = |it: f64| 1.0 - level + level * it;
    (with_noise(of_mean) / with_noise(of_terms)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::near;
    use shakedown_observe::chance::Chance;

    #[test]
    fn terms_grow_with_the_windows() {
        for (windows, expected) in [(6, 3), (60, 3), (75, 4), (120, 5), (200, 7), (600, 14)] {
            assert_eq!(terms(windows), expected, "{windows}");
        }
    }

    /// The terms are those of the discrete cosine transform: a wave contributes only to its own term.
    #[test]
    fn a_wave_is_all_in_its_term() {
        let wave: Vec<f64> = (0..40).map(|at| 3.0 * (PI * 2.0 * (f64::from(at) + 0.5) / 40.0).cos()).collect();
        near(power(&wave, 2), 9.0 * 20.0, 1e-9);
        near(power(&wave, 1), 0.0, 1e-9);
        near(power(&wave, 3), 0.0, 1e-9);
    }

    /// Compared with a second program, in another language, that was written from the description alone.
    #[test]
    fn whole_variances_agree_with_another_program() {
        let resembling = [0.5, 1.5, 2.0, 1.0, -0.5, -1.5, -2.0, -1.0, 0.5, 1.0, 0.0, -1.5];
        near(LongRun::of(&resembling).variance, 4.104_520_241, 1e-9);
        let alternating = [1.0, -1.0, 2.0, -2.0, 1.0, -1.0, 0.0, 0.0];
        near(LongRun::of(&alternating).variance, 0.229_031_264, 1e-9);
        assert_eq!(LongRun::of(&[0.0; 8]), LongRun { variance: 0.0, freedom: 3.0 });
    }

    /// Compared with the same program: a wave with noise, of which seven tenths are the level, and a series whose
    /// correlation may be chance (a lag-one correlation of 0.31 of 16 values, with two standard errors at 0.5).
    #[test]
    fn corrects_only_a_significant_correlation() {
        let level: Vec<f64> = [
            14, 6, 5, 12, 11, 10, 0, -1, 5, -5, 1, -8, -2, -11, -12, -5, -6, -6, -14, -14, -5, -12, -3, -10, 0, -7, -5,
            5, 7, 8, 2, 3, 12, 5, 14, 6,
        ]
        .map(f64::from)
        .to_vec();
        near(curvature(&level, 3), 2.148_521_570, 1e-9);
        let chance = [30, 10, 20, 0, -10, 10, -20, -30, -10, -30, 0, -20, 10, 0, 20, 20].map(f64::from);
        assert_eq!(curvature(&chance, 3), 1.0);
    }

    /// For an AR(1) process with noise the variance of a mean of `n` is known: `1 + 2 sum (1 - k/n) r^k` for the process.
    #[test]
    fn it_is_the_variance_of_a_mean() {
        let (n, runs) = (60, 2000);
        for (level, noise, tolerance) in [(0.0, 1.0, 0.06), (1.0, 0.0, 0.2), (1.0, 1.0, 0.2)] {
            let mut chance = Chance::new(1, &["long run"]);
            let mut sum = 0.0;
            for _ in 0..runs {
                let mut state = chance.normal();
                let mut next = || {
                    state = 0.8 * state + 0.6 * chance.normal();
                    level * state + noise * chance.normal()
                };
                let series: Vec<f64> = (0..n).map(|_| next()).collect();
                let mean = series.iter().sum::<f64>() / f64::from(n);
                let apart: Vec<f64> = series.iter().map(|value| value - mean).collect();
                sum += LongRun::of(&apart).variance / f64::from(runs);
            }
            let of_level =
                1.0 + (1..n).map(|k| 2.0 * (1.0 - f64::from(k) / f64::from(n)) * 0.8_f64.powi(k)).sum::<f64>();
            let truth = level * of_level + noise;
            near(sum / truth, 1.0, tolerance);
        }
    }
}
