//! Readings of a baseline. A limit that is relative to a baseline is too generous or too strict if the service was disturbed
//! in it. An expectation that compares with a phase is therefore evaluated against each reading of that phase ([`settle`]),
//! and is inconclusive if the verdicts differ. A disturbance of the baseline therefore makes no expectation pass or fail. The
//! readings are:
//!
//! - the whole phase. Its numbers are those of the answer and of the reports.
//! - without its transients ([`Transient::of`]): the stretches in which the service behaved unlike in the rest.
//! - each part between two jumps ([`segments`]).
//! - in its usual state ([`usual`]): without each stretch that is far from the median, whether or not it is significant.
//!   Occasional deviations in the judged phase do not count, so this reading only refutes a pass.
//!
//! Transients:
//! - The phase is cut into about 100 to 240 windows. For each measure (p50 and p95 of each kind of latency, failures, work),
//!   a window is *out* if it is far from the median window: by one of [`FACTORS`], or by that many times [`SHARE`] for
//!   failures.
//! - Windows that are out by chance are scattered. Two tests ask for the chance that they come together as they do, if any
//!   order of the windows is equally likely: a scan statistic for one stretch of at most half of the phase ([`cluster`]), and
//!   the length of rows for several like ones ([`rows`]). Where windows of the rest are also out, those in a row, and
//!   neighbours that resemble each other, count as one window, so that a service that stalls now and then has no transient.
//! - The level is [`CHANCE`] for a phase, divided over the tests, measures, directions and factors (Bonferroni). `cargo bench
//! --bench judge -- 40 transient` measures how often an unchanged service has one, and how that affects the verdicts.

use std::ops::Range;

mod measure;
mod scan;
mod segments;
mod usual;

use shakedown_observe::{Cell, LoadObservations, PhasePart, Segment};
use shakedown_schemas::result::Verdict;

use self::measure::{Cut, FEWEST_WINDOWS, MEASURES, Measure, Window};
use self::scan::{cluster, rows};
use self::usual::Side;
use super::answer::Answer;
use super::measure::Timing;
use super::stats::sum;
use super::steady::middle;
use super::{seconds, text};

/// The share of phases without a transient in which one is found, at most, if their windows are independent.
const CHANCE: f64 = 0.01;

/// The factors by which a window must differ from the median one to be out, each in its own test.
const FACTORS: [f64; 2] = [1.5, 4.0];

/// The minimum number of values of a query.
const FEWEST_VALUES: usize = 4;

/// The maximum number of stretches in a sentence.
const SHOWN: usize = 4;

/// The factor by which a transient must move p50 or p95 for a warning, and the minimum in microseconds.
const MATTERS: f64 = 1.25;
const MATTERS_US: f64 = 10_000.0;

/// The difference by which it must move the success rate.
const MATTERS_SHARE: f64 = 0.005;

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
    /// True if it moves the reference values of expectations.
    pub(super) matters: bool,
}

/// Stretches of windows that one test found, in order of time.
struct Found {
    measure: Measure,
    windows: Vec<Range<usize>>,
    is_above: bool,
    chance: f64,
}

impl Cut {
    /// The transient of the windows that are out. The measure says what was unusual.
    fn transient(&self, phase: usize, out: &[bool], measure: Measure, is_slow_at_end: bool) -> Transient {
        let part = |is_out: bool| {
            let part = || self.windows.iter().zip(out).filter(move |it| *it.1 == is_out).map(|it| it.0);
            let length = seconds(part().map(|it| it.end_ns - it.start_ns).sum());
            (sum(&part().map(|it| &it.cell).collect::<Vec<_>>(), Cell::merge), length)
        };
        let (inside, rest) = (part(true), part(false));
        let mut stretches: Vec<Range<u64>> = Vec::new();
        for (window, _) in self.windows.iter().zip(out).filter(|it| *it.1) {
            match stretches.last_mut() {
                Some(last) if last.end == window.start_ns => last.end = window.end_ns,
                _ => stretches.push(window.start_ns..window.end_ns),
            }
        }
        let what = measure.words((&inside.0, inside.1), (&rest.0, rest.1));
        let matters = matters(&self.total, &rest.0) || matches!(measure, Measure::Work(..));
        Transient { phase, stretches, what, is_slow_at_end, matters }
    }
}

