//! The texts during a run: the sentence of each event, the updating lines on a terminal, and the heartbeat elsewhere.
//! Pure: events and numbers in, text out.
//!
//! This module contains only the wording. `console` decides where and when to print. `summary` covers the end of a run.

use std::collections::VecDeque;
use std::time::Duration;

use shakedown_reports::tamed_event;
use shakedown_reports::text::{one_line, tame};
use shakedown_schemas::event::FaultState;
use shakedown_schemas::texts::NAME;
use shakedown_schemas::{Event, EventKind};

use super::signals::TIME_UP;
use super::style::Style;
use shakedown_engine::events::{Expected, Measure, Progress};
use shakedown_load as load;
use shakedown_schemas::words;

/// The maximum number of faults that are named.
const FAULTS: usize = 4;
/// The maximum number of expectations that are listed.
const EXPECTATIONS: usize = 6;

/// The displayed numbers of a scenario.
pub struct Live {
    style: Style,
    rows: Vec<Row>,
    /// The time of the last step, from the scenario's start.
    shown: Duration,
    /// The phase of the last step, and whether its requests were judged.
    phase: (String, bool),
}

/// A name on one line, without control sequences.
fn name(text: &str) -> String {
    one_line(&tame(text, NAME))
}

/// The sentence of an event for the user. None if the verbosity is too low for it.
pub fn sentence(style: Style, event: &Event, verbose: u8) -> Option<String> {
    let event = tamed_event(event);
    let scenario = one_line(event.scenario.as_deref().unwrap_or_default());
    let text = match &event.kind {
        EventKind::RunStarted { run, seed } => format!("run {run}, seed {seed}"),
        EventKind::ScenarioStarted { file } => format!("{} ({file})", style.bold(&scenario)),
        EventKind::Reached { load, how } => format!("load {load}: {how}"),
        EventKind::TargetsChosen { fault, pods } => format!("fault {fault}: targets {}", pods.join(", ")),
        EventKind::PhaseStarted { phase, planned_s } => {
            format!("phase {} for {}", style.bold(phase), words::seconds(*planned_s))
        }
        EventKind::Fault { fault, state, detail } => {
            let quiet = matches!(state, FaultState::Injecting | FaultState::Injected | FaultState::Undoing);
            if quiet && verbose == 0 {
                return None;
            }
            let word = match state {
                FaultState::Failed | FaultState::Left | FaultState::Unclear => style.red(state.word()),
                _ => style.bold(state.word()),
            };
            // A proof has one line. Its evidence is in the report.
            let is_brief = verbose == 0 && matches!(state, FaultState::Proven | FaultState::Undone);
            if detail.is_empty() || is_brief {
                format!("fault {fault}: {word}")
            } else {
                format!("fault {fault}: {word} ({detail})")
            }
        }
        EventKind::Cluster { message } => message.clone(),
        EventKind::ApiRetry { request, error, attempt } => {
            format!("could not {request} (try {attempt}), trying again: {error}")
        }
        EventKind::Warning { message } => format!("{}: {message}", style.yellow("warning")),
        EventKind::Error { message } => format!("{}: {message}", style.red("error")),
        // It is printed once when the signal arrives, not for each scenario.
        EventKind::Interrupted { .. } if event.scenario.is_some() => return None,
        EventKind::Interrupted { signal } if signal == TIME_UP => {
            "the time limit of --max-time has expired: undoing all faults and ending the run".to_owned()
        }
        EventKind::Interrupted { signal } => {
            format!(
                "{signal}: undoing all faults; a second signal exits immediately and leaves the rest to the \
                fuse"
            )
        }
        EventKind::ScenarioEnded { verdict, .. } => format!("{scenario}: {}", style.verdict(*verdict)),
        EventKind::RunEnded { .. } => return None,
        EventKind::LoadStarted | EventKind::PhaseEnded { .. } if verbose == 0 => return None,
        EventKind::LoadStarted => "load started".to_owned(),
        EventKind::PhaseEnded { phase } => format!("phase {phase} over"),
    };
    Some(text)
}

impl Live {
    /// Nothing yet.
    pub const fn new(style: Style) -> Self {
        Self { style, rows: Vec::new(), shown: Duration::ZERO, phase: (String::new(), false) }
    }

