//! One load on one engine thread: which requests are due, which wait, and which connection takes the next one. Touches
//! no socket itself; `connection` does.
//!
//! Requests that are due and find no idle connection wait in one queue, in order. Whatever becomes free first, an
//! answered connection or a new one, takes the request that waits longest. New connections are opened a few at a time,
//! because one connection per waiting request makes a service (and the engine) that is late for a moment collapse.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connection;
use super::names::Names;
use super::record::{Ledger, Record, Tokens};
use super::schedule::Schedule;
use super::shard::Control;
use super::slot::{Gauges, Job, Slot, count_lateness, micros};
use super::target::Target;
use crate::observe::{Failure, Histogram};

/// So many connections may be in the making at once, per load and thread. One that takes longer than
/// [`connection::YOUNG`] is waiting for the network, costs nothing, and no longer counts. Few, because an engine that
/// is late for a moment would otherwise answer with hundreds of connections, which make it later still.
const MAX_YOUNG: usize = 4;

/// An open loop may have a connection more than it ever had so often, and so many at once.
const GROWTH_NS: u64 = 1_000_000;
const GROWTH_AT_ONCE: u64 = 32;

/// When the pacer is late by this much, the engine has too little of the processor. Then requests wait for the engine,
/// not for the service, and more connections would only cost more: for a moment there are none.
const BUSY_NS: u64 = 1_000_000;
const BUSY_PAUSE_NS: u64 = 5_000_000;

/// A closed-loop worker that could not connect waits so long before it tries again. Otherwise a service that is down
/// would be asked without pause, and its refusals would outnumber every other answer.
const PAUSE_NS: u64 = 10_000_000;

/// How long no new connection is tried after the process ran out of file descriptors.
const NO_FILES_NS: u64 = 50_000_000;

/// What a lane needs to begin.
#[derive(Debug)]
pub(super) struct LaneStart {
    pub(super) target: Arc<Target>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) gauges: Arc<Gauges>,
    /// Which of the load's lanes this is, and of how many.
    pub(super) part: usize,
    pub(super) parts: usize,
    /// How many requests it may have under way at once.
    pub(super) limit: usize,
    /// The open loop's schedule; none for a closed loop, whose workers are as many as `limit`.
    pub(super) schedule: Option<Schedule>,
    pub(super) zero: Instant,
}

/// One load on one thread.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) target: Arc<Target>,
    ledger: Arc<Ledger>,
    gauges: Arc<Gauges>,
    part: usize,
    parts: usize,
    limit: usize,
    zero: Instant,
    timeout_ns: u64,
    /// How long a request is listened to: its timeout, or longer where somebody asks what never ends.
    patience_ns: u64,
    state: RefCell<State>,
    control: Arc<Control>,
    pub(super) names: RefCell<Names>,
}

#[derive(Debug)]
struct State {
    schedule: Option<Schedule>,
    /// The number of the next request: the lanes' requests take turns, as those of their schedules do.
    next_number: u64,
    /// Due and not yet with a connection, in order of being due.
    waiting: VecDeque<Job>,
    /// Issued and not ended.
    open: usize,
    slots: Vec<Rc<Slot>>,
    idle: Vec<Rc<Slot>>,
    /// Connections that are being made for those that wait, and all that count against [`MAX_YOUNG`].
    connecting: usize,
    young: usize,
    /// When closed-loop workers that pause go on.
    pausing: VecDeque<u64>,
    no_files_until_ns: u64,
    /// The most connections that there were at once, and when that many may be one more if none is saved up.
    most_slots: usize,
    may_grow_ns: u64,
    next_address: usize,
    stop_ns: u64,
    records: Vec<Record>,
    lateness: Histogram,
}

impl State {
    /// True when another connection would be one more than there ever were in an open loop. Replacing those that a
    /// server closes is not limited, and a closed loop has as many as it has workers.
    fn is_growing(&self) -> bool {
        self.schedule.is_some() && self.slots.len() >= self.most_slots
    }

