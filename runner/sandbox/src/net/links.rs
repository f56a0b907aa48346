//! Links between pods, and the gate that holds back the bytes of a blocked link.
//!
//! In scope: naming a link, asking the sandbox for its state, waiting until that changes. Out of scope:
//! sockets (`stream`), and why a link is blocked (the sandbox's judge knows).
//!
//! A gate asks again only after [`Links::update`]; between updates a judge has to answer the same for the same link.
//! Delay, loss and rate are a [`ShaperChain`] for each direction; the waiting is done where the bytes are read (`stream`): that
//! is the only place that all bytes of a direction pass, and the kernel's buffers give the back pressure.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Waker};

use super::ailments::Ailments;
use super::shaper::{Chance, Netem, Shaper, ShaperChain};

/// The path from one pod to a port of another. Both directions of a connection belong to the link of the client, as in
/// NetworkPolicy: answers on an allowed connection are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// The address of the pod that opens connections.
    pub source: IpAddr,
    /// The address that they go to: a pod's, never a service's.
    pub destination: IpAddr,
    /// The port that they go to.
    pub port: u16,
    /// The service's address that the source connected to, if any. Packet rules in the source's own network see this
    /// address.
    pub via: Option<SocketAddr>,
}

/// The treatment of data on a link.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Carry {
    /// Whether packets pass.
    pub open: bool,
    /// The shapers of the client's packets.
    pub there: ShaperChain,
    /// The shapers of the server's packets.
    pub back: ShaperChain,
}

impl Carry {
    /// Everything passes immediately.
    pub fn open() -> Self {
        Self::through(ShaperChain::default(), ShaperChain::default())
    }

    /// Everything is dropped: connects hang, established connections fall silent. Once the link opens again, each of them goes
    /// on with its next retransmission, so the later the longer it was blocked.
    pub fn blocked() -> Self {
        static DROPPED: LazyLock<ShaperChain> = LazyLock::new(|| {
            let loss = Chance { share: 1.0, correlation: 0.0 };
            ShaperChain::new(vec![Arc::new(Shaper::netem(Netem { loss, ..Netem::default() }, 0))])
        });
        Self { open: false, there: DROPPED.clone(), back: DROPPED.clone() }
    }

    /// Packets pass through these shapers.
    pub fn through(there: ShaperChain, back: ShaperChain) -> Self {
        Self { open: true, there, back }
    }
}

/// Decides the state of each link. It is called from within reads and writes, so it must be fast and must not block.
pub type Judge = Arc<dyn Fn(Link) -> Carry + Send + Sync>;

/// The links of one sandbox; all its pods share them. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    board: Arc<Board>,
}

struct Board {
    judge: RwLock<Judge>,
    /// Counts updates, so that a gate knows when its answer is old.
    version: AtomicU64,
    next_gate: AtomicU64,
    waiting: Mutex<HashMap<u64, Waker>>,
    /// The services of connections being opened, by the client's address.
    called: Mutex<HashMap<SocketAddr, SocketAddr>>,
    ailments: Ailments,
}

impl Links {
    /// Links that carry everything.
    pub fn new() -> Self {
        let board = Board {
            judge: RwLock::new(Arc::new(|_| Carry::open())),
            version: AtomicU64::new(0),
            next_gate: AtomicU64::new(0),
            waiting: Mutex::default(),
            called: Mutex::default(),
            ailments: Ailments::default(),
        };
        Self { board: Arc::new(board) }
    }

    /// Sets the judge of all links, which also applies to established connections. Connections that waited for a link
    /// continue if it is open now.
    pub fn update(&self, judge: Judge) {
        *self.board.judge.write().unwrap_or_else(PoisonError::into_inner) = judge;
        self.board.version.fetch_add(1, Ordering::AcqRel);
        let waiting = std::mem::take(&mut *self.board.waiting());
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// The pods' ailments other than those of their links.
    pub fn ailments(&self) -> &Ailments {
        &self.board.ailments
    }

    /// The service that this end of a connection called, if it called one.
    pub(super) fn called(&self, caller: SocketAddr) -> Option<SocketAddr> {
        self.board.called().get(&caller).copied()
    }

    /// The current treatment of a link.
    pub fn ask(&self, link: Link) -> Carry {
        self.board.judge(link)
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links(version {})", self.board.version.load(Ordering::Acquire))
    }
}

impl Board {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self) -> MutexGuard<'_, HashMap<SocketAddr, SocketAddr>> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, link: Link) -> Carry {
        // A pod can always reach itself. Policies do not apply to that.
        if link.source == link.destination {
            return Carry::open();
        }
        let judge = Arc::clone(&self.judge.read().unwrap_or_else(PoisonError::into_inner));
        judge(link)
    }
}

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It opened the connection.
    Opener,
    /// It accepted it.
    Acceptor,
}

/// One end's gate on its link.
pub(super) struct Gate {
    id: u64,
    link: Link,
    end: End,
    /// The client's own address if it connected to a service. The other end finds the service by it.
    calls_from: Option<SocketAddr>,
    board: Arc<Board>,
    /// The update at which `carry` was read.
    seen: Option<u64>,
    carry: Carry,
}

impl Gate {
    pub(super) fn new(links: &Links, link: Link, end: End) -> Self {
        let board = Arc::clone(&links.board);
        let id = board.next_gate.fetch_add(1, Ordering::Relaxed);
        Self { id, link, end, calls_from: None, board, seen: None, carry: Carry::blocked() }
    }

    /// Registers the connection from `own` to the link's service, before the other end can accept it.
    pub(super) fn call(&mut self, own: SocketAddr) {
        self.hang_up();
        if let Some(service) = self.link.via {
            self.board.called().insert(own, service);
            self.calls_from = Some(own);
        }
    }

    fn hang_up(&mut self) {
        if let Some(own) = self.calls_from.take() {
            self.board.called().remove(&own);
        }
    }

    /// Reads the link again after an update.
    pub(super) fn look(&mut self) {
        let version = self.board.version.load(Ordering::Acquire);
        if self.seen != Some(version) {
            self.carry = self.board.judge(self.link);
            self.seen = Some(version);
        }
    }

    /// Whether packets pass, as of the last read.
    pub(super) fn is_open(&self) -> bool {
        self.carry.open
    }

    /// Registers a reader to be woken by the next update, which may change how its bytes arrive. Returns false if an update
    /// happened in the meantime.
    pub(super) fn watch(&self, cx: &mut Context<'_>) -> bool {
        self.board.waiting().insert(self.id, cx.waker().clone());
        // An update between the read and the entry into the list has woken no waiter here: read again.
        Some(self.board.version.load(Ordering::Acquire)) == self.seen
    }

    /// The shapers of the packets to this end and from this end, as of the last read.
    pub(super) fn ways(&self) -> (&ShaperChain, &ShaperChain) {
        match self.end {
            End::Opener => (&self.carry.back, &self.carry.there),
            End::Acceptor => (&self.carry.there, &self.carry.back),
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.hang_up();
        self.board.waiting().remove(&self.id);
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("link", &self.link).field("carry", &self.carry).finish_non_exhaustive()
    }
}
