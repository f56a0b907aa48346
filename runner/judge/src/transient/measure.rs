//! The data for the tests of a baseline: its windows, and each window's percentiles, failures and work.

use std::ops::Range;

use crate::measure::{Timing, Work};
use crate::stats::{self, Placed, judged, sum};
use crate::text;
use shakedown_observe::{CELL_NS, Cell, LoadObservations};

/// Smaller differences of a latency, in microseconds, are no difference.
pub(super) const LEAST_US: f64 = 1_000.0;

/// The difference by which a window's share of failures must deviate from the median window.
pub(super) const SHARE: f64 = 0.05;

/// The minimum number of windows of a phase.
pub(super) const FEWEST_WINDOWS: usize = 8;

/// Longer windows than cells are used above this length of the phase, in nanoseconds.
const SHORT_NS: u64 = 30 * stats::SECOND_NS;

/// The maximum number of windows of a phase.
const MOST_WINDOWS: u64 = 240;

/// The requests per window on average in which work is counted.
const WORK: f64 = 10.0;

/// A window of the phase.
pub(super) struct Window {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) cell: Cell,
}

impl Window {
    /// Neighbouring windows, at least one, as one.
    pub(super) fn merge(part: &[Self]) -> Self {
        let cell = sum(&part.iter().map(|it| &it.cell).collect::<Vec<_>>(), Cell::merge);
        Self { start_ns: part[0].start_ns, end_ns: part[part.len() - 1].end_ns, cell }
    }
}

/// A measure of a window.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    /// A quantile of a histogram.
    Quantile(Timing, f64),
    /// The share of requests that failed.
    Failures,
    /// Successful answers or tokens for each unit of time, or for each due request in an open loop.
    Work(Work),
}

pub(super) const MEASURES: [Measure; 9] = [
    Measure::Quantile(Timing::Latency, 0.5),
    Measure::Quantile(Timing::Latency, 0.95),
    Measure::Failures,
    Measure::Quantile(Timing::FirstToken, 0.5),
    Measure::Quantile(Timing::FirstToken, 0.95),
    Measure::Quantile(Timing::TokenGap, 0.5),
    Measure::Quantile(Timing::TokenGap, 0.95),
    Measure::Work(Work::Answers),
    Measure::Work(Work::Tokens),
];

impl Measure {
    /// Whether a load has this measure. In an open loop the number of due requests is planned: only failures change the
    /// number of answers.
    pub(super) fn is_of(self, is_open: bool, total: &Cell) -> bool {
        match self {
            Self::Quantile(of, _) => !of.pick()(total).is_empty(),
            Self::Failures => total.requests() > 0,
            Self::Work(Work::Answers) => !is_open && total.succeeded > 0,
            Self::Work(of) => of.pick()(total) > 0,
        }
    }

    /// The values window by window, with the place of the window. Windows without a value are left out.
    pub(super) fn values(self, windows: &[Window], is_open: bool) -> Vec<(Range<usize>, f64)> {
        let each = |of: &dyn Fn(&Cell) -> Option<f64>| {
            (0..).zip(windows).filter_map(|(at, it)| Some((at..at + 1, of(&it.cell)?))).collect()
        };
        match self {
            Self::Quantile(of, quantile) => each(&|cell| Some(of.pick()(cell).quantile(quantile)?.max(1.0).ln())),
            Self::Failures => each(&|cell| {
                let requests = cell.requests();
                (requests > 0).then(|| 1.0 - cell.succeeded as f64 / requests as f64)
            }),
            Self::Work(of) => {
                let pick = of.pick();
                let all: u64 = windows.iter().map(|it| it.cell.requests()).sum();
                let together = (WORK * windows.len() as f64 / all.max(1) as f64).ceil().max(1.0) as usize;
                let value = |(at, part): (usize, &[Window])| {
                    let work: u64 = part.iter().map(|it| pick(&it.cell)).sum();
                    let due: u64 = part.iter().map(|it| it.cell.requests()).sum();
                    let of = if is_open { due as f64 } else { part.len() as f64 };
                    (of > 0.0)
                        .then(|| (at * together..at * together + part.len(), (work as f64).max(0.5).ln() - of.ln()))
                };
                windows.chunks_exact(together).enumerate().filter_map(value).collect()
            }
        }
    }

