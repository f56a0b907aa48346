//! What commands print. Readers may go away at any time (`shakedown list | head -1`), and that is their right: what they do not
//! want is dropped, and the command does its work to the end. Any other reason that nothing can be written, such as a
//! full disk, is kept and ends the program with an error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Writes text to stdout, as it is.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        _ = UNWRITTEN.set(error.to_string());
    }
}

/// Writes a line to stdout.
pub fn line(line: impl Display) {
    text(&format!("{line}\n"));
}

/// Writes a line to stderr. Nothing can be said about an error there.
pub fn remark(line: impl Display) {
    _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Why stdout could not be written, if it was not its reader who went away.
pub fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}
