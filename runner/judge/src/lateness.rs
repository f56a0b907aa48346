//! Checks that the load generator kept its schedule. If it did not, the machine was too busy, and its delays cannot be
//! separated from those of the service: the phase is inconclusive.
//!
//! - The generator is too late if its lateness exceeds [`LIMIT_US`] and half of the median latency in one request of 100:
//!   requests then arrived in bursts instead of on their schedule.
//! - It is also too late if one of 1,000 requests was never sent because of its lateness.
//! - A tenth of these limits gives a warning.
//! - Below the limits, a percentile of the latency that exceeds its limit is inconclusive if it would hold without the
//!   generator's lateness at the same percentile ([`share_of`]).

use super::{stats, text};
use shakedown_observe::{Failure, LoadObservations, PhasePart, Timings};

/// The limit of the lateness's p99 that always applies, in microseconds.
const LIMIT_US: f64 = 250_000.0;

/// Its limit as a share of the median latency.
const SHARE: f64 = 0.5;

/// The share of requests that the generator may fail to send because of its lateness.
const LOST: f64 = 0.001;

/// The timings of the requests that the expectations of a phase judge.
pub(super) fn timings(load: &LoadObservations, phase: usize) -> Timings {
    let mut sum = Timings::default();
    let judged = load.segments.iter().filter(|it| it.mark.phase == phase && it.mark.part == PhasePart::Judged);
    judged.for_each(|segment| sum.merge(&segment.timings));
    sum
}

/// The maximum share of the generator's lateness in a percentile of the latency, in seconds.
pub(super) fn share_of(load: &LoadObservations, phase: usize, quantile: f64) -> f64 {
    timings(load, phase).lateness.quantile(quantile).unwrap_or(0.0) / 1e6
}

/// The lateness of the generator in a phase, as a share of its limit and in words.
fn late(load: &LoadObservations, phase: usize) -> Option<(f64, String)> {
    let total = stats::total(load, phase);
    let lost = total.failed.get(&Failure::NotSentLate).copied().unwrap_or(0) as f64 / total.requests().max(1) as f64;
    if lost >= LOST {
        let words = format!("{} of the requests were not sent because the generator was too late", text::percent(lost));
        return Some((lost / LOST, words));
    }
    let p99 = timings(load, phase).lateness.quantile(0.99)?;
    let limit = (total.latency.quantile(0.5).unwrap_or(0.0) * SHARE).max(LIMIT_US);
    let limit_text = text::seconds(limit / 1e6);
    let words = format!("1% of the requests were sent at least {} late (limit {limit_text})", text::seconds(p99 / 1e6));
    Some((p99 / limit, words))
}

/// Why the results of a load in a phase cannot be separated from the delays of the machine. None if they can.
pub(super) fn too_late(load: &LoadObservations, phase: usize) -> Option<String> {
    let (_, words) = late(load, phase).filter(|(share, _)| *share > 1.0)?;
    Some(format!(
        "the load generator could not keep its schedule: {words}; this machine was too busy: stop other programs, use \
         more cores or lower the rate"
    ))
}

/// The warning about the lateness of the generator. None if it kept its schedule.
pub fn warning(load: &LoadObservations, phase: usize, name: &str) -> Option<String> {
    let (share, words) = late(load, phase)?;
    (share > 0.1).then(|| {
        let weight = if share > 1.0 {
            "its results cannot be judged"
        } else {
            "its latencies include part of this \
            delay"
        };
        format!("the load generator was late with load `{}` in `{name}`: {words}; {weight}", load.name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Timeline;

    /// Requests with a latency of `ms`. One in fifty is sent `late_ms` late, and `lost` of 1,000 are never sent.
    fn observe(ms: f64, late_ms: u64, lost: u64) -> LoadObservations {
        let answer = move |it: crate::testing::Request<'_>| {
            let mut outcome = it.ok_in(ms);
            outcome.failure = (it.index % 1000 < lost).then_some(Failure::NotSentLate);
            outcome
        };
        let mut load = Timeline::new(100.0).phase("p", 20.0).answer(answer).observe().loads.remove(0);
        let lateness = &mut load.segments[0].timings.lateness;
        lateness.record_n(100, 1960);
        lateness.record_n(late_ms * 1000, 40);
        load
    }

    #[test]
    fn a_late_generator_has_a_reason() {
        for (ms, late_ms, lost, is_too_late, is_told) in [
            (10.0, 15, 0, false, false),
            (10.0, 40, 0, false, true),
            (10.0, 300, 0, true, true),
            (800.0, 300, 0, false, true),
            (800.0, 30, 0, false, false),
            (800.0, 450, 0, true, true),
            (10.0, 1, 2, true, true),
            (10.0, 1, 1, false, true),
        ] {
            let load = observe(ms, late_ms, lost);
            let (too_late, warning) = (too_late(&load, 0), warning(&load, 0, "p"));
            assert_eq!((too_late.is_some(), warning.is_some()), (is_too_late, is_told), "{ms} {late_ms} {warning:?}");
            assert_eq!(too_late.is_some(), warning.is_some_and(|it| it.contains("its results cannot be judged")));
        }
        let words = too_late(&observe(10.0, 300, 0), 0).unwrap();
        assert!(words.contains("sent at least 300ms late (limit 250ms)"), "{words}");
        let words = too_late(&observe(10.0, 1, 2), 0).unwrap();
        assert!(words.contains("0.2% of the requests were not sent"), "{words}");
    }

    #[test]
    fn only_the_judged_part_of_a_phase_counts() {
        let seen = Timeline::new(10.0).phase("first", 10.0).phase("second", 10.0).settle(4.0).undoing(2.0).observe();
        let mut load = seen.loads.into_iter().next().unwrap();
        for segment in &mut load.segments {
            let late_us = match (segment.mark.phase, segment.mark.part) {
                (0, _) => 1_000,
                (_, PhasePart::Judged) => 20_000,
                _ => 400_000,
            };
            segment.timings.lateness.record_n(late_us, 5);
        }
        assert_eq!(load.segments.len(), 4);
        assert_eq!((timings(&load, 0).lateness.len(), timings(&load, 1).lateness.len()), (5, 5));
        for (phase, expected) in [(0, 0.001), (1, 0.02), (2, 0.0)] {
            let share = share_of(&load, phase, 0.99);
            assert!((share - expected).abs() <= 0.001 * expected, "{phase}: {share}");
        }
    }

    #[test]
    fn a_load_without_a_schedule_cannot_be_late() {
        let load = Timeline::new(100.0).phase("p", 20.0).observe().loads.remove(0);
        assert_eq!((too_late(&load, 0), warning(&load, 0, "p")), (None, None));
    }
}
