//! The log of a program, line by line, as of programs in containers: for `kubectl logs`, and for the
//! excerpts around a fault's marks in the reports.
//!
//! In scope: how a line looks. Out of scope: where lines go, and their time stamps; both are the node's.

use std::fmt::{self, Debug, Display};
use std::sync::Arc;

/// Writes lines. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(String) + Send + Sync>);

impl Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// A log whose lines go to `print`.
    pub fn new(print: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(print))
    }

    /// A log that is dropped.
    #[cfg(test)]
    pub fn unread() -> Self {
        Self::new(drop)
    }

    /// Logs a normal event.
    pub fn info(&self, line: impl Display) {
        (self.0)(format!("INFO {line}"));
    }

    /// Logs a problem.
    pub fn warn(&self, line: impl Display) {
        (self.0)(format!("WARN {line}"));
    }
}
