//! Incremental parsing of HTTP/1.1 answers: where the head ends, how long the body is, where it ends, and whether the
//! connection can be reused (RFC 9112, sections 4, 6, 7 and 9). Pure: no socket and no clock. httparse parses the heads and
//! the sizes of chunks.

use std::mem::MaybeUninit;

use http::header;
use httparse::{Header, ParserConfig, Status};

/// The maximum size of a head, in bytes and in headers.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = MAX_HEAD / 4;

/// The number of headers that are parsed without an allocation. Few servers send more.
const USUAL_HEADERS: usize = 100;

const TOO_LONG: &str = "the head of the answer is longer than 64 KiB";
const NO_HEAD: &str = "the answer is not HTTP/1.1";
const NO_CHUNK: &str = "the body is not chunked, although its head says so";

/// The maximum size of a chunk's size line with its extensions, and of all trailers together, in bytes.
const MAX_LINE: usize = 16 << 10;

/// The bytes are not a valid HTTP/1.1 answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The next part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerPart<'b> {
    /// The head, which was passed to `show`.
    Head,
    /// A piece of the body.
    Body(&'b [u8]),
    /// The end of the answer.
    End,
}

/// The state of an answer at the end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The head is incomplete.
    Head,
    /// The body is incomplete.
    Body,
    /// The answer is complete.
    End,
}

/// Parses the answers of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    state: FramingState,
    /// The beginning of an incomplete head or line.
    kept: Vec<u8>,
    /// The size of the trailers so far.
    trailers: usize,
    has_no_body: bool,
    is_last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FramingState {
    Head,
    /// The remaining bytes of the body.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    End,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self { state: FramingState::End, kept: Vec::new(), trailers: 0, has_no_body: false, is_last: false }
    }

    /// Begins the next answer. An answer to `HEAD` has no body, regardless of its head.
    pub(super) fn begin(&mut self, has_no_body: bool) {
        *self = Self { state: FramingState::Head, kept: Vec::new(), trailers: 0, has_no_body, is_last: false };
    }

    /// True when no other answer can follow on the connection.
    pub(super) const fn is_last(&self) -> bool {
        self.is_last
    }

    /// Takes the next part of the answer from the bytes that were read. None if more bytes are needed. Passes the status
    /// and the headers to `show`. Skips interim answers (1xx), because none was requested.
    ///
    /// # Errors
    /// When the bytes are not valid HTTP/1.1 at this point.
    pub(super) fn next<'b>(
        &mut self,
        bytes: &mut &'b [u8],
        show: impl FnOnce(u16, &[Header<'_>]),
    ) -> Result<Option<AnswerPart<'b>>, Malformed> {
        let mut show = Some(show);
        loop {
            if self.state == FramingState::End {
                return Ok(Some(AnswerPart::End));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            match self.state {
                FramingState::Head => {
                    if self.head(bytes, &mut show)? {
                        return Ok(Some(AnswerPart::Head));
                    }
                }
                FramingState::Length(left) => {
                    let (piece, left) = take(bytes, left);
                    self.state = if left == 0 { FramingState::End } else { FramingState::Length(left) };
                    return Ok(Some(AnswerPart::Body(piece)));
                }
                FramingState::Chunk(left) => {
                    let (piece, left) = take(bytes, left);
                    self.state = if left == 0 { FramingState::ChunkEnd } else { FramingState::Chunk(left) };
                    return Ok(Some(AnswerPart::Body(piece)));
                }
                FramingState::UntilClose => return Ok(Some(AnswerPart::Body(std::mem::take(bytes)))),
                FramingState::ChunkSize | FramingState::ChunkEnd | FramingState::Trailers => self.line(bytes)?,
                FramingState::End => {}
            }
        }
    }

    /// The state of the answer at the end of the connection.
    ///
    /// # Errors
    /// When the incomplete head is already invalid.
    pub(super) fn cut(&self) -> Result<Cut, Malformed> {
        match self.state {
            FramingState::Head => {
                if !self.kept.is_empty() {
                    read_head(&self.kept, |_, _, _| ())?;
                }
                Ok(Cut::Head)
            }
            FramingState::UntilClose | FramingState::End => Ok(Cut::End),
            _ => Ok(Cut::Body),
        }
    }

    /// Reads a head. False if it is incomplete, or was that of an interim answer.
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
            // Only new bytes are searched for the end, so that a head that arrives byte by byte is not rescanned from its
            // start.
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

    /// Reads a line between chunks, as far as it was received.
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

    /// Reads a line or its beginning: an error is reported before the line is complete.
    fn read_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        match self.state {
            // httparse accepts an empty size as 0.
            FramingState::ChunkSize if !line.first().is_some_and(u8::is_ascii_hexdigit) => {
                return Err(Malformed(NO_CHUNK));
            }
            FramingState::ChunkSize => match httparse::parse_chunk_size(line).map_err(|_| Malformed(NO_CHUNK))? {
                Status::Partial => {}
                Status::Complete((_, 0)) => self.state = FramingState::Trailers,
                Status::Complete((_, size)) => self.state = FramingState::Chunk(size),
            },
            FramingState::ChunkEnd => match line {
                b"\r" => {}
                b"\r\n" => self.state = FramingState::ChunkSize,
                _ => return Err(Malformed(NO_CHUNK)),
            },
            _ if line == b"\r\n" => self.state = FramingState::End,
            // Trailers must be valid headers. Their contents are ignored.
            _ if line.ends_with(b"\n") => match httparse::parse_headers(line, &mut [httparse::EMPTY_HEADER]) {
                Ok(Status::Partial) => self.trailers += line.len(),
                _ => return Err(Malformed("a trailer is not a valid header")),
            },
            _ => {}
        }
        Ok(())
    }
}

