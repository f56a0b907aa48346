//! Synthetic observations: a timeline of phases, requests on an exact schedule, and a rule that says how each ends.
//! For tests and simulations; no run uses it.

pub mod shapes;

use shakedown_observe::{CELL_NS, Cell, Failure, LoadObservations, Mark, Observations, PhasePart, PhaseSpan, Segment};

/// One request of a synthetic load.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// When it is due, in seconds since the load's start.
    pub at: f64,
    /// Its phase.
    pub phase: &'a str,
    /// When it is due, in seconds since its phase began.
    pub into: f64,
    /// Its number, from 0.
    pub index: u64,
}

/// How a synthetic request ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Why it failed; none when it succeeded.
    pub failure: Option<Failure>,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// From the due moment to the first token, in milliseconds.
    pub first_token_ms: Option<f64>,
    /// Between tokens, in milliseconds, and how many tokens there are; none without a stream.
    pub stream: Option<(f64, u64)>,
}

impl Request<'_> {
    /// It succeeds after this many milliseconds.
    pub const fn ok_in(&self, ms: f64) -> Outcome {
        Outcome { failure: None, ms, first_token_ms: None, stream: None }
    }

    /// It fails immediately: connection refused.
    pub const fn refused(&self) -> Outcome {
        Outcome { failure: Some(Failure::Refused), ms: 0.1, first_token_ms: None, stream: None }
    }

    /// It times out after 30 s.
    pub const fn timeout(&self) -> Outcome {
        Outcome { failure: Some(Failure::Timeout), ms: 30_000.0, first_token_ms: None, stream: None }
    }
}

