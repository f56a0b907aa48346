//! One load on one engine thread: which requests are due, which wait, and which connection takes the next one. Touches
//! no socket itself: a function that it is given makes a connection (`connection`), and the protocols reach it through a
//! `handle`.
//!
//! Requests that are due and find no idle connection wait in one queue, in order. Whatever becomes free first, an
//! answered connection or a new one, takes the request that waits longest. New connections are opened a few at a time,
//! because one connection per waiting request makes a service (and the engine) that is late for a moment collapse.

mod outcome;

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::control::Control;
use super::failure::Failed;
use super::job::Job;
use super::names::Names;
use super::pacing::Starter;
use super::record::{Ledger, News, Reached, place_of};
use super::slot::{Ended, Gauges, Slot};
use super::target::Target;
use shakedown_observe::{Failure, Known, Marks};

/// So many connections may be in the making at once, per load and thread. One that takes longer than
/// [`super::connection::YOUNG`] is waiting for the network, costs nothing, and no longer counts. Few, because an engine that
/// is late for a moment would otherwise answer with hundreds of connections, which make it later still.
const MAX_YOUNG: usize = 4;

/// An open loop may have a connection more than it ever had so often, and so many at once. No less often: a service whose
/// answers begin to take 2 s cannot be told from one that stands still until 2 s have passed, and what waits here meanwhile would
/// be counted as its slowness. The price is that a server that stood still finds a connection to accept for each request.
const GROWTH_NS: u64 = 1_000_000;
const GROWTH_AT_ONCE: u64 = 32;

/// When the pacer is late by this much, the engine has too little of the processor. Then requests wait for the engine,
/// not for the service, and more connections would only cost more: for a moment there are none.
const BUSY_NS: u64 = 1_000_000;
const BUSY_PAUSE_NS: u64 = 5_000_000;

/// How long no new connection is tried after the process ran out of file descriptors or ports.
const NO_FILES_NS: u64 = 50_000_000;

/// A request may wait so long for others to go with it: each wake-up costs more than a request. Up to 6,000 a second none
/// waits; at 20,000 it saves a third of the processor time, and nobody sees a seventh of a millisecond.
const GATHER_NS: u64 = 160_000;

/// A connection is kept to each of so many addresses of a service, per load and thread; beyond it they are drawn by chance.
const MOST_SPREAD: usize = 64;
const SPREAD_PAUSE_NS: u64 = 1_000_000_000;

/// Up to so many connections and streams they are counted by address when another is made.
const FEW_SLOTS: usize = 256;

/// So many bytes are read at once.
const BUFFER: usize = 64 << 10;

/// So many requests that ended are counted at once.
const BATCH: usize = 1024;

/// Starts to make a connection for a slot, and returns at once.
pub(super) type Opens = fn(Rc<Lane>, Rc<Slot>);

/// What a lane needs to begin.
#[derive(Debug)]
pub(super) struct LaneStart {
    pub(super) target: Arc<Target>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) marks: Arc<Marks>,
    /// Which of the load's lanes this is.
    pub(super) part: usize,
    /// Which part of the whole load it sends, of how many.
    pub(super) of_all: (usize, usize),
    /// How many requests it may have under way at once.
    pub(super) limit: usize,
    /// What starts its requests.
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
    /// How many lanes there are of the whole load, on all machines.
    lanes: usize,
    limit: usize,
    is_open: bool,
    zero: Instant,
    timeout_ns: u64,
    /// How long a request is listened to: its timeout, or longer where somebody asks what never ends.
    patience_ns: u64,
    state: RefCell<State>,
    control: Arc<Control>,
    opens: Opens,
    /// What the connection that was begun last waits for, in words.
    pub(super) making: Cell<&'static str>,
    /// How many addresses the service has, as far as is known.
    pub(super) spread: Cell<usize>,
    pub(super) names: RefCell<Names>,
    /// Where connections read to, one after the other.
    pub(super) buffer: RefCell<Box<[u8]>>,
}

/// Where a request is counted: the beginning of its stretch, and the phase of the fault that struck while it was in flight.
type Place = (u64, Option<usize>);

#[derive(Debug)]
struct State {
    starter: Starter,
    /// The marks that it follows, and the strikes.
    known: Known,
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
    no_files_until_ns: u64,
    /// The most connections that there were at once, and when that many may be one more if none is saved up.
    most_slots: usize,
    may_grow_ns: u64,
    next_address: usize,
    stop_ns: u64,
    /// How many requests were issued, and what became of them since the last count.
    issued: u64,
    news: News,
    /// The kinds of failures of which there is a sample, with the places where they are counted.
    sampled: HashSet<(Place, Failure)>,
    /// How many connections there are, however many streams each has.
    connections: usize,
    /// The addresses of a followed service when they were looked at last.
    followed: Arc<[SocketAddr]>,
    /// From when on a connection may be made only because an address has none.
    may_spread_ns: u64,
    /// How many addresses came that have no connection yet.
    owed: usize,
}

