//! The tree of a YAML file: plain data, each node with its position in the file. It knows nothing about scenarios or
//! the YAML library.

/// A position in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Its start, in bytes from the start of the file (without a byte order mark).
    pub offset: usize,
    /// Its length in bytes. 0 for a missing value.
    pub len: usize,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The number of its file: 0 for the scenario, more for the files that it uses.
    pub file: u16,
}

/// A value and its position.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub span: Span,
    pub value: Value,
}

/// A value in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    String(String),
    /// Text from a template expression. It is read as a number or a boolean where one is expected.
    Rendered(String),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
    /// A removed, invalid element of a list. The other elements keep their indices.
    Gone,
    /// A stand-in for a missing or invalid value, so that the rest can be read; see `typed::recover`.
    Hole(usize),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Node,
}

/// A step from a node to one within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Node {
    /// The position to show for it: a scalar itself, or the first key or element.
    pub fn head(&self) -> Span {
        match &self.value {
            Value::Map(entries) => entries.first().map_or(self.span, |entry| entry.key_span),
            Value::Seq(nodes) => nodes.first().map_or(self.span, Self::head),
            _ => self.span,
        }
    }

    /// Sets the file of all positions.
    pub fn put_into(&mut self, file: u16) {
        self.span.file = file;
        match &mut self.value {
            Value::Seq(nodes) => nodes.iter_mut().for_each(|node| node.put_into(file)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_span.file = file;
                entry.node.put_into(file);
            }),
            _ => {}
        }
    }

    /// The node at a path.
    pub fn at_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        match (step, &mut self.value) {
            (Step::Key(key), Value::Map(entries)) => {
                entries.iter_mut().find(|entry| &entry.key == key)?.node.at_mut(rest)
            }
            (Step::Index(index), Value::Seq(nodes)) => nodes.get_mut(*index)?.at_mut(rest),
            _ => None,
        }
    }

    /// Removes the node at a path. Returns false if it does not exist or is the root.
    pub fn remove(&mut self, path: &[Step]) -> bool {
        let Some((last, parent)) = path.split_last() else { return false };
        match (last, self.at_mut(parent).map(|node| &mut node.value)) {
            (Step::Key(key), Some(Value::Map(entries))) => {
                let before = entries.len();
                entries.retain(|entry| &entry.key != key);
                entries.len() < before
            }
            (Step::Index(index), Some(Value::Seq(nodes))) => match nodes.get_mut(*index) {
                Some(node) => {
                    node.value = Value::Gone;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}
