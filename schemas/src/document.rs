//! From the bytes of a scenario file to a scenario, or to all of its problems: runs the stages `source`, `template`,
//! `expand`, `typed` and `check` in order.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::check;
use crate::diagnostic::{self, Code, Diagnostic, suggestion};
use crate::files::{Files, Reader};
use crate::scenario::Scenario;
use crate::source::{self, Node, Span, Step, Value};
use crate::template::{Templates, Vars};
use crate::typed::{self, Reading};
use crate::{expand, foreign};

/// Values of variables from the command line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides {
    /// The values of the vars files. Later files take precedence. Several scenarios share them, so they may contain
    /// variables that a scenario does not have.
    pub files: Vec<IndexMap<String, serde_json::Value>>,
    /// The values of `--var`. Later values take precedence. Each must be a variable of the scenario.
    pub vars: Vec<(String, serde_json::Value)>,
}

impl Overrides {
    /// Adds the contents of a vars file: a YAML map from names to values.
    ///
    /// # Errors
    /// The problems of the file.
    pub fn add_file(&mut self, file: &str, bytes: &[u8]) -> Result<(), Vec<Diagnostic>> {
        let text = source::text(bytes).map_err(|problem| vec![problem.in_file(file, "")])?;
        let tree = source::parse(text).map_err(|problem| vec![problem.in_file(file, text)])?;
        let Reading { value, errors, .. } = typed::read::<Vars>(tree);
        match value {
            Some(vars) if errors.is_empty() => {
                self.files.push(vars);
                Ok(())
            }
            _ => Err(errors
                .into_iter()
                .map(|problem| problem.help("a vars file is a map: `name: value`").in_file(file, text))
                .collect()),
        }
    }

    /// Adds a `name=value` of the command line. The value is parsed as a plain YAML scalar: `3` is a number.
    ///
    /// # Errors
    /// A sentence for the user, if `=` or the name is missing.
    pub fn add_var(&mut self, assignment: &str) -> Result<(), String> {
        let (name, value) =
            assignment.split_once('=').ok_or_else(|| format!("`{assignment}` has no `=`: write `--var name=value`"))?;
        let name = name.trim();
        if !is_variable(name) {
            return Err(format!("`{name}` is not the name of a variable: write `--var name=value`"));
        }
        self.vars.push((name.to_owned(), json(source::scalar(value))));
        Ok(())
    }

    /// The values without the variables of the command line that a file does not have, according to its problems.
    pub fn known_to(&self, problems: &[Diagnostic]) -> Self {
        let mut known = self.clone();
        known.vars.retain(|(name, _)| !Self::is_unknown(name, problems));
        known
    }

    /// True if a file has no variable of this name, according to its problems.
    pub fn is_unknown(name: &str, problems: &[Diagnostic]) -> bool {
        let message = unknown_override(name);
        problems.iter().any(|it| it.code == Code::UnknownOverride && it.message == message)
    }

    /// Adds a variable of the command line whose value is always text.
    ///
    /// # Errors
    /// A sentence for the user, if the name is not a valid variable name.
    pub fn add_secret(&mut self, name: &str, value: String) -> Result<(), String> {
        if !is_variable(name) {
            return Err(format!("`{name}` is not the name of a variable: write `--secret name=value`"));
        }
        self.vars.push((name.to_owned(), serde_json::Value::String(value)));
        Ok(())
    }
}

/// A valid scenario file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file, as named on the command line.
    pub file: String,
    /// Its text, as UTF-8 without a byte order mark.
    pub text: String,
    /// The scenario, with all templates rendered.
    pub scenario: Scenario,
    /// Warnings for its author.
    pub warnings: Vec<Diagnostic>,
    /// The variables, with the values used.
    pub vars: IndexMap<String, serde_json::Value>,
    /// The file's content with all templates rendered, for the result.
    pub resolved: serde_json::Value,
    /// The files that the scenario names.
    pub files: Files,
    spans: BTreeMap<String, Span>,
}

impl Document {
    /// The line, from 1, of the key at a path such as `phases[1]`, `phases[1].faults.nats-cut` or
    /// `phases[1].expect[0]`.
    pub fn line(&self, path: &str) -> Option<u32> {
        self.span(path).map(|span| span.line)
    }

    /// The position of the key at a path.
    pub fn span(&self, path: &str) -> Option<Span> {
        self.spans.get(path).copied()
    }
}

