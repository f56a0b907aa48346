//! The text of the protocol, read and written: pure functions over buffers.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The longest line with an operation, in bytes: the limit of the real server.
pub const MAX_CONTROL_LINE: usize = 4096;

/// A protocol violation, which ends the connection. The message is the server's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub &'static str);

/// The server's data when a client connects. Other fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// A name that no other server has.
    pub server_id: String,
    /// The server's version.
    pub version: String,
    /// The protocol's version: 1 says that further INFO may come at any time.
    pub proto: u8,
    /// Whether messages may have headers.
    pub headers: bool,
    /// The largest payload, bytes.
    pub max_payload: usize,
    /// Whether clients have to authenticate.
    pub auth_required: bool,
    /// Whether clients have to use TLS.
    pub tls_required: bool,
}

impl Default for Info {
    fn default() -> Self {
        Self {
            server_id: String::new(),
            version: String::new(),
            proto: 1,
            headers: false,
            max_payload: 1 << 20,
            auth_required: false,
            tls_required: false,
        }
    }
}

/// The client's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Whether the server answers each operation with `+OK`.
    pub verbose: bool,
    /// Whether the server checks subjects strictly. We always do.
    pub pedantic: bool,
    /// Whether the client requires TLS.
    pub tls_required: bool,
    /// The client's name.
    pub name: String,
    /// The client's programming language.
    pub lang: String,
    /// The client's version.
    pub version: String,
    /// 1: the client understands INFO at any time.
    pub protocol: u8,
    /// Whether the client gets its own messages.
    pub echo: bool,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: false,
            tls_required: false,
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            protocol: 0,
            echo: true,
        }
    }
}

/// One operation, of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Server: INFO.
    Info(Box<Info>),
    /// Client: CONNECT.
    Connect(Box<Connect>),
    /// PING, of either side.
    Ping,
    /// PONG, of either side.
    Pong,
    /// Server: the operation succeeded (only to verbose clients).
    Ok,
    /// Server: the operation failed, with the reason.
    Err(String),
    /// Client: publish to a subject.
    Pub {
        /// The subject.
        subject: String,
        /// Where an answer should go.
        reply: Option<String>,
        /// The message.
        payload: Bytes,
    },
    /// Client: subscribe to the subject. Among subscribers with the same queue, only one receives each message.
    Sub {
        /// The subject; may have wildcards.
        subject: String,
        /// The group to share with.
        queue: Option<String>,
        /// The client's name for this subscription.
        sid: String,
    },
    /// Client: end a subscription.
    Unsub {
        /// The subscription.
        sid: String,
        /// The number of messages after which it ends; `None` for at once.
        max: Option<u64>,
    },
    /// Server: a message for a subscription.
    Msg {
        /// Where it was published.
        subject: String,
        /// The subscription.
        sid: String,
        /// Where an answer should go.
        reply: Option<String>,
        /// The message.
        payload: Bytes,
    },
}

