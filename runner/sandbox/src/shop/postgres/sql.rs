//! The part of SQL that the database knows, as text and as statements. Pure.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::wire::SqlError;

/// The most statements of one query.
const MAX_STATEMENTS: usize = 100;

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    /// `SELECT 1, 'a' AS b`, or `SELECT version()`: values with their names.
    Values(Vec<(String, Literal)>),
    /// `SELECT a, b FROM t WHERE c = 1 LIMIT 2`. No columns means all of them.
    Select { columns: Vec<String>, table: String, condition: Option<(String, Literal)>, limit: Option<usize> },
    /// `SELECT count(*) FROM t`.
    Count { table: String },
    /// `INSERT INTO t (a, b) VALUES (1, 'x')`. No columns means all of them, in order.
    Insert { table: String, columns: Vec<String>, rows: Vec<Vec<Literal>> },
    /// A statement that only answers with this tag.
    Tag(&'static str),
    /// `SHOW name`.
    Show(String),
}

/// A value in a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// The server's version.
    Version,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A keyword or a name, in lower case unless it was quoted.
    Word(String),
    Literal(Literal),
    Sign(char),
}

/// The statements of a query.
///
/// # Errors
/// A syntax error, or an unknown statement.
pub(super) fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    let mut tokens = Tokens { rest: tokens(text)?.into_iter().peekable() };
    let mut statements = Vec::new();
    while tokens.rest.peek().is_some() {
        if tokens.takes(';') {
            continue;
        }
        statements.push(tokens.statement()?);
        if tokens.rest.peek().is_some() && !tokens.takes(';') || statements.len() > MAX_STATEMENTS {
            return Err(tokens.error());
        }
    }
    Ok(statements)
}

struct Tokens {
    rest: Peekable<IntoIter<Token>>,
}

impl Tokens {
    fn error(&mut self) -> SqlError {
        let near = match self.rest.peek() {
            None => return SqlError::new("42601", "syntax error at end of input"),
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Literal(Literal::Text(text))) => format!("'{text}'"),
            Some(Token::Literal(literal)) => format!("{literal:?}"),
            Some(Token::Sign(sign)) => sign.to_string(),
        };
        SqlError::new("42601", format!("syntax error at or near \"{near}\""))
    }

    fn takes(&mut self, sign: char) -> bool {
        self.rest.next_if_eq(&Token::Sign(sign)).is_some()
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.rest.next_if(|token| matches!(token, Token::Word(it) if it == word)).is_some()
    }

    fn needs(&mut self, sign: char) -> Result<(), SqlError> {
        if self.takes(sign) { Ok(()) } else { Err(self.error()) }
    }

    fn word(&mut self) -> Result<String, SqlError> {
        match self.rest.next_if(|token| matches!(token, Token::Word(_))) {
            Some(Token::Word(word)) => Ok(word),
            _ => Err(self.error()),
        }
    }

    /// The name of a table, without its schema.
    fn table(&mut self) -> Result<String, SqlError> {
        let name = self.word()?;
        if self.takes('.') { self.word() } else { Ok(name) }
    }

    fn literal(&mut self) -> Result<Literal, SqlError> {
        let is_negative = self.takes('-');
        let word = match self.rest.peek() {
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "null" => Literal::Null,
                _ => return Err(self.error()),
            },
            Some(Token::Literal(literal)) => literal.clone(),
            _ => return Err(self.error()),
        };
        let literal = match (is_negative, word) {
            (false, literal) => literal,
            (true, Literal::Int(number)) => Literal::Int(-number),
            (true, Literal::Float(number)) => Literal::Float(-number),
            (true, _) => return Err(self.error()),
        };
        self.rest.next();
        Ok(literal)
    }

    /// The text up to a closing bracket.
    fn list<T>(&mut self, part: impl Fn(&mut Self) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
        let mut parts = Vec::new();
        loop {
            parts.push(part(self)?);
            if !self.takes(',') {
                return Ok(parts);
            }
        }
    }

    /// Skips the rest of a statement.
    fn skip(&mut self) {
        while self.rest.next_if(|token| *token != Token::Sign(';')).is_some() {}
    }

    fn statement(&mut self) -> Result<Statement, SqlError> {
        let Some(Token::Word(word)) = self.rest.peek().cloned() else { return Err(self.error()) };
        let tag = match word.as_str() {
            "begin" | "start" => "BEGIN",
            "commit" | "end" => "COMMIT",
            "rollback" | "abort" => "ROLLBACK",
            "set" => "SET",
            "discard" => "DISCARD ALL",
            "select" | "insert" | "show" => "",
            _ => return Err(self.error()),
        };
        self.rest.next();
        match word.as_str() {
            "select" => self.select(),
            "insert" => self.insert(),
            "show" => self.list_of_words().map(|words| Statement::Show(words.join("_"))),
            _ => {
                self.skip();
                Ok(Statement::Tag(tag))
            }
        }
    }

    fn list_of_words(&mut self) -> Result<Vec<String>, SqlError> {
        let mut words = vec![self.word()?];
        while let Ok(word) = self.word() {
            words.push(word);
        }
        Ok(words)
    }

    fn select(&mut self) -> Result<Statement, SqlError> {
        if self.takes('*') {
            return self.from(Vec::new());
        }
        if let Some(Token::Word(word)) = self.rest.peek().cloned()
            && !matches!(word.as_str(), "true" | "false" | "null")
        {
            self.rest.next();
            return match word.as_str() {
                "version" if self.takes('(') => {
                    self.needs(')')?;
                    Ok(Statement::Values(vec![("version".into(), Literal::Version)]))
                }
                "count" if self.takes('(') => {
                    self.needs('*')?;
                    self.needs(')')?;
                    self.counted()
                }
                _ => {
                    let mut columns = vec![word];
                    if self.takes(',') {
                        columns.extend(self.list(Self::word)?);
                    }
                    self.from(columns)
                }
            };
        }
        let values = self.list(|tokens| {
            let value = tokens.literal()?;
            let named = tokens.takes_word("as") || matches!(tokens.rest.peek(), Some(Token::Word(_)));
            Ok((if named { tokens.word()? } else { "?column?".into() }, value))
        });
        Ok(Statement::Values(values?))
    }

    fn counted(&mut self) -> Result<Statement, SqlError> {
        if self.takes_word("from") { Ok(Statement::Count { table: self.table()? }) } else { Err(self.error()) }
    }

    fn from(&mut self, columns: Vec<String>) -> Result<Statement, SqlError> {
        if !self.takes_word("from") {
            return Err(match columns.first() {
                Some(column) if self.rest.peek().is_none() => {
                    SqlError::new("42703", format!("column \"{column}\" does not exist"))
                }
                _ => self.error(),
            });
        }
        let table = self.table()?;
        let mut condition = None;
        if self.takes_word("where") {
            let column = self.word()?;
            self.needs('=')?;
            condition = Some((column, self.literal()?));
        }
        let mut limit = None;
        if self.takes_word("limit") {
            limit = match self.literal()? {
                Literal::Int(number) if number >= 0 => Some(usize::try_from(number).unwrap_or(usize::MAX)),
                _ => return Err(SqlError::new("2201W", "LIMIT must not be negative")),
            };
        }
        Ok(Statement::Select { columns, table, condition, limit })
    }

    fn insert(&mut self) -> Result<Statement, SqlError> {
        if !self.takes_word("into") {
            return Err(self.error());
        }
        let table = self.table()?;
        let mut columns = Vec::new();
        if self.takes('(') {
            columns = self.list(Self::word)?;
            self.needs(')')?;
        }
        if !self.takes_word("values") {
            return Err(self.error());
        }
        let rows = self.list(|tokens| {
            tokens.needs('(')?;
            let row = tokens.list(Self::literal)?;
            tokens.needs(')')?;
            Ok(row)
        })?;
        Ok(Statement::Insert { table, columns, rows })
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if first.is_whitespace() => first.len_utf8(),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '\'' | '"' => {
                let (value, length) = quoted(rest, first)?;
                found.push(if first == '"' { Token::Word(value) } else { Token::Literal(Literal::Text(value)) });
                length
            }
            '0'..='9' => {
                let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                let number = &rest[..length];
                let literal = number.parse().map(Literal::Int).or_else(|_| number.parse().map(Literal::Float));
                let bad =
                    |_| SqlError::new("42601", format!("trailing junk after numeric literal at or near \"{number}\""));
                found.push(Token::Literal(literal.map_err(bad)?));
                length
            }
            _ if first.is_alphabetic() || first == '_' => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                found.push(Token::Word(rest[..length].to_lowercase()));
                length
            }
            _ => {
                found.push(Token::Sign(first));
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Ok(found)
}

