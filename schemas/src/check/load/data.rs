//! Checks of request data: the feeder's table can be read, and the requests use columns that exist and fit.

use super::characters::is_of_path;
use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic, suggestion};
use crate::scenario::{Data, Feeder, Filter, HttpStep, Order, RequestText, Source};
use crate::tables::Table;

/// The part of a request that contains data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Header,
    Body,
}

/// The rows of one load.
pub(crate) struct Rows {
    path: String,
    table: Rowed,
    is_used: bool,
    /// The number of requests after which the prompts repeat, if they come in order.
    pub(crate) prompts_cycle: Option<u64>,
    is_in_order: bool,
    /// Whether a `group_by` searches the body of every answer.
    pub(crate) groups_by_body: bool,
    /// The captured values by name, each with the name of its step and whether that step comes before the current one.
    captures: Vec<(String, String, bool)>,
}

enum Rowed {
    None,
    /// It cannot be read, which was reported.
    Broken,
    Table(Table),
}

impl Rows {
    pub(super) fn new(path: &str, feeder: Option<&Feeder>, findings: &mut Findings<'_>) -> Self {
        let path = format!("{path}.feeder");
        let at = format!("{path}.file");
        let table = match feeder {
            None => Rowed::None,
            Some(feeder) => match findings.read(&at, &feeder.file) {
                None => Rowed::Broken,
                Some(bytes) => match Table::read(&feeder.file, &bytes) {
                    Ok(table) => Rowed::Table(table),
                    Err(error) => {
                        let message = format!("`{}` is not a table: {error}", feeder.file);
                        findings.push(
                            &at,
                            Diagnostic::error(Code::File, message)
                                .help("the first line of CSV names the columns; each line of JSON Lines is an object"),
                        );
                        Rowed::Broken
                    }
                },
            },
        };
        let is_in_order = feeder.is_some_and(|it| it.order.unwrap_or(Order::Sequential) == Order::Sequential);
        Self {
            path,
            table,
            is_used: false,
            prompts_cycle: None,
            is_in_order,
            groups_by_body: false,
            captures: Vec::new(),
        }
    }

    /// The texts that follow belong to the step with this index.
    pub(super) fn at_step(&mut self, steps: &[HttpStep], index: usize) {
        let all = steps.iter().enumerate();
        let captures = all.flat_map(|(at, step)| step.capture.keys().map(move |name| (name, step, at < index)));
        self.captures = captures.map(|(name, step, is_before)| (name.clone(), step.name.clone(), is_before)).collect();
    }

    /// Checks the request data in a text.
    pub(crate) fn check(&mut self, path: &str, text: &RequestText, place: Place, findings: &mut Findings<'_>) {
        for data in text.data() {
            if let Source::Capture(name) = &data.source
                && let Some(problem) = self.capture_problem(name, data)
            {
                findings.push(path, problem);
            }
            let Source::Column(column) = &data.source else { continue };
            self.is_used = true;
            let problem = match &self.table {
                Rowed::Broken => None,
                Rowed::None => Some(
                    Diagnostic::error(
                        Code::RequestData,
                        format!("`{{{{ {data} }}}}` needs a table, but this load has no `feeder`"),
                    )
                    .help("add `feeder: {file: rows.csv}` to the load"),
                ),
                Rowed::Table(table) => table_problem(table, column, data, place),
            };
            if let Some(problem) = problem {
                findings.push(path, problem);
            }
        }
    }

    /// Why no earlier step captures this value.
    fn capture_problem(&self, name: &str, data: &Data) -> Option<Diagnostic> {
        let named = |it: &&(String, String, bool)| it.0 == name;
        if self.captures.iter().filter(named).any(|(.., is_before)| *is_before) {
            return None;
        }
        let error = |message: String| Diagnostic::error(Code::RequestData, message);
        if let Some((_, step, _)) = self.captures.iter().find(named) {
            return Some(
                error(format!("the value `{name}` is captured only by the step `{step}`, which has no answer yet"))
                    .help("move this step behind it"),
            );
        }
        if self.captures.is_empty() {
            return Some(
                error(format!("`{{{{ {data} }}}}` needs an earlier step that captures it"))
                    .help(format!("write `steps`, and give an earlier one `capture: {{{name}: {{json: $.{name}}}}}`")),
            );
        }
        let known: Vec<&str> = self.captures.iter().map(|(name, ..)| name.as_str()).collect();
        Some(
            error(format!("no step captures a value `{name}`"))
                .label("no such value")
                .maybe_help(suggestion(name, &known, "value")),
        )
    }

    /// Warns about a table that no request uses. Returns the number of requests after which data in order repeats.
    pub(super) fn finish(self, findings: &mut Findings<'_>) -> Option<u64> {
        let load = self.path.trim_end_matches(".feeder");
        if !self.is_used && matches!(self.table, Rowed::Table(_)) && !findings.map.damaged(load) {
            findings.push_at_key(
                &self.path,
                Diagnostic::warning(Code::RequestData, "the requests do not use this table")
                    .help("write `{{ row.column }}` in the path, a header or the body"),
            );
        }
        let rows = match &self.table {
            Rowed::Table(table) if self.is_used && self.is_in_order => Some(table.rows.len() as u64),
            _ => None,
        };
        // A single row is the same in every request.
        rows.max(self.prompts_cycle).filter(|length| *length > 1)
    }
}

fn table_problem(table: &Table, column: &str, data: &Data, place: Place) -> Option<Diagnostic> {
    let Some(at) = table.columns.iter().position(|known| known == column) else {
        let known: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        return Some(
            Diagnostic::error(Code::RequestData, format!("the table has no column `{column}`"))
                .label("no such column")
                .maybe_help(suggestion(column, &known, "column")),
        );
    };
    if data.filter == Some(Filter::UrlEncode) {
        return None;
    }
    let fits = |character: char| match place {
        Place::Path => is_of_path(character) && !"\"<>\\^`{|}".contains(character),
        Place::Header => !character.is_control(),
        Place::Body => true,
    };
    let bad = table.rows.iter().position(|row| !row[at].plain().chars().all(fits))?;
    let what = if place == Place::Path { "the path of a request" } else { "a header" };
    Some(
        Diagnostic::error(
            Code::RequestData,
            format!(
                "`{column}` of row {} contains characters that are not allowed in \
            {what}",
                bad + 1
            ),
        )
        .help(format!("write `{{{{ {data} | urlencode }}}}`")),
    )
}
