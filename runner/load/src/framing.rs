//! Answers of HTTP/1.1, which come in pieces: where the head ends, how long the body is, where it ends, and whether the
//! connection can be used again (RFC 9112, sections 4, 6, 7 and 9). Pure: no socket and no time. httparse reads the heads
//! and the sizes of chunks.

use std::mem::MaybeUninit;

use http::header;
use httparse::{Header, ParserConfig, Status};

/// The most that the head of an answer may take, in bytes and in headers.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = MAX_HEAD / 4;

/// So many headers are read without memory of their own: few servers send more.
const USUAL_HEADERS: usize = 100;

/// Causes that several places have.
const TOO_LONG: &str = "the head of the answer is longer than 64 KiB";
const NO_HEAD: &str = "the answer does not begin as HTTP/1.1";
const NO_CHUNK: &str = "the body is not in chunks, as its head says";

/// The most that the size of a chunk with its extensions may take, and all trailers together, in bytes.
const MAX_LINE: usize = 16 << 10;

/// What came is no answer of HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// What an answer goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'b> {
    /// Its head, which was shown already.
    Head,
    /// A piece of its body.
    Body(&'b [u8]),
    /// Nothing: it is over.
    End,
}

/// How the end of the connection finds an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its head is not there yet.
    Head,
    /// Its body is not whole.
    Body,
    /// It ends with the connection, as it was meant to.
    End,
}

/// Reads the answers of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    /// The beginning of a head or a line whose end is still to come.
    kept: Vec<u8>,
    /// How long the trailers are so far.
    trailers: usize,
    has_no_body: bool,
    is_last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the body are still to come.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    End,
}

impl Reader {
    /// Before the first answer.
    pub(super) const fn new() -> Self {
        Self { state: State::End, kept: Vec::new(), trailers: 0, has_no_body: false, is_last: false }
    }

    /// Another answer is to come. That to a `HEAD` has no body, whatever its head says.
    pub(super) fn begin(&mut self, has_no_body: bool) {
        *self = Self { state: State::Head, kept: Vec::new(), trailers: 0, has_no_body, is_last: false };
    }

    /// True when no other answer can follow on the connection.
    pub(super) const fn is_last(&self) -> bool {
        self.is_last
    }

