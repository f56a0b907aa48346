//! Failures of commands.

use super::exit;

/// The failure of a command: a message with the next step, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// The error, with an optional `help:` line.
    pub message: String,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// An error of the environment: exit code 3.
    pub fn environment(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: exit::ENVIRONMENT }
    }

    /// A usage error: exit code 2.
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: exit::USAGE }
    }
}