impl State {
    /// True when another connection would be one more than there ever were in an open loop. Replacing those that a
    /// server closes is not limited, and a closed loop has as many as it has workers.
    fn is_growing(&self) -> bool {
        self.starter.is_open() && self.slots.len() >= self.most_slots
    }

    /// Where a failure is counted, if there is none of this kind yet.
    fn unseen(&self, due_ns: u64, end_ns: u64, kind: Failure) -> Option<Place> {
        let place = place_of(&self.known.marks, &self.known.strikes, due_ns, end_ns);
        (!self.sampled.contains(&(place, kind))).then_some(place)
    }

    /// From when on another connection may be opened.
    fn may_open_ns(&self) -> u64 {
        let may_grow_ns = self.may_grow_ns.saturating_sub(GROWTH_AT_ONCE * GROWTH_NS);
        if self.is_growing() { self.no_files_until_ns.max(may_grow_ns) } else { self.no_files_until_ns }
    }
}

impl Lane {
    pub(super) fn new(start: LaneStart, control: Arc<Control>, opens: Opens) -> Rc<Self> {
        let timeout_ns = nanoseconds(start.target.timeout);
        Rc::new(Self {
            ledger: start.ledger,
            gauges: start.gauges,
            marks: start.marks,
            part: start.part,
            lanes: start.of_all.1,
            limit: start.limit,
            is_open: start.starter.is_open(),
            zero: start.zero,
            timeout_ns,
            patience_ns: nanoseconds(start.target.timeout.mul_f64(start.target.linger)),
            state: RefCell::new(State {
                starter: start.starter,
                // None of theirs: the first tick takes them up, whatever they are.
                known: Known { version: u64::MAX, ..Known::default() },
                next_number: start.of_all.0 as u64,
                waiting: VecDeque::new(),
                open: 0,
                slots: Vec::new(),
                idle: Vec::new(),
                connecting: 0,
                young: 0,
                no_files_until_ns: 0,
                most_slots: 0,
                may_grow_ns: 0,
                // The threads begin with different addresses.
                next_address: start.part,
                stop_ns: u64::MAX,
                issued: 0,
                news: News::default(),
                sampled: HashSet::new(),
                connections: 0,
                followed: start.target.addresses.now(),
                may_spread_ns: 0,
                owed: 0,
            }),
            control,
            opens,
            making: Cell::new(""),
            spread: Cell::new(0),
            names: RefCell::default(),
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
        self.zero + Duration::from_nanos(job.due_ns.saturating_add(self.patience_ns))
    }

    /// Requests that are due from `stop_ns` on are not issued.
    pub(super) fn stop(&self, stop_ns: u64) {
        let mut state = self.state.borrow_mut();
        state.stop_ns = state.stop_ns.min(stop_ns);
    }

    /// What the pacer does at each tick: issues what is due, gives up what waited too long, and hands out the rest.
    /// `lag_ns` says how much later it comes than it wanted to.
    pub(super) fn tick(self: &Rc<Self>, now_ns: u64, lag_ns: u64) {
        let mut state = self.state.borrow_mut();
        if lag_ns >= BUSY_NS && state.most_slots as u64 >= GROWTH_AT_ONCE {
            state.may_grow_ns = state.may_grow_ns.max(now_ns + BUSY_PAUSE_NS + GROWTH_AT_ONCE * GROWTH_NS);
        }
        // After the look at the clock: all marks up to that moment are known.
        if let Some(known) = self.marks.unless(state.known.version) {
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
            self.issue(&mut state, due_ns);
            issued += 1;
        }
        while state.waiting.front().is_some_and(|job| self.is_over(job, now_ns)) {
            let failure = self.why_it_waits(&state, now_ns, Failure::Timeout);
            self.give_up_first(&mut state, failure, now_ns);
        }
        drop(state);
        self.pump();
        // Those that an idle connection took are as late as it sends them. The others wait for a connection, which is
        // the service's time, so the engine's delay ends here.
        let mut state = self.state.borrow_mut();
        for job in state.waiting.iter_mut().rev().take(issued) {
            job.end_lateness(now_ns);
        }
    }

    /// When the pacer must come again, in nanoseconds since the load's start.
    pub(super) fn next_tick_ns(&self) -> u64 {
        let state = self.state.borrow();
        let is_due = state.starter.next_ns().is_some_and(|due| due < state.stop_ns);
        let due = state.starter.release_ns(GATHER_NS).filter(|_| is_due);
        let over = state.waiting.front().map(|job| job.due_ns.saturating_add(self.timeout_ns));
        let wants_more = self.lacks_connections(&state) && state.slots.len() < self.limit;
        let open = (wants_more && state.young < MAX_YOUNG).then(|| state.may_open_ns());
        [due, over, open].into_iter().flatten().min().unwrap_or(u64::MAX)
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
            if let Some(mut ended) = slot.take() {
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

    /// Counts the requests that ended, and shows since when there are others.
    pub(super) fn flush(&self, now_ns: u64) {
        let mut state = self.state.borrow_mut();
        let due = state.slots.iter().filter_map(|slot| slot.job()).chain(state.waiting.iter().take(1).copied());
        let oldest_ns = due.map(|job| job.due_ns).min();
        let next_ns = state.starter.next_ns();
        self.gauges.show_answered(self.part, [oldest_ns, next_ns].into_iter().flatten().fold(now_ns, u64::min));
        let State { news, issued, .. } = &mut *state;
        self.ledger.take(news, *issued, now_ns);
    }

    fn is_over(&self, job: &Job, now_ns: u64) -> bool {
        now_ns >= job.due_ns.saturating_add(self.timeout_ns)
    }

    fn issue(&self, state: &mut State, due_ns: u64) {
        state.open += 1;
        state.issued += 1;
        self.show(state);
        let in_flight = u32::try_from(self.gauges.in_flight()).unwrap_or(u32::MAX);
        let can_be_late = state.starter.can_be_late();
        let number = state.next_number;
        state.next_number += self.lanes as u64;
        let job = Job { number, due_ns, in_flight, late_us: None, sent_us: None, can_be_late, resent: false };
        state.waiting.push_back(job);
    }

    fn show(&self, state: &State) {
        // Those beyond the limit wait here; they are not under way.
        self.gauges.show(self.part, state.open.min(self.limit));
    }

    /// Gives waiting requests to idle connections, the one used last first, and opens new ones while some still wait.
    fn pump(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let now_ns = self.now_ns();
        while self.lacks_addresses(&state) && now_ns >= state.may_open_ns().max(state.may_spread_ns) {
            state.owed = state.owed.saturating_sub(1);
            self.open(&mut state, None);
        }
        while let Some(job) = state.waiting.front() {
            let Some(slot) = self.pick(job.number, &mut state.idle) else { break };
            if let Some(job) = state.waiting.pop_front() {
                slot.give(job);
            }
        }
        if !self.lacks_connections(&state) {
            return;
        }
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

    /// An idle connection: the one used last, so that others may end; one by chance where the service has several addresses,
    /// so that each has its share of the requests, as it has of the users.
    fn pick(&self, number: u64, idle: &mut Vec<Rc<Slot>>) -> Option<Rc<Slot>> {
        if self.spread.get() < 2 || idle.len() < 2 {
            return idle.pop();
        }
        // The finalizer of SplitMix64: neighbours have nothing in common.
        let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let at = (mixed ^ (mixed >> 31)) % idle.len() as u64;
        Some(idle.swap_remove(at as usize))
    }

    /// True when a request waits and fewer connections are kept than the service has addresses: each is to have one.
    fn lacks_addresses(&self, state: &State) -> bool {
        !self.target.fresh
            && self.spread.get() > 1
            && !state.waiting.is_empty()
            && (state.owed > 0 || state.connections < self.spread.get().min(MOST_SPREAD))
            && state.slots.len() < self.limit
            && state.young < MAX_YOUNG
    }

    /// Takes up the addresses of a followed service: connections to those that are gone end with the request that they
    /// have.
    fn follow(&self, state: &mut State) {
        let now = self.target.addresses.now();
        if Arc::ptr_eq(&now, &state.followed) {
            return;
        }
        let is_gone = |slot: &Slot| slot.address.get().is_some_and(|(address, _)| !now.contains(&address));
        state.slots.iter().filter(|slot| is_gone(slot)).for_each(|slot| slot.retire());
        state.idle.retain(|slot| !slot.is_retired.get());
        self.spread.set(now.len());
        let has_none =
            |it: &&SocketAddr| !state.slots.iter().any(|slot| slot.address.get().is_some_and(|at| at.0 == **it));
        state.owed = now.iter().filter(has_none).count().min(MOST_SPREAD);
        state.followed = now;
    }

    /// The address that a connection is made to: the one with the fewest, from that of its turn on. Where there are many
    /// connections turns are as even.
    pub(super) fn choose(&self, slot: &Slot, addresses: &[SocketAddr], turn: usize) -> SocketAddr {
        let state = self.state.borrow();
        let first = turn % addresses.len();
        let mut chosen = addresses[first];
        if !self.target.fresh && state.slots.len() <= FEW_SLOTS {
            let count = |address: &SocketAddr| {
                let others = state.slots.iter().filter(|it| !std::ptr::eq(&***it, slot) && it.is_connection);
                others.filter(|it| it.address.get().is_some_and(|(at, _)| at == *address)).count()
            };
            let in_turn = addresses[first..].iter().chain(&addresses[..first]);
            chosen = in_turn.min_by_key(|address| count(address)).copied().unwrap_or(chosen);
        }
        // From now on, so that the next one that is made meanwhile goes elsewhere. It is counted once it is made.
        slot.address.set(Some((chosen, usize::MAX)));
        chosen
    }

    /// A connection was made to an address.
    pub(super) fn reached(&self, slot: &Slot, address: SocketAddr) {
        let reached = &mut self.state.borrow_mut().news.reached;
        let place = reached.iter().position(|it| it.address == address).unwrap_or_else(|| {
            reached.push(Reached::new(address));
            reached.len() - 1
        });
        reached[place].connections += 1;
        slot.address.set(Some((address, place)));
    }

    /// True when more requests wait than the connections in the making will take.
    fn lacks_connections(&self, state: &State) -> bool {
        state.connecting.saturating_mul(self.target.per_connection()) < state.waiting.len()
    }

    fn open(self: &Rc<Self>, state: &mut State, job: Option<Job>) {
        let slot = Rc::new(Slot::new(job, state.slots.len()));
        state.slots.push(Rc::clone(&slot));
        state.most_slots = state.most_slots.max(state.slots.len());
        state.connections += 1;
        state.connecting += usize::from(job.is_none());
        state.young += 1;
        (self.opens)(Rc::clone(self), slot);
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
    pub(super) fn connect_failed(self: &Rc<Self>, slot: &Slot, was_young: bool, failed: Option<Failed>) {
        self.connected(slot, was_young);
        let now_ns = self.now_ns();
        let mut state = self.state.borrow_mut();
        // Unless the others in the making are enough for all that wait: an answered connection took it instead.
        let is_needed = failed.is_some() && self.lacks_connections(&state);
        // An address that is down is not asked again for every request.
        state.may_spread_ns = now_ns + SPREAD_PAUSE_NS;
        let job = slot.job.take().or_else(|| if is_needed { state.waiting.pop_front() } else { None });
        if let Some(mut job) = job {
            job.end_lateness(now_ns);
            let failed = failed.unwrap_or_else(|| self.no_connection());
            self.keep_unsent(&mut state, &job, now_ns, &failed);
            self.end(&mut state, Ended::unsent(job), Some(failed.kind), now_ns);
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
    pub(super) fn add_stream(&self, first: &Slot) -> Option<Rc<Slot>> {
        let mut state = self.state.borrow_mut();
        (state.slots.len() < self.limit).then(|| {
            let slot = Rc::new(Slot::stream_of(first, state.slots.len()));
            state.slots.push(Rc::clone(&slot));
            state.most_slots = state.most_slots.max(state.slots.len());
            slot
        })
    }

    /// The connection is free: it takes the request that waits longest, or becomes idle. False when it is to be closed
    /// instead: it was made for one request, and none waits.
    pub(super) fn free(self: &Rc<Self>, slot: &Rc<Slot>) -> bool {
        if slot.is_retired.get() {
            return false;
        }
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

    /// The connection was dead before a byte of the request was written: the server had closed it while it was idle,
    /// which is no failure of the service. The request goes out once more, on a new connection.
    pub(super) fn resend(self: &Rc<Self>, slot: &Slot) {
        let Some(job) = slot.job.get() else { return };
        if job.resent {
            let cause = "the server closed two connections in turn before the request was written";
            _ = self.answered(slot, Some(Failed::new(Failure::Reset, cause)));
            return;
        }
        slot.job.set(None);
        self.gauges.resent.fetch_add(1, Ordering::Relaxed);
        self.open(&mut self.state.borrow_mut(), Some(Job { resent: true, ..job }));
    }

    /// The connection is gone.
    pub(super) fn closed(self: &Rc<Self>, slot: &Slot) {
        _ = self.answered(slot, Some(Failed::new(Failure::Reset, "the connection ended")));
        let mut state = self.state.borrow_mut();
        if let Some(at) = state.idle.iter().position(|idle| std::ptr::eq(&**idle, slot)) {
            state.idle.swap_remove(at);
        }
        let at = slot.index.get();
        if state.slots.get(at).is_some_and(|known| std::ptr::eq(&**known, slot)) {
            state.slots.swap_remove(at);
            state.connections -= usize::from(slot.is_connection);
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
