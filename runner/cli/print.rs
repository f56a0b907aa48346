//! The output of commands. A reader may close the pipe at any time (`shakedown list | head -1`): the rest of the output
//! is dropped, and the command finishes its work. Any other write error, such as a full disk, is kept and ends the
//! program with an error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use console::Term;
use shakedown_reports::Redactor;
use shakedown_schemas::Diagnostic;

use super::wrap::{drawn, fitting};

/// The indent of the rest of a line.
const HANG: usize = 4;

static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// True with `--quiet`.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Suppresses notes for the rest of the process.
pub fn hush() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Writes text to stdout, as it is.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        _ = UNWRITTEN.set(error.to_string());
    }
}

/// Writes text for people to stdout. On a terminal its lines end between words.
pub fn prose(prose: &str) {
    text(&fitting(prose, &Term::stdout(), HANG));
}

/// Writes a line to stdout.
pub fn line(line: impl Display) {
    text(&format!("{line}\n"));
}

/// Writes a line to stderr. Errors of stderr cannot be reported and are ignored.
pub fn remark(line: impl Display) {
    _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Writes text for people to stderr. On a terminal its lines end between words.
pub fn remark_prose(text: &str) {
    remark(fitting(text, &Term::stderr(), HANG));
}

/// Writes a problem of a file to stderr, and an empty line.
pub fn problem(problem: &Diagnostic, colored: bool, redactor: &Redactor) {
    remark(format_args!("{}\n", redactor.text(&drawn(problem, colored, &Term::stderr())).trim_end()));
}

/// Writes a line to stderr that `--quiet` suppresses.
pub fn note(line: impl Display) {
    if !QUIET.load(Ordering::Relaxed) {
        remark_prose(&line.to_string());
    }
}

/// The error of stdout, unless its reader closed the pipe.
pub fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}