    /// True if a value is out, above the median or below it.
    pub(super) fn is_out(self, value: f64, median: f64, factor: f64, is_above: bool) -> bool {
        let apart = if is_above { value - median } else { median - value };
        match self {
            Self::Quantile(..) => apart >= factor.ln() && (value.exp() - median.exp()).abs() >= LEAST_US,
            Self::Failures => apart > SHARE * factor,
            Self::Work(..) => apart >= factor.ln(),
        }
    }

    /// The measure in a stretch and in the rest of the phase, in words.
    pub(super) fn words(self, (inside, inside_s): (&Cell, f64), (rest, rest_s): (&Cell, f64)) -> String {
        match self {
            Self::Quantile(of, quantile) => {
                let name = match of {
                    Timing::Latency => "",
                    Timing::FirstToken => "time to first token ",
                    Timing::TokenGap => "inter-token latency ",
                };
                let shown = |cell: &Cell| {
                    of.pick()(cell)
                        .quantile(quantile)
                        .map_or_else(|| "nothing".to_owned(), |it| text::seconds(it / 1e6))
                };
                format!("{name}p{:.0} was {}, and {} in the rest", quantile * 100.0, shown(inside), shown(rest))
            }
            Self::Failures => {
                let shown = |cell: &Cell| text::percent(cell.succeeded as f64 / cell.requests().max(1) as f64);
                format!("success rate was {}, and {} in the rest", shown(inside), shown(rest))
            }
            Self::Work(of) => {
                let shown = |cell: &Cell, of_s: f64| text::digits(of.pick()(cell) as f64 / of_s.max(1e-9));
                format!("{} were {}, and {} in the rest", of.words(), shown(inside, inside_s), shown(rest, rest_s))
            }
        }
    }
}

/// Whole windows of cells.
pub(super) fn windows(cells: &[Placed<'_>]) -> Vec<Window> {
    let all_ns: u64 = cells.iter().map(|placed| placed.length_ns).sum();
    let cell_ns = cells.iter().map(|placed| placed.length_ns).fold(CELL_NS, u64::max);
    let least = if all_ns > SHORT_NS { 2 } else { 1 };
    let window_ns = cell_ns * all_ns.div_ceil(cell_ns * MOST_WINDOWS).max(least);
    let whole = stats::windows(cells, window_ns).into_iter().filter(|(_, length_ns)| *length_ns >= window_ns);
    let window = |(part, _): (&[Placed<'_>], u64)| {
        let (first, last) = (part.first()?, part.last()?);
        let cell = sum(&part.iter().map(|placed| placed.cell).collect::<Vec<_>>(), Cell::merge);
        Some(Window { start_ns: first.start_ns, end_ns: last.start_ns + last.length_ns, cell })
    };
    whole.filter_map(window).collect()
}

/// A phase cut into windows, and the measures that its load has.
pub(super) struct Cut {
    pub(super) windows: Vec<Window>,
    pub(super) measures: Vec<Measure>,
    pub(super) total: Cell,
}

impl Cut {
    /// None if the phase is too short.
    pub(super) fn new(load: &LoadObservations, phase: usize) -> Option<Self> {
        let cells: Vec<Placed<'_>> = judged(load, phase).collect();
        let windows = windows(&cells);
        let total = sum(&windows.iter().map(|it| &it.cell).collect::<Vec<_>>(), Cell::merge);
        let measures = MEASURES.into_iter().filter(|it| it.is_of(load.is_open, &total)).collect();
        (windows.len() >= FEWEST_WINDOWS).then_some(Self { windows, measures, total })
    }

    /// The same in windows with at least this number of requests on average.
    pub(super) fn with_at_least(self, requests: u64) -> Self {
        let all = self.total.requests().max(1);
        let together = (requests * self.windows.len() as u64).div_ceil(all).max(1) as usize;
        let full = (self.windows.len() / together).max(1);
        // The rest is a part of the last one.
        let part = |at: usize| {
            &self.windows[at * together..if at + 1 < full { (at + 1) * together } else { self.windows.len() }]
        };
        let windows = (0..full).map(|at| Window::merge(part(at))).collect();
        Self { windows, ..self }
    }
}
