//! An error text with its next step.

use std::fmt;

/// A message and, apart from it, how to solve the problem. Displayed as the message, then a line `help: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The problem.
    pub message: String,
    /// The next step, if one is known.
    pub help: Option<String>,
}

/// Between the message and its help in a text.
const HELP: &str = "\nhelp: ";

impl Explained {
    /// A problem with its next step.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }

    /// Reads a text that was displayed before. The texts of a result are such texts.
    pub fn read(text: &str) -> Self {
        text.split_once(HELP).map_or_else(|| text.into(), |(message, help)| Self::new(message, help))
    }

    /// With its subject before the message.
    #[must_use]
    pub fn about(self, subject: impl fmt::Display) -> Self {
        Self { message: format!("{subject}: {}", self.message), ..self }
    }

    /// With another next step, which is an alternative to the present one.
    #[must_use]
    pub fn or(self, help: &str) -> Self {
        let help = self.help.map_or_else(|| help.to_owned(), |first| format!("{first}; or {help}"));
        Self { message: self.message, help: Some(help) }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(out, "{HELP}{help}"))
    }
}

impl std::error::Error for Explained {}

impl From<String> for Explained {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

impl From<&str> for Explained {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_is_read_again() {
        for it in [
            Explained::from("it failed\nin two lines"),
            Explained::new("it failed", "apply this:\nkind: Role\nhelp: none"),
        ] {
            assert_eq!(Explained::read(&it.to_string()), it);
        }
    }

    #[test]
    fn a_subject_and_an_alternative_keep_message_and_help_apart() {
        let it = Explained::from("it failed").or("wait").or("leave it").about("pod a");
        assert_eq!(it, Explained::new("pod a: it failed", "wait; or leave it"));
        assert_eq!(it.to_string(), "pod a: it failed\nhelp: wait; or leave it");
    }
}
