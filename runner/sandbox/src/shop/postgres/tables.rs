//! The tables of a database, and statements on them. No sockets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use serde_json::Value;

use super::sql::{Literal, Statement};
use super::wire::{Column, ColumnKind, SqlError};

/// The most rows of a table.
const MAX_ROWS: usize = 100_000;

/// The tables by name.
pub(super) struct Tables(Mutex<HashMap<String, Table>>);

struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Option<String>>>,
}

/// What a statement brought.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Columns and rows.
    Rows(Vec<Column>, Vec<Vec<Option<String>>>),
    /// The tag of a statement without rows.
    Done(String),
}

impl Tables {
    /// Tables with these rows. The first row of each has all columns.
    pub fn new(tables: &IndexMap<String, Vec<IndexMap<String, Value>>>) -> Self {
        let table = |rows: &Vec<IndexMap<String, Value>>| {
            let column = |(name, value): (&String, &Value)| Column { name: name.clone(), kind: kind(value) };
            let columns: Vec<Column> = rows.first().into_iter().flatten().map(column).collect();
            let cell = |row: &IndexMap<String, Value>, column: &Column| row.get(&column.name).and_then(text);
            let rows = rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
            Table { columns, rows }
        };
        Self(Mutex::new(tables.iter().map(|(name, rows)| (name.clone(), table(rows))).collect()))
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<String, Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// An unknown table or column, too many rows, or values that do not fit.
    pub fn run(&self, statement: &Statement, version: &str) -> Result<Outcome, SqlError> {
        match statement {
            Statement::Tag(tag) => Ok(Outcome::Done((*tag).to_owned())),
            Statement::Show(name) => {
                let value = if name == "server_version" { version } else { "on" };
                Ok(Outcome::Rows(vec![column(name, ColumnKind::Text)], vec![vec![Some(value.to_owned())]]))
            }
            Statement::Values(values) => {
                let columns = values.iter().map(|(name, literal)| column(name, literal.kind())).collect();
                Ok(Outcome::Rows(columns, vec![values.iter().map(|(_, literal)| literal.text(version)).collect()]))
            }
            Statement::Count { table } => {
                let mut tables = self.tables();
                let rows = find(&mut tables, table)?.rows.len();
                Ok(Outcome::Rows(vec![column("count", ColumnKind::Int)], vec![vec![Some(rows.to_string())]]))
            }
            Statement::Select { columns, table, condition, limit } => {
                let mut tables = self.tables();
                let table = find(&mut tables, table)?;
                let all = || (0..table.columns.len()).collect();
                let shown: Vec<usize> = match columns.as_slice() {
                    [] => all(),
                    names => names.iter().map(|name| table.position(name)).collect::<Result<_, _>>()?,
                };
                let condition = match condition {
                    Some((name, literal)) => Some((table.position(name)?, literal.text(version))),
                    None => None,
                };
                let fits = |row: &&Vec<Option<String>>| {
                    // NULL equals nothing, not even NULL.
                    condition.as_ref().is_none_or(|(at, wanted)| wanted.is_some() && row[*at] == *wanted)
                };
                let rows = table.rows.iter().filter(fits).take(limit.unwrap_or(usize::MAX));
                let rows = rows.map(|row| shown.iter().map(|at| row[*at].clone()).collect()).collect();
                Ok(Outcome::Rows(shown.iter().map(|at| table.columns[*at].clone()).collect(), rows))
            }
            Statement::Insert { table, columns, rows } => {
                let mut tables = self.tables();
                find(&mut tables, table)?.insert(columns, rows, version)?;
                Ok(Outcome::Done(format!("INSERT 0 {}", rows.len())))
            }
        }
    }
}

fn column(name: &str, kind: ColumnKind) -> Column {
    Column { name: name.to_owned(), kind }
}

fn find<'t>(tables: &'t mut HashMap<String, Table>, name: &str) -> Result<&'t mut Table, SqlError> {
    tables.get_mut(name).ok_or_else(|| SqlError::new("42P01", format!("relation \"{name}\" does not exist")))
}

impl Table {
    fn position(&self, name: &str) -> Result<usize, SqlError> {
        let at = self.columns.iter().position(|column| column.name == name);
        at.ok_or_else(|| SqlError::new("42703", format!("column \"{name}\" does not exist")))
    }

