//! The terminal: colours, and the live view of a run on stderr: one line that moves on a terminal, timestamped lines
//! with a heartbeat elsewhere (some CI systems end jobs that are silent).

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shakedown_reports::words;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::Verdict;
use shakedown_schemas::{Event, EventKind};

use super::args::Color;
use crate::events::{Listener, Progress};
use crate::load::Live;

/// How often a run that has nothing to say says so where there is no terminal.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Whether and how to colour. Every colour stands beside a word.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    out: bool,
    err: bool,
}

impl Style {
    /// By the flag, NO_COLOR, CLICOLOR_FORCE and the terminal.
    pub fn new(color: Color) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let auto = |terminal: bool| {
            !set("NO_COLOR")
                && (set("CLICOLOR_FORCE") || terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb"))
        };
        match color {
            Color::Always => Self { out: true, err: true },
            Color::Never => Self { out: false, err: false },
            Color::Auto => {
                Self { out: auto(std::io::stdout().is_terminal()), err: auto(std::io::stderr().is_terminal()) }
            }
        }
    }

    /// Whether stderr is coloured.
    pub const fn colored(&self) -> bool {
        self.err
    }

    /// The same rules for text on stdout.
    pub const fn for_stdout(self) -> Self {
        Self { out: self.out, err: self.out }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.err { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// For errors and failures.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what is less important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// For headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A verdict's word in its colour.
    pub fn verdict(self, verdict: Verdict) -> String {
        let code = match verdict {
            Verdict::Pass => "1;32",
            Verdict::Inconclusive => "1;33",
            Verdict::Fail | Verdict::Error => "1;31",
        };
        self.paint(code, verdict.word())
    }
}

/// Shows a run's events on stderr.
pub struct Console {
    style: Style,
    verbose: u8,
    bar: Option<ProgressBar>,
    begun: Instant,
    last_line: Instant,
    rows: Vec<Row>,
    /// How far the last step was into the scenario.
    shown: Duration,
}

impl Console {
    /// A console for a run; with `quiet` there should be none.
    pub fn new(style: Style, verbose: u8) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            style,
            verbose,
            bar,
            begun: Instant::now(),
            last_line: Instant::now(),
            rows: Vec::new(),
            shown: Duration::ZERO,
        }
    }

    fn line(&mut self, text: &str) {
        self.last_line = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln_safe(text)),
            None => {
                let seconds = self.begun.elapsed().as_secs_f64();
                eprintln_safe(&format!("{} {text}", self.style.dim(&format!("{seconds:7.1}s"))));
            }
        }
    }
}

/// A closed stderr is no reason to end a run.
fn eprintln_safe(text: &str) {
    _ = writeln!(std::io::stderr(), "{}", clean(text));
}