/// Takes the next whole operation out of `buf`; `None` if more bytes are needed. Payloads may have up to `max_payload`
/// bytes.
///
/// # Errors
/// When the text is not an operation, or is larger than allowed.
pub fn read(buf: &mut BytesMut, max_payload: usize) -> Result<Option<Op>, WireError> {
    let Some(end) = buf.iter().take(MAX_CONTROL_LINE + 2).position(|byte| *byte == b'\n') else {
        return if buf.len() > MAX_CONTROL_LINE { Err(WireError("Maximum Control Line Exceeded")) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&buf[..end]).map_err(|_| UNKNOWN)?.trim_end_matches('\r');
    let (word, rest) = match line.find([' ', '\t']) {
        Some(at) => (&line[..at], line[at..].trim()),
        None => (line, ""),
    };
    let op = match word.to_ascii_uppercase().as_str() {
        "PING" => Op::Ping,
        "PONG" => Op::Pong,
        "+OK" => Op::Ok,
        "-ERR" => Op::Err(rest.trim_matches('\'').to_owned()),
        "INFO" => Op::Info(Box::new(serde_json::from_str(rest).map_err(|_| UNKNOWN)?)),
        "CONNECT" => Op::Connect(Box::new(serde_json::from_str(rest).map_err(|_| UNKNOWN)?)),
        "SUB" => match words(rest).as_slice() {
            [subject, sid] => Op::Sub { subject: (*subject).into(), queue: None, sid: (*sid).into() },
            [subject, queue, sid] => {
                Op::Sub { subject: (*subject).into(), queue: Some((*queue).into()), sid: (*sid).into() }
            }
            _ => return Err(UNKNOWN),
        },
        "UNSUB" => match words(rest).as_slice() {
            [sid] => Op::Unsub { sid: (*sid).into(), max: None },
            [sid, max] => Op::Unsub { sid: (*sid).into(), max: Some(max.parse().map_err(|_| UNKNOWN)?) },
            _ => return Err(UNKNOWN),
        },
        "PUB" => {
            let (subject, reply, size) = match words(rest).as_slice() {
                [subject, size] => (*subject, None, *size),
                [subject, reply, size] => (*subject, Some((*reply).to_owned()), *size),
                _ => return Err(UNKNOWN),
            };
            let head = (subject.to_owned(), reply);
            let Some(payload) = payload(buf, end, size_of(size)?, max_payload)? else { return Ok(None) };
            return Ok(Some(Op::Pub { subject: head.0, reply: head.1, payload }));
        }
        "MSG" => {
            let (subject, sid, reply, size) = match words(rest).as_slice() {
                [subject, sid, size] => (*subject, *sid, None, *size),
                [subject, sid, reply, size] => (*subject, *sid, Some((*reply).to_owned()), *size),
                _ => return Err(UNKNOWN),
            };
            let head = (subject.to_owned(), sid.to_owned(), reply);
            let Some(payload) = payload(buf, end, size_of(size)?, max_payload)? else { return Ok(None) };
            return Ok(Some(Op::Msg { subject: head.0, sid: head.1, reply: head.2, payload }));
        }
        _ => return Err(UNKNOWN),
    };
    buf.advance(end + 1);
    Ok(Some(op))
}

const UNKNOWN: WireError = WireError("Unknown Protocol Operation");

fn words(text: &str) -> Vec<&str> {
    text.split_ascii_whitespace().collect()
}

fn size_of(text: &str) -> Result<usize, WireError> {
    text.parse().map_err(|_| UNKNOWN)
}

/// Takes the payload of `size` bytes that follows the line that ends at `end`, and both from the buffer.
fn payload(buf: &mut BytesMut, end: usize, size: usize, max: usize) -> Result<Option<Bytes>, WireError> {
    if size > max {
        return Err(WireError("Maximum Payload Violation"));
    }
    let start = end + 1;
    if buf.len() < start + size + 2 {
        return Ok(None);
    }
    if &buf[start + size..start + size + 2] != b"\r\n" {
        return Err(UNKNOWN);
    }
    buf.advance(start);
    let payload = buf.split_to(size).freeze();
    buf.advance(2);
    Ok(Some(payload))
}

/// Appends one operation to `buf`.
pub fn write(op: &Op, buf: &mut BytesMut) {
    match op {
        Op::Ping => buf.put_slice(b"PING\r\n"),
        Op::Pong => buf.put_slice(b"PONG\r\n"),
        Op::Ok => buf.put_slice(b"+OK\r\n"),
        Op::Err(message) => line(buf, &["-ERR", &format!("'{message}'")]),
        // These two are structs of plain fields: serialising them cannot fail.
        Op::Info(info) => line(buf, &["INFO", &serde_json::to_string(info).unwrap_or_default()]),
        Op::Connect(connect) => line(buf, &["CONNECT", &serde_json::to_string(connect).unwrap_or_default()]),
        Op::Sub { subject, queue: None, sid } => line(buf, &["SUB", subject, sid]),
        Op::Sub { subject, queue: Some(queue), sid } => line(buf, &["SUB", subject, queue, sid]),
        Op::Unsub { sid, max: None } => line(buf, &["UNSUB", sid]),
        Op::Unsub { sid, max: Some(max) } => line(buf, &["UNSUB", sid, &max.to_string()]),
        Op::Pub { subject, reply: None, payload } => {
            line(buf, &["PUB", subject, &payload.len().to_string()]);
            body(buf, payload);
        }
        Op::Pub { subject, reply: Some(reply), payload } => {
            line(buf, &["PUB", subject, reply, &payload.len().to_string()]);
            body(buf, payload);
        }
        Op::Msg { subject, sid, reply: None, payload } => {
            line(buf, &["MSG", subject, sid, &payload.len().to_string()]);
            body(buf, payload);
        }
        Op::Msg { subject, sid, reply: Some(reply), payload } => {
            line(buf, &["MSG", subject, sid, reply, &payload.len().to_string()]);
            body(buf, payload);
        }
    }
}

fn line(buf: &mut BytesMut, words: &[&str]) {
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            buf.put_u8(b' ');
        }
        buf.put_slice(word.as_bytes());
    }
    buf.put_slice(b"\r\n");
}

