//! The conditions on an answer.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::capture::Captures;
use crate::expects::Expects;
use crate::group::GroupRule;
use crate::path::Path;
use crate::target::{AnswerFormat, Target};

/// The conditions on an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'t> {
    pub(super) format: AnswerFormat,
    /// The number of choices that were asked for.
    pub(super) choices: usize,
    pub(super) expects: &'t Expects,
    pub(super) kept: &'t Arc<AtomicUsize>,
    /// The whole text of the answer is compared.
    pub(super) keeps_text: bool,
    /// The values that the answer must have for later steps.
    pub(super) captures: &'t Captures,
    /// The path of the value in the body that names the answer's group.
    pub(super) group: Option<&'t Path>,
}

impl<'t> Asked<'t> {
    /// The conditions on an answer to the request with this index.
    pub(crate) fn of(target: &'t Target, place: usize) -> Self {
        let request = target.requests.at(place);
        Self {
            format: target.format,
            choices: target.choices,
            expects: &request.expects,
            kept: &target.kept,
            keeps_text: target.oracle.is_some(),
            captures: &request.captures,
            group: target.group.as_ref().and_then(GroupRule::path),
        }
    }

    /// The conditions on status, headers and body.
    pub(crate) const fn expects(&self) -> &'t Expects {
        self.expects
    }

    /// Whether the answer fails unless its body is read as a whole.
    pub(super) fn needs_body(&self) -> bool {
        self.expects.wants_json() || self.captures.reads_body()
    }

    /// Whether the answer fails unless its body is JSON.
    pub(super) fn needs_json(&self) -> bool {
        self.expects.wants_json() || self.captures.wants_json()
    }
}
