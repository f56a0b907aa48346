//! Intervals for percentiles and their ratios by a moving-block bootstrap over time windows.
//!
//! Requests are not independent: those of one second share a queue, a garbage collection, a noisy neighbour. So whole
//! windows are drawn, in blocks of neighbouring windows (Künsch 1989; the circular form of Politis and Romano 1992),
//! and a percentile of the drawn requests is taken each time. The chance is a fixed generator with a given seed: the
//! same observations give the same numbers on every machine and with every version of every dependency.

use std::collections::BTreeSet;

use super::numbers::{normal_quantile, student_quantile};
use super::stats::{self, Placed};
use crate::chance::Chance;
use crate::observe::Histogram;

/// How often a phase is drawn anew.
const RESAMPLES: usize = 1000;

/// More windows than this are merged, so that an hour costs no more than some minutes do.
const MOST_WINDOWS: u64 = 200;

/// The length of a block, in seconds, where the phase is long enough for it.
const BLOCK_S: f64 = 20.0;

/// The fewest blocks that a phase is cut into, and so the fewest windows that an interval can be made of.
pub(super) const FEWEST_BLOCKS: usize = 6;

/// How many times the variance of independent requests a phase must show to count as drifting.
const DRIFT: f64 = 2.0;

/// The values of one phase, window by window, ready to be drawn many times.
///
/// Row `v` of `cumulative` holds for each window how many of its values are at most `values[v]`. With the windows'
/// weights a draw's percentile is then found by bisection over rows, whatever the number of requests.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    values: Vec<f64>,
    cumulative: Vec<u32>,
    width: usize,
    window_s: f64,
}

impl Windows {
    /// Merges cells into windows of a second, or longer ones where there would be too many. A rest shorter than half
    /// a window joins the last one.
    pub(super) fn new<'a>(
        cells: impl Iterator<Item = Placed<'a>>,
        pick: fn(&crate::observe::Cell) -> &Histogram,
    ) -> Self {
        let cells: Vec<Placed<'a>> = cells.collect();
        let shortest_ns = stats::window_ns(&cells);
        let all_ns: u64 = cells.iter().map(|placed| placed.length_ns).sum();
        let window_ns = shortest_ns * all_ns.div_ceil(shortest_ns * MOST_WINDOWS).max(1);
        let mut windows: Vec<Histogram> = Vec::new();
        for (part, length_ns) in stats::windows(&cells, window_ns) {
            let mut sum = Histogram::default();
            part.iter().for_each(|placed| sum.merge(pick(placed.cell)));
            match windows.last_mut() {
                Some(last) if length_ns * 2 < window_ns => last.merge(&sum),
                _ => windows.push(sum),
            }
        }
        Self::of(&windows, super::seconds(window_ns))
    }

    fn of(windows: &[Histogram], window_s: f64) -> Self {
        // Values come from buckets, so equal values are equal bit by bit, and positive ones sort by their bits.
        let distinct: BTreeSet<u64> =
            windows.iter().flat_map(|it| it.iter().map(|(value, _)| value.to_bits())).collect();
        let values: Vec<f64> = distinct.into_iter().map(f64::from_bits).collect();
        let width = windows.len();
        let mut cumulative = vec![0_u32; values.len() * width];
        for (window, histogram) in windows.iter().enumerate() {
            let mut counts = histogram.iter().peekable();
            let mut seen = 0_u32;
            for (row, value) in values.iter().enumerate() {
                if let Some((_, count)) = counts.next_if(|(next, _)| next == value) {
                    seen = seen.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
                }
                cumulative[row * width + window] = seen;
            }
        }
        Self { values, cumulative, width, window_s }
    }

    /// How many windows there are.
    pub(super) const fn len(&self) -> usize {
        self.width
    }

    fn at_most(&self, row: usize, weights: &[u32]) -> u64 {
        let row = &self.cumulative[row * self.width..(row + 1) * self.width];
        row.iter().zip(weights).map(|(count, weight)| u64::from(*count) * u64::from(*weight)).sum()
    }

    /// The percentile of the values with each window's values taken `weights` times.
    fn quantile(&self, weights: &[u32], quantile: f64) -> Option<f64> {
        let last = self.values.len().checked_sub(1)?;
        let total = self.at_most(last, weights);
        if total == 0 {
            return None;
        }
        let rank = ((quantile * total as f64) - 1e-9).ceil().max(1.0) as u64;
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = (low + high) / 2;
            if self.at_most(middle, weights) >= rank { high = middle } else { low = middle + 1 }
        }
        Some(self.values[low])
    }

    /// How many windows a block has.
    fn block(&self) -> usize {
        block(self.width, self.window_s)
    }

    fn draw(&self, chance: &mut Chance, weights: &mut [u32]) {
        weights.fill(0);
        let block = self.block();
        let mut drawn = 0;
        while drawn < self.width {
            let start = chance.below(self.width);
            for offset in 0..block.min(self.width - drawn) {
                weights[(start + offset) % self.width] += 1;
            }
            drawn += block;
        }
    }
}

