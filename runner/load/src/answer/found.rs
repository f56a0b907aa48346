//! The findings in an answer so far.

use super::asked::Asked;
use super::choices::Choices;
use super::object::{self, NoAnswer};
use crate::capture::Captured;
use crate::scan::Search;
use shakedown_observe::{Failure, Finish, Peculiarities, Peculiarity};

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
        let read = object::object(json, |index, part, text| fits &= choices.add(asked, index, part, text))?;
        if !fits {
            self.fail(Failure::TooLarge, None);
        }
        self.odd.merge(read.odd);
        for name in &read.finish {
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
                self.fail(failure, Some(asked.expects.explain_finish(name)));
            }
        }
        Ok(read)
    }
}
