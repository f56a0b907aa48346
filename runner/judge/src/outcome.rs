//! A load with the latencies that a percentile is of: the times until the outcomes ([`Outcomes`]).
//!
//! - The first token of a request that failed without one would have taken longer than the request did. The same rules hold.
//! - `of: successes` excludes all failures, including requests that were given up.

use std::borrow::Cow;
use std::collections::BTreeMap;

use shakedown_observe::{Cell, Failure, Histogram, LoadObservations, Outcomes, longest, merged};
use shakedown_schemas::scenario::LatencyOf;

use super::stats::total;
use super::text;

/// The load with the latencies for this percentile.
pub(super) fn of(load: &LoadObservations, of: LatencyOf, quantile: f64) -> Cow<'_, LoadObservations> {
    let counts = |cell: &Cell| cell.failed_after.keys().any(|failure| failure.is_timed() != of.is_all());
    if !cells(load).any(counts) {
        return Cow::Borrowed(load);
    }
    let bounds = by_phase(load, |it| Bounds::new(&it.latency, &it.failed_after, quantile));
    let mut load = load.clone();
    for segment in &mut load.segments {
        let bounds = &bounds[segment.mark.phase];
        for cell in segment.cells.iter_mut().filter(|cell| !cell.failed_after.is_empty()) {
            for (failure, after) in &cell.failed_after {
                match of {
                    // The times of requests that reached their timeout are among the latencies.
                    LatencyOf::All if failure.is_timed() => {}
                    LatencyOf::All => cell.latency.merge(&bounds.counted(*failure, after)),
                    LatencyOf::Successes if failure.is_timed() => cell.latency = cell.latency.without(after),
                    LatencyOf::Successes => {}
                }
            }
        }
    }
    Cow::Owned(load)
}

/// How failures count that have no time in the latency.
struct Bounds {
    /// Faster failures do not count, in microseconds.
    at_least: f64,
    /// The longest time of the phase, in microseconds: that of a request that was given up early.
    longest: u64,
}

impl Bounds {
    fn new(ended: &Histogram, failures: &BTreeMap<Failure, Histogram>, quantile: f64) -> Self {
        Self { at_least: Outcomes::new(ended, failures).limit(quantile), longest: longest(ended, failures) }
    }

    fn counted(&self, failure: Failure, after: &Histogram) -> Histogram {
        if !failure.is_given_up_early() {
            return after.at_least(self.at_least);
        }
        let mut longest = Histogram::default();
        longest.record_n(self.longest, after.len());
        longest
    }
}

/// The times of requests that do not count unchanged.
#[derive(Default)]
pub(super) struct Uncounted {
    /// Until the request was given up before its timeout. These count as the longest times.
    pub given_up: Histogram,
    /// Of failures that were faster than the percentile. These do not count.
    pub quick: Histogram,
}

impl Uncounted {
    /// The times of a phase's requests, before [`of`] adjusts them.
    pub(super) fn latencies(phase: &Cell, quantile: f64) -> Self {
        let outcomes = Outcomes::of(phase);
        let quick = outcomes.failed.without(&outcomes.failed.at_least(outcomes.limit(quantile)));
        Self { given_up: merged(&phase.failed_after, Failure::is_given_up_early), quick }
    }

    /// The times that count, with a lower bound for abandoned requests.
    pub(super) fn least(&self, counted: &Histogram) -> Histogram {
        let mut as_longest = Histogram::default();
        as_longest.record_n(counted.max().unwrap_or_default() as u64, self.given_up.len());
        let mut least = counted.without(&as_longest);
        least.merge(&self.given_up);
        least
    }

    /// The times of a phase's requests without a token, before [`of_first_token`] adjusts them.
    pub(super) fn first_tokens(phase: &Cell) -> Self {
        Self { given_up: merged(&phase.tokenless, Failure::is_given_up_early), ..Self::default() }
    }
}

/// The load with the times to the first token for this percentile. They include the requests that failed without a token,
/// which are the only ones in `tokenless`.
pub(super) fn of_first_token(load: &LoadObservations, of: LatencyOf, quantile: f64) -> Cow<'_, LoadObservations> {
    let counts = |cell: &Cell| !cell.tokenless.is_empty();
    let has_tokens = |cell: &Cell| !cell.first_token.is_empty();
    // A load without any token says nothing about them.
    if !of.is_all() || !cells(load).any(counts) || !cells(load).any(has_tokens) {
        return Cow::Borrowed(load);
    }
    let bounds = by_phase(load, |it| {
        let mut ended = it.first_token.clone();
        ended.merge(&merged(&it.tokenless, Failure::is_timed));
        Bounds::new(&ended, &it.tokenless, quantile)
    });
    let mut load = load.clone();
    for segment in &mut load.segments {
        let bounds = &bounds[segment.mark.phase];
        for cell in &mut segment.cells {
            for (failure, after) in &mut cell.tokenless {
                if !failure.is_timed() {
                    *after = bounds.counted(*failure, after);
                }
                cell.first_token.merge(after);
            }
        }
    }
    Cow::Owned(load)
}

