//! The scenarios and problems in the files of a selection.

use shakedown_schemas::{Diagnostic, Document, Explained};

/// A path that could not be read.
pub struct Unread {
    /// The path, as it was given or found.
    pub path: String,
    /// The problem and the next step.
    pub why: Explained,
}

/// The scenarios and problems in the files of a selection.
pub struct Checked {
    /// The scenarios of the valid files.
    pub documents: Vec<Document>,
    /// The valid topologies of the sandbox that were named themselves.
    pub topologies: Vec<String>,
    /// The paths that could not be read.
    pub unread: Vec<Unread>,
    /// The errors and warnings of the files, in their order.
    pub problems: Vec<Diagnostic>,
    /// The number of files and paths with an error.
    pub broken: usize,
}

impl Checked {
    /// The number of errors.
    pub fn errors(&self) -> usize {
        self.unread.len() + self.problems.iter().filter(|problem| problem.is_error()).count()
    }
}
