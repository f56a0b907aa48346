//! Draws a problem with annotate-snippets. Everything that comes from a file or a command line is made harmless first.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Diagnostic, Severity};

pub(super) fn draw(diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level.primary_title(harmless(&diagnostic.message)).id(diagnostic.code.id());
    let mut elements = Vec::new();
    let file = harmless(&diagnostic.file);
    if let Some(excerpt) = &diagnostic.excerpt {
        let (text, range) = visible(&excerpt.text, excerpt.range.clone());
        let annotation = AnnotationKind::Primary.span(range).label(diagnostic.label.as_deref().map(harmless));
        elements.push(annotate_snippets::Element::from(
            Snippet::source(text).path(file).line_start(excerpt.first_line).fold(false).annotation(annotation),
        ));
    } else if !file.is_empty() {
        elements.push(annotate_snippets::Origin::path(file).into());
    }
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(harmless(help)).into());
    }
    let _ = &mut group;
    let group = group.elements(elements);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// Text without characters that a terminal acts on, each shown as its escape.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut out, character);
    }
    out
}

/// The same for lines of a file, with the range moved along. Tabs become four spaces.
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
    // Beside the control characters: marks that turn the direction of text, and ones that have no width, because with
    // them a line can read otherwise than it is.
    let hidden = matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if character.is_control() || hidden {
        out.extend(character.escape_unicode());
    } else {
        out.push(character);
    }
}
