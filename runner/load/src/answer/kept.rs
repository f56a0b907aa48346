//! Buffers of answers, with a limit for each and for all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The maximum size of a buffered JSON answer, in bytes.
pub(super) const MAX_JSON: usize = 8 << 20;

/// The maximum size of all buffered answers of a load, in bytes.
pub(super) const MAX_KEPT: usize = 256 << 20;

/// A reservation in the memory that all answers of a load share. Dropping it releases the memory.
#[derive(Debug)]
pub(super) struct Room {
    taken: usize,
    of_all: Arc<AtomicUsize>,
}

impl Room {
    /// An empty reservation.
    pub(super) fn new(of_all: &Arc<AtomicUsize>) -> Self {
        Self { taken: 0, of_all: Arc::clone(of_all) }
    }

    /// Changes the reservation to `needed` bytes. Returns false if that exceeds a limit.
    pub(super) fn resize(&mut self, needed: usize) -> bool {
        if needed <= self.taken {
            self.of_all.fetch_sub(self.taken - needed, Ordering::Relaxed);
        } else {
            let more = needed - self.taken;
            if self.of_all.load(Ordering::Relaxed).saturating_add(more) > MAX_KEPT {
                return false;
            }
            self.of_all.fetch_add(more, Ordering::Relaxed);
        }
        self.taken = needed;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of_all.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// A buffered body with its reservation.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    room: Room,
}

impl Kept {
    pub(super) fn new(of_all: &Arc<AtomicUsize>) -> Self {
        Self { bytes: Vec::new(), room: Room::new(of_all) }
    }

    /// Appends a chunk. Returns false if that exceeds a limit.
    pub(super) fn add(&mut self, piece: &[u8]) -> bool {
        let length = self.bytes.len() + piece.len();
        let has_room = length <= MAX_JSON && self.room.resize(length);
        if has_room {
            self.bytes.extend_from_slice(piece);
        }
        has_room
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
