//! One load on one engine thread: which requests are due, which wait, and which connection takes the next one. A lane
//! touches no socket itself: a function that it receives makes connections (`connect`), and the protocols use it through a
//! `handle`.
//!
//! Requests that are due and find no idle connection wait in one queue, in order. A connection that is idle again takes
//! the request that has waited longest; a new one first takes the one that it was opened for. Only a few new connections
//! are opened at a time: with one connection per waiting request, a service (or the engine) that is late for a moment
//! would collapse.

mod addresses;
mod outcome;
#[cfg(test)]
mod tests;
mod tunnelled;

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, Ended, Gauges};
use super::control::Control;
use super::failure::Failed;
use super::group::Parts;
use super::job::Job;
use super::names::Names;
use super::pacing::Starter;
use super::record::{Batch, Ledger, segment_key};
use super::session::Sessions;
use super::target::Target;
use shakedown_observe::{Failure, Marks, MarksSnapshot};
use tunnelled::Tunnelled;

/// The most connections in the making at the same time, per load and thread. A connection that takes longer than
/// [`super::connect::YOUNG`] is waiting for the network, costs nothing, and no longer counts. The limit is low, because an
/// engine that is late for a moment would otherwise open hundreds of connections, which make it later still.
const MAX_YOUNG: usize = 4;

/// How often an open loop may exceed its previous maximum of connections by one, and how many it may save up. A lower rate
/// would distort the measurement: until 2 s have passed, a service that begins to take 2 s per answer looks like one that
/// hangs, and the time that requests wait here would count as the service's latency. The price: a server that hung finds
/// one connection to accept per request.
const GROWTH_NS: u64 = 1_000_000;
const GROWTH_AT_ONCE: u64 = 32;

/// When the pacer is this late, the engine lacks processor time. Requests then wait for the engine, not for the service,
/// and more connections would make it worse: no connection is opened for a moment.
const BUSY_NS: u64 = 1_000_000;
const BUSY_PAUSE_NS: u64 = 5_000_000;

/// The pause before the next connection attempt after the process ran out of file descriptors or ports.
const NO_FILES_NS: u64 = 50_000_000;

/// Requests that are due within this time are due and sent together, because a wake-up costs more than a request. This moves
/// no request below 4,000 per second. Bursts of a quarter of a millisecond are the schedule's own, so they add nothing to
/// the measured latency.
const COALESCE_NS: u64 = 250_000;

/// The pause before the next connection to an address without one, after a connection attempt failed.
const SPREAD_PAUSE_NS: u64 = 1_000_000_000;

/// The size of the read buffer, in bytes.
const BUFFER: usize = 64 << 10;

/// How long answers are read at once after a large one.
const LARGE_NS: u64 = 1_000_000_000;

/// The number of ended requests that are counted together.
const BATCH: usize = 1024;

/// Starts to make a connection, and returns at once.
pub(super) type Opens = fn(Rc<Lane>, Rc<Connection>);

/// The input of a new lane.
#[derive(Debug)]
pub(super) struct LaneStart {
    pub(super) target: Arc<Target>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) marks: Arc<Marks>,
    /// The index of the lane among those of this engine's load.
    pub(super) part: usize,
    /// The share of the whole load that the lane sends: its index and the number of shares.
    pub(super) of_all: (usize, usize),
    /// The limit of requests under way.
    pub(super) limit: usize,
    /// Starts the requests.
    pub(super) starter: Starter,
    pub(super) zero: Instant,
}

/// One load on one thread.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) target: Arc<Target>,
    ledger: Arc<Ledger>,
    gauges: Arc<Gauges>,
    marks: Arc<Marks>,
    part: usize,
    /// The number of lanes of the whole load, on all machines.
    lanes: usize,
    limit: usize,
    is_open: bool,
    zero: Instant,
    timeout_ns: u64,
    /// The observation timeout: the request's timeout, or longer if an expectation counts requests that never end.
    observation_timeout_ns: u64,
    state: RefCell<LaneState>,
    control: Arc<Control>,
    opens: Opens,
    /// It may read answers later than they arrive, because the kernel knows when they arrived and nothing waits for them.
    pub(super) naps: bool,
    /// The moment of the last read is known. The kernel begins to stamp some time after it was asked to.
    has_stamps: Cell<bool>,
    /// The number of connections that have to continue at once.
    busy: Cell<usize>,
    /// Until when answers are read at once, because one was large.
    large_until_ns: Cell<u64>,
    /// The step that the latest connection attempt waits for, in words.
    pub(super) making: Cell<&'static str>,
    /// The number of addresses of the service, as far as known.
    pub(super) spread: Cell<usize>,
    pub(super) names: RefCell<Names>,
    /// The iterations of users between their steps.
    pub(super) sessions: Sessions,
    /// The breakdown of the requests.
    parts: Parts,
    /// The read buffer, shared by the connections.
    pub(super) buffer: RefCell<Box<[u8]>>,
}

