//! Expectations about counts of requests: `success_rate`, `errors`, `stuck` and `requests`.

use shakedown_schemas::result::{Unit, Verdict};
use shakedown_schemas::scenario::{CountLimits, Errors, FailureKind, Requests, Stuck, SuccessRate};
use shakedown_schemas::units::Percent;

use super::answer::{Answer, Asked, Rules, named};
use super::limits::Limits;
use super::numbers::wilson;
use super::{samples, seconds, stats, text};
use shakedown_observe::{Cell, Failure};

/// `success_rate`: the share of the phase's requests that succeeded.
pub(super) fn success_rate(asked: &Asked<'_>, it: &SuccessRate) -> Answer {
    let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
    let rules = Rules::new(it.sampling(), samples::success_rate(limits.min, limits.max)).allowing_jitter(asked);
    let total = stats::total(asked.load, asked.phase);
    let (n, succeeded) = (total.requests(), total.succeeded);
    if n == 0 {
        return Answer::inconclusive(format!("no request was due in `{}`", asked.phase_name(asked.phase)))
            .naming_phase();
    }
    let rate = succeeded as f64 / n as f64;
    let mut answer = Answer::new(Unit::Fraction, limits, text::percent).observed(
        rate,
        text::percent(rate),
        Some(wilson(succeeded, n, rules.confidence)),
    );
    answer.samples = n;
    answer.term("requests", n.to_string());
    answer.term("succeeded", succeeded.to_string());
    let mut fact = format!("{} of {} succeeded", text::percent(rate), text::requests(n));
    if succeeded < n {
        answer.term("failed", named(&total));
        fact = format!("{} failed ({}): {fact}", text::requests(n - succeeded), named(&total));
    }
    let unmatched = unmatched(asked, &total);
    if let Some(words) = &unmatched {
        answer.term("not compared", words.clone());
    }
    if rules.decides(&limits, succeeded, n) {
        let answer = answer.decide(&rules, &fact);
        return match unmatched.filter(|_| total.answers.unmatched * 2 > succeeded && answer.verdict == Verdict::Pass) {
            Some(words) => {
                answer.verdict(Verdict::Inconclusive, format!("{fact}; but most were not compared: {words}"))
            }
            None => answer,
        };
    }
    let low = limits.min.is_some_and(|min| samples::too_few(succeeded, n, min, rules.confidence));
    let high = limits.max.is_some_and(|max| samples::too_few(n - succeeded, n, 1.0 - max, rules.confidence));
    let claim = format!("`{}` needs", limits.text(text::percent));
    let phase = asked.phase_name(asked.phase).to_owned();
    answer.too_few(&rules, &fact, &claim, &[(&phase, n)], low || high)
}

/// The answers that `same_as` did not compare, in words. None if all were, or nothing was to be compared.
fn unmatched(asked: &Asked<'_>, total: &Cell) -> Option<String> {
    let named = asked.scenario.load.get(&asked.load.name)?.sent()?.same_as()?;
    let reference = asked.scenario.phases.iter().position(|phase| phase.name == named)?;
    let count = total.answers.unmatched;
    (asked.phase > reference && count > 0)
        .then(|| format!("`{named}` has no answer to the prompts of {count} of {} answers", total.succeeded))
}

