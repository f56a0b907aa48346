//! All errors of a file at once. serde stops at the first one, so each is written down, what is wrong is taken out of
//! a copy of the tree, and the copy is read again, until it reads. Where something that is needed was taken out or is
//! missing, a stand-in takes its place, and nothing is said about what follows from that.

use serde::de::DeserializeOwned;

use super::{ReadError, Reader, STAND_INS};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, Step, Value};

/// After so many errors the rest is left for the next time.
const MAX_ERRORS: usize = 60;

/// How often the tree is read in all. Stand-ins are tried one after the other, so it is more than the errors.
const MAX_ROUNDS: usize = 400;

/// What could be read, and what could not.
pub(crate) struct Reading<T> {
    /// The value, with stand-ins where the file is wrong. None when too little was left.
    pub value: Option<T>,
    /// The tree that the value was read from.
    pub tree: Node,
    /// Where the file is wrong, by path in `tree`.
    pub damage: Vec<Vec<Step>>,
    /// What is wrong, in the order in which it was found.
    pub errors: Vec<Diagnostic>,
    /// The entries in the place of which something else is to be written.
    guesses: Vec<Vec<Step>>,
}

/// Reads a type from a tree, past all errors.
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
    /// Writes the error down, unless it follows from an earlier one, and changes the tree so that it does not come
    /// again. False when nothing can be done.
    fn repair(&mut self, error: ReadError) -> bool {
        let mut path = error.path();
        if let Some(hole) = self.hole_on(&path) {
            // A stand-in did not fit: try the next one, and after the last take out what needs it.
            return self.next_stand_in(hole);
        }
        // With the right line in the place of a guess, nothing in it is wrong, and nothing next to it may be missing.
        let of_guess = |guess: &Vec<Step>| {
            path.starts_with(guess) || error.lacks() && guess.split_last().is_some_and(|(_, owner)| path == owner)
        };
        let follows_from_guess = self.guesses.iter().any(of_guess);
        self.guesses.extend(error.guess());
        let missing = error.missing();
        if let Some(key) = missing {
            path.push(Step::Key(key.to_owned()));
        }
        let follows = self.damage.contains(&path);
        if !follows {
            self.damage.push(path.clone());
        }
        if !follows && !follows_from_guess {
            self.errors.push(error.into_diagnostic());
        }
        match missing {
            Some(key) => self.put_stand_in(&path[..path.len() - 1], key),
            None => self.tree.remove(&path),
        }
    }

    /// The path of the stand-in that lies at or above this path.
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
            // The map that needs what has no stand-in goes as a whole.
            _ => {
                let owner = &path[..path.len().saturating_sub(1)];
                self.damage.push(owner.to_vec());
                self.tree.remove(owner)
            }
        }
    }
}
