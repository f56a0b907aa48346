//! The terminal: colours, and the live view of a run on stderr: one line that moves on a terminal, timestamped lines
//! with a heartbeat elsewhere (some CI systems end jobs that are silent).

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
    window: Vec<Live>,
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
        Self { style, verbose, bar, begun: Instant::now(), last_line: Instant::now(), window: Vec::new() }
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
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\x1b' { '\u{fffd}' } else { c }).collect()
}

impl Listener for Console {
    fn event(&mut self, event: &Event) {
        let style = self.style;
        let text = match &event.kind {
            EventKind::RunStarted { run, seed } => format!("run {run}, seed {seed}"),
            EventKind::ScenarioStarted { file } => {
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
        // Half a second of a slow load is too little to show percentiles of: a row keeps its last numbers.
        for live in &progress.loads {
            match self.window.iter_mut().find(|known| known.load == live.load) {
                Some(known) if live.ended > 0 => *known = live.clone(),
                Some(known) => (known.ended, known.in_flight) = (0, live.in_flight),
                None => self.window.push(live.clone()),
            }
        }
        let loads: Vec<String> = self.window.iter().map(|live| numbers(live, self.window.len() > 1)).collect();
        let faults =
            if progress.faults.is_empty() { String::new() } else { format!("  [{}]", progress.faults.join(", ")) };
        let text = format!(
            "{} {}/{}  {:.0} s left  {}{faults}",
            self.style.bold(&progress.phase),
            progress.phase_number,
            progress.phases,
            progress.left.as_secs_f64().ceil(),
            loads.join("  "),
        );
        match &self.bar {
            Some(bar) => bar.set_message(clean(&text)),
            None if self.last_line.elapsed() >= HEARTBEAT => self.line(&text),
            None => {}
        }
    }
}

fn numbers(live: &Live, named: bool) -> String {
    let name = if named { format!("{}: ", live.load) } else { String::new() };
    let ms = |value: Option<f64>| match value {
        Some(value) if value >= 10.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.1}"),
        None => "-".to_owned(),
    };
    let success = if live.ended > 0 { 100.0 * live.succeeded as f64 / live.ended as f64 } else { 100.0 };
    format!(
        "{name}{} ended, {success:.0}% ok, p50/p95/p99 {}/{}/{} ms, {} in flight",
        live.ended,
        ms(live.p50_ms),
        ms(live.p95_ms),
        ms(live.p99_ms),
        live.in_flight
    )
}
