//! One HTTP/1.1 connection: writes the lane's requests, one after the other, and reads their answers. `framing` parses the
//! bytes, and `exchange` determines the outcome of an answer.
//!
//! By hand, because it was measured: on hyper's connections the same engine took a third more processor time (`README.md`).
//! A request costs one write and one read, in one task that nothing else wakes. All connections of the lane share the read
//! buffer, so that a waiting connection needs none.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::deadline::Deadline;
use super::exchange::Exchange;
use super::failure::{Failed, Stage, of_io};
use super::framing::{AnswerPart, Cut, Malformed, Reader};
use super::handle::Handle;
use super::session::as_slice;
use shakedown_observe::{Failure, Sample};

/// The most bytes that are read after an answer's outcome is final. Beyond that the connection is closed instead of reused.
const MAX_DRAIN: usize = 256 << 10;
/// An answer of more bytes may be larger than the first window that the kernel offers (64 KiB): the server waits for reads.
const LARGE: usize = 32 << 10;

const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

/// Serves the lane's requests on a connection until it ends.
pub(super) async fn serve<T: AsyncRead + AsyncWrite + Unpin>(handle: &Handle, stream: T) {
    if handle.job().is_none() && !handle.free() {
        return;
    }
    let mut connection = Connection {
        handle,
        stream,
        reader: Reader::new(),
        request: Outgoing::default(),
        place: 0,
        answer: None,
        until: None,
        drained: 0,
        sample: None,
        received: 0,
        is_clean: true,
        free_since: None,
        sent_after_idle: None,
    };
    let mut served = pin!(connection.serve());
    let mut deadline = Deadline::new();
    poll_fn(|context| {
        if served.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if deadline.is_over(handle, context) {
            handle.gave_up();
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// A connection that was free for at least this long may be closed by its server's timeout for idle connections: Node and uvicorn
/// close after 5 s, others after 1 s.
const IDLE: Duration = Duration::from_millis(900);

/// A close that crosses a request on the wire is seen after about one round trip. A later one is a failure of the service.
const CROSSED: Duration = Duration::from_millis(250);

struct Connection<'l, T> {
    handle: &'l Handle,
    stream: T,
    reader: Reader,
    request: Outgoing,
    /// The index of the current request in the load.
    place: usize,
    /// The answer, from its head until its outcome is final.
    answer: Option<Exchange<'l>>,
    /// When the answer is given up: its next token is too late, or the rest of an answer whose outcome is final.
    until: Option<Instant>,
    /// The bytes that were read after the outcome was final.
    drained: usize,
    /// The sample of a failed request, to which the rest of the answer's body is added.
    sample: Option<(Failure, Sample)>,
    /// The bytes of the current answer so far.
    received: usize,
    /// No bytes followed the last answer.
    is_clean: bool,
    /// The end of its last answer.
    free_since: Option<Instant>,
    /// When its request was sent, if it was idle for [`IDLE`] before and the request may be repeated.
    sent_after_idle: Option<Instant>,
}

/// A request that is being written.
#[derive(Debug, Default)]
struct Outgoing {
    head: Vec<u8>,
    body: Bytes,
    written: usize,
    is_flushed: bool,
    error: Option<io::Error>,
}

/// The progress of an exchange.
enum Step {
    /// It continues with a new deadline.
    Later,
    /// The answer is complete.
    Whole,
    Failed(Failed),
    /// The connection was dead before the request reached the server, as far as one can tell.
    Unsent(Failed),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<'_, T> {
    async fn serve(&mut self) {
        let mut is_reused = false;
        loop {
            let flow = match poll_fn(|context| self.poll_idle(context)).await {
                Some(failed) => self.unsent(is_reused, failed),
                None => self.exchange(is_reused).await,
            };
            if flow.is_break() {
                return;
            }
            is_reused = true;
            self.free_since = Some(Instant::now());
            if !self.handle.free() {
                return;
            }
        }
    }

    /// Waits for a request to send. Returns the failure if the connection ends first.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Option<Failed>> {
        let unasked = |_: &mut Self, came: &[u8]| match came {
            [] => Stage::Head.ended(),
            _ => Failed::new(Failure::Protocol, "the server sent bytes without a request"),
        };
        match self.poll_read(context, unasked) {
            Poll::Ready(Ok(failure)) => Poll::Ready(Some(failure)),
            Poll::Ready(Err(error)) => Poll::Ready(Some(of_io(&error, Stage::Head))),
            Poll::Pending => self.handle.poll_job(context).map(|()| None),
        }
    }

    /// The request, if any, could not be written.
    fn unsent(&self, is_reused: bool, failed: Failed) -> ControlFlow<()> {
        match is_reused {
            true => self.handle.resend(),
            false => self.handle.failed(failed),
        }
        ControlFlow::Break(())
    }

    /// Sends one request and reads its answer. Breaks when the connection takes no more requests.
    async fn exchange(&mut self, is_reused: bool) -> ControlFlow<()> {
        let handle = self.handle;
        let Some(job) = handle.job() else { return ControlFlow::Continue(()) };
        handle.sending();
        let values = handle.values(&job);
        let (place, request, data) = handle.target().requests.now(&job, as_slice(values.as_ref()));
        self.place = place;
        if let Err(why) = self.request.write(|head| request.write(&data, head)) {
            handle.cannot_write(values.is_some(), why);
            return ControlFlow::Continue(());
        }
        let is_after_idle = self.free_since.is_some_and(|since| since.elapsed() >= IDLE) && request.is_idempotent();
        self.sent_after_idle = is_after_idle.then(Instant::now);
        self.reader.begin(request.has_no_answer_body());
        (self.answer, self.until, self.sample, self.received) = (None, None, None, 0);
        loop {
            let until = self.until;
            let step = poll_fn(|context| self.poll_step(context));
            let step = match until {
                None => step.await,
                // An answer whose outcome is final was counted before.
                Some(until) => timeout_at(until, step).await.unwrap_or_else(|_| {
                    Step::Failed(Failed::new(Failure::Stalled, "no further token came within `stall_after`"))
                }),
            };
            if !matches!(step, Step::Later)
                && let Some((kind, sample)) = self.sample.take()
            {
                handle.sampled(kind, sample);
            }
            match step {
                Step::Later => {}
                Step::Unsent(failed) => return self.unsent(is_reused, failed),
                Step::Failed(failed) => {
                    handle.failed(failed);
                    return ControlFlow::Break(());
                }
                Step::Whole => {
                    let is_reusable = self.is_clean && self.request.is_flushed && !self.reader.is_last();
                    return match is_reusable && !handle.target().fresh {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    };
                }
            }
        }
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let until = self.until;
        loop {
            // The answer to a half-written request may already have arrived.
            self.request.poll_write(&mut self.stream, context);
            let Poll::Ready(read) = self.poll_read(context, Self::take) else {
                self.handle.busy(self.received > 0 || !self.request.is_flushed && self.request.error.is_none());
                return Poll::Pending;
            };
            let step = match read {
                Ok(step) => step,
                Err(error) => Some(self.broken(Some(&error))),
            };
            if let Some(step) = step {
                self.handle.busy(false);
                return Poll::Ready(step);
            }
            if self.until != until {
                return Poll::Ready(Step::Later);
            }
        }
    }

    /// Passes the bytes that were read to `take`. No bytes mean the end of the connection.
    fn poll_read<R>(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut Self, &[u8]) -> R,
    ) -> Poll<io::Result<R>> {
        let mut buffer = self.handle.buffer();
        let mut buffer = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(take(self, buffer.filled())))
    }

    /// Parses the bytes of the answer.
    fn take(&mut self, mut bytes: &[u8]) -> Option<Step> {
        if bytes.is_empty() {
            return Some(self.ended());
        }
        let read = bytes;
        self.handle.received();
        self.received += bytes.len();
        if self.received > LARGE {
            self.handle.large();
        }
        loop {
            let (handle, place) = (self.handle, self.place);
            let answer = &mut self.answer;
            let part = self.reader.next(&mut bytes, |status, headers| {
                *answer = Some(Exchange::begin(handle, place, status, headers));
            });
            match (part, answer) {
                (Err(Malformed(cause)), _) => {
                    handle.head(read);
                    return Some(Step::Failed(Failed::new(Failure::Protocol, cause)));
                }
                (Ok(None), _) => {
                    handle.head(read);
                    return None;
                }
                (Ok(Some(AnswerPart::Head)), _) => {}
                (Ok(Some(AnswerPart::Body(piece))), Some(answer)) => {
                    answer.piece(piece);
                    self.until = answer.stalls_at();
                }
                (Ok(Some(AnswerPart::Body(piece))), None) => {
                    self.drained += piece.len();
                    if let Some((_, sample)) = &mut self.sample {
                        sample.add_body(piece);
                    }
                    if self.drained > MAX_DRAIN {
                        return Some(Step::Failed(Failure::TooLarge.into()));
                    }
                }
                (Ok(Some(AnswerPart::End)), answer) => {
                    answer.take().map(Exchange::end);
                    self.is_clean = bytes.is_empty();
                    return Some(Step::Whole);
                }
            }
            if let Some(answer) = self.answer.take_if(|answer| answer.is_decided()) {
                self.sample = answer.end();
                self.drained = 0;
                self.until = Some(Instant::now() + MAX_DRAIN_TIME);
            }
        }
    }

    /// The connection ended.
    fn ended(&mut self) -> Step {
        match self.reader.cut() {
            Ok(Cut::End) => {
                self.answer.take().map(Exchange::end);
                Step::Whole
            }
            Ok(Cut::Head | Cut::Body) => self.broken(None),
            Err(Malformed(cause)) => Step::Failed(Failed::new(Failure::Protocol, cause)),
        }
    }

    /// The connection broke, with this read error or an earlier write error.
    fn broken(&mut self, error: Option<&io::Error>) -> Step {
        let stage = self.answer.as_ref().map_or(Stage::Head, Exchange::stage);
        let failed = match self.request.error.as_ref().or(error) {
            Some(error) => of_io(error, stage),
            None if stage == Stage::Head && self.received > 0 => {
                Failed::new(stage.cut(), "the server closed the connection within the head of its answer")
            }
            None => stage.ended(),
        };
        // The server may close an idle connection while a request is on its way.
        let crossed = self.sent_after_idle.is_some_and(|sent| sent.elapsed() <= CROSSED)
            && stage == Stage::Head
            && self.received == 0
            && matches!(failed.kind, Failure::Closed | Failure::Reset);
        if self.request.written == 0 || crossed { Step::Unsent(failed) } else { Step::Failed(failed) }
    }
}

impl Outgoing {
    /// Starts another request. `put` writes its head and a small body, and returns a larger body.
    fn write<E>(&mut self, put: impl FnOnce(&mut Vec<u8>) -> Result<Bytes, E>) -> Result<(), E> {
        self.head.clear();
        (self.written, self.is_flushed, self.error) = (0, false, None);
        self.body = put(&mut self.head)?;
        Ok(())
    }

    /// Writes as much as the connection accepts. Keeps an error for later, because the answer may have arrived anyway.
    fn poll_write(&mut self, stream: &mut (impl AsyncWrite + Unpin), context: &mut Context<'_>) {
        if self.is_flushed || self.error.is_some() {
            return;
        }
        let mut stream = Pin::new(stream);
        let written = loop {
            let rest = match self.written.checked_sub(self.head.len()) {
                None => &self.head[self.written..],
                Some(of_body) if of_body < self.body.len() => &self.body[of_body..],
                Some(_) => break stream.poll_flush(context).map_ok(|()| self.is_flushed = true),
            };
            match stream.as_mut().poll_write(context, rest) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if let Poll::Ready(Err(error)) = written {
            self.error = Some(error);
        }
    }
}