/// One phase's percentile, drawn many times, and how far those draws can be trusted.
struct Draws {
    logarithms: Vec<f64>,
    variance: f64,
    /// What the variance of the draws is to be multiplied with.
    missed: f64,
    freedom: f64,
}

impl Draws {
    fn new(windows: &Windows, quantile: f64, chance: &mut Chance) -> Option<Self> {
        if windows.len() < FEWEST_BLOCKS {
            return None;
        }
        let mut weights = vec![0; windows.len()];
        let logarithms: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                windows.draw(chance, &mut weights);
                // Nothing at all has no logarithm: less than the finest grain stands for it.
                windows.quantile(&weights, quantile).map(|value| value.max(0.5).ln())
            })
            .collect();
        // A draw of nothing but windows without a value is left out; where that is the rule, there is no interval.
        if logarithms.len() < RESAMPLES / 2 {
            return None;
        }
        let n = logarithms.len() as f64;
        let mean = logarithms.iter().sum::<f64>() / n;
        let variance = logarithms.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        let blocks = (windows.len() / windows.block()) as f64;
        let missed = windows.missed_variance(quantile) * blocks / (blocks - 1.0);
        Some(Self { logarithms, variance, missed, freedom: blocks - 1.0 })
    }
}

/// How many of so many windows a block has.
fn block(width: usize, window_s: f64) -> usize {
    let wanted = (BLOCK_S / window_s).round() as usize;
    wanted.min(width / FEWEST_BLOCKS).max(1)
}

/// The long-run variance of a series of windows around its mean, from overlapping blocks: the mean square of a block's
/// sum, per window.
fn long_run_variance(apart: &[f64], block: usize) -> f64 {
    let width = apart.len();
    let sum = |start: usize| (0..block).map(|offset| apart[(start + offset) % width]).sum::<f64>();
    let squares: f64 = (0..width).map(|start| sum(start).powi(2)).sum();
    // The mean was taken out of the same windows, which takes this share of a block's variance with it.
    squares / (block * width) as f64 / (1.0 - block as f64 / width as f64)
}

/// What a series' windows show of the variance of its mean.
pub(super) struct LongRun {
    /// Per window, with what blocks miss.
    pub(super) variance: f64,
    /// How many blocks there are.
    pub(super) blocks: f64,
}

impl LongRun {
    /// Of a series around its mean, at least [`FEWEST_BLOCKS`] windows of so many seconds each.
    ///
    /// Blocks cut the correlation at their ends, so that their variance is too small by a share that falls with their
    /// length `b` as `1/b`. Blocks of a third of the length miss three times as much: `2 V(b) - V(b/3)` is more than
    /// corrected for small samples (the "lugsail" of Vats and Flegal, "Lugsail lag windows for estimating time-average
    /// covariance matrices", Biometrika 109(3), 2022). Never less than `V(b)`.
    pub(super) fn of(apart: &[f64], window_s: f64) -> Self {
        let block = block(apart.len(), window_s);
        let long = long_run_variance(apart, block);
        let short = long_run_variance(apart, (block / 3).max(1));
        Self { variance: (2.0 * long - short).max(long), blocks: (apart.len() / block) as f64 }
    }
}

