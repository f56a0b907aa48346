//! Sanitises hostile text before any report shows it: control characters, terminal escapes, characters that reverse the
//! reading direction, and endless texts.
//!
//! This is the part that all reports share. Each report escapes HTML, XML, Markdown or workflow commands itself, in every
//! text.

use std::borrow::Cow;

/// A text as reports may show it: without terminal escape sequences, with visible signs for control characters and those
/// that change the reading direction, with `\n` for `\r\n`, and with a count instead of the text beyond `limit` characters.
pub fn tame(text: &str, limit: usize) -> Cow<'_, str> {
    // Most texts are plain and short, and are not copied.
    if text.len() <= limit && !text.chars().any(|c| c == '\r' || stand_in(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(limit * 2));
    let mut chars = text.chars().peekable();
    let mut shown = 0;
    while let Some(c) = chars.next() {
        if shown >= limit {
            let rest = 1 + chars.count();
            out.push_str(&format!("… ({rest} more characters)"));
            break;
        }
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_parameters(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => {
                out.push('\n');
                shown += 1;
            }
            _ => {
                match stand_in(c) {
                    Some(StandIn::Picture(picture)) => out.push(picture),
                    Some(StandIn::Code) => out.push_str(&format!("‹U+{:04X}›", c as u32)),
                    None => out.push(c),
                }
                shown += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// The text on one line: each run of white space becomes one space.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A word for a POSIX shell's command line, quoted if necessary.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The replacement of a character.
enum StandIn {
    /// The control picture of a C0 control character.
    Picture(char),
    /// Its code point, in angle quotes.
    Code,
}

/// The replacement of a character. None if it may be shown.
fn stand_in(c: char) -> Option<StandIn> {
    match c {
        '\t' | '\n' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).map(StandIn::Picture),
        '\u{7f}' => Some(StandIn::Picture('␡')),
        // C1 controls; invisible marks and direction overrides; line separators; characters that XML 1.0 forbids.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some(StandIn::Code),
        _ if (c as u32) & 0xfffe == 0xfffe => Some(StandIn::Code),
        _ => None,
    }
}

/// Skips the rest of an escape sequence after its ESC (ECMA-48: CSI, OSC and the other strings, two-byte forms).
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_parameters(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            // A string ends at BEL or ST. One that never ends must not swallow the text after it.
            let mut previous = ' ';
            for (index, c) in chars.clone().take(256).enumerate() {
                if c == '\u{7}' || (previous == '\u{1b}' && c == '\\') {
                    chars.by_ref().take(index + 1).for_each(drop);
                    return;
                }
                previous = c;
            }
        }
        Some('@'..='~') => {
            chars.next();
        }
        _ => {}
    }
}

/// Skips the parameters and the final byte of a control sequence.
fn skip_parameters(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars.next_if(|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
    chars.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::texts::NAME;

    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(tame("nats-cut — ünïcode\n\ttab", NAME), Cow::Borrowed(_)));
    }

    #[test]
    fn removes_escapes_and_shows_control_characters() {
        for (text, tamed) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]never ends", "never ends"),
            ("\u{1b}]0;a\u{1b}X title\u{7}behind", "behind"),
            ("\u{9b}1mbold", "bold"),
            ("a\0b\u{8}c", "a␀b␈c"),
            ("abc\u{202e}fed", "abc‹U+202E›fed"),
            ("x\u{fffe}\u{ffff}", "x‹U+FFFE›‹U+FFFF›"),
            ("one\r\ntwo\rthree", "one\ntwo\nthree"),
            ("\u{1b}", ""),
        ] {
            assert_eq!(tame(text, NAME), tamed, "{text:?}");
        }
    }

    #[test]
    fn counts_truncated_characters() {
        let long = "é".repeat(1_000_000);
        let tamed = tame(&long, NAME);
        assert!(tamed.ends_with("é… (999760 more characters)"), "{}", tamed.len());
        assert!(tame("exactly", 7) == "exactly");
    }

    #[test]
    fn shell_words() {
        assert_eq!(shell_word("scenarios/quickstart.yaml"), "scenarios/quickstart.yaml");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
