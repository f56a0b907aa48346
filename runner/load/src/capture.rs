//! The values that a step takes from its answer, for later steps of the same user.

use http::header::{CONTENT_LOCATION, HeaderName, LOCATION, SET_COOKIE};
use indexmap::IndexMap;
use regex::bytes::Regex;
use serde_json::Value;
use shakedown_schemas::scenario::{Capture, Filter};

use super::as_sent::text_of;
use super::encode::percent_encoded;
use super::headers::Headers;
use super::path::{Path, TooMuch};

/// The longest captured value, in bytes. It is kept until its user's iteration ends.
const MAX_VALUE: usize = 8 << 10;

/// Words in the name of a header or of a value that mark a credential.
const WORDS: [&str; 8] = ["auth", "cookie", "token", "secret", "password", "key", "credential", "session"];

/// The minimum length of a random text that counts as a credential regardless of its name, in bytes.
const RANDOM: usize = 16;

/// Whether a name marks a credential.
pub(super) fn names_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// A captured value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) text: Box<[u8]>,
    /// The text is a JSON value that is not a string.
    pub(super) is_json: bool,
    /// It is the URL of a header: a path in it begins at the root of the server.
    pub(super) is_url: bool,
    /// Reports must not show it.
    pub(super) is_secret: bool,
}

/// The captured values of one iteration, each at the index of its name.
pub(super) type Values = [Option<Captured>];

impl Captured {
    /// Appends the value as a request text inserts it.
    pub(super) fn write(&self, filter: Option<Filter>, out: &mut Vec<u8>) {
        match filter {
            None => out.extend_from_slice(&self.text),
            Some(Filter::ToJson) if self.is_json => out.extend_from_slice(&self.text),
            Some(Filter::ToJson) => {
                out.extend_from_slice(Value::from(String::from_utf8_lossy(&self.text)).to_string().as_bytes());
            }
            Some(Filter::UrlEncode) => out.extend_from_slice(percent_encoded(&self.text).as_bytes()),
        }
    }
}

/// What one step captures.
#[derive(Debug, Clone, Default)]
pub(super) struct Captures {
    rules: Vec<CaptureRule>,
}

#[derive(Debug, Clone)]
struct CaptureRule {
    name: String,
    /// The index of the value in [`Values`].
    place: usize,
    is_secret: bool,
    from: From,
}

#[derive(Debug, Clone)]
enum From {
    /// The path, and as it is written.
    Json(Box<Path>, String),
    Header(HeaderName),
    Cookie(String),
    Regex(Regex),
}

/// Why a value was not captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotCaptured {
    /// The answer does not have it, in words.
    Missing(String),
    /// The search needs too much work.
    TooMuch,
}

impl CaptureRule {
    fn missing(&self, place: &str, found: &str) -> NotCaptured {
        NotCaptured::Missing(format!("`capture.{}`: expected a value {place}, found {found}", self.name))
    }

    /// The captured value.
    fn value(&self, text: &[u8], is_json: bool, place: &str) -> Result<(usize, Captured), NotCaptured> {
        if text.is_empty() {
            return Err(self.missing(place, "an empty text"));
        }
        if text.len() > MAX_VALUE {
            return Err(self.missing(place, &format!("one of {} bytes, more than {MAX_VALUE}", text.len())));
        }
        let is_secret = self.is_secret || is_random(text);
        let is_url = matches!(&self.from, From::Header(name) if *name == LOCATION || *name == CONTENT_LOCATION);
        Ok((self.place, Captured { text: text.into(), is_json, is_url, is_secret }))
    }
}

/// Whether a text looks like a random one.
fn is_random(text: &[u8]) -> bool {
    text.len() >= RANDOM
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(byte))
        && text.iter().any(u8::is_ascii_digit)
        && text.iter().any(u8::is_ascii_alphabetic)
}

