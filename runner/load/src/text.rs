//! Compiled text templates: pieces of bytes that are joined for every request. Everything slow (escapes, encodings) is done
//! at compile time.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use shakedown_schemas::scenario::{Data, Filter, Order, RequestText, Source, TextPart};
use shakedown_schemas::tables::{Cell, Table};
use uuid::{Builder, Uuid};

use super::capture::Values;
use super::dice::{Dice, Question};
use super::encode::percent_encoded;

/// A value for each row.
type Column = Arc<[Box<[u8]>]>;

/// A compiled template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Text {
    /// The same text for all requests.
    Same(Vec<u8>),
    /// Joined for each request.
    Pieces(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Same(Box<[u8]>),
    Number,
    Uuid,
    Column(Column),
    /// The captured value with this index.
    Captured(usize, Option<Filter>),
}

/// The escaping of inserted values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Escape {
    /// None.
    No,
    /// Within a JSON string.
    Json,
}

/// The data of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw<'v> {
    pub(super) number: u64,
    pub(super) dice: Dice,
    row: usize,
    /// The values that earlier steps captured.
    values: &'v Values,
}

impl<'v> Draw<'v> {
    /// The same data, with captured values.
    pub(super) const fn with(self, values: &'v Values) -> Self {
        Self { values, ..self }
    }

    /// The request's UUID, version 4 of RFC 9562.
    fn uuid(&self) -> Uuid {
        let half = |question| self.dice.number(question, self.number).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&half(Question::UuidHigh));
        bytes[8..].copy_from_slice(&half(Question::UuidLow));
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// The choice of a row for each request. The texts contain the values themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    count: u64,
    order: Order,
}

impl Rows {
    /// The rows of a non-empty table. None for a load without a table.
    pub(super) fn new(table: Option<(&Table, Order)>) -> Self {
        match table {
            Some((table, order)) => Self { count: table.rows.len().max(1) as u64, order },
            None => Self { count: 1, order: Order::Sequential },
        }
    }

    pub(super) fn draw<'v>(self, number: u64, dice: Dice) -> Draw<'v> {
        let row = match self.order {
            _ if self.count == 1 => 0,
            Order::Sequential => number % self.count,
            Order::Random => dice.below(Question::Row, number, self.count),
        };
        Draw { number, dice, row: row as usize, values: &[] }
    }
}

/// Compiles templates. Each column is encoded once.
pub(super) struct Compiler<'t> {
    table: Option<&'t Table>,
    columns: HashMap<(Data, Escape), Column>,
    /// The names of the captured values, in the order of their indices.
    captures: Vec<String>,
}

impl<'t> Compiler<'t> {
    pub(super) fn new(table: Option<&'t Table>) -> Self {
        Self { table, columns: HashMap::new(), captures: Vec::new() }
    }

    /// The texts may contain captured values of these names.
    pub(super) fn with_captures(mut self, names: &[String]) -> Self {
        self.captures = names.to_vec();
        self
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// A sentence about a column that does not exist.
    pub(super) fn text(&mut self, text: &RequestText, escape: Escape) -> Result<Text, String> {
        let mut pieces = Vec::new();
        let same = |text: &str| Piece::Same(escaped(text, escape).into_bytes().into());
        for part in text.parts() {
            match part {
                TextPart::Text(text) => pieces.push(same(text)),
                // A UUID needs no escaping, only quotes around it.
                TextPart::Data(Data { source: Source::Uuid, filter: Some(Filter::ToJson) }) => {
                    pieces.extend([same("\""), Piece::Uuid, same("\"")]);
                }
                TextPart::Data(data) => pieces.push(self.data(data, escape)?),
            }
        }
        Ok(Text::of(pieces))
    }

    fn data(&mut self, data: &Data, escape: Escape) -> Result<Piece, String> {
        match &data.source {
            Source::Number => Ok(Piece::Number),
            Source::Uuid => Ok(Piece::Uuid),
            Source::Capture(name) => {
                let place = self.captures.iter().position(|known| known == name);
                let place = place.ok_or_else(|| format!("no step captures a value `{name}`"))?;
                Ok(Piece::Captured(place, data.filter))
            }
            Source::Column(name) => {
                let key = (data.clone(), escape);
                if let Some(known) = self.columns.get(&key) {
                    return Ok(Piece::Column(Arc::clone(known)));
                }
                let table = self.table.ok_or_else(|| format!("`{{{{ {data} }}}}` needs a `feeder`"))?;
                let at = table.columns.iter().position(|column| column == name);
                let at = at.ok_or_else(|| format!("the feeder's table has no column `{name}`"))?;
                let written = |row: &Vec<Cell>| -> Box<[u8]> {
                    let text = match data.filter {
                        None => row[at].plain().to_owned(),
                        Some(Filter::UrlEncode) => percent_encoded(row[at].plain().as_bytes()),
                        Some(Filter::ToJson) => row[at].json(),
                    };
                    escaped(&text, escape).into_bytes().into()
                };
                let column: Column = table.rows.iter().map(written).collect();
                self.columns.insert(key, Arc::clone(&column));
                Ok(Piece::Column(column))
            }
        }
    }
}

impl Text {
    /// A text of pieces.
    pub(super) fn of(pieces: Vec<Piece>) -> Self {
        let mut joined: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (piece, joined.last_mut()) {
                (Piece::Same(more), Some(Piece::Same(text))) => *text = [&text[..], &more[..]].concat().into(),
                (piece, _) => joined.push(piece),
            }
        }
        match joined.as_mut_slice() {
            [] => Self::Same(Vec::new()),
            [Piece::Same(text)] => Self::Same(std::mem::take(text).into_vec()),
            _ => Self::Pieces(joined),
        }
    }