/// Names come from files and clusters: what they hold must not move the cursor.
/// Nor may a line of it be a command to the CI system that reads our output (GitHub's `::`, Azure's `##vso[`).
pub fn clean(text: &str) -> String {
    let calm = |c: char| if c.is_control() && c != '\n' && c != '\x1b' { '\u{fffd}' } else { c };
    let text: String = text.chars().map(calm).collect();
    if !text.contains("::") && !text.contains("##") {
        return text;
    }
    let lines = text.split('\n').map(|line| {
        let rest = line.trim_start();
        let (indent, rest) = line.split_at(line.len() - rest.len());
        let guard = if rest.starts_with("::") { "\u{fffd}" } else { "" };
        format!("{indent}{guard}{}", rest.replace("##vso[", "##\u{fffd}vso[").replace("##[", "##\u{fffd}["))
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Listener for Console {
    fn event(&mut self, event: &Event) {
        let style = self.style;
        let text = match &event.kind {
            EventKind::RunStarted { run, seed } => format!("run {run}, seed {seed}"),
            EventKind::ScenarioStarted { file } => {
                (self.rows, self.shown) = (Vec::new(), Duration::ZERO);
                format!("{} ({file})", style.bold(event.scenario.as_deref().unwrap_or_default()))
            }
            EventKind::Reached { load, how } => format!("load {load}: {how}"),
            EventKind::TargetsChosen { fault, pods } => format!("fault {fault}: targets {}", pods.join(", ")),
            EventKind::PhaseStarted { phase, planned_s } => {
                format!("phase {} for {planned_s:.0} s", style.bold(phase))
            }
            EventKind::Fault { fault, state, detail } => {
                let quiet = matches!(state, FaultState::Injecting | FaultState::Injected | FaultState::Undoing);
                if quiet && self.verbose == 0 {
                    return;
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
            EventKind::Warning { message } => format!("{}: {message}", style.paint("1;33", "warning")),
            EventKind::Error { message } => format!("{}: {message}", style.red("error")),
            EventKind::Interrupted { signal } => {
                format!("{signal}: undoing everything; a second one ends at once and leaves the rest to the fuse")
            }
            EventKind::ScenarioEnded { verdict, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_message("");
                }
                format!("{}: {}", event.scenario.as_deref().unwrap_or_default(), style.verdict(*verdict))
            }
            EventKind::RunEnded { .. } => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
                return;
            }
            EventKind::LoadStarted | EventKind::PhaseEnded { .. } if self.verbose == 0 => return,
            EventKind::LoadStarted => "load started".to_owned(),
            EventKind::PhaseEnded { phase } => format!("phase {phase} over"),
        };
        self.line(&text);
    }

    fn progress(&mut self, _scenario: &str, progress: &Progress) {
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
        let several = self.rows.len() > 1;
        let head = format!(
            "{} {}/{}  {:.0} s left{}",
            self.style.bold(&progress.phase),
            progress.phase_number,
            progress.phases,
            progress.left.as_secs_f64().ceil(),
            self.faults(&progress.faults),
        );
        match &self.bar {
            Some(bar) => {
                let mut lines = vec![head];
                lines.extend(self.rows.iter().map(|row| format!("  {}  {}", row.numbers(several), row.sparkline())));
                bar.set_message(clean(&lines.join("\n")));
            }
            None if self.last_line.elapsed() >= HEARTBEAT => {
                let rows: Vec<String> = self.rows.iter().map(|row| row.numbers(several)).collect();
                self.line(&format!("{head}  {}", rows.join("  ")));
            }
            None => {}
        }
    }
}

impl Console {
    /// The faults that stand, each with its state.
    fn faults(&self, faults: &[String]) -> String {
        if faults.is_empty() {
            return String::new();
        }
        format!("  {} {}", self.style.dim("faults:"), self.style.red(&faults.join(", ")))
    }
}

/// What is shown of one load.
#[derive(Default)]
struct Row {
    live: Live,
    /// Requests that ended per second, over the last few seconds.
    ended: VecDeque<(u64, f64)>,
    /// The p95 of the last steps, ms.
    p95: VecDeque<Option<f64>>,
}

impl Row {
    /// Steps of the sparkline.
    const STEPS: usize = 24;
    /// Steps that the throughput is taken over: one alone holds too few requests of a slow load.
    const RECENT: usize = 6;

    fn add(&mut self, live: &Live, seconds: f64) {
        self.ended.push_back((live.ended, seconds));
        self.p95.push_back(live.p95_ms);
        while self.ended.len() > Self::RECENT {
            self.ended.pop_front();
        }
        while self.p95.len() > Self::STEPS {
            self.p95.pop_front();
        }
        // A step of a slow load may hold no answer: the row keeps its last numbers.
        if live.ended > 0 || self.live.load.is_empty() {
            self.live = live.clone();
        }
        self.live.in_flight = live.in_flight;
    }

    fn numbers(&self, named: bool) -> String {
        let live = &self.live;
        let name = if named { format!("{}: ", live.load) } else { String::new() };
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
    use super::*;

    #[test]
    fn a_row_keeps_its_numbers_through_a_step_without_answers() {
        let mut row = Row::default();
        let live = |ended, p95_ms| Live { load: "x".to_owned(), ended, succeeded: ended, p95_ms, ..Live::default() };
        row.add(&live(10, Some(80.0)), 0.5);
        row.add(&live(0, None), 0.5);
        row.add(&live(10, Some(160.0)), 0.5);
        assert_eq!(row.numbers(true), "x: 13/s  100% ok  p50/p95/p99 -/160/- ms  0 in flight");
        assert_eq!(row.sparkline(), "p95 ▅ █");
    }

    #[test]
    fn hostile_text_neither_moves_the_cursor_nor_commands_a_ci_system() {
        assert_eq!(clean("a\r\u{8}b"), "a\u{fffd}\u{fffd}b");
        assert_eq!(clean("x\n  ::set-output name=a::b"), "x\n  \u{fffd}::set-output name=a::b");
        assert_eq!(
            clean("see ##vso[task.complete] and ##[error]"),
            "see ##\u{fffd}vso[task.complete] and ##\u{fffd}[error]"
        );
        assert_eq!(clean("::1 and std::fmt"), "\u{fffd}::1 and std::fmt");
    }
}
