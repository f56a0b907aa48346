//! Checks that a stretch of requests is in a steady state: no trend and no change point.
//!
//! It checks the logarithm of the median latency and the share of requests that succeed, window by window. A gate
//! must not raise false alarms, so both tests require strong evidence: a change that matters ([`FACTOR`] and
//! [`FLOOR_US`]; [`SHARE`]), with a chance of less than one in a thousand, where neighbouring windows count as far as
//! they are independent of each other (their lag-one correlation).
//! - Trend: Theil and Sen's slope (Sen 1968) for its size, and how many standard errors of a slope it is for its
//!   chance.
//! - Change point: Pettitt's test ("A non-parametric approach to the change-point problem", Applied Statistics 28(2),
//!   1979) for its place and chance, the medians before and after it for its size, and how many standard errors apart
//!   they are.
//!
//! The correction for correlation is that of the mean of an AR(1) series: `(1 + r) / (1 - r)` times the variance. The
//! standard errors are [`ERRORS`]: the correlation of few windows is underestimated.

use super::stats::{self, Placed, sum};
use super::text;
use shakedown_observe::Cell;

/// The smallest ratio between the latencies at the end and at the beginning that counts, in either direction.
const FACTOR: f64 = 1.5;

/// A smaller change, in microseconds, does not count: the scheduling of a busy machine causes it.
const FLOOR_US: f64 = 10_000.0;

/// By how much the share of requests that succeed must change.
const SHARE: f64 = 0.05;

/// The chance below which a change counts.
const CHANCE: f64 = 0.001;

/// The minimum size of a change, in standard errors.
const ERRORS: f64 = 4.5;

/// The minimum number of requests in a window, and of windows in the stretch.
const IN_WINDOW: u64 = 10;
const WINDOWS: usize = 10;

/// More windows are merged: all pairs of windows are compared.
const MOST_WINDOWS: u64 = 200;

/// The measure, window by window.
struct Measure {
    name: &'static str,
    /// Its value in a window; none if the window has no value.
    of: fn(&Cell) -> Option<f64>,
    /// Whether the difference of two values is large enough to matter.
    matters: fn(f64, f64) -> bool,
    /// A value in words.
    shown: fn(f64) -> String,
}

const LATENCY: Measure = Measure {
    name: "p50",
    of: |cell| cell.latency.quantile(0.5).map(|median| median.max(1.0).ln()),
    matters: |from, to| (to - from).abs() >= FACTOR.ln() && (to.exp() - from.exp()).abs() >= FLOOR_US,
    shown: |logarithm| text::seconds(logarithm.exp() / 1e6),
};

const SUCCESS: Measure = Measure {
    name: "the success rate",
    of: |cell| Some(cell.succeeded as f64 / cell.requests() as f64).filter(|share| share.is_finite()),
    matters: |from, to| (to - from).abs() >= SHARE,
    shown: text::percent,
};

/// The change in words; none for a steady stretch, or for one that is too short.
pub(super) fn unsteady<'a>(cells: impl Iterator<Item = Placed<'a>>) -> Option<String> {
    let windows = windows(&cells.collect::<Vec<_>>());
    [LATENCY, SUCCESS].iter().find_map(|measure| {
        let values: Vec<f64> = windows.iter().filter_map(measure.of).collect();
        if values.len() < WINDOWS {
            return None;
        }
        jump(&values, measure).or_else(|| trend(&values, measure))
    })
}

