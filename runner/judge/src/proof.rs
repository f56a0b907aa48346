//! Whether the requests of a phase differ from those of the baseline by more than chance, at a stated rate of false
//! proofs. Used by `effect: any` and `prove: traffic`. The method and its measured error rates are in `PROOF.md`.
//!
//! Six tests share the error rate of a run ([`FALSE_PROOFS`]), divided over the loads and the phases with faults
//! (Bonferroni): success rate, p50, p95, windows with failures, slow windows, and failures from the start. Each compares the
//! phase with the baseline's own variation:
//!
//! - Success rate and percentiles: the difference of two shares, with the long-run variance of both phases and Student's
//!   quantile, so that neighbouring windows need not be independent. They show changes that last.
//! - Windows out of tolerance: Fisher's exact test of how many windows are out of tolerance in the phase and in the
//!   baseline. It shows bursts. Windows that resemble their neighbours count for fewer ([`resemblance`]).
//! - Failures from the start: that the only clump of failures begins with the fault ([`onset`]).

mod aftermath;
mod onset;

use shakedown_schemas::scenario::RecoveryTime;

use self::aftermath::lingering;
use self::onset::Onset;
use super::bootstrap::Windows;
use super::early::worse_before;
use super::long_run::{FEWEST_WINDOWS, LongRun};
use super::numbers::{freedom_of_sum, hypergeometric_at_least, student_quantile, wilson};
use super::recovery::{Band, Window, WindowState, baseline_index};
use super::stats::{self, judged, total};
use super::steady::inflation;
use super::transient::Transient;
use super::{samples, shift, text};
use shakedown_observe::{Cell, Failure, LoadObservations, Observations, PhasePart, PhaseSpan};

/// The maximum share of runs without any change that count as changed.
pub(super) const FALSE_PROOFS: f64 = 0.01;

/// The number of tests that share the error rate that [`ONSET`] leaves, for each load and phase.
const TESTS: usize = 5;

/// The share of the error rate for the test of failures from the start. This test reaches a smaller chance only in a longer
/// run. With this share, 9 of 60 windows with failures, against none of 60, remain a proof.
const ONSET: f64 = 0.29;

/// The confidence of the baseline's interval that a hint of slow requests leaves.
const HINT: f64 = 0.99;

/// A change of a percentile up to this factor is too small to matter, however certain it is.
const NOISE: f64 = 1.1;

/// The factor by which a lasting change must exceed the smallest significant difference. In the far tails, the long-run
/// variance of few terms underestimates the movement of a wandering level. The value is from the bench.
const MARGIN: f64 = 1.25;

/// The number of standard deviations within which a level may reach the limit by chance.
const REACH: f64 = 5.0;

/// The evidence of a load's requests about a phase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    /// The significant changes in words. Empty without changes.
    pub(super) changes: Vec<String>,
    /// When the first window was out of tolerance, in seconds since the load's start.
    pub(super) onset_s: Option<f64>,
    /// The windows out of tolerance in words, significant or not.
    pub(super) windows: Option<String>,
    /// More requests failed or were slow than in the baseline, in words. Requests count as independent here, so this proves
    /// nothing. It only contradicts the claim that the fault had no effect on any request.
    pub(super) hint: Option<String>,
}

/// The error rates in a run: that of each of the tests, and that of the test of failures from the start.
fn chances(observations: &Observations) -> (f64, f64) {
    let phases = observations.phases.iter().filter(|span| span.has_faults).count();
    let here = FALSE_PROOFS / (phases.max(1) * observations.loads.len().max(1)) as f64;
    ((1.0 - ONSET) * here / TESTS as f64, ONSET * here)
}

/// Compares a phase of a load with the baseline. None without a baseline. If the baseline has a transient or jumps, changes
/// must be significant in each reading: an unusual part of the baseline does not make a phase different. Requests that were
/// never sent are left out, and those before the first fault struck: no fault is their cause.
pub(super) fn compare(observations: &Observations, load: &LoadObservations, phase: usize) -> Option<Comparison> {
    let first = baseline_index(observations).ok()?;
    let load = stats::without(load, Failure::is_not_sent);
    let load = &*stats::from_strike(&load, observations.phases.get(phase)?, phase);
    let seen = compare_readings(observations, load, (first, phase))?;
    if seen.changes.is_empty() {
        return Some(seen);
    }
    match worse_before(load, first, phase).or_else(|| lingering(observations, load, (first, phase))) {
        None => Some(seen),
        Some(why) => Some(Comparison { changes: Vec::new(), windows: Some(why), ..seen }),
    }
}

