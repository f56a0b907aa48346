//! Transients of a baseline: a stretch in which the service behaved unlike in the rest of the phase, and after which it
//! behaved as before. A limit that comes from such a baseline is too generous or too strict.
//!
//! - The phase is cut into about 100 to 240 windows. For each measure (p50 and p95 of each kind of latency, failures, work),
//!   a window is *out* if it is far from the median window: by one of [`FACTORS`], or by that many times [`SHARE`] for failures.
//! - Windows that are out by chance are scattered. The test is a scan statistic ([`cluster`]): the chance that so many of
//!   them come in one stretch of at most half of the phase, if any order of the windows is equally likely. Where windows of
//!   the rest are also out, those in a row, and neighbours that resemble each other, count as one window, so that a service
//!   that stalls now and then has no transient.
//! - The level is [`CHANCE`] for a phase, divided over the measures, directions and factors (Bonferroni). `cargo bench --bench
//!   judge -- 200 transient` measures how often an unchanged service has one, and what it does to the verdicts.
//! - An expectation that compares with the phase is evaluated twice, with and without the stretch ([`settle`]). If the two
//!   verdicts differ, it is inconclusive. So a transient makes nothing pass or fail.

use std::ops::Range;

use shakedown_observe::{CELL_NS, Cell, LoadObservations, PhasePart, Segment};
use shakedown_schemas::result::Verdict;

use super::answer::Answer;
use super::measure::{Timing, Work};
use super::numbers::hypergeometric_at_least;
use super::stats::{self, Placed, judged, sum};
use super::steady::{inflation, middle};
use super::{seconds, text};

/// The share of phases without a transient in which one is found, at most, if their windows are independent.
const CHANCE: f64 = 0.01;

/// The factors by which a window must differ from the median one to be out, each in its own test.
const FACTORS: [f64; 2] = [1.5, 4.0];

/// Smaller differences of a latency, in microseconds, are no difference.
const LEAST_US: f64 = 1_000.0;

/// By how much a window's share of failures must differ from the median one.
const SHARE: f64 = 0.05;

/// Longer windows than cells are used above this length of the phase, in nanoseconds.
const SHORT_NS: u64 = 30 * stats::SECOND_NS;

/// The most windows of a phase, and the fewest.
const MOST_WINDOWS: u64 = 240;
const FEWEST_WINDOWS: usize = 8;

/// The fewest values of a query.
const FEWEST_VALUES: usize = 4;

/// The requests per window on average in which work is counted.
const WORK: f64 = 10.0;

/// By how much a transient must move p50 or p95 for a warning, and at least by so many microseconds.
const MATTERS: f64 = 1.25;
const MATTERS_US: f64 = 10_000.0;

/// By how much it must move the success rate.
const MATTERS_SHARE: f64 = 0.005;

/// A measure of a window.
#[derive(Clone, Copy)]
enum Measure {
    /// A quantile of a histogram.
    Quantile(Timing, f64),
    /// The share of requests that failed.
    Failures,
    /// Successful answers or tokens for each unit of time, or for each due request in an open loop.
    Work(Work),
}

const MEASURES: [Measure; 9] = [
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

/// A transient in one phase of a load.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Transient {
    phase: usize,
    /// Its stretches, in nanoseconds since the load's start, in order of time.
    stretches: Vec<Range<u64>>,
    /// The most unusual measure in words: `p50 was 1.9s, and 21ms in the rest`.
    what: String,
    /// True if it is slow and lasts until the end of the phase.
    is_slow_at_end: bool,
    /// True if it moves what expectations compare with.
    pub(super) matters: bool,
}

/// A window of the phase.
struct Window {
    start_ns: u64,
    end_ns: u64,
    cell: Cell,
}

/// A stretch of windows that one test found.
struct Found {
    measure: Measure,
    windows: Range<usize>,
    is_above: bool,
    chance: f64,
}

