//! Parses tables and sets of prompts. It knows nothing about requests.

use indexmap::IndexMap;
use serde_json::Value;
use serde_json::value::RawValue;

/// A table with named columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The names of the columns, in order.
    pub columns: Vec<String>,
    /// The rows, each with one value per column.
    pub rows: Vec<Vec<Cell>>,
}

/// A value of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A text. Values of CSV are texts.
    Text(String),
    /// Another value of JSON, as it is in the file: a number keeps all its digits.
    Json(String),
}

impl Cell {
    fn of(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).map_or_else(|_| Self::Json(raw.get().to_owned()), Self::Text)
    }

    /// As text: a text without quotes, anything else as JSON.
    pub fn plain(&self) -> &str {
        let (Self::Text(text) | Self::Json(text)) = self;
        text
    }

    /// As JSON: a text with quotes.
    pub fn json(&self) -> String {
        match self {
            Self::Text(text) => Value::from(text.as_str()).to_string(),
            Self::Json(text) => text.clone(),
        }
    }
}

/// One prompt of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// A text, or the list of messages of a chat.
    pub content: Value,
    /// The number of words, separated by white space.
    pub words: usize,
    /// The maximum number of tokens in the answer. None for the load's `max_tokens`.
    pub max_tokens: Option<u32>,
}

/// A problem of a table or a set of prompts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The file name has no known extension.
    #[error("its format is unknown: the name must end with `.csv`, `.jsonl` or `.ndjson`")]
    Format,
    /// It has no rows.
    #[error("it is empty")]
    Empty,
    /// A line is invalid.
    #[error("line {0}: {1}")]
    Line(u64, String),
}

/// True for the name of a JSON Lines file.
fn is_json_lines(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".jsonl") || name.ends_with(".ndjson")
}

impl Table {
    /// Parses a table. The extension of its name determines the format.
    ///
    /// # Errors
    /// The problem, with the line.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, TableError> {
        let table = if is_json_lines(name) {
            Self::json_lines(bytes)
        } else if name.to_ascii_lowercase().ends_with(".csv") {
            Self::csv(bytes)
        } else {
            Err(TableError::Format)
        }?;
        if table.rows.is_empty() { Err(TableError::Empty) } else { Ok(table) }
    }

    fn csv(bytes: &[u8]) -> Result<Self, TableError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
        let wrong = |error: csv::Error| {
            let line = error.position().map_or(0, csv::Position::line);
            let what = match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("{len} values, and the first line names {expected_len} columns")
                }
                csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
                _ => error.to_string(),
            };
            TableError::Line(line, what)
        };
        let columns: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        for (index, column) in columns.iter().enumerate() {
            if column.is_empty() || columns[..index].contains(column) {
                let what = if column.is_empty() { "a column without a name" } else { "two columns of the same name" };
                return Err(TableError::Line(1, what.to_owned()));
            }
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(record.map_err(wrong)?.iter().map(|it| Cell::Text(it.to_owned())).collect());
        }
        Ok(Self { columns, rows })
    }

    fn json_lines(bytes: &[u8]) -> Result<Self, TableError> {
        let mut table = Self { columns: Vec::new(), rows: Vec::new() };
        for (line, value) in lines(bytes) {
            let value =
                value.and_then(|text| serde_json::from_str::<&RawValue>(text).map_err(|error| error.to_string()));
            let value = value.map_err(|error| TableError::Line(line, error))?;
            let Ok(mut object) = serde_json::from_str::<IndexMap<String, &RawValue>>(value.get()) else {
                return Err(TableError::Line(line, "not a JSON object".to_owned()));
            };
            if table.rows.is_empty() {
                table.columns = object.keys().cloned().collect();
            }
            let row: Option<Vec<Cell>> =
                table.columns.iter().map(|column| object.swap_remove(column).map(Cell::of)).collect();
            match row {
                Some(row) if object.is_empty() => table.rows.push(row),
                _ => return Err(TableError::Line(line, "not the same keys as on the first line".to_owned())),
            }
        }
        Ok(table)
    }
}

/// A value as text: a text without quotes, anything else as JSON.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Parses a set of prompts. The extension of its name determines the format.
///
/// # Errors
/// The problem, with the line.
pub fn prompts(name: &str, bytes: &[u8]) -> Result<Vec<Prompt>, TableError> {
    let mut prompts = Vec::new();
    for (line, text) in lines(bytes) {
        let text = text.map_err(|error| TableError::Line(line, error))?;
        prompts.push(if is_json_lines(name) {
            prompt(text).map_err(|error| TableError::Line(line, error))?
        } else {
            Prompt { content: text.into(), words: words(text), max_tokens: None }
        });
    }
    if prompts.is_empty() { Err(TableError::Empty) } else { Ok(prompts) }
}

