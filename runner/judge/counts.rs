//! Expectations about counts of requests: `success_rate`, `errors`, `stuck` and `requests`.

use shakedown_schemas::result::{Unit, Verdict};
use shakedown_schemas::scenario::{CountLimits, Errors, Requests, Stuck, SuccessRate};
use shakedown_schemas::units::Percent;

use super::answer::{Answer, Asked, Rules, named};
use super::limits::Limits;
use super::numbers::wilson;
use super::{samples, stats, text};
use crate::observe::{Cell, Failure};

/// `success_rate`: the share of the phase's requests that succeeded.
pub(super) fn success_rate(asked: &Asked<'_>, it: &SuccessRate) -> Answer {
    let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
    let rules = Rules::new(it.decide, it.confidence, it.min_samples, samples::success_rate(limits.min, limits.max));
    let total = stats::total(asked.load, asked.phase);
    let (n, succeeded) = (total.requests(), total.succeeded);
    if n == 0 {
        return Answer::inconclusive(format!("no request was due in `{}`", asked.phase_name(asked.phase)));
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
    if rules.enough(n) {
        return answer.decide(&rules, &fact);
    }
    let low = limits.min.is_some_and(|min| samples::too_few(succeeded, n, min, rules.confidence));
    let high = limits.max.is_some_and(|max| samples::too_few(n - succeeded, n, 1.0 - max, rules.confidence));
    let claim = format!("`{}` needs", limits.text(text::percent));
    let phase = asked.phase_name(asked.phase).to_owned();
    answer.too_few(&rules, &fact, &claim, &[(&phase, n)], low || high)
}

/// `requests`: how many were due. An exact count, without an interval.
pub(super) fn requests(asked: &Asked<'_>, it: &Requests) -> Answer {
    let limits = Limits { min: it.min.map(|min| min as f64), max: it.max.map(|max| max as f64) };
    let n = stats::total(asked.load, asked.phase).requests();
    let show = |value: f64| format!("{value}");
    let mut answer = Answer::new(Unit::Count, limits, show).observed(n as f64, n.to_string(), None);
    answer.samples = n;
    answer.term("decided by", "the exact count".to_owned());
    let verdict = if limits.hold(n as f64) { Verdict::Pass } else { Verdict::Fail };
    answer.verdict(verdict, format!("{} were due, {}", text::requests(n), limits.against(n as f64, show)))
}

/// Limits on a count.
pub(super) fn limits(it: CountLimits) -> Limits {
    Limits { min: it.min.map(|min| min as f64), max: it.max.map(|max| max as f64) }
}

/// `errors`: how many failed, by kind. Exact counts; too few requests are inconclusive unless a limit is missed
/// already, because "none of three timed out" says nothing.
pub(super) fn errors(asked: &Asked<'_>, it: &Errors) -> Answer {
    let total = stats::total(asked.load, asked.phase);
    let n = total.requests();
    let show = |value: f64| format!("{value}");
    let counts: Vec<(&str, u64, Limits)> =
        it.kinds().into_iter().map(|(kind, it)| (kind, failures(&total, kind), limits(it))).collect();
    let sum: u64 = counts.iter().map(|(_, count, _)| count).sum();
    let mut answer = Answer::new(Unit::Count, Limits::default(), show).observed(sum as f64, sum.to_string(), None);
    answer.samples = n;
    answer.term("decided by", "the exact count".to_owned());
    let mut words = Vec::new();
    for (kind, count, limits) in &counts {
        answer.term(kind, count.to_string());
        words.push(format!("{kind} {count}, {}", limits.against(*count as f64, show)));
    }
    let words = format!("of {}: {}", text::requests(n), words.join("; "));
    if counts.iter().any(|(_, count, limits)| !limits.low_enough(*count as f64)) {
        answer.verdict(Verdict::Fail, words)
    } else if n < samples::FLOOR {
        let why = format!("{words}; {} requests are needed to tell", samples::FLOOR);
        answer.verdict(Verdict::Inconclusive, why)
    } else if counts.iter().all(|(_, count, limits)| limits.hold(*count as f64)) {
        answer.verdict(Verdict::Pass, words)
    } else {
        answer.verdict(Verdict::Fail, words)
    }
}

/// `stuck`: how many were sent and came to no end at all. Exact counts, judged as `errors` are.
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
        let why = format!("{words}; {} requests are needed to tell", samples::FLOOR);
        answer.verdict(Verdict::Inconclusive, why)
    } else {
        answer.verdict(Verdict::Pass, words)
    }
}

/// How many failed in a way that a scenario has one name for.
fn failures(requests: &Cell, kind: &str) -> u64 {
    let of_kind = |failure: &Failure| match failure {
        Failure::Timeout | Failure::Unfinished => kind == "timeout",
        Failure::Dns | Failure::Refused | Failure::Connect | Failure::Tls | Failure::TlsAlert => kind == "connection",
        Failure::Reset | Failure::Closed | Failure::GoAway | Failure::StreamRefused | Failure::StreamReset => {
            kind == "reset"
        }
        Failure::Status(400..=499) => kind == "http_4xx",
        Failure::Status(500..=599) => kind == "http_5xx",
        Failure::Status(_) => false,
        Failure::BrokenStream | Failure::Truncated | Failure::Protocol | Failure::TooLarge => kind == "broken_stream",
        Failure::Stalled => kind == "stalled",
        Failure::ApiError => kind == "api_error",
        Failure::Check => kind == "check",
        Failure::NotSentLimit | Failure::NotSentConnections | Failure::NotSentLate => {
            kind == "not_sent" || kind == failure.to_string()
        }
    };
    requests.failed.iter().filter(|(failure, _)| kind == "any" || of_kind(failure)).map(|(_, count)| count).sum()
}
