//! The stop conditions. Each one evaluates the recent requests or answers of a neighbour over its own window, and not
//! before the window is full. Of few requests, several must have failed or been slow, so that one does not end a run.

use std::collections::VecDeque;
use std::fmt::Display;
use std::time::Duration;

use shakedown_schemas::result::Unit;
use shakedown_schemas::samples::FLOOR;
use shakedown_schemas::scenario::{Scenario, StopCondition, StopHttp, StopLatency, StopSuccessRate};
use tokio::time::Instant;

use super::probe::{Probe, ProbeState};
use shakedown_load::Live;
use shakedown_observe::Outcomes;

/// A stop condition that held.
#[derive(Debug, Clone, PartialEq)]
pub struct Breach {
    /// The phase in which it held.
    pub phase: String,
    /// The load for which it held; empty for a neighbour.
    pub load: String,
    /// The condition's path in the file, such as `abort_if[0].latency`.
    pub path: String,
    /// The condition as text.
    pub title: String,
    /// The observed value, in `unit`.
    pub observed: Option<f64>,
    /// The observed value as text.
    pub observed_text: String,
    /// The unit.
    pub unit: Unit,
    /// The limit as text.
    pub limit_text: String,
    /// The number of requests behind the value.
    pub samples: u64,
    /// The reason, in one sentence.
    pub reason: String,
}

/// All stop conditions of a scenario.
pub(super) struct Watchdog {
    watched: Vec<Watched>,
}

/// One stop condition.
struct Watched {
    condition: StopCondition,
    path: String,
    /// Its phase; `None` for all phases.
    phase: Option<usize>,
    /// Since when it is checked. `None` while it is not.
    since: Option<Instant>,
    /// The recent numbers of each load.
    windows: Vec<Window>,
    probe: Option<Probe>,
}

/// Of fewer than [`FLOOR`] requests, this many must have failed or been slow.
const SEVERAL: u64 = 5;

/// The most pieces of a window.
const PIECES: u32 = 64;

/// The numbers of one load over a sliding window. It slides by whole pieces.
struct Window {
    load: String,
    length: Duration,
    seen: VecDeque<Piece>,
}

/// The numbers of a load between two or more updates.
struct Piece {
    begun: Instant,
    ended: Instant,
    requests: u64,
    succeeded: u64,
    latency: Outcomes,
}

impl Watchdog {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let loads: Vec<&String> = scenario.load.keys().collect();
        let watch = |condition: &StopCondition, path: String, phase| Watched {
            path: format!("{path}.{}", condition.kind()),
            phase,
            since: None,
            windows: match condition {
                StopCondition::Http(_) => Vec::new(),
                _ => loads
                    .iter()
                    .filter(|load| condition.load().is_none_or(|only| only == load.as_str()))
                    .map(|load| Window {
                        load: (*load).clone(),
                        length: condition.lasts().get(),
                        seen: VecDeque::new(),
                    })
                    .collect(),
            },
            probe: None,
            condition: condition.clone(),
        };
        let whole = scenario.abort_if.iter().enumerate().map(|(at, it)| watch(it, format!("abort_if[{at}]"), None));
        let phases = scenario.phases.iter().enumerate().flat_map(|(index, phase)| {
            let conditions = phase.abort_if.iter().enumerate();
            conditions.map(move |(at, it)| (it, format!("phases[{index}].abort_if[{at}]"), index))
        });
        let phases = phases.map(|(it, path, index)| watch(it, path, Some(index)));
        Self { watched: whole.chain(phases).collect() }
    }

    /// Starts the conditions that are watched all the time.
    pub(super) fn start(&mut self) {
        self.watched.iter_mut().filter(|watched| watched.phase.is_none()).for_each(Watched::start);
    }

    /// Starts the conditions of a phase, and ends those of other phases.
    pub(super) fn enter(&mut self, phase: usize) {
        for watched in self.watched.iter_mut().filter(|watched| watched.phase.is_some()) {
            watched.end();
            if watched.phase == Some(phase) {
                watched.start();
            }
        }
    }

    /// Adds the numbers since the previous update.
    pub(super) fn see(&mut self, loads: &[Live]) {
        let now = Instant::now();
        for watched in self.watched.iter_mut().filter(|watched| watched.since.is_some()) {
            for window in &mut watched.windows {
                if let Some(live) = loads.iter().find(|live| live.load == window.load) {
                    window.see(live, now);
                }
            }
        }
    }

    /// The first condition that holds.
    pub(super) fn breach(&self) -> Option<Breach> {
        let now = Instant::now();
        self.watched.iter().find_map(|watched| watched.breach(now))
    }
}

