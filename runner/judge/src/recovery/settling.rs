//! When a service settled: the moment from which it *stays* within the band, and its relapses before that.
//!
//! - The service first settled at the start of the first run of good windows that together last `hold`.
//! - Leaving the band after that is a relapse, and the service settled at the start of the last good run. That run must
//!   also last `hold`, because the service might otherwise relapse again unobserved.
//! - A noisy service need not be better than its baseline. Windows are not a relapse if they are only slow, not slower than
//!   the baseline's slowest request, and not significantly more frequent than in the baseline ([`USUAL`]).

use super::band::{Band, Window, WindowState};
use crate::numbers::hypergeometric_at_least;

/// The significance level at which slow windows are more frequent than in the baseline.
const USUAL: f64 = 0.05;

/// How a service settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Settling {
    /// When it first began to stay within the band for `hold`.
    pub(super) first_ns: Option<u64>,
    /// Since when it has stayed within the band. None if it left the band again and did not return for `hold`.
    pub(super) settled_ns: Option<u64>,
    /// When each relapse began.
    pub(super) relapses_ns: Vec<u64>,
    /// The start of the good windows at the end, if the last one is good.
    pub(super) trailing_ns: Option<u64>,
}

impl Settling {
    /// Evaluates these windows.
    pub(super) fn new(band: &Band, windows: &[Window]) -> Self {
        let trailing_ns = trailing(windows, &[]);
        let Some(first_ns) = band.settled(windows) else { return Self { trailing_ns, ..Self::default() } };
        let from = windows.partition_point(|window| window.start_ns < first_ns);
        let tail = &windows[from..];
        let forgiven = forgiven(band, tail);
        let is_relapse = |index: &usize| tail[*index].state == WindowState::Bad && !forgiven.contains(index);
        let bad: Vec<usize> = (0..tail.len()).filter(is_relapse).collect();
        let Some(last) = bad.last() else {
            let settled_ns = Some(first_ns);
            return Self { first_ns: settled_ns, settled_ns, relapses_ns: Vec::new(), trailing_ns };
        };
        // Consecutive bad windows without a good one between them are one relapse.
        let is_begin = |index: usize| !bad.contains(&index.wrapping_sub(1)) || index == 0;
        let relapses_ns = bad.iter().filter(|index| is_begin(**index)).map(|index| tail[*index].start_ns).collect();
        let mut after: Vec<Window> = tail[last + 1..].to_vec();
        for index in forgiven.iter().filter(|index| *index > last) {
            after[index - last - 1].state = WindowState::Good;
        }
        let settled_ns = band.settled(&after);
        Self { first_ns: Some(first_ns), settled_ns, relapses_ns, trailing_ns: trailing(tail, &forgiven) }
    }
}

/// The windows that are out of the band in the same way as the baseline's own.
fn forgiven(band: &Band, tail: &[Window]) -> Vec<usize> {
    let is_slow = |window: &Window| {
        window.state == WindowState::Bad && !window.fails && window.level.is_some_and(|level| level <= band.slowest)
    };
    let slow: Vec<usize> = (0..tail.len()).filter(|index| is_slow(&tail[*index])).collect();
    let known = tail.iter().filter(|window| window.state != WindowState::Unknown).count() as u64;
    let (count, (usual, all)) = (slow.len() as u64, band.usual);
    let chance = hypergeometric_at_least(count, known, count + usual, known + all);
    if chance < USUAL { Vec::new() } else { slow }
}

/// The start of the good windows at the end, if the last one is good.
fn trailing(windows: &[Window], forgiven: &[usize]) -> Option<u64> {
    let good = |index: &usize| windows[*index].state == WindowState::Good || forgiven.contains(index);
    (0..windows.len()).rev().take_while(good).last().map(|index| windows[index].start_ns)
}
