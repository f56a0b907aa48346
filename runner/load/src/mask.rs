//! Removes captured credentials from texts that are shown, in every spelling in which an answer may repeat them.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::capture::Values;

/// Shorter values would make texts unreadable.
const SHORTEST: usize = 4;
/// Takes the place of a credential.
pub(super) const MASK: &[u8] = b"[redacted]";

/// The longest spelling of one character, in bytes: two `\uXXXX`, or four `%XX`.
const LONGEST_SPELLING: usize = 12;

/// Characters that HTML writes by name.
const ENTITIES: [(char, &str); 5] = [('&', "&amp;"), ('"', "&quot;"), ('<', "&lt;"), ('>', "&gt;"), ('\'', "&apos;")];

/// Characters that JSON writes with a backslash and another one (RFC 8259, section 7).
const ESCAPED: [(char, u8); 8] = [
    ('"', b'"'),
    ('\\', b'\\'),
    ('/', b'/'),
    ('\n', b'n'),
    ('\r', b'r'),
    ('\t', b't'),
    ('\u{8}', b'b'),
    ('\u{c}', b'f'),
];

/// Replaces captured credentials in a text: as they are, and with characters escaped as in JSON, URLs or HTML, and in base64. At
/// the end of a text that was cut, also the beginning of one.
pub(super) fn mask(text: &mut Vec<u8>, values: &Values, is_cut: bool) {
    let secrets = values.iter().flatten().filter(|value| value.is_secret);
    let mut all = BTreeSet::new();
    for secret in secrets {
        all.insert(secret.text.to_vec());
        all.extend([STANDARD_NO_PAD, URL_SAFE_NO_PAD].map(|base64| base64.encode(&secret.text).into_bytes()));
    }
    let mut all: Vec<Vec<Vec<u8>>> =
        all.into_iter().filter(|it| it.len() >= SHORTEST).map(|it| characters(&it)).collect();
    // A secret may contain another one.
    all.sort_by_key(|it| std::cmp::Reverse(it.len()));
    for secret in &all {
        let mut at = 0;
        while at < text.len() {
            match length_of(secret, &text[at..], is_cut) {
                Some(length) => {
                    text.splice(at..at + length, MASK.iter().copied());
                    at += MASK.len();
                }
                None => at += 1,
            }
        }
    }
}

/// The characters of a text in UTF-8. A byte that belongs to none is one by itself.
fn characters(text: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for chunk in text.utf8_chunks() {
        all.extend(chunk.valid().chars().map(|it| it.to_string().into_bytes()));
        all.extend(chunk.invalid().iter().map(|byte| vec![*byte]));
    }
    all
}

/// The length of a secret at the beginning of a text, in any spelling. The rest of a text that was cut is one if it may begin one.
fn length_of(secret: &[Vec<u8>], text: &[u8], is_cut: bool) -> Option<usize> {
    // The ends of all spellings of the characters so far.
    let mut ends = vec![0];
    for (number, character) in secret.iter().enumerate() {
        let mut next = Vec::new();
        let mut runs_out = false;
        for end in ends {
            let rest = &text[end..];
            runs_out |= rest.len() < LONGEST_SPELLING && is_begun(character, rest);
            next.extend(spellings(character, rest).map(|length| end + length));
        }
        if is_cut && runs_out && number >= SHORTEST {
            return Some(text.len());
        }
        if next.is_empty() {
            return None;
        }
        next.sort_unstable();
        next.dedup();
        ends = next;
    }
    ends.last().copied()
}

/// True if a text ends before a spelling of a character does.
fn is_begun(character: &[u8], rest: &[u8]) -> bool {
    let escape = rest.first().is_none_or(|first| b"%\\&".contains(first));
    (escape || character.starts_with(rest)) && spellings(character, rest).next().is_none()
}

/// The lengths of the spellings of a character at the beginning of a text.
fn spellings(bytes: &[u8], text: &[u8]) -> impl Iterator<Item = usize> {
    let character = std::str::from_utf8(bytes).ok().and_then(|it| it.chars().next());
    let literal = text.starts_with(bytes).then_some(bytes.len());
    let is_percent =
        |(byte, at): (&u8, usize)| text.get(at) == Some(&b'%') && number(text, at + 1, 2) == Some((*byte).into());
    let percent = bytes.iter().zip((0..).step_by(3)).all(is_percent).then_some(bytes.len() * 3);
    let of_character = character.map(|it| [escaped(it, text), short(it, text), in_html(it, text)]);
    let plus = (bytes == b" " && text.first() == Some(&b'+')).then_some(1);
    [literal, percent, plus].into_iter().chain(of_character.into_iter().flatten()).flatten()
}