/// Compares a phase with the baseline, with and without the parts of the baseline that were unusual.
fn compare_readings(
    observations: &Observations,
    load: &LoadObservations,
    (first, phase): (usize, usize),
) -> Option<Comparison> {
    let seen = compare_with(observations, load, (first, phase));
    for transient in Transient::all(load, first) {
        let other = compare_with(observations, &transient.without(load), (first, phase));
        if other.changes.is_empty() != seen.changes.is_empty() {
            let part =
                format!("with the part of the baseline {} and without it, the result differs", transient.words());
            let windows = Some(seen.windows.map_or(part.clone(), |words| format!("{words}; {part}")));
            return Some(Comparison { changes: Vec::new(), windows, ..seen });
        }
    }
    Some(seen)
}

/// Compares a phase of a load with the baseline as it is.
fn compare_with(observations: &Observations, load: &LoadObservations, (first, phase): (usize, usize)) -> Comparison {
    let (chance, chance_of_onset) = chances(observations);
    let windows = OutOfTolerance::both(observations, load, (first, phase)).unwrap_or_default();
    let mut changes = lasting(load, (first, phase), &windows, chance);
    let onset = Onset::of(observations, load, first, phase).filter(|it| it.chance() < chance_of_onset);
    changes.extend(onset.map(|it| it.words()));
    let onset_s = windows.iter().filter_map(|it| it.onset_s).reduce(f64::min);
    let words: Vec<String> = windows.iter().map(OutOfTolerance::with_chance).collect();
    let windows = (!words.is_empty()).then(|| words.join(", "));
    Comparison { changes, onset_s, windows, hint: hint(load, first, phase) }
}

/// The changes between two phases that no single clump of failures makes.
fn lasting(load: &LoadObservations, phases: (usize, usize), windows: &[OutOfTolerance], chance: f64) -> Vec<String> {
    let percentiles = [(0.5, "p50"), (0.95, "p95")].into_iter();
    let mut changes: Vec<String> = success(load, phases, chance).into_iter().collect();
    changes.extend(percentiles.filter_map(|it| latency(load, phases, it, chance)));
    changes.extend(windows.iter().filter(|it| it.chance() < chance).map(OutOfTolerance::words));
    changes
}

/// Whether more of all requests of a phase failed than in the baseline, or more were slow than its interval allows. The
/// requests in flight and those due during the injection and the removal count as well. Slow is above the baseline's p99.
fn hint(load: &LoadObservations, first: usize, phase: usize) -> Option<String> {
    let before = total(load, first);
    let cells: Vec<&Cell> = stats::cells(load)
        .filter(|it| it.mark.phase == phase && it.mark.part != PhasePart::Waiting)
        .map(|it| it.cell)
        .collect();
    let during = stats::sum(&cells, Cell::merge);
    let (all_before, all) = (before.requests(), during.requests());
    let (failed_before, failed) = (all_before - before.succeeded, all - during.succeeded);
    if failed as f64 * all_before as f64 > failed_before as f64 * all as f64 {
        return Some(format!("{failed} of {all} requests failed"));
    }
    let p99 = before.latency.quantile(0.99)? * NOISE;
    let slower = |cell: &Cell| cell.latency.iter().filter(|(at, _)| *at > p99).map(|(_, count)| count).sum::<u64>();
    let (slow, most_slow) = (slower(&during), wilson(slower(&before), before.latency.len(), HINT)[1]);
    let of = during.latency.len();
    (of > 0 && slow as f64 / of as f64 > most_slow)
        .then(|| format!("{slow} of {of} requests took longer than {}", text::seconds(p99 / 1e6)))
}

/// A lasting change of the success rate.
fn success(load: &LoadObservations, (first, phase): (usize, usize), chance: f64) -> Option<String> {
    let share = |phase: usize| {
        let cells: Vec<_> = judged(load, phase).collect();
        let windows: Vec<(f64, f64)> = stats::windows(&cells, stats::window_ns(&cells))
            .into_iter()
            .map(|(part, _)| {
                part.iter().fold((0.0, 0.0), |(failed, all), placed| {
                    let requests = placed.cell.requests();
                    (failed + (requests - placed.cell.succeeded) as f64, all + requests as f64)
                })
            })
            .collect();
        let (failed, all) = windows.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        if windows.len() < FEWEST_WINDOWS || all < samples::FLOOR as f64 {
            return None;
        }
        let apart: Vec<f64> = windows.iter().map(|(failed_here, of)| failed_here - failed / all * of).collect();
        let LongRun { variance, freedom } = LongRun::of(&apart);
        Some((failed / all, (variance * apart.len() as f64 / (all * all), freedom)))
    };
    let ((before, of_before), (during, of_during)) = (share(first)?, share(phase)?);
    let least =
        student_quantile(1.0 - chance / 2.0, freedom_of_sum(of_before, of_during)) * (of_before.0 + of_during.0).sqrt();
    let moved = (during - before).abs();
    (moved > 0.0 && moved > MARGIN * least)
        .then(|| format!("success rate {} to {}", text::percent(1.0 - before), text::percent(1.0 - during)))
}

