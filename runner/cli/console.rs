//! Shows a run's progress on stderr: updating lines on a terminal, timestamped lines with a heartbeat elsewhere (some
//! CI systems stop silent jobs). The texts are in `live`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use console::{Term, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use shakedown_reports::text::{NAME, one_line, tame};
use shakedown_reports::{GITHUB_GROUP_END, github_group, words};
use shakedown_schemas::{Event, EventKind};

use super::live::{Live, sentence};
pub use super::style::Style;
use super::wrap::fitting;
use shakedown_engine::events::{Listener, Progress};

/// The interval of the heartbeat without a terminal.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The width of the times in front of a line.
const CLOCK: usize = 20;

/// Shows a run's events on stderr.
pub struct Console {
    style: Style,
    verbose: u8,
    bar: Option<ProgressBar>,
    /// Whether the log has folds of GitHub.
    folds: bool,
    last_line: Instant,
    lives: Vec<Shown>,
    /// True if scenarios run next to each other: each line then names its scenario.
    together: bool,
}

/// The displayed state of one running scenario.
struct Shown {
    scenario: String,
    live: Live,
    /// Its updating lines.
    lines: Vec<String>,
    /// The same in one line, where there are too many of them.
    brief: String,
    last_heartbeat: Instant,
}

impl Console {
    /// A console for a run, whose scenarios may run `together`. With `quiet`, do not create one. With `folds`, each scenario
    /// is a fold of GitHub's log, unless several run together: folds cannot overlap.
    pub fn new(style: Style, verbose: u8, folds: bool, together: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let folds = folds && !together;
        Self { style, verbose, bar, folds, last_line: Instant::now(), lives: Vec::new(), together }
    }

    /// The displayed state of a scenario.
    fn shown(&mut self, scenario: &str) -> &mut Shown {
        let at = self.lives.iter().position(|it| it.scenario == scenario).unwrap_or_else(|| {
            let live = Live::new(self.style);
            let (scenario, last_heartbeat) = (scenario.to_owned(), self.last_line);
            // Sorted by name, so that each keeps its place.
            let at = self.lives.partition_point(|it| it.scenario < scenario);
            self.lives.insert(at, Shown { scenario, live, lines: Vec::new(), brief: String::new(), last_heartbeat });
            at
        });
        &mut self.lives[at]
    }

    /// Draws the updating lines of all running scenarios.
    fn draw(&self) {
        let Some(bar) = &self.bar else { return };
        let (terminal, lives) = (Term::stderr(), self.lives.iter().filter(|it| !it.lines.is_empty()));
        let all = lives.clone().flat_map(|it| it.lines.iter().map(String::as_str)).collect::<Vec<_>>().join("\n");
        let all = fitting(&all, &terminal, 2);
        let (rows, columns) = terminal.size();
        let shown = match lives.clone().count() {
            2.. if all.lines().count() >= rows.into() => {
                let brief: Vec<&str> = lives.map(|it| it.brief.as_str()).collect();
                in_brief(&brief, rows.into(), columns.into())
            }
            _ => all,
        };
        bar.set_message(clean(&shown));
    }

    /// The name of a scenario in front of a line, if others run next to it.
    fn prefix(&self, scenario: &str) -> String {
        if !self.together || scenario.is_empty() {
            return String::new();
        }
        format!("{} ", self.style.dim(&format!("[{}]", one_line(&tame(scenario, NAME)))))
    }

    /// Prints a line with its wall-clock time, and with its moment on the report's timeline once the load runs. `prefix` names
    /// its scenario.
    fn line(&mut self, at: Timestamp, moment: Option<f64>, prefix: &str, text: &str) {
        self.last_line = Instant::now();
        let clock = self.style.dim(&format!(
            "{} {:>8}",
            at.strftime("%H:%M:%SZ"),
            moment.map(words::moment).unwrap_or_default()
        ));
        let line = format!("{clock}  {prefix}{}", under(text, prefix));
        match &self.bar {
            Some(bar) => bar.suspend(|| {
                // The lines below the first are indented already.
                let hang = |index| if index == 0 { CLOCK } else { 0 };
                let lines = line.split('\n').enumerate().map(|(index, it)| fitting(it, &Term::stderr(), hang(index)));
                eprintln_safe(&lines.collect::<Vec<_>>().join("\n"));
            }),
            None => eprintln_safe(&line),
        }
    }
}

/// A text of several lines under the first one, each with the name of its scenario.
fn under(text: &str, prefix: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{}{prefix}", " ".repeat(CLOCK)))
}