/// The segment in which a request is counted: its beginning, and the phase of the fault that struck while the request was
/// in flight.
type SegmentKey = (u64, Option<usize>);

#[derive(Debug)]
struct LaneState {
    starter: Starter,
    /// The marks and strikes that the lane follows.
    known: MarksSnapshot,
    /// The number of the next request. The lanes take turns, as their schedules do.
    next_number: u64,
    /// Requests that are due and have no connection yet, in order of their due moments.
    waiting: VecDeque<Job>,
    /// The number of requests that were issued and have not ended.
    open: usize,
    connections: Vec<Rc<Connection>>,
    idle: Vec<Rc<Connection>>,
    /// Connections being made for waiting requests, and all that count against [`MAX_YOUNG`].
    connecting: usize,
    young: usize,
    no_files_until_ns: u64,
    /// The maximum number of connections so far, and when it may grow by one if no growth is saved up.
    max_connections: usize,
    may_grow_ns: u64,
    next_address: usize,
    stop_ns: u64,
    /// When the group of requests that are due together is sent.
    group_ns: u64,
    /// The number of issued requests, and the outcomes since the last flush.
    issued: u64,
    batch: Batch,
    /// From when another `Date` header is recorded.
    next_date_ns: u64,
    /// The failures that have a sample, with their segments.
    sampled: HashSet<(SegmentKey, Failure)>,
    /// The number of TCP connections, regardless of their streams.
    tcp_connections: usize,
    /// The addresses of a followed service at the last check.
    followed: Arc<[SocketAddr]>,
    /// From when the lane may open a connection only because an address has none.
    may_spread_ns: u64,
    /// The number of new addresses that have no connection yet.
    unconnected: usize,
    /// When tunnels were being opened for waiting requests.
    tunnelled: Tunnelled,
}

impl LaneState {
    /// The request that a new connection was opened for, if it still waits.
    fn take_own(&mut self, connection: &Connection) -> Option<Job> {
        let number = connection.opened_for.take()?;
        let at = self.waiting.iter().position(|job| job.number == number)?;
        self.waiting.remove(at)
    }

    /// True when another connection would exceed the previous maximum of an open loop. Replacing connections that a server
    /// closes is not limited, and a closed loop has as many connections as workers.
    fn is_growing(&self) -> bool {
        self.starter.is_open() && self.connections.len() >= self.max_connections
    }

    /// The segment of a failure, if there is no sample of its kind yet.
    fn unseen(&self, due_ns: u64, end_ns: u64, kind: Failure) -> Option<SegmentKey> {
        let place = segment_key(&self.known.marks, &self.known.strikes, due_ns, end_ns);
        (!self.sampled.contains(&(place, kind))).then_some(place)
    }

    /// When another connection may be opened.
    fn may_open_ns(&self) -> u64 {
        let may_grow_ns = self.may_grow_ns.saturating_sub(GROWTH_AT_ONCE * GROWTH_NS);
        if self.is_growing() { self.no_files_until_ns.max(may_grow_ns) } else { self.no_files_until_ns }
    }
}

