//! Intervals for percentiles and their ratios by a block bootstrap over time windows.
//!
//! Requests are not independent: those of one second share a queue, a garbage collection, a noisy neighbour. The
//! bootstrap therefore draws whole windows, in blocks of neighbouring ones (Künsch 1989; the circular form of Politis
//! and Romano 1992).
//!
//! - A draw gives a deviation of the share of requests above the percentile. The percentile of the draw is that of the sample
//!   at the deviating share, as in Woodruff's interval ("Confidence intervals for medians and other position measures",
//!   Journal of the American Statistical Association 47, 1952). An interval therefore stays within the observed values, and is
//!   asymmetric if they are.
//! - Blocks cut the correlation at their ends, and few blocks give an imprecise variance. The draws are therefore scaled to
//!   the long-run variance of the share ([`LongRun`]), and by the ratio of Student's quantile to the normal one for its degrees
//!   of freedom. Shares are scaled, not latencies (the expanded percentile interval of Hesterberg, "What Teachers Should Know
//!   About the Bootstrap", The American Statistician 69(4), 2015). It narrows as well as it widens.
//! - A ratio's draws are pairs, one from each phase, as logarithms, so that its interval is symmetric under inversion.

use std::cmp::Ordering;

use super::long_run::{FEWEST_WINDOWS, LongRun};
use super::numbers::{freedom_of_sum, normal_quantile, student_quantile};
use super::stats::{self, Placed, sum};
use shakedown_observe::chance::Chance;
use shakedown_observe::{Cell, Histogram};

/// The number of bootstrap draws of a phase.
const RESAMPLES: usize = 2000;

/// More windows than this are merged, so that an hour costs no more time than a few minutes.
const MOST_WINDOWS: u64 = 200;

/// The length of a block, in seconds, in a phase that is long enough. It affects the shape of the draws but not their scale,
/// so it matters little: from 2 s to 10 s, intervals cover the truth equally often.
const BLOCK_S: f64 = 5.0;

/// The minimum number of blocks of a phase.
const FEWEST_BLOCKS: usize = 3;

/// How many times the variance of independent requests a phase must show to count as drifting.
const DRIFT: f64 = 2.0;

/// Zero has no logarithm: a value below the histogram's resolution represents it.
fn logarithm(microseconds: f64) -> f64 {
    microseconds.max(0.5).ln()
}

/// The values of one phase, all together and window by window.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    windows: Vec<Histogram>,
    window_s: f64,
    /// The values' logarithms in ascending order, each with the number of values up to it.
    logarithms: Vec<f64>,
    at_most: Vec<u64>,
}

