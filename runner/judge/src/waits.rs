//! Requests that waited because `max_in_flight` others were under way, or all connections of a closed loop. Their wait is a
//! property of the load, and perhaps of a slow service: the two cannot be separated.
//!
//! - A timeout after such a wait, and a request that was never sent for it, do not show that the service failed. If an
//!   expectation has another answer without them, it is inconclusive.
//! - The same holds for a percentile of the latency that exceeds its limit, if the times from sent to the end are within it.
//! - A timeout after a wait still counts if the service had the request for longer than nearly all of its answers took
//!   ([`without_waits`]). So a service that is dead, or slower than usual, fails by the requests that it was sent.
//! - A service that hangs still fails: the requests that fill the limit do not wait.

use std::borrow::Cow;

use shakedown_observe::{Cell, Failure, Histogram, LoadObservations, Outcomes};

use super::answer::Answer;
use super::{lateness, stats, text};
use shakedown_schemas::result::Verdict;
use shakedown_schemas::scenario::LatencyOf;

/// The share of waiting requests from which waits count.
const SHARE: f64 = 0.01;

/// The quantile of the run's answers that counts as enough time for an answer.
const ENOUGH: f64 = 0.99;

/// The waits of a load in a phase.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Waits {
    requests: u64,
    /// The requests that waited, sent or not.
    waited: u64,
    /// The requests among them that timed out or were never sent.
    failed: u64,
    /// The longest wait of a request that was sent, in seconds.
    longest_s: f64,
    /// Whether the load is an open loop. Only that has `max_in_flight`.
    is_open: bool,
}

impl Waits {
    /// The waits in the judged part of a phase. None if few requests waited.
    fn of(load: &LoadObservations, phase: usize) -> Option<Self> {
        let total = stats::total(load, phase);
        let turn = lateness::timings(load, phase).turn;
        let count = |failure| total.failed.get(&failure).copied().unwrap_or_default();
        let unsent = count(Failure::NotSentLimit);
        let failed = unsent + count(Failure::TimeoutAfterWait);
        let longest_s = turn.quantile(1.0).unwrap_or_default() / 1e6;
        let (requests, waited) = (total.requests(), turn.len() + unsent);
        let it = Self { requests, waited, failed, longest_s, is_open: load.is_open };
        (it.waited > 0 && it.waited as f64 >= SHARE * it.requests as f64).then_some(it)
    }

    fn words(&self) -> String {
        let failed = match self.failed {
            0 => String::new(),
            count => format!("; {count} of them timed out after it or were not sent"),
        };
        let limit = if self.is_open { "`max_in_flight`" } else { "a connection of their worker" };
        format!(
            "{} of {} waited for {limit} before they were sent, up to {}{failed}",
            self.waited,
            text::requests(self.requests),
            text::seconds(self.longest_s)
        )
    }

    /// The next step for the user.
    const fn advice(&self) -> &'static str {
        if self.is_open { OPEN } else { CLOSED }
    }
}

/// The next step for an open loop.
const OPEN: &str = "raise `max_in_flight` or lower the rate";
/// The next step for a closed loop.
const CLOSED: &str = "lower `concurrency`, or add a `think_time`";

/// The answer, unless it is another one without the requests that waited in one of its phases.
pub(super) fn settle(
    load: &LoadObservations,
    phases: impl Iterator<Item = usize>,
    mut answer: Answer,
    again: impl FnOnce(&LoadObservations) -> Answer,
) -> Answer {
    let mut found = phases.filter_map(|phase| Waits::of(load, phase));
    let Some(waits) = found.find(|it| it.failed > 0) else { return answer };
    answer.term("waited", waits.words());
    if answer.verdict == Verdict::Inconclusive {
        return answer;
    }
    let other = again(&without_waits(load));
    // Too few other requests do not excuse a service that fails those that fill the limit.
    let is_another = match answer.verdict {
        Verdict::Fail => other.verdict == Verdict::Pass,
        verdict => other.verdict != verdict,
    };
    if is_another {
        let reason = std::mem::take(&mut answer.reason);
        let why = format!("{}, so the service is not the only cause: {reason}; {}", waits.words(), waits.advice());
        answer = answer.verdict(Verdict::Inconclusive, why);
    }
    answer
}

