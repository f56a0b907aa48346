//! Why a command could not do its work.

use super::exit;

/// A command could not do its work: a message that says what to do, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, with a `help:` line where there is help.
    pub message: String,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// Something about the environment: exit code 3.
    pub fn environment(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: exit::ENVIRONMENT }
    }

    /// Something about how the command was called: exit code 2.
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: exit::USAGE }
    }
}