/// Builds the observations of one load, named `load`, phase by phase.
pub struct Timeline<'a> {
    interval: f64,
    spans: Vec<PhaseSpan>,
    strikes: bool,
    answer: Box<dyn FnMut(Request<'_>) -> Outcome + 'a>,
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

impl<'a> Timeline<'a> {
    /// Requests at this rate per second, on an exact schedule.
    pub fn new(rate: f64) -> Self {
        Self { interval: 1.0 / rate, spans: Vec::new(), strikes: false, answer: Box::new(|it| it.ok_in(10.0)) }
    }

    /// Adds a phase without faults.
    #[must_use]
    pub fn phase(mut self, name: &str, seconds: f64) -> Self {
        let start_ns = self.spans.last().map_or(0, |span| span.end_ns);
        let end_ns = start_ns + nanoseconds(seconds);
        self.spans.push(PhaseSpan {
            name: name.to_owned(),
            start_ns,
            strike_ns: None,
            active_ns: start_ns,
            judged_from_ns: start_ns,
            judged_to_ns: end_ns,
            end_ns,
            planned_ns: end_ns - start_ns,
            has_faults: false,
            removed_ns: None,
            struck_ns: None,
            complete: true,
        });
        self
    }

    /// Adds a phase with faults that are proven immediately and whose removal is confirmed at its end.
    #[must_use]
    pub fn fault_phase(self, name: &str, seconds: f64) -> Self {
        self.phase(name, seconds).edit(|span| {
            span.has_faults = true;
            span.removed_ns = Some(span.end_ns);
        })
    }

    /// The faults of the last phase happen once, at its beginning.
    #[must_use]
    pub fn once(self) -> Self {
        self.edit(|span| span.struck_ns = Some(span.active_ns))
    }

    /// Excludes the first seconds of the last phase from its expectations.
    #[must_use]
    pub fn settle(self, seconds: f64) -> Self {
        self.edit(|span| span.judged_from_ns = span.active_ns + nanoseconds(seconds))
    }

    /// The faults of the last phase are undone in its last seconds.
    #[must_use]
    pub fn undoing(self, seconds: f64) -> Self {
        self.edit(|span| span.judged_to_ns = span.end_ns - nanoseconds(seconds))
    }

    /// Changes the last phase.
    #[must_use]
    pub fn edit(mut self, change: impl FnOnce(&mut PhaseSpan)) -> Self {
        if let Some(span) = self.spans.last_mut() {
            change(span);
        }
        self
    }

    /// How each request ends.
    #[must_use]
    pub fn answer(mut self, answer: impl FnMut(Request<'_>) -> Outcome + 'a) -> Self {
        self.answer = Box::new(answer);
        self
    }

    /// Requests that have not ended when a phase with faults begins are in flight there: its faults strike then.
    #[must_use]
    pub fn strikes(self) -> Self {
        Self { strikes: true, ..self }
    }

    /// Sends every request and counts it into its cell.
    pub fn observe(mut self) -> Observations {
        let mut segments = Vec::new();
        for (phase, span) in self.spans.iter().enumerate() {
            let parts = [
                (PhasePart::Injecting, span.start_ns, span.active_ns),
                (PhasePart::Settling, span.active_ns, span.judged_from_ns),
                (PhasePart::Judged, span.judged_from_ns, span.judged_to_ns),
                (PhasePart::Undoing, span.judged_to_ns, span.end_ns),
            ];
            for (part, at_ns, end_ns) in parts {
                if end_ns > at_ns {
                    let cells = vec![Cell::default(); (end_ns - at_ns).div_ceil(CELL_NS) as usize];
                    segments.push(Segment { cells, ..Segment::new(Mark { at_ns, phase, part }, end_ns) });
                }
            }
        }
        let mut index = 0_u64;
        let mut met = Vec::new();
        for segment in &mut segments {
            let strike = self.spans.iter().enumerate().skip(segment.mark.phase + 1).find(|(_, span)| span.has_faults);
            let strike = strike.filter(|_| self.strikes).map(|(phase, span)| (phase, span.start_ns));
            let mark = Mark { phase: strike.map_or(0, |(phase, _)| phase), part: PhasePart::InFlight, ..segment.mark };
            let mut in_flight = Segment { mark, ..segment.clone() };
            let span = &self.spans[segment.mark.phase];
            loop {
                let due_ns = nanoseconds(index as f64 * self.interval);
                if due_ns >= segment.end_ns {
                    break;
                }
                let outcome = (self.answer)(Request {
                    at: due_ns as f64 / 1e9,
                    phase: &span.name,
                    into: (due_ns - span.start_ns) as f64 / 1e9,
                    index,
                });
                let ended_ns = due_ns + (outcome.ms * 1e6) as u64;
                let is_met = strike.is_some_and(|(_, at_ns)| ended_ns > at_ns);
                count(if is_met { &mut in_flight } else { &mut *segment }, due_ns, outcome);
                index += 1;
            }
            met.extend(in_flight.cells.iter().any(|cell| cell.requests() > 0).then_some(in_flight));
        }
        for segment in met {
            let at = segments.partition_point(|it| it.mark.at_ns <= segment.mark.at_ns);
            segments.insert(at, segment);
        }
        let load = LoadObservations {
            name: "load".to_owned(),
            is_open: true,
            issued: index,
            segments,
            ..LoadObservations::default()
        };
        Observations { phases: self.spans, loads: vec![load], ..Observations::default() }
    }
}

fn count(segment: &mut Segment, due_ns: u64, outcome: Outcome) {
    let cell = &mut segment.cells[((due_ns - segment.mark.at_ns) / CELL_NS) as usize];
    let microseconds = (outcome.ms * 1e3).round() as u64;
    match outcome.failure {
        None => {
            cell.succeeded += 1;
            cell.latency.record(microseconds);
            segment.first_success_ns = Some(segment.first_success_ns.unwrap_or(due_ns));
        }
        Some(failure) => {
            *cell.failed.entry(failure).or_default() += 1;
            cell.failed_after.entry(failure).or_default().record(microseconds);
            if failure.is_timed() {
                cell.latency.record(microseconds);
            }
        }
    }
    if let Some((gap_ms, tokens)) = outcome.stream {
        cell.token_gaps.record_n((gap_ms * 1e3).round() as u64, tokens.saturating_sub(1));
        cell.tokens += if outcome.failure.is_none() { tokens } else { 0 };
    }
    cell.stuck += u64::from(matches!(outcome.failure, Some(Failure::Timeout | Failure::Unfinished)));
    match (outcome.first_token_ms, outcome.failure) {
        (Some(ms), _) => cell.first_token.record((ms * 1e3).round() as u64),
        (None, Some(failure)) => cell.tokenless.entry(failure).or_default().record(microseconds),
        (None, None) => {}
    }
}

/// A scenario with one load, named `load`, at 20/s, and these phases.
#[cfg(test)]
#[track_caller]
pub(super) fn scenario(phases: &serde_json::Value) -> shakedown_schemas::Scenario {
    let load = serde_json::json!({"load": {"http": {"url": "http://127.0.0.1:1"}, "rate": "20/s"}});
    let scenario = serde_json::json!({"version": 1, "name": "test", "load": load, "phases": phases});
    serde_json::from_value(scenario).expect("a scenario")
}

/// That a number is as expected, give or take the tolerance.
#[cfg(test)]
#[track_caller]
pub(super) fn near(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected}");
}
