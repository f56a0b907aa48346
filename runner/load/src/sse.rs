//! Server-sent events, read from bytes that may be cut anywhere.
//!
//! Follows the WHATWG HTML standard, section 9.2.6, as far as the OpenAI API uses it: lines end with LF, CR or CRLF, a
//! line that starts with a colon is a comment, several `data` lines of an event are joined by LF, and an event ends at
//! an empty line. Two things go beyond it. A field `error`, in which llama.cpp reports a failure, is an event with that
//! name. And an event that the stream's proper end completes is not discarded: some servers end the last line with one
//! line feed, or with none. It knows nothing about what the data means.

/// An image as a part of an answer fits into one event. Beyond this the stream is refused, so that it cannot fill the
/// memory.
pub(super) const MAX_EVENT: usize = 8 << 20;

/// The name of an event that reports a failure.
pub(super) const ERROR: &[u8] = b"error";

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'p> {
    /// Its name; empty for one that gives none.
    pub(super) name: &'p [u8],
    /// Its data lines.
    pub(super) data: &'p [u8],
}

/// The event is larger than [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The line that has begun, where it was cut by the end of a piece.
    line: Vec<u8>,
    /// The data of the event that has begun.
    data: Vec<u8>,
    has_data: bool,
    /// The name of the event that has begun.
    name: Vec<u8>,
    /// There was a comment.
    has_comments: bool,
    /// The last byte was CR, so a LF that follows belongs to the same line end.
    after_cr: bool,
    /// Bytes of the byte order mark that may start the stream, already read over.
    started: bool,
}

impl Parser {
    /// Takes the next piece of the stream and calls `event` with each event that it completes.
    ///
    /// # Errors
    /// [`TooLarge`] when an event does not end within [`MAX_EVENT`].
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

    /// The stream came to its end as HTTP has it: calls `event` with the event that no empty line has ended, if any.
    pub(super) fn finish(&mut self, mut event: impl FnMut(Event<'_>)) {
        let line = std::mem::take(&mut self.line);
        // What is too large by now is not the end mark.
        let read = if line.is_empty() { Ok(()) } else { self.line(&line, &mut event) };
        if read.is_ok() {
            self.dispatch(&mut event);
        }
    }

    /// How many bytes it keeps of an event that has begun.
    pub(super) fn kept(&self) -> usize {
        self.line.len() + self.data.len()
    }

    /// Whether there was a comment, as servers send to keep a connection open.
    pub(super) const fn has_comments(&self) -> bool {
        self.has_comments
    }

    fn line(&mut self, line: &[u8], event: &mut impl FnMut(Event<'_>)) -> Result<(), TooLarge> {
        let line = if std::mem::replace(&mut self.started, true) {
            line
        } else {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        };
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

    /// Ends the event that has begun. One without data is none, unless it reports a failure.
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
    fn the_end_of_the_stream_ends_an_event_as_well() {
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
    fn comments_are_read_over_and_known() {
        let mut parser = Parser::default();
        parser.feed(b"data: a\n\n", |_| ()).unwrap();
        assert!(!parser.has_comments());
        parser.feed(b": still working\n\n", |event| panic!("{event:?}")).unwrap();
        assert!(parser.has_comments() && parser.kept() == 0);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let piece = [b'x'; 1 << 16];
        assert!((0..200).any(|_| parser.feed(&piece, |_| ()) == Err(TooLarge)));
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..200).any(|_| parser.feed(&line, |_| ()) == Err(TooLarge)));
    }
}
