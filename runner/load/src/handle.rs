//! The interface between a connection, or one of its streams, and its lane. The protocols know nothing else of the lane.

use std::cell::RefMut;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

use super::capture::Captured;
use super::connection::Connection;
use super::failure::Failed;
use super::headers::Headers;
use super::job::Job;
use super::lane::Lane;
use super::record::AnswerTraits;
use super::root::Unwritable;
use super::said::Said;
use super::target::Target;
use shakedown_observe::{Failure, Peculiarities, Sample};

/// A connection of a lane, held by the task or stream that serves it.
#[derive(Debug)]
pub(super) struct Handle {
    lane: Rc<Lane>,
    connection: Rc<Connection>,
}

impl Handle {
    /// A handle for a new connection.
    pub(super) fn new(lane: Rc<Lane>, connection: Rc<Connection>) -> Self {
        Self { lane, connection }
    }

    /// Another stream on the same connection, unless the limit of requests under way is reached.
    pub(super) fn add_stream(&self) -> Option<Self> {
        Some(Self { lane: Rc::clone(&self.lane), connection: self.lane.add_stream(&self.connection)? })
    }

    /// The target of the requests.
    pub(super) fn target(&self) -> &Target {
        &self.lane.target
    }

    /// The read buffer, which all connections of the lane share.
    pub(super) fn buffer(&self) -> RefMut<'_, Box<[u8]>> {
        self.lane.buffer.borrow_mut()
    }

    /// The request under way.
    pub(super) fn job(&self) -> Option<Job> {
        self.connection.job()
    }

    /// The values that earlier steps of the request's user captured.
    pub(super) fn values(&self, job: &Job) -> Option<Rc<Vec<Option<Captured>>>> {
        if self.lane.target.requests.are_steps { self.lane.sessions.values(job) } else { None }
    }

    /// The answer of a step has these values for later steps.
    pub(super) fn captured(&self, found: Vec<(usize, Captured)>) {
        if let Some(job) = self.connection.job() {
            self.lane.sessions.capture(&job, found, self.lane.target.requests.values);
        }
    }

    /// The answer names this group.
    pub(super) fn group(&self, name: &[u8]) {
        self.connection.group.set(self.lane.group(name));
    }

    /// The request cannot be written.
    pub(super) fn cannot_write(&self, has_values: bool, Unwritable(why): Unwritable) {
        self.failed(match (has_values, why) {
            (true, Some(why)) => Failed::new(Failure::Check, format!("the captured {why}")),
            (true, None) => Failed::new(
                Failure::Check,
                "a captured value has characters that its path or header cannot contain: use `| urlencode`",
            ),
            (false, _) => Failed::new(Failure::Protocol, "the request cannot be written as HTTP"),
        });
    }

    /// Waits for a request to send.
    pub(super) async fn wait(&self) {
        self.connection.wait().await;
    }

    /// Ready when there is a request to send.
    pub(super) fn poll_job(&self, context: &Context<'_>) -> Poll<()> {
        self.connection.poll_job(context)
    }

    /// When a request is given up.
    pub(super) fn deadline(&self, job: &Job) -> Instant {
        self.lane.deadline(job)
    }

    /// The connection is free: it takes the request that has waited longest, or becomes idle. Returns false if it must be
    /// closed instead.
    pub(super) fn free(&self) -> bool {
        self.lane.free(&self.connection)
    }

    /// The connection begins to send its request.
    pub(super) fn sending(&self) {
        self.lane.sending(&self.connection);
    }

    /// The head of the answer arrived. The start of the body is kept if `keeps_body` is true.
    pub(super) fn answering(&self, status: u16, keeps_body: bool) {
        self.lane.answering(&self.connection);
        self.connection.excerpt.borrow_mut().begin(status, keeps_body);
    }

    /// Bytes of a head arrived that is not complete, or cannot be read.
    pub(super) fn head(&self, piece: &[u8]) {
        self.connection.excerpt.borrow_mut().head(piece);
    }

    /// Records the `Date` header of the answer.
    pub(super) fn dated(&self, date: &[u8]) {
        self.lane.dated(date);
    }

    /// Records the headers of the answer that may explain a failure.
    pub(super) fn note(&self, headers: &(impl Headers + ?Sized)) {
        self.connection.excerpt.borrow_mut().note(headers);
    }

    /// The next chunk of the answer's body arrived.
    pub(super) fn piece(&self, piece: &[u8]) {
        self.connection.excerpt.borrow_mut().piece(piece);
    }

    /// Whether this would be the first failure of its kind in its segment, so that a report shows it.
    pub(super) fn wants(&self, kind: Failure) -> bool {
        self.lane.wants(&self.connection, kind)
    }

    /// `pieces` chunks with tokens have arrived so far, and the server counts `counted` tokens.
    pub(super) fn tokens(&self, pieces: u64, counted: Option<u64>) {
        self.lane.tokens(&self.connection, pieces, counted);
    }

    /// The properties of the answer so far.
    pub(super) fn traits(&self, traits: AnswerTraits) {
        self.connection.traits.set(traits);
    }

    /// Compares what the answer's choices say with those of the reference phase.
    ///
    /// # Errors
    /// The difference in words.
    pub(super) fn compare(&self, said: Vec<Said>, tokens: u64) -> Result<(), String> {
        self.connection.job().map_or(Ok(()), |job| self.lane.compare(&job, said, tokens))
    }

    /// Records deviations of the answer from the API.
    pub(super) fn peculiar(&self, odd: Peculiarities) {
        self.lane.peculiar(odd);
    }

    /// The request ended. Returns a sample if it failed and a report shows it. [`Handle::sampled`] takes the sample back
    /// once more of the body was read.
    pub(super) fn answered(&self, failed: Option<Failed>) -> Option<(Failure, Sample)> {
        self.lane.answered(&self.connection, failed)
    }

    /// The connection has to continue at once, or no longer.
    pub(super) fn busy(&self, is_busy: bool) {
        self.lane.busy(&self.connection, is_busy);
    }

    /// The connection read a part of an answer.
    pub(super) fn received(&self) {
        self.lane.received(&self.connection);
    }

    /// An answer is so large that the server may wait for it to be read.
    pub(super) fn large(&self) {
        self.lane.large();
    }

    /// The request failed.
    pub(super) fn failed(&self, failed: impl Into<Failed>) {
        self.answered(Some(failed.into()));
    }

    /// Completes the sample of a failed request.
    pub(super) fn sampled(&self, kind: Failure, sample: Sample) {
        self.lane.sampled(&self.connection, kind, sample);
    }

    /// The request did not end within its observation timeout.
    pub(super) fn gave_up(&self) {
        self.lane.gave_up(&self.connection);
    }

    /// The connection was dead before a byte of the request was written: the request is sent again.
    pub(super) fn resend(&self) {
        self.lane.resend(&self.connection);
    }

    /// The connection or stream is closed.
    pub(super) fn closed(&self) {
        self.lane.closed(&self.connection);
    }
}
