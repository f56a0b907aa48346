//! `matrix`: one file as several scenarios, one for each combination of values.

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::diagnostic::{Code, Diagnostic, closest, words};
use crate::source::{Entry, Node, Span, Value, json};
use crate::tables::plain;

/// The key with the combinations that are left out.
const EXCLUDE: &str = "exclude";

/// The most scenarios of one file. More of them are a mistake, or take a day.
const MOST: usize = 100;

/// The value of each axis in one scenario.
pub(crate) type Combination = IndexMap<String, Json>;

/// The matrix of a file.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    /// The axes with the positions of their names.
    pub(crate) axes: Vec<(String, Span)>,
    /// The combinations, in the order of the file: the last axis varies fastest. Without a matrix, one without values.
    pub(crate) combinations: Vec<Combination>,
    /// What is wrong with it.
    pub(crate) problems: Vec<Diagnostic>,
}

/// An axis as the file has it.
struct Axis {
    name: String,
    span: Span,
    values: Vec<Json>,
}

impl Matrix {
    /// Takes the matrix out of a file. A `given` value of an axis replaces all of its values.
    pub(crate) fn take(tree: &mut Node, given: &dyn Fn(&str) -> Option<Json>) -> Self {
        let mut matrix = Self { combinations: vec![Combination::new()], ..Self::default() };
        let Value::Map(entries) = &mut tree.value else { return matrix };
        let is_variable = |name: &str| {
            entries.iter().any(|it| {
                it.key == "vars" && matches!(&it.node.value, Value::Map(vars) if vars.iter().any(|it| it.key == name))
            })
        };
        let Some(at) = entries.iter().position(|entry| entry.key == "matrix") else { return matrix };
        let mut problems = Vec::new();
        let node = &entries[at].node;
        let Value::Map(parts) = &node.value else {
            problems.push(
                Diagnostic::error(Code::WrongType, "`matrix` is a map from variables to lists of values")
                    .at(node.span)
                    .help("write `matrix: {loss: [10%, 50%]}`"),
            );
            entries.remove(at);
            matrix.problems = problems;
            return matrix;
        };
        let mut axes = Vec::new();
        for part in parts.iter().filter(|part| part.key != EXCLUDE) {
            if is_variable(&part.key) {
                problems.push(
                    Diagnostic::error(Code::DuplicateName, format!("`{}` is in `vars` and in `matrix`", part.key))
                        .at(part.key_span)
                        .help("keep one of the two"),
                );
            }
            axes.extend(axis(part, &mut problems));
        }
        let exclude = parts.iter().find(|part| part.key == EXCLUDE);
        let excluded = exclude.map(|part| excluded_of(part, &axes, &mut problems)).unwrap_or_default();
        let left_by_file = !combined(&axes, &excluded).is_empty();
        let mut fixed = Vec::new();
        for axis in &mut axes {
            if let Some(value) = given(&axis.name) {
                fixed.push(format!("{}={}", axis.name, plain(&value)));
                axis.values = vec![value];
            }
        }
        let span = entries[at].key_span;
        matrix.combinations = combined(&axes, &excluded);
        match exclude {
            _ if axes.is_empty() && problems.is_empty() => problems.push(
                Diagnostic::error(Code::NothingThere, "`matrix` has no variable")
                    .at(span)
                    .help("write `matrix: {loss: [10%, 50%]}`, and use `{{ loss }}` in the scenario"),
            ),
            Some(part) if matrix.combinations.is_empty() && problems.is_empty() => {
                problems.push(nothing_left(part, &axes, left_by_file, &fixed));
            }
            _ => {}
        }
        if matrix.combinations.len() > MOST {
            let message = format!(
                "the matrix has {} combinations, and a file may have {MOST} at most",
                matrix.combinations.len()
            );
            problems.push(Diagnostic::error(Code::Limit, message).at(span).help("exclude some, or use several files"));
        }
        // Without one, every variable of the matrix would be undefined.
        if matrix.combinations.is_empty() {
            matrix.combinations = combined(&axes, &[]);
        }
        matrix.axes = axes.into_iter().map(|axis| (axis.name, axis.span)).collect();
        // One of them is enough to find what else is wrong.
        if !problems.is_empty() {
            matrix.combinations.truncate(1);
        }
        if matrix.combinations.is_empty() {
            matrix.combinations.push(Combination::new());
        }
        entries.remove(at);
        matrix.problems = problems;
        matrix
    }
}

/// The problem of an `exclude` that leaves nothing to run. `fixed` has the values that the command line gives.
fn nothing_left(exclude: &Entry, axes: &[Axis], left_by_file: bool, fixed: &[String]) -> Diagnostic {
    if left_by_file {
        let given = fixed.join(" ");
        return Diagnostic::error(Code::NothingThere, format!("`exclude` leaves no combination with {given}"))
            .at(exclude.key_span)
            .help("give another value, or none: then every combination that the file leaves runs");
    }
    let of = axes.iter().max_by_key(|axis| axis.values.len()).map_or("loss", |axis| axis.name.as_str());
    Diagnostic::error(Code::NothingThere, "`exclude` leaves no combination")
        .at(exclude.key_span)
        .label("every combination is left out")
        .help(format!("remove one of its entries, name more variables in an entry, or add a value to `{of}`"))
}

