//! The path of one request: to a worker over the bus, and back over a connection that the worker opens.
//!
//! There are no retries: a request that is affected by a fault fails, and the load generator sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::registry::Assigned;
use super::shared::Frontend;
use crate::inference::protocol::{Frame, Lines, Request, decode, encode, lines};
use crate::net::{Listener, Stream};

/// How long a worker may take to name the request that it answers.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// The most connections that have not named their request yet.
const MAX_GREETING: usize = 1024;
/// The pause when the kernel accepts no connection, for lack of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no worker is available")]
    NoWorker,
    #[error("the frontend has no bus to reach workers")]
    NoBus,
    #[error("the worker of this request is gone")]
    Gone,
    #[error("the worker broke off its answer")]
    Broken,
    #[error("too many requests are under way")]
    Overloaded,
    #[error("the worker did not answer in time")]
    TimedOut,
}

/// Accepts the connections of workers and passes them to the requests that they answer.
pub(super) async fn accept(listener: Listener, frontend: Arc<Frontend>) {
    let mut greeting = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = greeting.join_next() => {}
            accepted = listener.accept(), if greeting.len() < MAX_GREETING => match accepted {
                Ok((stream, _)) => {
                    let frontend = Arc::clone(&frontend);
                    greeting.spawn(async move { _ = timeout(HELLO_TIMEOUT, frontend.greet(stream)).await });
                }
                Err(error) => {
                    warn!(%error, "cannot accept a worker's connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
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
        self.registry().spoke(&worker, Instant::now());
        let receiver = self.expected.waiting().remove(&request);
        // The client is gone. Closing the connection stops the worker's answer.
        if receiver.is_none_or(|receiver| receiver.send(lines).is_err()) {
            debug!(request, worker, "an answer arrived too late");
        }
    }

    /// Sends a request to the next worker in turn.
    pub(super) fn ask(self: &Arc<Self>, prompt: String, max_tokens: u32) -> Result<Answer, Failure> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let now = Instant::now();
        let assigned = self.registry().pick(&self.config.model, now).ok_or(Failure::NoWorker)?;
        let respond_to = self.respond_to().ok_or(Failure::NoBus)?;
        let id = format!("{:032x}", rand::random::<u128>());
        let (sender, connection) = oneshot::channel();
        self.expected.waiting().insert(id.clone(), sender);
        let answer = Answer {
            frontend: Arc::clone(self),
            id: id.clone(),
            assigned,
            asked: Some(now),
            connection: Connection::Expected(connection),
            _permit: permit,
        };
        let request = Request { id, respond_to, prompt, max_tokens };
        let payload = Bytes::from(encode(&request));
        self.bus.publish(&answer.assigned.subject, None, payload).map_err(|error| {
            debug!(%error, "a request could not be published");
            Failure::NoBus
        })?;
        Ok(answer)
    }
}

/// A streaming answer. Dropping it cancels the request at the worker.
pub(super) struct Answer {
    frontend: Arc<Frontend>,
    id: String,
    assigned: Assigned,
    /// When the request was sent to the bus; `None` once the wait for its first token has begun.
    asked: Option<Instant>,
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

enum Connection {
    Expected(oneshot::Receiver<Lines>),
    Open(Box<Lines>),
}

impl Answer {
    /// The next token; `None` when the answer is complete.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        // Later waits begin when the client can take the next token, so that a slow client is not blamed on the worker.
        let since = self.asked.take().unwrap_or_else(Instant::now);
        let deadline = since + self.frontend.config.response_timeout.get();
        let gone = self.assigned.gone.clone();
        let frame = tokio::select! {
            // A received token counts, even if the worker was dropped at the same moment.
            biased;
            frame = self.connection.frame() => frame?,
            () = gone.cancelled() => return Err(Failure::Gone),
            () = sleep_until(deadline) => return Err(self.timed_out(since)),
        };
        self.frontend.registry().spoke(&self.assigned.worker, Instant::now());
        match frame {
            Frame::Token(text) => Ok(Some(text)),
            Frame::End => Ok(None),
            Frame::Overloaded => Err(Failure::Overloaded),
            Frame::Hello { .. } => Err(Failure::Broken),
        }
    }

    fn timed_out(&self, since: Instant) -> Failure {
        let (worker, now) = (&self.assigned.worker, Instant::now());
        if self.frontend.registry().timed_out(worker, now - since, now) {
            let waited = (now - since).as_secs_f64();
            self.frontend.log.warn(format_args!("worker {worker} is set aside: no answer for {waited:.1} s"));
        }
        Failure::TimedOut
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.frontend.expected.waiting().remove(&self.id);
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