/// One line for each scenario, as far as there is room.
fn in_brief(lines: &[&str], rows: usize, columns: usize) -> String {
    let room = rows.saturating_sub(2).max(1);
    let mut shown: Vec<String> =
        lines.iter().take(room).map(|line| truncate_str(line, columns, "…").into_owned()).collect();
    if lines.len() > room {
        shown.push(format!("and {} more", lines.len() - room));
    }
    shown.join("\n")
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
        let scenario = event.scenario.clone().unwrap_or_default();
        let prefix = self.prefix(&scenario);
        match &event.kind {
            EventKind::ScenarioStarted { .. } => {
                // An earlier attempt has other numbers.
                self.lives.retain(|it| it.scenario != scenario);
                self.shown(&scenario);
            }
            EventKind::ScenarioEnded { .. } => {
                self.lives.retain(|it| it.scenario != scenario);
                self.draw();
            }
            // The numbers of a phase end with it. Lines before the next update have none.
            EventKind::PhaseStarted { .. } | EventKind::PhaseEnded { .. } => {
                self.shown(&scenario).lines.clear();
                self.draw();
            }
            EventKind::RunEnded { .. } => self.bar.iter().for_each(ProgressBar::finish_and_clear),
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
        } else if let Some(text) = sentence(self.style, event, self.verbose) {
            let text = match &event.kind {
                // The prefix has the name.
                EventKind::ScenarioStarted { file } if !prefix.is_empty() => {
                    format!("begins: {}", one_line(&tame(file, NAME)))
                }
                EventKind::ScenarioEnded { verdict, .. } if !prefix.is_empty() => self.style.verdict(*verdict),
                _ => text,
            };
            self.line(event.at, event.elapsed_s, &prefix, &text);
        }
    }

    fn progress(&mut self, scenario: &str, progress: &Progress) {
        let prefix = self.prefix(scenario);
        let (is_drawn, since) = (self.bar.is_some(), self.last_line);
        let together = self.together;
        let shown = self.shown(scenario);
        shown.live.step(progress);
        if is_drawn {
            shown.lines = shown.live.lines(progress);
            if let Some(head) = shown.lines.first_mut() {
                *head = format!("{prefix}{head}");
            }
            shown.brief = format!("{prefix}{}", shown.live.heartbeat(progress));
            return self.draw();
        }
        // With a single scenario, any other line is a sign of life as well.
        let quiet_since = if together { shown.last_heartbeat } else { since };
        if quiet_since.elapsed() >= HEARTBEAT {
            shown.last_heartbeat = Instant::now();
            let text = shown.live.heartbeat(progress);
            // Its text contains the moment.
            self.line(Timestamp::now(), None, &prefix, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_scenario_only_where_several_run() {
        let prefix =
            |together| Console::new(Style::new(crate::cli::args::Color::Never), 0, false, together).prefix("shop");
        assert_eq!((prefix(false), prefix(true)), (String::new(), "[shop] ".to_owned()));
    }

    #[test]
    fn scenarios_that_run_together_keep_their_own_numbers() {
        let mut console = Console::new(Style::new(crate::cli::args::Color::Never), 0, false, true);
        let event = |scenario: &str, kind| Event {
            at: jiff::Timestamp::UNIX_EPOCH,
            scenario: Some(scenario.to_owned()),
            elapsed_s: None,
            kind,
        };
        let started = || EventKind::ScenarioStarted { file: "x.yaml".to_owned() };
        console.event(&event("a", started()));
        console.event(&event("b", started()));
        console.progress("a", &Progress { phase: "cut".to_owned(), ..Progress::default() });
        assert_eq!(console.lives.len(), 2);
        let ended = EventKind::ScenarioEnded { verdict: Default::default(), reason: String::new() };
        console.event(&event("a", ended));
        assert_eq!(console.lives.iter().map(|it| it.scenario.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn the_lines_of_a_phase_end_with_it() {
        let mut console = Console::new(Style::new(crate::cli::args::Color::Never), 0, false, true);
        console.bar = Some(ProgressBar::hidden());
        for scenario in ["b", "a"] {
            console.progress(scenario, &Progress { phase: "cut".to_owned(), ..Progress::default() });
        }
        let shown = |console: &Console| console.bar.as_ref().expect("a bar").message();
        let both = shown(&console);
        assert!(both.find("[a] cut") < both.find("[b] cut") && both.contains("[a] cut"), "{both}");
        let ended = EventKind::PhaseEnded { phase: "cut".to_owned() };
        let event = Event { at: Timestamp::UNIX_EPOCH, scenario: Some("a".to_owned()), elapsed_s: None, kind: ended };
        console.event(&event);
        assert!(!shown(&console).contains("[a]") && shown(&console).contains("[b] cut"), "{}", shown(&console));
    }

    #[test]
    fn every_line_of_a_text_names_its_scenario() {
        let text = "error: no connection\nhelp: start it first\n";
        let indent = " ".repeat(CLOCK);
        assert_eq!(under(text, "[shop] "), format!("error: no connection\n{indent}[shop] help: start it first"));
        assert_eq!(under(text, ""), format!("error: no connection\n{indent}help: start it first"));
    }

    #[test]
    fn every_scenario_has_a_line_where_all_lines_have_no_room() {
        let lines = ["[a] cut 2/3  20/s", "[b] baseline 1/3  20/s", "[c] cut"];
        assert_eq!(in_brief(&lines, 24, 12), "[a] cut 2/3…\n[b] baselin…\n[c] cut");
        assert_eq!(in_brief(&lines, 4, 80), "[a] cut 2/3  20/s\n[b] baseline 1/3  20/s\nand 1 more");
    }

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