/// Reads an axis.
fn axis(part: &Entry, problems: &mut Vec<Diagnostic>) -> Option<Axis> {
    let wrong = |message: String, span| {
        Diagnostic::error(Code::WrongType, message).at(span).help(format!("write `{}: [10%, 50%]`", part.key))
    };
    let Value::Seq(nodes) = &part.node.value else {
        problems.push(wrong(format!("`{}` of the matrix is a list of values", part.key), part.node.span));
        return None;
    };
    let mut values = Vec::new();
    for node in nodes {
        let value = json(node.value.clone());
        if value.is_null() || value.is_array() || value.is_object() {
            problems.push(wrong(format!("a value of `{}` is a text, a number or a boolean", part.key), node.span));
        } else if values.contains(&value) {
            let message = format!("`{}` has the value `{}` twice", part.key, plain(&value));
            problems.push(Diagnostic::error(Code::DuplicateName, message).at(node.span).help("keep one of the two"));
        } else {
            values.push(value);
        }
    }
    if nodes.is_empty() {
        let message = format!("`{}` of the matrix has no value", part.key);
        let help = format!("write `{}: [10%, 50%]`, or remove it", part.key);
        problems.push(Diagnostic::error(Code::NothingThere, message).at(part.node.span).help(help));
    }
    Some(Axis { name: part.key.clone(), span: part.key_span, values })
}

/// Reads the combinations that are left out. Each can name some of the axes.
fn excluded_of(part: &Entry, axes: &[Axis], problems: &mut Vec<Diagnostic>) -> Vec<Combination> {
    let names: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
    let Value::Seq(nodes) = &part.node.value else {
        problems.push(
            Diagnostic::error(Code::WrongType, "`exclude` is a list of combinations")
                .at(part.node.span)
                .help("write `exclude: [{loss: 50%}]`"),
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    for node in nodes {
        let Value::Map(entries) = &node.value else {
            let problem = Diagnostic::error(Code::WrongType, "a combination is a map from variables to values");
            problems.push(problem.at(node.span).help("write `exclude: [{loss: 50%}]`"));
            continue;
        };
        if entries.is_empty() {
            let problem =
                Diagnostic::error(Code::NothingThere, "this entry of `exclude` names no value, and leaves out nothing");
            problems.push(problem.at(node.span).help("remove it, or write `{loss: 50%}`"));
        }
        let mut combination = Combination::new();
        for entry in entries {
            let value = json(entry.node.value.clone());
            let Some(axis) = axes.iter().find(|axis| axis.name == entry.key) else {
                let message = format!("`{}` is not a variable of the matrix", entry.key);
                let help = match closest(&entry.key, names.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if names.is_empty() => format!("add it to the matrix: `{}: [10%, 50%]`", entry.key),
                    None => format!("its variables are {}; or add `{}: [...]` to it", words(&names), entry.key),
                };
                problems.push(Diagnostic::error(Code::UnknownKey, message).at(entry.key_span).help(help));
                continue;
            };
            if !axis.values.contains(&value) {
                let values: Vec<String> = axis.values.iter().map(|it| format!("`{}`", plain(it))).collect();
                let message = format!("`{}` is not a value of `{}` in the matrix", plain(&value), axis.name);
                let problem = Diagnostic::error(Code::VariableValue, message).at(entry.node.span);
                let add = format!("or add the value to `{}` of the matrix", axis.name);
                problems.push(problem.help(format!("it can be {}; {add}", values.join(", "))));
            }
            combination.insert(entry.key.clone(), value);
        }
        found.push(combination);
    }
    found
}

/// All combinations of the axes without the excluded ones.
fn combined(axes: &[Axis], excluded: &[Combination]) -> Vec<Combination> {
    let mut all = vec![Combination::new()];
    for axis in axes {
        let with = |combination: &Combination, value: &Json| {
            let mut longer = combination.clone();
            longer.insert(axis.name.clone(), value.clone());
            longer
        };
        all = all.iter().flat_map(|it| axis.values.iter().map(move |value| with(it, value))).take(10 * MOST).collect();
    }
    let is_excluded = |it: &Combination| {
        excluded.iter().any(|left| !left.is_empty() && left.iter().all(|(name, value)| it.get(name) == Some(value)))
    };
    all.retain(|it| !is_excluded(it));
    all
}

/// Adds the values to the name of the scenario, unless the name uses one of the axes itself.
pub(crate) fn name(tree: &mut Node, combination: &Combination) {
    let Value::Map(entries) = &mut tree.value else { return };
    let Some(entry) = entries.iter_mut().find(|entry| entry.key == "name") else { return };
    let Value::String(text) = &mut entry.node.value else { return };
    let uses = |axis: &str| text.split("{{").skip(1).filter_map(|it| it.split("}}").next()).any(|it| it.contains(axis));
    if combination.keys().any(|axis| uses(axis)) {
        return;
    }
    for value in combination.values() {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let word: String = plain(value).chars().filter(|c| fits(*c)).collect();
        text.push_str(&format!("-{word}"));
    }
}
