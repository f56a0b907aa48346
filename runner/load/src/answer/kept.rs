//! What is kept of answers, within limits for each of them and for all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An answer that is read as JSON is kept until it is whole, and must be smaller than this.
pub(super) const MAX_JSON: usize = 8 << 20;

/// All answers of a load that are kept at the same time must be smaller than this.
pub(super) const MAX_KEPT: usize = 256 << 20;

/// So many bytes of the memory that all answers of a load share, given back when this goes.
#[derive(Debug)]
pub(super) struct Room {
    taken: usize,
    of_all: Arc<AtomicUsize>,
}

impl Room {
    /// No room yet, of what all answers share.
    pub(super) fn new(of_all: &Arc<AtomicUsize>) -> Self {
        Self { taken: 0, of_all: Arc::clone(of_all) }
    }

    /// Takes as much as is needed in all, or gives back what is not; false when that would be too much.
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

/// A body in memory, counted as long as it is there.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    room: Room,
}

impl Kept {
    /// An empty body.
    pub(super) fn new(of_all: &Arc<AtomicUsize>) -> Self {
        Self { bytes: Vec::new(), room: Room::new(of_all) }
    }

    /// Adds a piece; false when that would be too much.
    pub(super) fn add(&mut self, piece: &[u8]) -> bool {
        let length = self.bytes.len() + piece.len();
        let has_room = length <= MAX_JSON && self.room.resize(length);
        if has_room {
            self.bytes.extend_from_slice(piece);
        }
        has_room
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
