//! A row of the tables: words, where they may be tried, and what they mean.

use crate::rule::Rule;
use crate::scenario::{Expectation, Fault};
use crate::source::{Entry, Node};

/// Words for one thing, where they may be tried, and how to write it.
pub(super) struct Guess {
    pub of: Of,
    /// The words, in lower case, with `_` between their parts.
    pub words: &'static [&'static str],
    pub means: Means,
}

/// An answer, and the keys next to the guess that it also replaces.
pub(super) type Replacing = (String, &'static [&'static str]);

/// What a row's words mean.
pub(super) enum Means {
    /// The same value under this key.
    Key(&'static str),
    /// This text, in which `{}` is the value.
    Line(&'static str),
    /// This text, after the entry is removed: it belongs in another place.
    Elsewhere(&'static str, &'static str),
    /// The same entry, next to the kind of the load.
    InLoad,
    /// Nothing, for this reason.
    Remove(&'static str),
    /// The function's result for the key and the value. None if it does not apply to them.
    Made(fn(&str, &Node) -> Option<String>),
    /// The whole answer of this function.
    Said(fn(&str, &Node) -> Option<String>),
    /// The whole answer of this function, which also sees the entries next to the guess, and the keys that it replaces as well.
    Beside(fn(&str, &Node, &[Entry]) -> Option<Replacing>),
    /// The whole answer of this function to all entries of the map with one of the words.
    Together(fn(&[Entry]) -> Option<String>),
}

/// A guess about these types.
pub(super) const fn guess(of: &'static [&'static str], words: &'static [&'static str], means: Means) -> Guess {
    Guess { of: Of::Types(of), words, means }
}

/// A guess about all kinds with something in common.
pub(super) const fn common(of: Of, words: &'static [&'static str], means: Means) -> Guess {
    Guess { of, words, means }
}

/// The types in which a word may be tried.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// These, by their names in the code.
    Types(&'static [&'static str]),
    /// Everything with `min` and `max`: expectations, and counts.
    Limited,
    /// Faults with target pods.
    Targeted,
    /// Faults with target pods that happen once.
    Once,
    /// Faults with target pods that last.
    Lasting,
}

impl Of {
    /// The types, by their names in the code. The descriptions of the kinds say which have something in common.
    pub fn types(self) -> Vec<&'static str> {
        // The pods of a manifest are not its targets.
        let targeted =
            || Fault::KINDS.iter().filter(|it| it.shared_keys.contains(&"pods") && it.definition != "Manifest");
        match self {
            Self::Types(all) => all.to_vec(),
            Self::Limited => {
                let limited = Expectation::KINDS.iter().filter(|it| it.rules.contains(&Rule::LIMITS));
                let mut all: Vec<&str> = limited.map(|it| it.definition).chain(["CountLimits"]).collect();
                // Kinds with the same keys share a type.
                all.sort_unstable();
                all.dedup();
                all
            }
            Self::Targeted => targeted().map(|it| it.definition).collect(),
            Self::Once => targeted().filter(|it| it.is_once()).map(|it| it.definition).collect(),
            Self::Lasting => targeted().filter(|it| !it.is_once()).map(|it| it.definition).collect(),
        }
    }
}
