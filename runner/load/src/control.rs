//! The signals that stop an engine thread or wake its pacer.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Stops a thread of the engine, and lets a lane wake its pacer.
#[derive(Debug)]
pub(super) struct Control {
    /// Requests that are due from then on are not sent.
    stop_ns: AtomicU64,
    /// Requests that are still under way at that moment are given up.
    halt_ns: AtomicU64,
    changed: Notify,
}

impl Control {
    pub(super) fn new() -> Self {
        Self { stop_ns: AtomicU64::new(u64::MAX), halt_ns: AtomicU64::new(u64::MAX), changed: Notify::new() }
    }

    pub(super) fn stop(&self, stop_ns: u64, halt_ns: u64) {
        self.halt_ns.store(halt_ns, Ordering::SeqCst);
        self.stop_ns.store(stop_ns, Ordering::SeqCst);
        self.wake();
    }

    /// Wakes the pacer.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Requests that are due from then on are not sent.
    pub(super) fn stop_ns(&self) -> u64 {
        self.stop_ns.load(Ordering::SeqCst)
    }

    /// Requests that are still under way at that moment are given up.
    pub(super) fn halt_ns(&self) -> u64 {
        self.halt_ns.load(Ordering::SeqCst)
    }

    /// Waits until the thread is stopped or its pacer must check the time again.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