impl Captures {
    /// Compiles the captures of a step. `names` are the names of all values of the load, in the order of their indices, and
    /// `is_credential` tells whether a step sends the value in a header with credentials.
    ///
    /// # Errors
    /// A sentence about an invalid path, header or expression.
    pub(super) fn new(
        captures: &IndexMap<String, Capture>,
        names: &[String],
        is_credential: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let rule = |(name, it): (&String, &Capture)| {
            let header = it.header.as_deref();
            let from = match (&it.json, header, &it.cookie, &it.regex) {
                (Some(path), ..) => From::Json(Path::parse(path)?.into(), path.clone()),
                (_, Some(name), ..) => From::Header(
                    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header"))?,
                ),
                (.., Some(cookie), _) => From::Cookie(cookie.clone()),
                (.., Some(text)) => From::Regex(
                    Regex::new(text).map_err(|error| format!("`{text}` is not a regular expression: {error}"))?,
                ),
                _ => return Err(format!("the capture `{name}` does not say where its value is")),
            };
            let place = names.iter().position(|known| known == name).unwrap_or_default();
            let is_secret = matches!(from, From::Cookie(_))
                || names_credential(name)
                || header.is_some_and(names_credential)
                || is_credential(name);
            Ok(CaptureRule { name: name.clone(), place, is_secret, from })
        };
        Ok(Self { rules: captures.iter().map(rule).collect::<Result<_, String>>()? })
    }

    /// Whether the step captures nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the body must be read as a whole.
    pub(super) fn reads_body(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.from, From::Json(..) | From::Regex(_)))
    }

    /// Whether the body must be parsed as JSON.
    pub(super) fn wants_json(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.from, From::Json(..)))
    }

    /// Captures the values of a head.
    ///
    /// # Errors
    /// When it lacks one of them.
    pub(super) fn of_head(&self, headers: &(impl Headers + ?Sized)) -> Result<Vec<(usize, Captured)>, NotCaptured> {
        let mut found = Vec::new();
        for rule in &self.rules {
            match &rule.from {
                From::Header(name) => {
                    let place = format!("in the header `{name}`");
                    let value = headers.values(name).next().ok_or_else(|| rule.missing(&place, "no such header"))?;
                    found.push(rule.value(value, false, &place)?);
                }
                From::Cookie(name) => {
                    let place = format!("in the cookie `{name}`");
                    // The last one counts, as in a browser; an empty one deletes a cookie (RFC 6265, sections 3.1 and 5.3).
                    let all = || headers.values(&SET_COOKIE).filter_map(|line| cookie(line, name));
                    let value = all().filter(|value| !value.is_empty()).last().or_else(|| all().last());
                    let value = value.ok_or_else(|| rule.missing(&place, "no such cookie"))?;
                    found.push(rule.value(value, false, &place)?);
                }
                From::Json(..) | From::Regex(_) => {}
            }
        }
        Ok(found)
    }

    /// Captures the values of a body. `value` is the body as JSON if [`Captures::wants_json`].
    ///
    /// # Errors
    /// When it lacks one of them, or a path needs too much work.
    pub(super) fn of_body(
        &self,
        body: &[u8],
        value: Option<&Value>,
        found: &mut Vec<(usize, Captured)>,
    ) -> Result<(), NotCaptured> {
        for rule in &self.rules {
            match &rule.from {
                From::Json(path, written) => {
                    let place = format!("at `{written}`");
                    let Some(whole) = value else { return Err(rule.missing(&place, "nothing there")) };
                    let mut first = None;
                    let search = path.any(whole, body.len(), |value| {
                        first = Some(match value {
                            Value::Null => Err(rule.missing(&place, "`null`")),
                            Value::String(text) => rule.value(text.as_bytes(), false, &place),
                            value => {
                                let text = text_of(body, whole, value);
                                rule.value(&text.unwrap_or_else(|| value.to_string().into_bytes()), true, &place)
                            }
                        });
                        true
                    });
                    search.map_err(|TooMuch| NotCaptured::TooMuch)?;
                    found.push(first.unwrap_or_else(|| Err(rule.missing(&place, "nothing there")))?);
                }
                From::Regex(regex) => {
                    let place = format!("for `{}`", regex.as_str());
                    let groups = regex.captures(body).ok_or_else(|| rule.missing(&place, "no match in the body"))?;
                    let text = groups.get(1).or_else(|| groups.get(0)).map_or(&b""[..], |text| text.as_bytes());
                    found.push(rule.value(text, false, &place)?);
                }
                From::Header(_) | From::Cookie(_) => {}
            }
        }
        Ok(())
    }
}