/// Reads a scenario file. `file` is its path, for messages and for the files that it names, which are read relative to
/// its directory.
///
/// # Errors
/// All problems of the file, errors and warnings, in the order of the file. At least one of them is an error.
pub fn parse(file: &str, bytes: &[u8], overrides: &Overrides) -> Result<Document, Vec<Diagnostic>> {
    parse_with(file, bytes, overrides, Reader::of_scenario(file))
}

/// The same, with another reader for the files.
pub(crate) fn parse_with(
    file: &str,
    bytes: &[u8],
    overrides: &Overrides,
    reader: Reader,
) -> Result<Document, Vec<Diagnostic>> {
    let text = source::text(bytes).map_err(|problem| vec![problem.in_file(file, "")])?;
    let mut tree = source::parse(text).map_err(|problem| vec![foreign::syntax(*problem, text).in_file(file, text)])?;
    if let Some(problem) = foreign::tool(&tree, text) {
        return Err(vec![problem.in_file(file, text)]);
    }
    if !matches!(tree.value, Value::Map(_)) {
        return Err(vec![not_a_map(&tree).in_file(file, text)]);
    }

    let mut templates = Templates::new(text);
    drop_extensions(&mut tree);
    let (mut tree, vars) = render(tree, overrides, &mut templates);
    let mut found = std::mem::take(&mut templates.errors);
    put_vars(&mut tree, &vars.values);
    expand::short_forms(&mut tree);
    found.extend(vars.problems);

    let resolved = json(tree.value.clone());
    let stand_ins = holes(&tree, &mut Vec::new());
    let mut reading = typed::read::<Scenario>(tree);
    reading.damage.extend(stand_ins);
    found.append(&mut reading.errors);

    let map = check::Map::new(&reading.tree, &reading.damage);
    let mut files = Files::default();
    if let Some(scenario) = &reading.value {
        let (problems, read) = check::scenario(scenario, &map, reader);
        found.extend(problems);
        files = read;
    }
    diagnostic::sort(&mut found);
    found.dedup();
    shorten(&mut found);
    let found: Vec<Diagnostic> = found.into_iter().map(|problem| problem.in_file(file, text)).collect();
    match reading.value {
        Some(scenario) if !found.iter().any(Diagnostic::is_error) => Ok(Document {
            file: file.to_owned(),
            text: text.to_owned(),
            scenario,
            warnings: found,
            vars: vars.values,
            resolved,
            files,
            spans: map.into_spans(),
        }),
        _ => Err(found),
    }
}

/// Keeps the first 100 problems.
fn shorten(found: &mut Vec<Diagnostic>) {
    const SHOWN: usize = 100;
    let more = found.len().saturating_sub(SHOWN);
    if more > 0 {
        let errors = found[SHOWN..].iter().filter(|it| it.is_error()).count();
        found.truncate(SHOWN);
        let message = format!("{more} more problems of this file are not shown, {errors} of them errors");
        found.push(if errors > 0 {
            Diagnostic::error(Code::More, message)
        } else {
            Diagnostic::warning(Code::More, message)
        });
    }
}

/// True for a name that a template expression can use.
fn is_variable(name: &str) -> bool {
    const WORDS: [&str; 12] = ["true", "True", "false", "False", "none", "None", "and", "or", "not", "in", "is", "if"];
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&name)
}

fn not_a_map(tree: &Node) -> Diagnostic {
    let what = match tree.value {
        Value::Seq(_) => "a list",
        Value::Null => "nothing",
        _ => "a single value",
    };
    Diagnostic::error(Code::WrongType, format!("a scenario is a map of keys, and the file holds {what}"))
        .at(typed::head(tree))
        .help("begin with `version: 1` and `name: ...`; `shakedown init` writes a first scenario")
}

struct Variables {
    values: Vars,
    problems: Vec<Diagnostic>,
}

fn unknown_override(name: &str) -> String {
    format!("`--var {name}` sets a variable that this scenario does not have")
}

/// Removes the keys that begin with `x-`. They hold YAML's anchors, which are expanded by now.
fn drop_extensions(tree: &mut Node) {
    if let Value::Map(entries) = &mut tree.value {
        entries.retain(|entry| !entry.key.starts_with("x-"));
    }
}

