//! The positions of the parts of a typed scenario in its file, by paths such as `phases[1].expect[0].latency_ratio.to`,
//! and which of them are already known to be invalid.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Node, Span, Step, Value};

/// Positions by path.
pub(crate) struct Map {
    places: BTreeMap<String, Place>,
    /// The lists and maps from which an entry was removed.
    gone: BTreeSet<String>,
}

/// The invalid paths, indexed.
struct Damage<'d> {
    paths: BTreeSet<Vec<Step>>,
    parents: BTreeSet<&'d [Step]>,
}

struct Place {
    /// The key of the value. For an element of a list, the beginning of the element.
    key: Span,
    value: Span,
    damaged: bool,
}

impl Map {
    /// The map of a tree with invalid parts. Elements of lists are counted as serde counts them: without removed
    /// elements.
    pub(crate) fn new(tree: &Node, damage: &[Vec<Step>]) -> Self {
        let mut map = Self { places: BTreeMap::new(), gone: BTreeSet::new() };
        let parents = damage.iter().filter_map(|path| path.split_last()).map(|(_, parent)| parent).collect();
        let damage = Damage { paths: damage.iter().cloned().collect(), parents };
        map.walk(tree, tree.head(), String::new(), &mut Vec::new(), &damage);
        map
    }

    fn walk(&mut self, node: &Node, key: Span, name: String, path: &mut Vec<Step>, damage: &Damage<'_>) {
        let value = match node.value {
            // A map or a list may be long. Its key, or the beginning of its first line, is shown instead.
            Value::Map(_) | Value::Seq(_) => key,
            _ => node.span,
        };
        // In sorted order, the paths that begin with this one follow it directly.
        let damaged = damage.paths.range(path.clone()..).next().is_some_and(|wrong| wrong.starts_with(path));
        let child = |step: &str| if name.is_empty() { step.to_owned() } else { format!("{name}.{step}") };
        if damage.parents.contains(path.as_slice()) {
            self.gone.insert(name.clone());
        }
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    path.push(Step::Key(entry.key.clone()));
                    self.walk(&entry.node, entry.key_span, child(&entry.key), path, damage);
                    path.pop();
                }
            }
            Value::Seq(nodes) => {
                let left = nodes.iter().enumerate().filter(|(_, node)| node.value != Value::Gone);
                for (typed, (index, node)) in left.enumerate() {
                    path.push(Step::Index(index));
                    self.walk(node, node.head(), format!("{name}[{typed}]"), path, damage);
                    path.pop();
                }
            }
            _ => {}
        }
        self.places.insert(name, Place { key, value, damaged });
    }

    /// The position of the value. For a value that the file does not contain, the position of its parent's key.
    pub(crate) fn value(&self, path: &str) -> Option<Span> {
        match self.places.get(path) {
            Some(place) => Some(place.value),
            None => parent(path).and_then(|parent| self.key(parent)),
        }
    }

    /// The position of the key, or of its parent's key if the file does not contain it.
    pub(crate) fn key(&self, path: &str) -> Option<Span> {
        match self.places.get(path) {
            Some(place) => Some(place.key),
            None => parent(path).and_then(|parent| self.key(parent)),
        }
    }

    /// True if the value at the path, or a part of it, is known to be invalid. For a path that the file does not
    /// contain, true if its parent is invalid.
    pub(crate) fn damaged(&self, path: &str) -> bool {
        match self.places.get(path) {
            Some(place) => place.damaged,
            None => parent(path).is_some_and(|parent| self.damaged(parent)),
        }
    }

    /// True if an entry of the list or map at the path was removed or could not be read.
    pub(crate) fn gone(&self, path: &str) -> bool {
        self.gone.contains(path)
    }

    /// True if the file contains the path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// The positions of the keys.
    pub(crate) fn into_spans(self) -> BTreeMap<String, Span> {
        self.places.into_iter().map(|(path, place)| (path, place.key)).collect()
    }
}

/// The path without its last step.
fn parent(path: &str) -> Option<&str> {
    if path.is_empty() {
        return None;
    }
    Some(path.rfind(['.', '[']).map_or("", |at| &path[..at]))
}