/// Takes at most `most` bytes, and returns how many are left after them.
fn take<'b>(bytes: &mut &'b [u8], most: u64) -> (&'b [u8], u64) {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    let (piece, rest) = bytes.split_at(length);
    *bytes = rest;
    (piece, most - length as u64)
}

/// Whether these bytes contain the end of a head. Some servers omit the carriage returns.
fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Parses a head at the start of these bytes: its length, and the result of `seen` for its status, version and headers.
/// None if the head is incomplete.
fn read_head<R>(bytes: &[u8], seen: impl FnOnce(u16, u8, &[Header<'_>]) -> R) -> Result<Option<(usize, R)>, Malformed> {
    let mut seen = Some(seen);
    match any_head(bytes, &mut seen) {
        Err(error) => match unfolded(bytes) {
            Some(bytes) => any_head(&bytes, &mut seen),
            None => Err(error),
        },
        parsed => parsed,
    }
    .map_err(|_| Malformed(if bytes.starts_with(TLS) { SPEAKS_TLS } else { NO_HEAD }))?
    .transpose()
}

/// The same with as few or as many headers as it has.
fn any_head<R>(
    bytes: &[u8],
    seen: &mut Option<impl FnOnce(u16, u8, &[Header<'_>]) -> R>,
) -> Result<ReadHead<R>, httparse::Error> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    match parse_head(bytes, &mut usual, seen) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![const { MaybeUninit::uninit() }; MAX_HEADERS];
            parse_head(bytes, &mut many, seen)
        }
        parsed => parsed,
    }
}

/// A head with blanks in place of the line breaks within its headers, which old servers still send (RFC 9112, section 5.2). None
/// if there are none. What follows the head stays.
fn unfolded(head: &[u8]) -> Option<Vec<u8>> {
    // Of the empty line at the end, the second line break may be followed by a blank of the body.
    let ends = [&b"\n\n"[..], b"\n\r\n"].map(|end| head.windows(end.len()).position(|part| part == end));
    let end = ends.into_iter().flatten().min().map_or(head.len(), |at| at + 1);
    let is_fold = |at: &usize| head[*at] == b'\n' && matches!(head.get(at + 1), Some(b' ' | b'\t'));
    let folds: Vec<usize> = (1..end).filter(is_fold).collect();
    let mut plain = head.to_vec();
    for at in &folds {
        plain[*at] = b' ';
        if plain[at - 1] == b'\r' {
            plain[at - 1] = b' ';
        }
    }
    (!folds.is_empty()).then_some(plain)
}

/// How a TLS server's answer to plain text begins (RFC 8446, section 5.1): an alert record.
const TLS: &[u8] = &[0x15, 0x03];
const SPEAKS_TLS: &str = "the server speaks TLS on this port: use `https://`";

type ReadHead<R> = Option<Result<(usize, R), Malformed>>;

fn parse_head<'b, R>(
    bytes: &'b [u8],
    headers: &mut [MaybeUninit<Header<'b>>],
    seen: &mut Option<impl FnOnce(u16, u8, &[Header<'_>]) -> R>,
) -> Result<ReadHead<R>, httparse::Error> {
    let mut answer = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    // Servers have sent `Name : value`, and clients accept it.
    config.allow_spaces_after_header_name_in_responses(true);
    match config.parse_response_with_uninit_headers(&mut answer, bytes, headers)? {
        Status::Partial => Ok(None),
        Status::Complete(length) if length > MAX_HEAD => Ok(Some(Err(Malformed(TOO_LONG)))),
        Status::Complete(length) => Ok(match (answer.code, answer.version, seen.take()) {
            (Some(status), Some(version), Some(seen)) => Some(Ok((length, seen(status, version, answer.headers)))),
            _ => Some(Err(Malformed(NO_HEAD))),
        }),
    }
}

/// How the body after a head is framed (RFC 9112, section 6.3), and whether this is the connection's last answer (section
/// 9.3).
fn framing(
    status: u16,
    version: u8,
    headers: &[Header<'_>],
    has_no_body: bool,
) -> Result<(FramingState, bool), Malformed> {
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
                    Err(Malformed("the answer has conflicting lengths"))
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
        // The server switched to another protocol, which was not requested.
        _ if status == 101 => (FramingState::End, true),
        _ if has_no_body || matches!(status, 204 | 304) => (FramingState::End, is_last),
        // HTTP/1.0 has no chunks (section 6.1).
        (Some(_), _) if version == 0 => return Err(Malformed("the answer is chunked, which HTTP/1.0 does not allow")),
        // A length in addition to chunks is invalid and may be an attack. The connection is not reused.
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => {
            (FramingState::ChunkSize, is_last || length.is_some())
        }
        (Some(_), _) | (None, None) => (FramingState::UntilClose, true),
        (None, Some(length)) => match length? {
            0 => (FramingState::End, is_last),
            length => (FramingState::Length(length), is_last),
        },
    })
}

/// A number without a sign.
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