impl Watched {
    fn start(&mut self) {
        self.since = Some(Instant::now());
        if let StopCondition::Http(probe) = &self.condition {
            self.probe = Some(Probe::start(probe));
        }
    }

    fn end(&mut self) {
        self.since = None;
        self.probe = None;
        self.windows.iter_mut().for_each(|window| window.seen.clear());
    }

    fn breach(&self, now: Instant) -> Option<Breach> {
        let watched = now - self.since?;
        if watched < self.condition.lasts().get() {
            return None;
        }
        let mut breach = match &self.condition {
            StopCondition::SuccessRate(it) => self.windows.iter().find_map(|window| window.success_rate(it)),
            StopCondition::Latency(it) => self.windows.iter().find_map(|window| window.latency(it)),
            StopCondition::Http(it) => answers(it, &self.probe.as_ref()?.seen(), now),
        }?;
        breach.path.clone_from(&self.path);
        Some(breach)
    }
}

impl Window {
    fn see(&mut self, live: &Live, now: Instant) {
        let length = self.length / PIECES;
        match self.seen.back_mut().filter(|piece| now - piece.begun < length) {
            Some(piece) => {
                piece.ended = now;
                piece.requests += live.ended;
                piece.succeeded += live.succeeded;
                piece.latency.merge(&live.latency);
            }
            None => self.seen.push_back(Piece {
                begun: now,
                ended: now,
                requests: live.ended,
                succeeded: live.succeeded,
                latency: live.latency.clone(),
            }),
        }
        // With few requests the window is longer: all of them may fail, and one or two decide nothing.
        let mut ended = self.ended();
        while let Some(oldest) = self.seen.front().filter(|piece| piece.ended + self.length <= now) {
            ended -= oldest.requests;
            if ended < SEVERAL {
                break;
            }
            self.seen.pop_front();
        }
    }

    fn ended(&self) -> u64 {
        self.seen.iter().map(|piece| piece.requests).sum()
    }

    /// Whether so many failed or slow requests decide: several, or any of at least [`FLOOR`].
    fn decide(&self, bad: u64) -> bool {
        bad >= SEVERAL || self.ended() >= FLOOR
    }

    /// The time that a value is about, or the requests if these are few.
    fn over(&self, lasts: impl Display) -> String {
        match self.ended() {
            few if few < FLOOR => format!("the last {few} requests"),
            _ => lasts.to_string(),
        }
    }

    /// Without an ended request there is no rate. A request that hangs counts at its timeout.
    fn success_rate(&self, limit: &StopSuccessRate) -> Option<Breach> {
        let (ended, succeeded) = (self.ended(), self.seen.iter().map(|piece| piece.succeeded).sum::<u64>());
        let rate = (ended > 0).then(|| succeeded as f64 / ended as f64)?;
        (rate < limit.below.fraction() && self.decide(ended - succeeded)).then(|| {
            // Truncated, not rounded: 49.96 % is below 50 %.
            let observed_text = format!("{:.1}%", (rate * 1e3).floor() / 10.0);
            Breach {
                title: format!("stop when the success rate is below {} over {}", limit.below, limit.lasts),
                observed: Some(rate),
                unit: Unit::Fraction,
                limit_text: format!("at least {}", limit.below),
                samples: ended,
                reason: format!(
                    "the success rate of load `{}` was {observed_text} over {}, below {}",
                    self.load,
                    self.over(limit.lasts),
                    limit.below
                ),
                observed_text,
                ..self.empty()
            }
        })
    }