impl Windows {
    /// For each window how many more of its values lie above the percentile than their share, and the variance that
    /// this would have if all values were independent.
    fn above(&self, quantile: f64) -> Option<(Vec<f64>, f64)> {
        let value = self.quantile(&vec![1; self.width], quantile)?;
        let row = self.values.partition_point(|other| *other < value);
        let counts =
            |row: usize| self.cumulative[row * self.width..(row + 1) * self.width].iter().map(|it| f64::from(*it));
        let totals: Vec<f64> = counts(self.values.len() - 1).collect();
        let over: Vec<f64> = counts(row).zip(&totals).map(|(at_most, total)| total - at_most).collect();
        let all: f64 = totals.iter().sum();
        let share = over.iter().sum::<f64>() / all;
        let excess = over.iter().zip(&totals).map(|(over, total)| over - share * total).collect();
        Some((excess, share * (1.0 - share) * all / self.width as f64))
    }

    /// How many times the variance between blocks is what it would be between longer ones.
    fn missed_variance(&self, quantile: f64) -> f64 {
        let Some((excess, _)) = self.above(quantile) else { return 1.0 };
        let long = long_run_variance(&excess, self.block());
        if long > 0.0 { LongRun::of(&excess, self.window_s).variance / long } else { 1.0 }
    }

    /// How many times the variance of independent requests the phase shows around a percentile, when that is so much
    /// that the service was drifting from second to second. None when it was steady, or when that cannot be told.
    pub(super) fn drift(&self, quantile: f64) -> Option<f64> {
        if self.len() < FEWEST_BLOCKS {
            return None;
        }
        let (excess, independent) = self.above(quantile)?;
        let factor = LongRun::of(&excess, self.window_s).variance / independent;
        (independent > 0.0 && factor >= DRIFT).then_some(factor)
    }
}

/// The interval of a percentile, in the values' unit. None where there are too few windows to tell.
pub(super) fn percentile(windows: &Windows, quantile: f64, confidence: f64, mut chance: Chance) -> Option<[f64; 2]> {
    let draws = Draws::new(windows, quantile, &mut chance)?;
    Some(stretched(draws.logarithms, draws.missed, draws.freedom, confidence))
}

/// The interval of one phase's percentile divided by another's. None where either has too few windows to tell.
pub(super) fn ratio(
    over: &Windows,
    under: &Windows,
    quantile: f64,
    confidence: f64,
    mut chance: Chance,
) -> Option<[f64; 2]> {
    let over = Draws::new(over, quantile, &mut chance)?;
    let under = Draws::new(under, quantile, &mut chance)?;
    // Each phase's draws are independent of the other's, so that any pairing of them is a draw of the ratio.
    let pairs = over.logarithms.iter().zip(&under.logarithms).map(|(over, under)| over - under).collect();
    let (a, b) = (over.variance, under.variance);
    if a + b <= 0.0 {
        return Some(stretched(pairs, 1.0, over.freedom + under.freedom, confidence));
    }
    // The degrees of freedom of a sum of two estimated variances: Welch 1947, Satterthwaite 1946.
    let freedom = (a + b).powi(2) / (a * a / over.freedom + b * b / under.freedom);
    Some(stretched(pairs, (a * over.missed + b * under.missed) / (a + b), freedom, confidence))
}

