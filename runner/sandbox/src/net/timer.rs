//! When a timer of Linux goes off.
//!
//! The kernel keeps its timers in a wheel whose levels are eight times coarser each, and rounds up, so a timer is late by as
//! much as an eighth of its time (`LVL_GRAN` and `calc_index` of kernel/time/timer.c). Seen on the real Dynamo: the eighth
//! retransmission, due after 26.1 s, came after 26.2 to 28.1 s.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// The milliseconds of a tick, with `CONFIG_HZ=250` as most distributions build the kernel.
const TICK_MS: u64 = 4;
/// Each level is coarser by this power of two: `LVL_CLK_SHIFT`.
const COARSER: u32 = 3;
/// A level takes timers of less than this many of its own steps: `LVL_SIZE - 1`.
const STEPS: u64 = 63;
/// The number of levels: `LVL_DEPTH`.
const LEVELS: u32 = 9;
/// The time that the modelled machine has been up when the first timer is set, at least.
const UPTIME: Duration = Duration::from_secs(600);

/// When the modelled machine was started: at random, so that no run has the same rounding as another.
static BOOT: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(UPTIME + Duration::from_millis(rand::random_range(0..TURN_MS))).unwrap_or(now)
});

/// After this time all levels that a retransmission uses are at the same point again.
const TURN_MS: u64 = TICK_MS << (COARSER * 4);

/// This time in whole ticks, rounded up, and never none: a round trip always takes some time.
pub(super) fn in_ticks(time: Duration) -> Duration {
    Duration::from_millis((time.as_millis() as u64 / TICK_MS + 1) * TICK_MS)
}

/// When a timer goes off that is set at `now`.
pub(super) fn fires(now: Instant, timeout: Duration) -> Instant {
    let set = now.saturating_duration_since(*BOOT).as_millis() as u64 / TICK_MS;
    let ticks = (timeout.as_millis() as u64).div_ceil(TICK_MS);
    *BOOT + Duration::from_millis(expiry(set, ticks) * TICK_MS)
}

/// The tick in which a timer goes off that is set in the tick `set` for `ticks` later.
fn expiry(set: u64, ticks: u64) -> u64 {
    let level = (0..LEVELS).find(|level| ticks < STEPS << (COARSER * level)).unwrap_or(LEVELS);
    (((set + ticks) >> (COARSER * level)) + 1) << (COARSER * level)
}

/// A moment at which all levels that a retransmission uses begin a step.
#[cfg(test)]
pub(super) fn turn() -> Instant {
    let since = Instant::now().saturating_duration_since(*BOOT).as_millis() as u64;
    *BOOT + Duration::from_millis(since.div_ceil(TURN_MS) * TURN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_late_by_at_most_an_eighth_and_never_early() {
        for ticks in [1, 51, 62, 63, 102, 503, 504, 816, 3264, 4031, 4032, 6528, 13056, 26112, 30000] {
            let late: Vec<u64> = (0..5000).map(|set| expiry(set, ticks) - (set + ticks)).collect();
            let (least, most) = (late.iter().min().unwrap(), late.iter().max().unwrap());
            assert!(*least == 1 && *most <= ticks / 7 + 1, "{ticks}: {least} to {most}");
        }
        // Level 3, as for the retransmissions after 26.1 s and 52.2 s: up to 2.048 s.
        assert_eq!((expiry(0, 6528) - 6528, expiry(511, 6528) - 6528 - 511), (128, 129));
        assert_eq!((0..512).map(|set| expiry(set, 13056) - set - 13056).max(), Some(512));
    }

    #[test]
    fn a_timeout_is_of_whole_ticks_and_goes_off_after_them() {
        assert_eq!(in_ticks(Duration::from_millis(200)), Duration::from_millis(204), "the RTO that `ss` shows");
        let now = turn();
        assert_eq!(fires(now, Duration::from_millis(204)) - now, Duration::from_millis(208));
        assert_eq!(fires(now, Duration::from_secs(1)) - now, Duration::from_millis(1024));
    }
}
