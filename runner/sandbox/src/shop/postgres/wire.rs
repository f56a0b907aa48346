//! The messages of PostgreSQL's protocol 3.0, read and written: pure functions over buffers. The names and numbers are those of
//! its documentation, "Frontend/Backend Protocol".

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The largest message, bytes.
const MAX_MESSAGE: usize = 1 << 20;
/// The largest startup message, bytes.
const MAX_STARTUP: usize = 10_000;
const PROTOCOL: i32 = 3 << 16;
const CANCEL: i32 = 80_877_102;
const TLS: i32 = 80_877_103;
const GSSAPI: i32 = 80_877_104;

/// The first message of a client, which has no type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Startup {
    /// It asks for TLS or GSSAPI.
    Encryption,
    /// It wants to cancel a query of another connection.
    Cancel,
    /// It begins a session.
    Session,
}

/// An error with its SQLSTATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqlError {
    pub code: &'static str,
    pub message: String,
}

impl SqlError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Appends it to `out`. `severity` is `ERROR`, or `FATAL` if the session ends with it.
    pub fn write(&self, severity: &str, out: &mut BytesMut) {
        put(out, b'E', |out| {
            for (field, text) in [(b'S', severity), (b'V', severity), (b'C', self.code), (b'M', &self.message)] {
                out.put_u8(field);
                text_of(out, text);
            }
            out.put_u8(0);
        });
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Bool,
    Int,
    Float,
    Text,
}

impl ColumnKind {
    /// The type's object id and size.
    const fn oid(self) -> (i32, i16) {
        match self {
            Self::Bool => (16, 1),
            Self::Int => (20, 8),
            Self::Float => (701, 8),
            Self::Text => (25, -1),
        }
    }
}

/// Takes the startup message out of `input`; `None` if more bytes are needed.
///
/// # Errors
/// Why it is none.
pub(super) fn startup(input: &mut BytesMut) -> Result<Option<Startup>, &'static str> {
    let Some(length) = length(input, 0) else { return Ok(None) };
    if !(8..=MAX_STARTUP).contains(&length) {
        return Err("invalid length of startup packet");
    }
    if input.len() < length {
        return Ok(None);
    }
    let mut message = input.split_to(length);
    message.advance(4);
    match message.get_i32() {
        TLS | GSSAPI => Ok(Some(Startup::Encryption)),
        CANCEL => Ok(Some(Startup::Cancel)),
        PROTOCOL => Ok(Some(Startup::Session)),
        // A later minor version: the server may answer with its own.
        version if version >> 16 == 3 => Ok(Some(Startup::Session)),
        _ => Err("unsupported frontend protocol"),
    }
}

/// Takes the next whole message out of `input`: its type and its content. `None` if more bytes are needed.
///
/// # Errors
/// A message that is too long, or shorter than its own length.
pub(super) fn message(input: &mut BytesMut) -> Result<Option<(u8, Bytes)>, &'static str> {
    let Some(length) = length(input, 1) else { return Ok(None) };
    if !(4..=MAX_MESSAGE).contains(&length) {
        return Err("invalid message length");
    }
    if input.len() < length + 1 {
        return Ok(None);
    }
    let kind = input.get_u8();
    input.advance(4);
    Ok(Some((kind, input.split_to(length - 4).freeze())))
}

fn length(input: &[u8], at: usize) -> Option<usize> {
    let bytes = input.get(at..at + 4)?.try_into().ok()?;
    Some(usize::try_from(i32::from_be_bytes(bytes)).unwrap_or(usize::MAX))
}

fn put(out: &mut BytesMut, kind: u8, content: impl FnOnce(&mut BytesMut)) {
    let mut body = BytesMut::new();
    content(&mut body);
    out.put_u8(kind);
    out.put_u32(body.len() as u32 + 4);
    out.put_slice(&body);
}

fn text_of(out: &mut BytesMut, text: &str) {
    out.put_slice(text.replace('\0', " ").as_bytes());
    out.put_u8(0);
}