/// The middle `confidence` of the draws, stretched on both sides of the median.
///
/// The plain percentile interval is too narrow for few blocks, as a normal interval with an estimated variance is:
/// it is stretched by `t / z` with the blocks' degrees of freedom, and by the root of what the blocks' variance misses
/// (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015, for the first).
/// Draws are logarithms, so that the interval of a ratio is the same in both directions.
fn stretched(mut draws: Vec<f64>, missed: f64, freedom: f64, confidence: f64) -> [f64; 2] {
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws[((share * draws.len() as f64) as usize).min(draws.len() - 1)];
    let tail = (1.0 - confidence) / 2.0;
    let student = student_quantile(1.0 - tail, freedom as u32) / normal_quantile(1.0 - tail);
    let median = at(0.5);
    let side = |edge: f64| (median + (edge - median) * student * missed.sqrt()).exp();
    [side(at(tail)), side(at(1.0 - tail))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::stats::judged;
    use crate::judge::testing::Timeline;
    use proptest::prelude::*;

    fn windows(rate: f64, seconds: f64, ms: impl FnMut(u64) -> f64) -> Windows {
        let mut ms = ms;
        let observations = Timeline::new(rate).phase("p", seconds).answer(|it| it.ok_in(ms(it.index))).observe();
        Windows::new(judged(&observations.loads[0], 0), |cell| &cell.latency)
    }

    /// Log-normal latencies: exp(sigma * z) around 100 ms.
    fn log_normal(chance: &mut Chance, sigma: f64) -> f64 {
        100.0 * (sigma * chance.normal()).exp()
    }

    #[test]
    fn unit_weights_give_the_histograms_percentile() {
        let all = windows(50.0, 20.0, |index| 10.0 + (index * 37 % 100) as f64);
        assert_eq!(all.len(), 20);
        let mut histogram = Histogram::default();
        (0..1000_u64).for_each(|index| histogram.record(10_000 + (index * 37 % 100) * 1000));
        for quantile in [0.01, 0.5, 0.95, 0.99] {
            let (ours, exact) = (all.quantile(&[1; 20], quantile).unwrap(), histogram.quantile(quantile).unwrap());
            assert!((ours / exact - 1.0).abs() < 0.001, "{ours} {exact}");
        }
        assert_eq!(all.quantile(&[0; 20], 0.5), None);
    }

    #[test]
    fn long_phases_are_merged() {
        let hour = windows(2.0, 3600.0, |_| 10.0);
        assert_eq!((hour.len(), hour.window_s), (200, 18.0));
        assert_eq!(hour.block(), 1);
        let minute = windows(2.0, 60.0, |_| 10.0);
        assert_eq!((minute.len(), minute.block()), (60, 10));
        assert_eq!(windows(2.0, 20.25, |_| 10.0).len(), 20, "a rest of a quarter joins the last window");
        assert_eq!(windows(4.0, 20.75, |_| 10.0).len(), 21);
    }

    #[test]
    fn a_constant_has_an_interval_without_width() {
        let all = windows(20.0, 30.0, |_| 50.0);
        let [low, high] = percentile(&all, 0.95, 0.95, Chance::new(1, &[])).unwrap();
        assert!((low - high).abs() < 1e-6 && (low / 50_000.0 - 1.0).abs() < 0.001);
        assert_eq!(percentile(&windows(20.0, 5.0, |_| 50.0), 0.95, 0.95, Chance::new(1, &[])), None);
    }

    /// The large-sample interval of a ratio of medians of log-normals is known: its half-width is
    /// `1.96 * sqrt(2) * sigma * sqrt(pi / 2) / sqrt(n)` in logarithms.
    #[test]
    fn the_interval_of_a_ratio_has_the_analytic_width() {
        let mut chance = Chance::new(7, &["sample"]);
        let over = windows(50.0, 200.0, |_| 2.0 * log_normal(&mut chance, 0.5));
        let under = windows(50.0, 200.0, |_| log_normal(&mut chance, 0.5));
        let [low, high] = ratio(&over, &under, 0.5, 0.95, Chance::new(7, &["draw"])).unwrap();
        assert!(low < 2.0 && 2.0 < high, "{low} to {high}");
        let half = (high / low).ln() / 2.0;
        let analytic = 1.96 * 2.0_f64.sqrt() * 0.5 * (std::f64::consts::PI / 2.0).sqrt() / 10_000.0_f64.sqrt();
        assert!((0.7..1.6).contains(&(half / analytic)), "{half} against {analytic}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_and_another_does_not() {
        let mut chance = Chance::new(3, &["x"]);
        let all = windows(20.0, 30.0, |_| log_normal(&mut chance, 0.5));
        let interval = |seed| percentile(&all, 0.95, 0.95, Chance::new(seed, &["a"])).unwrap().map(f64::to_bits);
        assert_eq!(interval(1), interval(1));
        let different: BTreeSet<[u64; 2]> = (1..20).map(interval).collect();
        assert!(different.len() > 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn more_confidence_is_never_narrower(seed in 0_u64..1000, sigma in 0.1_f64..1.0) {
            let mut chance = Chance::new(seed, &["y"]);
            let all = windows(20.0, 24.0, |_| log_normal(&mut chance, sigma));
            let at = |confidence| percentile(&all, 0.9, confidence, Chance::new(seed, &[])).unwrap();
            let ([low, high], [wide_low, wide_high]) = (at(0.8), at(0.95));
            prop_assert!(wide_low <= low && low <= high && high <= wide_high);
        }
    }
}
