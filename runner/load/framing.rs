//! Answers of HTTP/1.1, which come in pieces: where the head ends, how long the body is, where it ends, and whether the
//! connection can be used again (RFC 9112, sections 4, 6, 7 and 9). Pure: no socket and no time. httparse reads the heads
//! and the sizes of chunks.

use std::mem::MaybeUninit;

use http::header;
use httparse::{Header, ParserConfig, Status};

/// The most that the head of an answer may take, in bytes and in headers.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;

/// The most that the size of a chunk with its extensions may take, and all trailers together, in bytes.
const MAX_LINE: usize = 16 << 10;

/// What came is no answer of HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

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
            return Err(Malformed);
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
            return Err(Malformed);
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
            State::ChunkSize if !line.first().is_some_and(u8::is_ascii_hexdigit) => return Err(Malformed),
            State::ChunkSize => match httparse::parse_chunk_size(line).map_err(|_| Malformed)? {
                Status::Partial => {}
                Status::Complete((_, 0)) => self.state = State::Trailers,
                Status::Complete((_, size)) => self.state = State::Chunk(size),
            },
            State::ChunkEnd => match line {
                b"\r" => {}
                b"\r\n" => self.state = State::ChunkSize,
                _ => return Err(Malformed),
            },
            _ if line == b"\r\n" => self.state = State::End,
            // They are headers; whatever they say, nobody asked for them.
            _ if line.ends_with(b"\n") => match httparse::parse_headers(line, &mut [httparse::EMPTY_HEADER]) {
                Ok(Status::Partial) => self.trailers += line.len(),
                _ => return Err(Malformed),
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
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut headers);
    match parsed.map_err(|_| Malformed)? {
        Status::Partial => Ok(None),
        Status::Complete(length) if length > MAX_HEAD => Err(Malformed),
        Status::Complete(length) => {
            let (Some(status), Some(version)) = (answer.code, answer.version) else { return Err(Malformed) };
            Ok(Some((length, seen(status, version, answer.headers))))
        }
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
                length = Some(if length.is_none_or(|known| known == number) { number } else { Err(Malformed) });
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
        (Some(_), _) if version == 0 => return Err(Malformed),
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
    std::str::from_utf8(word).ok().filter(|_| is_number).and_then(|text| text.parse().ok()).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What was read of an answer: its status, its body, whether it is over, whether it is the last one, and what is behind it.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct Seen {
        status: Option<u16>,
        body: Vec<u8>,
        is_over: bool,
        is_last: bool,
        rest: Vec<u8>,
    }

    /// Reads the answer to a `GET` or a `HEAD` from these pieces, after which the connection ends.
    fn read<'p>(is_head: bool, pieces: impl IntoIterator<Item = &'p [u8]>) -> (Seen, Result<Cut, Malformed>) {
        let mut reader = Reader::new();
        reader.begin(is_head);
        let mut seen = Seen::default();
        for mut bytes in pieces {
            loop {
                match reader.next(&mut bytes, |status, _| seen.status = Some(status)) {
                    Err(Malformed) => return (seen, Err(Malformed)),
                    Ok(None) => break,
                    Ok(Some(Part::Head)) => {}
                    Ok(Some(Part::Body(piece))) => seen.body.extend_from_slice(piece),
                    Ok(Some(Part::End)) => {
                        seen.is_over = true;
                        seen.rest.extend_from_slice(bytes);
                        break;
                    }
                }
            }
        }
        seen.is_last = reader.is_last();
        (seen, reader.cut())
    }

    fn whole(text: &str) -> (Seen, Result<Cut, Malformed>) {
        read(false, [text.as_bytes()])
    }

    #[test]
    fn the_body_is_as_long_as_the_head_says() {
        const H: &str = "HTTP/1.1 200 OK\r\n";
        // What comes after the head, the body, whether it is over before the connection is, and whether it is the last.
        for (text, body, is_over, is_last) in [
            ("content-length: 5\r\n\r\nhello", "hello", true, false),
            ("Content-Length: 5, 5\r\ncontent-length: 5\r\n\r\nhello", "hello", true, false),
            ("content-length: 0\r\nConnection: Upgrade, Close\r\n\r\n", "", true, true),
            ("Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\nx: y\r\n\r\n", "hello", true, false),
            ("transfer-encoding: gzip, chunked\r\n\r\n1\r\nh\r\n0\r\n\r\n", "h", true, false),
            // A length beside chunks is not believed, and the connection is not trusted again.
            ("transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n1\r\nh\r\n0\r\n\r\n", "h", true, true),
            ("transfer-encoding: gzip\r\n\r\n1\r\nh", "1\r\nh", false, true),
            ("\r\nhello", "hello", false, true),
        ] {
            let (seen, cut) = whole(&(H.to_owned() + text));
            let wanted = Seen { status: Some(200), body: body.into(), is_over, is_last, rest: Vec::new() };
            assert_eq!((seen, cut), (wanted, Ok(Cut::End)), "{text}");
        }
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        for status in [204, 304] {
            let (seen, _) = whole(&format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\nmore"));
            assert_eq!((seen.is_over, seen.is_last, seen.rest), (true, false, b"more".to_vec()), "{status}");
        }
        let (seen, _) = read(true, [&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"[..]]);
        assert!(seen.is_over && !seen.is_last);
        let (seen, _) = whole("HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02");
        assert!(seen.is_over && seen.is_last && seen.status == Some(101));
    }

    #[test]
    fn interim_answers_are_skipped() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let (seen, _) = whole(&format!("{interim}HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok"));
        assert_eq!((seen.status, seen.body.as_slice(), seen.is_over), (Some(201), &b"ok"[..], true));
        assert_eq!(whole(interim).1, Ok(Cut::Head));
    }

    #[test]
    fn old_servers_close_unless_they_say_otherwise() {
        for (text, is_last) in [
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n", false),
            ("HTTP/1.1 200 OK\ncontent-length: 0\n\n", false),
        ] {
            assert_eq!(whole(text).0.is_last, is_last, "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_malformed() {
        const H: &str = "HTTP/1.1 200 OK\r\n";
        for text in [
            "220 smtp.example ESMTP ready\r\n".to_owned(),
            "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
            format!("{H}bad header\r\n\r\n"),
            format!("{H}content-length: 5\r\ncontent-length: 6\r\n\r\n"),
            format!("{H}content-length: +5\r\n\r\n"),
            format!("{H}content-length: \r\n\r\n"),
            format!("{H}content-length: 99999999999999999999\r\n\r\n"),
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            format!("{H}transfer-encoding: chunked\r\n\r\nx"),
            format!("{H}transfer-encoding: chunked\r\n\r\n\r\n\r\n"),
            format!("{H}transfer-encoding: chunked\r\n\r\n;x\r\n\r\n"),
            format!("{H}transfer-encoding: chunked\r\n\r\n0\r\nnone\r\n\r\n"),
            format!("{H}transfer-encoding: chunked\r\n\r\n-1\r\n"),
            format!("{H}transfer-encoding: chunked\r\n\r\n1\r\nhello"),
            format!("{H}transfer-encoding: chunked\r\n\r\n1\r\nh\n"),
            format!("{H}transfer-encoding: chunked\r\n\r\nfffffffffffffffff"),
        ] {
            assert_eq!(whole(&text).1, Err(Malformed), "{text}");
        }
    }

    #[test]
    fn the_end_of_the_connection_has_a_meaning() {
        const H: &str = "HTTP/1.1 200 OK\r\n";
        for (text, cut) in [
            (String::new(), Ok(Cut::Head)),
            (H.to_owned(), Ok(Cut::Head)),
            (format!("{H}content-length: 5\r\n\r\n"), Ok(Cut::Body)),
            (format!("{H}content-length: 5\r\n\r\nhell"), Ok(Cut::Body)),
            (format!("{H}transfer-encoding: chunked\r\n\r\n2\r\nhe"), Ok(Cut::Body)),
            (format!("{H}transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n"), Ok(Cut::Body)),
            (format!("{H}\r\nhello"), Ok(Cut::End)),
        ] {
            assert_eq!(whole(&text).1, cut, "{text}");
        }
        // A head that dripped in is looked at as a whole only then.
        assert_eq!(read(false, [&b"HTTP/"[..], b"x"]).1, Err(Malformed));
    }

    #[test]
    fn what_has_no_end_is_given_up() {
        let head = b"HTTP/1.1 200 OK\r\n".to_vec();
        let line = [b"x: ".to_vec(), vec![b'y'; 1000], b"\r\n".to_vec()].concat();
        let chunks = [head.clone(), b"transfer-encoding: chunked\r\n\r\n".to_vec()].concat();
        for (begin, more, most) in [
            (head.clone(), vec![b'x'; 1000], MAX_HEAD),
            (head.clone(), line.clone(), MAX_HEAD),
            (head.clone(), b"a: b\r\n".to_vec(), MAX_HEAD),
            ([chunks.clone(), b"1;".to_vec()].concat(), vec![b'e'; 1000], MAX_LINE),
            ([chunks.clone(), b"0\r\n".to_vec()].concat(), line, MAX_LINE),
            ([chunks, b"0\r\n".to_vec()].concat(), vec![b't'; 1000], MAX_LINE),
        ] {
            let endless = std::iter::once(begin.as_slice()).chain(std::iter::repeat(more.as_slice()));
            let mut read_so_far = 0;
            let counted = endless.inspect(|piece| read_so_far += piece.len());
            assert_eq!(read(false, counted).1, Err(Malformed));
            assert!(read_so_far <= begin.len() + most + more.len(), "{read_so_far}");
        }
    }

    /// Answers, and what looks like them.
    fn answers() -> impl Strategy<Value = Vec<u8>> {
        const LINES: &[&str] =
            &["HTTP/1.1 200 OK\r\n", "HTTP/1.1 204 No\r\n", "HTTP/1.0 404 No\n", "HTTP/1.1 100 Go\r\n\r\n"];
        const HEADERS: &[&str] = &[
            "transfer-encoding: chunked\r\n",
            "content-length: 5\r\n",
            "content-length: 0\r\n",
            "Content-Length: 5, 5\r\n",
            "connection: close\r\n",
            "x: y\n",
        ];
        // Not the bare `\n` among trailers, where hyper takes whatever follows it.
        const BODIES: &[&str] = &["5\r\nhello\r\n", "0\r\n", "\r\n", "3;x\r\n", "a", "\r", "\0", "x: y\r\n"];
        const ANY: &[&str] = &[LINES[0], HEADERS[0], BODIES[2], BODIES[0], BODIES[4], BODIES[5], "\n"];
        let some = |of: &'static [&'static str], count| prop::collection::vec(prop::sample::select(of), count);
        let well = (some(LINES, 1..3), some(HEADERS, 0..3), some(BODIES, 0..6)).prop_map(|(lines, headers, bodies)| {
            [lines.concat(), headers.concat(), "\r\n".into(), bodies.concat()].concat()
        });
        let badly = some(ANY, 0..9).prop_map(|words| words.concat());
        prop_oneof![3 => well, 1 => badly].prop_map(String::into_bytes)
    }

    /// What hyper makes of an answer to a `GET` after which the connection ends: its status and its body, if both are whole.
    async fn by_hyper(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
        use http_body_util::{BodyExt, Empty};
        use tokio::io::AsyncWriteExt;
        let (client, mut server) = tokio::io::duplex(1 << 16);
        let stream = hyper_util::rt::TokioIo::new(client);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        let request = http::Request::new(Empty::<bytes::Bytes>::new());
        let answered = async {
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            Some((head.status.as_u16(), body.collect().await.ok()?.to_bytes().to_vec()))
        };
        let served = async {
            let mut request = [0; 1 << 10];
            tokio::io::AsyncReadExt::read(&mut server, &mut request).await.unwrap();
            // It may have heard enough.
            server.write_all(bytes).await.ok();
            drop(server);
        };
        let (answered, ..) = tokio::join!(answered, connection, served);
        answered
    }

    proptest! {
        /// Where hyper understands an answer, so do we, and the other way round.
        #[test]
        fn hyper_reads_the_same(bytes in answers()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let theirs = runtime.block_on(by_hyper(&bytes));
            let (seen, cut) = read(false, (!bytes.is_empty()).then_some(bytes.as_slice()));
            let is_whole = seen.is_over || cut == Ok(Cut::End);
            let ours = seen.status.filter(|_| is_whole).map(|status| (status, seen.body));
            prop_assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&bytes));
        }

        /// However an answer comes in pieces, it is the same answer.
        #[test]
        fn pieces_make_no_difference(bytes in answers(), cuts in prop::collection::vec(1..9_usize, 1..40)) {
            let mut rest = bytes.as_slice();
            let mut sizes = cuts.iter().cycle();
            let pieces = std::iter::from_fn(|| {
                let size = sizes.next().copied().unwrap_or(1).min(rest.len());
                let (piece, others) = rest.split_at(size);
                rest = others;
                (!piece.is_empty()).then_some(piece)
            });
            let in_pieces = read(false, pieces.collect::<Vec<_>>());
            let at_once = read(false, (!bytes.is_empty()).then_some(bytes.as_slice()));
            prop_assert_eq!(in_pieces, at_once);
        }
    }
}