/// Windows of seconds, longer ones where those hold too few requests. The remainder at the end is ignored.
fn windows(cells: &[Placed<'_>]) -> Vec<Cell> {
    let all: u64 = cells.iter().map(|placed| placed.cell.requests()).sum();
    if all == 0 {
        return Vec::new();
    }
    let shortest_ns = stats::window_ns(cells);
    let all_ns: u64 = cells.iter().map(|placed| placed.length_ns).sum();
    let seconds = all_ns as f64 / shortest_ns as f64;
    let enough = (IN_WINDOW as f64 * seconds / all as f64 - 0.05).ceil().max(1.0) as u64;
    let window_ns = shortest_ns * enough.max(all_ns.div_ceil(shortest_ns * MOST_WINDOWS));
    let whole = stats::windows(cells, window_ns).into_iter().filter(|(_, length_ns)| *length_ns >= window_ns);
    whole.map(|(part, _)| sum(&part.iter().map(|placed| placed.cell).collect::<Vec<_>>(), Cell::merge)).collect()
}

/// The median.
pub(super) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

/// By how much the variance of a mean is larger than that of independent values, from the residuals' lag-one
/// correlation. Never less than one.
pub(super) fn inflation(residuals: &[f64]) -> f64 {
    let squares: f64 = residuals.iter().map(|value| value * value).sum();
    if squares <= 0.0 {
        return 1.0;
    }
    let products: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let lag = (products / squares).clamp(0.0, 0.95);
    (1.0 + lag) / (1.0 - lag)
}

/// The variance of the residuals, corrected for a mean of them.
fn variance(residuals: &[f64]) -> f64 {
    let squares: f64 = residuals.iter().map(|value| value * value).sum();
    squares / (residuals.len() - 2) as f64 * inflation(residuals)
}

fn trend(values: &[f64], measure: &Measure) -> Option<String> {
    let n = values.len();
    let pairs = || (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
    let slope = middle(pairs().map(|(a, b)| (values[b] - values[a]) / (b - a) as f64).collect());
    let level = middle(values.iter().enumerate().map(|(at, value)| value - slope * at as f64).collect());
    let (from, to) = (level, level + slope * (n - 1) as f64);
    let residuals: Vec<f64> = values.iter().enumerate().map(|(at, value)| value - level - slope * at as f64).collect();
    let count = n as f64;
    let error = (variance(&residuals) * 12.0 / (count * (count * count - 1.0))).sqrt();
    (slope.abs() > ERRORS * error && (measure.matters)(from, to)).then(|| {
        let word = if to > from { "rises" } else { "falls" };
        format!("{} {word} throughout, from {} to {}", measure.name, (measure.shown)(from), (measure.shown)(to))
    })
}

/// -1, 0 or 1.
pub(super) fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// A change point of a series of values.
pub(super) struct ChangePoint {
    /// The number of values before it. 1 or more.
    pub(super) at: usize,
    /// The chance of a change point at least as clear in a series without a change.
    pub(super) chance: f64,
    /// The medians before and after it.
    pub(super) before: f64,
    pub(super) after: f64,
    /// The standard error of their difference.
    error: f64,
}

impl ChangePoint {
    /// True if the chance is below this level, and the medians are 4.5 standard errors apart.
    pub(super) fn is_below(&self, level: f64) -> bool {
        self.chance < level && self.is_apart(ERRORS)
    }

    /// True if the medians are at least this many standard errors apart.
    pub(super) fn is_apart(&self, errors: f64) -> bool {
        (self.after - self.before).abs() > errors * self.error
    }
}

/// The most likely change point of more than two values, significant or not. None if all values are equal.
pub(super) fn change_point(values: &[f64]) -> Option<ChangePoint> {
    let n = values.len();
    let mut sum = 0.0;
    let (mut most, mut at) = (0.0_f64, 0);
    for split in 1..n {
        let value = values[split - 1];
        sum += values.iter().map(|other| sign(*other - value)).sum::<f64>();
        if sum.abs() > most {
            (most, at) = (sum.abs(), split);
        }
    }
    if at == 0 {
        return None;
    }
    let (before, after) = (middle(values[..at].to_vec()), middle(values[at..].to_vec()));
    let residuals: Vec<f64> =
        values.iter().enumerate().map(|(index, value)| value - if index < at { before } else { after }).collect();
    let count = n as f64;
    let error = (variance(&residuals) * (1.0 / at as f64 + 1.0 / (n - at) as f64)).sqrt();
    let chance = 2.0 * (-6.0 * most * most / inflation(&residuals) / (count.powi(3) + count.powi(2))).exp();
    Some(ChangePoint { at, chance, before, after, error })
}

fn jump(values: &[f64], measure: &Measure) -> Option<String> {
    let found = change_point(values)?;
    let ChangePoint { at, before, after, .. } = found;
    if !found.is_below(CHANCE) || !(measure.matters)(before, after) {
        return None;
    }
    let count = values.len() as f64;
    // A trend looks like a jump in its middle and is reported as a trend. Each side has nine windows or more: with
    // fewer no chance is as small as that.
    let is_level = |part: &[f64]| {
        let third = part.len() / 3;
        let (first, last) = (middle(part[..third].to_vec()), middle(part[part.len() - third..].to_vec()));
        (last - first).abs() < (after - before).abs() / 3.0
    };
    (is_level(&values[..at]) && is_level(&values[at..])).then(|| {
        let share = text::percent((at as f64 / count * 100.0).round() / 100.0);
        let (before, after) = ((measure.shown)(before), (measure.shown)(after));
        format!("{} jumps from {before} to {after} after {share} of the phase", measure.name)
    })
}

#[cfg(test)]
mod tests;
