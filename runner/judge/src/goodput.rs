//! `goodput`: the share of requests that succeeded and met every bound, of all that were due, as defined by the benchmarks
//! of vLLM and AIPerf. The load engine checks the bounds when a request ends; this module counts.
//!
//! The interval is Wilson's, as for `success_rate`. The interval of the ratio to the baseline uses the logarithm of a ratio
//! of two shares (Katz, Baptista, Azen and Pike, "Obtaining Confidence Intervals for the Risk Ratio in Cohort Studies",
//! Biometrics 34, 1978).

use shakedown_schemas::result::Unit;
use shakedown_schemas::scenario::Goodput;
use shakedown_schemas::units::Percent;

use super::answer::{Answer, Asked, Rules, named};
use super::limits::Limits;
use super::numbers::{normal_quantile, wilson};
use super::phases::before_faults;
use super::{samples, stats, text};
use shakedown_observe::{Cell, MOST_BOUNDS};

/// Good requests of all that were due.
#[derive(Debug, Clone, Copy)]
struct Share {
    good: u64,
    of: u64,
}

impl Share {
    fn value(self) -> f64 {
        self.good as f64 / self.of as f64
    }

    /// This share divided by another, with its interval. None if the other share is zero.
    fn ratio(self, to: Self, confidence: f64) -> Option<(f64, Option<[f64; 2]>)> {
        if self.of == 0 || to.good == 0 {
            return None;
        }
        let ratio = self.value() / to.value();
        let part = |it: Self| 1.0 / it.good as f64 - 1.0 / it.of as f64;
        let interval = (self.good > 0).then(|| {
            let half = normal_quantile(0.5 + confidence / 2.0) * (part(self) + part(to)).sqrt();
            [ratio * (-half).exp(), ratio * half.exp()]
        });
        Some((ratio, interval))
    }
}

/// The answer of one load.
pub(super) fn goodput(asked: &Asked<'_>, it: &Goodput) -> Answer {
    let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
    let rules = Rules::new(it.sampling(), samples::success_rate(limits.min, limits.max)).allowing_jitter(asked);
    let bounds = asked.scenario.goodput_bounds(&asked.load.name);
    let Some(place) = bounds.iter().position(|bounds| *bounds == it.of).filter(|place| *place < MOST_BOUNDS) else {
        return Answer::inconclusive(format!("load `{}` did not count these bounds", asked.load.name));
    };
    let share = |requests: &Cell| Share {
        good: requests.answers.good.get(&place).copied().unwrap_or_default(),
        of: requests.requests(),
    };
    let total = stats::total(asked.load, asked.phase);
    let seen = share(&total);
    if seen.of == 0 {
        return Answer::inconclusive(format!("no request was due in `{}`", asked.phase_name(asked.phase)))
            .naming_phase();
    }
    if it.of.is_of_streams() && total.succeeded > 0 && total.answers.streams.is_empty() {
        return Answer::inconclusive(format!("the answers of load `{}` are not streams of tokens", asked.load.name));
    }
    let rate = seen.value();
    let mut answer = Answer::new(Unit::Fraction, limits, text::percent).observed(
        rate,
        text::percent(rate),
        Some(wilson(seen.good, seen.of, rules.confidence)),
    );
    answer.samples = seen.of;
    answer.term("requests", seen.of.to_string());
    answer.term("succeeded within the bounds", seen.good.to_string());
    let mut others = Vec::new();
    if total.succeeded < seen.of {
        let failed = named(&total);
        others.push(format!("{} failed ({failed})", text::requests(seen.of - total.succeeded)));
        answer.term("failed", failed);
    }
    let slow = total.succeeded.saturating_sub(seen.good);
    if slow > 0 {
        others.push(format!("{} succeeded outside the bounds", text::requests(slow)));
        answer.term("succeeded outside the bounds", slow.to_string());
    }
    if let Some((name, baseline)) = reference(asked, it) {
        let baseline = share(&stats::total(asked.load, baseline));
        if let Some((ratio, interval)) = seen.ratio(baseline, rules.confidence) {
            let interval = interval
                .map_or_else(String::new, |[low, high]| format!(" ({} to {})", text::digits(low), text::digits(high)));
            let words = format!("{}{interval} times its {}", text::digits(ratio), text::percent(baseline.value()));
            answer.term(&format!("compared with {name}"), words);
        }
    }
    let mut fact = format!("{} of {} succeeded within the bounds", text::percent(rate), text::requests(seen.of));
    if !others.is_empty() {
        fact = format!("{}: {fact}", others.join(", "));
    }
    if rules.decides(&limits, seen.good, seen.of) {
        return answer.decide(&rules, &fact);
    }
    let low = limits.min.is_some_and(|min| samples::too_few(seen.good, seen.of, min, rules.confidence));
    let high =
        limits.max.is_some_and(|max| samples::too_few(seen.of - seen.good, seen.of, 1.0 - max, rules.confidence));
    let claim = format!("`{}` needs", limits.text(text::percent));
    let phase = asked.phase_name(asked.phase).to_owned();
    answer.too_few(&rules, &fact, &claim, &[(&phase, seen.of)], low || high)
}