/// `\uXXXX`, once for each UTF-16 unit.
fn escaped(character: char, text: &[u8]) -> Option<usize> {
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units);
    let is_unit = |(unit, at): (&u16, usize)| {
        text.get(at..).is_some_and(|rest| rest.starts_with(br"\u")) && number(text, at + 2, 4) == Some(*unit)
    };
    units.iter().zip((0..).step_by(6)).all(is_unit).then_some(units.len() * 6)
}

/// A backslash and another character.
fn short(character: char, text: &[u8]) -> Option<usize> {
    let (_, letter) = ESCAPED.iter().find(|(it, _)| *it == character)?;
    text.starts_with(&[b'\\', *letter]).then_some(2)
}

/// A named or numbered reference of HTML.
fn in_html(character: char, text: &[u8]) -> Option<usize> {
    let named = ENTITIES.iter().find(|(it, name)| *it == character && text.starts_with(name.as_bytes()));
    if let Some((_, name)) = named {
        return Some(name.len());
    }
    let end = text.iter().take(LONGEST_SPELLING).position(|byte| *byte == b';')?;
    let digits = std::str::from_utf8(text[..end].strip_prefix(b"&#")?).ok()?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    (code.ok()? == u32::from(character)).then_some(end + 1)
}

/// A number of so many hexadecimal digits.
fn number(text: &[u8], at: usize, digits: usize) -> Option<u16> {
    u16::from_str_radix(std::str::from_utf8(text.get(at..at + digits)?).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Captured;

    fn masked(text: &str, values: &Values, is_cut: bool) -> String {
        let mut bytes = text.as_bytes().to_vec();
        mask(&mut bytes, values, is_cut);
        String::from_utf8(bytes).unwrap()
    }

    fn secret(text: &str) -> Option<Captured> {
        Some(Captured { text: text.as_bytes().into(), is_json: false, is_url: false, is_secret: true })
    }

    #[test]
    fn masks_credentials_also_where_a_text_is_cut() {
        let open = Some(Captured { text: b"order-7"[..].into(), is_json: false, is_url: false, is_secret: false });
        let values = [secret("abc/def"), None, open, secret("abc/def/ghi"), secret("xy")];
        for (text, is_cut, shown) in [
            ("token abc/def of order-7 xy", false, "token [redacted] of order-7 xy"),
            ("abc/def/ghi abc%2Fdef", false, "[redacted] [redacted]"),
            ("the end is abc/d", true, "the end is [redacted]"),
            ("the end is abc/d", false, "the end is abc/d"),
            ("the end is abc/def%2", true, "the end is [redacted]"),
            ("the end is abc", true, "the end is abc"),
            ("abc", true, "abc"),
        ] {
            assert_eq!(masked(text, &values, is_cut), shown);
        }
    }

    /// PHP escapes slashes, .NET writes percent-encoding in lower case, forms write a blank as a plus, Jackson and Go escape HTML.
    #[test]
    fn masks_every_spelling_of_a_credential() {
        let text = r#"a/b+c="d" é\&end"#;
        for shown in [
            text.to_owned(),
            r#"a\/b+c=\"d\" é\\&end"#.to_owned(),
            r#"a\u002Fb\u002bc\u003d\u0022d\u0022 \u00e9\u005C\u0026end"#.to_owned(),
            "a%2fb%2bc%3d%22d%22%20%c3%a9%5c%26end".to_owned(),
            "a/b%2Bc%3D%22d%22+%C3%A9%5C%26end".to_owned(),
            "a/b+c=&quot;d&quot; é\\&amp;end".to_owned(),
            "a&#x2F;b&#43;c=&#34;d&#34; &#233;\\&amp;end".to_owned(),
            STANDARD_NO_PAD.encode(text),
            URL_SAFE_NO_PAD.encode(text),
        ] {
            assert_eq!(masked(&format!("<{shown}>"), &[secret(text)], false), "<[redacted]>");
        }
        let key = "-----BEGIN KEY-----\n\tabc\n";
        assert_eq!(masked(r"<-----BEGIN KEY-----\n\tabc\n>", &[secret(key)], false), "<[redacted]>");
        assert_eq!(masked("it is ab\u{e9}", &[secret("it is ab\u{e9}\u{e9}")], true), "[redacted]");
        let mut cut = "it is ab\u{e9}".as_bytes().to_vec();
        cut.pop();
        mask(&mut cut, &[secret("it is ab\u{e9}")], true);
        assert_eq!(cut, MASK, "cut in the middle of a character");
        let mut raw = b"<ab\xff\xfe>".to_vec();
        let bytes = Some(Captured { text: b"ab\xff\xfe"[..].into(), is_json: false, is_url: false, is_secret: true });
        mask(&mut raw, &[bytes], false);
        assert_eq!(raw, b"<[redacted]>", "it is not UTF-8");
        assert_eq!(masked("%25x 100%25x", &[secret("100%x")], false), "%25x [redacted]");
        assert_eq!(masked("50%25ab", &[secret("50%25ab")], false), "[redacted]", "as it is, though it looks escaped");
    }
}