impl Windows {
    /// Merges cells into windows of one second, or longer ones if there would be too many. A remainder shorter than half a
    /// window joins the last one.
    pub(super) fn new<'a>(cells: impl Iterator<Item = Placed<'a>>, pick: fn(&Cell) -> &Histogram) -> Self {
        let cells: Vec<Placed<'a>> = cells.collect();
        let shortest_ns = stats::window_ns(&cells);
        let all_ns: u64 = cells.iter().map(|placed| placed.length_ns).sum();
        let window_ns = shortest_ns * all_ns.div_ceil(shortest_ns * MOST_WINDOWS).max(1);
        let mut windows: Vec<Histogram> = Vec::new();
        for (part, length_ns) in stats::windows(&cells, window_ns) {
            let parts: Vec<&Histogram> = part.iter().map(|placed| pick(placed.cell)).collect();
            let part_of = sum(&parts, Histogram::merge);
            match windows.last_mut() {
                Some(last) if length_ns * 2 < window_ns => last.merge(&part_of),
                _ => windows.push(part_of),
            }
        }
        let all = sum(&windows.iter().collect::<Vec<_>>(), Histogram::merge);
        let logarithms = all.iter().map(|(value, _)| logarithm(value)).collect();
        let sum_to = |sum: &mut u64, (_, count): (f64, u64)| {
            *sum += count;
            Some(*sum)
        };
        let at_most = all.iter().scan(0, sum_to).collect();
        Self { windows, window_s: super::seconds(window_ns), logarithms, at_most }
    }

    /// How many windows there are.
    pub(super) const fn len(&self) -> usize {
        self.windows.len()
    }

    /// How many values there are.
    pub(super) fn values(&self) -> u64 {
        self.at_most.last().copied().unwrap_or_default()
    }

    /// The logarithm of the value with this rank, counted from 1. A fractional rank is interpolated.
    fn ranked(&self, rank: f64) -> f64 {
        let rank = rank.clamp(1.0, self.values() as f64);
        let (whole, part) = (rank as u64, rank.fract());
        let at = self.at_most.partition_point(|at_most| *at_most < whole);
        // The next rank has another value only after the last equal one.
        if part == 0.0 || self.at_most[at] > whole {
            return self.logarithms[at];
        }
        self.logarithms[at] * (1.0 - part) + self.logarithms[at + 1] * part
    }

    /// The logarithm of a percentile: of the smallest value with this share at or below it.
    pub(super) fn logarithm_at(&self, quantile: f64) -> f64 {
        self.ranked((quantile * self.values() as f64 - 1e-9).ceil())
    }

    /// For each window, the number of values whose logarithm exceeds that of another phase's percentile, and the number of
    /// all values. Equal values count as above only with `at`.
    pub(super) fn above(&self, logarithm_of: f64, at: bool) -> Vec<(f64, f64)> {
        let is_above = |value: f64| logarithm(value) > logarithm_of || at && logarithm(value) == logarithm_of;
        let above = |window: &Histogram| window.iter().filter(|it| is_above(it.0)).map(|it| it.1).sum::<u64>() as f64;
        self.windows.iter().map(|window| (above(window), window.len() as f64)).collect()
    }

    /// The logarithm of the smallest and of the largest value. None without values.
    pub(super) fn reach(&self) -> Option<[f64; 2]> {
        Some([*self.logarithms.first()?, *self.logarithms.last()?])
    }

    /// For each window, the excess of values above the percentile compared with their expected share. Values equal to the
    /// percentile count as above by the fraction that makes the sum zero.
    pub(super) fn excess(&self, quantile: f64) -> Vec<f64> {
        let share = 1.0 - quantile;
        let n = self.values() as f64;
        let percentile = self.logarithm_at(quantile);
        // The number of a window's values above it and equal to it. A histogram contains each value once.
        let counted = |window: &Histogram| {
            window.iter().fold((0.0, 0.0), |(above, at), (value, count)| {
                match logarithm(value).total_cmp(&percentile) {
                    Ordering::Greater => (above + count as f64, at),
                    Ordering::Equal => (above, count as f64),
                    Ordering::Less => (above, at),
                }
            })
        };
        let counts: Vec<(f64, f64)> = self.windows.iter().map(counted).collect();
        let (above, at) = counts.iter().fold((0.0, 0.0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        let part = (share * n - above) / at;
        let excess = |(window, (above, at)): (&Histogram, &(f64, f64))| above + part * at - share * window.len() as f64;
        self.windows.iter().zip(&counts).map(excess).collect()
    }

    /// The number of windows of a block.
    fn block(&self) -> usize {
        let wanted = (BLOCK_S / self.window_s).round() as usize;
        wanted.min(self.windows.len() / FEWEST_BLOCKS).max(1)
    }

    /// The variance around a percentile as a multiple of that of independent requests, if it is so large that the service
    /// drifted from second to second. None if it was steady, or if there is too little data.
    pub(super) fn drift(&self, quantile: f64) -> Option<f64> {
        if self.windows.len() < FEWEST_WINDOWS || self.values() == 0 {
            return None;
        }
        let independent = quantile * (1.0 - quantile) * self.values() as f64 / self.windows.len() as f64;
        let factor = LongRun::of(&self.excess(quantile)).variance / independent;
        (factor >= DRIFT).then_some(factor)
    }
}

/// The bootstrap draws of one phase's percentile.
struct Draws<'a> {
    windows: &'a Windows,
    /// The rank of the percentile in the sample, between two values.
    rank: f64,
    /// The deviation of the rank in each draw, with the long-run variance.
    apart: Vec<f64>,
    freedom: f64,
}