/// The reference phase and its name: the named one, otherwise the last one before the first fault.
fn reference<'a>(asked: &'a Asked<'_>, it: &Goodput) -> Option<(&'a str, usize)> {
    let phase = match &it.to {
        Some(name) => asked.complete_phase(name).ok()?,
        None => before_faults(asked.scenario).checked_sub(1)?,
    };
    (phase < asked.phase).then(|| (asked.phase_name(phase), phase))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_observe::{Integrity, Observations};
    use shakedown_schemas::result::{ExpectationResult, Verdict};
    use shakedown_schemas::scenario::Arrival;

    use crate::expectations;
    use crate::testing::{Timeline, scenario};

    /// 400 requests in each of two phases. In the second, `good` requests meet the bounds and one in ten fails.
    fn seen(good: u64) -> Observations {
        let timeline = Timeline::new(20.0).phase("baseline", 20.0).fault_phase("cut", 20.0);
        let mut seen = timeline
            .answer(|it| if it.phase == "cut" && it.index.is_multiple_of(10) { it.refused() } else { it.ok_in(10.0) })
            .observe();
        for (phase, mut left) in [(0, 380), (1, good)] {
            let segments = seen.loads[0].segments.iter_mut().filter(|segment| segment.mark.phase == phase);
            for cell in segments.flat_map(|segment| &mut segment.cells) {
                let here = cell.succeeded.min(left);
                left -= here;
                cell.answers.good.insert(0, here);
                cell.answers.streams.insert(Integrity::Complete, cell.succeeded);
            }
        }
        seen
    }

    fn judge(seen: &Observations, expect: &serde_json::Value) -> ExpectationResult {
        let scenario = scenario(&json!([
            {"name": "baseline", "duration": "20s"},
            {"name": "cut", "duration": "20s", "expect": [expect],
             "faults": {"f": {"pod_kill": {"pods": {"prefix": "x"}}}}},
        ]));
        expectations(&scenario, seen, 1, &|_| None).remove(0)
    }

    /// 97 of 100 needed requests, of which one is outside the bounds: one of a hundred would not be too many.
    #[test]
    fn a_share_that_jitter_leaves_open_is_not_decided() {
        for (outside, verdict) in [(0, Verdict::Pass), (1, Verdict::Inconclusive), (2, Verdict::Fail)] {
            let mut seen = Timeline::new(19.3).phase("p", 5.0).answer(|it| it.ok_in(10.0)).observe();
            let mut left = outside;
            for cell in seen.loads[0].segments.iter_mut().flat_map(|segment| &mut segment.cells) {
                let bad = cell.succeeded.min(left);
                left -= bad;
                cell.answers.good.insert(0, cell.succeeded - bad);
            }
            let expect = json!([{"goodput": {"min": "99%", "of": {"latency": "10s"}}}]);
            let mut scenario = scenario(&json!([{"name": "p", "duration": "5s", "expect": expect}]));
            scenario.load["load"].arrival = Some(Arrival::Jittered);
            let result = expectations(&scenario, &seen, 1, &|_| None).remove(0);
            assert_eq!((result.verdict, result.samples), (verdict, 97), "{outside}: {}", result.reason);
        }
    }

    #[test]
    fn the_share_is_of_all_that_were_due() {
        let of = json!({"time_to_first_token": "500ms", "latency": "10s"});
        let result = judge(&seen(300), &json!({"goodput": {"min": "70%", "of": of}}));
        assert_eq!((result.verdict, result.observed, result.samples), (Verdict::Pass, Some(0.75), 400));
        assert_eq!(
            result.reason,
            "40 requests failed (40 connection_refused), 60 requests succeeded outside the bounds: 75% of 400 requests \
             succeeded within the bounds (70.53% to 78.99%), expected at least 70%"
        );
        assert_eq!(result.terms["compared with baseline"], "0.789 (0.743 to 0.839) times its 95%");
        assert_eq!(judge(&seen(300), &json!({"goodput": {"min": "76%", "of": of}})).verdict, Verdict::Fail);
        let sure = json!({"goodput": {"min": "72%", "decide": "interval", "of": of}});
        assert_eq!(judge(&seen(300), &sure).verdict, Verdict::Inconclusive);
        assert_eq!(judge(&seen(0), &json!({"goodput": {"min": "1%", "of": of}})).observed, Some(0.0));
    }

    #[test]
    fn without_streams_nothing_is_known_of_their_tokens() {
        let mut plain = seen(300);
        let cells = plain.loads[0].segments.iter_mut().flat_map(|segment| &mut segment.cells);
        cells.for_each(|cell| cell.answers.streams.clear());
        let ask = |of: serde_json::Value| judge(&plain, &json!({"goodput": {"min": "70%", "of": of}})).verdict;
        assert_eq!(ask(json!({"time_to_first_token": "500ms"})), Verdict::Inconclusive);
        assert_eq!(ask(json!({"latency": "10s"})), Verdict::Pass);
    }
}