fn body(buf: &mut BytesMut, payload: &[u8]) {
    buf.put_slice(payload);
    buf.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops() -> Vec<Op> {
        let payload = Bytes::from_static(b"a\r\nb");
        vec![
            Op::Info(Box::new(Info { server_id: "x".into(), ..Info::default() })),
            Op::Connect(Box::new(Connect { name: "worker".into(), ..Connect::default() })),
            Op::Ping,
            Op::Pong,
            Op::Ok,
            Op::Err("Stale Connection".into()),
            Op::Pub { subject: "a.b".into(), reply: None, payload: payload.clone() },
            Op::Pub { subject: "a.b".into(), reply: Some("r".into()), payload: Bytes::new() },
            Op::Sub { subject: "a.>".into(), queue: None, sid: "1".into() },
            Op::Sub { subject: "a.*".into(), queue: Some("q".into()), sid: "2".into() },
            Op::Unsub { sid: "1".into(), max: None },
            Op::Unsub { sid: "1".into(), max: Some(5) },
            Op::Msg { subject: "a.b".into(), sid: "1".into(), reply: None, payload: payload.clone() },
            Op::Msg { subject: "a.b".into(), sid: "1".into(), reply: Some("r".into()), payload },
        ]
    }

    #[test]
    fn what_is_written_is_read_back_however_it_is_cut() {
        let mut text = BytesMut::new();
        for op in ops() {
            write(&op, &mut text);
        }
        for size in [1, 2, 3, 7, text.len()] {
            let mut buf = BytesMut::new();
            let mut seen = Vec::new();
            for part in text.chunks(size) {
                buf.put_slice(part);
                while let Some(op) = read(&mut buf, 1024).unwrap() {
                    seen.push(op);
                }
            }
            assert_eq!(seen, ops(), "in pieces of {size}");
            assert!(buf.is_empty());
        }
    }

    #[test]
    fn case_and_white_space_are_free() {
        let mut buf = BytesMut::from("ping\r\nsub\ta.b   7\r\nSUB a  q\t8\r\nPub a 2\nhi\r\n");
        assert_eq!(read(&mut buf, 10), Ok(Some(Op::Ping)));
        assert_eq!(read(&mut buf, 10), Ok(Some(Op::Sub { subject: "a.b".into(), queue: None, sid: "7".into() })));
        let shared = Op::Sub { subject: "a".into(), queue: Some("q".into()), sid: "8".into() };
        assert_eq!(read(&mut buf, 10), Ok(Some(shared)));
        let message = Op::Pub { subject: "a".into(), reply: None, payload: Bytes::from_static(b"hi") };
        assert_eq!(read(&mut buf, 10), Ok(Some(message)));
    }

    #[test]
    fn nonsense_and_excess_are_refused() {
        let cases: [(&str, &str); 8] = [
            ("GET / HTTP/1.1\r\n", "Unknown Protocol Operation"),
            ("PUB a 11\r\n", "Maximum Payload Violation"),
            ("PUB a -1\r\n", "Unknown Protocol Operation"),
            ("PUB a 18446744073709551615\r\n", "Maximum Payload Violation"),
            ("PUB a 2\r\nabcd", "Unknown Protocol Operation"),
            ("SUB a\r\n", "Unknown Protocol Operation"),
            ("UNSUB a b\r\n", "Unknown Protocol Operation"),
            ("CONNECT {\r\n", "Unknown Protocol Operation"),
        ];
        for (text, error) in cases {
            assert_eq!(read(&mut BytesMut::from(text), 10), Err(WireError(error)), "{text}");
        }
        let endless = "x".repeat(MAX_CONTROL_LINE + 1);
        let error = Err(WireError("Maximum Control Line Exceeded"));
        assert_eq!(read(&mut BytesMut::from(endless.as_str()), 10), error);
    }
}