    /// From when on another connection may be opened.
    fn may_open_ns(&self) -> u64 {
        let may_grow_ns = self.may_grow_ns.saturating_sub(GROWTH_AT_ONCE * GROWTH_NS);
        if self.is_growing() { self.no_files_until_ns.max(may_grow_ns) } else { self.no_files_until_ns }
    }
}

impl Lane {
    pub(super) fn new(start: LaneStart, control: Arc<Control>) -> Rc<Self> {
        let closed = start.schedule.is_none();
        let timeout_ns = nanoseconds(start.target.timeout);
        Rc::new(Self {
            ledger: start.ledger,
            gauges: start.gauges,
            part: start.part,
            parts: start.parts,
            limit: start.limit,
            zero: start.zero,
            timeout_ns,
            patience_ns: nanoseconds(start.target.timeout.mul_f64(start.target.linger)),
            state: RefCell::new(State {
                schedule: start.schedule,
                next_number: start.part as u64,
                waiting: VecDeque::new(),
                open: 0,
                slots: Vec::new(),
                idle: Vec::new(),
                connecting: 0,
                young: 0,
                pausing: if closed { std::iter::repeat_n(0, start.limit).collect() } else { VecDeque::new() },
                no_files_until_ns: 0,
                most_slots: 0,
                may_grow_ns: 0,
                // The threads begin with different addresses.
                next_address: start.part,
                stop_ns: u64::MAX,
                records: Vec::new(),
                lateness: Histogram::default(),
            }),
            control,
            names: RefCell::default(),
            target: start.target,
        })
    }

    /// Nanoseconds since the load's start.
    pub(super) fn now_ns(&self) -> u64 {
        nanoseconds(self.zero.elapsed())
    }

    /// When a request is given up.
    pub(super) fn deadline(&self, job: &Job) -> Instant {
        self.zero + Duration::from_nanos(job.due_ns.saturating_add(self.patience_ns))
    }

    /// Requests that are due from `stop_ns` on are not issued.
    pub(super) fn stop(&self, stop_ns: u64) {
        self.state.borrow_mut().stop_ns = stop_ns;
    }

    /// What the pacer does at each tick: issues what is due, gives up what waited too long, and hands out the rest.
    /// `lag_ns` says how much later it comes than it wanted to.
    pub(super) fn tick(self: &Rc<Self>, now_ns: u64, lag_ns: u64) {
        let mut state = self.state.borrow_mut();
        if lag_ns >= BUSY_NS && state.most_slots as u64 >= GROWTH_AT_ONCE {
            state.may_grow_ns = state.may_grow_ns.max(now_ns + BUSY_PAUSE_NS + GROWTH_AT_ONCE * GROWTH_NS);
        }
        let end_ns = state.stop_ns.min(now_ns.saturating_add(1));
        let mut issued = 0;
        while let Some(due_ns) = state.schedule.as_mut().and_then(|schedule| schedule.take_before(end_ns)) {
            self.issue(&mut state, due_ns);
            issued += 1;
        }
        while state.pausing.front().is_some_and(|at| *at <= now_ns) {
            state.pausing.pop_front();
            if now_ns < state.stop_ns {
                self.issue(&mut state, now_ns);
            }
        }
        // One that waits for a connection in the making has the network to blame, any other our own limit.
        let is_ours = state.connecting == 0;
        while state.waiting.front().is_some_and(|job| self.is_over(job, now_ns)) {
            if let Some(job) = state.waiting.pop_front() {
                let failure = if is_ours { Failure::NotSent } else { Failure::Timeout };
                self.end(&mut state, &job, None, Some(failure), now_ns);
            }
        }
        drop(state);
        self.pump();
        // Those that an idle connection took are as late as it sends them. The others wait for a connection, which is
        // the service's time, so the engine's delay ends here.
        let mut state = self.state.borrow_mut();
        let State { waiting, lateness, .. } = &mut *state;
        for job in waiting.iter_mut().rev().take(issued) {
            count_lateness(lateness, job, now_ns);
        }
    }