    /// Takes new numbers.
    pub fn step(&mut self, progress: &Progress) {
        let since = progress.elapsed.saturating_sub(self.shown).as_secs_f64();
        self.shown = progress.elapsed;
        let phase = (progress.phase.clone(), progress.is_judged);
        if phase != self.phase {
            self.rows.iter_mut().for_each(|row| row.judged = load::Live::default());
            self.phase = phase;
        }
        for live in &progress.loads {
            let row = match self.rows.iter_mut().find(|row| row.live.load == live.load) {
                Some(row) => row,
                None => {
                    self.rows.push(Row::default());
                    let last = self.rows.len() - 1;
                    &mut self.rows[last]
                }
            };
            row.add(live, since);
            if progress.is_judged {
                row.judged.add(live);
            }
        }
    }

    /// The phase, the moment on the report's timeline, and the remaining time of the phase and of the run.
    fn head(&self, progress: &Progress) -> String {
        let whole = |time: Duration| words::seconds(time.as_secs_f64().ceil());
        format!(
            "{} {}/{}  at {}  {} left in the phase, {} in total",
            self.style.bold(&name(&progress.phase)),
            progress.phase_number,
            progress.phases,
            words::moment(progress.elapsed.as_secs_f64()),
            whole(progress.left),
            whole(progress.run_left.max(progress.left)),
        )
    }

    fn faults(&self, progress: &Progress) -> Vec<String> {
        let named = progress.faults.iter().take(FAULTS);
        let mut faults: Vec<String> = named.map(|fault| self.style.red(&name(fault))).collect();
        if progress.faults.len() > FAULTS {
            faults.push(format!("{} more", progress.faults.len() - FAULTS));
        }
        faults
    }

    /// The current state of an expectation: whether it holds, and its value. With several loads, the value is that of a load
    /// that does not meet it, with its name.
    fn state(&self, expected: &Expected) -> (Option<bool>, String) {
        let is_judged = self.phase.1;
        let own = |row: &&Row| expected.load.as_ref().is_none_or(|load| *load == row.live.load);
        let several = self.rows.len() > 1;
        let values: Vec<(bool, String, &str)> = self
            .rows
            .iter()
            .filter(own)
            .filter_map(|row| {
                let (holds, value) = match expected.measure {
                    Measure::SuccessRate { min, max } if row.judged.ended > 0 => {
                        let rate = row.judged.succeeded as f64 / row.judged.ended as f64;
                        ((min..=max).contains(&rate), words::fraction(rate))
                    }
                    Measure::Latency { quantile, min_ms, max_ms } => {
                        let ms = row.judged.latency.quantile(quantile)? / 1e3;
                        ((min_ms..=max_ms).contains(&ms), words::millis(ms))
                    }
                    _ => return None,
                };
                Some((holds, value, row.live.load.as_str()))
            })
            .collect();
        match values.iter().find(|(holds, ..)| !holds).or(values.first()) {
            _ if expected.measure == Measure::AtTheEnd => (None, "known at the end".to_owned()),
            _ if !is_judged => (None, "not judged yet".to_owned()),
            None => (None, "no answer yet".to_owned()),
            Some((holds, value, load)) if several => (Some(*holds), format!("{value} so far [{}]", name(load))),
            Some((holds, value, _)) => (Some(*holds), format!("{value} so far")),
        }
    }

    /// The lines of the phase's expectations.
    fn expectations(&self, progress: &Progress) -> Vec<String> {
        let listed = progress.expectations.iter().take(EXPECTATIONS);
        let mut lines: Vec<String> = listed
            .map(|it| {
                let (holds, value) = self.state(it);
                let text = format!("{}: {value}", name(&it.title));
                match holds {
                    Some(true) => format!("  ✓ {text}"),
                    Some(false) => format!("  {}", self.style.red(&format!("✗ {text}"))),
                    None => self.style.dim(&format!("  · {text}")),
                }
            })
            .collect();
        let more = progress.expectations.len().saturating_sub(EXPECTATIONS);
        if more > 0 {
            lines.push(format!("    {}", words::plural(more, "more expectation")));
        }
        lines
    }

