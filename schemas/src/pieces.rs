//! Splits text into plain text and template expressions.

/// A piece of a string value.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece<'s> {
    Text(&'s str),
    /// The text between the braces.
    Expression(&'s str),
    /// A statement, or braces that are not closed: the message and the help.
    Bad(&'static str, &'static str),
}

/// Splits a string at its expressions.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let inside = &rest[at + 2..];
        if rest[at..].starts_with("{%") {
            pieces.push(Piece::Bad(
                "template statements (`{% ... %}`) cannot be used in a scenario",
                "use an expression, such as `{{ a if b else c }}`; to send these characters, write `{{ \"{%\" }}`",
            ));
            return pieces;
        }
        let Some(end) = closing(inside) else {
            pieces.push(Piece::Bad(
                "a template expression begins with `{{` and never ends",
                "close it with `}}`; to send these characters, write `{{ \"{{\" }}`",
            ));
            return pieces;
        };
        pieces.push(Piece::Expression(&inside[..end]));
        rest = &inside[end + 2..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The position of the closing braces of an expression. Quoted text and inner braces are skipped.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}
