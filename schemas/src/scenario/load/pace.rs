//! The pace of a load: a constant rate, a ramp or steps; the arrival process; the think time; and changes by a phase.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{Duration, Rate};

/// How fast the requests of an open loop start within a phase. A ramp or steps start again with each phase, at the
/// moment at which the phase's faults are in place. Before that moment the first rate applies, and after the end the
/// last rate.
#[derive(Debug, Clone, PartialEq)]
pub enum Pace {
    /// A constant rate: `20/s`.
    Constant(Rate),
    /// A linear change from one rate to another: `{from: 10/s, to: 200/s}`.
    Ramp(Ramp),
    /// One rate after another: `{steps: [10/s, 50/s, 200/s]}`.
    Steps(Steps),
}

/// A rate that changes linearly.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// The rate at the start. `0/s` is allowed.
    pub from: Rate,
    /// The rate at the end. `0/s` is allowed.
    pub to: Rate,
    /// The duration of the ramp. After it the last rate applies. Default: the phase's duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Duration>,
}

/// Rates, one after another.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// The rates, at least two. `0/s` is a pause.
    #[schemars(length(min = 2), extend("examples" = [["10/s", "50/s", "200/s"]]))]
    pub steps: Vec<Rate>,
    /// The duration of each step. The last step lasts until the phase ends. Default: equal parts of the phase's
    /// duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Duration>,
}

/// A part of a pace in which the rate is constant or changes linearly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    /// Its duration.
    pub lasts: std::time::Duration,
    /// The rate at its start, per second.
    pub from: f64,
    /// The rate at its end, per second.
    pub to: f64,
}

impl Pace {
    /// The legs within a phase of this duration, and the rate after the last of them, per second.
    pub fn legs(&self, duration: Duration) -> (Vec<Leg>, f64) {
        match self {
            Self::Constant(rate) => (Vec::new(), rate.get()),
            Self::Ramp(ramp) => {
                let lasts = ramp.over.unwrap_or(duration).get();
                (vec![Leg { lasts, from: ramp.from.get(), to: ramp.to.get() }], ramp.to.get())
            }
            Self::Steps(Steps { steps, each }) => {
                let parts = u32::try_from(steps.len().max(1)).unwrap_or(u32::MAX);
                let lasts = each.map_or_else(|| duration.get() / parts, Duration::get);
                let (last, before) = steps.split_last().map_or((0.0, &[][..]), |(last, before)| (last.get(), before));
                (before.iter().map(|rate| Leg { lasts, from: rate.get(), to: rate.get() }).collect(), last)
            }
        }
    }

    /// The highest rate, per second.
    pub fn highest(&self) -> f64 {
        let (legs, last) = self.legs(Duration::ZERO);
        legs.iter().flat_map(|leg| [leg.from, leg.to]).fold(last, f64::max)
    }

    /// The number of requests that start within the first `seconds` of a phase of this duration: the mean, if arrivals
    /// are random. After the duration the last rate applies.
    pub fn requests(&self, duration: Duration, seconds: f64) -> f64 {
        let (legs, last) = self.legs(duration);
        let mut left = seconds;
        let mut sum = 0.0;
        for leg in legs {
            let (lasts, whole) = (leg.lasts.as_secs_f64().min(left), leg.lasts.as_secs_f64());
            let to = if whole > 0.0 { leg.from + (leg.to - leg.from) * lasts / whole } else { leg.from };
            sum += (leg.from + to) / 2.0 * lasts;
            left -= lasts;
        }
        sum + left * last
    }

    /// True if the rate changes within a phase.
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::Constant(_))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(out, "{rate}"),
            Self::Ramp(Ramp { from, to, over: None }) => write!(out, "{from} to {to}"),
            Self::Ramp(Ramp { from, to, over: Some(over) }) => write!(out, "{from} to {to} over {over}"),
            Self::Steps(Steps { steps, each }) => {
                for (index, rate) in steps.iter().enumerate() {
                    write!(out, "{}{rate}", if index == 0 { "" } else { ", " })?;
                }
                each.map_or(Ok(()), |each| write!(out, ", {each} each"))
            }
        }
    }
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(rate) => rate.serialize(serializer),
            Self::Ramp(ramp) => ramp.serialize(serializer),
            Self::Steps(steps) => steps.serialize(serializer),
        }
    }
}

/// The keys of both shapes, so that the error about an unknown key can list all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    from: Option<Rate>,
    to: Option<Rate>,
    over: Option<Duration>,
    steps: Option<Vec<Rate>>,
    each: Option<Duration>,
}

