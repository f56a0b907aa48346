//! The question that an expectation asks, in words and numbers, without its answer.

use shakedown_schemas::result::Unit;
use shakedown_schemas::scenario::{CountLimits, Expectation, LatencyOf};
use shakedown_schemas::units::{Percent, short};

use super::limits::Limits;
use super::{counts, text};

/// An expectation in words, such as `success rate at least 99%`.
pub fn title(expectation: &Expectation) -> String {
    Question::of(expectation).title
}

/// A question.
pub(super) struct Question {
    /// In words.
    pub(super) title: String,
    /// The unit of its answer.
    pub(super) unit: Unit,
    /// The limits of its answer; none if there are several, which only the words contain.
    pub(super) limits: Limits,
    /// The limits in words.
    pub(super) limit_text: String,
}

impl Question {
    fn new(title: String, unit: Unit, limits: Limits, limit_text: String) -> Self {
        Self { title, unit, limits, limit_text }
    }

    /// The question of an expectation.
    pub(super) fn of(expectation: &Expectation) -> Self {
        let count = |it: CountLimits| counts::limits(it);
        match expectation {
            Expectation::SuccessRate(it) => {
                let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
                let words = limits.text(|value| Percent::from_fraction(value).to_string());
                Self::new(format!("success rate {words}"), Unit::Fraction, limits, words)
            }
            Expectation::Latency(it) | Expectation::TimeToFirstToken(it) | Expectation::InterTokenLatency(it) => {
                let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
                let words = limits.text(text::seconds);
                Self::new(
                    format!("{}{}{} {words}", what(expectation), it.percentile, of(it.of)),
                    Unit::Seconds,
                    limits,
                    words,
                )
            }
            Expectation::LatencyRatio(it)
            | Expectation::TimeToFirstTokenRatio(it)
            | Expectation::InterTokenLatencyRatio(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                let floor = it.or_below.map_or_else(String::new, |floor| format!(", or at most {floor}"));
                let title =
                    format!("{}{}{} {words} times {}{floor}", what(expectation), it.percentile, of(it.of), it.to);
                Self::new(title, Unit::Times, limits, words)
            }
            Expectation::OutputTokensPerSecond(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                Self::new(format!("output tokens per second {words}"), Unit::Count, limits, words)
            }
            Expectation::OutputTokensPerSecondRatio(it) | Expectation::ThroughputRatio(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                Self::new(format!("{}{words} times {}", what(expectation), it.to), Unit::Times, limits, words)
            }
            Expectation::Goodput(it) => {
                let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
                let words = limits.text(|value| Percent::from_fraction(value).to_string());
                let bounds: Vec<String> =
                    it.of.all().iter().map(|(name, most)| format!("{} {most}", name.replace('_', " "))).collect();
                Self::new(format!("goodput {words} within {}", bounds.join(", ")), Unit::Fraction, limits, words)
            }
            Expectation::Errors(it) => {
                let kinds: Vec<String> =
                    it.kinds().into_iter().map(|(kind, it)| format!("{kind} {}", count(it).text(short))).collect();
                let words = kinds.join(", ");
                let limits = match it.kinds().as_slice() {
                    [(_, one)] => count(*one),
                    _ => Limits::default(),
                };
                Self::new(format!("errors: {words}"), Unit::Count, limits, words)
            }
            Expectation::Stuck(it) => {
                let limits = count(CountLimits { min: it.min, max: it.max });
                let words = limits.text(short);
                let times = if it.times > 1.0 {
                    format!(" after {} times their timeout", short(it.times))
                } else {
                    String::new()
                };
                Self::new(format!("stuck requests{times} {words}"), Unit::Count, limits, words)
            }
            Expectation::RecoveryTime(it) => {
                let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
                let words = limits.text(text::seconds);
                Self::new(format!("recovery time {words}, holding {}", it.hold), Unit::Seconds, limits, words)
            }
            Expectation::Requests(it) => {
                let limits = count(CountLimits { min: it.min, max: it.max });
                let words = limits.text(short);
                Self::new(format!("{words} requests"), Unit::Count, limits, words)
            }
            Expectation::Pods(it) => {
                let restarts = it.restarts.map(|it| (format!("restarts {}", count(it).text(short)), count(it)));
                let ready = it.ready_within.map(|within| {
                    (format!("ready again within {within}"), Limits { min: None, max: Some(within.as_secs_f64()) })
                });
                let (limits, unit) = match (&restarts, &ready) {
                    (Some((_, limits)), None) => (*limits, Unit::Count),
                    (None, Some((_, limits))) => (*limits, Unit::Seconds),
                    _ => (Limits::default(), Unit::Count),
                };
                let words: Vec<String> = restarts.into_iter().chain(ready).map(|(words, _)| words).collect();
                Self::new(format!("pods: {}", words.join(", ")), unit, limits, words.join(", "))
            }
            Expectation::Prometheus(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                let times = it.to.as_ref().map_or_else(String::new, |to| format!(" times {to}"));
                let unit = if it.to.is_some() { Unit::Times } else { Unit::Count };
                let title = format!("prometheus: {} of `{}` {words}{times}", it.over.word(), it.query.trim());
                Self::new(title, unit, limits, words)
            }
            Expectation::Logs(it) => {
                let limits = count(CountLimits { min: it.min, max: it.max });
                let words = limits.text(short);
                Self::new(format!("log lines that match `{}` {words}", it.matches), Unit::Count, limits, words)
            }
        }
    }
}

