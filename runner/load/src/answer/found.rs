//! What is asked of an answer, and what its parts have shown so far.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::kept::Kept;
use super::object::{self, NoAnswer};
use crate::expects::Expects;
use crate::scan::Search;
use crate::target::{Kind, Target};
use shakedown_observe::{Failure, Finish, Peculiarities, Peculiarity};

/// What is asked of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'t> {
    pub(super) kind: Kind,
    pub(super) expects: &'t Expects,
    pub(super) kept: &'t Arc<AtomicUsize>,
    /// The whole text of the answer is wanted.
    pub(super) keeps_text: bool,
}

impl<'t> Asked<'t> {
    /// What a load asks of the answer to its request at this place.
    pub(crate) fn of(target: &'t Target, place: usize) -> Self {
        let expects = &target.requests.at(place).expects;
        Self { kind: target.kind, expects, kept: &target.kept, keeps_text: target.oracle.is_some() }
    }

    /// What its status, headers and body must be.
    pub(crate) const fn expects(&self) -> &'t Expects {
        self.expects
    }

    /// Whether an answer whose head is as it must be can still fail by what is in its body.
    pub(crate) fn may_fail_later(&self) -> bool {
        self.kind != Kind::Http || self.expects.reads_body()
    }
}

/// What an answer's parts have shown so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) failure: Option<Failure>,
    /// What the server says about the failure, or what is wrong with the answer.
    pub(super) words: Option<String>,
    pub(super) search: Search,
    /// Why the model ended it; of several reasons a failure's, else the first.
    pub(super) finish: Option<Finish>,
    pub(super) odd: Peculiarities,
    /// The whole text, where it is wanted.
    pub(super) text: Option<Kept>,
}

impl Found {
    /// It failed for this reason.
    pub(super) fn fail(&mut self, failure: Failure, words: Option<String>) {
        (self.failure, self.words) = (Some(failure), words);
    }

    /// Reads an object of the API: searches its texts, which `text` gets as well, and takes what it says about the end.
    pub(super) fn object(
        &mut self,
        asked: &Asked<'_>,
        json: &[u8],
        mut text: impl FnMut(&str),
    ) -> Result<object::Read, NoAnswer> {
        let (search, whole) = (&mut self.search, &mut self.text);
        let mut fits = true;
        let read = object::object(json, |piece| {
            asked.expects.look(search, piece.as_bytes());
            fits &= whole.as_mut().is_none_or(|whole| whole.add(piece.as_bytes()));
            text(piece);
        })?;
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
                self.fail(failure, Some(format!("`finish_reason` is `{name}`")));
            }
        }
        Ok(read)
    }
}
