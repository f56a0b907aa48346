//! JSON as clients in general read it: half of a surrogate pair, bytes that are not UTF-8 and a byte order mark are no reason
//! to reject an answer. WHATWG Encoding and the JSON of ECMAScript and Python do the same.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// Replaces bytes that are not a character.
const REPLACEMENT: &[u8] = br"\ufffd";

/// Parses JSON. The second value is true if a character had to be replaced.
///
/// # Errors
/// When it is not JSON even so.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<(T, bool), serde_json::Error> {
    match serde_json::from_slice(json) {
        Ok(value) => Ok((value, false)),
        Err(error) => {
            let mended = mended(json).ok_or(error)?;
            Ok((serde_json::from_slice(&mended)?, true))
        }
    }
}

/// The text with U+FFFD in place of invalid characters, and without a byte order mark. None if nothing changes.
fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let bare = json.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(json);
    let text = String::from_utf8_lossy(bare);
    let without = without_lone_surrogates(text.as_bytes());
    let changed = bare.len() != json.len() || matches!(text, Cow::Owned(_)) || without.is_some();
    changed.then(|| without.unwrap_or_else(|| text.as_bytes().to_vec()))
}

/// Replaces each `\uXXXX` that is half of a surrogate pair (RFC 8259, section 8.2). None if there is none.
fn without_lone_surrogates(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut at, mut changed) = (Vec::with_capacity(text.len()), 0, false);
    while at < text.len() {
        if text[at] != b'\\' {
            out.push(text[at]);
            at += 1;
            continue;
        }
        let length = match unit(&text[at..]) {
            Some(0xD800..=0xDBFF) if matches!(unit(&text[at + 6..]), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                out.extend_from_slice(REPLACEMENT);
                (at, changed) = (at + 6, true);
                continue;
            }
            Some(_) => 6,
            None => 2,
        };
        let end = (at + length).min(text.len());
        out.extend_from_slice(&text[at..end]);
        at = end;
    }
    changed.then_some(out)
}

/// The UTF-16 unit of an escape `\uXXXX` at the beginning of a text.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_no_character_is_replaced_and_all_else_is_kept() {
        for (text, value, is_mended) in [
            (&br#"{"a": "\ud83d\ude00 \\ud83d \n"}"#[..], json!({"a": "\u{1f600} \\ud83d \n"}), false),
            (
                br#"["\ud83d", "\ude00", "\ud83d\ud83d\ude00"]"#,
                json!(["\u{fffd}", "\u{fffd}", "\u{fffd}\u{1f600}"]),
                true,
            ),
            (br#""\ud83d\\""#, json!("\u{fffd}\\"), true),
            (b"\"\xff\"", json!("\u{fffd}"), true),
            (b"\xEF\xBB\xBF{}", json!({}), true),
        ] {
            assert_eq!(parse::<Value>(text).unwrap(), (value, is_mended), "{}", String::from_utf8_lossy(text));
        }
        for text in [&br#""\ud83"#[..], br#""\u"#, br#""\"#, b"\xff", b"", br#"{"a": "\ud83d""#] {
            assert!(parse::<Value>(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}
