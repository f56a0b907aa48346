//! One answer of a load, independent of its protocol: its chunks as they arrive, and its outcome.

use http::header::DATE;
use tokio::time::Instant;

use super::answer::{Answer, Asked};
use super::failure::{Failed, Stage};
use super::group::GroupRule;
use super::handle::Handle;
use super::headers::Headers;
use super::record::{AnswerTraits, GAP};
use super::target::AnswerFormat;
use shakedown_observe::{Failure, Sample};

/// An answer that is being read.
pub(super) struct Exchange<'l> {
    handle: &'l Handle,
    asked: Asked<'l>,
    answer: Answer,
    stalls_at: Option<Instant>,
    /// When the last token arrived.
    last_token: Option<Instant>,
    /// Why the head was rejected, in words.
    refused: Option<String>,
}

impl<'l> Exchange<'l> {
    /// Begins the answer with this head, to the connection's request. `place` is the index of the request in the load.
    pub(super) fn begin(handle: &'l Handle, place: usize, status: u16, headers: &(impl Headers + ?Sized)) -> Self {
        let asked = Asked::of(handle.target(), place);
        let answer = Answer::new(&asked, status, headers);
        // Every answer that was accepted so far can still fail, because its body may be cut.
        let wanted = answer.failure().filter(|failure| handle.wants(*failure));
        let is_kept = wanted.is_some() || answer.failure().is_none();
        handle.answering(status, is_kept);
        if handle.target().reads_dates
            && let Some(date) = headers.values(&DATE).next()
        {
            handle.dated(date);
        }
        handle.traits(AnswerTraits { is_stream: answer.is_stream(), ..AnswerTraits::default() });
        if let Some(GroupRule::Header(name)) = &handle.target().group
            && let Some(value) = headers.values(name).next()
        {
            handle.group(value);
        }
        if is_kept {
            handle.note(headers);
        }
        let refused = wanted.map(|_| asked.expects().explain_head(status, headers));
        Self { handle, asked, answer, stalls_at: None, last_token: None, refused }
    }

    /// Processes the next chunk of the body.
    pub(super) fn piece(&mut self, piece: &[u8]) {
        let (before, was_stream) = (self.answer.pieces(), self.answer.is_stream());
        self.handle.piece(piece);
        let after_gap = self.last_token.is_some_and(|last| last.elapsed() >= GAP);
        self.answer.piece(&self.asked, piece, after_gap);
        if self.answer.is_stream() != was_stream {
            self.handle.traits(AnswerTraits { is_stream: !was_stream, ..AnswerTraits::default() });
        }
        self.handle.tokens(self.answer.pieces(), self.answer.tokens());
        // Only tokens reset the stall timeout. Keep-alive comments do not.
        if self.answer.pieces() > before {
            let now = Instant::now();
            self.last_token = Some(now);
            self.stalls_at = self.handle.target().stall_after.map(|after| now + after);
        }
        // No token is due any more. The end mark may be later.
        if self.stalls_at.is_some() && self.answer.is_finished(&self.asked) {
            self.stalls_at = None;
        }
    }

    /// How far the answer is. It names the failure if the connection ends now.
    pub(super) fn stage(&self) -> Stage {
        if self.handle.target().format == AnswerFormat::Stream { Stage::Stream } else { Stage::Body }
    }

    /// True once the outcome is final. Further bytes do not change it.
    pub(super) fn is_decided(&self) -> bool {
        self.answer.is_decided()
    }

    /// When the answer is given up as stalled unless another token arrives.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        self.stalls_at
    }

    /// Counts the answer, because its body ended or its outcome is final. Returns the sample of a failure that a report
    /// shows.
    pub(super) fn end(self) -> Option<(Failure, Sample)> {
        let is_stream = self.answer.is_stream();
        let (pieces, tokens) = (self.answer.pieces(), self.answer.tokens());
        let mut outcome = self.answer.outcome(&self.asked, |kind| self.handle.wants(kind));
        if outcome.failure.is_none()
            && let Some(said) = outcome.said.take()
            && let Err(words) = self.handle.compare(said, tokens.or(outcome.tokens).unwrap_or_default().max(pieces))
        {
            (outcome.failure, outcome.words) = (Some(Failure::Check), Some(words));
        }
        if outcome.failure.is_none() && !outcome.captured.is_empty() {
            self.handle.captured(std::mem::take(&mut outcome.captured));
        }
        if let Some(group) = &outcome.group {
            self.handle.group(group.as_bytes());
        }
        self.handle.tokens(pieces, tokens.or(outcome.tokens));
        self.handle.traits(AnswerTraits { is_stream, finish: outcome.finish, is_repeated: outcome.is_repeated });
        self.handle.peculiar(outcome.odd);
        let words = self.refused.filter(|words| !words.is_empty()).or(outcome.words).unwrap_or_default();
        let cause = |kind| match kind {
            Failure::ApiError if words.is_empty() => "the server reports an error without a message".to_owned(),
            Failure::ApiError => format!("the server says: {words}"),
            _ => words,
        };
        self.handle.answered(outcome.failure.map(|kind| Failed::new(kind, cause(kind))))
    }
}