    /// The updating lines on a terminal: the head, the numbers of each load, the faults, and the expectations.
    pub fn lines(&self, progress: &Progress) -> Vec<String> {
        let several = self.rows.len() > 1;
        let mut lines = vec![self.head(progress)];
        for row in &self.rows {
            lines.push(format!("  {}", row.numbers(several)));
            let limit = progress.expectations.iter().find_map(|it| row.limit_ms(it));
            let load = if several { format!("{}: ", name(&row.live.load)) } else { String::new() };
            lines.extend(row.sparkline(limit).map(|it| format!("  {load}{it}")));
        }
        let word = |index: usize| if index < FAULTS { "fault " } else { "" };
        let faults = self.faults(progress).into_iter().enumerate();
        lines.extend(faults.map(|(index, fault)| format!("  {}{fault}", word(index))));
        lines.extend(self.expectations(progress));
        lines
    }

    /// The same in one line, without a terminal: of the expectations, those that do not hold so far.
    pub fn heartbeat(&self, progress: &Progress) -> String {
        let several = self.rows.len() > 1;
        let mut parts = vec![self.head(progress)];
        let faults = self.faults(progress);
        if !faults.is_empty() {
            parts.push(format!("{} {}", self.style.dim("faults:"), faults.join(", ")));
        }
        parts.extend(self.rows.iter().map(|row| row.numbers(several)));
        let missed = progress.expectations.iter().map(|it| (it, self.state(it)));
        for (it, (_, value)) in missed.filter(|(_, (holds, _))| *holds == Some(false)) {
            parts.push(self.style.red(&format!("✗ {}: {value}", name(&it.title))));
        }
        parts.join("  ")
    }
}

/// The displayed numbers of one load.
#[derive(Default)]
struct Row {
    live: load::Live,
    /// Requests that ended per second, over the last few seconds.
    ended: VecDeque<(u64, f64)>,
    /// The p95 of the last steps, ms.
    p95: VecDeque<Option<f64>>,
    /// All requests that ended, and those of them that failed.
    total: (u64, u64),
    /// The requests of the current phase's judged part.
    judged: load::Live,
    /// The highest p95 of all steps, ms.
    highest_ms: f64,
}

impl Row {
    /// Steps of the sparkline.
    const STEPS: usize = 24;
    /// The number of steps for the throughput. A single step contains too few requests of a slow load.
    const RECENT: usize = 6;

    fn add(&mut self, live: &load::Live, seconds: f64) {
        self.ended.push_back((live.ended, seconds));
        self.p95.push_back(live.p95_ms);
        self.total = (self.total.0 + live.ended, self.total.1 + live.ended - live.succeeded);
        self.highest_ms = self.highest_ms.max(live.p95_ms.unwrap_or_default());
        while self.ended.len() > Self::RECENT {
            self.ended.pop_front();
        }
        while self.p95.len() > Self::STEPS {
            self.p95.pop_front();
        }
        // A step of a slow load may contain no answer. The row then keeps its last numbers.
        if live.ended > 0 || self.live.load.is_empty() {
            self.live = live.clone();
        }
        self.live.in_flight = live.in_flight;
    }

    fn numbers(&self, named: bool) -> String {
        let live = &self.live;
        let name = if named { format!("{}: ", name(&live.load)) } else { String::new() };
        let ms = |value: Option<f64>| match value {
            Some(value) if value >= 10.0 => format!("{value:.0}"),
            Some(value) => format!("{value:.1}"),
            None => "-".to_owned(),
        };
        let (count, seconds) = self.ended.iter().fold((0, 0.0), |(n, s), (count, length)| (n + count, s + length));
        let rate = if seconds > 0.0 { words::rate((count as f64 / seconds).round()) } else { "-".to_owned() };
        let success = match live.ended {
            0 => "no answer yet".to_owned(),
            ended => format!("{:.0}% ok", (100.0 * live.succeeded as f64 / ended as f64).floor()),
        };
        format!(
            "{name}{rate}  {success}  p50/p95/p99 {}/{}/{} ms  {} in flight  {} of {} failed",
            ms(live.p50_ms),
            ms(live.p95_ms),
            ms(live.p99_ms),
            live.in_flight,
            words::count(self.total.1 as f64),
            words::count(self.total.0 as f64),
        )
    }

