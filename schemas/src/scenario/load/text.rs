//! Text with request data: `{{ n }}`, `{{ uuid }}`, `{{ row.column }}`, `{{ capture.name }}`.
//!
//! The text is parsed once into parts. The sender joins the parts and needs no template engine. The scenario's own
//! variables are rendered before. Only request data is left here.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::pieces::{Piece, pieces};

/// Text with request data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestText {
    parts: Vec<TextPart>,
}

/// A part of a request text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPart {
    /// The same for every request.
    Text(String),
    /// Different for every request.
    Data(Data),
}

/// A reference to request data, and its filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Data {
    /// The source of the data.
    pub source: Source,
    /// The filter. None to insert the data unchanged.
    pub filter: Option<Filter>,
}

/// A source of request data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// `n`: the number of the request in its load, from 0.
    Number,
    /// `uuid`: a random UUID (version 4, RFC 9562) from the run's seed and the request's number.
    Uuid,
    /// `row.column`: a value of the request's row of the load's `feeder`.
    Column(String),
    /// `capture.name`: a value that an earlier step took from its answer.
    Capture(String),
}

/// A filter for request data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `urlencode`: percent-encoded, for a part of a URL.
    UrlEncode,
    /// `tojson`: as a JSON value. A text gets quotes.
    ToJson,
}

/// The names of request data.
pub(crate) const NAMES: [&str; 4] = ["n", "uuid", "row", "capture"];

impl Data {
    /// Parses an expression that is request data alone: a name, a column of `row` or a `capture`, with at most one filter.
    /// None for other expressions.
    pub(crate) fn parse(expression: &str) -> Option<Self> {
        let (value, filter) = match expression.split_once('|') {
            None => (expression.trim(), None),
            Some((value, filter)) => {
                let filter = match filter.trim() {
                    "urlencode" => Filter::UrlEncode,
                    "tojson" => Filter::ToJson,
                    _ => return None,
                };
                (value.trim(), Some(filter))
            }
        };
        let source = match value {
            "n" => Source::Number,
            "uuid" => Source::Uuid,
            _ => match value.strip_prefix("capture") {
                Some(access) => Source::Capture(column(access.trim())?),
                None => Source::Column(column(value.strip_prefix("row")?.trim())?),
            },
        };
        Some(Self { source, filter })
    }

    /// The name that it begins with.
    pub(crate) fn name(&self) -> &'static str {
        match self.source {
            Source::Number => "n",
            Source::Uuid => "uuid",
            Source::Column(_) => "row",
            Source::Capture(_) => "capture",
        }
    }
}

/// The name in `.name` or `["name"]`.
fn column(access: &str) -> Option<String> {
    if let Some(name) = access.strip_prefix('.') {
        return is_plain(name).then(|| name.to_owned());
    }
    let quoted = access.strip_prefix('[')?.strip_suffix(']')?.trim();
    let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let name = quoted[1..].strip_suffix(quote)?;
    (!name.is_empty() && !name.contains([quote, '\\'])).then(|| name.to_owned())
}

/// True for a name of letters, digits and `_` that does not begin with a digit.
pub(crate) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for Data {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Number | Source::Uuid => out.write_str(self.name())?,
            Source::Column(name) | Source::Capture(name) => match self.name() {
                map if is_plain(name) => write!(out, "{map}.{name}")?,
                map if name.contains('"') => write!(out, "{map}['{name}']")?,
                map => write!(out, "{map}[\"{name}\"]")?,
            },
        }
        match self.filter {
            None => Ok(()),
            Some(Filter::UrlEncode) => out.write_str(" | urlencode"),
            Some(Filter::ToJson) => out.write_str(" | tojson"),
        }
    }
}

