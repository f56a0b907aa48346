//! The variables of a scenario: declared in `vars`, overridden by the command line, used by template expressions.

use indexmap::IndexMap;

use crate::Explained;
use crate::declared::Declared;
use crate::diagnostic::{Code, Diagnostic, suggestion};
use crate::source::{self, Node, Span, Step, Value, json, node_of};
use crate::template::{Templates, Vars};
use crate::typed::{self, Reading};

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

    /// The value that is given for a variable.
    pub(crate) fn of(&self, name: &str) -> Option<serde_json::Value> {
        let given = self.vars.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value);
        given.or_else(|| self.files.iter().rev().find_map(|file| file.get(name))).cloned()
    }

    /// Adds a `name=value` of the command line. The value is parsed as a plain YAML scalar: `3` is a number.
    ///
    /// # Errors
    /// A sentence for the user, if `=` or the name is missing.
    pub fn add_var(&mut self, assignment: &str) -> Result<(), Explained> {
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| Explained::new(format!("`{assignment}` has no `=`"), "write `--var name=value`"))?;
        let name = name.trim();
        if !is_variable(name) {
            return Err(Explained::new(format!("`{name}` is not the name of a variable"), "write `--var name=value`"));
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
        problems.iter().any(|it| it.code == Code::UnknownOverride && it.about.as_deref() == Some(name))
    }

    /// Adds a variable of the command line whose value is always text.
    ///
    /// # Errors
    /// A sentence for the user, if the name is not a valid variable name.
    pub fn add_secret(&mut self, name: &str, value: String) -> Result<(), Explained> {
        if !is_variable(name) {
            return Err(Explained::new(
                format!("`{name}` is not the name of a variable"),
                "write `--secret name=value`",
            ));
        }
        self.vars.push((name.to_owned(), serde_json::Value::String(value)));
        Ok(())
    }
}

/// True for a name that a template expression can use.
fn is_variable(name: &str) -> bool {
    const WORDS: [&str; 12] = ["true", "True", "false", "False", "none", "None", "and", "or", "not", "in", "is", "if"];
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&name)
}

/// The variables of a scenario.
pub(crate) struct Variables {
    /// The values used.
    pub(crate) values: Vars,
    /// What is wrong with them.
    pub(crate) problems: Vec<Diagnostic>,
}

/// Overrides the file's variables with those of the command line, and renders the tree with them.
/// `axes` are the variables of the file's matrix with their positions and values.
pub(crate) fn render<'a>(
    mut tree: Node,
    axes: impl Iterator<Item = (&'a str, Span, &'a serde_json::Value)>,
    overrides: &Overrides,
    templates: &mut Templates<'_>,
) -> (Node, Variables) {
    let mut problems = Vec::new();
    let declared = take_vars(&mut tree);
    let mut values = Vars::new();
    let mut spans = IndexMap::new();
    let shared: Vars = overrides.files.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    let given: Vars = overrides.vars.iter().cloned().collect();
    for (name, span, value) in axes {
        templates.define(name, value);
        spans.insert(name.to_owned(), span);
        values.insert(name.to_owned(), value.clone());
    }
    for (name, key_span, mut node) in declared {
        // A variable may use earlier variables. If it is overridden, the variables that it uses still count as used,
        // and its errors do not matter.
        let errors = templates.errors.len();
        templates.render(&mut node);
        let declared = Declared::of(node);
        let value = match given.get(&name).or_else(|| shared.get(&name)) {
            Some(value) => {
                templates.errors.truncate(errors);
                value.clone()
            }
            None => declared.default.clone(),
        };
        problems.extend(declared.problem(&name, &value).map(|problem| problem.at(key_span)));
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
            let message = format!("`--var {name}` sets a variable that this scenario does not have");
            problems.push(
                Diagnostic::error(Code::UnknownOverride, message)
                    .about(name)
                    .help(format!("add it to `vars` of the scenario: `{name}: value`"))
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
pub(crate) fn put_vars(tree: &mut Node, values: &Vars) {
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
