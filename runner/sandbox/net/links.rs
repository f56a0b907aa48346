//! Links between pods and the gate that holds back what a link does not carry.
//!
//! What belongs here: naming a link, asking the sandbox what it carries, waiting until that changes. What does not:
//! sockets (`stream`), and why a link is blocked (the sandbox's judge knows).
//!
//! A gate asks again only after [`Links::update`]; between updates a judge has to answer the same for the same link.
//! To model delay, loss or rate, [`Carry`] gets the numbers and `Stream::poll_read` the waiting: the reading end is the
//! only place that all bytes of a direction pass, and the kernel's buffers give the back pressure.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};

use super::{Net, Resolve};

/// The way from one pod to a port of another. Both directions of a connection belong to the link of who opened it, as a
/// NetworkPolicy means it: answers to an allowed connection are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// The address of the pod that opens connections.
    pub source: IpAddr,
    /// The address that they go to: a pod's, never a service's.
    pub destination: IpAddr,
    /// The port that they go to.
    pub port: u16,
}

/// What a link does with what is sent over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carry {
    /// Whether anything passes at all.
    pub open: bool,
}

impl Carry {
    /// Everything passes at once.
    pub const OPEN: Self = Self { open: true };
    /// Everything is dropped: connects hang, established connections fall silent until the link opens again.
    pub const BLOCKED: Self = Self { open: false };
}

/// Says what each link carries. It is called from within reads and writes, so it has to be quick and must not block.
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
    waiting: Mutex<HashMap<(u64, Side), Waker>>,
}

/// Which half of a connection waits: one task may read while another writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Read,
    Write,
}

impl Links {
    /// Links that carry everything.
    pub fn new() -> Self {
        let board = Board {
            judge: RwLock::new(Arc::new(|_| Carry::OPEN)),
            version: AtomicU64::new(0),
            next_gate: AtomicU64::new(0),
            waiting: Mutex::default(),
        };
        Self { board: Arc::new(board) }
    }

    /// From now on `judge` says what links carry, established connections included. Connections that waited for a link
    /// go on if it is open now.
    pub fn update(&self, judge: Judge) {
        *self.board.judge.write().unwrap_or_else(PoisonError::into_inner) = judge;
        self.board.version.fetch_add(1, Ordering::AcqRel);
        let waiting = std::mem::take(&mut *self.board.waiting());
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// The network of a pod with this address (in 127.0.0.0/8 and not 127.0.0.1, which stands for the world outside).
    pub fn pod(&self, address: IpAddr, namespace: impl Into<String>, resolver: Arc<dyn Resolve>) -> Net {
        Net::pod(address, namespace.into(), self.clone(), resolver)
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
    fn waiting(&self) -> MutexGuard<'_, HashMap<(u64, Side), Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, link: Link) -> Carry {
        // A pod always reaches itself; no policy speaks about that.
        if link.source == link.destination {
            return Carry::OPEN;
        }
        let judge = Arc::clone(&self.judge.read().unwrap_or_else(PoisonError::into_inner));
        judge(link)
    }
}

/// One end's hold on what its link carries.
pub(super) struct Gate {
    id: u64,
    link: Link,
    board: Arc<Board>,
    /// The update that `carry` is the answer of.
    seen: Option<u64>,
    carry: Carry,
}

impl Gate {
    pub(super) fn new(links: &Links, link: Link) -> Self {
        let board = Arc::clone(&links.board);
        let id = board.next_gate.fetch_add(1, Ordering::Relaxed);
        Self { id, link, board, seen: None, carry: Carry::BLOCKED }
    }

    /// Ready while the link is open; otherwise the task is woken by the next update.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>, side: Side) -> Poll<()> {
        loop {
            let version = self.board.version.load(Ordering::Acquire);
            if self.seen != Some(version) {
                self.carry = self.board.judge(self.link);
                self.seen = Some(version);
            }
            if self.carry.open {
                return Poll::Ready(());
            }
            self.board.waiting().insert((self.id, side), cx.waker().clone());
            // An update between the question and the entry into the list has woken nobody here: ask again.
            if self.board.version.load(Ordering::Acquire) == version {
                return Poll::Pending;
            }
        }
    }

    pub(super) async fn open(&mut self) {
        poll_fn(|cx| self.poll_open(cx, Side::Write)).await;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut waiting = self.board.waiting();
        waiting.remove(&(self.id, Side::Read));
        waiting.remove(&(self.id, Side::Write));
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("link", &self.link).field("carry", &self.carry).finish_non_exhaustive()
    }
}