/// `requests`: the number of due requests. An exact count, without an interval. Zero requests meet every `max` but
/// prove nothing: they pass only with `max: 0`. What the pace adds after the planned end does not exceed a `max`.
pub(super) fn requests(asked: &Asked<'_>, it: &Requests) -> Answer {
    let limits = Limits { min: it.min.map(|min| min as f64), max: it.max.map(|max| max as f64) };
    let n = stats::total(asked.load, asked.phase).requests();
    let show = |value: f64| format!("{value}");
    let mut answer = Answer::new(Unit::Count, limits, show).observed(n as f64, n.to_string(), None);
    answer.samples = n;
    answer.term("decided by", "the exact count".to_owned());
    if n == 0 && limits.hold(0.0) && it.max != Some(0) {
        let why = format!("no request was due in `{}`: this passes only with `max: 0`", asked.phase_name(asked.phase));
        return answer.verdict(Verdict::Inconclusive, why).naming_phase();
    }
    let late = it.max.and_then(|max| ended_late(asked, max, n).map(|late_s| (max, late_s)));
    if let Some((max, late_s)) = late {
        let (expected, late) = (limits.against(max as f64, show), text::seconds(late_s));
        let why =
            format!("the phase ended {late} after its planned end, and the load continues at its pace until then");
        return answer.verdict(Verdict::Pass, format!("{} were due, {expected}; {why}", text::requests(n)));
    }
    let fact = format!("{} were due, {}", text::requests(n), limits.against(n as f64, show));
    match moved(asked, limits, n) {
        _ if limits.hold(n as f64) => answer.verdict(Verdict::Pass, fact),
        Some(planned) => {
            let why = format!(
                "the pace has {planned}, and the random moments of `arrival: jittered` move some over a phase's ends"
            );
            answer.verdict(Verdict::Pass, format!("{fact}; {why}"))
        }
        None => answer.verdict(Verdict::Fail, fact),
    }
}

/// The number of requests that the pace has in the phase, if it is within the limits and jitter alone explains the actual number.
fn moved(asked: &Asked<'_>, limits: Limits, due: u64) -> Option<f64> {
    let span = asked.observations.phases.get(asked.phase)?;
    let planned = asked.scheduled(span.judged_to_ns)?;
    let is_it = limits.hold(planned.round()) && (due as f64 - planned).abs() <= asked.spread()?;
    is_it.then(|| planned.round())
}

/// The largest delay of a phase's end that the machine alone explains. A longer delay has another cause, and the requests in
/// it count.
const LATEST_NS: u64 = stats::SECOND_NS;

/// By how much the phase ended after its planned end, in seconds, if that alone explains why more requests were due than
/// `max`: by its pace, the load has at most `max` requests until the planned end, and the observed number until the real end.
fn ended_late(asked: &Asked<'_>, max: u64, due: u64) -> Option<f64> {
    let span = asked.observations.phases.get(asked.phase)?;
    let planned_to_ns = span.active_ns + span.planned_ns;
    let late_ns = span.judged_to_ns.checked_sub(planned_to_ns).filter(|late_ns| *late_ns <= LATEST_NS)?;
    let [planned, all] = [planned_to_ns, span.judged_to_ns].map(|until_ns| asked.scheduled(until_ns));
    // A request may be due at any moment within the last interval.
    let is_it = due > max && planned? <= max as f64 + 1e-6 && due as f64 <= all?.ceil() + asked.spread()?;
    is_it.then(|| seconds(late_ns))
}

/// Limits on a count.
pub(super) fn limits(it: CountLimits) -> Limits {
    Limits { min: it.min.map(|min| min as f64), max: it.max.map(|max| max as f64) }
}

/// `errors`: the number of failures by kind. Exact counts. Too few requests are inconclusive, because "none of three timed
/// out" proves nothing, unless a limit is already exceeded.
pub(super) fn errors(asked: &Asked<'_>, it: &Errors) -> Answer {
    let total = stats::total(asked.load, asked.phase);
    let n = total.requests();
    let show = |value: f64| format!("{value}");
    let counts: Vec<(FailureKind, u64, Limits)> =
        it.kinds().into_iter().map(|(kind, it)| (kind, failures(&total, kind), limits(it))).collect();
    let sum: u64 = counts.iter().map(|(_, count, _)| count).sum();
    let mut answer = Answer::new(Unit::Count, Limits::default(), show).observed(sum as f64, sum.to_string(), None);
    answer.samples = n;
    answer.term("decided by", "the exact count".to_owned());
    let mut words = Vec::new();
    for (kind, count, limits) in &counts {
        answer.term(kind.key(), count.to_string());
        words.push(format!("{kind} {count}, {}", limits.against(*count as f64, show)));
    }
    let facts: Vec<String> = counts.iter().map(|(kind, count, _)| format!("{kind} {count}")).collect();
    answer.fact = format!("of {}: {}", text::requests(n), facts.join(", "));
    let words = format!("of {}: {}", text::requests(n), words.join("; "));
    if counts.iter().any(|(_, count, limits)| !limits.low_enough(*count as f64)) {
        answer.verdict(Verdict::Fail, words)
    } else if n < samples::FLOOR {
        let why = format!("{words}; {} requests are needed", samples::FLOOR);
        answer.verdict(Verdict::Inconclusive, why)
    } else if counts.iter().all(|(_, count, limits)| limits.hold(*count as f64)) {
        answer.verdict(Verdict::Pass, words)
    } else {
        answer.verdict(Verdict::Fail, words)
    }
}