    /// Takes the next part of the answer from what was read; none when more must be read. Shows the status and the headers of
    /// its head to `show`. Interim answers (1xx) are skipped: none was asked for.
    ///
    /// # Errors
    /// When these bytes cannot be what HTTP/1.1 wants here.
    pub(super) fn next<'b>(
        &mut self,
        bytes: &mut &'b [u8],
        show: impl FnOnce(u16, &[Header<'_>]),
    ) -> Result<Option<Part<'b>>, Malformed> {
        let mut show = Some(show);
        loop {
            if self.state == State::End {
                return Ok(Some(Part::End));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            match self.state {
                State::Head => {
                    if self.head(bytes, &mut show)? {
                        return Ok(Some(Part::Head));
                    }
                }
                State::Length(left) => {
                    let (piece, left) = take(bytes, left);
                    self.state = if left == 0 { State::End } else { State::Length(left) };
                    return Ok(Some(Part::Body(piece)));
                }
                State::Chunk(left) => {
                    let (piece, left) = take(bytes, left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    return Ok(Some(Part::Body(piece)));
                }
                State::UntilClose => return Ok(Some(Part::Body(std::mem::take(bytes)))),
                State::ChunkSize | State::ChunkEnd | State::Trailers => self.line(bytes)?,
                State::End => {}
            }
        }
    }

    /// What the end of the connection means for the answer.
    ///
    /// # Errors
    /// When what came of its head is none.
    pub(super) fn cut(&self) -> Result<Cut, Malformed> {
        match self.state {
            State::Head => {
                if !self.kept.is_empty() {
                    read_head(&self.kept, |_, _, _| ())?;
                }
                Ok(Cut::Head)
            }
            State::UntilClose | State::End => Ok(Cut::End),
            _ => Ok(Cut::Body),
        }
    }

    /// Reads a head. False when its end is still to come, or it was an interim one.
    fn head(
        &mut self,
        bytes: &mut &[u8],
        show: &mut Option<impl FnOnce(u16, &[Header<'_>])>,
    ) -> Result<bool, Malformed> {
        let known = self.kept.len();
        let mut kept = std::mem::take(&mut self.kept);
        let all = if known == 0 {
            *bytes
        } else {
            kept.extend_from_slice(bytes);
            // Its end is looked for where it may be new, so that a head that drips is not read from its start each time.
            if !has_end(&kept[known.saturating_sub(3)..]) {
                *bytes = &[];
                return self.keep_head(kept);
            }
            &kept
        };
        let begun = read_head(all, |status, version, headers| {
            let is_interim = (100..200).contains(&status) && status != 101;
            if !is_interim {
                (self.state, self.is_last) = framing(status, version, headers, self.has_no_body)?;
                if let Some(show) = show.take() {
                    show(status, headers);
                }
            }
            Ok(!is_interim)
        })?;
        match begun {
            Some((length, is_final)) => {
                *bytes = &bytes[length - known..];
                is_final
            }
            None => {
                if known == 0 {
                    kept = bytes.to_vec();
                }
                *bytes = &[];
                self.keep_head(kept)
            }
        }
    }

    fn keep_head(&mut self, kept: Vec<u8>) -> Result<bool, Malformed> {
        if kept.len() > MAX_HEAD {
            return Err(Malformed(TOO_LONG));
        }
        self.kept = kept;
        Ok(false)
    }

    /// Reads a line between the chunks, as far as it is there.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<(), Malformed> {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        let (piece, rest) = bytes.split_at(end);
        *bytes = rest;
        if self.kept.len() + self.trailers + piece.len() > MAX_LINE {
            return Err(Malformed("the size of a chunk or the trailers are longer than 16 KiB"));
        }
        if self.kept.is_empty() && piece.ends_with(b"\n") {
            return self.read_line(piece);
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend_from_slice(piece);
        self.read_line(&kept)?;
        if !kept.ends_with(b"\n") {
            self.kept = kept;
        }
        Ok(())
    }

    /// Reads a line, or its beginning: what is wrong already is not waited for.
    fn read_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        match self.state {
            // To httparse nothing at all is a size of 0.
            State::ChunkSize if !line.first().is_some_and(u8::is_ascii_hexdigit) => return Err(Malformed(NO_CHUNK)),
            State::ChunkSize => match httparse::parse_chunk_size(line).map_err(|_| Malformed(NO_CHUNK))? {
                Status::Partial => {}
                Status::Complete((_, 0)) => self.state = State::Trailers,
                Status::Complete((_, size)) => self.state = State::Chunk(size),
            },
            State::ChunkEnd => match line {
                b"\r" => {}
                b"\r\n" => self.state = State::ChunkSize,
                _ => return Err(Malformed(NO_CHUNK)),
            },
            _ if line == b"\r\n" => self.state = State::End,
            // They are headers; whatever they say, nobody asked for them.
            _ if line.ends_with(b"\n") => match httparse::parse_headers(line, &mut [httparse::EMPTY_HEADER]) {
                Ok(Status::Partial) => self.trailers += line.len(),
                _ => return Err(Malformed("a trailer is not a header")),
            },
            _ => {}
        }
        Ok(())
    }
}

/// So many bytes at most, and how many are left after them.
fn take<'b>(bytes: &mut &'b [u8], most: u64) -> (&'b [u8], u64) {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    let (piece, rest) = bytes.split_at(length);
    *bytes = rest;
    (piece, most - length as u64)
}

/// Whether a head ends in these bytes. Some servers leave out the carriage returns.
fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Reads a head that begins these bytes: how long it is, and what `seen` makes of its status, version and headers. None when
/// its end is still to come.
fn read_head<R>(bytes: &[u8], seen: impl FnOnce(u16, u8, &[Header<'_>]) -> R) -> Result<Option<(usize, R)>, Malformed> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut seen = Some(seen);
    match parse_head(bytes, &mut usual, &mut seen) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![const { MaybeUninit::uninit() }; MAX_HEADERS];
            parse_head(bytes, &mut many, &mut seen)
        }
        parsed => parsed,
    }
    .map_err(|_| Malformed(if bytes.starts_with(TLS) { SPEAKS_TLS } else { NO_HEAD }))?
    .transpose()
}

/// How the records begin with which a TLS server refuses what is none (RFC 8446, section 5.1): an alert.
const TLS: &[u8] = &[0x15, 0x03];
const SPEAKS_TLS: &str = "the server speaks TLS on this port: use `https://`";

type ReadHead<R> = Option<Result<(usize, R), Malformed>>;

fn parse_head<'b, R>(
    bytes: &'b [u8],
    headers: &mut [MaybeUninit<Header<'b>>],
    seen: &mut Option<impl FnOnce(u16, u8, &[Header<'_>]) -> R>,
) -> Result<ReadHead<R>, httparse::Error> {
    let mut answer = httparse::Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, headers)? {
        Status::Partial => Ok(None),
        Status::Complete(length) if length > MAX_HEAD => Ok(Some(Err(Malformed(TOO_LONG)))),
        Status::Complete(length) => Ok(match (answer.code, answer.version, seen.take()) {
            (Some(status), Some(version), Some(seen)) => Some(Ok((length, seen(status, version, answer.headers)))),
            _ => Some(Err(Malformed(NO_HEAD))),
        }),
    }
}

/// How the body after a head is framed (RFC 9112, section 6.3), and whether it is the connection's last answer (section 9.3).
fn framing(status: u16, version: u8, headers: &[Header<'_>], has_no_body: bool) -> Result<(State, bool), Malformed> {
    let mut length = None;
    let mut coding: Option<&[u8]> = None;
    let (mut closes, mut stays) = (false, version > 0);
    for Header { name, value } in headers {
        let is = |wanted: header::HeaderName| name.eq_ignore_ascii_case(wanted.as_str());
        let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if is(header::CONTENT_LENGTH) {
            for word in words {
                let number = digits(word);
                length = Some(if length.is_none_or(|known| known == number) {
                    number
                } else {
                    Err(Malformed("the answer has two lengths"))
                });
            }
        } else if is(header::TRANSFER_ENCODING) {
            coding = words.next_back();
        } else if is(header::CONNECTION) {
            for word in words {
                closes |= word.eq_ignore_ascii_case(b"close");
                stays |= word.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    let is_last = closes || !stays;
    Ok(match (coding, length) {
        // Something else is spoken from here on, by nobody's wish.
        _ if status == 101 => (State::End, true),
        _ if has_no_body || matches!(status, 204 | 304) => (State::End, is_last),
        // HTTP/1.0 knows none (section 6.1).
        (Some(_), _) if version == 0 => return Err(Malformed("the answer is in chunks, which HTTP/1.0 does not know")),
        // A length beside it is wrong, and may be an attack: the connection is not trusted again.
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => (State::ChunkSize, is_last || length.is_some()),
        (Some(_), _) | (None, None) => (State::UntilClose, true),
        (None, Some(length)) => match length? {
            0 => (State::End, is_last),
            length => (State::Length(length), is_last),
        },
    })
}

/// A number that has no sign.
fn digits(word: &[u8]) -> Result<u64, Malformed> {
    let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(word)
        .ok()
        .filter(|_| is_number)
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed("the length of the answer is not a number"))
}

#[cfg(test)]
mod tests;