    fn latency(&self, limit: &StopLatency) -> Option<Breach> {
        let mut outcomes = Outcomes::default();
        self.seen.iter().for_each(|piece| outcomes.merge(&piece.latency));
        let latency = outcomes.counted(limit.percentile.fraction());
        let seconds = latency.quantile(limit.percentile.fraction())? / 1e6;
        let slow = latency.at_least(limit.above.as_secs_f64() * 1e6).len();
        (seconds > limit.above.as_secs_f64() && self.decide(slow)).then(|| {
            let observed_text = format!("{:.0} ms", seconds * 1e3);
            Breach {
                title: format!("stop when {} is above {} over {}", limit.percentile, limit.above, limit.lasts),
                observed: Some(seconds),
                unit: Unit::Seconds,
                limit_text: format!("at most {}", limit.above),
                samples: latency.len(),
                reason: format!(
                    "{} of load `{}` was {observed_text} over {}, above {}",
                    limit.percentile,
                    self.load,
                    self.over(limit.lasts),
                    limit.above
                ),
                observed_text,
                ..self.empty()
            }
        })
    }

    fn empty(&self) -> Breach {
        Breach {
            phase: String::new(),
            load: self.load.clone(),
            path: String::new(),
            title: String::new(),
            observed: None,
            observed_text: String::new(),
            unit: Unit::Count,
            limit_text: String::new(),
            samples: 0,
            reason: String::new(),
        }
    }
}

/// The breach of a neighbour without a successful answer for the whole time.
fn answers(limit: &StopHttp, seen: &ProbeState, now: Instant) -> Option<Breach> {
    let long = now - seen.bad_since;
    (seen.bad > 0 && long >= limit.lasts.get()).then(|| Breach {
        phase: String::new(),
        load: String::new(),
        path: String::new(),
        title: format!("stop when {} does not answer for {}", limit.url, limit.lasts),
        observed: Some(long.as_secs_f64()),
        observed_text: format!("no successful answer for {:.1} s", long.as_secs_f64()),
        unit: Unit::Seconds,
        limit_text: format!("at most {}", limit.lasts),
        samples: seen.bad,
        reason: format!("{} gave no successful answer for {:.1} s ({})", limit.url, long.as_secs_f64(), seen.problem),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The condition on this window after one request a second, each of which succeeded or not.
    fn breach(condition: &str, length: u64, outcomes: &[bool]) -> Option<Breach> {
        let mut window = Window { load: "l".to_owned(), length: Duration::from_secs(length), seen: VecDeque::new() };
        let begun = Instant::now();
        for (second, succeeded) in outcomes.iter().enumerate() {
            let mut live = Live { load: "l".to_owned(), ended: 1, succeeded: u64::from(*succeeded), ..Live::default() };
            let of = if *succeeded { &mut live.latency.ended } else { &mut live.latency.failed };
            of.record_n(if *succeeded { 20_000 } else { 3_000_000 }, 1);
            window.see(&live, begun + Duration::from_secs(second as u64));
        }
        match serde_json::from_str(condition).unwrap() {
            StopCondition::SuccessRate(it) => window.success_rate(&it),
            StopCondition::Latency(it) => window.latency(&it),
            StopCondition::Http(_) => None,
        }
    }

    /// One failed request of a load of 20 a minute ended the run: "success rate 50% of 2".
    #[tokio::test]
    async fn one_of_few_requests_decides_nothing() {
        let rate = r#"{"success_rate": {"below": "80%", "for": "5s"}}"#;
        let latency = r#"{"latency": {"percentile": "p50", "above": "1s", "for": "5s"}}"#;
        for condition in [rate, latency] {
            assert_eq!(breach(condition, 5, &[true, false]), None);
            assert_eq!(breach(condition, 5, &[false, false, false, false]), None);
            assert_eq!(breach(condition, 2, &[true, true, true, false, false, false]), None, "of the last five, three");
            // A load that ends fewer than five in the time of the condition is judged by its last five.
            let stopped = breach(condition, 2, &[true, false, false, false, false, false]).expect("a breach");
            assert_eq!(
                (stopped.samples, stopped.reason.contains(" over the last 5 requests, ")),
                (5, true),
                "{stopped:?}"
            );
        }
        let many: Vec<bool> = (0..20).map(|at| at > 0).collect();
        let strict = r#"{"success_rate": {"below": "99%", "for": "60s"}}"#;
        assert_eq!(breach(strict, 60, &many[..19]), None);
        let stopped = breach(strict, 60, &many).expect("a breach");
        assert_eq!(stopped.reason, "the success rate of load `l` was 95.0% over 1m, below 99%");
    }
}