/// Whether the limits hold for the failures of a phase. A longer phase has more of them at the same rate, so that a minimum is of
/// as many requests as a later phase has.
pub(super) fn would_hold(it: &Errors, before: &Cell, later: &Cell) -> bool {
    let longer = (later.requests() as f64 / before.requests().max(1) as f64).max(1.0);
    it.kinds().into_iter().all(|(kind, it)| {
        let (count, limits) = (failures(before, kind) as f64, limits(it));
        limits.low_enough(count) && limits.high_enough(count * longer)
    })
}

/// `stuck`: the number of requests that were sent and never ended. Exact counts, judged like `errors`.
pub(super) fn stuck(asked: &Asked<'_>, it: &Stuck, times: f64) -> Answer {
    let limits = limits(CountLimits { min: it.min, max: it.max });
    let total = stats::total(asked.load, asked.phase);
    let (n, stuck) = (total.requests(), total.stuck as f64);
    let show = |value: f64| format!("{value}");
    let mut answer = Answer::new(Unit::Count, limits, show).observed(stuck, total.stuck.to_string(), None);
    answer.samples = n;
    answer.term("listened to for", format!("{} times the timeout", text::digits(times)));
    answer.term("decided by", "the exact count".to_owned());
    let words = format!("{} of {} never ended, {}", total.stuck, text::requests(n), limits.against(stuck, show));
    if !limits.low_enough(stuck) || n >= samples::FLOOR && !limits.hold(stuck) {
        answer.verdict(Verdict::Fail, words)
    } else if n < samples::FLOOR {
        let why = format!("{words}; {} requests are needed", samples::FLOOR);
        answer.verdict(Verdict::Inconclusive, why)
    } else {
        answer.verdict(Verdict::Pass, words)
    }
}

/// The number of failures of a kind.
fn failures(requests: &Cell, kind: FailureKind) -> u64 {
    let is_of = |failure: &Failure| {
        let [narrow, wide] = kinds(failure);
        kind == FailureKind::Any || narrow == Some(kind) || wide == Some(kind)
    };
    requests.failed.iter().filter(|(failure, _)| is_of(failure)).map(|(_, count)| count).sum()
}

