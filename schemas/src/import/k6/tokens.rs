//! The tokens of JavaScript, with their lines. Comments are left out.

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    /// A text with `'` or `"`.
    Text,
    /// A text with backticks, which may contain `${…}`.
    Template,
    Regex,
    Sign,
}

/// A token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'s> {
    pub kind: Kind,
    pub text: &'s str,
    /// Its start in the script, in bytes.
    pub offset: usize,
    pub line: u32,
}

/// The signs of several letters.
const SIGNS: [&str; 15] = ["===", "!==", "...", "=>", "==", "!=", ">=", "<=", "||", "&&", "??", "?.", "++", "--", "+="];

/// The tokens of a script.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found: Vec<Token<'_>> = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(letter) = source[at..].chars().next() {
        let rest = &source[at..];
        let (len, kind) = match letter {
            _ if letter.is_whitespace() => (letter.len_utf8(), None),
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
            '/' if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), None),
            '"' | '\'' => (quoted(rest, letter, false), Some(Kind::Text)),
            '`' => (quoted(rest, letter, true), Some(Kind::Template)),
            '/' if begins_regex(&found) => (quoted(rest, '/', false), Some(Kind::Regex)),
            '0'..='9' => (
                rest.find(|it: char| !it.is_ascii_alphanumeric() && !"._".contains(it)).unwrap_or(rest.len()),
                Some(Kind::Number),
            ),
            _ if letter.is_alphabetic() || "_$".contains(letter) => (
                rest.find(|it: char| !it.is_alphanumeric() && !"_$".contains(it)).unwrap_or(rest.len()),
                Some(Kind::Word),
            ),
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).map_or(letter.len_utf8(), |it| it.len());
                (sign, Some(Kind::Sign))
            }
        };
        found.extend(kind.map(|kind| Token { kind, text: &rest[..len], offset: at, line }));
        line += u32::try_from(rest[..len].matches('\n').count()).unwrap_or(u32::MAX / 2);
        at += len;
    }
    found
}

/// The length of a text with its quotes. One that is never closed ends with its line, or with the file.
fn quoted(rest: &str, quote: char, lines: bool) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if !lines => return at,
            _ if letter == quote => return at + letter.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether a slash begins a regular expression: a value may begin here.
fn begins_regex(found: &[Token<'_>]) -> bool {
    found.last().is_none_or(|last| match last.kind {
        Kind::Sign => !matches!(last.text, ")" | "]" | "}"),
        Kind::Word => last.text == "return",
        _ => false,
    })
}