/// The load without the requests whose failure a wait explains: those that were never sent, and timeouts after a wait that the
/// service had for no longer than its answers take. The other timeouts count as such.
///
/// The service had enough time if it had more than [`ENOUGH`] of the run's successes took, from due to the end, which is at
/// least as long as from sent. The number of timeouts with more time follows for each segment from the times from sent to the
/// end: it is at least the number of requests with more time, without the successes and other timeouts among them.
fn without_waits(load: &LoadObservations) -> Cow<'_, LoadObservations> {
    let is_other = |failure: &Failure| failure.is_timed() && !failure.is_of_limit() && !failure.is_not_sent();
    let all: Vec<Histogram> = load.segments.iter().flat_map(|segment| &segment.cells).map(successes).collect();
    let all = stats::sum(&all.iter().collect::<Vec<_>>(), Histogram::merge);
    let Some(enough) = all.quantile(ENOUGH) else { return stats::without(load, Failure::is_of_limit) };
    let longer = |times: &Histogram| times.iter().filter(|(at, _)| *at > enough).map(|(_, count)| count).sum::<u64>();
    let mut changed = Cow::Borrowed(load);
    for (at, segment) in load.segments.iter().enumerate() {
        let others = |cell: &Cell| -> u64 {
            let failed = cell.failed.iter().filter(|(failure, _)| is_other(failure)).map(|(_, count)| count);
            longer(&successes(cell)) + failed.sum::<u64>()
        };
        let mut left = longer(&segment.timings.service).saturating_sub(segment.cells.iter().map(others).sum());
        let is_waited = |cell: &&Cell| cell.failed.contains_key(&Failure::TimeoutAfterWait);
        if left > 0 && segment.cells.iter().any(|cell| is_waited(&cell)) {
            changed.to_mut().segments[at].cells.iter_mut().for_each(|cell| left -= count_as_timeouts(cell, left));
        }
    }
    match changed {
        Cow::Borrowed(load) => stats::without(load, Failure::is_of_limit),
        Cow::Owned(load) => Cow::Owned(stats::without(&load, Failure::is_of_limit).into_owned()),
    }
}

/// The latencies of the successes of a cell.
fn successes(cell: &Cell) -> Histogram {
    let timed = cell.failed_after.iter().filter(|(failure, _)| failure.is_timed()).map(|(_, after)| after);
    let timed = stats::sum(&timed.collect::<Vec<_>>(), Histogram::merge);
    if timed.is_empty() { cell.latency.clone() } else { cell.latency.without(&timed) }
}

/// Counts at most this many timeouts after a wait as timeouts, and returns their number.
fn count_as_timeouts(cell: &mut Cell, most: u64) -> u64 {
    let Some(waited) = cell.failed.get_mut(&Failure::TimeoutAfterWait) else { return 0 };
    let count = most.min(*waited);
    if count == 0 {
        return 0;
    }
    *waited -= count;
    *cell.failed.entry(Failure::Timeout).or_default() += count;
    for times in [&mut cell.failed_after, &mut cell.tokenless] {
        let Some(after) = times.get(&Failure::TimeoutAfterWait) else { continue };
        let (mut part, mut left) = (Histogram::default(), count);
        for (at, values) in after.iter() {
            part.record_n(at as u64, values.min(left));
            left -= values.min(left);
        }
        let rest = after.without(&part);
        times.insert(Failure::TimeoutAfterWait, rest);
        times.entry(Failure::Timeout).or_default().merge(&part);
    }
    count
}

/// The percentile of the times from sent to the end, in seconds, and the waits in words. None if few requests waited.
pub(super) fn from_sent(load: &LoadObservations, phase: usize, quantile: f64, of: LatencyOf) -> Option<(f64, String)> {
    let waits = Waits::of(load, phase)?;
    let times = lateness::timings(load, phase);
    let failed = if of.is_all() { times.service_failed } else { Histogram::default() };
    let outcomes = Outcomes { ended: times.service, failed };
    let service = outcomes.counted(quantile).quantile(quantile)?;
    Some((service / 1e6, format!("{}; {}", waits.words(), waits.advice())))
}

/// Why a phase is not a valid reference: its requests waited to be sent.
pub(super) fn too_many(load: &LoadObservations, phase: usize) -> Option<String> {
    Waits::of(load, phase).map(|it| format!("{}; {}", it.words(), it.advice()))
}

