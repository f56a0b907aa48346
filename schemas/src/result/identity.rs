//! What a scenario is found by in a suite, in another result, and among many results.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{NotRun, ScenarioDigest, ScenarioResult};

/// The identity of a scenario within a suite: its file without `./` at its start, and its name, which contains the values of
/// a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity<'a> {
    /// The file, as named on the command line.
    pub file: &'a str,
    /// The name.
    pub name: &'a str,
}

impl<'a> Identity<'a> {
    /// Of a scenario with this name in this file.
    pub fn new(file: &'a str, name: &'a str) -> Self {
        Self { file: file.strip_prefix("./").unwrap_or(file), name }
    }

    /// The index of the same scenario among those of another result, by the rule of [`SharedNames`]. Where a name is shared,
    /// one of the two paths may lack the first folders of the other: the runs began in different folders.
    pub fn find_in(self, others: &[Self], shared: &SharedNames) -> Option<usize> {
        let named = || others.iter().enumerate().filter(|(_, it)| it.name == self.name);
        if !shared.has(self.name) {
            return named().map(|(at, _)| at).next();
        }
        let ends = |it: &Self| {
            let (one, other) = (Path::new(self.file), Path::new(it.file));
            one.ends_with(other) || other.ends_with(one)
        };
        let mut alike = named().filter(|(_, it)| ends(it)).map(|(at, _)| at);
        let only = alike.next().filter(|_| alike.next().is_none());
        named().find(|(_, it)| it.file == self.file).map(|(at, _)| at).or(only)
    }
}

/// The names that several scenarios of one result share. Across results a scenario is found by its name, so that a moved
/// file stays the same scenario. Only a shared name needs the file as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedNames(BTreeSet<String>);

impl SharedNames {
    /// Takes the scenarios of a result.
    pub fn learn<'a>(&mut self, result: impl IntoIterator<Item = Identity<'a>>) {
        let mut files: BTreeMap<&str, &str> = BTreeMap::new();
        for it in result {
            if *files.entry(it.name).or_insert(it.file) != it.file {
                self.0.insert(it.name.to_owned());
            }
        }
    }

    /// Whether this is one of them.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The scenario in words: its name, with its file where the name is shared.
    pub fn label(&self, it: Identity<'_>) -> String {
        if self.has(it.name) { format!("{} ({})", it.name, it.file) } else { it.name.to_owned() }
    }

    /// What a scenario has in common with itself in other results.
    pub fn common<'a>(&self, it: Identity<'a>) -> Identity<'a> {
        if self.has(it.name) { it } else { Identity { file: "", ..it } }
    }
}

impl ScenarioResult {
    /// What identifies it in its suite.
    pub fn identity(&self) -> Identity<'_> {
        Identity::new(&self.file, &self.name)
    }
}

impl ScenarioDigest {
    /// What identifies it in its suite.
    pub fn identity(&self) -> Identity<'_> {
        Identity::new(&self.file, &self.name)
    }
}

impl NotRun {
    /// What identifies it in its suite.
    pub fn identity(&self) -> Identity<'_> {
        Identity::new(&self.file, &self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_found_by_its_name_and_where_that_is_shared_by_its_file() {
        let id = |file| Identity::new(file, "checkout");
        let found = |now: &'static str, others: &[&'static str], next_to: &[&'static str]| {
            let others: Vec<_> = others.iter().map(|file| id(file)).collect();
            let mut shared = SharedNames::default();
            shared.learn(others.iter().copied());
            shared.learn(next_to.iter().map(|file| id(file)).chain([id(now)]));
            id(now).find_in(&others, &shared)
        };
        assert_eq!(found("./a/s.yaml", &["a/s.yaml"], &[]), Some(0));
        assert_eq!(found("moved.yaml", &["a/s.yaml"], &[]), Some(0), "no other has this name");
        assert_eq!(found("b/s.yaml", &["a/s.yaml", "b/s.yaml"], &[]), Some(1));
        assert_eq!(found("b/s.yaml", &["a/s.yaml"], &["a/s.yaml"]), None, "it is new");
        assert_eq!(found("ci/b/s.yaml", &["a/s.yaml", "b/s.yaml"], &["ci/a/s.yaml"]), Some(1), "another folder");
        assert_eq!(found("b/s.yaml", &["/ci/a/s.yaml", "/ci/b/s.yaml"], &["a/s.yaml"]), Some(1));
        assert_eq!(found("s.yaml", &["a/s.yaml", "b/s.yaml"], &[]), None, "it may be either of them");
        assert_eq!(found("c/s.yaml", &["a/s.yaml", "b/s.yaml"], &[]), None);
        assert_eq!(found("other/xs.yaml", &["s.yaml", "t.yaml"], &[]), None, "folders, not letters");
    }

    #[test]
    fn only_shared_names_are_shown_with_their_file() {
        let mut shared = SharedNames::default();
        let (a, b, c) = (Identity::new("./a.yaml", "x"), Identity::new("b.yaml", "x"), Identity::new("b.yaml", "y"));
        shared.learn([a, a, c]);
        assert!(!shared.has("x"), "a scenario that ran twice is one");
        shared.learn([a, b, c]);
        assert_eq!([a, b, c].map(|it| shared.label(it)), ["x (a.yaml)", "x (b.yaml)", "y"]);
        assert_eq!([a, b, c].map(|it| shared.common(it).file), ["a.yaml", "b.yaml", ""]);
    }
}