fn cells(load: &LoadObservations) -> impl Iterator<Item = &Cell> {
    load.segments.iter().flat_map(|segment| &segment.cells)
}

/// A value of each phase, from all its judged requests.
fn by_phase<T>(load: &LoadObservations, value: impl Fn(&Cell) -> T) -> Vec<T> {
    let phases = load.segments.iter().map(|segment| segment.mark.phase + 1).max().unwrap_or_default();
    (0..phases).map(|phase| value(&total(load, phase))).collect()
}

/// The median duration of each kind of failure, the most frequent kind first: `87 http_503 after 10s`.
pub(super) fn failed_after(requests: &Cell) -> String {
    let mut kinds: Vec<_> = requests.failed_after.iter().collect();
    kinds.sort_by_key(|(failure, after)| (std::cmp::Reverse(after.len()), **failure));
    let words = kinds.into_iter().filter_map(|(failure, after)| {
        let middle = after.quantile(0.5)? / 1e6;
        Some(format!("{} {failure} after {}", after.len(), text::seconds(middle)))
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use shakedown_observe::Failure;

    use super::*;
    use crate::testing::{Outcome, Request, Timeline};

    fn latency(answer: impl FnMut(Request<'_>) -> Outcome, of_what: LatencyOf, quantile: f64) -> Option<f64> {
        let observations = Timeline::new(20.0).phase("a", 20.0).answer(answer).observe();
        let load = of(&observations.loads[0], of_what, quantile);
        total(&load, 0).latency.quantile(quantile).map(|microseconds| (microseconds / 1e3).round())
    }

    fn fails(it: &Request<'_>, ms: f64) -> Outcome {
        Outcome { failure: Some(Failure::Status(503)), ..it.ok_in(ms) }
    }

    /// One request of ten waits a second for its failure without a token, or is refused at once.
    #[test]
    fn a_request_that_failed_without_a_token_waited_for_it() {
        let p95 = |ms: f64, of_what: LatencyOf| {
            let observations = Timeline::new(20.0)
                .phase("a", 20.0)
                .answer(|it| match it.index % 10 {
                    0 => Outcome { failure: Some(Failure::Status(503)), ..it.ok_in(ms) },
                    _ => Outcome { first_token_ms: Some(20.0), ..it.ok_in(100.0) },
                })
                .observe();
            let load = of_first_token(&observations.loads[0], of_what, 0.95);
            total(&load, 0).first_token.quantile(0.95).map(|microseconds| (microseconds / 1e3).round())
        };
        assert_eq!(p95(1_000.0, LatencyOf::All), Some(1_000.0));
        assert_eq!(p95(1_000.0, LatencyOf::Successes), Some(20.0));
        assert_eq!(p95(1.0, LatencyOf::All), Some(20.0), "a quick refusal says nothing about the first token");
    }

    #[test]
    fn slow_failures_count_with_their_time_and_quick_ones_are_left_out() {
        use LatencyOf::{All, Successes};
        // 8 % fail, after 10 s or at once.
        let failing = |ms: f64| move |it: Request<'_>| if it.index % 25 < 2 { fails(&it, ms) } else { it.ok_in(50.0) };
        let at = |ms, of, quantile| latency(failing(ms), of, quantile);
        assert_eq!([at(10_000.0, All, 0.95), at(10_000.0, All, 0.5)], [Some(10_002.0), Some(50.0)]);
        assert_eq!([at(10_000.0, Successes, 0.95), at(1.0, All, 0.95)], [Some(50.0); 2]);
        // Half are refused at once, and one in twenty of all fails after 10 s: one in ten of the rest.
        let both = |it: Request<'_>| match it.index % 20 {
            0..10 => it.refused(),
            10 => fails(&it, 10_000.0),
            _ => it.ok_in(50.0),
        };
        assert_eq!([latency(both, All, 0.95), latency(both, All, 0.85)], [Some(10_002.0), Some(50.0)]);
    }

    #[test]
    fn a_request_that_was_given_up_counts_unless_only_successes_do() {
        let given_up = |it: Request<'_>| if it.index.is_multiple_of(10) { it.timeout() } else { it.ok_in(50.0) };
        let at = |of| latency(given_up, of, 0.95);
        assert_eq!([at(LatencyOf::All), at(LatencyOf::Successes)], [Some(30_015.0), Some(50.0)]);
    }

    #[test]
    fn latencies_come_from_failures_if_all_requests_fail() {
        let all = |ms: f64| latency(move |it| fails(&it, ms), LatencyOf::All, 0.95);
        assert_eq!(all(10_000.0), Some(10_002.0));
        assert_eq!(latency(|it| fails(&it, 9.0), LatencyOf::Successes, 0.95), None);
    }

    #[test]
    fn without_failures_nothing_is_copied() {
        let observations = Timeline::new(20.0).phase("a", 20.0).observe();
        assert!(matches!(of(&observations.loads[0], LatencyOf::All, 0.95), Cow::Borrowed(_)));
        assert!(matches!(of(&observations.loads[0], LatencyOf::Successes, 0.95), Cow::Borrowed(_)));
    }
}