    /// Appends the text of one request.
    pub(super) fn write(&self, draw: &Draw, out: &mut Vec<u8>) {
        match self {
            Self::Same(text) => out.extend_from_slice(text),
            Self::Pieces(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Same(text) => out.extend_from_slice(text),
                        // Writing to memory cannot fail.
                        Piece::Number => drop(write!(out, "{}", draw.number)),
                        Piece::Uuid => {
                            let mut text = [0; 36];
                            out.extend_from_slice(draw.uuid().hyphenated().encode_lower(&mut text).as_bytes());
                        }
                        Piece::Column(rows) => out.extend_from_slice(&rows[draw.row]),
                        Piece::Captured(place, filter) => match draw.values.get(*place).and_then(Option::as_ref) {
                            Some(value) => value.write(*filter, out),
                            // A text is checked before there is a value.
                            None => out.extend_from_slice(b"/0"),
                        },
                    }
                }
            }
        }
    }

    /// Whether the text begins with a captured header that has a URL.
    pub(super) fn begins_with_url(&self, draw: &Draw<'_>) -> bool {
        let Self::Pieces(pieces) = self else { return false };
        let Some(Piece::Captured(place, _)) = pieces.first() else { return false };
        draw.values.get(*place).and_then(Option::as_ref).is_some_and(|value| value.is_url)
    }

    /// Every text that a column can produce, with the other data of request 0: enough to check whether each can be sent.
    pub(super) fn each(&self, rows: usize, dice: Dice) -> impl Iterator<Item = Vec<u8>> {
        let has_column = matches!(self, Self::Pieces(pieces) if pieces.iter().any(|it| matches!(it, Piece::Column(_))));
        (0..if has_column { rows } else { 1 }).map(move |row| {
            let mut out = Vec::new();
            self.write(&Draw { number: 0, dice, row, values: &[] }, &mut out);
            out
        })
    }
}

fn escaped(text: &str, escape: Escape) -> String {
    match escape {
        Escape::No => text.to_owned(),
        Escape::Json => {
            let quoted = serde_json::Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::read("t.jsonl", "{\"a\":\"x y/é\",\"b\":[1]}\n{\"a\":\"say \\\"no\\\"\",\"b\":2}\n".as_bytes()).unwrap()
    }

    fn written(text: &str, escape: Escape, number: u64, order: Order) -> String {
        let table = table();
        let text = Compiler::new(Some(&table)).text(&RequestText::parse(text).unwrap(), escape).unwrap();
        let mut out = Vec::new();
        text.write(&Rows::new(Some((&table, order))).draw(number, Dice::new(1, "load")), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn inserts_data_with_its_filter_and_escape() {
        for (text, escape, number, wanted) in [
            ("plain", Escape::No, 0, "plain"),
            ("/{{ n }}/{{ row.a | urlencode }}?{{ n | urlencode }}", Escape::No, 4, "/4/x%20y%2F%C3%A9?4"),
            ("{{ row.a | tojson }} {{ row.b }} {{ n | tojson }}", Escape::No, 1, r#""say \"no\"" 2 1"#),
            ("a\"b {{ row.a }} {{ row.b }}", Escape::Json, 3, r#"a\"b say \"no\" 2"#),
            ("{{ row.b | tojson }}", Escape::No, 0, "[1]"),
        ] {
            assert_eq!(written(text, escape, number, Order::Sequential), wanted, "{text}");
        }
    }

    #[test]
    fn a_uuid_depends_on_its_request_and_seed() {
        let text = "{{ uuid }} {{ uuid }}";
        let written = |number| written(text, Escape::No, number, Order::Sequential);
        let (first, second) = (written(0), written(1));
        let (a, b) = first.split_once(' ').unwrap();
        assert_eq!(a, b);
        assert_eq!(Uuid::parse_str(a).unwrap().get_version_num(), 4);
        assert!(first != second && first == written(0));
        let quoted = super::tests::written("{{ uuid | tojson }}", Escape::Json, 0, Order::Sequential);
        assert_eq!(quoted, format!("\\\"{a}\\\""));
    }

    #[test]
    fn rows_start_again_and_random_rows_are_repeatable() {
        let of = |number, order| written("{{ row.b }}", Escape::No, number, order);
        let sequence: Vec<String> = (0..4).map(|number| of(number, Order::Sequential)).collect();
        assert_eq!(sequence, ["[1]", "2", "[1]", "2"]);
        let random: Vec<String> = (0..40).map(|number| of(number, Order::Random)).collect();
        assert_eq!(random, (0..40).map(|number| of(number, Order::Random)).collect::<Vec<_>>());
        assert!(["[1]", "2"].iter().all(|row| random.iter().filter(|it| it == row).count() > 8), "{random:?}");
    }

    #[test]
    fn joins_constant_text_at_compile_time() {
        let text = RequestText::parse("a {{ \"{{\" }} b").unwrap();
        assert_eq!(Compiler::new(None).text(&text, Escape::No), Ok(Text::Same(b"a {{ b".to_vec())));
        let error = Compiler::new(None).text(&RequestText::parse("{{ row.a }}").unwrap(), Escape::No).unwrap_err();
        assert!(error.contains("feeder"), "{error}");
    }
}