impl Shape {
    fn pace(self) -> Result<Pace, &'static str> {
        const FORMS: &str = "write `{from: 10/s, to: 200/s}` or `{steps: [10/s, 50/s, 200/s]}`";
        match self {
            Self { from: Some(from), to: Some(to), over, steps: None, each: None } => {
                Ok(Pace::Ramp(Ramp { from, to, over }))
            }
            Self { from: None, to: None, over: None, steps: Some(steps), each } => {
                Ok(Pace::Steps(Steps { steps, each }))
            }
            _ => Err(FORMS),
        }
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> de::Visitor<'de> for Form {
            type Value = Pace;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a rate such as `20/s`, or a map such as `{from: 10/s, to: 200/s}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pace, E> {
                Rate::deserialize(text.into_deserializer()).map(Pace::Constant)
            }

            // A bare number gets the error about the missing unit.
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Pace, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Pace, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Pace, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Pace, A::Error> {
                let shape = Shape::deserialize(MapAccessDeserializer::new(map))?;
                shape.pace().map_err(|help| {
                    de::Error::custom(format_args!("a rate that changes is either a ramp or steps\n{help}"))
                })
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Pace {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pace".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How fast requests start within a phase: a rate, a ramp from one rate to another, or steps of rates. Ramps and steps start again with each phase, when its faults are in place.",
            "anyOf": [
                generator.subschema_for::<Rate>(),
                generator.subschema_for::<Ramp>(),
                generator.subschema_for::<Steps>(),
            ],
            "examples": ["20/s", {"from": "10/s", "to": "200/s"}, {"steps": ["10/s", "50/s", "200/s"], "each": "20s"}],
        })
    }
}

/// The number of workers of a closed loop within a phase. A ramp starts again with each phase, at the moment at which the
/// phase's faults are in place. Before that moment the first number applies, and after the end the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// A constant number: `8`.
    Constant(u32),
    /// A linear change from one number to another: `{from: 10, to: 200}`.
    Ramp(WorkerRamp),
}

/// A number of workers that changes linearly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerRamp {
    /// The number at the start. `0` is allowed.
    #[schemars(range(max = 100_000), extend("examples" = [0]))]
    pub from: u32,
    /// The number at the end. `0` is allowed. A worker that is no longer needed ends after its current answer.
    #[schemars(range(max = 100_000), extend("examples" = [200]))]
    pub to: u32,
    /// The duration of the ramp. After it the last number applies. Default: the phase's duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Duration>,
}

/// The keys of a ramp, so that one error lists all that are missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerShape {
    from: Option<u32>,
    to: Option<u32>,
    over: Option<Duration>,
}

impl Workers {
    /// The largest number.
    pub const fn most(self) -> u32 {
        match self {
            Self::Constant(workers) => workers,
            Self::Ramp(WorkerRamp { from, to, .. }) => {
                if from > to {
                    from
                } else {
                    to
                }
            }
        }
    }

    /// True if the number changes within a phase.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Ramp(_))
    }
}

impl From<u32> for Workers {
    fn from(workers: u32) -> Self {
        Self::Constant(workers)
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(workers) => write!(out, "{workers} at a time"),
            Self::Ramp(WorkerRamp { from, to, over: None }) => write!(out, "{from} to {to} at a time"),
            Self::Ramp(WorkerRamp { from, to, over: Some(over) }) => {
                write!(out, "{from} to {to} at a time over {over}")
            }
        }
    }
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(workers) => workers.serialize(serializer),
            Self::Ramp(ramp) => ramp.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> de::Visitor<'de> for Form {
            type Value = Workers;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a whole number such as `8`, or a map such as `{from: 10, to: 200, over: 1m}`")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Workers, E> {
                u32::try_from(value)
                    .map(Workers::Constant)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            // The value of a template.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Workers, E> {
                let number = text.trim().parse();
                number.map(Workers::Constant).map_err(|_| E::invalid_type(de::Unexpected::Str(text), &self))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Workers, A::Error> {
                let shape = WorkerShape::deserialize(MapAccessDeserializer::new(map))?;
                match (shape.from, shape.to) {
                    (Some(from), Some(to)) => Ok(Workers::Ramp(WorkerRamp { from, to, over: shape.over })),
                    _ => Err(de::Error::custom(
                        "a ramp has a first and a last number of workers\nwrite `{from: 10, to: 200}`",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Workers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Workers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The number of workers of a closed loop: a number, or a ramp from one number to another. A ramp starts again with each phase, when its faults are in place.",
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 100_000},
                generator.subschema_for::<WorkerRamp>(),
            ],
            "examples": [8, {"from": 10, "to": 200, "over": "1m"}],
        })
    }
}

/// How the requests of an open loop are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// At random moments, drawn from the run's seed. Each second, or at higher rates each fraction of a second, has its
    /// exact number of requests. The rate is exact, and requests do not synchronise with anything else that is
    /// periodic.
    #[default]
    Jittered,
    /// At even intervals: at 20/s one request every 50 ms.
    Steady,
    /// At the moments of a Poisson process, drawn from the run's seed, as from many independent clients.
    Poisson,
}

impl Arrival {
    /// The most requests of a block, which has its exact number of jittered requests.
    pub const MOST_OF_A_BLOCK: u64 = 20;

    /// By how many requests a phase may differ from a pace of this rate, because blocks of jittered requests lie across its ends.
    /// Steady requests do not differ, and Poisson arrivals have no such bound.
    pub fn spread(self, per_second: f64) -> f64 {
        match self {
            Self::Jittered => per_second.round().clamp(1.0, Self::MOST_OF_A_BLOCK as f64),
            Self::Steady | Self::Poisson => 0.0,
        }
    }
}

/// The pause of a closed-loop worker between an answer and its next request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ThinkTime {
    /// A constant time.
    Constant(Duration),
    /// Exponentially distributed with this mean, drawn from the run's seed.
    Exponential(Duration),
}

impl ThinkTime {
    /// The mean.
    pub const fn mean(self) -> Duration {
        match self {
            Self::Constant(time) | Self::Exponential(time) => time,
        }
    }
}

impl fmt::Display for ThinkTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(time) => write!(out, "{time}"),
            Self::Exponential(mean) => write!(out, "{mean} on average"),
        }
    }
}

/// A think time that is exponentially distributed.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExponentialTime {
    /// The mean of an exponential distribution.
    exponential: Duration,
}

impl Serialize for ThinkTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Constant(time) => time.serialize(serializer),
            Self::Exponential(exponential) => ExponentialTime { exponential }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ThinkTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> de::Visitor<'de> for Form {
            type Value = ThinkTime;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a time such as `500ms`, or `{exponential: 500ms}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ThinkTime, E> {
                Duration::deserialize(text.into_deserializer()).map(ThinkTime::Constant)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<ThinkTime, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<ThinkTime, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ThinkTime, A::Error> {
                let ExponentialTime { exponential } = ExponentialTime::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ThinkTime::Exponential(exponential))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for ThinkTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ThinkTime".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The pause of a worker between an answer and its next request: a constant time, or an exponential distribution with this mean.",
            "anyOf": [generator.subschema_for::<Duration>(), generator.subschema_for::<ExponentialTime>()],
            "examples": ["500ms", {"exponential": "500ms"}],
        })
    }
}

