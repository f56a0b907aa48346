//! From the bytes of a scenario file to a scenario, or to all of its problems: runs the stages `source`, `template`,
//! `expand`, `typed` and `check` in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use indexmap::IndexMap;

use crate::check;
use crate::diagnostic::{self, Code, Diagnostic};
use crate::files::{Files, Reader};
use crate::matrix::{self, Combination, Matrix};
use crate::reuse::{self, Sources};
use crate::scenario::Scenario;
use crate::source::{self, Node, Span, Step, Value, json};
use crate::template::Templates;
use crate::variables::{Overrides, put_vars, render};
use crate::{expand, foreign, typed};

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
    /// The values of its matrix. Empty for a file without one.
    pub matrix: IndexMap<String, serde_json::Value>,
    /// The file's content with all templates rendered, for the result.
    pub resolved: serde_json::Value,
    /// The files that the scenario names.
    pub files: Files,
    spans: BTreeMap<String, Span>,
}

impl Document {
    /// The line in the scenario's own file, from 1, of the key at a path such as `phases[1]`, `phases[1].faults.nats-cut` or
    /// `phases[1].expect[0]`.
    pub fn line(&self, path: &str) -> Option<u32> {
        self.span(path).filter(|span| span.file == 0).map(|span| span.line)
    }

    /// The position of the key at a path.
    pub fn span(&self, path: &str) -> Option<Span> {
        self.spans.get(path).copied()
    }

    /// A problem of the key at a path that was found outside of the file.
    pub fn problem(&self, path: &str, problem: Diagnostic) -> Diagnostic {
        let problem = match self.span(path).filter(|span| span.file == 0) {
            Some(span) => problem.at(span),
            None => problem,
        };
        problem.in_file(&self.file, &self.text)
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

/// Reads a scenario file that may have a `matrix`: one scenario for each combination of its values, in the order of the
/// file. Without a matrix, it is one scenario.
///
/// # Errors
/// All problems of the file, each once. At least one of them is an error.
pub fn parse_all(file: &str, bytes: &[u8], overrides: &Overrides) -> Result<Vec<Document>, Vec<Diagnostic>> {
    let (tree, matrix, sources) = tree(file, bytes, overrides)?;
    let (mut documents, mut problems) = (Vec::<Document>::new(), Vec::<Diagnostic>::new());
    for combination in &matrix.combinations {
        match one(file, &sources, tree.clone(), (&matrix, combination), overrides, Reader::of_scenario(file)) {
            Ok(document) => documents.push(document),
            Err(found) => problems.extend(found),
        }
    }
    let mut names = BTreeSet::new();
    let twice = documents.iter().find(|it| !names.insert(it.scenario.name.as_str()));
    if let (Some(twice), Some((_, span))) = (twice, matrix.axes.first()) {
        let message = format!("two combinations of the matrix have the name `{}`", twice.scenario.name);
        let problem = Diagnostic::error(Code::DuplicateName, message).at(*span);
        problems.push(sources.placed(problem.help("use all variables of the matrix in `name`")));
    }
    if problems.is_empty() {
        return Ok(documents);
    }
    // Most problems are in all combinations.
    let mut problems = unique(problems);
    diagnostic::sort(&mut problems);
    Err(problems)
}

/// Each problem once, in the same order.
fn unique(problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for problem in problems {
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
    found
}

/// The same as [`parse`], with another reader for the files.
pub(crate) fn parse_with(
    file: &str,
    bytes: &[u8],
    overrides: &Overrides,
    reader: Reader,
) -> Result<Document, Vec<Diagnostic>> {
    let (tree, matrix, sources) = tree(file, bytes, overrides)?;
    let combination = matrix.combinations.first().cloned().unwrap_or_default();
    one(file, &sources, tree, (&matrix, &combination), overrides, reader)
}

/// The tree of a file with the parts in other files and without its matrix, the matrix, and the texts of all files.
fn tree(file: &str, bytes: &[u8], overrides: &Overrides) -> Result<(Node, Matrix, Sources), Vec<Diagnostic>> {
    let text = source::text(bytes).map_err(|problem| vec![problem.in_file(file, "")])?;
    let mut tree = source::parse(text).map_err(|problem| vec![foreign::syntax(*problem, text).in_file(file, text)])?;
    if let Some(problem) = foreign::tool(&tree, text) {
        return Err(vec![problem.in_file(file, text)]);
    }
    if !matches!(tree.value, Value::Map(_)) {
        return Err(vec![not_a_map(&tree).in_file(file, text)]);
    }
    drop_extensions(&mut tree);
    let mut sources = Sources::of(file, text);
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let problems = reuse::merge(&mut tree, folder, &mut sources);
    // Without a part, most of what else is wrong follows from that.
    if !problems.is_empty() {
        return Err(unique(problems.into_iter().map(|problem| sources.placed(problem)).collect()));
    }
    let matrix = Matrix::take(&mut tree, &|name| overrides.of(name));
    Ok((tree, matrix, sources))
}

/// The scenario of one combination.
fn one(
    file: &str,
    sources: &Sources,
    mut tree: Node,
    (matrix, combination): (&Matrix, &Combination),
    overrides: &Overrides,
    reader: Reader,
) -> Result<Document, Vec<Diagnostic>> {
    matrix::name(&mut tree, combination);
    let text = sources.text();
    let mut templates = Templates::new(text);
    let axes = matrix.axes.iter().filter_map(|(name, span)| Some((name.as_str(), *span, combination.get(name)?)));
    let (mut tree, vars) = render(tree, axes, overrides, &mut templates);
    templates.errors.splice(0..0, matrix.problems.iter().cloned());
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
    if let Some(scenario) = &mut reading.value {
        let (problems, read) = check::scenario(scenario, &map, reader);
        found.extend(problems);
        files = read;
    }
    diagnostic::sort(&mut found);
    found.dedup();
    shorten(&mut found);
    let found: Vec<Diagnostic> = found.into_iter().map(|problem| sources.placed(problem)).collect();
    match reading.value {
        Some(scenario) if !found.iter().any(Diagnostic::is_error) => Ok(Document {
            file: file.to_owned(),
            text: text.to_owned(),
            scenario,
            warnings: found,
            vars: vars.values,
            matrix: combination.clone(),
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
        let problem =
            if errors > 0 { Diagnostic::error(Code::More, message) } else { Diagnostic::warning(Code::More, message) };
        found.push(problem.help("mend the ones above, and validate again"));
    }
}

fn not_a_map(tree: &Node) -> Diagnostic {
    let what = match tree.value {
        Value::Seq(_) => "a list",
        Value::Null => "nothing",
        _ => "a single value",
    };
    Diagnostic::error(Code::WrongType, format!("a scenario is a map of keys, and the file holds {what}"))
        .at(tree.head())
        .help("begin with `version: 1` and `name: ...`; `shakedown init` writes a first scenario")
}

/// Removes the keys that begin with `x-`. They hold YAML's anchors, which are expanded by now.
fn drop_extensions(tree: &mut Node) {
    if let Value::Map(entries) = &mut tree.value {
        entries.retain(|entry| !entry.key.starts_with("x-"));
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
