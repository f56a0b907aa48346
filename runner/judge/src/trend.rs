//! Whether a percentile rises or falls all through a baseline: a baseline that is still warming up is not a valid reference.
//! `steady` refuses a baseline for a large change of its median; this test checks the percentile of a ratio, also in a short
//! baseline, and only reports its movement.
//!
//! The test is Mann and Kendall's for a trend (Kendall, "Rank Correlation Methods", 1948) over windows, with the variance
//! of neighbouring windows that resemble each other; the size is Theil and Sen's slope.

use super::numbers::normal_quantile;
use super::stats::{self, Placed, sum};
use super::steady::{self, inflation};
use super::text;
use shakedown_observe::{Cell, Histogram};

/// The fewest values of a window, and the fewest windows.
const IN_WINDOW: u64 = 10;
const WINDOWS: usize = 6;

/// With fewer windows their correlation is unknown.
const FEW_WINDOWS: usize = 10;

/// More windows are merged: all pairs of windows are compared.
const MOST_WINDOWS: usize = 60;

/// The chance of a trend in a baseline without one, and in one with few windows, in which it cannot be as small.
const CHANCE: f64 = 0.001;
const CHANCE_OF_FEW: f64 = 0.005;

/// A trend of a percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trend {
    /// At the beginning and at the end, in microseconds.
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Trend {
    /// The trend in cells, if it is significant.
    pub(super) fn new<'a>(
        cells: impl Iterator<Item = Placed<'a>>,
        quantile: f64,
        pick: fn(&Cell) -> &Histogram,
    ) -> Option<Self> {
        let cells: Vec<Placed<'a>> = cells.collect();
        let values: Vec<f64> =
            windows(&cells, pick).iter().filter_map(|window| Some(window.quantile(quantile)?.max(1.0).ln())).collect();
        let n = values.len();
        if n < WINDOWS {
            return None;
        }
        let pairs = || (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        let slope = steady::middle(pairs().map(|(a, b)| (values[b] - values[a]) / (b - a) as f64).collect());
        let level = steady::middle(values.iter().enumerate().map(|(at, value)| value - slope * at as f64).collect());
        let apart: Vec<f64> = values.iter().enumerate().map(|(at, value)| value - level - slope * at as f64).collect();
        let sum: f64 = pairs().map(|(a, b)| steady::sign(values[b] - values[a])).sum();
        let count = n as f64;
        // Of few windows the correlation is that of the curve and not of the noise.
        let (resemblance, chance) = if n < FEW_WINDOWS { (1.0, CHANCE_OF_FEW) } else { (inflation(&apart), CHANCE) };
        let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0 * resemblance;
        // One less: the sum moves in steps of two.
        let deviations = (sum.abs() - 1.0) / variance.sqrt();
        let moves = deviations > normal_quantile(1.0 - chance / 2.0);
        moves.then(|| Self { from: level.exp(), to: (level + slope * (count - 1.0)).exp() })
    }

    /// By how many times it moves, in either direction.
    pub(super) fn factor(&self) -> f64 {
        (self.to / self.from).max(self.from / self.to)
    }

    /// The trend in words.
    pub(super) fn words(&self) -> String {
        let word = if self.to > self.from { "rising" } else { "falling" };
        format!("still {word}, from {} to {}", text::seconds(self.from / 1e6), text::seconds(self.to / 1e6))
    }
}

/// Windows of at least a second with enough values each. The remainder at the end is ignored.
fn windows(cells: &[Placed<'_>], pick: fn(&Cell) -> &Histogram) -> Vec<Histogram> {
    let all: u64 = cells.iter().map(|placed| pick(placed.cell).len()).sum();
    if all == 0 {
        return Vec::new();
    }
    let shortest_ns = stats::window_ns(cells);
    let all_ns: u64 = cells.iter().map(|placed| placed.length_ns).sum();
    let enough =
        (IN_WINDOW * all_ns).div_ceil(all * shortest_ns).max(all_ns.div_ceil(shortest_ns * MOST_WINDOWS as u64));
    let window_ns = shortest_ns * enough.max(1);
    let whole = stats::windows(cells, window_ns).into_iter().filter(|(_, length_ns)| *length_ns >= window_ns);
    whole.map(|(part, _)| sum(&part.iter().map(|it| pick(it.cell)).collect::<Vec<_>>(), Histogram::merge)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::judged;
    use crate::testing::Timeline;
    use crate::testing::shapes::{Service, Shape};

    fn trend(seconds: f64, mut ms: impl FnMut(f64, u64) -> f64) -> Option<Trend> {
        let timeline = Timeline::new(20.0).phase("a", seconds).answer(|it| it.ok_in(ms(it.at, it.index)));
        let observations = timeline.observe();
        Trend::new(judged(&observations.loads[0], 0), 0.95, |cell| &cell.latency)
    }

    fn noise(index: u64) -> f64 {
        1.0 + (index * 7919 % 100) as f64 / 500.0
    }

    #[test]
    fn a_cold_start_is_a_trend_also_in_seven_seconds() {
        let cold = trend(7.0, |at, index| (129.0 + 300.0 * (-at / 3.0).exp()) * noise(index)).unwrap();
        assert!(cold.factor() > 1.5 && cold.to < cold.from, "{cold:?}");
        assert!(cold.words().starts_with("still falling, from "), "{}", cold.words());
        let mut service = Service::new(Shape::Independent, 1);
        let rising = trend(30.0, |at, _| (1.0 + at / 15.0) * service.answer_ms(at)).unwrap();
        assert!(rising.words().starts_with("still rising"), "{}", rising.words());
        assert_eq!(trend(5.0, |at, _| 500.0 - 50.0 * at), None, "five windows tell nothing");
    }

    /// A wandering level has a significant trend more often than the level of the test, because its correlation is
    /// underestimated.
    #[test]
    fn an_unchanged_service_rarely_has_one() {
        for (shape, most) in
            [(Shape::Independent, 6), (Shape::HeavyTailed, 6), (Shape::Queue, 12), (Shape::Drifting(0.15), 12)]
        {
            let found = (0..200).filter(|seed| {
                let mut service = Service::new(shape, *seed);
                trend(30.0, |at, _| service.answer_ms(at)).is_some()
            });
            let found = found.count();
            assert!(found < most, "{shape}: {found} of 200");
        }
    }
}