impl Lane {
    pub(super) fn new(start: LaneStart, control: Arc<Control>, opens: Opens) -> Rc<Self> {
        let timeout_ns = nanoseconds(start.target.timeout);
        let target = &start.target;
        let steps = target.requests.names().filter(|_| target.requests.are_steps);
        let (parts, labels) = Parts::new(steps, target.group.is_some());
        Rc::new(Self {
            ledger: start.ledger,
            gauges: start.gauges,
            marks: start.marks,
            part: start.part,
            lanes: start.of_all.1,
            limit: start.limit,
            is_open: start.starter.is_open(),
            naps: cfg!(target_os = "linux") && start.starter.is_open() && start.target.can_wait_for_answers(),
            has_stamps: Cell::new(false),
            busy: Cell::new(0),
            large_until_ns: Cell::new(0),
            zero: start.zero,
            timeout_ns,
            observation_timeout_ns: nanoseconds(start.target.timeout.mul_f64(start.target.observed_timeouts)),
            state: RefCell::new(LaneState {
                starter: start.starter,
                // A version that never occurs, so that the first tick reads the marks.
                known: MarksSnapshot { version: u64::MAX, ..MarksSnapshot::default() },
                next_number: start.of_all.0 as u64,
                waiting: VecDeque::new(),
                open: 0,
                connections: Vec::new(),
                idle: Vec::new(),
                connecting: 0,
                young: 0,
                no_files_until_ns: 0,
                max_connections: 0,
                may_grow_ns: 0,
                // The threads start with different addresses.
                next_address: start.part,
                stop_ns: u64::MAX,
                group_ns: 0,
                issued: 0,
                batch: Batch { labels, ..Batch::default() },
                next_date_ns: 0,
                sampled: HashSet::new(),
                tcp_connections: 0,
                followed: start.target.addresses.now(),
                may_spread_ns: 0,
                unconnected: 0,
                tunnelled: Tunnelled::default(),
            }),
            control,
            opens,
            making: Cell::new(""),
            spread: Cell::new(0),
            names: RefCell::default(),
            sessions: Sessions::default(),
            parts,
            buffer: RefCell::new(vec![0; BUFFER].into()),
            target: start.target,
        })
    }

    /// Nanoseconds since the load's start.
    pub(super) fn now_ns(&self) -> u64 {
        nanoseconds(self.zero.elapsed())
    }

    /// When a request is given up.
    pub(super) fn deadline(&self, job: &Job) -> Instant {
        self.zero + Duration::from_nanos(job.begun_ns().saturating_add(self.observation_timeout_ns))
    }

    /// Stops issuing: requests that are due from `stop_ns` on are not sent.
    pub(super) fn stop(&self, stop_ns: u64) {
        let mut state = self.state.borrow_mut();
        state.stop_ns = state.stop_ns.min(stop_ns);
    }

    /// One tick of the pacer: issues requests that are due, gives up those that waited too long, and assigns the rest to
    /// connections. `lag_ns` is the delay of the tick.
    pub(super) fn tick(self: &Rc<Self>, now_ns: u64, lag_ns: u64) {
        let mut state = self.state.borrow_mut();
        if lag_ns >= BUSY_NS && state.max_connections as u64 >= GROWTH_AT_ONCE {
            state.may_grow_ns = state.may_grow_ns.max(now_ns + BUSY_PAUSE_NS + GROWTH_AT_ONCE * GROWTH_NS);
        }
        // The clock was read before the marks, so all marks up to that moment are known.
        if let Some(known) = self.marks.newer_than(state.known.version) {
            state.stop_ns = known.end_ns.unwrap_or(u64::MAX).min(state.stop_ns);
            state.starter.follow(&known.marks, now_ns);
            state.known = known;
        }
        if self.target.is_followed {
            self.follow(&mut state);
        }
        let end_ns = state.stop_ns.min(now_ns.saturating_add(1));
        let mut issued = 0;
        while let Some(due_ns) = state.starter.due_before(end_ns) {
            let is_grouped = due_ns < state.group_ns && state.group_ns < end_ns;
            let due_ns = if is_grouped { state.group_ns } else { due_ns };
            self.issue(&mut state, due_ns);
            issued += 1;
        }
        while state.waiting.front().is_some_and(|job| self.is_over(job, now_ns)) {
            let failure = self.why_it_waits(&state, now_ns, self.not_connected());
            self.give_up_first(&mut state, failure, now_ns);
        }
        drop(state);
        self.pump();
        // A request that an idle connection took is late until it is sent. The others wait for a connection, which is the
        // service's time, so the engine's delay ends here.
        let mut state = self.state.borrow_mut();
        // If all connections are in the making, the network is what they wait for. So is it for those that wait longest, one
        // for each connection in the making.
        let is_full = state.connections.len() >= self.limit && state.connecting < state.connections.len();
        let served = state.connecting.saturating_mul(self.target.per_connection());
        let first = state.waiting.len().saturating_sub(issued);
        for (place, job) in state.waiting.iter_mut().enumerate().skip(first) {
            job.end_lateness(now_ns);
            job.limited = is_full && place >= served;
        }
    }

