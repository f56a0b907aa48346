//! The colours of the terminal.

use std::io::IsTerminal;

use shakedown_schemas::result::Verdict;

use super::args::Color;

/// The styles of the output. A colour always accompanies a word.
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

    /// True if stderr is coloured.
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

    /// For less important text.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// For warnings.
    pub fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
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