impl Transient {
    /// The transient in a phase, if there is one.
    pub(super) fn of(load: &LoadObservations, phase: usize) -> Option<Self> {
        Self::in_cut(&Cut::new(load, phase)?, load.is_open, phase)
    }

    /// All parts of a phase that other readings leave out: its transient, and the parts around each part between two jumps.
    pub(super) fn all(load: &LoadObservations, phase: usize) -> Vec<Self> {
        let Some(cut) = Cut::new(load, phase) else { return Vec::new() };
        let around = |regime: segments::Regime| {
            let out: Vec<bool> = (0..cut.windows.len()).map(|at| !regime.windows.contains(&at)).collect();
            cut.transient(phase, &out, regime.measure, false)
        };
        let regimes = segments::regimes(&cut.windows, &cut.measures, load.is_open);
        Self::in_cut(&cut, load.is_open, phase).into_iter().chain(regimes.into_iter().map(around)).collect()
    }

    /// The deviation from the usual state of a phase.
    fn unusual(load: &LoadObservations, phase: usize, side: Side) -> Option<Self> {
        let (cut, out, measure) = usual::unusual(load, phase, side)?;
        Some(cut.transient(phase, &out, measure, false))
    }

    fn in_cut(cut: &Cut, is_open: bool, phase: usize) -> Option<Self> {
        let n = cut.windows.len();
        // Each direction and factor, with two tests.
        let tests = (cut.measures.len() * 2 * FACTORS.len() * 2) as f64;
        let mut found: Vec<Found> = cut.measures.iter().flat_map(|it| it.found(&cut.windows, is_open)).collect();
        found.retain(|it| it.chance * tests < CHANCE);
        found.sort_by(|a, b| a.chance.total_cmp(&b.chance));
        let mut out = vec![false; n];
        let mut is_slow_at_end = false;
        for it in &found {
            let mut more = out.clone();
            it.windows.iter().for_each(|row| more[row.clone()].fill(true));
            // The larger part of a phase is its usual state.
            if more.iter().filter(|out| **out).count() * 2 <= n {
                out = more;
                // A transient of tokens alone does not prevent faults: expectations that compare with it are judged with and
                // without this part.
                let slow = it.is_above && matches!(it.measure, Measure::Quantile(Timing::Latency, _));
                is_slow_at_end |= slow && it.windows.last().is_some_and(|row| row.end == n);
            }
        }
        let first = found.iter().find(|it| it.windows.first().is_some_and(|row| out[row.start]))?;
        Some(cut.transient(phase, &out, first.measure, is_slow_at_end))
    }

    /// The load without the requests of the transient: they do not count as judged.
    pub(super) fn without(&self, load: &LoadObservations) -> LoadObservations {
        unjudged(load, self.phase, |at_ns| self.stretches.iter().any(|it| it.contains(&at_ns)))
    }

    /// The transient in words, after the name of the phase: `from 10s to 14.5s, p50 was 1.9s, and 21ms in the rest`.
    pub(super) fn words(&self) -> String {
        let span = |it: &Range<u64>| {
            format!("from {} to {}", text::seconds(seconds(it.start)), text::seconds(seconds(it.end)))
        };
        let mut spans: Vec<String> = self.stretches.iter().take(SHOWN).map(span).collect();
        let more = self.stretches.len() - spans.len();
        spans.extend((more > 0).then(|| format!("{more} more times")));
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
    /// The most unusual stretches of each test.
    fn found(self, windows: &[Window], is_open: bool) -> Vec<Found> {
        let values = self.values(windows, is_open);
        if values.len() < FEWEST_WINDOWS {
            return Vec::new();
        }
        let median = middle(values.iter().map(|it| it.1).collect());
        let levels: Vec<f64> = values.iter().map(|it| it.1).collect();
        let tests = FACTORS.into_iter().flat_map(|factor| [(factor, true), (factor, false)]);
        // The windows around it are partly in it.
        let place = |stretch: &Range<usize>| {
            let from = values[stretch.start].0.start.saturating_sub(1);
            from..(values[stretch.end - 1].0.end + 1).min(windows.len())
        };
        let test = |(factor, is_above): (f64, bool)| {
            let out: Vec<bool> = levels.iter().map(|it| self.is_out(*it, median, factor, is_above)).collect();
            let one = cluster(&out, &levels).map(|(stretch, chance)| (vec![stretch], chance));
            let found = [one, rows(&out, &levels)].into_iter().flatten();
            let found = found.map(|(stretches, chance)| Found {
                measure: self,
                windows: stretches.iter().map(place).collect(),
                is_above,
                chance,
            });
            found.collect::<Vec<_>>()
        };
        tests.flat_map(test).collect()
    }
}

/// The transient of a series of values, such as those of a query: the only row of values that are far above the median, or
/// far below it, if it is at most half of them. Such a series is too short for a test. Values that are not numbers count as
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

/// Whether leaving out a part of a phase changes the limits that are relative to it.
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

/// How an expectation is evaluated again.
pub(super) struct Again<'a> {
    /// With other requests.
    pub(super) load: &'a LoadObservations,
    /// With a tolerance around the requests of this load.
    pub(super) usual: Option<&'a LoadObservations>,
}

