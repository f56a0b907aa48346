//! Reads maps of other tools, and remembers which keys were read: the others are named in a note.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::source::{Entry, Node, Value};

/// Something in the file that the scenario does not have, or has differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImportNote {
    /// The line in the file, from 1.
    pub line: u32,
    /// One sentence without a full stop.
    pub message: String,
}

/// The notes of an import.
#[derive(Default)]
pub(super) struct Notes {
    pub list: Vec<ImportNote>,
    /// The lines before the present document.
    pub offset: u32,
}

impl Notes {
    /// Notes something about a place.
    pub fn at(&mut self, node: &Node, message: impl Into<String>) {
        self.line(node.span.line, message);
    }

    /// Notes something about a line of the present document.
    pub fn line(&mut self, line: u32, message: impl Into<String>) {
        self.list.push(ImportNote { line: self.offset + line, message: message.into() });
    }
}

/// A map, and which of its keys were read.
pub(super) struct Fields<'a> {
    /// Its path in the document, with a dot at the end; empty for the document.
    at: String,
    entries: &'a [Entry],
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Fields<'a> {
    /// The map of a node. None if it is another value.
    pub fn of(node: &'a Node, at: &str) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { at: at.to_owned(), entries, read: RefCell::default() }),
            _ => None,
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The keys, in the order of the file.
    pub fn keys(&self) -> Vec<&'a str> {
        self.entries.iter().map(|entry| entry.key.as_str()).collect()
    }

    /// The node of a key, which counts as read from now on.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        self.read.borrow_mut().insert(&entry.key);
        Some(&entry.node)
    }

    /// The text of a scalar. None if it is missing, empty or not a scalar.
    pub fn text(&self, key: &str) -> Option<String> {
        self.node(key).and_then(text)
    }

    /// The texts of a list of scalars, or of one scalar.
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.node(key).map(|node| (&node.value, text(node))) {
            Some((Value::Seq(items), _)) => items.iter().filter_map(text).collect(),
            Some((_, Some(one))) => vec![one],
            _ => Vec::new(),
        }
    }

    pub fn is_true(&self, key: &str) -> bool {
        self.text(key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The map of a key.
    pub fn map(&self, key: &str) -> Option<Fields<'a>> {
        Fields::of(self.node(key)?, &format!("{}{key}.", self.at))
    }

    /// The elements of a list.
    pub fn list(&self, key: &str) -> &'a [Node] {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Seq(items)) => items,
            _ => &[],
        }
    }

    /// The pairs of a map of scalars.
    pub fn pairs(&self, key: &str) -> Vec<(String, String)> {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Map(entries)) => {
                entries.iter().map(|entry| (entry.key.clone(), text(&entry.node).unwrap_or_default())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Counts keys as read that have no meaning outside the other tool.
    pub fn ignore(&self, keys: &[&str]) {
        keys.iter().for_each(|key| _ = self.node(key));
    }

    /// Notes the keys that were not read and have a value.
    pub fn finish(&self, notes: &mut Notes) {
        let read = self.read.borrow();
        for entry in self.entries {
            if !read.contains(entry.key.as_str()) && !is_empty(&entry.node) {
                notes.at(&entry.node, format!("`{}{}` is not carried over", self.at, entry.key));
            }
        }
    }
}

/// The text of a scalar that is not empty.
pub(super) fn text(node: &Node) -> Option<String> {
    let text = match &node.value {
        Value::String(text) | Value::Rendered(text) => text.trim().to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Seq(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}
