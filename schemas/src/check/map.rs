//! Where the parts of a typed scenario stand in its file: paths such as `phases[1].expect[0].latency_ratio.to`, and
//! whether what stands there is already known to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Node, Span, Step, Value};
use crate::typed::head;

/// Places by path.
pub(crate) struct Map {
    places: BTreeMap<String, Place>,
    /// The lists and maps from which something was taken out.
    gone: BTreeSet<String>,
}

/// What is wrong, for quick questions.
struct Damage<'d> {
    paths: BTreeSet<Vec<Step>>,
    parents: BTreeSet<&'d [Step]>,
}

struct Place {
    /// The key that the value belongs to; for an element of a list, its beginning.
    key: Span,
    value: Span,
    damaged: bool,
}

impl Map {
    /// The map of a tree with damaged parts. Elements of lists are counted as serde counted them: without those that
    /// were taken out.
    pub(crate) fn new(tree: &Node, damage: &[Vec<Step>]) -> Self {
        let mut map = Self { places: BTreeMap::new(), gone: BTreeSet::new() };
        let parents = damage.iter().filter_map(|path| path.split_last()).map(|(_, parent)| parent).collect();
        let damage = Damage { paths: damage.iter().cloned().collect(), parents };
        map.walk(tree, head(tree), String::new(), &mut Vec::new(), &damage);
        map
    }

    fn walk(&mut self, node: &Node, key: Span, name: String, path: &mut Vec<Step>, damage: &Damage<'_>) {
        let value = match node.value {
            // Of a long map or list its key is shown, or the beginning of its first line.
            Value::Map(_) | Value::Seq(_) => key,
            _ => node.span,
        };
        // In their order, the paths that begin with this one come right after it.
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
                    self.walk(node, head(node), format!("{name}[{typed}]"), path, damage);
                    path.pop();
                }
            }
            _ => {}
        }
        self.places.insert(name, Place { key, value, damaged });
    }

    /// The place of the value; of a value that is not written, the place of what it would belong to.
    pub(crate) fn value(&self, path: &str) -> Option<Span> {
        match self.places.get(path) {
            Some(place) => Some(place.value),
            None => parent(path).and_then(|parent| self.key(parent)),
        }
    }

    /// The place of the key.
    pub(crate) fn key(&self, path: &str) -> Option<Span> {
        match self.places.get(path) {
            Some(place) => Some(place.key),
            None => parent(path).and_then(|parent| self.key(parent)),
        }
    }

    /// True when something at the path or inside it is known to be wrong; for a path that is not written, when
    /// something is wrong where it would be.
    pub(crate) fn damaged(&self, path: &str) -> bool {
        match self.places.get(path) {
            Some(place) => place.damaged,
            None => parent(path).is_some_and(|parent| self.damaged(parent)),
        }
    }

    /// True when an entry of the list or map at the path was taken out, or could not be read.
    pub(crate) fn gone(&self, path: &str) -> bool {
        self.gone.contains(path)
    }

    /// True when the path is written in the file.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// The places of the keys.
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
