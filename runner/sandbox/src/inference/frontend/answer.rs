//! One request's way: to a worker over the bus, and back over the connection that the worker opens.
//!
//! Nothing is tried twice: a request that meets a fault fails, and the load generator sees it.

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

/// How long a worker may take to say which request it answers.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// How many connections may be about to say that.
const MAX_GREETING: usize = 1024;
/// How long to wait when the kernel accepts no connection, for want of files or memory.
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

/// Takes the connections of workers and gives them to the requests that they answer.
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
        // The client is gone: closing the connection stops the worker's answer.
        if receiver.is_none_or(|receiver| receiver.send(lines).is_err()) {
            debug!(request, worker, "an answer arrived too late");
        }
    }

    /// Gives a request to the next worker in turn.
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

/// An answer as it comes in. Dropping it tells the worker to stop.
pub(super) struct Answer {
    frontend: Arc<Frontend>,
    id: String,
    assigned: Assigned,
    /// When the request was handed to the bus, until its first token is waited for.
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
        // Later waits begin when the client has room for the next token: its own slowness is not the worker's.
        let since = self.asked.take().unwrap_or_else(Instant::now);
        let deadline = since + self.frontend.config.response_timeout.get();
        let gone = self.assigned.gone.clone();
        let frame = tokio::select! {
            // What arrived counts, even if the worker was dropped at the same moment.
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