    /// When the pacer must come again, in nanoseconds since the load's start.
    pub(super) fn next_tick_ns(&self) -> u64 {
        let state = self.state.borrow();
        let due = state.schedule.as_ref().map(Schedule::due_ns).filter(|due| *due < state.stop_ns);
        let over = state.waiting.front().map(|job| job.due_ns.saturating_add(self.timeout_ns));
        let pause = state.pausing.front().copied();
        let wants_more = self.lacks_connections(&state) && state.slots.len() < self.limit;
        let open = (wants_more && state.young < MAX_YOUNG).then(|| state.may_open_ns());
        [due, over, pause, open].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// True when all requests that were issued have ended.
    pub(super) fn is_drained(&self) -> bool {
        self.state.borrow().open == 0
    }

    /// Gives up everything that is under way.
    pub(super) fn halt(&self, now_ns: u64) {
        let mut state = self.state.borrow_mut();
        state.stop_ns = state.stop_ns.min(now_ns);
        let slots = std::mem::take(&mut state.slots);
        for slot in &slots {
            if let Some(mut job) = slot.job.take() {
                count_lateness(&mut state.lateness, &mut job, now_ns);
                let tokens = slot.tokens.take();
                self.end(&mut state, &job, tokens, Some(Failure::Unfinished), now_ns);
                if let Some(record) = state.records.last_mut() {
                    record.is_stuck = true;
                }
            }
        }
        while let Some(job) = state.waiting.pop_front() {
            self.end(&mut state, &job, None, Some(Failure::Unfinished), now_ns);
        }
        state.idle.clear();
    }

    /// Hands the requests that ended over to the ledger, and shows since when there are others.
    pub(super) fn flush(&self, now_ns: u64) {
        let mut state = self.state.borrow_mut();
        let due = state.slots.iter().filter_map(|slot| slot.job()).chain(state.waiting.iter().take(1).copied());
        let oldest_ns = due.map(|job| job.due_ns).min();
        let next_ns = state.schedule.as_ref().map(Schedule::due_ns);
        self.gauges.show_answered(self.part, [oldest_ns, next_ns].into_iter().flatten().fold(now_ns, u64::min));
        let State { records, lateness, .. } = &mut *state;
        self.ledger.take(records, lateness, now_ns);
    }

    fn is_over(&self, job: &Job, now_ns: u64) -> bool {
        now_ns >= job.due_ns.saturating_add(self.timeout_ns)
    }

    fn issue(&self, state: &mut State, due_ns: u64) {
        state.open += 1;
        self.show(state);
        // In a closed loop a request is due when it is sent.
        let lateness_open = state.schedule.is_some();
        let in_flight = u32::try_from(self.gauges.in_flight()).unwrap_or(u32::MAX);
        let number = state.next_number;
        state.next_number += self.parts as u64;
        state.waiting.push_back(Job { number, due_ns, in_flight, lateness_open, resent: false });
    }

    fn show(&self, state: &State) {
        // Those beyond the limit wait here; they are not under way.
        self.gauges.show(self.part, state.open.min(self.limit));
    }

    /// Counts a request that ended. A closed-loop worker issues its next one.
    fn end(&self, state: &mut State, job: &Job, tokens: Option<Box<Tokens>>, failure: Option<Failure>, now_ns: u64) {
        let mut took_ns = now_ns.saturating_sub(job.due_ns);
        if failure == Some(Failure::Timeout) && self.patience_ns > self.timeout_ns {
            // However long it was listened to, its client gave it up at its timeout.
            took_ns = took_ns.min(self.timeout_ns);
        }
        state.records.push(Record {
            due_ns: job.due_ns,
            latency_us: micros(took_ns),
            tokens,
            in_flight: job.in_flight,
            failure,
            is_stuck: false,
        });
        if self.target.requests.have_names() {
            self.gauges.count(self.target.requests.choose(job.number), failure.is_some());
        }
        state.open -= 1;
        if state.schedule.is_none() && now_ns < state.stop_ns {
            match failure {
                Some(Failure::Dns | Failure::Refused | Failure::Connect | Failure::Tls) => {
                    state.pausing.push_back(now_ns + PAUSE_NS);
                    self.control.wake();
                }
                _ => self.issue(state, now_ns),
            }
        }
        self.show(state);
    }

    /// Gives waiting requests to idle connections, the one used last first, and opens new ones while some still wait.
    fn pump(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        while !state.waiting.is_empty() {
            let Some(slot) = state.idle.pop() else { break };
            if let Some(job) = state.waiting.pop_front() {
                slot.give(job);
            }
        }
        if !self.lacks_connections(&state) {
            return;
        }
        let now_ns = self.now_ns();
        while self.lacks_connections(&state)
            && state.slots.len() < self.limit
            && state.young < MAX_YOUNG
            && now_ns >= state.may_open_ns()
        {
            if state.is_growing() {
                state.may_grow_ns = state.may_grow_ns.max(now_ns) + GROWTH_NS;
            }
            self.open(&mut state, None);
        }
    }

    /// True when more requests wait than the connections in the making will take.
    fn lacks_connections(&self, state: &State) -> bool {
        state.connecting.saturating_mul(self.target.per_connection()) < state.waiting.len()
    }

    fn open(self: &Rc<Self>, state: &mut State, job: Option<Job>) {
        let slot = Rc::new(Slot::new(job, state.slots.len()));
        state.slots.push(Rc::clone(&slot));
        state.most_slots = state.most_slots.max(state.slots.len());
        state.connecting += usize::from(job.is_none());
        state.young += 1;
        tokio::task::spawn_local(connection::run(Rc::clone(self), slot));
    }

    /// A connection in the making takes longer: another may be tried meanwhile.
    pub(super) fn connecting_is_slow(self: &Rc<Self>) {
        self.state.borrow_mut().young -= 1;
        self.pump();
    }

    /// A connection is no longer in the making.
    pub(super) fn connected(&self, slot: &Slot, was_young: bool) {
        let mut state = self.state.borrow_mut();
        state.connecting -= usize::from(slot.job().is_none());
        state.young -= usize::from(was_young);
    }

    /// A connection could not be made. The request that waits longest fails with it: it was opened for its sake.
    /// Without a `failure` nobody does.
    pub(super) fn connect_failed(self: &Rc<Self>, slot: &Slot, was_young: bool, failure: Option<Failure>) {
        self.connected(slot, was_young);
        let now_ns = self.now_ns();
        let mut state = self.state.borrow_mut();
        // Unless the others in the making are enough for all that wait: an answered connection took it instead.
        let is_needed = failure.is_some() && self.lacks_connections(&state);
        let job = slot.job.take().or_else(|| if is_needed { state.waiting.pop_front() } else { None });
        if let Some(job) = job {
            self.end(&mut state, &job, None, Some(failure.unwrap_or(Failure::Timeout)), now_ns);
        }
        drop(state);
        self.closed(slot);
    }

    /// No connection could be made because the process has no file descriptor left. That is no fault of the service:
    /// requests wait for a connection as they do at the limit.
    pub(super) fn out_of_files(self: &Rc<Self>, slot: &Slot, was_young: bool) {
        self.connected(slot, was_young);
        let mut state = self.state.borrow_mut();
        state.no_files_until_ns = self.now_ns() + NO_FILES_NS;
        if let Some(job) = slot.job.take() {
            state.waiting.push_front(job);
        }
        drop(state);
        self.closed(slot);
    }

    /// The address for the next connection, of several in turn.
    pub(super) fn turn(&self) -> usize {
        let mut state = self.state.borrow_mut();
        state.next_address = state.next_address.wrapping_add(1);
        state.next_address
    }

    /// Another stream on a connection that is there, as long as there may be more under way at once.
    pub(super) fn add_stream(&self) -> Option<Rc<Slot>> {
        let mut state = self.state.borrow_mut();
        (state.slots.len() < self.limit).then(|| {
            let slot = Rc::new(Slot::new(None, state.slots.len()));
            state.slots.push(Rc::clone(&slot));
            state.most_slots = state.most_slots.max(state.slots.len());
            slot
        })
    }

    /// The connection is free: it takes the request that waits longest, or becomes idle. False when it is to be closed
    /// instead: it was made for one request, and none waits.
    pub(super) fn free(self: &Rc<Self>, slot: &Rc<Slot>) -> bool {
        let mut state = self.state.borrow_mut();
        match state.waiting.pop_front() {
            Some(job) => slot.give(job),
            None if self.target.fresh => return false,
            None => {
                state.idle.push(Rc::clone(slot));
                return true;
            }
        }
        drop(state);
        self.pump();
        true
    }

    /// The connection begins to send its request.
    pub(super) fn sending(&self, slot: &Slot) {
        if let Some(mut job) = slot.job.get().filter(|job| job.lateness_open) {
            count_lateness(&mut self.state.borrow_mut().lateness, &mut job, self.now_ns());
            slot.job.set(Some(job));
        }
    }

    /// So many pieces with tokens have come by now, and the server counts so many tokens.
    pub(super) fn tokens(&self, slot: &Slot, pieces: u64, counted: Option<u64>) {
        if let Some(job) = slot.job.get()
            && (pieces > 0 || counted.is_some())
        {
            let mut tokens = slot.tokens.borrow_mut();
            tokens.get_or_insert_default().see(job.due_ns, self.now_ns(), pieces, counted);
        }
    }

    /// The connection's request came to no end within all the time that it was given.
    pub(super) fn gave_up(self: &Rc<Self>, slot: &Slot) {
        self.ended(slot, Some(Failure::Timeout), true);
    }

    /// The connection's request ended.
    pub(super) fn answered(self: &Rc<Self>, slot: &Slot, failure: Option<Failure>) {
        self.ended(slot, failure, false);
    }

    fn ended(self: &Rc<Self>, slot: &Slot, failure: Option<Failure>, is_stuck: bool) {
        let Some(job) = slot.job.take() else { return };
        let now_ns = self.now_ns();
        // An answer whose last byte is read after the timeout came too late, whoever noticed first.
        let failure = if self.is_over(&job, now_ns) { Some(Failure::Timeout) } else { failure };
        let mut state = self.state.borrow_mut();
        self.end(&mut state, &job, slot.tokens.take(), failure, now_ns);
        if let (true, Some(record)) = (is_stuck, state.records.last_mut()) {
            record.is_stuck = true;
        }
        if state.records.len() >= 4096 {
            drop(state);
            self.flush(now_ns);
        }
    }

    /// The connection was dead before a byte of the request was written: the server had closed it while it was idle,
    /// which is no failure of the service. The request goes out once more, on a new connection.
    pub(super) fn resend(self: &Rc<Self>, slot: &Slot) {
        let Some(job) = slot.job.get() else { return };
        if job.resent {
            return self.answered(slot, Some(Failure::Reset));
        }
        slot.job.set(None);
        self.gauges.resent.fetch_add(1, Ordering::Relaxed);
        self.open(&mut self.state.borrow_mut(), Some(Job { resent: true, ..job }));
    }

    /// The connection is gone.
    pub(super) fn closed(self: &Rc<Self>, slot: &Slot) {
        self.answered(slot, Some(Failure::Reset));
        let mut state = self.state.borrow_mut();
        if let Some(at) = state.idle.iter().position(|idle| std::ptr::eq(&**idle, slot)) {
            state.idle.swap_remove(at);
        }
        let at = slot.index.get();
        if state.slots.get(at).is_some_and(|known| std::ptr::eq(&**known, slot)) {
            state.slots.swap_remove(at);
            if let Some(moved) = state.slots.get(at) {
                moved.index.set(at);
            }
        }
        drop(state);
        self.pump();
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
