//! Server-sent events, read from bytes that may be cut anywhere.
//!
//! Follows the WHATWG HTML standard, section 9.2.6, as far as the OpenAI API uses it: lines end with LF, CR or CRLF, a
//! line that starts with a colon is a comment, several `data` lines of an event are joined by LF, and an event ends at
//! an empty line. Fields other than `data` are read over. It knows nothing about what the data means.

/// More than an event of a well-behaved server has; beyond it the stream is refused, so that it cannot fill the memory.
const MAX_EVENT: usize = 1 << 20;

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
    /// The last byte was CR, so a LF that follows belongs to the same line end.
    after_cr: bool,
    /// Bytes of the byte order mark that may start the stream, already read over.
    started: bool,
}

impl Parser {
    /// Takes the next piece of the stream and calls `event` with the data of each event that it completes.
    ///
    /// # Errors
    /// [`TooLarge`] when an event does not end within 1 MiB.
    pub(super) fn feed(&mut self, mut piece: &[u8], mut event: impl FnMut(&[u8])) -> Result<(), TooLarge> {
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

    fn line(&mut self, line: &[u8], event: &mut impl FnMut(&[u8])) -> Result<(), TooLarge> {
        let line = if std::mem::replace(&mut self.started, true) {
            line
        } else {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        };
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                event(&self.data);
                self.data.clear();
            }
            return Ok(());
        }
        let Some(value) = line.strip_prefix(b"data") else { return Ok(()) };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            // Another field, whose name only starts alike.
            _ => return Ok(()),
        };
        if self.data.len() + value.len() > MAX_EVENT {
            return Err(TooLarge);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
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
            parser.feed(piece, |data| events.push(String::from_utf8_lossy(data).into_owned())).unwrap();
        }
        events
    }

    const STREAM: &str = "\u{feff}data: one\n\n: a comment\r\n\r\ndata:two\r\ndata: and more\r\n\r\n\
                          event: ping\nid: 4\ndatabase: no\n\ndata\n\ndata:  x\r\rdata: [DONE]\n\ndata: never ended\n";

    #[test]
    fn reads_all_line_ends_comments_and_several_data_lines() {
        assert_eq!(events(STREAM, STREAM.len()), ["one", "two\nand more", "", " x", "[DONE]"]);
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
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let piece = [b'x'; 1 << 16];
        assert!((0..100).any(|_| parser.feed(&piece, |_| ()) == Err(TooLarge)));
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..100).any(|_| parser.feed(&line, |_| ()) == Err(TooLarge)));
    }
}