/// The requests for a second reading of a pass against the usual state of a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usual {
    /// The usual state of the judged phase: occasional deviations are allowed.
    Phase(usize),
    /// All of the judged phase.
    All,
    /// All phases after the baseline. Deviations that they share with the whole baseline are tolerated.
    Tolerance,
}

/// The answer of an expectation that compares with a phase. If that phase has other readings, `again` evaluates the
/// expectation with each.
pub(super) fn settle(
    (load, phase, name): (&LoadObservations, usize, &str),
    usual: Usual,
    mut answer: Answer,
    again: impl Fn(Again<'_>) -> Answer,
) -> Answer {
    for transient in Transient::all(load, phase) {
        let other = again(Again { load: &transient.without(load), usual: None });
        second_opinion(&mut answer, &other, name, &transient.words(), transient.matters);
        if answer.verdict == Verdict::Inconclusive {
            break;
        }
    }
    if answer.verdict != Verdict::Pass {
        return answer;
    }
    let side = if usual == Usual::All { Side::Either } else { Side::Worse };
    let Some(found) = Transient::unusual(load, phase, side) else { return answer };
    let reference = found.without(load);
    let other = match usual {
        Usual::All => again(Again { load: &reference, usual: None }),
        Usual::Tolerance => again(Again { load, usual: Some(&reference) }),
        Usual::Phase(phase) => {
            let both = Transient::unusual(load, phase, side).map(|it| it.without(&reference));
            again(Again { load: both.as_ref().unwrap_or(&reference), usual: None })
        }
    };
    // An answer that misses the limit but is inconclusive because of drift does not confirm the pass.
    if other.verdict == Verdict::Fail || other.misses() {
        second_opinion(&mut answer, &other, name, &found.words(), found.matters);
    }
    answer
}

/// Makes an answer inconclusive if another one, without an unusual part of the baseline, has another verdict.
pub(super) fn second_opinion(answer: &mut Answer, other: &Answer, name: &str, words: &str, matters: bool) {
    let differs = answer.verdict != Verdict::Inconclusive && answer.verdict != other.verdict;
    // The terms are about the reading that decides, or about the first one.
    let (part, is_first) = (format!("unusual in {name}"), !answer.terms.contains_key(&format!("unusual in {name}")));
    if differs || matters && is_first {
        answer.term(&part, words.to_owned());
    }
    if let Some(allowed) = other.terms.get("p95 allowed").filter(|_| matters && (differs || is_first)) {
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

/// Why a phase does not end in its usual state: it became slow and still is. None otherwise. Only latency counts: before all
/// requests have ended, the latest known outcomes are the fast ones and the failures.
pub(super) fn slow_at_end(load: &LoadObservations, phase: usize) -> Option<String> {
    Transient::of(load, phase).filter(|it| it.is_slow_at_end && it.matters).map(|it| it.words())
}

/// The load with the cells of a phase that begin at such moments marked as not judged.
pub(super) fn unjudged(load: &LoadObservations, phase: usize, is_in: impl Fn(u64) -> bool) -> LoadObservations {
    let mut load = load.clone();
    let cut = |segment: Segment| -> Vec<Segment> {
        if segment.mark.phase != phase || segment.mark.part != PhasePart::Judged {
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

#[cfg(test)]
mod tests;
