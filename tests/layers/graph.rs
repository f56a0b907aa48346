//! The graph of a crate's files: which one uses which names of which other one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::names::{Crate, Target};

/// For each file the files that it uses, with the names that it uses of them.
pub type Graph = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The files of a crate and what they use.
///
/// An import of a module is none of its file: what counts is the items that are reached through it. A re-export counts if
/// the file that has it uses the name itself.
pub fn graph(read: &Crate) -> Graph {
    let mut graph = Graph::new();
    for (index, module) in read.modules.iter().enumerate() {
        graph.entry(module.file.clone()).or_default();
        let used = module.uses.iter().filter(|used| !used.public || module.words.contains(&used.name));
        for path in used.map(|used| &used.path).chain(&module.paths) {
            if let Some(Target::Item(file, name)) = read.resolve(index, path)
                && file != module.file
            {
                graph.entry(module.file.clone()).or_default().entry(file).or_default().insert(name);
            }
        }
    }
    graph
}

/// The circles of a graph: sets of files in which each reaches each, the largest first.
pub fn circles(graph: &Graph) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<_, _> = graph.keys().map(|file| (file, reachable(graph, file))).collect();
    let mut circles = BTreeSet::new();
    for file in graph.keys() {
        let circle: BTreeSet<_> = reached[file].iter().filter(|other| reached[other].contains(file)).cloned().collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    let mut circles: Vec<_> = circles.into_iter().collect();
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

fn reachable(graph: &Graph, from: &PathBuf) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for other in graph[file].keys() {
            if found.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    found
}

/// One line for each use inside a circle.
pub fn describe(graph: &Graph, circle: &BTreeSet<PathBuf>) -> String {
    let mut text = format!("a circle of {} files", circle.len());
    for file in circle {
        for (other, names) in graph[file].iter().filter(|(other, _)| circle.contains(*other)) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            text += &format!("\n  {} uses {} of {}", file.display(), names.join(", "), other.display());
        }
    }
    text
}
