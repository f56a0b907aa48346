//! A parser for server-sent events, from bytes that may be cut anywhere.
//!
//! It follows the WHATWG HTML standard, section 9.2.6, as far as the OpenAI API uses it: lines end with LF, CR or CRLF, a
//! line that starts with a colon is a comment, several `data` lines of an event are joined by LF, and an event ends at an
//! empty line. It is written by hand for two extensions, which parsers of the standard lack. A field `error`, in which
//! llama.cpp reports a failure, is an event with that name. And an event that is terminated only by the regular end of the
//! stream is not discarded, because some servers end the last line with one line feed, or with none. The parser does not
//! interpret the data.

/// The maximum size of an event, in bytes. An image as a part of an answer fits. A larger event is rejected, so that a
/// stream cannot exhaust the memory.
pub(super) const MAX_EVENT: usize = 8 << 20;

/// The name of an event that reports a failure.
pub(super) const ERROR: &[u8] = b"error";

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'p> {
    /// Its name. Empty if it has none.
    pub(super) name: &'p [u8],
    /// Its data.
    pub(super) data: &'p [u8],
}

/// The event is larger than [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The parser of one stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The line that has begun, if a chunk ended within it.
    line: Vec<u8>,
    /// The data of the current event.
    data: Vec<u8>,
    has_data: bool,
    /// The name of the current event.
    name: Vec<u8>,
    /// The stream contains a comment.
    has_comments: bool,
    /// Each line is the data of an event.
    is_lines: bool,
    /// The last byte was CR, so a following LF belongs to the same line end.
    after_cr: bool,
    /// The byte order mark at the start, if any, was skipped.
    started: bool,
}

impl Parser {
    /// A parser for lines of JSON (`application/x-ndjson`): each line that is not empty is an event.
    pub(super) fn of_lines() -> Self {
        Self { is_lines: true, ..Self::default() }
    }

