//! What is wrong with a file, told to people: a code, a sentence, the place, and what to write instead. How the
//! problems are found is elsewhere; here they are only held, ordered and drawn.

mod codes;
mod draw;

pub use codes::Code;

use crate::source::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and probably does not do what its author thinks.
    Warning,
}

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The kind of problem; its id never changes its meaning.
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where it is; none for a problem of the whole file or of the command line.
    pub span: Option<Span>,
    /// A few words that stand at the caret.
    pub label: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
    /// The file, as it was named.
    pub file: String,
    /// The lines of the file that the span touches, so that the problem can be drawn without the file.
    excerpt: Option<Excerpt>,
}

/// The lines around a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    /// The text of the lines.
    text: String,
    /// The number of the first one, from 1.
    first_line: usize,
    /// Where the span begins and ends, in bytes of `text`.
    range: std::ops::Range<usize>,
}

impl Diagnostic {
    /// An error with this code and sentence; place, label and help are added by the methods below.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: None,
            label: None,
            help: None,
            file: String::new(),
            excerpt: None,
        }
    }

    /// A warning with this code and sentence.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// With its place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// With words at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With what to write instead, where that is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        if help.is_some() {
            self.help = help;
        }
        self
    }

    /// With the file's name and the lines that the span touches.
    #[must_use]
    pub(crate) fn in_file(mut self, file: &str, text: &str) -> Self {
        self.file = file.to_owned();
        self.excerpt = self.span.map(|span| Excerpt::around(text, span));
        self
    }

    /// True for an error, false for a warning.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The line, from 1, where there is a place.
    pub fn line(&self) -> Option<u32> {
        self.span.map(|span| span.line)
    }

    /// The column in characters, from 1, where there is a place.
    pub fn column(&self) -> Option<u32> {
        self.span.map(|span| span.column)
    }
}

impl Excerpt {
    /// A span that crosses lines is cut at the end of its first line: the beginning is what people look for.
    fn around(text: &str, span: Span) -> Self {
        let start = floor(text, span.offset.min(text.len()));
        let first = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line_end = if text[first..line_end].ends_with('\r') { line_end - 1 } else { line_end }.max(start);
        let end = floor(text, (span.offset + span.len).clamp(start, line_end));
        if line_end - first > LONG_LINE {
            // Of a long line, what is around the place.
            let begin = floor(text, start.saturating_sub(LONG_LINE / 3).max(first));
            let end = floor(text, end.min(start + LONG_LINE / 3));
            let stop = floor(text, (end + LONG_LINE / 3).min(line_end));
            return Self {
                text: text[begin..stop].to_owned(),
                first_line: span.line.max(1) as usize,
                range: start - begin..end - begin,
            };
        }
        // A line before it shows what the place belongs to.
        let before = text[..first.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1).min(first);
        let begin = if first - before > LONG_LINE { first } else { before };
        Self {
            first_line: span.line.max(1) as usize - usize::from(begin < first),
            range: start - begin..end - begin,
            text: text[begin..line_end].to_owned(),
        }
    }
}

/// A line of more bytes than this is not drawn whole.
const LONG_LINE: usize = 600;

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// By place in the file, as people read it; problems without a place come first.
pub(crate) fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(|it| (it.span.map_or(0, |span| span.offset + 1), it.severity, it.code));
}

/// The closest of the known words, if it is close enough to be what was meant.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let wanted = folded(word);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean ...`, or else the list of what is known, where that is short.
pub(crate) fn suggestion(word: &str, known: &[&str], what: &str) -> Option<String> {
    if let Some(meant) = closest(word, known.iter().copied()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    match known.len() {
        0 => None,
        1 => Some(format!("the only {what} is `{}`", known[0])),
        2..=20 => Some(format!("there are {}", words(known))),
        _ => None,
    }
}

/// `a`, `b` and `c`.
pub(crate) fn words(list: &[&str]) -> String {
    match list {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [head @ .., last] => {
            let head: Vec<String> = head.iter().map(|word| format!("`{word}`")).collect();
            format!("{} and `{last}`", head.join(", "))
        }
    }
}