/// Changes of a phase to a load: `rate` of an open loop, `concurrency` of a closed loop. Other settings stay as they
/// are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadChange {
    /// The rate at which requests start in this phase. `0/s` sends nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Pace>,
    /// The number of workers in this phase, or a ramp of it. `0` sends nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [50]))]
    pub concurrency: Option<Workers>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pace(value: serde_json::Value) -> Pace {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn reads_and_writes_each_form() {
        for (form, words) in [
            (json!("20/s"), "20/s"),
            (json!({"from": "0/s", "to": "200/s"}), "0/s to 200/s"),
            (json!({"from": "10/s", "to": "1/m", "over": "30s"}), "10/s to 1/m over 30s"),
            (json!({"steps": ["10/s", "50/s"]}), "10/s, 50/s"),
            (json!({"steps": ["10/s", "50/s"], "each": "5s"}), "10/s, 50/s, 5s each"),
        ] {
            let pace = pace(form.clone());
            assert_eq!((serde_json::to_value(&pace).unwrap(), pace.to_string().as_str()), (form, words));
        }
        for (form, words, most) in [
            (json!(8), "8 at a time", 8),
            (json!({"from": 0, "to": 200}), "0 to 200 at a time", 200),
            (json!({"from": 50, "to": 5, "over": "30s"}), "50 to 5 at a time over 30s", 50),
        ] {
            let workers: Workers = serde_json::from_value(form.clone()).unwrap();
            assert_eq!((workers.to_string().as_str(), workers.most()), (words, most));
            assert_eq!(serde_json::to_value(workers).unwrap(), form);
        }
        for form in [json!("500ms"), json!({"exponential": "500ms"})] {
            let time: ThinkTime = serde_json::from_value(form.clone()).unwrap();
            assert_eq!(serde_json::to_value(time).unwrap(), form);
        }
    }

    #[test]
    fn counts_the_requests_of_a_phase() {
        let minute = Duration::from_secs(60);
        for (form, requests, highest) in [
            (json!("20/s"), 1200.0, 20.0),
            (json!({"from": "0/s", "to": "200/s"}), 6000.0, 200.0),
            (json!({"from": "200/s", "to": "100/s", "over": "20s"}), 7000.0, 200.0),
            (json!({"from": "0/s", "to": "100/s", "over": "120s"}), 1500.0, 100.0),
            (json!({"steps": ["10/s", "50/s", "0/s"]}), 1200.0, 50.0),
            (json!({"steps": ["10/s", "50/s"], "each": "10s"}), 2600.0, 50.0),
        ] {
            let pace = pace(form);
            assert!((pace.requests(minute, 60.0) - requests).abs() < 1e-6, "{pace}: {}", pace.requests(minute, 60.0));
            assert_eq!(pace.requests(minute, 0.0), 0.0);
            assert_eq!(pace.highest(), highest, "{pace}");
        }
    }
}
