//! Shows a run's progress on stderr: updating lines on a terminal, timestamped lines with a heartbeat elsewhere (some
//! CI systems stop silent jobs). The texts are in `live`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use shakedown_reports::{GITHUB_GROUP_END, github_group, words};
use shakedown_schemas::{Event, EventKind};

use super::live::Live;
pub use super::style::Style;
use shakedown_engine::events::{Listener, Progress};

/// The interval of the heartbeat without a terminal.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Shows a run's events on stderr.
pub struct Console {
    style: Style,
    verbose: u8,
    bar: Option<ProgressBar>,
    /// The log folds between two commands of GitHub.
    folds: bool,
    last_line: Instant,
    live: Live,
}

impl Console {
    /// A console for a run. With `quiet`, do not create one. With `folds`, each scenario is a fold of GitHub's log.
    pub fn new(style: Style, verbose: u8, folds: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { style, verbose, bar, folds, last_line: Instant::now(), live: Live::new(style) }
    }

    /// Prints a line with its wall-clock time, and with its moment on the report's timeline once the load runs.
    fn line(&mut self, at: Timestamp, moment: Option<f64>, text: &str) {
        self.last_line = Instant::now();
        let clock = self.style.dim(&format!(
            "{} {:>8}",
            at.strftime("%H:%M:%SZ"),
            moment.map(words::moment).unwrap_or_default()
        ));
        let line = format!("{clock}  {text}");
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln_safe(&line)),
            None => eprintln_safe(&line),
        }
    }
}

/// A closed stderr does not stop a run.
fn eprintln_safe(text: &str) {
    _ = writeln!(std::io::stderr(), "{}", clean(text));
}

/// Sanitizes foreign text for the terminal: it must not move the cursor, and its lines must not be commands for the CI
/// system that reads our output (GitHub's `::`, Azure's `##vso[`). Colours stay.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let kept = match c {
            '\n' => true,
            '\x1b' => is_color(&text[at + 1..]),
            _ => !c.is_control(),
        };
        out.push(if kept { c } else { '\u{fffd}' });
    }
    if !out.contains("::") && !out.contains("##") {
        return out;
    }
    let lines = out.split('\n').map(|line| {
        let rest = line.trim_start();
        let (indent, rest) = line.split_at(line.len() - rest.len());
        let guard = if rest.starts_with("::") { "\u{fffd}" } else { "" };
        format!("{indent}{guard}{}", rest.replace("##vso[", "##\u{fffd}vso[").replace("##[", "##\u{fffd}["))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// True when a text continues with the rest of an escape sequence that only sets colours.
fn is_color(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('[') else { return false };
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

impl Listener for Console {
    fn event(&mut self, event: &Event) {
        match (&event.kind, &self.bar) {
            (EventKind::ScenarioStarted { .. }, _) => self.live.restart(),
            (EventKind::ScenarioEnded { .. }, Some(bar)) => bar.set_message(""),
            (EventKind::RunEnded { .. }, Some(bar)) => bar.finish_and_clear(),
            _ => {}
        }
        if self.folds && matches!(event.kind, EventKind::ScenarioEnded { .. }) {
            _ = writeln!(std::io::stderr(), "{GITHUB_GROUP_END}");
        }
        if self.folds
            && let EventKind::ScenarioStarted { file } = &event.kind
        {
            let title = format!("{} ({file})", event.scenario.as_deref().unwrap_or_default());
            _ = writeln!(std::io::stderr(), "{}", github_group(&title));
        } else if let Some(text) = self.live.sentence(event, self.verbose) {
            self.line(event.at, event.elapsed_s, &text);
        }
    }

    fn progress(&mut self, _scenario: &str, progress: &Progress) {
        self.live.step(progress);
        match &self.bar {
            Some(bar) => bar.set_message(clean(&self.live.lines(progress).join("\n"))),
            None if self.last_line.elapsed() >= HEARTBEAT => {
                // Its text contains the moment.
                self.line(Timestamp::now(), None, &self.live.heartbeat(progress));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_neither_moves_the_cursor_nor_controls_a_ci_system() {
        assert_eq!(clean("a\r\u{8}b"), "a\u{fffd}\u{fffd}b");
        assert_eq!(clean("x\n  ::set-output name=a::b"), "x\n  \u{fffd}::set-output name=a::b");
        assert_eq!(
            clean("see ##vso[task.complete] and ##[error]"),
            "see ##\u{fffd}vso[task.complete] and ##\u{fffd}[error]"
        );
        assert_eq!(clean("::1 and std::fmt"), "\u{fffd}::1 and std::fmt");
        assert_eq!(
            clean("\x1b[1;31mred\x1b[0m \x1b[2J\x1b]0;title\x07"),
            "\x1b[1;31mred\x1b[0m \u{fffd}[2J\u{fffd}]0;title\u{fffd}"
        );
    }
}
