//! The conditions on an answer, and the findings so far.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::choices::Choices;
use super::object::{self, NoAnswer};
use crate::capture::{Captured, Captures};
use crate::expects::Expects;
use crate::group::GroupRule;
use crate::path::Path;
use crate::scan::Search;
use crate::target::{AnswerFormat, Target};
use shakedown_observe::{Failure, Finish, Peculiarities, Peculiarity};

/// The conditions on an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'t> {
    pub(super) format: AnswerFormat,
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

    /// Whether an answer with an accepted head can still fail by its body.
    pub(crate) fn may_fail_later(&self) -> bool {
        self.format != AnswerFormat::Http || self.expects.reads_body() || self.captures.reads_body()
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

/// The findings in an answer so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) failure: Option<Failure>,
    /// The server's error message, or the defect of the answer.
    pub(super) words: Option<String>,
    /// The search in a body that is not of the API.
    pub(super) search: Search,
    pub(super) choices: Choices,
    /// The finish reason. Of several, a failure's reason, otherwise the first.
    pub(super) finish: Option<Finish>,
    pub(super) odd: Peculiarities,
    /// The captured values, each with its index.
    pub(super) captured: Vec<(usize, Captured)>,
    /// The group that the body names.
    pub(super) group: Option<String>,
}

impl Found {
    /// Records a failure.
    pub(super) fn fail(&mut self, failure: Failure, words: Option<String>) {
        (self.failure, self.words) = (Some(failure), words);
    }

    /// Processes an object of the API: its texts and finish reasons.
    pub(super) fn object(&mut self, asked: &Asked<'_>, json: &[u8]) -> Result<object::Read, NoAnswer> {
        let choices = &mut self.choices;
        let mut fits = true;
        let read = object::object(json, |index, text| fits &= choices.add(asked, index, text))?;
        if !fits {
            self.fail(Failure::TooLarge, None);
        }
        self.odd.merge(read.odd);
        for (index, name) in &read.finish {
            self.choices.finish(*index);
            let finish = Finish::of(name);
            self.odd.add_if(finish == Finish::Other, Peculiarity::OtherFinish);
            if self.finish.is_none() || finish.is_failure() {
                self.finish = Some(finish);
            }
            if !asked.expects.takes_finish(Some(name)) && self.failure.is_none() {
                let failure = match finish {
                    Finish::Abort => Failure::FinishAbort,
                    Finish::Error => Failure::FinishError,
                    _ => Failure::Check,
                };
                self.fail(failure, Some(format!("`finish_reason` is `{name}`")));
            }
        }
        Ok(read)
    }
}
