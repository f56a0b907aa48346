//! One answer of a load, whatever it came on: its parts as they come, and how it ends.

use tokio::time::Instant;

use super::answer::{Answer, Asked};
use super::failure::Failed;
use super::failure::Stage;
use super::handle::Handle;
use super::headers::Headers;
use super::target::Kind;
use shakedown_observe::{Failure, Sample};

/// An answer that is being read.
pub(super) struct Exchange<'l> {
    handle: &'l Handle,
    asked: Asked<'l>,
    answer: Answer,
    stalls_at: Option<Instant>,
    /// Why its head was refused, in words.
    refused: Option<String>,
}

impl<'l> Exchange<'l> {
    /// The answer with this head, to the slot's request, which is the one at `place` among the load's.
    pub(super) fn begin(handle: &'l Handle, place: usize, status: u16, headers: &(impl Headers + ?Sized)) -> Self {
        let asked = Asked::of(handle.target(), place);
        let answer = Answer::new(&asked, status, headers);
        let keeps_body = asked.may_fail_later();
        handle.answering(status, keeps_body);
        let wanted = answer.failure().filter(|failure| handle.wants(*failure));
        if wanted.is_some() || keeps_body && answer.failure().is_none() {
            handle.note(headers);
        }
        let refused = wanted.map(|_| asked.expects().explain_head(status, headers));
        Self { handle, asked, answer, stalls_at: None, refused }
    }

    /// The next piece of its body.
    pub(super) fn piece(&mut self, piece: &[u8]) {
        let before = self.answer.pieces();
        self.handle.piece(piece);
        self.answer.piece(&self.asked, piece);
        self.handle.tokens(self.answer.pieces(), self.answer.tokens());
        // Only tokens count: a server that says that it is still there has not said anything.
        if let Some(after) = self.handle.target().stall_after.filter(|_| self.answer.pieces() > before) {
            self.stalls_at = Some(Instant::now() + after);
        }
    }

    /// How far an answer is that breaks off now.
    pub(super) fn stage(&self) -> Stage {
        if self.handle.target().kind == Kind::Stream { Stage::Stream } else { Stage::Body }
    }

    /// True once nothing that may still come can change how it ends.
    pub(super) fn is_decided(&self) -> bool {
        self.answer.is_decided()
    }

    /// When it is given up unless another token comes before.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        self.stalls_at
    }

    /// Counts it: its body came to its end, or it is decided. Gives what a report shows of it, where it failed.
    pub(super) fn end(mut self) -> Option<(Failure, Sample)> {
        let (pieces, tokens) = (self.answer.pieces(), self.answer.tokens());
        let outcome = self.answer.outcome(&self.asked);
        self.handle.tokens(pieces, tokens.or(outcome.tokens));
        let failed = outcome.failure.map(|kind| match self.refused.take() {
            Some(cause) => Failed::new(kind, cause),
            None if self.handle.wants(kind) => Failed::new(kind, self.answer.explain(&self.asked)),
            None => kind.into(),
        });
        self.handle.answered(failed)
    }
}
