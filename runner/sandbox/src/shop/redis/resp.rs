//! The text of RESP2, read and written: pure functions over buffers.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest line, bytes: the limit of Redis for inline commands.
const MAX_LINE: usize = 64 << 10;
/// The largest value, bytes.
const MAX_BULK: usize = 1 << 20;
/// The most words of a command.
const MAX_WORDS: usize = 1024;

/// An answer. Commands are arrays of bulk strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A short text.
    Simple(String),
    /// An error: a word in capitals, and a sentence.
    Error(String),
    /// An integer.
    Number(i64),
    /// A value; `None` for no value.
    Bulk(Option<Bytes>),
    /// Several answers.
    Array(Vec<Self>),
}

impl Reply {
    /// The answer of commands without a result.
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    /// An error.
    pub fn error(message: impl Into<String>) -> Self {
        Self::Error(message.into())
    }

    /// A value.
    pub fn bulk(value: impl Into<Bytes>) -> Self {
        Self::Bulk(Some(value.into()))
    }

    /// A command.
    pub fn words(words: &[&str]) -> Self {
        Self::Array(words.iter().map(|word| Self::bulk(word.as_bytes().to_vec())).collect())
    }

    /// Appends it to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Simple(text) => line(out, '+', text),
            Self::Error(text) => line(out, '-', text),
            Self::Number(number) => line(out, ':', &number.to_string()),
            Self::Bulk(None) => line(out, '$', "-1"),
            Self::Bulk(Some(value)) => {
                line(out, '$', &value.len().to_string());
                out.put_slice(value);
                out.put_slice(b"\r\n");
            }
            Self::Array(parts) => {
                line(out, '*', &parts.len().to_string());
                parts.iter().for_each(|part| part.write(out));
            }
        }
    }
}

fn line(out: &mut BytesMut, kind: char, text: &str) {
    out.put_slice(format!("{kind}{}\r\n", text.replace(['\r', '\n'], " ")).as_bytes());
}

/// Takes the next whole command out of `input`, `None` if more bytes are needed. A line without `*` is an inline command: words
/// with blanks between them.
///
/// # Errors
/// Why it is no command, in the words of Redis.
pub(super) fn command(input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, &'static str> {
    if !input.is_empty() && input[0] != b'*' {
        let Some((end, next)) = line_end(input, 0)? else { return Ok(None) };
        let text = input.split_to(end).freeze();
        input.advance(next - end);
        let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        return Ok(Some(words.map(|word| text.slice_ref(word)).collect()));
    }
    match parse(input, 0)? {
        None => Ok(None),
        Some((Reply::Array(parts), end)) => {
            input.advance(end);
            let word = |part| if let Reply::Bulk(Some(word)) = part { Ok(word) } else { Err("expected '$'") };
            parts.into_iter().map(word).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err("expected '*'"),
    }
}

/// Takes the next whole answer out of `input`; `None` if more bytes are needed.
///
/// # Errors
/// Why it is none.
pub(super) fn reply(input: &mut BytesMut) -> Result<Option<Reply>, &'static str> {
    Ok(parse(input, 0)?.map(|(reply, end)| {
        input.advance(end);
        reply
    }))
}

/// The answer at an offset, and where it ends. An array has no arrays in it: neither side here sends any.
fn parse(input: &[u8], at: usize) -> Result<Option<(Reply, usize)>, &'static str> {
    match element(input, at)? {
        Some((Element::Array(count), mut end)) => {
            let mut parts = Vec::new();
            for _ in 0..count {
                match element(input, end)? {
                    Some((Element::Reply(part), next)) => {
                        parts.push(part);
                        end = next;
                    }
                    Some(_) => return Err("nested arrays"),
                    None => return Ok(None),
                }
            }
            Ok(Some((Reply::Array(parts), end)))
        }
        Some((Element::Reply(reply), end)) => Ok(Some((reply, end))),
        None => Ok(None),
    }
}

