//! The path of one request: to a worker over the bus or directly, and back over a connection that the worker opens.
//!
//! A request that is affected by a fault fails, and the load generator sees it, unless it may migrate to another worker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::registry::Assigned;
use super::shared::{Frontend, Waiting};
use crate::inference::Plane;
use crate::inference::nats::client::PublishError;
use crate::inference::protocol::{Frame, Lines, Request, accepted_subject, decode, encode, lines};
use crate::net::{Listener, Stream};

/// How long a worker may take to name the request that it answers.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// The most connections that have not named their request yet.
const MAX_GREETING: usize = 1024;
/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no worker is available")]
    NoWorker,
    #[error("the frontend has no bus to reach workers")]
    NoBus,
    #[error("the worker of this request does not receive requests")]
    NoResponder,
    #[error("the worker did not accept the request in time")]
    NotAccepted,
    #[error("the worker could not be reached in time")]
    NotReached,
    #[error("the worker of this request is gone")]
    Gone,
    #[error("the worker broke off its answer")]
    Broken,
    #[error("too many requests are under way")]
    Overloaded,
    #[error("the worker did not answer in time")]
    TimedOut,
}

impl Failure {
    /// Whether the worker is at fault, so that another one may do better.
    const fn is_of_worker(self) -> bool {
        !matches!(self, Self::NoWorker | Self::NoBus | Self::Overloaded)
    }
}

/// Accepts the connections of workers and passes them to the requests that they answer.
pub(super) async fn accept(listener: Listener, frontend: Arc<Frontend>) {
    let mut greeting = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = greeting.join_next() => {}
            (stream, _) = listener.next(), if greeting.len() < MAX_GREETING => {
                let frontend = Arc::clone(&frontend);
                greeting.spawn(async move { _ = timeout(HELLO_TIMEOUT, frontend.greet(stream)).await });
            }
        }
    }
}

impl Frontend {
    async fn greet(&self, stream: Stream) {
        let mut lines = lines(stream);
        let Some(Ok(line)) = lines.next().await else { return };
        let Some(Frame::Hello { request, worker }) = decode::<Frame>(line.as_bytes()) else {
            return warn!("a connection for answers does not start with a greeting");
        };
        let expected = self.expected.waiting().remove(&request);
        if let Some(expected) = &expected {
            self.registry().spoke(&expected.worker, Instant::now());
        }
        // The client is gone. Closing the connection stops the worker's answer.
        if expected.is_none_or(|expected| expected.answered.send(lines).is_err()) {
            debug!(request, worker, "an answer arrived too late");
        }
    }

    /// Sends a request to the next worker in turn.
    pub(super) fn ask(self: &Arc<Self>, prompt: String, max_tokens: u32) -> Result<Answer, Failure> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let attempt = self.attempt(&prompt, max_tokens, 0)?;
        let left = self.config.migration_limit;
        Ok(Answer { attempt, prompt, max_tokens, received: 0, migrations_left: left, _permit: permit })
    }

    /// Sends a request for the tokens from `first` on.
    fn attempt(self: &Arc<Self>, prompt: &str, max_tokens: u32, first: u32) -> Result<Attempt, Failure> {
        let now = Instant::now();
        let assigned = self.registry().pick(&self.config.model, now).ok_or(Failure::NoWorker)?;
        let respond_to = self.respond_to().ok_or(Failure::NoBus)?;
        let id = format!("{:032x}", rand::random::<u128>());
        let (answered, connection) = oneshot::channel();
        self.expected.waiting().insert(id.clone(), Waiting { worker: assigned.worker.clone(), answered });
        let mut attempt = Attempt {
            frontend: Arc::clone(self),
            id: id.clone(),
            assigned,
            sent: now,
            is_first: true,
            accepting: None,
            connection: Connection::Expected(connection),
        };
        let request = Request { id: id.clone(), respond_to, prompt: prompt.to_owned(), max_tokens, first };
        let request = encode(&request);
        attempt.accepting = Some(match (self.config.plane, attempt.assigned.record.address.clone()) {
            (Plane::Direct, Some(address)) => self.direct.send(&address, id, request).boxed(),
            (Plane::Direct, None) => return Err(Failure::NoResponder),
            (Plane::Bus, _) => {
                let (accepted, accepting) = oneshot::channel();
                self.expected.accepting().insert(id.clone(), accepted);
                let (subject, reply) = (attempt.assigned.record.subject.clone(), accepted_subject(&self.id, &id));
                let request = Bytes::from(request);
                let accepting = accepting.map(|accepted| accepted.unwrap_or(false));
                match self.bus.publish(&subject, Some(&reply), request.clone()) {
                    Ok(()) => accepting.boxed(),
                    // A client of NATS keeps what it is to send until it is connected again. Here this is only of use if the
                    // worker is known without the bus.
                    Err(PublishError::Disconnected) if self.config.discovery.is_some() => {
                        let (bus, mut state) = (self.bus.clone(), self.bus.state());
                        let sent = async move {
                            let is_connected = state.wait_for(|state| state.connected.is_some()).await.is_ok();
                            is_connected && bus.publish(&subject, Some(&reply), request).is_ok() && accepting.await
                        };
                        sent.boxed()
                    }
                    Err(error) => {
                        debug!(%error, "a request could not be published");
                        return Err(Failure::NoBus);
                    }
                }
            }
        });
        Ok(attempt)
    }
}