/// The value of a cookie in a `Set-Cookie` header (RFC 6265, section 5.2).
fn cookie<'h>(line: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let pair = line.split(|byte| *byte == b';').next()?;
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let value = pair[at + 1..].trim_ascii();
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    (pair[..at].trim_ascii() == name.as_bytes()).then(|| bare.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn captures(all: Value) -> Captures {
        let all: IndexMap<String, Capture> = serde_json::from_value(all).unwrap();
        let names: Vec<String> = all.keys().cloned().collect();
        Captures::new(&all, &names, |name| name == "used").unwrap()
    }

    fn text(found: &[(usize, Captured)]) -> Vec<(usize, String, bool)> {
        found.iter().map(|(at, it)| (*at, String::from_utf8_lossy(&it.text).into_owned(), it.is_secret)).collect()
    }

    #[test]
    fn takes_the_first_value_of_each_source() {
        let captures = captures(json!({
            "order": {"json": "$.items[*].id"},
            "whole": {"json": "$.items"},
            "place": {"header": "Location"},
            "sid": {"cookie": "sid"},
            "csrf": {"regex": "value=\"([^\"]+)\""},
            "used": {"regex": "va."},
        }));
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("location", "/orders/7"), ("set-cookie", "other=1"), ("set-cookie", "sid=\"a b\"; Path=/")]
        {
            headers.append(name, value.parse().unwrap());
        }
        let body = br#"{"items":[{"id":7},{"id":8}],"html":"value=\"x\""}"#;
        let mut found = captures.of_head(&headers).unwrap();
        assert_eq!(text(&found), [(2, "/orders/7".to_owned(), false), (3, "a b".to_owned(), true)]);
        found.clear();
        let value = serde_json::from_slice(body).unwrap();
        assert!(captures.wants_json() && !captures.is_empty());
        // The text of the body is searched, not the JSON in it.
        let missing = captures.of_body(body, Some(&value), &mut found).unwrap_err();
        assert!(matches!(&missing, NotCaptured::Missing(words) if words.contains("`capture.csrf`")), "{missing:?}");
        found.clear();
        captures.of_body(b"<input value=\"x9\">", Some(&value), &mut found).unwrap();
        let expected = [(0, "7", false), (1, "[{\"id\":7},{\"id\":8}]", false), (4, "x9", false), (5, "val", true)];
        assert_eq!(text(&found), expected.map(|(at, text, secret)| (at, text.to_owned(), secret)));
    }

    /// A logout next to a login, or a cookie that is set twice (RFC 6265, section 5.3).
    #[test]
    fn the_last_cookie_counts_that_is_not_deleted() {
        let captures = captures(json!({"sid": {"cookie": "sid"}}));
        let found = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("set-cookie", line.parse().unwrap());
            }
            captures.of_head(&headers).map(|found| text(&found)[0].1.clone()).ok()
        };
        assert_eq!(found(&["sid=; Max-Age=0; Path=/old", "sid=new; Path=/"]).as_deref(), Some("new"));
        assert_eq!(found(&["sid=one", "sid=two", "sid=; Max-Age=0; Path=/old"]).as_deref(), Some("two"));
        assert_eq!(found(&["sid=; Max-Age=0"]), None);
    }

    /// Identifiers of more than 64 bits, amounts with trailing zeros, and exponents are what the server wrote.
    #[test]
    fn a_number_keeps_its_text() {
        let body = br#"{"n": [1, 123456789012345678901234567890, 10.10, 1E5, -0, 0.1234567890123456789],
            "a": {"x": [ 1.50, "\u00e9 \"1.50 \\" ], "n": 1.0}, "x": 1.10, "x": 2.20, "k\"ey": {"n": 3.30}}"#;
        let value = serde_json::from_slice(body).unwrap();
        for (path, wanted) in [
            ("$.n[0]", "1"),
            ("$.n[1]", "123456789012345678901234567890"),
            ("$.n[2]", "10.10"),
            ("$.n[3]", "1E5"),
            ("$.n[4]", "-0"),
            ("$.n[-1]", "0.1234567890123456789"),
            ("$.n[?@ > 5 && @ < 11]", "10.10"),
            ("$.a", r#"{"x":[1.50,"\u00e9 \"1.50 \\"],"n":1.0}"#),
            ("$.x", "2.20"),
            ("$..n[2]", "10.10"),
            (r#"$['k"ey'].n"#, "3.30"),
        ] {
            let mut found = Vec::new();
            captures(json!({"it": {"json": path}})).of_body(body, Some(&value), &mut found).unwrap();
            assert_eq!(text(&found)[0].1, wanted, "{path}");
        }
        // A body that had to be mended has no such text.
        let (body, mut found) = (b"\xEF\xBB\xBF{\"a\": [2.50]}", Vec::new());
        captures(json!({"it": {"json": "$.a[0]"}})).of_body(body, Some(&json!({"a": [2.50]})), &mut found).unwrap();
        assert_eq!(text(&found)[0].1, "2.50");
    }

    #[test]
    fn says_what_is_missing() {
        for (capture, body, words) in [
            (json!({"json": "$.t"}), json!({"u": 1}), "expected a value at `$.t`, found nothing there"),
            (json!({"json": "$.t"}), json!({"t": null}), "found `null`"),
            (json!({"json": "$.t"}), json!({"t": ""}), "found an empty text"),
            (json!({"json": "$.t"}), json!({"t": "x".repeat(9000)}), "one of 9000 bytes, more than 8192"),
            (json!({"regex": "id=(.+)"}), json!({}), "expected a value for `id=(.+)`, found no match in the body"),
        ] {
            let body_text = body.to_string();
            let error = captures(json!({"a": capture})).of_body(body_text.as_bytes(), Some(&body), &mut Vec::new());
            assert!(matches!(&error, Err(NotCaptured::Missing(it)) if it.contains(words)), "{words}: {error:?}");
        }
        for (capture, words) in [
            (json!({"header": "etag"}), "expected a value in the header `etag`, found no such header"),
            (json!({"cookie": "sid"}), "expected a value in the cookie `sid`, found no such cookie"),
        ] {
            let error = captures(json!({"a": capture})).of_head(&HeaderMap::new());
            assert!(matches!(&error, Err(NotCaptured::Missing(it)) if it.contains(words)), "{words}: {error:?}");
        }
    }

    #[test]
    fn writes_a_value_as_it_is_inserted() {
        let value =
            |text: &str, is_json| Captured { text: text.as_bytes().into(), is_json, is_url: false, is_secret: true };
        let written = |value: &Captured, filter| {
            let mut out = Vec::new();
            value.write(filter, &mut out);
            String::from_utf8(out).unwrap()
        };
        let words = value("a \"b\"/c", false);
        assert_eq!(written(&words, None), "a \"b\"/c");
        assert_eq!(written(&words, Some(Filter::ToJson)), r#""a \"b\"/c""#);
        assert_eq!(written(&words, Some(Filter::UrlEncode)), "a%20%22b%22%2Fc");
        assert_eq!(written(&value("7", true), Some(Filter::ToJson)), "7");
    }

    #[test]
    fn knows_random_values() {
        assert!(
            is_random(b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
                && !is_random(b"order-12345")
                && !is_random(b"a text with 16 bytes or more")
        );
    }
}
