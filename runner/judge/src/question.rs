//! The question that an expectation asks, in words and numbers, without its answer.

use shakedown_schemas::result::{Measure, Unit};
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
    /// What it measures; none if it has several limits.
    pub(super) measure: Option<Measure>,
    /// The unit of its answer.
    pub(super) unit: Unit,
    /// The limits of its answer; none if there are several, which only the words contain.
    pub(super) limits: Limits,
    /// The limits in words.
    pub(super) limit_text: String,
}

impl Question {
    /// About one value: its title is the measured value, the limit and the condition of the limit.
    fn new(measure: Measure, unit: Unit, limits: Limits, limit_text: String) -> Self {
        let title = format!("{} {limit_text}{}", measure.subject, measure.condition);
        Self { title, measure: Some(measure), unit, limits, limit_text }
    }

    /// The question of an expectation.
    pub(super) fn of(expectation: &Expectation) -> Self {
        let count = |it: CountLimits| counts::limits(it);
        match expectation {
            Expectation::SuccessRate(it) => {
                let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
                let words = limits.text(|value| Percent::from_fraction(value).to_string());
                Self::new(Measure::new("success rate"), Unit::Fraction, limits, words)
            }
            Expectation::Latency(it) | Expectation::TimeToFirstToken(it) | Expectation::InterTokenLatency(it) => {
                let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
                let words = limits.text(text::seconds);
                let subject = format!("{}{}{}", what(expectation), it.percentile, of(it.of));
                let measure = Measure { percentile: Some(it.percentile), ..Measure::new(subject) };
                Self::new(measure, Unit::Seconds, limits, words)
            }
            Expectation::LatencyRatio(it)
            | Expectation::TimeToFirstTokenRatio(it)
            | Expectation::InterTokenLatencyRatio(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                let floor = it.or_below.map_or_else(String::new, |floor| format!(", or at most {floor}"));
                let subject = format!("{}{}{}", what(expectation), it.percentile, of(it.of));
                let measure = Measure {
                    percentile: Some(it.percentile),
                    or_below_s: it.or_below.map(|floor| floor.as_secs_f64()),
                    condition: format!(" times {}{floor}", it.to),
                    to: Some(it.to.clone()),
                    ..Measure::new(subject)
                };
                Self::new(measure, Unit::Times, limits, words)
            }
            Expectation::OutputTokensPerSecond(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                Self::new(Measure::new("output tokens per second"), Unit::Count, limits, words)
            }
            Expectation::OutputTokensPerSecondRatio(it) | Expectation::ThroughputRatio(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                Self::new(times(what(expectation).trim_end(), &it.to), Unit::Times, limits, words)
            }
            Expectation::Goodput(it) => {
                let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
                let words = limits.text(|value| Percent::from_fraction(value).to_string());
                let bounds: Vec<String> =
                    it.of.all().iter().map(|(name, most)| format!("{} {most}", name.replace('_', " "))).collect();
                let condition = format!(" within {}", bounds.join(", "));
                Self::new(Measure { condition, ..Measure::new("goodput") }, Unit::Fraction, limits, words)
            }
            Expectation::Errors(it) => {
                let kinds: Vec<String> =
                    it.kinds().into_iter().map(|(kind, it)| format!("{kind} {}", count(it).text(short))).collect();
                let words = kinds.join(", ");
                let limits = match it.kinds().as_slice() {
                    [(_, one)] => count(*one),
                    _ => Limits::default(),
                };
                let title = format!("errors: {words}");
                Self { title, measure: None, unit: Unit::Count, limits, limit_text: words }
            }
            Expectation::Stuck(it) => {
                let limits = count(CountLimits { min: it.min, max: it.max });
                let words = limits.text(short);
                let times = if it.times > 1.0 {
                    format!(" after {} times their timeout", short(it.times))
                } else {
                    String::new()
                };
                Self::new(Measure::new(format!("stuck requests{times}")), Unit::Count, limits, words)
            }
            Expectation::RecoveryTime(it) => {
                let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
                let words = limits.text(text::seconds);
                let title = format!("recovery time {words}, holding {}", it.hold);
                let measure = Some(Measure::new("recovery time"));
                Self { title, measure, unit: Unit::Seconds, limits, limit_text: words }
            }
            Expectation::Requests(it) => {
                let limits = count(CountLimits { min: it.min, max: it.max });
                let words = limits.text(short);
                let title = format!("{words} requests");
                let measure = Some(Measure::new("requests"));
                Self { title, measure, unit: Unit::Count, limits, limit_text: words }
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
                let limit_text = words.join(", ");
                Self { title: format!("pods: {limit_text}"), measure: None, unit, limits, limit_text }
            }
            Expectation::Prometheus(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                let subject = format!("prometheus: {} of `{}`", it.over.word(), it.query.trim());
                match &it.to {
                    None => Self::new(Measure::new(subject), Unit::Count, limits, words),
                    Some(to) => Self::new(times(&subject, to), Unit::Times, limits, words),
                }
            }
            Expectation::Logs(it) => {
                let limits = count(CountLimits { min: it.min, max: it.max });
                let words = limits.text(short);
                let subject = format!("log lines that match `{}`", it.matches);
                Self::new(Measure::new(subject), Unit::Count, limits, words)
            }
        }
    }
}

/// A value whose limits are relative to the value of another phase.
fn times(subject: &str, to: &str) -> Measure {
    Measure { to: Some(to.to_owned()), condition: format!(" times {to}"), ..Measure::new(subject) }
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

    /// The expectation, its title, its unit and its limits.
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
