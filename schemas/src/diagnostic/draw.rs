//! Draws a problem with annotate-snippets. Text from files and command lines is escaped first.

use annotate_snippets::renderer::{DEFAULT_TERM_WIDTH, DecorStyle};
use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Severity};

impl Diagnostic {
    /// The problem for a terminal: headline, `file:line:column`, the lines with a caret, and the help. With `color` it
    /// has ANSI styles. Control characters of the file are escaped.
    pub fn render(&self, color: bool) -> String {
        draw(self, color, DEFAULT_TERM_WIDTH)
    }

    /// The same for a terminal with this number of columns. Longer lines of the file are cut around the problem; the sentences
    /// are as long as they are.
    pub fn render_within(&self, color: bool, columns: usize) -> String {
        draw(self, color, columns)
    }
}

fn draw(diagnostic: &Diagnostic, color: bool, columns: usize) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut elements: Vec<Element<'_>> = Vec::new();
    let file = harmless(&diagnostic.file);
    if let Some(excerpt) = &diagnostic.excerpt {
        let (text, range) = visible(&excerpt.text, excerpt.range.clone());
        let annotation = AnnotationKind::Primary.span(range).label(diagnostic.label.as_deref().map(harmless));
        let snippet = Snippet::source(text).path(file).line_start(excerpt.first_line).fold(false);
        elements.push(snippet.annotation(annotation).into());
    } else if !file.is_empty() {
        elements.push(Origin::path(file).into());
    }
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(harmless(help)).into());
    }
    let group = level.primary_title(harmless(&diagnostic.message)).id(diagnostic.code.id()).elements(elements);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let drawn = renderer.term_width(columns).decor_style(DecorStyle::Ascii).render(&[group]);
    match diagnostic.span {
        Some(span) => with_column(&drawn, span.column),
        None => drawn,
    }
}

/// Corrects the column in the second line of the drawing. The library counts columns in the drawn line, with escapes
/// and without cut parts.
fn with_column(drawn: &str, column: u32) -> String {
    let place = drawn.find('\n').map(|at| at + 1).and_then(|begin| {
        let end = drawn[begin..].find('\n').map_or(drawn.len(), |at| begin + at);
        drawn[begin..end].rfind(':').map(|at| begin + at + 1)
    });
    match place {
        Some(at) => {
            let rest = drawn[at..].trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{}{column}{rest}", &drawn[..at])
        }
        None => drawn.to_owned(),
    }
}

/// Text with all characters that affect a terminal escaped.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut out, character);
    }
    out
}

/// The same for lines of a file, with the range adjusted. Tabs become four spaces.
fn visible(text: &str, range: std::ops::Range<usize>) -> (String, std::ops::Range<usize>) {
    let mut out = String::with_capacity(text.len());
    let (mut start, mut end) = (None, None);
    for (at, character) in text.char_indices() {
        if at >= range.start && start.is_none() {
            start = Some(out.len());
        }
        if at >= range.end && end.is_none() {
            end = Some(out.len());
        }
        match character {
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            '\r' if text[at..].starts_with("\r\n") => {}
            _ => push(&mut out, character),
        }
    }
    let start = start.unwrap_or(out.len());
    let end = end.unwrap_or(out.len()).max(start);
    (out, start..end)
}

fn push(out: &mut String, character: char) {
    // In addition to control characters: marks that change the direction of text and characters without width. With
    // them a line can read differently from its content.
    let hidden = matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if character.is_control() || hidden {
        out.extend(character.escape_unicode());
    } else {
        out.push(character);
    }
}