/// A lasting change of a percentile of the latency.
fn latency(
    load: &LoadObservations,
    (first, phase): (usize, usize),
    (quantile, name): (f64, &str),
    chance: f64,
) -> Option<String> {
    let (before, during) = (total(load, first), total(load, phase));
    if before.latency.len().min(during.latency.len()) < samples::percentile(quantile) {
        return None;
    }
    let (a, b) = (before.latency.quantile(quantile)?, during.latency.quantile(quantile)?);
    if b / a <= NOISE && a / b <= NOISE {
        return None;
    }
    let windows = |phase| Windows::new(judged(load, phase), |cell: &Cell| &cell.latency);
    let moved = shift::moved((&windows(phase), &windows(first)), quantile, (1.0, b > a), 1.0 - chance)?;
    (moved > MARGIN).then(|| format!("{name} {} to {}", text::seconds(a / 1e6), text::seconds(b / 1e6)))
}

/// The windows of two phases that are out of tolerance in one way.
struct OutOfTolerance {
    /// The kind of deviation, in words.
    how: &'static str,
    /// The number of windows out of tolerance, and of all windows.
    before: (u64, u64),
    during: (u64, u64),
    /// The number of neighbouring windows that count as one.
    inflation: f64,
    onset_s: Option<f64>,
}

impl OutOfTolerance {
    /// The windows with failures and the slow windows, during the faults of a phase and in the baseline. They are separate,
    /// because slow windows of a noisy service say nothing about its failures.
    fn both(observations: &Observations, load: &LoadObservations, (first, phase): (usize, usize)) -> Option<Vec<Self>> {
        let band = Band::new(observations, load, &RecoveryTime::default()).ok()?;
        let before = band.own_windows(observations, load, first);
        Some(Self::between(&band, before, during(&band, load, observations.phases.get(phase)?)))
    }

    /// The same of any windows.
    fn between(band: &Band, before: Vec<Window>, during: Vec<Window>) -> Vec<Self> {
        let known = |windows: Vec<Window>| -> Vec<Window> {
            windows.into_iter().filter(|it| it.state != WindowState::Unknown).collect()
        };
        let (before, during) = (known(before), known(during));
        let levels: Vec<f64> = before.iter().filter_map(|it| it.level).collect();
        let one = |how: &'static str, is: fn(&Window) -> bool, of_level: f64| {
            let count = |windows: &[Window]| (windows.iter().filter(|it| is(it)).count() as u64, windows.len() as u64);
            let out: Vec<f64> = before.iter().map(|it| f64::from(u8::from(is(it)))).collect();
            let onset_s = during.iter().find(|it| is(it)).map(|it| super::seconds(it.start_ns));
            let inflation = resemblance(&out).max(of_level);
            Self { how, before: count(&before), during: count(&during), inflation, onset_s }
        };
        let of_level = if reaches(&levels, band.p95_us.ln()) { resemblance(&levels) } else { 1.0 };
        let is_slow = |it: &Window| it.state == WindowState::Bad && !it.fails;
        vec![one("with too many failures", |it| it.fails, 1.0), one("too slow", is_slow, of_level)]
    }

    /// The chance of at least as many windows out of tolerance in the phase, if the phase were like the baseline.
    fn chance(&self) -> f64 {
        let fewer = |count: u64| count as f64 / self.inflation;
        let (bad, all) = (fewer(self.during.0).floor() as u64, fewer(self.during.1).round() as u64);
        let (bad_before, before) = (fewer(self.before.0).ceil() as u64, fewer(self.before.1).floor() as u64);
        hypergeometric_at_least(bad, all.max(bad), bad + bad_before, all.max(bad) + before.max(bad_before))
    }

    fn words(&self) -> String {
        format!(
            "{} of {} {}, {} of {} in the baseline",
            self.during.0,
            text::counted(self.during.1, "window"),
            self.how,
            self.before.0,
            self.before.1
        )
    }

    fn with_chance(&self) -> String {
        format!("{} (p = {})", self.words(), text::digits(self.chance()))
    }
}

/// The windows in which the faults of a phase act.
fn during(band: &Band, load: &LoadObservations, span: &PhaseSpan) -> Vec<Window> {
    band.whole_windows(load, span.active_ns.max(span.acts_from_ns()), span.judged_to_ns)
}

/// True when a level varies so much that it may reach the limit by chance: its mean is within [`REACH`] standard deviations
/// of the limit. For a level far below the limit, the order of the windows is irrelevant.
fn reaches(levels: &[f64], limit: f64) -> bool {
    let n = levels.len().max(1) as f64;
    let mean = levels.iter().sum::<f64>() / n;
    let deviation = (levels.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / n).sqrt();
    mean + REACH * deviation >= limit
}

/// How many neighbouring values count for one independent value.
fn resemblance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    inflation(&values.iter().map(|value| value - mean).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
