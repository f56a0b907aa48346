//! A request on its way, and the small things that the lane, its connections and the engine's other threads share.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use super::record::Tokens;

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Its number in the load, from 0. Everything that is different from request to request follows from it.
    pub(super) number: u64,
    /// In nanoseconds since the load's start.
    pub(super) due_ns: u64,
    /// Requests under way when it was issued, with it.
    pub(super) in_flight: u32,
    /// How late the engine was with it, in microseconds; none until that is known, and for one that cannot be late.
    pub(super) late_us: Option<u32>,
    /// From its due moment to when it was sent, in microseconds; none until it is sent.
    pub(super) sent_us: Option<u32>,
    /// It can be late.
    pub(super) can_be_late: bool,
    /// Was given to a connection that turned out to be dead before anything was written.
    pub(super) resent: bool,
}

impl Job {
    /// The engine's own delay ends now.
    pub(super) fn end_lateness(&mut self, now_ns: u64) {
        if self.can_be_late && self.late_us.is_none() {
            self.late_us = Some(micros(now_ns.saturating_sub(self.due_ns)));
        }
    }
}

/// One connection, as the lane sees it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) job: Cell<Option<Job>>,
    /// What the request under way has brought.
    pub(super) tokens: RefCell<Option<Box<Tokens>>>,
    /// When the head of its answer was there, in nanoseconds since the load's start; 0 until then.
    pub(super) head_ns: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    pub(super) index: Cell<usize>,
}

impl Slot {
    /// A connection that has a request to send already, or none yet; `index` is its place in the lane's list.
    pub(super) fn new(job: Option<Job>, index: usize) -> Self {
        Self { job: Cell::new(job), index: Cell::new(index), ..Self::default() }
    }

    /// Waits until there is a request to send.
    pub(super) async fn wait(&self) {
        std::future::poll_fn(|context| self.poll_job(context)).await;
    }

    /// Ready when there is a request to send.
    pub(super) fn poll_job(&self, context: &Context<'_>) -> Poll<()> {
        if self.job.get().is_some() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// The request under way.
    pub(super) fn job(&self) -> Option<Job> {
        self.job.get()
    }

    /// Gives it a request to send.
    pub(super) fn give(&self, job: Job) {
        self.tokens.take();
        self.head_ns.set(0);
        self.job.set(Some(job));
        // One that is not waiting comes to it by itself.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What several threads show of one load: a number each, so that none waits for another.
#[derive(Debug)]
pub(super) struct Gauges {
    in_flight: Vec<Padded>,
    answered_ns: Vec<Padded>,
    pub(super) resent: AtomicU64,
    /// How many of each of several requests succeeded, and how many failed.
    requests: Vec<[AtomicU64; 2]>,
}

/// On a cache line of its own (two, because processors fetch them in pairs).
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
            requests: (0..requests).map(|_| Default::default()).collect(),
        }
    }

    /// Counts the end of the request at this place among several.
    pub(super) fn count(&self, place: usize, failed: bool) {
        if let Some(counts) = self.requests.get(place) {
            counts[usize::from(failed)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of each request succeeded, and how many failed.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.requests.iter().map(|[good, bad]| (good.load(Ordering::Relaxed), bad.load(Ordering::Relaxed)))
    }

    /// Shows how many requests of a part are under way.
    pub(super) fn show(&self, part: usize, in_flight: usize) {
        self.in_flight[part].0.store(in_flight as u64, Ordering::Relaxed);
    }

    /// Shows that every request of a part that was due before this moment has ended.
    pub(super) fn show_answered(&self, part: usize, answered_ns: u64) {
        self.answered_ns[part].0.store(answered_ns, Ordering::Relaxed);
    }

    /// Every request that was due before this moment has ended, in nanoseconds since the load's start.
    pub(super) fn answered_ns(&self) -> u64 {
        self.answered_ns.iter().map(|part| part.0.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX)
    }

    /// Requests under way now.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.iter().map(|part| part.0.load(Ordering::Relaxed)).sum()
    }
}

/// Nanoseconds in whole microseconds; beyond an hour it stays at the largest value.
pub(super) fn micros(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / 1000).unwrap_or(u32::MAX)
}
