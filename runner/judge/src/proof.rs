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
//!   baseline. It shows bursts. Windows that resemble their neighbours count for fewer ([`change::resemblance`]).
//! - Failures from the start: that the only clump of failures begins with the fault ([`onset`]).

mod aftermath;
mod change;
mod onset;

use self::aftermath::lingering;
pub(super) use self::change::FALSE_PROOFS;
use self::change::{NOISE, OutOfTolerance, chances, lasting};
use self::onset::Onset;
use super::early::worse_before;
use super::numbers::wilson;
use super::recovery::baseline_index;
use super::stats::{self, total};
use super::text;
use super::transient::Transient;
use shakedown_observe::{Cell, Failure, LoadObservations, Observations, PhasePart};

/// The confidence of the baseline's interval that a hint of slow requests leaves.
const HINT: f64 = 0.99;

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

#[cfg(test)]
mod tests;
