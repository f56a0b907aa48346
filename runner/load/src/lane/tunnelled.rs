//! Records when a lane was opening tunnels for waiting requests. The wait for tunnels is not the service's time.

use std::collections::VecDeque;

/// The most stretches that are remembered.
const MOST: usize = 64;

/// The latest stretches, in nanoseconds since the load's start. The last one ends with `u64::MAX` as long as it lasts.
#[derive(Debug, Default)]
pub(super) struct Tunnelled(VecDeque<(u64, u64)>);

impl Tunnelled {
    /// The first tunnel is being opened.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.0.push_back((now_ns, u64::MAX));
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// No tunnel is being opened any more.
    pub(super) fn end(&mut self, now_ns: u64) {
        if let Some(last) = self.0.back_mut() {
            last.1 = last.1.min(now_ns);
        }
    }

    /// How long tunnels were being opened from `since_ns` until now.
    pub(super) fn since(&self, since_ns: u64, now_ns: u64) -> u64 {
        let overlap = |(begun, end): &(u64, u64)| (*end).min(now_ns).saturating_sub((*begun).max(since_ns));
        self.0.iter().map(overlap).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_overlap_with_all_stretches() {
        let mut it = Tunnelled::default();
        assert_eq!(it.since(0, 100), 0);
        it.begin(100);
        assert_eq!((it.since(0, 150), it.since(120, 150), it.since(150, 150)), (50, 30, 0));
        it.end(200);
        it.begin(500);
        it.end(510);
        it.end(600);
        assert_eq!((it.since(0, 1_000), it.since(190, 505), it.since(510, 1_000)), (110, 15, 0));
        (0..1_000).for_each(|at| it.begin(at));
        assert!(it.0.len() <= MOST);
    }
}