    /// The largest p95 that an expectation allows this load, in milliseconds.
    fn limit_ms(&self, expected: &Expected) -> Option<f64> {
        let is_own = expected.load.as_ref().is_none_or(|load| *load == self.live.load);
        match expected.measure {
            Measure::Latency { quantile, max_ms, .. } if is_own && quantile == 0.95 && max_ms.is_finite() => {
                Some(max_ms)
            }
            _ => None,
        }
    }

    /// The p95 of the last steps, on a scale that ends at the limit, or without one at a round value that only rises.
    fn sparkline(&self, limit_ms: Option<f64>) -> Option<String> {
        let values: Vec<Option<f64>> = self.p95.iter().copied().collect();
        let top = limit_ms.unwrap_or_else(|| round_up(self.highest_ms));
        let what = if limit_ms.is_some() { "limit " } else { "" };
        let line = words::sparkline(&values, 0.0, top);
        (self.highest_ms > 0.0).then(|| format!("p95 {line}  █ = {what}{}", words::millis(top)))
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|it| it * power).find(|it| *it >= value * 0.999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use shakedown_reports::sample;

    use super::*;
    use crate::cli::args::Color;

    fn live(load: &str, ended: u64, succeeded: u64, ms: f64) -> load::Live {
        let [p50_ms, p95_ms, p99_ms] = [1.0, 2.0, 3.5].map(|factor| (ended > 0).then_some(ms * factor));
        load::Live {
            load: load.to_owned(),
            ended,
            succeeded,
            p50_ms,
            p95_ms,
            p99_ms,
            in_flight: 3,
            latency: {
                let mut latency = shakedown_load::Live::default().latency;
                latency.ended.record_n((ms * 2e3) as u64, ended);
                latency
            },
        }
    }

    fn expected(title: &str, measure: Measure) -> Expected {
        Expected { title: title.to_owned(), load: None, measure }
    }

    fn progress(phase: (&str, usize), at_ms: u64, left_ms: u64, loads: Vec<load::Live>, faults: &[&str]) -> Progress {
        Progress {
            phase: phase.0.to_owned(),
            phase_number: phase.1,
            phases: 3,
            elapsed: Duration::from_millis(at_ms),
            left: Duration::from_millis(left_ms),
            run_left: Duration::from_millis(left_ms) + Duration::from_secs(30 * (3 - phase.1 as u64)),
            is_judged: phase.1 == 1 || at_ms > 3_600,
            expectations: vec![
                expected("success rate at least 80%", Measure::SuccessRate { min: 0.8, max: 1.0 }),
                expected("p95 at most 500ms", Measure::Latency { quantile: 0.95, min_ms: 0.0, max_ms: 500.0 }),
                expected("recovery time at most 15s, holding 5s", Measure::AtTheEnd),
            ],
            loads,
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        }
    }

    /// The quickstart as a user sees it on a terminal.
    fn watched(style: Style) -> String {
        let mut live_view = Live::new(style);
        let mut shown = String::new();
        let mut show = |progress: Progress| {
            live_view.step(&progress);
            shown.push_str(&live_view.lines(&progress).join("\n"));
            shown.push_str(&format!("\n(heartbeat) {}\n\n", live_view.heartbeat(&progress)));
        };
        show(progress(("baseline", 1), 0, 30_000, vec![live("completions", 0, 0, 0.0)], &[]));
        for step in 1..=6 {
            let count = if step % 2 == 0 { 10 } else { 11 };
            show(progress(
                ("baseline", 1),
                step * 500,
                30_000 - step * 500,
                vec![live("completions", count, count, 80.0)],
                &[],
            ));
        }
        let cut = ["nats-cut proven"];
        show(progress(("partition", 2), 3_500, 59_200, vec![live("completions", 10, 7, 240.0)], &cut));
        show(progress(("partition", 2), 4_000, 58_700, vec![live("completions", 0, 0, 0.0)], &cut));
        let two = vec![live("completions", 10, 10, 92.0), live("embeddings", 640, 640, 4.5)];
        show(progress(
            ("partition", 2),
            4_500,
            58_200,
            two,
            &["a proven", "b proven", "c undoing", "d proven", "e failed"],
        ));
        shown
    }

    #[test]
    fn golden_live_display() {
        insta::assert_snapshot!("live", watched(Style::new(Color::Never)));
        let colored = watched(Style::new(Color::Always));
        assert!(colored.contains("\x1b[1;31mnats-cut proven\x1b[0m"));
        assert_eq!(super::super::console::clean(&colored), colored, "our own colours pass");
        let mut plain = colored;
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[1;31m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, watched(Style::new(Color::Never)), "colours are all that they add");
    }

    #[test]
    fn golden_sentences() {
        let (result, style) = (sample::errored(), Style::new(Color::Never));
        let mut shown = String::new();
        for verbose in [0, 1] {
            shown.push_str(&format!("verbose {verbose}\n"));
            let events = &result.scenarios[0].events;
            shown.extend(
                events.iter().filter_map(|event| sentence(style, event, verbose)).map(|it| format!("  {it}\n")),
            );
        }
        insta::assert_snapshot!("sentences", shown);
    }

    #[test]
    fn hostile_text_stays_on_one_line() {
        for event in sample::hostile().scenarios[0].events.iter().chain(&sample::hostile().events) {
            if let Some(text) = sentence(Style::new(Color::Never), event, 1) {
                assert!(text.len() < 40_000 && !text.contains(['\x1b', '\0', '\r', '\u{202e}']), "{text:.300}");
            }
        }
        let name = format!("{}{}", sample::HOSTILE, "x".repeat(10_000_000));
        let mut live_view = Live::new(Style::new(Color::Never));
        let progress = progress((&name, 1), 500, 1000, vec![live(&name, 5, 5, 3.0), live("b", 5, 5, 3.0)], &[&name]);
        live_view.step(&progress);
        for line in live_view.lines(&progress) {
            assert!(line.len() < 2_000 && !line.contains(['\x1b', '\0', '\r', '\n', '\u{202e}']), "{line:.300}");
        }
    }

    #[test]
    fn a_row_keeps_its_numbers_through_a_step_without_answers() {
        let mut row = Row::default();
        let live = |ended, p95_ms| load::Live {
            load: "x".to_owned(),
            ended,
            succeeded: ended,
            p95_ms,
            ..load::Live::default()
        };
        row.add(&live(10, Some(80.0)), 0.5);
        row.add(&live(0, None), 0.5);
        row.add(&live(10, Some(160.0)), 0.5);
        assert_eq!(row.numbers(true), "x: 13/s  100% ok  p50/p95/p99 -/160/- ms  0 in flight  0 of 20 failed");
        assert_eq!(row.sparkline(None).as_deref(), Some("p95 ▄ ▇  █ = 200ms"));
        assert_eq!(row.sparkline(Some(800.0)).as_deref(), Some("p95 ▂ ▂  █ = limit 800ms"));
        row.add(&live(10, Some(20.0)), 0.5);
        assert_eq!(row.sparkline(None).as_deref(), Some("p95 ▄ ▇▂  █ = 200ms"), "the scale does not follow the values");
    }

    #[test]
    fn an_expectation_is_followed_over_the_judged_part_of_its_phase() {
        let mut view = Live::new(Style::new(Color::Never));
        let step = |view: &mut Live, at_ms, is_judged, succeeded| {
            let loads = vec![live("x", 100, succeeded, 100.0)];
            let progress = Progress { is_judged, ..progress(("partition", 2), at_ms, 1_000, loads, &[]) };
            view.step(&progress);
            view.expectations(&progress)
        };
        assert_eq!(step(&mut view, 500, false, 0)[0], "  · success rate at least 80%: not judged yet");
        let held = step(&mut view, 1_000, true, 90);
        assert_eq!(held[0], "  ✓ success rate at least 80%: 90% so far", "what was not judged does not count");
        assert!(held[1].starts_with("  ✓ p95 at most 500ms: 20"), "{held:?}");
        assert_eq!(held[2], "  · recovery time at most 15s, holding 5s: known at the end");
        assert_eq!(step(&mut view, 1_500, true, 60)[0], "  ✗ success rate at least 80%: 75% so far");
        let (mut next, loads) = (progress(("recovery", 3), 2_000, 1_000, vec![], &[]), vec![live("x", 10, 10, 1.0)]);
        (next.is_judged, next.loads) = (true, loads);
        view.step(&next);
        assert_eq!(view.expectations(&next)[0], "  ✓ success rate at least 80%: 100% so far", "a phase begins anew");
    }
}
