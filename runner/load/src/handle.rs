//! What a connection, or one stream of it, may ask of its lane. The protocols know nothing else of the lane.

use std::cell::RefMut;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

use super::failure::Failed;
use super::headers::Headers;
use super::job::Job;
use super::lane::Lane;
use super::record::Told;
use super::slot::Slot;
use super::target::Target;
use shakedown_observe::{Failure, Peculiarities, Sample};

/// A slot of a lane, held by the connection or stream that serves it.
#[derive(Debug)]
pub(super) struct Handle {
    lane: Rc<Lane>,
    slot: Rc<Slot>,
}

impl Handle {
    /// The handle of a connection that was made for this slot.
    pub(super) fn new(lane: Rc<Lane>, slot: Rc<Slot>) -> Self {
        Self { lane, slot }
    }

    /// A slot for another stream on the same connection, as long as there may be more under way at once.
    pub(super) fn add_stream(&self) -> Option<Self> {
        Some(Self { lane: Rc::clone(&self.lane), slot: self.lane.add_stream(&self.slot)? })
    }

    /// Where the requests go.
    pub(super) fn target(&self) -> &Target {
        &self.lane.target
    }

    /// The buffer that all connections of the lane read to, one after the other.
    pub(super) fn buffer(&self) -> RefMut<'_, Box<[u8]>> {
        self.lane.buffer.borrow_mut()
    }

    /// The request under way.
    pub(super) fn job(&self) -> Option<Job> {
        self.slot.job()
    }

    /// Waits until there is a request to send.
    pub(super) async fn wait(&self) {
        self.slot.wait().await;
    }

    /// Ready when there is a request to send.
    pub(super) fn poll_job(&self, context: &Context<'_>) -> Poll<()> {
        self.slot.poll_job(context)
    }

    /// When a request is given up.
    pub(super) fn deadline(&self, job: &Job) -> Instant {
        self.lane.deadline(job)
    }

    /// The connection is free: it takes the request that waits longest, or becomes idle. False when it is to be closed
    /// instead.
    pub(super) fn free(&self) -> bool {
        self.lane.free(&self.slot)
    }

    /// The connection begins to send its request.
    pub(super) fn sending(&self) {
        self.lane.sending(&self.slot);
    }

    /// The head of the answer is there. The beginning of its body is kept where `keeps_body` says so.
    pub(super) fn answering(&self, status: u16, keeps_body: bool) {
        self.lane.answering(&self.slot);
        self.slot.seen.borrow_mut().begin(status, keeps_body);
    }

    /// Takes note of the headers of the answer.
    pub(super) fn note(&self, headers: &(impl Headers + ?Sized)) {
        self.slot.seen.borrow_mut().note(headers);
    }

    /// The next piece of the answer's body came.
    pub(super) fn piece(&self, piece: &[u8]) {
        self.slot.seen.borrow_mut().piece(piece);
    }

    /// Whether this would be the first failure of its kind in this stretch of the timeline, which a report shows.
    pub(super) fn wants(&self, kind: Failure) -> bool {
        self.lane.wants(&self.slot, kind)
    }

    /// `pieces` pieces with tokens have come by now, and the server counts `counted` tokens.
    pub(super) fn tokens(&self, pieces: u64, counted: Option<u64>) {
        self.lane.tokens(&self.slot, pieces, counted);
    }

    /// What the answer has told of itself so far.
    pub(super) fn told(&self, told: Told) {
        self.slot.told.set(told);
    }

    /// Compares the whole text of the answer with that of the phase that is the measure.
    ///
    /// # Errors
    /// In words, what differs.
    pub(super) fn compare(&self, text: Vec<u8>, tokens: u64) -> Result<(), String> {
        self.slot.job().map_or(Ok(()), |job| self.lane.compare(&job, text, tokens))
    }

    /// In what the answer departs from the API.
    pub(super) fn peculiar(&self, odd: Peculiarities) {
        self.lane.peculiar(odd);
    }

    /// The connection's request ended. Gives what is known of it so far where a report shows it; [`Handle::sampled`] takes it
    /// with what comes of its body after that.
    pub(super) fn answered(&self, failed: Option<Failed>) -> Option<(Failure, Sample)> {
        self.lane.answered(&self.slot, failed)
    }

    /// The connection's request failed.
    pub(super) fn failed(&self, failed: impl Into<Failed>) {
        self.answered(Some(failed.into()));
    }

    /// More is known of a request that failed.
    pub(super) fn sampled(&self, kind: Failure, sample: Sample) {
        self.lane.sampled(kind, sample);
    }

    /// The connection's request did not end within its time.
    pub(super) fn gave_up(&self) {
        self.lane.gave_up(&self.slot);
    }

    /// The connection was dead before a byte of the request was written: the request goes out once more.
    pub(super) fn resend(&self) {
        self.lane.resend(&self.slot);
    }

    /// The connection or stream is gone.
    pub(super) fn closed(&self) {
        self.lane.closed(&self.slot);
    }
}
