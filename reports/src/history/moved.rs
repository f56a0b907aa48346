//! Changes of an expectation over many runs: a verdict that alternates, and a value that moves towards its limit.
//!
//! The test for a trend is Mann and Kendall's, with the correction for equal values; the size is Theil and Sen's slope
//! (Kendall, "Rank Correlation Methods", 1948; Sen, 1968).

use shakedown_schemas::result::{ExpectationResult, Unit, Verdict};

/// An expectation is flaky if its verdict changed at least this often between pass and not pass.
const FLAKY_CHANGES: usize = 2;
/// The fewest values with a trend.
const FEWEST: usize = 8;
/// The most values that are looked at, the newest ones: every pair is compared.
const MOST: usize = 200;
/// The quantile of the normal distribution that a trend must exceed: by chance, one series of 200 without a trend does.
const DEVIATIONS: f64 = 2.576;
/// The smallest trend that matters, as a share of the value at the beginning.
const SHARE: f64 = 0.1;
/// The smallest trend that matters of a value that is a share itself.
const POINTS: f64 = 0.005;

/// The number of changes between pass and not pass.
pub(super) fn changes(list: &[Option<&ExpectationResult>]) -> usize {
    let passed: Vec<bool> = list.iter().flatten().map(|it| it.verdict == Verdict::Pass).collect();
    passed.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Whether this many changes of the verdict are flaky.
pub(super) const fn is_flaky(changes: usize) -> bool {
    changes >= FLAKY_CHANGES
}

/// A trend towards the limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trend {
    /// The value of the fitted line in the first run.
    pub(super) from: f64,
    /// The value of the fitted line in the last run.
    pub(super) to: f64,
}

impl Trend {
    /// The trend of an expectation over its runs. None without one, and for an expectation without exactly one limit: the
    /// bad direction is unknown.
    pub(super) fn of(list: &[Option<&ExpectationResult>]) -> Option<Self> {
        let newest = list.iter().flatten().next_back()?;
        let is_rise_bad = match (newest.min, newest.max) {
            (None, Some(_)) => true,
            (Some(_), None) => false,
            _ => return None,
        };
        let comparable = list.iter().flatten().filter(|it| it.unit == newest.unit);
        let values: Vec<f64> = comparable.filter_map(|it| it.observed).filter(|value| value.is_finite()).collect();
        let values = &values[values.len().saturating_sub(MOST)..];
        let it = Self::fitted(values)?;
        let (change, first) = (it.to - it.from, it.from.abs());
        let is_large = match newest.unit {
            Unit::Fraction => change.abs() >= POINTS,
            Unit::Seconds | Unit::Times | Unit::Count => change.abs() >= SHARE * first,
        };
        ((change > 0.0) == is_rise_bad && is_large).then_some(it)
    }

    fn fitted(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n < FEWEST {
            return None;
        }
        let pairs = || (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        let sum: f64 = pairs().map(|(a, b)| (values[b] - values[a]).total_cmp(&0.0) as i8).map(f64::from).sum();
        let pieces = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let equal: f64 = sorted.chunk_by(|a, b| a == b).map(|same| pieces(same.len() as f64)).sum();
        let variance = (pieces(n as f64) - equal) / 18.0;
        // One less: the sum moves in steps of two.
        if variance <= 0.0 || (sum.abs() - 1.0) / variance.sqrt() < DEVIATIONS {
            return None;
        }
        let slope = middle(pairs().map(|(a, b)| (values[b] - values[a]) / (b - a) as f64).collect());
        let from = middle(values.iter().enumerate().map(|(at, value)| value - slope * at as f64).collect());
        Some(Self { from, to: from + slope * (n - 1) as f64 })
    }
}

/// The word for a trend of this value.
pub(super) const fn word(it: &ExpectationResult) -> &'static str {
    match it.unit {
        Unit::Seconds | Unit::Times if it.max.is_some() => "slowing",
        _ => "worsening",
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(unit: Unit, (min, max): (Option<f64>, Option<f64>), values: &[f64]) -> Vec<ExpectationResult> {
        let one = |value: &f64| ExpectationResult {
            unit,
            min,
            max,
            observed: Some(*value),
            ..ExpectationResult::new("latency", "p", "l", "p95 at most 1s")
        };
        values.iter().map(one).collect()
    }

    fn trend(unit: Unit, limits: (Option<f64>, Option<f64>), values: &[f64]) -> Option<Trend> {
        let runs = runs(unit, limits, values);
        let list: Vec<Option<&ExpectationResult>> = runs.iter().map(Some).collect();
        Trend::of(&list)
    }

    #[test]
    fn a_value_that_moves_to_its_limit_has_a_trend() {
        let (max, min) = ((None, Some(1.0)), (Some(0.9), None));
        let rising: Vec<f64> =
            (0..12).map(|k| 0.1 + 0.01 * f64::from(k) + if k % 3 == 0 { 0.004 } else { 0.0 }).collect();
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        let found = trend(Unit::Seconds, max, &rising).expect("it rises");
        assert!((found.from - 0.1).abs() < 0.01 && (found.to - 0.21).abs() < 0.01, "{found:?}");
        assert_eq!(trend(Unit::Seconds, max, &falling), None, "it becomes faster");
        assert!(trend(Unit::Fraction, min, &falling).is_some() && trend(Unit::Fraction, min, &rising).is_none());
        assert_eq!(trend(Unit::Seconds, (Some(0.0), Some(1.0)), &rising), None, "both directions may be bad");
        assert_eq!(trend(Unit::Seconds, max, &rising[..7]), None, "too few");
    }

    #[test]
    fn small_and_random_changes_are_no_trend() {
        let max = (None, Some(1.0));
        let small: Vec<f64> = (0..20).map(|k| 0.5 + 0.001 * f64::from(k)).collect();
        assert_eq!(trend(Unit::Seconds, max, &small), None, "2 % in 20 runs");
        assert_eq!(trend(Unit::Seconds, max, &[0.2; 20]), None);
        let mut alarms = 0;
        for series in 0..400_u64 {
            let noise = |k: u64| (((series * 131 + k) * 2_654_435_761) % 1_000_003) as f64 / 1_000_003.0;
            let values: Vec<f64> = (0..20).map(|k| 0.2 + 0.1 * noise(k * k + 7)).collect();
            alarms += usize::from(trend(Unit::Seconds, max, &values).is_some());
        }
        assert!(alarms <= 6, "{alarms} of 400 series without a trend");
    }
}