impl Transient {
    /// The transient in a phase, if there is one.
    pub(super) fn of(load: &LoadObservations, phase: usize) -> Option<Self> {
        let cells: Vec<Placed<'_>> = judged(load, phase).collect();
        let windows = windows(&cells);
        let n = windows.len();
        if n < FEWEST_WINDOWS {
            return None;
        }
        let total = sum(&windows.iter().map(|it| &it.cell).collect::<Vec<_>>(), Cell::merge);
        let measures: Vec<Measure> = MEASURES.into_iter().filter(|it| it.is_of(load.is_open, &total)).collect();
        let tests = (measures.len() * 2 * FACTORS.len()) as f64;
        let mut found: Vec<Found> = measures.iter().flat_map(|it| it.found(&windows, load.is_open)).collect();
        found.retain(|it| it.chance * tests < CHANCE);
        found.sort_by(|a, b| a.chance.total_cmp(&b.chance));
        let mut out = vec![false; n];
        let mut is_slow_at_end = false;
        for it in &found {
            let mut more = out.clone();
            more[it.windows.clone()].fill(true);
            // The larger part of a phase is its usual state.
            if more.iter().filter(|out| **out).count() * 2 <= n {
                out = more;
                // Tokens alone keep no fault out: what compares with them is judged with and without this part.
                let slow = it.is_above && matches!(it.measure, Measure::Quantile(Timing::Latency, _));
                is_slow_at_end |= slow && it.windows.end == n;
            }
        }
        let first = found.iter().find(|it| out[it.windows.start])?;
        let part = |is_out: bool| {
            let cells: Vec<&Cell> =
                windows.iter().zip(&out).filter(|it| *it.1 == is_out).map(|it| &it.0.cell).collect();
            sum(&cells, Cell::merge)
        };
        let (inside, rest) = (part(true), part(false));
        let length = |is_out: bool| {
            let ns = windows.iter().zip(&out).filter(|it| *it.1 == is_out).map(|it| it.0.end_ns - it.0.start_ns);
            seconds(ns.sum())
        };
        let what = first.measure.words((&inside, length(true)), (&rest, length(false)));
        let mut stretches: Vec<Range<u64>> = Vec::new();
        for (window, _) in windows.iter().zip(&out).filter(|it| *it.1) {
            match stretches.last_mut() {
                Some(last) if last.end == window.start_ns => last.end = window.end_ns,
                _ => stretches.push(window.start_ns..window.end_ns),
            }
        }
        let matters = matters(&total, &rest) || matches!(first.measure, Measure::Work(..));
        Some(Self { phase, stretches, what, is_slow_at_end, matters })
    }

    /// The load without the requests of the transient: they do not count as judged.
    pub(super) fn without(&self, load: &LoadObservations) -> LoadObservations {
        let is_in = |at_ns: u64| self.stretches.iter().any(|it| it.contains(&at_ns));
        let mut load = load.clone();
        let cut = |segment: Segment| -> Vec<Segment> {
            if segment.mark.phase != self.phase || segment.mark.part != PhasePart::Judged {
                return vec![segment];
            }
            let mut parts: Vec<Segment> = Vec::new();
            let (timings, samples, first_success_ns) = (segment.timings, segment.samples, segment.first_success_ns);
            for (cell, index) in segment.cells.into_iter().zip(0_u64..) {
                let mut mark = segment.mark;
                mark.at_ns += index * segment.cell_ns;
                mark.part = if is_in(mark.at_ns) { PhasePart::Settling } else { PhasePart::Judged };
                match parts.last_mut().filter(|last| last.mark.part == mark.part) {
                    Some(last) => last.cells.push(cell),
                    None => {
                        if let Some(last) = parts.last_mut() {
                            last.end_ns = mark.at_ns;
                        }
                        let cell_ns = segment.cell_ns;
                        parts.push(Segment { cells: vec![cell], cell_ns, ..Segment::new(mark, segment.end_ns) });
                    }
                }
            }
            // The timings are not known by cell.
            if let Some(first) = parts.iter_mut().find(|it| it.mark.part == PhasePart::Judged) {
                (first.timings, first.samples, first.first_success_ns) = (timings, samples, first_success_ns);
            }
            parts
        };
        load.segments = std::mem::take(&mut load.segments).into_iter().flat_map(cut).collect();
        load
    }

    /// The transient in words, after the name of the phase: `from 10s to 14.5s, p50 was 1.9s, and 21ms in the rest`.
    pub(super) fn words(&self) -> String {
        let span = |it: &Range<u64>| {
            format!("from {} to {}", text::seconds(seconds(it.start)), text::seconds(seconds(it.end)))
        };
        let spans: Vec<String> = self.stretches.iter().map(span).collect();
        format!("{}, its {}", text::list(&spans), self.what)
    }

    /// For each of this number of values, evenly spread over the phase: whether it belongs to the transient.
    pub(super) fn covers(&self, from_ns: u64, to_ns: u64, values: usize) -> Vec<bool> {
        let step = to_ns.saturating_sub(from_ns) as f64 / values.max(1) as f64;
        let at = |index: usize| from_ns + ((index as f64 + 0.5) * step) as u64;
        (0..values).map(|index| self.stretches.iter().any(|it| it.contains(&at(index)))).collect()
    }
}

