//! Whether a line that a message proposes removes the problem where it is put.

use std::collections::BTreeSet;
use std::path::Path;

use super::guesses::messages;
use crate::diagnostic::Diagnostic;
use crate::files::Reader;
use crate::source::flow::flow;
use crate::source::{self, Entry, Node, Step, Value};
use crate::{Overrides, document};

/// The problems of a text, warnings left out.
fn problems(text: &str, folder: &Path) -> Vec<Diagnostic> {
    let read = document::parse_with("case", text.as_bytes(), &Overrides::default(), Reader::within(folder));
    let mut found = read.err().unwrap_or_default();
    found.retain(Diagnostic::is_error);
    found
}

/// The path of what is at an offset of the text.
fn path_at(node: &Node, offset: usize, path: &mut Vec<Step>) {
    let within = |span: source::Span| (span.offset..span.offset + span.len.max(1)).contains(&offset);
    match &node.value {
        Value::Map(entries) => {
            // The last entry that begins before the offset.
            let Some(entry) = entries.iter().rfind(|it| it.key_span.offset <= offset) else { return };
            path.push(Step::Key(entry.key.clone()));
            if !within(entry.key_span) {
                path_at(&entry.node, offset, path);
            }
        }
        Value::Seq(nodes) => {
            let Some(index) = nodes.iter().rposition(|it| it.head().offset <= offset) else { return };
            path.push(Step::Index(index));
            // The element itself is meant by its first key.
            path_at(&nodes[index], offset, path);
        }
        _ => {}
    }
}

/// The lines that a help proposes.
pub(super) fn proposals(help: &str) -> Vec<&str> {
    let ways = ["write `", "add `", "such as `", "or `", "begin the file with `"];
    let found = ways.iter().flat_map(|way| help.match_indices(way).map(|(at, way)| &help[at + way.len()..]));
    // A template has two braces, and no backtick.
    let lines = found.filter_map(|rest| rest.split('`').next());
    lines.filter(|it| !it.is_empty() && !it.contains("...")).collect()
}

/// A line as entries; none for a bare value.
fn entries_of(line: &str) -> Option<Vec<Entry>> {
    let line = line.strip_prefix("- ").unwrap_or(line);
    match source::parse(&format!("{{{line}}}")).ok()?.value {
        Value::Map(entries) if line.contains(": ") && !line.starts_with(['{', '[', '"']) => Some(entries),
        _ => None,
    }
}

/// The trees with a line in each place that its text may mean: the thing at the path, or around it.
fn placed(tree: &Node, path: &[Step], line: &str) -> Vec<Node> {
    let mut all = Vec::new();
    let entries = entries_of(line);
    for depth in (1..=path.len()).rev() {
        let (last, owner) = path[..depth].split_last().expect("a step");
        let mut replaced = tree.clone();
        let Some(owner) = replaced.at_mut(owner) else { continue };
        match (&mut owner.value, last, &entries) {
            (Value::Map(there), Step::Key(key), Some(entries)) => {
                let at = there.iter().position(|it| &it.key == key).expect("the entry");
                let is_known = entries.iter().any(|it| &it.key == key);
                if depth == path.len() || is_known {
                    there.splice(at..=at, entries.iter().cloned());
                    let names: Vec<String> = entries.iter().map(|it| it.key.clone()).collect();
                    let mut seen = BTreeSet::new();
                    there.retain(|it| !names.contains(&it.key) || seen.insert(it.key.clone()));
                    all.push(replaced);
                }
            }
            (Value::Map(there), Step::Key(key), None) if depth == path.len() => {
                let entry = there.iter_mut().find(|it| &it.key == key).expect("the entry");
                entry.node = source::parse(&format!("[{line}]")).map_or_else(|_| entry.node.clone(), first);
                all.push(replaced);
            }
            (Value::Seq(there), Step::Index(index), _) if depth == path.len() || path.len() - depth == 1 => {
                let text = if entries.is_some() {
                    format!("[{{{}}}]", line.trim_start_matches("- "))
                } else {
                    format!("[{line}]")
                };
                if let Ok(node) = source::parse(&text) {
                    there[*index] = first(node);
                    all.push(replaced);
                }
            }
            _ => {}
        }
    }
    // A missing key: in the map at the path, or in the one around it.
    for depth in (0..=path.len()).rev() {
        let mut added = tree.clone();
        if let (Some(Node { value: Value::Map(there), .. }), Some(entries)) = (added.at_mut(&path[..depth]), &entries) {
            let names: Vec<&str> = entries.iter().map(|it| it.key.as_str()).collect();
            there.retain(|it| !names.contains(&it.key.as_str()));
            there.extend(entries.iter().cloned());
            all.push(added);
        }
    }
    all
}

fn first(node: Node) -> Node {
    match node.value {
        Value::Seq(mut nodes) if nodes.len() == 1 => nodes.remove(0),
        _ => node,
    }
}

/// Whether one placement of the line removes the problem, and causes no other.
pub(super) fn removes(text: &str, problem: &Diagnostic, line: &str, folder: &Path) -> Result<(), String> {
    let tree = source::parse(text).expect("YAML");
    let Some(span) = problem.span else { return Ok(()) };
    let mut path = Vec::new();
    path_at(&tree, span.offset, &mut path);
    let before = problems(text, folder);
    let mut last = String::new();
    for tree in placed(&tree, &path, line) {
        let corrected = flow(&tree);
        let after = problems(&corrected, folder);
        let is_new = |it: &&Diagnostic| !before.iter().any(|old| old.code == it.code && old.message == it.message);
        if after.len() < before.len() && after.iter().filter(is_new).count() == 0 {
            return Ok(());
        }
        if last.is_empty() {
            last = messages(&after);
        }
    }
    Err(last)
}