/// The measured outcomes, for the beginning of a title; empty for all.
const fn of(it: LatencyOf) -> &'static str {
    match it {
        LatencyOf::All => "",
        LatencyOf::Successes => " of successes",
    }
}

fn what(expectation: &Expectation) -> &'static str {
    expectation.info().facts.noun
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shakedown_schemas::result::Unit::{Count, Fraction, Seconds, Times};

    /// What is asked, how its title begins and ends around its limits, its unit and its limits.
    #[test]
    fn a_title_names_what_is_asked_and_its_limits() {
        let at_most = |max: f64| Limits { min: None, max: Some(max) };
        let at_least = |min: f64| Limits { min: Some(min), max: None };
        let ratio = json!({"percentile": "p95", "to": "baseline", "max": 3, "or_below": "50ms"});
        let rate = json!({"to": "baseline", "min": 0.5});
        for (expect, title, unit, limits) in [
            (json!({"success_rate": {"min": "99%"}}), "success rate at least 99%", Fraction, at_least(0.99)),
            (json!({"latency": {"percentile": "p50", "max": "1s"}}), "p50 at most 1s", Seconds, at_most(1.0)),
            (json!({"latency_ratio": ratio}), "p95 at most 3 times baseline, or at most 50ms", Times, at_most(3.0)),
            (
                json!({"time_to_first_token_ratio": ratio}),
                "time to first token p95 at most 3 times baseline, or at most 50ms",
                Times,
                at_most(3.0),
            ),
            (
                json!({"inter_token_latency_ratio": {"percentile": "p95", "to": "baseline", "max": 3}}),
                "inter-token latency p95 at most 3 times baseline",
                Times,
                at_most(3.0),
            ),
            (
                json!({"output_tokens_per_second": {"min": 9}}),
                "output tokens per second at least 9",
                Count,
                at_least(9.0),
            ),
            (
                json!({"output_tokens_per_second_ratio": rate}),
                "output tokens per second at least 0.5 times baseline",
                Times,
                at_least(0.5),
            ),
            (json!({"throughput_ratio": rate}), "throughput at least 0.5 times baseline", Times, at_least(0.5)),
            (
                json!({"goodput": {"min": "90%", "of": {"latency": "10s", "time_to_first_token": "500ms"}}}),
                "goodput at least 90% within latency 10s, time to first token 500ms",
                Fraction,
                at_least(0.9),
            ),
            (json!({"stuck": {"max": 0}}), "stuck requests at most 0", Count, at_most(0.0)),
            (
                json!({"stuck": {"max": 0, "times": 1.5}}),
                "stuck requests after 1.5 times their timeout at most 0",
                Count,
                at_most(0.0),
            ),
            (json!({"recovery_time": {"max": "9s"}}), "recovery time at most 9s, holding 5s", Seconds, at_most(9.0)),
            (json!({"requests": {"min": 20}}), "at least 20 requests", Count, at_least(20.0)),
            (
                json!({"logs": {"matches": "FATAL", "max": 0}}),
                "log lines that match `FATAL` at most 0",
                Count,
                at_most(0.0),
            ),
        ] {
            let question = Question::of(&serde_json::from_value(expect).unwrap());
            assert_eq!((question.title.as_str(), question.unit, question.limits), (title, unit, limits));
            assert!(title.contains(&question.limit_text), "{title}: {}", question.limit_text);
        }
    }

    /// One limit can be drawn next to the observed value; several limits are only in words.
    #[test]
    fn several_limits_are_only_in_words() {
        let limits = |max: f64| Limits { min: None, max: Some(max) };
        let (timeout, any) = (json!({"max": 4}), json!({"max": 9}));
        let both = json!({"restarts": {"max": 1}, "ready_within": "30s"});
        for (expect, words, unit, limits) in [
            (json!({"errors": {"timeout": timeout}}), "timeout at most 4", Count, limits(4.0)),
            (
                json!({"errors": {"any": any, "timeout": timeout}}),
                "any at most 9, timeout at most 4",
                Count,
                Limits::default(),
            ),
            (json!({"pods": {"restarts": {"max": 1}}}), "restarts at most 1", Count, limits(1.0)),
            (json!({"pods": {"ready_within": "30s"}}), "ready again within 30s", Seconds, limits(30.0)),
            (json!({"pods": both}), "restarts at most 1, ready again within 30s", Count, Limits::default()),
        ] {
            let question = Question::of(&serde_json::from_value(expect).unwrap());
            assert_eq!((question.limit_text.as_str(), question.unit, question.limits), (words, unit, limits));
            assert!(question.title.ends_with(&format!(": {words}")), "{}", question.title);
        }
    }
}