/// Overrides the file's variables with those of the command line, and renders the tree with them.
fn render(mut tree: Node, overrides: &Overrides, templates: &mut Templates<'_>) -> (Node, Variables) {
    let mut problems = Vec::new();
    let declared = take_vars(&mut tree);
    let mut values = Vars::new();
    let mut spans = IndexMap::new();
    let shared: Vars = overrides.files.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    let given: Vars = overrides.vars.iter().cloned().collect();
    for (name, key_span, mut node) in declared {
        // A variable may use earlier variables. If it is overridden, the variables that it uses still count as used,
        // and its errors do not matter.
        let errors = templates.errors.len();
        templates.render(&mut node);
        let value = match given.get(&name).or_else(|| shared.get(&name)) {
            Some(value) => {
                templates.errors.truncate(errors);
                value.clone()
            }
            None => json(node.value),
        };
        templates.define(&name, &value);
        spans.insert(name.clone(), key_span);
        values.insert(name, value);
    }
    let all: Vars = shared.into_iter().chain(values.clone()).chain(given.clone()).collect();
    all.iter().filter(|(name, _)| !values.contains_key(*name)).for_each(|(name, value)| templates.define(name, value));
    templates.declared = spans.keys().cloned().collect();
    templates.render(&mut tree);

    for (name, span) in &spans {
        if !is_variable(name) {
            problems.push(
                Diagnostic::error(Code::Name, format!("`{name}` cannot be the name of a variable"))
                    .at(*span)
                    .help("names of variables have letters, digits and `_`, and begin with a letter"),
            );
        } else if !templates.used.contains(name) {
            problems.push(
                Diagnostic::warning(Code::UnusedVariable, format!("the variable `{name}` is never used"))
                    .at(*span)
                    .help(format!("use it as `\"{{{{ {name} }}}}\"`, or remove it")),
            );
        }
    }
    for name in given.keys() {
        if !spans.contains_key(name) && !templates.used.contains(name) {
            let known: Vec<&str> = spans.keys().map(String::as_str).collect();
            problems.push(
                Diagnostic::error(Code::UnknownOverride, unknown_override(name))
                    .maybe_help(suggestion(name, &known, "variable")),
            );
        }
    }
    // Of the shared values, only those that this scenario uses become its variables.
    values.extend(all.into_iter().filter(|(name, _)| templates.used.contains(name)));
    (tree, Variables { values, problems })
}

/// Takes the entries of `vars` out of the tree: they are values, not strings with templates. An invalid `vars` stays in
/// the tree and becomes an error.
fn take_vars(tree: &mut Node) -> Vec<(String, Span, Node)> {
    match tree.at_mut(&[Step::Key("vars".to_owned())]).map(|node| &mut node.value) {
        Some(Value::Map(entries)) => {
            std::mem::take(entries).into_iter().map(|entry| (entry.key, entry.key_span, entry.node)).collect()
        }
        _ => Vec::new(),
    }
}

/// Puts the values back, so that the scenario contains the values used.
fn put_vars(tree: &mut Node, values: &Vars) {
    if let Some(node) = tree.at_mut(&[Step::Key("vars".to_owned())]) {
        let span = node.span;
        if let Value::Map(entries) = &mut node.value {
            entries.extend(values.iter().map(|(name, value)| source::Entry {
                key: name.clone(),
                key_span: span,
                node: node_of(value, span),
            }));
        }
    }
}

fn node_of(value: &serde_json::Value, span: Span) -> Node {
    let value = match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value.into()),
            (_, Some(value)) => Value::Int(value.into()),
            _ => Value::Float(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(list) => Value::Seq(list.iter().map(|value| node_of(value, span)).collect()),
        serde_json::Value::Object(map) => Value::Map(
            map.iter()
                .map(|(key, value)| source::Entry { key: key.clone(), key_span: span, node: node_of(value, span) })
                .collect(),
        ),
    };
    Node { span, value }
}

/// A part of the tree as JSON.
pub(crate) fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Gone | Value::Hole(_) => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => (value as f64).into(),
        },
        Value::Float(value) => value.into(),
        Value::String(text) | Value::Rendered(text) => text.into(),
        Value::Seq(nodes) => nodes.into_iter().map(|node| json(node.value)).collect(),
        Value::Map(entries) => entries
            .into_iter()
            .map(|entry| (entry.key, json(entry.node.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// The paths of values whose templates failed.
fn holes(node: &Node, path: &mut Vec<Step>) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    let mut visit = |step: Step, node: &Node, path: &mut Vec<Step>| {
        path.push(step);
        found.extend(holes(node, path));
        path.pop();
    };
    match &node.value {
        Value::Hole(_) => return vec![path.clone()],
        Value::Seq(nodes) => {
            nodes.iter().enumerate().for_each(|(index, node)| visit(Step::Index(index), node, path));
        }
        Value::Map(entries) => {
            entries.iter().for_each(|entry| visit(Step::Key(entry.key.clone()), &entry.node, path));
        }
        _ => {}
    }
    found
}
