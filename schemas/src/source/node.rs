//! The tree that a YAML file is read into: plain data, every node with its place in the file. It knows nothing of
//! scenarios and nothing of the YAML library.

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Where it begins, in bytes from the file's start (without a byte order mark).
    pub offset: usize,
    /// How many bytes it covers; 0 for a value that is not there.
    pub len: usize,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub span: Span,
    pub value: Value,
}

/// What stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    String(String),
    /// Text that a template expression produced. Where a number or a truth value is asked for, it is read as one.
    Rendered(String),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
    /// An element of a list that was taken out because it is wrong; the others keep their places.
    Gone,
    /// Stands for a value that is missing or wrong, so that the rest can still be read; see `typed::recover`.
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

    /// Takes the node at a path out of the tree; false when there is none, or when it is the root.
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
