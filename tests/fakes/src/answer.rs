//! Answers as lists of steps.

use std::fmt::Write as _;
use std::time::Duration;

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Sends these bytes without end, each time followed by a pause (which may be zero).
    Repeat(Vec<u8>, Duration),
    /// Closes the server's half of the connection, keeps reading and says nothing more.
    HalfClose,
    /// Keeps the connection open and says nothing more.
    Hang,
    /// Closes the connection.
    Close,
    /// Resets the connection: the peer receives RST. In memory this is the same as `Close`.
    Reset,
}

/// What a server does with one request. After the last step it reads the next request, unless a step ended the connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub(crate) steps: Vec<Step>,
}

impl Answer {
    /// A complete answer with a status, a body and its length.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::with_headers(status, &[], body)
    }

    /// A complete answer with these headers in addition to the length.
    pub fn with_headers(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        // In one write, so that a client sees no part of it alone.
        Self::raw([head.into_bytes(), body].concat())
    }

    /// These bytes, whatever they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().send(bytes)
    }

    /// No step at all: the request has no answer so far.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Sends more bytes.
    #[must_use]
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Waits before the next step.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.then(Step::Pause(time))
    }

    /// Adds the steps of another answer.
    #[must_use]
    pub fn after(mut self, answer: Self) -> Self {
        self.steps.extend(answer.steps);
        self
    }

    /// Adds a step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl From<u16> for Answer {
    /// A complete answer with this status and the body `ok`.
    fn from(status: u16) -> Self {
        Self::new(status, "ok")
    }
}