enum Element {
    Reply(Reply),
    /// An array of this length, whose parts follow.
    Array(usize),
}

fn element(input: &[u8], at: usize) -> Result<Option<(Element, usize)>, &'static str> {
    let Some((end, next)) = line_end(input, at)? else { return Ok(None) };
    let Some((kind, text)) = input[at..end].split_first() else { return Err("an empty line") };
    let text = String::from_utf8_lossy(text).into_owned();
    let number = || text.parse::<i64>().map_err(|_| "invalid number");
    let reply = match kind {
        b'+' => Reply::Simple(text),
        b'-' => Reply::Error(text),
        b':' => Reply::Number(number()?),
        b'$' => match number().map_err(|_| "invalid bulk length")? {
            -1 => Reply::Bulk(None),
            length => {
                let length = usize::try_from(length).ok().filter(|it| *it <= MAX_BULK).ok_or("invalid bulk length")?;
                let Some(value) = input.get(next..next + length + 2) else { return Ok(None) };
                let value = value.strip_suffix(b"\r\n").ok_or("a value that is longer than its length")?;
                return Ok(Some((Element::Reply(Reply::bulk(value.to_vec())), next + length + 2)));
            }
        },
        b'*' => {
            let count = number().map_err(|_| "invalid multibulk length")?.max(0);
            let count = usize::try_from(count).ok().filter(|it| *it <= MAX_WORDS).ok_or("invalid multibulk length")?;
            return Ok(Some((Element::Array(count), next)));
        }
        _ => return Err("unknown type"),
    };
    Ok(Some((Element::Reply(reply), next)))
}

/// The end of the line at an offset, and the beginning of the next one.
fn line_end(input: &[u8], at: usize) -> Result<Option<(usize, usize)>, &'static str> {
    match input[at..].iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
        Some(length) => {
            let end = at + length;
            let before = if length > 0 && input[end - 1] == b'\r' { end - 1 } else { end };
            Ok(Some((before, end + 1)))
        }
        None if input.len() - at >= MAX_LINE => Err("too big inline request"),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_however_it_is_cut() {
        let replies = [
            Reply::ok(),
            Reply::error("ERR no"),
            Reply::Number(-3),
            Reply::Bulk(None),
            Reply::bulk("a\r\nb"),
            Reply::words(&["GET", "k"]),
            Reply::Array(vec![]),
        ];
        let mut text = BytesMut::new();
        replies.iter().for_each(|reply| reply.write(&mut text));
        for size in [1, 2, 5, text.len()] {
            let (mut input, mut seen) = (BytesMut::new(), Vec::new());
            for part in text.chunks(size) {
                input.put_slice(part);
                while let Some(one) = reply(&mut input).unwrap() {
                    seen.push(one);
                }
            }
            assert_eq!(seen, replies, "in pieces of {size}");
        }
    }

    #[test]
    fn commands_are_arrays_or_lines_and_nonsense_is_refused() {
        let mut input = BytesMut::from("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n PING  hi \r\n\r\n*1\r\n$4\r\nPI");
        let mut next =
            || command(&mut input).unwrap().map(|words| words.iter().map(|w| w.to_vec()).collect::<Vec<_>>());
        assert_eq!(next(), Some(vec![b"GET".to_vec(), b"k".to_vec()]));
        assert_eq!(next(), Some(vec![b"PING".to_vec(), b"hi".to_vec()]));
        assert_eq!(next(), Some(vec![]));
        assert_eq!(next(), None);
        for text in [
            "*1\r\n$-5\r\n",
            "*9999999\r\n",
            "*1\r\n:3\r\n",
            "*x\r\n",
            "*1\r\n*1\r\n$1\r\na\r\n",
            "*1\r\n$1\r\nabc\r\n",
        ] {
            assert!(command(&mut BytesMut::from(text)).is_err(), "{text}");
        }
        assert!(command(&mut BytesMut::from("x".repeat(MAX_LINE).as_str())).is_err());
    }
}
