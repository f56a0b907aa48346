//! Whether the requests were already worse right before a fault was injected. In that case the fault is not the cause of the
//! change, and traffic proves nothing.
//!
//! The last second before the injection is compared with the baseline before it: the share of failures, and the share of
//! requests that took twice the baseline's median, each by Fisher's exact test. It must be worse than every second of the
//! baseline, except for the last consecutive ones. The injection may wait for answers for as long as the loads' timeouts, so
//! this second is often in no phase.

use std::ops::Range;

use super::numbers::hypergeometric_at_least;
use super::stats::{Placed, SECOND_NS, cells, judged, sum, windows};
use super::{seconds, text};
use shakedown_observe::{Cell, LoadObservations, PhasePart};

/// The share of unchanged runs in which a test says that the requests were worse.
const CHANCE: f64 = 0.01;

/// The factor by which the median must exceed the baseline's. Levels that wander by themselves exceed it rarely.
const SLOWER: f64 = 2.0;

/// How the requests right before the first injection of a phase differed from those of the baseline, in words. None if they did
/// not, or if nothing is known about them.
pub(super) fn worse_before(load: &LoadObservations, baseline: usize, phase: usize) -> Option<String> {
    let is_acting =
        |it: &Placed<'_>| it.mark.phase == phase && !matches!(it.mark.part, PhasePart::Waiting | PhasePart::InFlight);
    let strike_ns = cells(load).filter(is_acting).map(|it| it.start_ns).min()?;
    let from_ns = strike_ns.saturating_sub(SECOND_NS);
    let last = within(load, from_ns..strike_ns);
    let baseline: Vec<Placed<'_>> = judged(load, baseline).filter(|it| it.start_ns + it.length_ns <= from_ns).collect();
    let merged = |part: &[Placed<'_>]| sum(&part.iter().map(|it| it.cell).collect::<Vec<_>>(), Cell::merge);
    let before = merged(&baseline);
    // A service with such a second in its baseline is unchanged.
    let seconds_before: Vec<Cell> = windows(&baseline, SECOND_NS).into_iter().map(|(part, _)| merged(part)).collect();
    let failed = |cell: &Cell| cell.requests() - cell.succeeded;
    let share = |cell: &Cell| failed(cell) as f64 / cell.requests().max(1) as f64;
    if is_first(&seconds_before, |it| share(it) < share(&last))
        && is_more(failed(&last), last.requests(), failed(&before), before.requests())
    {
        let began_ns = first_failure(load, strike_ns).unwrap_or(strike_ns);
        return Some(format!(
            "{} of {} failed within the second before the injection; failures began {} before it",
            failed(&last),
            text::requests(last.requests()),
            text::seconds(seconds(strike_ns - began_ns))
        ));
    }
    let (usual, now) = (before.latency.quantile(0.5)?, last.latency.quantile(0.5)?);
    let slow = |cell: &Cell| cell.latency.at_least(usual * SLOWER).len();
    let is_slow = is_first(&seconds_before, |it| it.latency.quantile(0.5).is_none_or(|median| median < now))
        && now >= usual * SLOWER
        && is_more(slow(&last), last.latency.len(), slow(&before), before.latency.len());
    is_slow.then(|| {
        let [now, usual] = [now, usual].map(|us| text::seconds(us / 1e6));
        format!("the median was {now} within the second before the injection, and {usual} before")
    })
}

/// Whether all seconds were better, except for the last ones: a service that became worse stays worse.
fn is_first(seconds: &[Cell], is_better: impl Fn(&Cell) -> bool) -> bool {
    let last = seconds.iter().rposition(&is_better).map_or(0, |at| at + 1);
    seconds[..last].iter().all(is_better) && last > 0
}

/// Whether a share is significantly larger than another one.
fn is_more(some: u64, of: u64, others: u64, of_others: u64) -> bool {
    some > 0 && of_others > 0 && hypergeometric_at_least(some, of, some + others, of + of_others) <= CHANCE
}

/// The requests that were due within a time, in any phase, without those that were still in flight at its end.
fn within(load: &LoadObservations, time: Range<u64>) -> Cell {
    let is_within = |it: &Placed<'_>| {
        it.mark.part != PhasePart::InFlight && it.start_ns + it.length_ns > time.start && it.start_ns < time.end
    };
    sum(&cells(load).filter(is_within).map(|it| it.cell).collect::<Vec<_>>(), Cell::merge)
}

/// When the last stretch of failures before a moment began, in nanoseconds since the load's start.
fn first_failure(load: &LoadObservations, before_ns: u64) -> Option<u64> {
    let all: Vec<Placed<'_>> =
        cells(load).filter(|it| it.mark.part != PhasePart::InFlight && it.start_ns < before_ns).collect();
    let with_requests = all.iter().rev().filter(|it| it.cell.requests() > 0);
    with_requests.take_while(|it| it.cell.succeeded < it.cell.requests()).last().map(|it| it.start_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::compare;
    use crate::testing::shapes::{Service, Shape};
    use crate::testing::{Request, Timeline};
    use shakedown_observe::Observations;

    /// A service that is refused or three times as slow from a moment on, in seconds before the strike, which comes 4 s after
    /// the baseline: the injection waits for answers.
    fn worse_from(seconds: f64, refuses: bool) -> Observations {
        let timeline = Timeline::new(20.0).phase("baseline", 11.0).fault_phase("cut", 20.0);
        let timeline = timeline.edit(|span| {
            span.active_ns += 4_000_000_000;
            span.judged_from_ns = span.active_ns;
        });
        let mut observations = timeline
            .answer(|it| match (it.at >= 15.0 - seconds, refuses) {
                (true, true) => it.refused(),
                (true, false) => it.ok_in(150.0),
                (false, _) => it.ok_in(50.0),
            })
            .observe();
        for segment in &mut observations.loads[0].segments {
            if segment.mark.part == PhasePart::Injecting {
                segment.mark.part = PhasePart::Waiting;
            }
        }
        observations
    }

    #[test]
    fn what_was_worse_before_the_injection_proves_nothing() {
        for (refuses, words) in [(true, "failures began"), (false, "the median was 150ms")] {
            for before in [0.3, 0.7, 2.0, 4.7] {
                let observations = worse_from(before, refuses);
                let seen = compare(&observations, &observations.loads[0], 1).unwrap();
                let why = seen.windows.unwrap_or_default();
                let is_slow_but_brief = !refuses && before < 0.5;
                assert_eq!(seen.changes.is_empty(), !is_slow_but_brief, "{before} s before: {:?}", seen.changes);
                // In the last case the baseline itself is found to be unusual.
                assert!(is_slow_but_brief || before > 4.0 || why.contains(words), "{before} s before: {why}");
            }
            let observations = worse_from(0.0, refuses);
            assert_ne!(compare(&observations, &observations.loads[0], 1).unwrap().changes, Vec::<String>::new());
        }
    }

    /// Of 100 runs of each shape in which the fault does change something, the second before it refuses the proof in few.
    #[test]
    fn an_undisturbed_baseline_keeps_its_proofs() {
        for shape in Shape::ALL {
            let refused = (0..100).filter(|seed| {
                let mut service = Service::new(shape, *seed);
                let observations = Timeline::new(20.0)
                    .phase("baseline", 30.0)
                    .fault_phase("cut", 30.0)
                    .answer(|it: Request<'_>| it.ok_in(service.answer_ms(it.at)))
                    .observe();
                worse_before(&observations.loads[0], 0, 1).is_some()
            });
            let refused = refused.count();
            assert!(refused <= 5, "{shape:?}: {refused} of 100");
        }
    }
}
