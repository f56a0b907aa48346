//! The state that the lane shares with its connections and with the engine's other threads.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::capture::Captured;
use super::excerpt::Excerpt;
use super::job::{Job, micros};
use super::record::{AnswerTraits, Tokens};
use shakedown_observe::Peculiarities;

/// The captured values of an iteration, and whether an answer's body is hidden.
type Secrets = (Option<Rc<Vec<Option<Captured>>>>, bool);

/// One TCP connection, or one stream of an HTTP/2 connection, as the lane sees it.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) job: Cell<Option<Job>>,
    /// The number of the waiting request that it was opened for. It serves that request first, and fails it if it cannot be
    /// made, as the connection of an independent user does.
    pub(super) opened_for: Cell<Option<u64>>,
    /// The tokens of the current answer.
    pub(super) tokens: RefCell<Option<Box<Tokens>>>,
    /// When the head of the current answer arrived, in nanoseconds since the load's start. 0 until then.
    pub(super) head_ns: Cell<u64>,
    /// The properties of the current answer.
    pub(super) traits: Cell<AnswerTraits>,
    /// The group that the current answer named.
    pub(super) group: Cell<Option<u16>>,
    /// The captured values that the sample of the last failed step must not show, and whether its body is hidden.
    pub(super) secrets: Cell<Option<Secrets>>,
    /// The parts of the current answer that a sample would show.
    pub(super) excerpt: RefCell<Excerpt>,
    waker: RefCell<Option<Waker>>,
    pub(super) index: Cell<usize>,
    /// The remote address, and its index among the addresses that the lane counts.
    pub(super) address: Cell<Option<(SocketAddr, usize)>>,
    /// When the kernel received the bytes that were read last, if it says so.
    pub(super) arrived: Cell<Option<Instant>>,
    /// It waits for the network in the middle of a request or an answer, and has to continue at once.
    pub(super) is_busy: Cell<bool>,
    /// It is a TCP connection, not a further stream of one.
    pub(super) is_tcp: bool,
    /// Its address was removed: it takes no further request.
    pub(super) is_retired: Cell<bool>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Connection").field("job", &self.job).field("index", &self.index).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection, with or without a request to send. `index` is its position in the lane's list.
    pub(super) fn new(job: Option<Job>, index: usize) -> Self {
        Self { job: Cell::new(job), index: Cell::new(index), is_tcp: true, ..Self::default() }
    }

    /// Another stream on the connection of `first`.
    pub(super) fn stream_of(first: &Self, index: usize) -> Self {
        Self { address: first.address.clone(), is_tcp: false, ..Self::new(None, index) }
    }

    /// Its address was removed. The task that waits for its next request closes it.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits until there is a request to send.
    pub(super) async fn wait(&self) {
        std::future::poll_fn(|context| self.poll_job(context)).await;
    }

    /// Ready when there is a request to send, or when the connection takes no further request.
    pub(super) fn poll_job(&self, context: &Context<'_>) -> Poll<()> {
        if self.job.get().is_some() || self.is_retired.get() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// The request under way.
    pub(super) fn job(&self) -> Option<Job> {
        self.job.get()
    }

    /// Its request, if it has one already, waited for its tunnel, in nanoseconds.
    pub(super) fn waited_for_tunnel(&self, waited_ns: u64) {
        self.job.set(self.job.get().map(|job| job.after_setup(waited_ns)));
    }

    /// Takes the request that has just ended.
    pub(super) fn take(&self) -> Option<Ended> {
        let job = self.job.take()?;
        let sent_ns = job.sent_ns();
        let head_ns = self.head_ns.take();
        let first_byte_us = (head_ns > 0).then(|| micros(head_ns.saturating_sub(sent_ns)));
        Some(Ended {
            job,
            tokens: self.tokens.take(),
            first_byte_us,
            is_stuck: false,
            traits: self.traits.take(),
            group: self.group.take(),
        })
    }

    /// Assigns a request.
    pub(super) fn give(&self, job: Job) {
        self.tokens.take();
        self.head_ns.set(0);
        self.traits.take();
        self.group.set(None);
        self.excerpt.borrow_mut().clear();
        self.job.set(Some(job));
        // A task that is not waiting finds the request by itself.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A request that ended, and the properties of its answer.
pub(super) struct Ended {
    pub(super) job: Job,
    pub(super) tokens: Option<Box<Tokens>>,
    pub(super) first_byte_us: Option<u32>,
    pub(super) is_stuck: bool,
    pub(super) traits: AnswerTraits,
    pub(super) group: Option<u16>,
}

impl Ended {
    /// A request that was never sent.
    pub(super) fn unsent(job: Job) -> Self {
        Self { job, tokens: None, first_byte_us: None, is_stuck: false, traits: AnswerTraits::default(), group: None }
    }
}

/// Numbers of one load for other threads. Each lane has its own, so that none waits for another.
#[derive(Debug)]
pub(super) struct Gauges {
    in_flight: Vec<Padded>,
    answered_ns: Vec<Padded>,
    pub(super) resent: AtomicU64,
    /// The deviations of answers from the API, as bits.
    peculiarities: AtomicU32,
    /// For each of several requests: how many succeeded and how many failed.
    requests: Vec<[AtomicU64; 2]>,
}

/// On its own cache line (two, because processors prefetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Gauges {
    pub(super) fn new(parts: usize, requests: usize) -> Self {
        let numbers = || (0..parts).map(|_| Padded::default()).collect();
        Self {
            in_flight: numbers(),
            answered_ns: numbers(),
            resent: AtomicU64::new(0),
            peculiarities: AtomicU32::new(0),
            requests: (0..requests).map(|_| Default::default()).collect(),
        }
    }

    /// Counts the end of the request with this index.
    pub(super) fn count(&self, place: usize, failed: bool) {
        if let Some(counts) = self.requests.get(place) {
            counts[usize::from(failed)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of each request succeeded, and how many failed.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.requests.iter().map(|[good, bad]| (good.load(Ordering::Relaxed), bad.load(Ordering::Relaxed)))
    }

    /// Records deviations of an answer from the API.
    pub(super) fn note(&self, odd: Peculiarities) {
        self.peculiarities.fetch_or(odd.bits(), Ordering::Relaxed);
    }

    /// All deviations of answers from the API so far.
    pub(super) fn peculiarities(&self) -> Peculiarities {
        Peculiarities::from_bits(self.peculiarities.load(Ordering::Relaxed))
    }

    /// Publishes the number of requests under way of a lane.
    pub(super) fn show(&self, part: usize, in_flight: usize) {
        self.in_flight[part].0.store(in_flight as u64, Ordering::Relaxed);
    }

    /// Publishes that every request of a lane that was due before this moment has ended.
    pub(super) fn show_answered(&self, part: usize, answered_ns: u64) {
        self.answered_ns[part].0.store(answered_ns, Ordering::Relaxed);
    }

    /// The moment before which every due request has ended, in nanoseconds since the load's start.
    pub(super) fn answered_ns(&self) -> u64 {
        self.answered_ns.iter().map(|part| part.0.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX)
    }

    /// Requests under way now.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.iter().map(|part| part.0.load(Ordering::Relaxed)).sum()
    }
}