impl RequestText {
    /// A text without request data.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::of([TextPart::Text(text.into())])
    }

    /// A text of these parts. Adjacent texts are joined.
    pub(crate) fn of(parts: impl IntoIterator<Item = TextPart>) -> Self {
        let mut joined: Vec<TextPart> = Vec::new();
        for part in parts {
            match (part, joined.last_mut()) {
                (TextPart::Text(text), _) if text.is_empty() => {}
                (TextPart::Text(more), Some(TextPart::Text(text))) => text.push_str(&more),
                (part, _) => joined.push(part),
            }
        }
        Self { parts: joined }
    }

    /// Parses a text. `{{ "{{" }}` gives literal braces.
    ///
    /// # Errors
    /// A sentence about an expression that is not request data.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for piece in pieces(text) {
            parts.push(match piece {
                Piece::Text(text) => TextPart::Text(text.to_owned()),
                Piece::Bad(message, help) => return Err(format!("{message}: {help}")),
                Piece::Expression(expression) => match (Data::parse(expression), expression.trim()) {
                    (Some(data), _) => TextPart::Data(data),
                    (None, r#""{{""# | r#""{%""# | r#""{""#) => {
                        TextPart::Text(expression.trim().trim_matches('"').to_owned())
                    }
                    (None, other) => {
                        return Err(format!(
                            "`{{{{ {other} }}}}` is not data of a request: there are `n`, `uuid`, `row.column` \
                             and `capture.name`, each with `| urlencode` or `| tojson` where needed"
                        ));
                    }
                },
            });
        }
        Ok(Self::of(parts))
    }

    /// Its parts, in order. No two texts are adjacent.
    pub fn parts(&self) -> &[TextPart] {
        &self.parts
    }

    /// The request data in it.
    pub fn data(&self) -> impl Iterator<Item = &Data> {
        self.parts.iter().filter_map(|part| match part {
            TextPart::Data(data) => Some(data),
            TextPart::Text(_) => None,
        })
    }

    /// The text parts, which are the same in every request.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TextPart::Text(text) => Some(text.as_str()),
            TextPart::Data(_) => None,
        })
    }

    /// The text, with each reference to request data replaced.
    pub fn fill<'t>(&'t self, mut with: impl FnMut(&'t Data) -> Cow<'t, str>) -> String {
        let parts = self.parts.iter().map(|part| match part {
            TextPart::Text(text) => Cow::Borrowed(text.as_str()),
            TextPart::Data(data) => with(data),
        });
        parts.collect()
    }

    /// True for the empty text.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl fmt::Display for RequestText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                TextPart::Data(data) => write!(out, "{{{{ {data} }}}}")?,
                TextPart::Text(text) => {
                    // One pass, so that the notation for braces is not itself escaped.
                    let mut rest = text.as_str();
                    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
                        write!(out, "{}{{{{ \"{}\" }}}}", &rest[..at], &rest[at..at + 2])?;
                        rest = &rest[at + 2..];
                    }
                    // A brace at the end must not join with the braces of the data that follows.
                    match rest.strip_suffix('{') {
                        Some(rest) => write!(out, "{rest}{{{{ \"{{\" }}}}")?,
                        None => out.write_str(rest)?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl Serialize for RequestText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for RequestText {
    fn schema_name() -> Cow<'static, str> {
        "RequestText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_at_most_one_filter() {
        for (expression, shown) in [
            (" n ", "n"),
            ("uuid|tojson", "uuid | tojson"),
            ("row.sku", "row.sku"),
            ("row[\"first name\"] | urlencode", "row[\"first name\"] | urlencode"),
            ("row['it']", "row.it"),
            ("row['a\"b']", "row['a\"b']"),
            ("capture.token|urlencode", "capture.token | urlencode"),
        ] {
            let data = Data::parse(expression).unwrap_or_else(|| panic!("{expression}"));
            assert_eq!(data.to_string(), shown);
            assert_eq!(Data::parse(shown).as_ref(), Some(&data));
        }
        for expression in
            ["", "n + 1", "row", "row.a.b", "row[0]", "row[\"a", "uuid | upper", "number", "row.a | tojson | urlencode"]
        {
            assert_eq!(Data::parse(expression), None, "{expression}");
        }
    }

    #[test]
    fn a_text_round_trips() {
        for text in
            ["", "/a?b={{ n }}", "{{ uuid }}{{ row.a }}", "x {{ \"{{\" }} y }}", "{ {{ n }} }", "é{{ n | tojson }}é"]
        {
            let read = RequestText::parse(text).expect(text);
            assert_eq!(read.to_string(), text);
        }
        assert!(RequestText::parse("{{ m }}").is_err_and(|error| error.contains("not data of a request")));
        assert!(RequestText::parse("{{ n").is_err());
        // Any text round-trips, including braces.
        for text in ["{{{{", "{", "{{ n }}", "a{%b{{{c", "}}{{"] {
            let with_data =
                RequestText::of([TextPart::Text(text.to_owned()), TextPart::Data(Data::parse("n").expect("n"))]);
            for it in [RequestText::plain(text), with_data] {
                assert_eq!(RequestText::parse(&it.to_string()).as_ref(), Ok(&it), "{text}: {it}");
            }
        }
    }
}
