//! The messages between frontend and workers. Heartbeats, requests and acceptances are messages on the bus, or lines of a
//! connection; an answer is a connection that the worker opens to the frontend, with one frame of JSON per line.

use std::time::SystemTime;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::codec::{Framed, LinesCodec};

use crate::net::Stream;

/// The subject prefix of heartbeats, followed by the worker's name.
const HEARTBEATS: &str = "inference.heartbeat";
/// The subject prefix of requests, followed by the worker's name.
const REQUESTS: &str = "inference.request";
/// The subject prefix of acceptances, followed by the frontend's id and the request's.
const ACCEPTED: &str = "inference.accepted";
/// The longest line, bytes: a request has a prompt of up to the frontend's `max_body`, and JSON can make it longer.
const MAX_LINE: usize = 8 << 20;

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

/// The subject of one worker's requests in one of its lives.
pub fn request_subject(worker: &str, life: u64) -> String {
    format!("{REQUESTS}.{worker}-{life:x}")
}

/// The subject on which a frontend hears that a request was accepted; `*` for all of its requests.
pub fn accepted_subject(frontend: &str, request: &str) -> String {
    format!("{ACCEPTED}.{frontend}.{request}")
}

/// A worker, as frontends know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub worker: String,
    /// Differs each time that the worker starts: requests of an earlier life are lost.
    pub life: u64,
    /// The model that it serves.
    pub model: String,
    /// The subject of its requests.
    pub subject: String,
    /// The address for requests without the bus: `host:port`.
    pub address: Option<String>,
}

/// The heartbeat of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker.
    #[serde(flatten)]
    pub record: Record,
    /// Whether it is stopping: it accepts no new requests, but finishes the current ones.
    pub leaving: bool,
    /// When it was sent, by the worker's clock: milliseconds since 1970.
    pub at_ms: u64,
}

/// Work for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The request's name, which the answer starts with.
    pub id: String,
    /// The address for the answer: `host:port`.
    pub respond_to: String,
    /// The prompt.
    pub prompt: String,
    /// The number of tokens to generate.
    pub max_tokens: u32,
    /// The index of the first token: more than 0 if another worker began the answer.
    pub first: u32,
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
    /// The worker is overloaded.
    Overloaded,
}

/// A clock's time in the format of heartbeats.
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
