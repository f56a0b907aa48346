//! A problem of a file, for people: a code, a sentence, the position, and how to fix it. This module holds, orders and
//! draws problems. Other modules find them.

mod codes;
mod draw;

pub use codes::Code;

use crate::source::Span;

/// The severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but it probably does not do what its author expects.
    Warning,
}

/// A problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The kind of problem. The meaning of its id never changes.
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Its position. None for a problem of the whole file or of the command line.
    pub span: Option<Span>,
    /// A few words next to the caret.
    pub label: Option<String>,
    /// How to fix it.
    pub help: Option<String>,
    /// The name that it is about, where a program needs it: the variable that a file does not have.
    pub about: Option<String>,
    /// The file, as named on the command line.
    pub file: String,
    /// The lines of the file that the span covers, so that the problem can be drawn without the file.
    excerpt: Option<Excerpt>,
}

/// The lines around a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    /// The text of the lines.
    text: String,
    /// The number of the first line, from 1.
    first_line: usize,
    /// The span, in bytes of `text`.
    range: std::ops::Range<usize>,
}

impl Diagnostic {
    /// An error with this code and message. The methods below add the position, the label and the help.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: None,
            label: None,
            help: None,
            about: None,
            file: String::new(),
            excerpt: None,
        }
    }

    /// A warning with this code and message.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Sets the position.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the words next to the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets the help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the name that it is about.
    #[must_use]
    pub(crate) fn about(mut self, name: &str) -> Self {
        self.about = Some(name.to_owned());
        self
    }

    /// Sets the help, if there is one.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        if help.is_some() {
            self.help = help;
        }
        self
    }

    /// Sets the file's name and the lines that the span covers.
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

    /// The line, from 1. None without a position.
    pub fn line(&self) -> Option<u32> {
        self.span.map(|span| span.line)
    }

    /// The column in characters, from 1. None without a position.
    pub fn column(&self) -> Option<u32> {
        self.span.map(|span| span.column)
    }
}

impl Excerpt {
    /// The excerpt around a span. A span of several lines is cut at the end of its first line, where its key is.
    fn around(text: &str, span: Span) -> Self {
        let start = floor(text, span.offset.min(text.len()));
        let first = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line_end = if text[first..line_end].ends_with('\r') { line_end - 1 } else { line_end }.max(start);
        let end = floor(text, (span.offset + span.len).clamp(start, line_end));
        if line_end - first > LONG_LINE {
            // Only the part of a long line around the span.
            let begin = floor(text, start.saturating_sub(LONG_LINE / 3).max(first));
            let end = floor(text, end.min(start + LONG_LINE / 3));
            let stop = floor(text, (end + LONG_LINE / 3).min(line_end));
            return Self {
                text: text[begin..stop].to_owned(),
                first_line: span.line.max(1) as usize,
                range: start - begin..end - begin,
            };
        }
        // The previous line gives the context.
        let before = text[..first.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1).min(first);
        let begin = if first - before > LONG_LINE { first } else { before };
        Self {
            first_line: span.line.max(1) as usize - usize::from(begin < first),
            range: start - begin..end - begin,
            text: text[begin..line_end].to_owned(),
        }
    }
}

/// The longest line, in bytes, that is drawn completely.
const LONG_LINE: usize = 600;

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Sorts by position in the file. Problems without a position come first.
pub(crate) fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(|it| (it.span.map_or((0, 0), |span| (span.file, span.offset + 1)), it.severity, it.code));
}

/// The closest known word, if it is close enough to be a typing error.
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

/// `did you mean ...`, or the list of known words if it is short.
pub fn suggestion(word: &str, known: &[&str], what: &str) -> Option<String> {
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