/// The kind of a failure, and the kind that includes it. Every failure is also of the kind `any`.
const fn kinds(failure: &Failure) -> [Option<FailureKind>; 2] {
    let kind = match failure {
        Failure::Timeout | Failure::TimeoutAfterWait | Failure::Unfinished => FailureKind::Timeout,
        Failure::Dns | Failure::Refused | Failure::Connect | Failure::Tls | Failure::TlsAlert => {
            FailureKind::Connection
        }
        Failure::Reset | Failure::Closed | Failure::GoAway | Failure::StreamRefused | Failure::StreamReset => {
            FailureKind::Reset
        }
        Failure::Status(400..=499) => FailureKind::Http4xx,
        Failure::Status(500..=599) => FailureKind::Http5xx,
        Failure::Status(_) => return [None, None],
        Failure::BrokenStream | Failure::Truncated | Failure::Protocol | Failure::TooLarge => FailureKind::BrokenStream,
        Failure::Stalled => FailureKind::Stalled,
        Failure::ApiError | Failure::FinishAbort | Failure::FinishError => FailureKind::ApiError,
        Failure::Check => FailureKind::Check,
        Failure::NotSentLimit => return [Some(FailureKind::NotSentLimit), Some(FailureKind::NotSent)],
        Failure::NotSentConnections => return [Some(FailureKind::NotSentConnections), Some(FailureKind::NotSent)],
        Failure::NotSentForward => return [Some(FailureKind::NotSentForward), Some(FailureKind::NotSent)],
        Failure::NotSentLate => return [Some(FailureKind::NotSentLate), Some(FailureKind::NotSent)],
    };
    [Some(kind), None]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectations;
    use crate::testing::{Outcome, Request, Timeline, scenario};
    use serde_json::json;
    use shakedown_schemas::result::ExpectationResult;
    use shakedown_schemas::scenario::Arrival;

    /// `count` requests and one expectation about them.
    fn judge(count: u32, answer: impl FnMut(Request<'_>) -> Outcome, expect: serde_json::Value) -> ExpectationResult {
        let scenario = scenario(&json!([{"name": "p", "duration": "20s", "expect": [expect]}]));
        let seen = Timeline::new(20.0).phase("p", f64::from(count) / 20.0).answer(answer).observe();
        expectations(&scenario, &seen, 1, &|_| None).remove(0)
    }

    #[test]
    fn a_success_rate_without_failures_names_none() {
        let all = judge(400, |it| it.ok_in(10.0), json!({"success_rate": {"min": "99%"}}));
        assert_eq!(all.reason, "100% of 400 requests succeeded (99.05% to 100%), expected at least 99%");
        assert_eq!(all.terms.keys().collect::<Vec<_>>(), ["requests", "succeeded", "decided by", "requests needed"]);
    }

    #[test]
    fn few_requests_refute_that_most_fail_when_hardly_any_does() {
        let at_most = |every: u64, max: &str| {
            let answer =
                move |it: Request<'_>| if it.index.is_multiple_of(every) { it.refused() } else { it.ok_in(10.0) };
            judge(10, answer, json!({"success_rate": {"max": max}})).verdict
        };
        assert_eq!(at_most(11, "20%"), Verdict::Fail, "one of ten fails, where eight should");
        assert_eq!(at_most(2, "60%"), Verdict::Inconclusive, "half of them is as good as six of ten");
    }

    #[test]
    fn twenty_requests_decide_counts_of_failures() {
        for expect in [json!({"errors": {"any": {"max": 0}}}), json!({"stuck": {"max": 0}})] {
            let verdict = |count: u32| judge(count, |it| it.ok_in(10.0), expect.clone()).verdict;
            assert_eq!([verdict(20), verdict(19)], [Verdict::Pass, Verdict::Inconclusive], "{expect}");
        }
        let at_least = |count: u32| judge(count, |it| it.ok_in(10.0), json!({"stuck": {"min": 1}}));
        assert_eq!([at_least(20).verdict, at_least(19).verdict], [Verdict::Fail, Verdict::Inconclusive]);
        assert!(at_least(19).reason.ends_with("; 20 requests are needed"), "{}", at_least(19).reason);
    }

    /// 2500/s for 5 s were 12,504 requests, because the phase ended 1.6 ms late, and `max: 12500` failed.
    #[test]
    fn requests_that_are_due_because_the_phase_ended_late_are_no_excess() {
        let ask = |sent: f64, late_s: f64, limits: serde_json::Value| {
            let phase = json!([{"name": "p", "duration": "20s", "expect": [{"requests": limits}]}]);
            let mut seen = Timeline::new(sent).phase("p", 20.0 + late_s).answer(|it| it.ok_in(10.0)).observe();
            seen.phases[0].planned_ns = 20_000_000_000;
            let mut scenario = scenario(&phase);
            scenario.load["load"].arrival = Some(Arrival::Steady);
            let result = expectations(&scenario, &seen, 1, &|_| None).remove(0);
            (result.verdict, result.reason)
        };
        let exactly = json!({"min": 400, "max": 400});
        let words = "402 requests were due, expected 400 to 400; the phase ended 100ms after its planned end, and the load \
                     continues at its pace until then";
        assert_eq!(ask(20.0, 0.1, exactly.clone()), (Verdict::Pass, words.to_owned()));
        assert_eq!(ask(20.0, 0.0, exactly.clone()).0, Verdict::Pass);
        let more = "405 requests were due, allowed 400".to_owned();
        assert_eq!(ask(20.15, 0.05, exactly), (Verdict::Fail, more), "the pace has 401");
        assert_eq!(ask(20.0, 0.1, json!({"max": 399})).0, Verdict::Fail, "the pace has 400 in the planned time");
        assert_eq!(ask(20.0, 0.1, json!({"min": 403})).0, Verdict::Fail);
        assert_eq!(ask(20.0, 60.0, json!({"max": 400})).0, Verdict::Fail, "a minute is no lateness of the machine");
    }

    /// With prompts in random order, answers to prompts that the reference phase did not have were failures.
    #[test]
    fn answers_that_were_not_compared_are_no_failures_and_no_proof() {
        let ask = |unmatched: u64| {
            let scenario: shakedown_schemas::Scenario = serde_json::from_value(json!({
                "version": 1, "name": "test",
                "load": {"load": {"rate": "20/s", "openai": {
                    "url": "http://127.0.0.1:1", "model": "m", "prompts": {"file": "p"}, "check": {"same_as": "a"},
                }}},
                "phases": [{"name": "a", "duration": "20s"},
                    {"name": "b", "duration": "20s", "expect": [{"success_rate": {"min": "99%"}}]}],
            }))
            .unwrap();
            let timeline = Timeline::new(20.0).phase("a", 20.0).phase("b", 20.0);
            let mut seen = timeline.answer(|it| it.ok_in(10.0)).observe();
            let segment = seen.loads[0].segments.iter_mut().rfind(|it| it.mark.phase == 1).unwrap();
            segment.cells[0].answers.unmatched = unmatched;
            expectations(&scenario, &seen, 1, &|_| None).remove(0)
        };
        assert_eq!((ask(0).verdict, ask(0).terms.get("not compared")), (Verdict::Pass, None));
        let some = ask(200);
        let words = "`a` has no answer to the prompts of 200 of 400 answers";
        assert_eq!((some.verdict, some.terms["not compared"].as_str()), (Verdict::Pass, words));
        let most = ask(201);
        assert_eq!(most.verdict, Verdict::Inconclusive);
        assert!(most.reason.contains("; but most were not compared: `a` has no answer"), "{}", most.reason);
    }

    /// 10/s for 10 s were 97 requests, because blocks of jittered requests lay across the ends of the phase, and `min: 100`
    /// failed.
    #[test]
    fn requests_that_jitter_moves_over_an_end_are_not_missing() {
        let ask = |sent: f64, late_s: f64, arrival: Arrival, limits: serde_json::Value| {
            let phase = json!([{"name": "p", "duration": "20s", "expect": [{"requests": limits}]}]);
            let mut seen = Timeline::new(sent).phase("p", 20.0 + late_s).answer(|it| it.ok_in(10.0)).observe();
            seen.phases[0].planned_ns = 20_000_000_000;
            let mut scenario = scenario(&phase);
            scenario.load["load"].arrival = Some(arrival);
            let result = expectations(&scenario, &seen, 1, &|_| None).remove(0);
            (result.verdict, result.reason)
        };
        let exactly = json!({"min": 400, "max": 400});
        let words = "390 requests were due, expected at least 400; the pace has 400, and the random moments of `arrival: jittered` \
                     move some over a phase's ends";
        assert_eq!(ask(19.5, 0.0, Arrival::Jittered, exactly.clone()), (Verdict::Pass, words.to_owned()));
        assert_eq!(ask(20.5, 0.0, Arrival::Jittered, exactly.clone()).0, Verdict::Pass);
        assert_eq!(ask(20.5, 0.1, Arrival::Jittered, exactly.clone()).0, Verdict::Pass, "and the phase ended late");
        assert_eq!(ask(18.5, 0.0, Arrival::Jittered, exactly.clone()).0, Verdict::Fail, "more than a block");
        assert_eq!(ask(19.5, 0.0, Arrival::Steady, exactly).0, Verdict::Fail);
        assert_eq!(ask(19.5, 0.0, Arrival::Jittered, json!({"min": 401})).0, Verdict::Fail, "the pace has 400");
    }

    /// 10/s for 10 s had 97 of the 100 requests that a limit of 99 % needs, and was inconclusive.
    #[test]
    fn requests_that_jitter_moves_over_an_end_do_not_make_a_sample_too_small() {
        let ask = |sent: f64, failing: u64, arrival: Arrival| {
            let phase = json!([{"name": "p", "duration": "5s", "expect": [{"success_rate": {"min": "99%"}}]}]);
            let answer = move |it: Request<'_>| if it.index < failing { it.refused() } else { it.ok_in(10.0) };
            let seen = Timeline::new(sent).phase("p", 5.0).answer(answer).observe();
            let mut scenario = scenario(&phase);
            scenario.load["load"].arrival = Some(arrival);
            expectations(&scenario, &seen, 1, &|_| None).remove(0)
        };
        let result = ask(19.3, 0, Arrival::Jittered);
        assert_eq!((result.verdict, result.samples), (Verdict::Pass, 97), "{}", result.reason);
        assert_eq!(result.terms["requests needed"], "100, 3 of them moved over the phase's ends by jitter");
        assert_eq!(ask(20.0, 1, Arrival::Jittered).verdict, Verdict::Pass);
        // One failure of a hundred is none too many, and one of 97 would be.
        assert_eq!(ask(19.3, 1, Arrival::Jittered).verdict, Verdict::Inconclusive);
        assert_eq!(ask(19.3, 2, Arrival::Jittered).verdict, Verdict::Fail);
        assert_eq!(ask(17.7, 0, Arrival::Jittered).verdict, Verdict::Inconclusive, "more than a tenth");
        assert_eq!(ask(19.3, 0, Arrival::Steady).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn every_failure_has_its_kind() {
        use Failure as F;
        use FailureKind as K;
        let of_kind: [(FailureKind, &[Failure]); 14] = [
            (K::Timeout, &[F::Timeout, F::TimeoutAfterWait, F::Unfinished]),
            (K::Connection, &[F::Dns, F::Refused, F::Connect, F::Tls, F::TlsAlert]),
            (K::Reset, &[F::Reset, F::Closed, F::GoAway, F::StreamRefused, F::StreamReset]),
            (K::Http4xx, &[F::Status(400), F::Status(499)]),
            (K::Http5xx, &[F::Status(500), F::Status(599)]),
            (K::BrokenStream, &[F::BrokenStream, F::Truncated, F::Protocol, F::TooLarge]),
            (K::Stalled, &[F::Stalled]),
            (K::ApiError, &[F::ApiError, F::FinishAbort, F::FinishError]),
            (K::Check, &[F::Check]),
            (K::NotSent, &[F::NotSentLimit, F::NotSentConnections, F::NotSentForward, F::NotSentLate]),
            (K::NotSentLimit, &[F::NotSentLimit]),
            (K::NotSentConnections, &[F::NotSentConnections]),
            (K::NotSentForward, &[F::NotSentForward]),
            (K::NotSentLate, &[F::NotSentLate]),
        ];
        let mut all = Cell { succeeded: 1000, ..Cell::default() };
        let each = of_kind[..10].iter().flat_map(|(_, failures)| *failures).chain(&[F::Status(302)]);
        // Each count is twice the previous one, so that no two sums are equal.
        each.enumerate().for_each(|(at, failure)| *all.failed.entry(*failure).or_default() += 1 << at);
        for (kind, expected) in of_kind {
            let count: u64 = expected.iter().map(|failure| all.failed[failure]).sum();
            assert_eq!(failures(&all, kind), count, "{kind}");
        }
        assert_eq!(failures(&all, K::Any), all.requests() - 1000);
    }
}