    fn insert(&mut self, columns: &[String], rows: &[Vec<Literal>], version: &str) -> Result<(), SqlError> {
        let places: Vec<usize> = match columns {
            [] => (0..self.columns.len()).collect(),
            names => names.iter().map(|name| self.position(name)).collect::<Result<_, _>>()?,
        };
        if self.rows.len() + rows.len() > MAX_ROWS {
            return Err(SqlError::new("53100", format!("could not extend the table: it has {MAX_ROWS} rows")));
        }
        let mut added = Vec::new();
        for row in rows {
            if row.len() > places.len() {
                return Err(SqlError::new("42601", "INSERT has more expressions than target columns"));
            }
            let mut cells = vec![None; self.columns.len()];
            for (at, literal) in places.iter().zip(row) {
                let kind = self.columns[*at].kind;
                if !literal.fits(kind) {
                    let (name, kind) = (&self.columns[*at].name, format!("{kind:?}").to_lowercase());
                    return Err(SqlError::new("42804", format!("column \"{name}\" is of type {kind}")));
                }
                cells[*at] = literal.text(version);
            }
            added.push(cells);
        }
        self.rows.append(&mut added);
        Ok(())
    }
}

impl Literal {
    const fn kind(&self) -> ColumnKind {
        match self {
            Self::Bool(_) => ColumnKind::Bool,
            Self::Int(_) => ColumnKind::Int,
            Self::Float(_) => ColumnKind::Float,
            Self::Null | Self::Text(_) | Self::Version => ColumnKind::Text,
        }
    }

    fn fits(&self, kind: ColumnKind) -> bool {
        match self {
            Self::Null => true,
            Self::Int(_) => matches!(kind, ColumnKind::Int | ColumnKind::Float),
            _ => self.kind() == kind,
        }
    }

    fn text(&self, version: &str) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(if *value { "t" } else { "f" }.into()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::Version => Some(format!("PostgreSQL {version} (shakedown's sandbox)")),
        }
    }
}

fn kind(value: &Value) -> ColumnKind {
    match value {
        Value::Bool(_) => ColumnKind::Bool,
        Value::Number(number) if number.is_i64() => ColumnKind::Int,
        Value::Number(_) => ColumnKind::Float,
        _ => ColumnKind::Text,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(if *value { "t" } else { "f" }.into()),
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sql::parse;
    use super::*;

    fn tables() -> Tables {
        let rows = json!({"prices": [{"item": "tea", "price": 3, "fresh": true}, {"item": "coffee", "price": 4}]});
        Tables::new(&serde_json::from_value(rows).unwrap())
    }

    fn run(tables: &Tables, sql: &str) -> Result<Vec<String>, &'static str> {
        let ran = tables.run(&parse(sql).unwrap()[0], "15.0").map_err(|error| error.code)?;
        Ok(match ran {
            Outcome::Done(tag) => vec![tag],
            Outcome::Rows(_, rows) => {
                let cell = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".into());
                rows.into_iter().map(|row| row.into_iter().map(cell).collect::<Vec<_>>().join("|")).collect()
            }
        })
    }

    #[test]
    fn rows_are_selected_and_inserted() {
        let tables = tables();
        let run = |sql: &str| run(&tables, sql).unwrap();
        assert_eq!(run("SELECT * FROM prices"), ["tea|3|t", "coffee|4|NULL"]);
        assert_eq!(run("SELECT price FROM prices WHERE item = 'tea'"), ["3"]);
        assert_eq!(run("SELECT item FROM prices LIMIT 1"), ["tea"]);
        assert_eq!(run("INSERT INTO prices (item, price) VALUES ('milk', 1), ('salt', 2)"), ["INSERT 0 2"]);
        assert_eq!(run("SELECT count(*) FROM prices"), ["4"]);
        assert_eq!(run("SELECT item FROM prices WHERE fresh = NULL"), Vec::<String>::new());
        assert_eq!(run("SELECT 1, 'a'"), ["1|a"]);
    }

    #[test]
    fn what_does_not_fit_has_postgresqls_code() {
        let tables = tables();
        for (sql, code) in [
            ("SELECT * FROM nothing", "42P01"),
            ("SELECT size FROM prices", "42703"),
            ("SELECT item FROM prices WHERE size = 1", "42703"),
            ("INSERT INTO prices (item, price) VALUES ('milk', 'much')", "42804"),
            ("INSERT INTO prices (item) VALUES ('milk', 3)", "42601"),
        ] {
            assert_eq!(run(&tables, sql), Err(code), "{sql}");
        }
        assert_eq!(run(&tables, "SELECT count(*) FROM prices"), Ok(vec!["2".to_owned()]), "nothing was inserted");
    }
}
