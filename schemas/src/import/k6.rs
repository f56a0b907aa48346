//! Scripts of k6: requests with literal URLs, checks of a status, and options with stages, virtual users or arrival rates.
//! Source: the documentation of k6 1.0.
//!
//! Nothing is run. A script is a program, and what is more than literals and calls of k6 is named in a note.

mod pace;
mod requests;
mod script;
#[cfg(test)]
mod tests;
mod thresholds;
mod tokens;
mod write;

use std::collections::BTreeMap;

use super::read::{Fields, Notes, text};
use crate::source::Node;
use pace::Schedule;
use requests::{Body, Iteration, Names};
use script::{Range, Script};

/// A scenario from a script.
///
/// # Errors
/// Why no request of it can be carried over.
pub(super) fn scenario(source: &str, file: &str, service: Option<&str>, notes: &mut Notes) -> Result<String, String> {
    let mut script = Script::read(source);
    let read = top(&mut script, notes);
    let options = read.options.as_ref().and_then(|node| Fields::of(node, "options."));
    let schedules = pace::schedules(options.as_ref(), notes);
    let thresholds = options.as_ref().map(|it| thresholds::read(it, notes)).unwrap_or_default();
    options.iter().for_each(|it| it.finish(notes));
    let names = Names { http: read.http };
    let mut loads: Vec<(Schedule, Iteration)> = Vec::new();
    for schedule in schedules {
        if schedule.is_empty() {
            notes.line(1, format!("the load `{}` has no length, and is not carried over", schedule.load));
            continue;
        }
        let Some((line, body)) = read.functions.get(schedule.function.as_str()).cloned() else {
            notes.line(1, format!("there is no function `{}` for the load `{}`", schedule.function, schedule.load));
            continue;
        };
        let iteration = Body::read(&mut script, &names, notes, body);
        if iteration.requests.is_empty() {
            notes.line(line, format!("the function `{}` sends no request that can be carried over", schedule.function));
            continue;
        }
        loads.push((schedule, iteration));
    }
    if loads.is_empty() {
        return Err("no request of this script can be carried over".to_owned());
    }
    notes.line(
        1,
        "k6 follows redirects and keeps cookies; a load does neither, and a request whose check fails is a failed one",
    );
    notes.line(1, "the script has no fault: add `faults` to a phase");
    Ok(write::scenario(&loads, &thresholds, file, service, notes))
}

/// What a script declares.
#[derive(Default)]
struct Declared<'s> {
    /// The name of k6's module for HTTP.
    http: Option<&'s str>,
    options: Option<Node>,
    /// The bodies of the functions that can be run, with their lines, by name.
    functions: BTreeMap<&'s str, (u32, Range)>,
}

/// Reads the statements outside functions.
fn top<'s>(script: &mut Script<'s>, notes: &mut Notes) -> Declared<'s> {
    let mut found = Declared::default();
    for statement in script.statements(0..script.tokens.len()) {
        let line = script.line(statement.start);
        if script.is(statement.start, "import") {
            import(script, &statement, &mut found, notes);
            continue;
        }
        let mut at = statement.start;
        at += usize::from(script.is(at, "export"));
        if script.is(at, "default") || script.is(at, "function") || script.is(at, "async") {
            function(script, at..statement.end, &mut found, notes);
            continue;
        }
        let is_declared = matches!(script.word(at), Some("const" | "let" | "var")) && script.is(at + 2, "=");
        let value = at + 3..statement.end;
        match (script.word(at + 1), is_declared) {
            (Some("options"), true) => {
                let mut strange = Vec::new();
                found.options = Some(script.literal(&value, &mut strange));
                strange.into_iter().for_each(|(line, message)| notes.line(line, message));
            }
            (Some(name), true) => {
                let mut strange = Vec::new();
                let node = script.literal(&value, &mut strange);
                strange.into_iter().for_each(|(line, message)| notes.line(line, message));
                if text(&node).is_some()
                    || matches!(node.value, crate::source::Value::Map(_) | crate::source::Value::Seq(_))
                {
                    script.constants.insert(name, node);
                }
            }
            _ => notes.line(line, format!("`{}` is not carried over", script.shown(&statement))),
        }
    }
    found
}

/// `import http from 'k6/http'`, and others.
fn import<'s>(script: &Script<'s>, statement: &Range, found: &mut Declared<'s>, notes: &mut Notes) {
    let last = statement.end - 1..statement.end;
    let module = script.whole_literal(&last).as_ref().and_then(text).unwrap_or_default();
    match module.as_str() {
        "k6/http" if script.is(statement.start + 1, "*") => found.http = script.word(statement.start + 3),
        "k6/http" if script.is(statement.start + 1, "{") => {
            notes.line(
                script.line(statement.start),
                "write `import http from 'k6/http'`: single functions are not read",
            );
        }
        "k6/http" => found.http = script.word(statement.start + 1),
        "k6" => {}
        _ => notes.line(script.line(statement.start), format!("the module `{module}` is not carried over")),
    }
}

/// `default function (…) {…}`, `default (…) => {…}` or `function name(…) {…}`.
fn function<'s>(script: &Script<'s>, range: Range, found: &mut Declared<'s>, notes: &mut Notes) {
    let line = script.line(range.start);
    let is_default = script.is(range.start, "default");
    let Some(parameters) = range.clone().find(|at| script.is(*at, "(")) else {
        return notes.line(line, format!("`{}` is not carried over", script.shown(&range)));
    };
    let (_, after) = script.inside(parameters);
    let name = if is_default { Some("default") } else { script.word(parameters - 1) };
    let open = (after..range.end).find(|at| script.is(*at, "{"));
    match (name, open) {
        (Some("setup" | "teardown" | "handleSummary"), _) => {
            notes.line(line, format!("`{}` is not carried over", name.unwrap_or_default()));
        }
        (Some(name), Some(open)) => _ = found.functions.insert(name, (line, script.inside(open).0)),
        _ => notes.line(line, format!("`{}` is not carried over", script.shown(&range))),
    }
}
