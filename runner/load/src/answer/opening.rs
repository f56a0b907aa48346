//! Detects the format of a streamed answer: events, lines of JSON, or one object. Servers and gateways announce streams with
//! any media type, so the first bytes decide, and the type decides only if they are ambiguous.

/// The longest beginning that is only blanks, in bytes.
const MOST_BLANKS: usize = 1 << 10;

/// The words in the media types of JSON lines, which have no registered one.
const LINES: [&str; 4] = ["ndjson", "nd-json", "jsonl", "json-lines"];

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    Events,
    Lines,
    Object,
}

/// The beginning of a body.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) begin: Vec<u8>,
    /// Its type is that of one object.
    pub(super) is_json: bool,
    /// Its type is that of a stream of events.
    pub(super) is_announced: bool,
    is_lines: bool,
}

impl Opening {
    /// A body with this media type, which may be empty.
    pub(super) fn new(kind: &[u8]) -> Self {
        let kind = String::from_utf8_lossy(kind).to_ascii_lowercase();
        Self {
            begin: Vec::new(),
            is_json: kind.starts_with("application/json") && !kind.starts_with("application/jsonl"),
            is_announced: kind.starts_with("text/event-stream"),
            is_lines: LINES.iter().any(|it| kind.contains(it)),
        }
    }

    /// Processes the next chunk. Returns what the body is, once it is known.
    pub(super) fn piece(&mut self, piece: &[u8]) -> Option<Opened> {
        self.begin.extend_from_slice(piece);
        let text = self.begin.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.begin).trim_ascii_start();
        match text.first() {
            None if self.begin.len() <= MOST_BLANKS => None,
            // The beginning of a byte order mark.
            Some(0xEF) if text.len() < 3 => None,
            Some(b'{') if self.is_lines => Some(Opened::Lines),
            Some(b'{' | b'[') => Some(Opened::Object),
            // The first letters of the fields of an event (`data`, `event`, `error`, `id`, `retry`), and a comment.
            Some(b'd' | b'e' | b'i' | b'r' | b':') => Some(Opened::Events),
            _ => Some(self.at_end()),
        }
    }

    /// The format of the body if its first bytes are ambiguous.
    pub(super) fn at_end(&self) -> Opened {
        if self.is_json { Opened::Object } else { Opened::Events }
    }
}
