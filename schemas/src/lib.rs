//! The public file formats of shakedown as Rust types: the scenario, the result, and the events of a run.
//!
//! In scope: types, their units and limits, parsing with positions, checks that need only the file and the files that
//! it names, and the JSON Schemas, which are generated from the types. Out of scope: anything that runs, opens a socket
//! or knows a cluster.
//!
//! A scenario file passes five stages, each independent of the next: `source` (YAML to a tree with positions),
//! `template` (expressions in the tree's strings), `expand` (short forms written out), `typed` (the tree to serde's types,
//! past all errors) and `check` (rules across fields). [`parse`] runs all of them.

mod check;
mod declared;
pub mod diagnostic;
mod document;
mod editors;
pub mod event;
mod expand;
mod explain;
mod explained;
mod few;
mod files;
mod foreign;
pub mod generated;
mod import;
pub mod json_schema;
mod matrix;
pub mod pattern;
mod pieces;
pub mod reference;
pub mod result;
mod reuse;
pub mod rule;
pub mod samples;
pub mod scenario;
pub mod settings;
mod short;
mod source;
pub mod tables;
mod template;
#[cfg(test)]
mod tests;
mod typed;
pub mod units;
mod variables;
mod verdict;
mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use document::{Document, parse, parse_all};
pub use event::{Event, EventKind};
pub use explain::{Keys, explain, topics};
pub use explained::Explained;
pub use few::first_few;
pub use files::{FileError, Files, MAX_FILE, read_file};
pub use import::{ImportNote, Imported, import};
pub use result::RunResult;
pub use scenario::Scenario;
pub use source::{MAX_BYTES, Span};
pub use variables::Overrides;
pub use yaml::{Problems, read_yaml};