/// A streaming answer. Dropping it cancels the request at the worker.
pub(super) struct Answer {
    attempt: Attempt,
    prompt: String,
    max_tokens: u32,
    /// The number of tokens so far.
    received: u32,
    migrations_left: u32,
    _permit: OwnedSemaphorePermit,
}

impl Answer {
    /// The next token; `None` when the answer is complete.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            match self.attempt.next().await {
                Ok(text) => {
                    self.received += u32::from(text.is_some());
                    return Ok(text);
                }
                Err(failure) if failure.is_of_worker() && self.migrations_left > 0 => {
                    self.migrations_left -= 1;
                    let frontend = Arc::clone(&self.attempt.frontend);
                    self.attempt = frontend.attempt(&self.prompt, self.max_tokens, self.received)?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// A request at one worker.
struct Attempt {
    frontend: Arc<Frontend>,
    id: String,
    assigned: Assigned,
    /// When the request was sent.
    sent: Instant,
    /// Whether nothing was received yet.
    is_first: bool,
    /// Until the worker has accepted the request: whether it does.
    accepting: Option<BoxFuture<'static, bool>>,
    connection: Connection,
}

enum Connection {
    Expected(oneshot::Receiver<Lines>),
    Open(Box<Lines>),
}

impl Attempt {
    async fn next(&mut self) -> Result<Option<String>, Failure> {
        // Later waits begin when the client can take the next token, so that a slow client is not blamed on the worker.
        let since = if std::mem::take(&mut self.is_first) { self.sent } else { Instant::now() };
        let (limit, plane) = (self.frontend.config.accept_timeout.get(), self.frontend.config.plane);
        let (deadline, accepted_by) = (since + self.frontend.config.response_timeout.get(), self.sent + limit);
        let frame = loop {
            let is_pending = self.accepting.is_some();
            let accepting = self.accepting.as_mut();
            let accepting = async move {
                match accepting {
                    Some(accepting) => accepting.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // A received token counts, even if the worker was dropped at the same moment.
                biased;
                frame = self.connection.frame() => break frame,
                accepted = accepting => {
                    self.accepting = None;
                    if !accepted {
                        break Err(Failure::NoResponder);
                    }
                }
                () = self.assigned.gone.cancelled() => break Err(Failure::Gone),
                () = sleep_until(accepted_by), if is_pending => {
                    break Err(if plane == Plane::Bus { Failure::NotAccepted } else { Failure::NotReached });
                }
                () = sleep_until(deadline) => return Err(self.timed_out(since)),
            }
        };
        let frame = frame.inspect_err(|failure| self.failed(*failure))?;
        self.accepting = None;
        self.frontend.registry().spoke(&self.assigned.worker, Instant::now());
        match frame {
            Frame::Token(text) => Ok(Some(text)),
            Frame::End => Ok(None),
            Frame::Overloaded => Err(Failure::Overloaded),
            Frame::Hello { .. } => Err(Failure::Broken),
        }
    }

    /// Sets the worker aside if it could not be reached.
    fn failed(&self, failure: Failure) {
        let is_unreachable = matches!(failure, Failure::NoResponder | Failure::NotAccepted | Failure::NotReached);
        if is_unreachable && self.frontend.registry().failed(&self.assigned.worker, Instant::now()) {
            let worker = &self.assigned.record.worker;
            self.frontend.log.warn(format_args!("worker {worker} is set aside: {failure}"));
        }
    }

    fn timed_out(&self, since: Instant) -> Failure {
        let now = Instant::now();
        if self.frontend.registry().timed_out(&self.assigned.worker, now - since, now) {
            let (worker, waited) = (&self.assigned.record.worker, (now - since).as_secs_f64());
            self.frontend.log.warn(format_args!("worker {worker} is set aside: no answer for {waited:.1} s"));
        }
        Failure::TimedOut
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.frontend.expected.waiting().remove(&self.id);
        self.frontend.expected.accepting().remove(&self.id);
    }
}

impl Connection {
    async fn frame(&mut self) -> Result<Frame, Failure> {
        if let Self::Expected(connection) = self {
            // The sender goes only to `greet`, which sends at once.
            *self = Self::Open(Box::new(connection.await.map_err(|_| Failure::Broken)?));
        }
        let Self::Open(lines) = self else { return Err(Failure::Broken) };
        match lines.next().await {
            Some(Ok(line)) => decode(line.as_bytes()).ok_or(Failure::Broken),
            Some(Err(_)) | None => Err(Failure::Broken),
        }
    }
}