impl Measure {
    /// Whether a load has this measure. In an open loop the number of due requests is planned: only failures change the
    /// number of answers.
    fn is_of(self, is_open: bool, total: &Cell) -> bool {
        match self {
            Self::Quantile(of, _) => !of.pick()(total).is_empty(),
            Self::Failures => total.requests() > 0,
            Self::Work(Work::Answers) => !is_open && total.succeeded > 0,
            Self::Work(of) => of.pick()(total) > 0,
        }
    }

    /// The values window by window, with the place of the window. Windows without a value are left out.
    fn values(self, windows: &[Window], is_open: bool) -> Vec<(Range<usize>, f64)> {
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
    fn is_out(self, value: f64, median: f64, factor: f64, is_above: bool) -> bool {
        let apart = if is_above { value - median } else { median - value };
        match self {
            Self::Quantile(..) => apart >= factor.ln() && (value.exp() - median.exp()).abs() >= LEAST_US,
            Self::Failures => apart > SHARE * factor,
            Self::Work(..) => apart >= factor.ln(),
        }
    }

    /// The most unusual stretch of each test.
    fn found(self, windows: &[Window], is_open: bool) -> Vec<Found> {
        let values = self.values(windows, is_open);
        if values.len() < FEWEST_WINDOWS {
            return Vec::new();
        }
        let median = middle(values.iter().map(|it| it.1).collect());
        let tests = FACTORS.into_iter().flat_map(|factor| [(factor, true), (factor, false)]);
        let test = |(factor, is_above): (f64, bool)| {
            let out: Vec<bool> = values.iter().map(|it| self.is_out(it.1, median, factor, is_above)).collect();
            let levels: Vec<f64> = values.iter().map(|it| it.1).collect();
            let (stretch, chance) = cluster(&out, &levels)?;
            // The windows around it are partly in it.
            let from = values[stretch.start].0.start.saturating_sub(1);
            let to = (values[stretch.end - 1].0.end + 1).min(windows.len());
            Some(Found { measure: self, windows: from..to, is_above, chance })
        };
        tests.filter_map(test).collect()
    }

    /// The measure in a stretch and in the rest of the phase, in words.
    fn words(self, (inside, inside_s): (&Cell, f64), (rest, rest_s): (&Cell, f64)) -> String {
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

/// The transient of a series of values, such as those of a query: the only row of values that are far above the median, or
/// far below it, if it is at most half of them. Such a series is too short for a test. Values that are no numbers count as
/// usual.
pub(super) fn of_values(values: &[f64]) -> Option<Range<usize>> {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if finite.len() < FEWEST_VALUES {
        return None;
    }
    let (median, least) = (middle(finite), FACTORS[0]);
    let row = |is_out: &dyn Fn(f64) -> bool| {
        let at =
            || values.iter().enumerate().filter(|(_, value)| value.is_finite() && is_out(**value)).map(|(at, _)| at);
        let (first, last) = (at().next()?, at().last()?);
        (at().count() == last + 1 - first && (last + 1 - first) * 2 <= values.len()).then_some(first..last + 1)
    };
    let (above, below) = (median + (least - 1.0) * median.abs(), median - (1.0 - 1.0 / least) * median.abs());
    row(&|value| value > above).or_else(|| row(&|value| value < below))
}

/// Whole windows of cells.
fn windows(cells: &[Placed<'_>]) -> Vec<Window> {
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

/// The mean number of marked windows in a row. At least 1.
fn in_a_row(out: &[bool]) -> f64 {
    let marked = out.iter().filter(|it| **it).count();
    let rows = (0..out.len()).filter(|at| out[*at] && (*at == 0 || !out[at - 1])).count();
    if rows == 0 { 1.0 } else { marked as f64 / rows as f64 }
}

/// How many neighbouring windows of the rest count as one, because their levels resemble each other. 1 if no window of the rest
/// is marked: of a level that never comes near the limit, the order does not matter.
fn resemblance(rest: &[bool], levels: &[f64], stretch: &Range<usize>) -> f64 {
    let others: Vec<f64> =
        levels.iter().enumerate().filter(|(at, _)| !stretch.contains(at)).map(|(_, level)| *level).collect();
    if others.is_empty() || !rest.contains(&true) {
        return 1.0;
    }
    let mean = others.iter().sum::<f64>() / others.len() as f64;
    inflation(&others.iter().map(|level| level - mean).collect::<Vec<_>>())
}

/// The stretch of at most half of the windows in which marked ones are most concentrated, and the chance of such a
/// concentration anywhere, if any order is equally likely: Fisher's exact test, times the number of stretches of each length
/// and the number of lengths (Bonferroni). Lengths rise by the root of two. None if none is marked.
fn cluster(out: &[bool], levels: &[f64]) -> Option<(Range<usize>, f64)> {
    let n = out.len();
    let mut lengths: Vec<usize> =
        (0..).map(|step| 2_f64.powf(f64::from(step) / 2.0) as usize).take_while(|it| *it <= n / 2).collect();
    lengths.dedup();
    let until: Vec<usize> = std::iter::once(0)
        .chain(out.iter().scan(0, |sum, it| {
            *sum += usize::from(*it);
            Some(*sum)
        }))
        .collect();
    let marked = until[n];
    let best = |length: usize| {
        let starts = 0..=n - length;
        let from = starts.rev().max_by_key(|from| until[from + length] - until[*from])?;
        let count = until[from + length] - until[from];
        let mut stretch = from..from + length;
        while stretch.start < stretch.end && !out[stretch.start] {
            stretch.start += 1;
        }
        while stretch.end > stretch.start && !out[stretch.end - 1] {
            stretch.end -= 1;
        }
        while stretch.start > 0 && out[stretch.start - 1] {
            stretch.start -= 1;
        }
        while stretch.end < n && out[stretch.end] {
            stretch.end += 1;
        }
        let mut rest = out.to_vec();
        rest[stretch.clone()].fill(false);
        let one = in_a_row(&rest).max(resemblance(&rest, levels, &stretch));
        let fewer = |count: usize| count as f64 / one;
        let count = fewer(count).floor() as u64;
        let length = (fewer(length).round() as u64).max(count);
        let marked = (fewer(marked).ceil() as u64).max(count);
        let all = (fewer(n).floor() as u64).max(marked + length - count);
        let places = ((all - length + 1) * lengths.len() as u64) as f64;
        let chance = hypergeometric_at_least(count, length, marked, all) * places;
        (!stretch.is_empty()).then_some((stretch, chance))
    };
    lengths.iter().filter_map(|length| best(*length)).min_by(|a, b| a.1.total_cmp(&b.1))
}

/// Whether the requests of a phase without a part of it give other limits.
fn matters(all: &Cell, rest: &Cell) -> bool {
    let moves = |of: Timing, quantile: f64| {
        let value = |cell: &Cell| of.pick()(cell).quantile(quantile).unwrap_or_default();
        let (a, b) = (value(all), value(rest));
        (a - b).abs() >= MATTERS_US && a.max(b) >= MATTERS * a.min(b)
    };
    let success = |cell: &Cell| cell.succeeded as f64 / cell.requests().max(1) as f64;
    MEASURES.into_iter().any(|it| matches!(it, Measure::Quantile(of, quantile) if moves(of, quantile)))
        || (success(all) - success(rest)).abs() >= MATTERS_SHARE
}

/// The answer of an expectation that compares with a phase, with a second opinion where that phase has a transient:
/// `again` answers without the transient's requests.
pub(super) fn settle(
    (load, phase, name): (&LoadObservations, usize, &str),
    mut answer: Answer,
    again: impl FnOnce(&LoadObservations) -> Answer,
) -> Answer {
    let Some(transient) = Transient::of(load, phase) else { return answer };
    let other = again(&transient.without(load));
    second_opinion(&mut answer, &other, name, &transient.words(), transient.matters);
    answer
}

/// Makes an answer inconclusive if another one, without an unusual part of the baseline, has another verdict.
pub(super) fn second_opinion(answer: &mut Answer, other: &Answer, name: &str, words: &str, matters: bool) {
    let differs = answer.verdict != Verdict::Inconclusive && answer.verdict != other.verdict;
    if differs || matters {
        answer.term(&format!("unusual in {name}"), words.to_owned());
    }
    if let Some(allowed) = other.terms.get("p95 allowed").filter(|_| matters) {
        answer.term("p95 allowed without it", allowed.clone());
    }
    if differs {
        let verdict = match answer.verdict {
            Verdict::Pass => "holds",
            _ => "fails",
        };
        answer.verdict = Verdict::Inconclusive;
        answer.reason = format!(
            "it {verdict} only because of a part of `{name}` that is unlike the rest: {words}; with it: {}; without it: {}; \
             repeat the run, or lengthen `{name}`",
            answer.reason, other.reason
        );
    }
}

/// Why a phase does not end in its usual state: it became slow and still is. None otherwise. Only latency is looked at:
/// before all requests have ended, the last ones that are known are the quick ones and the failures.
pub(super) fn slow_at_end(load: &LoadObservations, phase: usize) -> Option<String> {
    Transient::of(load, phase).filter(|it| it.is_slow_at_end && it.matters).map(|it| it.words())
}

#[cfg(test)]
mod tests;
