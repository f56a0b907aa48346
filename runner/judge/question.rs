//! The question that an expectation asks, in words and numbers, before anybody answers it.

use shakedown_schemas::result::Unit;
use shakedown_schemas::scenario::{CountLimits, Expectation};
use shakedown_schemas::units::{Percent, short};

use super::limits::Limits;
use super::{counts, text};

/// A question.
pub(super) struct Question {
    /// In words.
    pub(super) title: String,
    /// The unit of its answer.
    pub(super) unit: Unit,
    /// The limits of its answer; none where several kinds have several, which only words can hold.
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
                Self::new(format!("{}{} {words}", what(expectation), it.percentile), Unit::Seconds, limits, words)
            }
            Expectation::LatencyRatio(it)
            | Expectation::TimeToFirstTokenRatio(it)
            | Expectation::InterTokenLatencyRatio(it) => {
                let limits = Limits { min: it.min, max: it.max };
                let words = limits.text(short);
                let floor = it.or_below.map_or_else(String::new, |floor| format!(", or at most {floor}"));
                let title = format!("{}{} {words} times {}{floor}", what(expectation), it.percentile, it.to);
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

/// What a value is of, for the beginning of a title; nothing for the latency.
fn what(expectation: &Expectation) -> &'static str {
    match expectation {
        Expectation::TimeToFirstToken(_) | Expectation::TimeToFirstTokenRatio(_) => "time to first token ",
        Expectation::InterTokenLatency(_) | Expectation::InterTokenLatencyRatio(_) => "inter-token latency ",
        Expectation::OutputTokensPerSecondRatio(_) => "output tokens per second ",
        Expectation::ThroughputRatio(_) => "throughput ",
        _ => "",
    }
}
