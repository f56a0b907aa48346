//! The texts during a run: the sentence of each event, the updating lines on a terminal, and the heartbeat elsewhere.
//! Pure: events and numbers in, text out.
//!
//! This module contains only the wording. `console` decides where and when to print. `summary` covers the end of a run.

use std::collections::VecDeque;
use std::time::Duration;

use shakedown_reports::text::{NAME, one_line, tame};
use shakedown_reports::{tamed_event, words};
use shakedown_schemas::event::FaultState;
use shakedown_schemas::{Event, EventKind};

use super::signals::TIME_UP;
use super::style::Style;
use shakedown_engine::events::Progress;
use shakedown_load as load;

/// The maximum number of faults that are named in one line.
const FAULTS: usize = 4;

/// The displayed numbers of a scenario.
pub struct Live {
    style: Style,
    rows: Vec<Row>,
    /// The time of the last step, from the scenario's start.
    shown: Duration,
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
            format!("phase {} for {planned_s:.0} s", style.bold(phase))
        }
        EventKind::Fault { fault, state, detail } => {
            let quiet = matches!(state, FaultState::Injecting | FaultState::Injected | FaultState::Undoing);
            if quiet && verbose == 0 {
                return None;
            }
            let word = match state {
                FaultState::Failed | FaultState::Left => style.red(state.word()),
                _ => style.bold(state.word()),
            };
            if detail.is_empty() {
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
            "the time limit of --max-time is over: undoing all faults and ending the run".to_owned()
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
        Self { style, rows: Vec::new(), shown: Duration::ZERO }
    }

    /// Takes new numbers.
    pub fn step(&mut self, progress: &Progress) {
        let since = progress.elapsed.saturating_sub(self.shown).as_secs_f64();
        self.shown = progress.elapsed;
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
        }
    }

    /// The phase, its remaining time, and the active faults with their states.
    fn head(&self, progress: &Progress) -> String {
        let mut faults: Vec<String> = progress.faults.iter().take(FAULTS).map(|fault| name(fault)).collect();
        if progress.faults.len() > FAULTS {
            faults.push(format!("{} more", progress.faults.len() - FAULTS));
        }
        let faults = match faults.is_empty() {
            true => String::new(),
            false => format!("  {} {}", self.style.dim("faults:"), self.style.red(&faults.join(", "))),
        };
        format!(
            "{} {}/{}  {:.0} s left{faults}",
            self.style.bold(&name(&progress.phase)),
            progress.phase_number,
            progress.phases,
            progress.left.as_secs_f64().ceil(),
        )
    }

    /// The updating lines on a terminal: the head, and one line for each load.
    pub fn lines(&self, progress: &Progress) -> Vec<String> {
        let several = self.rows.len() > 1;
        let rows = self.rows.iter().map(|row| format!("  {}  {}", row.numbers(several), row.sparkline()));
        std::iter::once(self.head(progress)).chain(rows).map(|line| line.trim_end().to_owned()).collect()
    }

    /// The same in one line, without a terminal.
    pub fn heartbeat(&self, progress: &Progress) -> String {
        let several = self.rows.len() > 1;
        let rows: Vec<String> = self.rows.iter().map(|row| row.numbers(several)).collect();
        format!("{}  {}", self.head(progress), rows.join("  "))
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
}

impl Row {
    /// Steps of the sparkline.
    const STEPS: usize = 24;
    /// The number of steps for the throughput. A single step contains too few requests of a slow load.
    const RECENT: usize = 6;

    fn add(&mut self, live: &load::Live, seconds: f64) {
        self.ended.push_back((live.ended, seconds));
        self.p95.push_back(live.p95_ms);
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
            "{name}{rate}  {success}  p50/p95/p99 {}/{}/{} ms  {} in flight",
            ms(live.p50_ms),
            ms(live.p95_ms),
            ms(live.p99_ms),
            live.in_flight
        )
    }

    fn sparkline(&self) -> String {
        let values: Vec<Option<f64>> = self.p95.iter().copied().collect();
        let highest = values.iter().flatten().copied().fold(0.0, f64::max);
        if highest > 0.0 { format!("p95 {}", words::sparkline(&values, 0.0, highest)) } else { String::new() }
    }
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
            ..Default::default()
        }
    }

    fn progress(phase: (&str, usize), at_ms: u64, left_ms: u64, loads: Vec<load::Live>, faults: &[&str]) -> Progress {
        Progress {
            phase: phase.0.to_owned(),
            phase_number: phase.1,
            phases: 3,
            elapsed: Duration::from_millis(at_ms),
            left: Duration::from_millis(left_ms),
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
        assert_eq!(row.numbers(true), "x: 13/s  100% ok  p50/p95/p99 -/160/- ms  0 in flight");
        assert_eq!(row.sparkline(), "p95 ▅ █");
    }
}