/// The warning about a load whose requests waited in a phase.
pub fn warning(load: &LoadObservations, phase: usize, name: &str) -> Option<String> {
    let waits = Waits::of(load, phase)?;
    Some(format!(
        "load `{}` in `{name}`: {}; its latencies include this time, which is not the service's alone; {}",
        load.name,
        waits.words(),
        waits.advice()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectations;
    use crate::testing::{Outcome, Request, Timeline, scenario};
    use serde_json::{Value, json};
    use shakedown_observe::PhasePart;
    use shakedown_schemas::result::ExpectationResult;

    /// 600 requests at 100/s. From `from` on, each waits for `turn_ms`, and the service takes `ms` from when it was sent.
    fn observe(from: u64, turn_ms: u64, ms: u64, outcome: fn(Request<'_>, f64) -> Outcome) -> LoadObservations {
        let answer = move |it: Request<'_>| {
            if it.index < from { it.ok_in(ms as f64) } else { outcome(it, (turn_ms + ms) as f64) }
        };
        let mut load = Timeline::new(100.0).phase("p", 6.0).answer(answer).observe().loads.remove(0);
        let segment = load.segments.iter_mut().find(|it| it.mark.part == PhasePart::Judged).unwrap();
        segment.timings.service.record_n(ms * 1000, 600);
        segment.timings.turn.record_n(turn_ms * 1000, 600 - from);
        load
    }

    fn after_wait(it: Request<'_>, ms: f64) -> Outcome {
        Outcome { failure: Some(Failure::TimeoutAfterWait), ..it.ok_in(ms) }
    }

    fn judge(load: LoadObservations, expect: Value) -> ExpectationResult {
        let mut observations = Timeline::new(100.0).phase("p", 6.0).observe();
        observations.loads = vec![load];
        let scenario = scenario(&json!([{"name": "p", "duration": "6s", "expect": [expect]}]));
        expectations(&scenario, &observations, 1, &|_| None).remove(0)
    }

    /// 100/s with a limit of 5 and a service that takes 100 ms: two thirds time out 50 ms after they were sent.
    #[test]
    fn the_service_is_not_blamed_for_waits() {
        let rate = || json!({"success_rate": {"min": "99%"}});
        let result = judge(observe(187, 1950, 50, after_wait), rate());
        assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
        let begin = "413 of 600 requests waited for `max_in_flight` before they were sent, up to 1.95s; 413 of them timed out \
            after it or were not sent, so the service is not the only cause: 413 requests failed (413 timeout_after_wait)";
        assert!(result.reason.starts_with(begin) && result.reason.ends_with(OPEN), "{}", result.reason);
        for expect in [json!({"errors": {"any": {"max": 10}}}), json!({"errors": {"timeout": {"max": 0}}})] {
            assert_eq!(judge(observe(187, 1950, 50, after_wait), expect).verdict, Verdict::Inconclusive);
        }
        // Nor for tokens that would have come later than a timeout after a wait.
        let mut load = observe(187, 1950, 50, after_wait);
        for cell in load.segments.iter_mut().flat_map(|segment| &mut segment.cells) {
            cell.first_token.record_n(20_000, cell.succeeded);
        }
        let first_token = json!({"time_to_first_token": {"percentile": "p95", "max": "500ms"}});
        let result = judge(load, first_token);
        assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
        // The service fails by itself as well.
        let both =
            |it: Request<'_>, ms: f64| if it.index.is_multiple_of(2) { it.refused() } else { after_wait(it, ms) };
        assert_eq!(judge(observe(187, 1950, 50, both), rate()).verdict, Verdict::Fail);
    }

    /// A closed loop has no `max_in_flight`, so it is no advice for it.
    #[test]
    fn the_advice_for_a_closed_loop_names_its_own_keys() {
        let closed = || LoadObservations { is_open: false, ..observe(187, 1950, 50, after_wait) };
        let said = [
            judge(closed(), json!({"success_rate": {"min": "99%"}})).reason,
            warning(&closed(), 0, "p").unwrap(),
            too_many(&closed(), 0).unwrap(),
            from_sent(&closed(), 0, 0.95, LatencyOf::All).unwrap().1,
        ];
        for text in said {
            assert!(text.contains("413 of 600 requests waited for a connection of their worker"), "{text}");
            assert!(text.ends_with(CLOSED) && !text.contains("max_in_flight"), "{text}");
        }
    }

    /// 20/s with a limit of 5 and a timeout of 2 s. The service answers in 20 ms, and is dead after 2 s. The first five
    /// requests time out, and then each waits for 1.75 s and is with the service for 250 ms, ten times as long as an answer
    /// takes.
    #[test]
    fn a_dead_service_fails_by_the_requests_that_it_was_sent() {
        let observe = |with_service_ms: u64| {
            let answer = move |it: Request<'_>| match it.index {
                0..40 => it.ok_in(20.0),
                40..45 => Outcome { failure: Some(Failure::Timeout), ..it.ok_in(2000.0) },
                _ => Outcome { failure: Some(Failure::TimeoutAfterWait), ..it.ok_in(2000.0) },
            };
            let mut load = Timeline::new(20.0).phase("p", 6.0).answer(answer).observe().loads.remove(0);
            let segment = load.segments.iter_mut().find(|it| it.mark.part == PhasePart::Judged).unwrap();
            segment.timings.service.record_n(20_000, 40);
            segment.timings.service.record_n(2_000_000, 5);
            segment.timings.service.record_n(with_service_ms * 1000, 75);
            segment.timings.turn.record_n(2_000_000 - with_service_ms * 1000, 75);
            load
        };
        let of = |kind: &str, max: u64| json!({"errors": {kind: {"max": max}}});
        for expect in [of("timeout", 10), of("timeout", 79), of("any", 79), json!({"success_rate": {"min": "80%"}})] {
            let result = judge(observe(250), expect.clone());
            assert_eq!(result.verdict, Verdict::Fail, "{expect}: {}", result.reason);
            // The service needs 20 ms, and had 15.
            let result = judge(observe(15), expect.clone());
            assert_eq!(result.verdict, Verdict::Inconclusive, "{expect}: {}", result.reason);
        }
        assert_eq!(judge(observe(250), of("timeout", 80)).verdict, Verdict::Pass);
        // Counted exactly: what is left without the waits.
        let left = without_waits(&observe(250)).into_owned();
        let total = stats::total(&left, 0);
        assert_eq!((total.failed[&Failure::Timeout], total.requests(), total.latency.len()), (80, 120, 120));
    }

    #[test]
    fn a_service_that_hangs_fails_although_the_others_waited_for_it() {
        let hangs = |it: Request<'_>, ms: f64| {
            let failure = if it.index.is_multiple_of(60) { Failure::Timeout } else { Failure::NotSentLimit };
            Outcome { failure: Some(failure), ..it.ok_in(ms) }
        };
        let rate = json!({"success_rate": {"min": "99%"}});
        assert_eq!(judge(observe(0, 1950, 50, hangs), rate).verdict, Verdict::Fail);
    }

    #[test]
    fn an_expectation_about_what_was_not_sent_is_judged_by_it() {
        let unsent = |it: Request<'_>, ms: f64| Outcome { failure: Some(Failure::NotSentLimit), ..it.ok_in(ms) };
        for kind in ["not_sent", "not_sent_limit"] {
            let result = judge(observe(187, 1950, 50, unsent), json!({"errors": {kind: {"max": 0}}}));
            assert_eq!(result.verdict, Verdict::Fail, "{kind}: {}", result.reason);
        }
    }

    #[test]
    fn a_latency_that_is_a_wait_is_not_the_service_s() {
        let limit = || json!({"latency": {"percentile": "p95", "max": "500ms"}});
        let result = judge(observe(187, 1950, 100, |it, ms| it.ok_in(ms)), limit());
        assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
        assert!(result.reason.contains("413 of 600 requests waited for `max_in_flight`"), "{}", result.reason);
        assert_eq!(judge(observe(187, 1950, 900, |it, ms| it.ok_in(ms)), limit()).verdict, Verdict::Fail);
        assert_eq!(judge(observe(187, 100, 100, |it, ms| it.ok_in(ms)), limit()).verdict, Verdict::Pass);
        // Two of five get a 503 after 2 s with the service, which is not quick.
        let mut slow = observe(187, 1950, 20, |it, ms| match it.index % 5 {
            0 | 1 => Outcome { failure: Some(Failure::Status(503)), ..it.ok_in(ms + 1980.0) },
            _ => it.ok_in(ms),
        });
        let judged = slow.segments.iter_mut().find(|it| it.mark.part == PhasePart::Judged).unwrap();
        judged.timings.service = Histogram::default();
        judged.timings.service.record_n(20_000, 435);
        judged.timings.service_failed.record_n(2_000_000, 165);
        let result = judge(slow.clone(), limit());
        assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
        // Failures do not count as successes.
        let successes = json!({"latency": {"percentile": "p95", "max": "500ms", "of": "successes"}});
        assert_eq!(judge(slow, successes).verdict, Verdict::Inconclusive);
        // Three of 600 do not count as a waiting load.
        assert_eq!(warning(&observe(597, 1950, 100, |it, ms| it.ok_in(ms)), 0, "p"), None);
        assert!(warning(&observe(187, 1950, 100, |it, ms| it.ok_in(ms)), 0, "p").is_some());
    }
}