/// AuthenticationOk, the parameters and the key of a session.
pub(super) fn welcome(version: &str, out: &mut BytesMut) {
    put(out, b'R', |out| out.put_i32(0));
    for (name, value) in [
        ("server_version", version),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        put(out, b'S', |out| {
            text_of(out, name);
            text_of(out, value);
        });
    }
    put(out, b'K', |out| out.put_slice(&[0; 8]));
}

/// ReadyForQuery.
pub(super) fn ready(in_transaction: bool, out: &mut BytesMut) {
    put(out, b'Z', |out| out.put_u8(if in_transaction { b'T' } else { b'I' }));
}

/// CommandComplete.
pub(super) fn done(tag: &str, out: &mut BytesMut) {
    put(out, b'C', |out| text_of(out, tag));
}

/// EmptyQueryResponse.
pub(super) fn empty(out: &mut BytesMut) {
    put(out, b'I', |_| {});
}

/// RowDescription, the rows and CommandComplete. A missing value is NULL.
pub(super) fn rows(columns: &[Column], rows: &[Vec<Option<String>>], out: &mut BytesMut) {
    put(out, b'T', |out| {
        out.put_i16(columns.len() as i16);
        for column in columns {
            let (oid, size) = column.kind.oid();
            text_of(out, &column.name);
            out.put_i32(0);
            out.put_i16(0);
            out.put_i32(oid);
            out.put_i16(size);
            out.put_i32(-1);
            out.put_i16(0);
        }
    });
    for row in rows {
        put(out, b'D', |out| {
            out.put_i16(row.len() as i16);
            for value in row {
                match value {
                    None => out.put_i32(-1),
                    Some(text) => {
                        out.put_i32(text.len() as i32);
                        out.put_slice(text.as_bytes());
                    }
                }
            }
        });
    }
    done(&format!("SELECT {}", rows.len()), out);
}

/// The startup message of a client.
pub(super) fn hello(user: &str, database: &str) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_i32(PROTOCOL);
    for text in ["user", user, "database", database] {
        text_of(&mut body, text);
    }
    body.put_u8(0);
    let mut out = BytesMut::new();
    out.put_u32(body.len() as u32 + 4);
    out.put_slice(&body);
    out
}

/// A query of a client.
pub(super) fn query(sql: &str) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out, b'Q', |out| text_of(out, sql));
    out
}

/// The message of an ErrorResponse.
pub(super) fn error_text(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let message = fields.filter_map(|field| field.strip_prefix(b"M")).next().unwrap_or(b"an error without a message");
    String::from_utf8_lossy(message).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_begins_in_pieces_and_asks() {
        let mut text = hello("a", "b");
        text.extend_from_slice(&query("SELECT 1"));
        let mut input = BytesMut::new();
        let mut seen = Vec::new();
        let mut begun = false;
        for byte in text {
            input.put_u8(byte);
            if begun {
                seen.extend(message(&mut input).unwrap());
            } else {
                begun = startup(&mut input).unwrap() == Some(Startup::Session);
            }
        }
        assert_eq!(seen, [(b'Q', Bytes::from_static(b"SELECT 1\0"))]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let first = |length: i32, code: i32| {
            let mut input = BytesMut::new();
            input.put_i32(length);
            input.put_i32(code);
            startup(&mut input)
        };
        assert_eq!(first(8, TLS), Ok(Some(Startup::Encryption)));
        assert_eq!(first(8, GSSAPI), Ok(Some(Startup::Encryption)));
        assert_eq!(first(9, PROTOCOL), Ok(None));
        assert!(first(8, 2 << 16).is_err() && first(3, TLS).is_err() && first(-1, TLS).is_err());
        assert!(startup(&mut BytesMut::from("GET / HTTP/1.1\r\n")).is_err());
        assert!(message(&mut BytesMut::from(&b"Q\x7f\0\0\0"[..])).is_err());
        assert!(message(&mut BytesMut::from(&b"Q\0\0\0\x01"[..])).is_err());
    }

    #[test]
    fn an_error_says_its_message() {
        let mut out = BytesMut::new();
        SqlError::new("42P01", "no such table").write("ERROR", &mut out);
        let (kind, body) = message(&mut out).unwrap().unwrap();
        assert_eq!((kind, error_text(&body)), (b'E', "no such table".to_owned()));
    }
}
