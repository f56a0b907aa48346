//! Collects all errors of a file. serde stops at the first error, so each error is recorded, its cause is removed from
//! a copy of the tree, and the copy is read again until it succeeds. Where a required value was removed or is missing,
//! a stand-in takes its place, and errors that follow from the stand-in are not reported.

use serde::de::DeserializeOwned;

use super::guess::{FIRST_LOAD, FIRST_PHASE};
use super::{ReadError, Reader, STAND_INS};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, Step, Value};

/// The maximum number of reported errors.
const MAX_ERRORS: usize = 60;

/// The maximum number of attempts to read the tree. Each stand-in needs one, so there are more attempts than errors.
const MAX_ROUNDS: usize = 400;

/// The result of reading a tree.
pub(crate) struct Reading<T> {
    /// The value, with stand-ins for invalid parts. None if too little was left.
    pub value: Option<T>,
    /// The tree that the value was read from.
    pub tree: Node,
    /// The paths of invalid parts in `tree`.
    pub damage: Vec<Vec<Step>>,
    /// The errors, in the order of their discovery.
    pub errors: Vec<Diagnostic>,
    /// The entries in the place of which something else is to be written.
    guesses: Vec<Vec<Step>>,
}

/// Reads a type from a tree and collects all errors.
pub(crate) fn read<T: DeserializeOwned>(tree: Node) -> Reading<T> {
    let mut reading = Reading { value: None, tree, damage: Vec::new(), errors: Vec::new(), guesses: Vec::new() };
    for _ in 0..MAX_ROUNDS {
        match T::deserialize(Reader::new(&reading.tree)) {
            Ok(value) => {
                reading.value = Some(value);
                break;
            }
            Err(error) => {
                if !reading.repair(error) || reading.errors.len() >= MAX_ERRORS {
                    break;
                }
            }
        }
    }
    reading
}

impl<T> Reading<T> {
    /// Records the error, unless it follows from an earlier one, and changes the tree so that it does not occur again.
    /// Returns false if that is impossible.
    fn repair(&mut self, error: ReadError) -> bool {
        let mut path = error.path();
        if let Some(hole) = self.hole_on(&path) {
            // A stand-in was refused. Try the next one. After the last one, remove the map that needs it.
            return self.next_stand_in(hole);
        }
        // With the right line in the place of a guess, nothing in it is wrong, and nothing next to it may be missing.
        let of_guess = |guess: &Vec<Step>| {
            path.starts_with(guess) || error.lacks() && guess.split_last().is_some_and(|(_, owner)| path == owner)
        };
        let follows_from_guess = self.guesses.iter().any(of_guess);
        self.guesses.extend(error.guesses());
        let missing = error.missing();
        if let Some(key) = missing {
            path.push(Step::Key(key.to_owned()));
        }
        // A kind whose content was refused and removed has left its map empty.
        let emptied = error.is_empty_kind()
            && self.damage.iter().any(|it| it.split_last().is_some_and(|(_, owner)| owner == path));
        let follows = emptied || self.damage.contains(&path);
        if !self.damage.contains(&path) {
            self.damage.push(path.clone());
        }
        // What the answer also replaces is not asked for again.
        let replaced = error.guesses().into_iter().filter(|it| *it != path);
        self.damage.extend(replaced.collect::<Vec<_>>());
        if !follows && !follows_from_guess {
            let mut diagnostic = error.into_diagnostic();
            diagnostic.help = diagnostic.help.map(|help| self.named(&help));
            self.errors.push(diagnostic);
        }
        match missing {
            Some(key) => self.put_stand_in(&path[..path.len() - 1], key),
            None => self.tree.remove(&path),
        }
    }

    /// A help with the names that the file has.
    fn named(&mut self, help: &str) -> String {
        let phase = self.tree.at_mut(&[Step::Key("phases".into()), Step::Index(0), Step::Key("name".into())]);
        let phase = match phase.map(|it| &it.value) {
            Some(Value::String(name)) => name.clone(),
            _ => "baseline".to_owned(),
        };
        let load = match self.tree.at_mut(&[Step::Key("load".into())]).map(|it| &it.value) {
            Some(Value::Map(entries)) => entries.first().map(|it| it.key.clone()),
            _ => None,
        };
        help.replace(FIRST_PHASE, &phase).replace(FIRST_LOAD, load.as_deref().unwrap_or("main"))
    }

    /// The path of the stand-in at or above this path.
    fn hole_on(&mut self, path: &[Step]) -> Option<Vec<Step>> {
        (0..=path.len())
            .map(|len| &path[..len])
            .find(|prefix| matches!(self.tree.at_mut(prefix).map(|node| &node.value), Some(Value::Hole(_))))
            .map(<[Step]>::to_vec)
    }

    fn put_stand_in(&mut self, path: &[Step], key: &str) -> bool {
        let Some(node) = self.tree.at_mut(path) else { return false };
        let span = node.span;
        let Value::Map(entries) = &mut node.value else { return false };
        let hole = Node { span, value: Value::Hole(0) };
        entries.push(crate::source::Entry { key: key.to_owned(), key_span: span, node: hole });
        true
    }

    fn next_stand_in(&mut self, path: Vec<Step>) -> bool {
        match self.tree.at_mut(&path).map(|node| &mut node.value) {
            Some(Value::Hole(index)) if *index + 1 < STAND_INS.len() => {
                *index += 1;
                true
            }
            // Without a stand-in, the whole map is removed.
            _ => {
                let owner = &path[..path.len().saturating_sub(1)];
                self.damage.push(owner.to_vec());
                self.tree.remove(owner)
            }
        }
    }
}
