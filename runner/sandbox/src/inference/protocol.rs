//! The messages between frontend and workers. Heartbeats and requests are messages on the bus; an answer is a
//! connection that the worker opens to the frontend, with one frame of JSON per line.

use std::time::SystemTime;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::codec::{Framed, LinesCodec};

use crate::net::Stream;

/// Where workers send their heartbeats, followed by their name.
const HEARTBEATS: &str = "inference.heartbeat";
/// Where a worker takes requests, followed by its name.
const REQUESTS: &str = "inference.request";
/// The longest line of an answer, bytes.
const MAX_LINE: usize = 64 << 10;

/// An answer's connection.
pub type Lines = Framed<Stream, LinesCodec>;

/// Reads and writes `stream` by the line.
pub fn lines(stream: Stream) -> Lines {
    Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE))
}

/// The subject of one worker's heartbeats; `*` for those of all.
pub fn heartbeat_subject(worker: &str) -> String {
    format!("{HEARTBEATS}.{worker}")
}

/// The subject of one worker's requests.
pub fn request_subject(worker: &str) -> String {
    format!("{REQUESTS}.{worker}")
}

/// A worker is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its name.
    pub worker: String,
    /// Differs each time that the worker starts: requests of an earlier life are lost.
    pub life: u64,
    /// What it serves.
    pub model: String,
    /// Where it takes requests.
    pub subject: String,
    /// It stops: it takes no more requests, but ends those that it has.
    pub leaving: bool,
    /// When it was sent, by the worker's clock: milliseconds since 1970.
    pub at_ms: u64,
}

/// Work for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The request's name, which the answer starts with.
    pub id: String,
    /// Where to connect with the answer: `host:port`.
    pub respond_to: String,
    /// What to go on with.
    pub prompt: String,
    /// How many tokens to make.
    pub max_tokens: u32,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// The first line: which request this answers.
    Hello {
        /// The request's name.
        request: String,
        /// The worker's name.
        worker: String,
    },
    /// The next token.
    Token(String),
    /// The answer is complete.
    End,
    /// The worker has too much to do.
    Overloaded,
}

/// A clock's time as a heartbeat has it.
pub fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// As JSON on one line.
pub fn encode<T: Serialize>(value: &T) -> String {
    // The types above have only strings, numbers and booleans: serialising them cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// From JSON; `None` if it is something else.
pub fn decode<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}
