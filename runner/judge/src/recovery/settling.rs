//! When a service settled: the moment from which it *stays* within the band, and its relapses before that.
//!
//! - The service first settled at the start of the first run of good windows that together last `hold`.
//! - Leaving the band after that is a relapse, and the service settled at the start of the last good run. That run must
//!   also last `hold`, because the service might otherwise relapse again unobserved.
//! - If the last windows are unknown and their few requests failed or were slow, it is not known whether the service settled.
//! - A noisy service need not be better than its baseline. Windows are not a relapse if they are only slow, not slower than
//!   the baseline's slowest request, and not significantly more frequent than in the baseline ([`USUAL`]).
//! - Before the service first settled, such windows may be a late recovery or its own noise. If the baseline has some as
//!   well, it is known when the service would have settled without them.

use super::band::{Band, Window, WindowState};
use crate::numbers::hypergeometric_at_least;

/// The significance level at which slow windows are more frequent than in the baseline.
const USUAL: f64 = 0.05;

/// The factor above the baseline's slowest request up to which a window can be the service's own noise: a baseline with few
/// slow stretches may lack the longest one.
const LONGER: f64 = 2.0;

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
    /// When it first settled, if slow windows like those of the baseline count as good.
    pub(super) usual_ns: Option<u64>,
}

impl Settling {
    /// Evaluates these windows.
    pub(super) fn new(band: &Band, windows: &[Window]) -> Self {
        let trailing_ns = trailing(windows, &[]);
        let usual_ns =
            if band.usual.0 > 0 { band.settled(&good(windows, &forgiven(band, windows, LONGER))) } else { None };
        let Some(first_ns) = band.settled(windows) else { return Self { trailing_ns, usual_ns, ..Self::default() } };
        let is_seen_to_end = windows.last().is_none_or(|window| !window.is_doubtful);
        let from = windows.partition_point(|window| window.start_ns < first_ns);
        let tail = &windows[from..];
        let forgiven = forgiven(band, tail, 1.0);
        let is_relapse = |index: &usize| tail[*index].state == WindowState::Bad && !forgiven.contains(index);
        let bad: Vec<usize> = (0..tail.len()).filter(is_relapse).collect();
        let Some(last) = bad.last() else {
            let settled_ns = Some(first_ns).filter(|_| is_seen_to_end);
            return Self { first_ns: Some(first_ns), settled_ns, relapses_ns: Vec::new(), trailing_ns, usual_ns };
        };
        // Consecutive bad windows without a good one between them are one relapse.
        let is_begin = |index: usize| !bad.contains(&index.wrapping_sub(1)) || index == 0;
        let relapses_ns = bad.iter().filter(|index| is_begin(**index)).map(|index| tail[*index].start_ns).collect();
        let settled_ns = band.settled(&good(tail, &forgiven)[last + 1..]).filter(|_| is_seen_to_end);
        let trailing_ns = trailing(tail, &forgiven);
        Self { first_ns: Some(first_ns), settled_ns, relapses_ns, trailing_ns, usual_ns }
    }
}

/// The windows that are out of the band in the same way as the baseline's own, up to this factor above its slowest request.
fn forgiven(band: &Band, tail: &[Window], factor: f64) -> Vec<usize> {
    let is_slow = |window: &Window| {
        window.state == WindowState::Bad
            && !window.fails
            && window.level.is_some_and(|level| level <= band.slowest + factor.ln())
    };
    let slow: Vec<usize> = (0..tail.len()).filter(|index| is_slow(&tail[*index])).collect();
    let known = tail.iter().filter(|window| window.state != WindowState::Unknown).count() as u64;
    let (count, (usual, all)) = (slow.len() as u64, band.usual);
    let chance = hypergeometric_at_least(count, known, count + usual, known + all);
    if chance < USUAL { Vec::new() } else { slow }
}

/// The windows, with these as good ones.
fn good(windows: &[Window], forgiven: &[usize]) -> Vec<Window> {
    let mut windows = windows.to_vec();
    forgiven.iter().for_each(|index| windows[*index].state = WindowState::Good);
    windows
}

/// The start of the good windows at the end, if the last one is good.
fn trailing(windows: &[Window], forgiven: &[usize]) -> Option<u64> {
    let good = |index: &usize| windows[*index].state == WindowState::Good || forgiven.contains(index);
    let is_open = |index: &usize| windows[*index].state == WindowState::Unknown && windows[*index].is_late;
    let run = (0..windows.len()).rev().take_while(|index| good(index) || is_open(index));
    run.filter(good).last().map(|index| windows[index].start_ns)
}
