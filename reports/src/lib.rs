//! Reports: renders a result as JUnit, HTML and Markdown. Pure functions of the result, so the same result always gives the
//! same bytes. No tokio, no kube, no reqwest.
//!
//! Every report starts from a copy of the result with sanitised texts (see `tame`), and escapes every text for its own
//! format. [`words`] formats numbers, [`sentences`] contains the sentences that reports share, and [`text`] makes text safe
//! to show. The terminal uses these modules too.

mod annotations;
mod history;
mod html;
mod junit;
mod markdown;
mod matrix;
mod redact;
#[cfg(any(test, feature = "testing"))]
pub mod sample;
pub mod sentences;
mod svg;
mod tame;
pub mod text;
mod texts;
pub mod words;
mod yaml;

pub use annotations::{GITHUB_GROUP_END, github_annotations, github_group};
pub use history::{History, history};
pub use html::html;
pub use junit::{junit, junit_with};
pub use markdown::markdown;
pub use redact::{MASK, Redactor, SHORTEST};
pub use tame::{tamed, tamed_event};
pub use yaml::to_yaml;

/// A report could not be rendered. This is a defect of the program: every result can be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The HTML template failed.
    #[error("the HTML report could not be rendered: {0}")]
    Template(#[from] minijinja::Error),
    /// The XML could not be written.
    #[error("the JUnit report could not be written: {0}")]
    Xml(#[from] quick_junit::SerializeError),
    /// The data of a chart could not be written as JSON.
    #[error("the data of a chart could not be written: {0}")]
    Json(#[from] serde_json::Error),
}