    /// The time of the next tick, in nanoseconds since the load's start.
    pub(super) fn next_tick_ns(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        let is_due = state.starter.next_ns().is_some_and(|due| due < state.stop_ns);
        let due = state.starter.release_ns(COALESCE_NS).filter(|_| is_due);
        state.group_ns = due.unwrap_or(0);
        let over = state.waiting.front().map(|job| job.begun_ns().saturating_add(self.timeout_ns));
        let wants_more = self.lacks_connections(&state) && state.connections.len() < self.limit;
        let open = (wants_more && state.young < MAX_YOUNG).then(|| state.may_open_ns());
        [due, over, open].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// True while nothing is lost if answers are read some milliseconds after their arrival. A request that waits for another
    /// one's connection, a connection in the making, a request that does not fit into the socket's buffer, or an answer in
    /// several parts would be delayed by it.
    pub(super) fn can_nap(&self, now_ns: u64) -> bool {
        self.naps
            && self.has_stamps.get()
            && self.busy.get() == 0
            && now_ns >= self.large_until_ns.get()
            && self.can_answers_wait()
    }

    /// False while a request waits for the end of another one, or for a connection in the making.
    fn can_answers_wait(&self) -> bool {
        let state = self.state.borrow();
        state.waiting.is_empty() && state.connecting == 0
    }

    /// The connection read a part of an answer.
    pub(super) fn received(&self, connection: &Connection) {
        self.has_stamps.set(connection.arrived.get().is_some());
    }

    /// The connection has to continue at once, or no longer.
    pub(super) fn busy(&self, connection: &Connection, is_busy: bool) {
        if connection.is_busy.replace(is_busy) != is_busy {
            let busy = self.busy.get();
            self.busy.set(if is_busy { busy + 1 } else { busy - 1 });
        }
    }

    /// An answer is so large that the server may wait for it to be read.
    pub(super) fn large(&self) {
        self.large_until_ns.set(self.now_ns() + LARGE_NS);
    }

    /// When the bytes that the connection read last arrived, or now if that is not known. It is not before the request was
    /// sent.
    fn arrived_ns(&self, connection: &Connection) -> u64 {
        let now_ns = self.now_ns();
        let Some(arrived) = connection.arrived.get() else { return now_ns };
        let sent_ns = connection.job().map_or(0, |job| job.sent_ns());
        nanoseconds(arrived.saturating_duration_since(self.zero)).clamp(sent_ns.min(now_ns), now_ns)
    }

    /// True when all issued requests have ended.
    pub(super) fn is_drained(&self) -> bool {
        self.state.borrow().open == 0
    }

    /// Gives up all requests under way.
    pub(super) fn halt(&self, now_ns: u64) {
        let mut state = self.state.borrow_mut();
        state.stop_ns = state.stop_ns.min(now_ns);
        let connections = std::mem::take(&mut state.connections);
        for connection in &connections {
            if let Some(mut ended) = connection.take() {
                ended.job.end_lateness(now_ns);
                ended.is_stuck = true;
                self.end(&mut state, ended, Some(Failure::Unfinished), now_ns);
            }
        }
        while !state.waiting.is_empty() {
            let failure = self.why_it_waits(&state, now_ns, Failure::Unfinished);
            self.give_up_first(&mut state, failure, now_ns);
        }
        state.idle.clear();
    }

    /// Counts the requests that ended, and publishes the due moment of the oldest that has not.
    pub(super) fn flush(&self, now_ns: u64) {
        let mut state = self.state.borrow_mut();
        let due = state
            .connections
            .iter()
            .filter_map(|connection| connection.job())
            .chain(state.waiting.iter().take(1).copied());
        let oldest_ns = due.map(|job| job.due_ns).min();
        let next_ns = state.starter.next_ns();
        self.gauges.show_answered(self.part, [oldest_ns, next_ns].into_iter().flatten().fold(now_ns, u64::min));
        let LaneState { batch, issued, .. } = &mut *state;
        self.ledger.take(batch, *issued, now_ns);
    }

    fn is_over(&self, job: &Job, now_ns: u64) -> bool {
        now_ns >= job.begun_ns().saturating_add(self.timeout_ns)
    }

    fn issue(&self, state: &mut LaneState, due_ns: u64) {
        state.open += 1;
        state.issued += 1;
        self.show(state);
        let in_flight = u32::try_from(self.gauges.in_flight()).unwrap_or(u32::MAX);
        let can_be_late = state.starter.can_be_late();
        let number = state.next_number;
        state.next_number += self.lanes as u64;
        let job = Job {
            number,
            due_ns,
            in_flight,
            late_us: None,
            sent_us: None,
            limited: false,
            setup_us: 0,
            can_be_late,
            resent: false,
            step: 0,
        };
        state.waiting.push_back(job);
    }

    fn show(&self, state: &LaneState) {
        // Requests beyond the limit wait here and are not under way.
        self.gauges.show(self.part, state.open.min(self.limit));
    }

    /// Assigns waiting requests to idle connections, and opens new connections if some still wait.
    fn pump(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let now_ns = self.now_ns();
        while self.lacks_addresses(&state) && now_ns >= state.may_open_ns().max(state.may_spread_ns) {
            state.unconnected = state.unconnected.saturating_sub(1);
            self.open(&mut state, None);
        }
        while let Some(job) = state.waiting.front() {
            let Some(connection) = self.pick(job.number, &mut state.idle) else { break };
            if let Some(job) = state.waiting.pop_front() {
                connection.give(self.set_up(&state, job));
            }
        }
        if !self.lacks_connections(&state) {
            return;
        }
        while self.lacks_connections(&state)
            && state.connections.len() < self.limit
            && state.young < MAX_YOUNG
            && now_ns >= state.may_open_ns()
        {
            if state.is_growing() {
                state.may_grow_ns = state.may_grow_ns.max(now_ns) + GROWTH_NS;
            }
            self.open(&mut state, None);
        }
    }

    /// True when more requests wait than the connections in the making can take.
    fn lacks_connections(&self, state: &LaneState) -> bool {
        state.connecting.saturating_mul(self.target.per_connection()) < state.waiting.len()
    }

    /// A job that has found a connection. Its wait for tunnels is not the service's time. At the limit it waited for other
    /// requests, even if tunnels were being opened meanwhile.
    fn set_up(&self, state: &LaneState, job: Job) -> Job {
        if self.target.tunnel.is_none() || job.limited {
            return job;
        }
        job.after_setup(state.tunnelled.since(self.sessions.queued_ns(&job), self.now_ns()))
    }

    fn open(self: &Rc<Self>, state: &mut LaneState, job: Option<Job>) {
        if self.target.tunnel.is_some() && job.is_none() && state.connecting == 0 {
            state.tunnelled.begin(self.now_ns());
        }
        let connection = Rc::new(Connection::new(job, state.connections.len()));
        if job.is_none() {
            // Those in front of it usually have the connections that are in the making.
            let covered = state.connecting.saturating_mul(self.target.per_connection());
            connection.opened_for.set(state.waiting.get(covered).map(|job| job.number));
        }
        state.connections.push(Rc::clone(&connection));
        state.max_connections = state.max_connections.max(state.connections.len());
        state.tcp_connections += 1;
        state.connecting += usize::from(job.is_none());
        state.young += 1;
        (self.opens)(Rc::clone(self), connection);
    }

    /// A connection in the making is slow, so that another may be tried.
    pub(super) fn connecting_is_slow(self: &Rc<Self>) {
        self.state.borrow_mut().young -= 1;
        self.pump();
    }

    /// A connection is no longer in the making.
    pub(super) fn connected(&self, connection: &Connection, was_young: bool) {
        let mut state = self.state.borrow_mut();
        state.connecting -= usize::from(connection.job().is_none());
        if self.target.tunnel.is_some() && state.connecting == 0 {
            state.tunnelled.end(self.now_ns());
        }
        state.young -= usize::from(was_young);
    }

    /// A connection attempt failed. The request that it was opened for fails with it, unless another connection took that
    /// one. Without a `failure` no request fails.
    pub(super) fn connect_failed(self: &Rc<Self>, connection: &Connection, was_young: bool, failed: Option<Failed>) {
        self.connected(connection, was_young);
        let now_ns = self.now_ns();
        let mut state = self.state.borrow_mut();
        // Do not retry an unreachable address for every request.
        state.may_spread_ns = now_ns + SPREAD_PAUSE_NS;
        let job = connection.job.take().or_else(|| failed.as_ref().and_then(|_| state.take_own(connection)));
        if let Some(mut job) = job {
            job.end_lateness(now_ns);
            let failed = self.after_wait(&job, failed.unwrap_or_else(|| self.no_connection()));
            self.keep_unsent(&mut state, &job, now_ns, &failed);
            self.end(&mut state, Ended::unsent(job), Some(failed.kind), now_ns);
        }
        drop(state);
        self.closed(connection);
    }

    /// The process has no file descriptor left for a connection. That is not a failure of the service: requests wait for a
    /// connection as they do at the limit.
    pub(super) fn out_of_files(self: &Rc<Self>, connection: &Connection, was_young: bool) {
        self.connected(connection, was_young);
        let mut state = self.state.borrow_mut();
        state.no_files_until_ns = self.now_ns() + NO_FILES_NS;
        if let Some(job) = connection.job.take() {
            state.waiting.push_front(job);
        }
        drop(state);
        self.closed(connection);
    }

    /// Adds a stream to a connection, unless the limit of requests under way is reached.
    pub(super) fn add_stream(&self, first: &Connection) -> Option<Rc<Connection>> {
        let mut state = self.state.borrow_mut();
        (state.connections.len() < self.limit).then(|| {
            let connection = Rc::new(Connection::stream_of(first, state.connections.len()));
            state.connections.push(Rc::clone(&connection));
            state.max_connections = state.max_connections.max(state.connections.len());
            connection
        })
    }

    /// The connection is free: it takes the request that it was opened for, else the one that has waited longest, or becomes
    /// idle. Returns false if it must be
    /// closed instead, because it was made for one request and none waits.
    pub(super) fn free(self: &Rc<Self>, connection: &Rc<Connection>) -> bool {
        if connection.is_retired.get() {
            return false;
        }
        let mut state = self.state.borrow_mut();
        match state.take_own(connection).or_else(|| state.waiting.pop_front()) {
            Some(job) => connection.give(self.set_up(&state, job)),
            None if self.target.fresh => return false,
            None => {
                state.idle.push(Rc::clone(connection));
                return true;
            }
        }
        drop(state);
        self.pump();
        true
    }

    /// The server closed the connection while it was idle, before a byte of the request was written or while an idempotent
    /// request was on its way. That is not a failure of the service. The request is sent again on a new connection.
    pub(super) fn resend(self: &Rc<Self>, connection: &Connection) {
        let Some(job) = connection.job.get() else { return };
        if job.resent {
            let cause = "the server closed two connections in a row before the request reached it";
            _ = self.answered(connection, Some(Failed::new(Failure::Reset, cause)));
            return;
        }
        connection.job.set(None);
        self.gauges.resent.fetch_add(1, Ordering::Relaxed);
        self.open(&mut self.state.borrow_mut(), Some(Job { resent: true, ..job }));
    }

    /// The connection is closed.
    pub(super) fn closed(self: &Rc<Self>, connection: &Connection) {
        _ = self.answered(connection, Some(Failed::new(Failure::Reset, "the connection ended")));
        let mut state = self.state.borrow_mut();
        if let Some(at) = state.idle.iter().position(|idle| std::ptr::eq(&**idle, connection)) {
            state.idle.swap_remove(at);
        }
        let at = connection.index.get();
        if state.connections.get(at).is_some_and(|known| std::ptr::eq(&**known, connection)) {
            state.connections.swap_remove(at);
            state.tcp_connections -= usize::from(connection.is_tcp);
            if let Some(moved) = state.connections.get(at) {
                moved.index.set(at);
            }
        }
        drop(state);
        self.busy(connection, false);
        self.pump();
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