impl<'a> Draws<'a> {
    fn new(windows: &'a Windows, quantile: f64, chance: &mut Chance) -> Option<Self> {
        let n = windows.len();
        if n < FEWEST_WINDOWS || windows.values() == 0 {
            return None;
        }
        let excess = windows.excess(quantile);
        let block = windows.block();
        let long_run = LongRun::of(&excess);
        let sums = |length: usize| -> Vec<f64> {
            (0..n).map(|start| (start..start + length).map(|at| excess[at % n]).sum()).collect()
        };
        // As many whole blocks as fit, and a shorter one for the rest.
        let (blocks, rest) = (sums(block), sums(n % block));
        let variance = |sums: &[f64]| sums.iter().map(|sum| sum * sum).sum::<f64>() / n as f64;
        let drawn = variance(&blocks) * (n / block) as f64 + variance(&rest);
        let scale = if drawn > 0.0 { (long_run.variance * n as f64 / drawn).sqrt() } else { 0.0 };
        let mut draw = || {
            let whole: f64 = (0..n / block).map(|_| blocks[chance.below(n)]).sum();
            (whole + rest[chance.below(n)]) * scale
        };
        let apart = (0..RESAMPLES).map(|_| draw()).collect();
        // Plus half a rank: among independent values, the value with rank k is at most the percentile if at least k values are.
        let rank = quantile * windows.values() as f64 + 0.5;
        Some(Self { windows, rank, apart, freedom: long_run.freedom })
    }

    /// The logarithms of the draws, stretched.
    fn logarithms(&self, stretch: f64) -> impl Iterator<Item = f64> + '_ {
        self.apart.iter().map(move |apart| self.windows.ranked(self.rank + apart * stretch))
    }

    /// The variance of those logarithms times their number, which is the same for all phases, and its degrees of freedom.
    fn spread(&self) -> (f64, f64) {
        let logarithms: Vec<f64> = self.logarithms(1.0).collect();
        let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
        (logarithms.iter().map(|value| (value - mean).powi(2)).sum(), self.freedom)
    }
}

/// The ratio of an interval with these degrees of freedom to a normal one.
fn stretch(confidence: f64, freedom: f64) -> f64 {
    let upper = 0.5 + confidence / 2.0;
    student_quantile(upper, freedom) / normal_quantile(upper)
}

/// The middle `confidence` of logarithms, as values.
fn middle(logarithms: impl Iterator<Item = f64>, confidence: f64) -> [f64; 2] {
    let mut sorted: Vec<f64> = logarithms.collect();
    sorted.sort_by(f64::total_cmp);
    let outside = ((0.5 - confidence / 2.0) * sorted.len() as f64) as usize;
    [sorted[outside].exp(), sorted[sorted.len() - 1 - outside].exp()]
}

/// The interval of a percentile, in the values' unit. None with too few windows.
pub(super) fn percentile(windows: &Windows, quantile: f64, confidence: f64, mut chance: Chance) -> Option<[f64; 2]> {
    let draws = Draws::new(windows, quantile, &mut chance)?;
    Some(middle(draws.logarithms(stretch(confidence, draws.freedom)), confidence))
}

/// The interval of one phase's percentile divided by another's. None if either has too few windows.
pub(super) fn ratio(
    over: &Windows,
    under: &Windows,
    quantile: f64,
    confidence: f64,
    mut chance: Chance,
) -> Option<[f64; 2]> {
    let over = Draws::new(over, quantile, &mut chance)?;
    let under = Draws::new(under, quantile, &mut chance)?;
    let stretch = stretch(confidence, freedom_of_sum(over.spread(), under.spread()));
    // Each phase's draws are independent of the other's, so that any pairing of them is a draw of the ratio.
    let pairs = over.logarithms(stretch).zip(under.logarithms(stretch)).map(|(over, under)| over - under);
    Some(middle(pairs, confidence))
}

#[cfg(test)]
mod tests;
