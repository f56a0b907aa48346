//! Finds the text of a value in the body that it was parsed from. A parsed number has 64 bits: a longer identifier, or an
//! amount such as `1.50`, would be inserted in another form than the server's.

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

/// The text of a value within `whole`, without blanks. None if the body is not the text of `whole`.
pub(super) fn text_of(body: &[u8], whole: &Value, value: &Value) -> Option<Vec<u8>> {
    let mut way = Vec::new();
    if !find(whole, value, &mut way) {
        return None;
    }
    let mut text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii();
    for step in way {
        text = child(text, step)?;
    }
    Some(without_blanks(text))
}

/// A step from a value to one within it.
#[derive(Debug, Clone, Copy)]
enum Step<'v> {
    Key(&'v str),
    Index(usize),
}

/// Finds the way to a value within another. False if it is not there.
fn find<'v>(from: &'v Value, value: &Value, way: &mut Vec<Step<'v>>) -> bool {
    let mut is_below = |step, inner: &'v Value| {
        way.push(step);
        let found = find(inner, value, way);
        if !found {
            way.pop();
        }
        found
    };
    std::ptr::eq(from, value)
        || match from {
            Value::Array(list) => list.iter().enumerate().any(|(at, inner)| is_below(Step::Index(at), inner)),
            Value::Object(map) => map.iter().any(|(key, inner)| is_below(Step::Key(key), inner)),
            _ => false,
        }
}

/// The text of one element. Of several values with the same key, the last one counts.
fn child<'t>(text: &'t [u8], step: Step<'_>) -> Option<&'t [u8]> {
    let (mut rest, mut found, mut at) = (text.get(1..)?.trim_ascii_start(), None, 0);
    while !matches!(rest.first()?, b']' | b'}') {
        let is_it = match step {
            Step::Index(index) => at == index,
            Step::Key(wanted) => {
                let key = value_at(rest)?;
                rest = rest[key.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
                serde_json::from_slice::<String>(key).is_ok_and(|key| key == wanted)
            }
        };
        let value = value_at(rest)?;
        if is_it {
            found = Some(value);
        }
        at += 1;
        rest = rest[value.len()..].trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }
    found
}

/// The text of the value at the beginning of a text.
fn value_at(text: &[u8]) -> Option<&[u8]> {
    let mut values = Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    text.get(..values.byte_offset())
}

/// A JSON text without the blanks between its parts, so that it fits a header.
fn without_blanks(text: &[u8]) -> Vec<u8> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut is_part = |byte: &u8| {
        let was_quoted = is_quoted;
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = was_quoted && *byte == b'\\' && !is_escaped;
        was_quoted || !byte.is_ascii_whitespace()
    };
    text.iter().copied().filter(|byte| is_part(byte)).collect()
}