fn prompt(text: &str) -> Result<Prompt, String> {
    let mut object: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let max_tokens = match object.get("max_tokens") {
        None => None,
        Some(value) => match value.as_u64().and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0) {
            Some(value) => Some(value),
            None => return Err("`max_tokens` is not a number of tokens".to_owned()),
        },
    };
    let (content, words) =
        match (object.get_mut("prompt").map(Value::take), object.get_mut("messages").map(Value::take)) {
            (Some(Value::String(text)), None) => {
                let words = words(&text);
                (Value::String(text), words)
            }
            (None, Some(Value::Array(messages))) if !messages.is_empty() => {
                let said = messages.iter().filter_map(|message| message.get("content")?.as_str());
                let words = said.map(words).sum();
                (Value::Array(messages), words)
            }
            _ => return Err("write `{\"prompt\": \"...\"}` or `{\"messages\": [...]}`".to_owned()),
        };
    Ok(Prompt { content, words, max_tokens })
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The non-blank lines, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, Result<&str, String>)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let texts = lines
        .map(|(line, number)| (number, std::str::from_utf8(line).map(str::trim).map_err(|_| "not UTF-8".to_owned())));
    texts.filter(|(_, text)| !matches!(text, Ok("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_both_formats_are_read() {
        let csv =
            Table::read("a.CSV", "\u{feff}sku,name\r\n1,\"Tea, \"\"green\"\"\"\n2,\n".as_bytes()).expect("a table");
        assert_eq!(csv.columns, ["sku", "name"]);
        let shown = |table: &Table| -> Vec<(String, String)> {
            table.rows.iter().flatten().map(|cell| (cell.plain().to_owned(), cell.json())).collect()
        };
        let both = |plain: &str, json: &str| (plain.to_owned(), json.to_owned());
        let tea = both("Tea, \"green\"", r#""Tea, \"green\"""#);
        assert_eq!(shown(&csv), [both("1", r#""1""#), tea, both("2", r#""2""#), both("", r#""""#)]);
        let lines =
            Table::read("a.jsonl", b"{\"a\":12345678901234567890123,\"b\":\"x\"}\n\n{\"b\":[2.50],\"a\":null}\n")
                .expect("a table");
        assert_eq!(lines.columns, ["a", "b"]);
        let same = |text: &str| both(text, text);
        assert_eq!(shown(&lines), [same("12345678901234567890123"), both("x", "\"x\""), same("null"), same("[2.50]")]);
    }

    #[test]
    fn errors_of_a_table_name_the_line() {
        for (name, text, wrong) in [
            ("a.txt", "a\n1\n", "end with `.csv`"),
            ("a.csv", "", "it is empty"),
            ("a.csv", "a,b\n", "it is empty"),
            ("a.csv", "a,b\n1,2\n3\n", "line 3: 1 values, and the first line names 2 columns"),
            ("a.csv", "a,a\n1,2\n", "line 1: two columns"),
            ("a.csv", "a,\n1,2\n", "line 1: a column without"),
            ("a.jsonl", "\n[1]\n", "line 2: not a JSON object"),
            ("a.jsonl", "{\"a\":1}\n{\"b\":1}\n", "line 2: not the same keys"),
            ("a.ndjson", "{\"a\":1\n", "line 1: EOF"),
        ] {
            let error = Table::read(name, text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(wrong), "{text:?}: {error}");
        }
    }

    #[test]
    fn prompts_have_their_number_of_words() {
        let text = prompts("p.txt", b"Say hello.\n\n  What is  the time?  \n").expect("prompts");
        assert_eq!(text.iter().map(|it| it.words).collect::<Vec<_>>(), [2, 4]);
        let lines = "{\"prompt\": \"a b c\", \"max_tokens\": 7}\n{\"messages\": [{\"role\": \"system\", \"content\": \
            \"be kind\"}, \
                     {\"role\": \"user\", \"content\": \"hi\"}]}\n";
        let chat = prompts("p.jsonl", lines.as_bytes()).expect("prompts");
        assert_eq!((chat[0].words, chat[0].max_tokens, chat[1].words), (3, Some(7), 3));
        assert!(chat[1].content.is_array());
        for wrong in ["{}", "{\"prompt\": 3}", "{\"messages\": []}", "{\"prompt\": \"a\", \"max_tokens\": 0}", "x"] {
            assert!(matches!(prompts("p.jsonl", wrong.as_bytes()), Err(TableError::Line(1, _))), "{wrong}");
        }
        assert_eq!(prompts("p.txt", b" \n"), Err(TableError::Empty));
    }
}
