//! Expectations about counts of requests: `success_rate` and `requests`.

use shakedown_schemas::result::{Unit, Verdict};
use shakedown_schemas::scenario::{Requests, SuccessRate};
use shakedown_schemas::units::Percent;

use super::answer::{Answer, Asked, Rules, named};
use super::limits::Limits;
use super::numbers::wilson;
use super::{samples, stats, text};

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