    /// Parses the next chunk of the stream and calls `event` for each event that it completes.
    ///
    /// # Errors
    /// [`TooLarge`] when an event exceeds [`MAX_EVENT`].
    pub(super) fn feed(&mut self, mut piece: &[u8], mut event: impl FnMut(Event<'_>)) -> Result<(), TooLarge> {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_cr) && piece[0] == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let Some(end) = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                if self.line.len() + piece.len() > MAX_EVENT {
                    return Err(TooLarge);
                }
                self.line.extend_from_slice(piece);
                return Ok(());
            };
            self.after_cr = piece[end] == b'\r';
            let (rest_of_line, rest) = (&piece[..end], &piece[end + 1..]);
            if self.line.is_empty() {
                self.line(rest_of_line, &mut event)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(rest_of_line);
                self.line(&line, &mut event)?;
                line.clear();
                self.line = line;
            }
            piece = rest;
        }
        Ok(())
    }

    /// The stream ended regularly: calls `event` for an event that was not terminated by an empty line, if any.
    pub(super) fn finish(&mut self, mut event: impl FnMut(Event<'_>)) {
        let line = std::mem::take(&mut self.line);
        // An event that exceeds the limit here is not the end mark.
        let read = if line.is_empty() { Ok(()) } else { self.line(&line, &mut event) };
        if read.is_ok() {
            self.dispatch(&mut event);
        }
    }

    /// Whether each line is an event.
    pub(super) const fn is_lines(&self) -> bool {
        self.is_lines
    }

    /// The number of buffered bytes of the current event.
    pub(super) fn kept(&self) -> usize {
        self.line.len() + self.data.len()
    }

    /// Whether the stream contains comments, which servers send to keep a connection open.
    pub(super) const fn has_comments(&self) -> bool {
        self.has_comments
    }

    fn line(&mut self, line: &[u8], event: &mut impl FnMut(Event<'_>)) -> Result<(), TooLarge> {
        let line = if std::mem::replace(&mut self.started, true) {
            line
        } else {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        };
        if self.is_lines {
            if !line.trim_ascii().is_empty() {
                event(Event { name: b"", data: line });
            }
            return Ok(());
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            _ if line.is_empty() => {
                self.dispatch(event);
                return Ok(());
            }
            Some(0) => {
                self.has_comments = true;
                return Ok(());
            }
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (line, &line[line.len()..]),
        };
        match field {
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
                return Ok(());
            }
            b"data" => {}
            ERROR => {
                self.name.clear();
                self.name.extend_from_slice(ERROR);
            }
            _ => return Ok(()),
        }
        if self.data.len() + value.len() > MAX_EVENT {
            return Err(TooLarge);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    /// Ends the current event. An event without data is ignored unless it reports a failure.
    fn dispatch(&mut self, event: &mut impl FnMut(Event<'_>)) {
        if std::mem::take(&mut self.has_data) || self.name == ERROR {
            event(Event { name: &self.name, data: &self.data });
        }
        self.data.clear();
        self.name.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(text: &str, cut: usize) -> Vec<String> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in text.as_bytes().chunks(cut) {
            parser.feed(piece, |event| events.push(shown(event))).unwrap();
        }
        events
    }

    fn shown(event: Event<'_>) -> String {
        let text = |bytes| String::from_utf8_lossy(bytes);
        match event.name {
            b"" => text(event.data).into_owned(),
            name => format!("{}: {}", text(name), text(event.data)),
        }
    }

    const STREAM: &str = "\u{feff}data: one\n\n: a comment\r\n\r\ndata:two\r\ndata: and more\r\n\r\n\
                          event: ping\nid: 4\ndatabase: no\n\ndata\n\ndata:  x\r\rerror: {}\n\nevent: error\n\ndata: [DONE]\n\ndata: never ended\n";

    #[test]
    fn reads_all_line_ends_comments_and_several_data_lines() {
        assert_eq!(events(STREAM, STREAM.len()), ["one", "two\nand more", "", " x", "error: {}", "error: ", "[DONE]"]);
    }

    proptest! {
        #[test]
        fn a_stream_may_be_cut_anywhere(cut in 1_usize..40) {
            prop_assert_eq!(events(STREAM, cut), events(STREAM, STREAM.len()));
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1_usize..40) {
            let mut parser = Parser::default();
            for piece in bytes.chunks(cut) {
                parser.feed(piece, |_| ()).unwrap();
            }
        }
    }

    #[test]
    fn the_end_of_the_stream_terminates_an_event() {
        for (text, last) in [
            ("data: [DONE]", vec!["[DONE]"]),
            ("data: [DONE]\n", vec!["[DONE]"]),
            ("data: [DONE]\r\n", vec!["[DONE]"]),
            ("data: [DONE]\n\n", vec![]),
            ("error: no", vec!["error: no"]),
            ("id: 7", vec![]),
            ("", vec![]),
        ] {
            for cut in [1, 3, 100] {
                let mut parser = Parser::default();
                text.as_bytes().chunks(cut).for_each(|piece| parser.feed(piece, |_| ()).unwrap());
                let mut events = Vec::new();
                parser.finish(|event| events.push(shown(event)));
                assert_eq!(events, last, "{text:?}");
            }
        }
    }

    #[test]
    fn each_line_of_json_is_an_event() {
        let mut parser = Parser::of_lines();
        let mut events = Vec::new();
        for piece in [&b"{\"a\": 1}\r\n\n{\"b\""[..], b": 2}\n{\"c\""] {
            parser.feed(piece, |event| events.push(shown(event))).unwrap();
        }
        parser.finish(|event| events.push(shown(event)));
        assert_eq!(events, ["{\"a\": 1}", "{\"b\": 2}", "{\"c\""]);
    }

    #[test]
    fn skips_and_reports_comments() {
        let mut parser = Parser::default();
        parser.feed(b"data: a\n\n", |_| ()).unwrap();
        assert!(!parser.has_comments());
        parser.feed(b": still working\n\n", |event| panic!("{event:?}")).unwrap();
        assert!(parser.has_comments() && parser.kept() == 0);
    }

    #[test]
    fn rejects_an_event_that_does_not_end() {
        let mut parser = Parser::default();
        let piece = [b'x'; 1 << 16];
        assert!((0..200).any(|_| parser.feed(&piece, |_| ()) == Err(TooLarge)));
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..200).any(|_| parser.feed(&line, |_| ()) == Err(TooLarge)));
    }
}