/// The text in quotes at the beginning, and its length. A doubled quote is one quote.
fn quoted(text: &str, quote: char) -> Result<(String, usize), SqlError> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            value.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            value.push(quote);
        } else {
            return Ok((value, at + 1));
        }
    }
    Err(SqlError::new("42601", "unterminated quoted string"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read() {
        let text = |text: &str| Literal::Text(text.into());
        for (sql, expected) in [
            ("SELECT 1", Statement::Values(vec![("?column?".into(), Literal::Int(1))])),
            (
                "select -2 as a, 'it''s' b;",
                Statement::Values(vec![("a".into(), Literal::Int(-2)), ("b".into(), text("it's"))]),
            ),
            ("SELECT version()", Statement::Values(vec![("version".into(), Literal::Version)])),
            ("SELECT count(*) FROM public.Prices", Statement::Count { table: "prices".into() }),
            (
                "SELECT * FROM t -- all\n WHERE \"a\" = 1.5 LIMIT 3",
                Statement::Select {
                    columns: vec![],
                    table: "t".into(),
                    condition: Some(("a".into(), Literal::Float(1.5))),
                    limit: Some(3),
                },
            ),
            (
                "INSERT INTO t (a, b) VALUES (1, 'x'), (NULL, true)",
                Statement::Insert {
                    table: "t".into(),
                    columns: vec!["a".into(), "b".into()],
                    rows: vec![vec![Literal::Int(1), text("x")], vec![Literal::Null, Literal::Bool(true)]],
                },
            ),
            ("SET statement_timeout = 5", Statement::Tag("SET")),
            ("SHOW server_version", Statement::Show("server_version".into())),
        ] {
            assert_eq!(parse(sql), Ok(vec![expected]), "{sql}");
        }
        assert_eq!(parse("BEGIN; SELECT 1; COMMIT").unwrap().len(), 3);
        assert_eq!(parse(" ; ").unwrap(), []);
    }

    #[test]
    fn what_is_not_known_is_a_syntax_error() {
        for sql in [
            "SELEC 1",
            "SELECT",
            "SELECT 1 2",
            "SELECT * FROM",
            "INSERT INTO t",
            "DROP TABLE t",
            "SELECT 'a",
            "1",
            "SELECT a",
        ] {
            let error = parse(sql).unwrap_err();
            assert!(error.code.starts_with("42"), "{sql}: {error:?}");
        }
        assert_eq!(parse("SELECT * FROM t WHERE a ~ 1").unwrap_err().message, "syntax error at or near \"~\"");
    }
}
