//! When a fuse is pushed, and to which time to live. Pure: the caller passes the current time.

use std::time::Duration;

use tokio::time::Instant;

/// A fuse is pushed every 1/10 of its life: every 3 s of 30 s.
const PUSHES: u32 = 10;
/// After a push without an answer or with a refusal, the interval is 1/15 of the life: every 2 s of 30 s. The next push does
/// not wait for the answer to the last one, because a connection that hangs may never answer.
const TRIES: u32 = 15;

/// The pushes of one fuse.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// The life after a push.
    life: Duration,
    /// When the Job was seen complete. The cluster counts from this moment or an earlier one.
    seen: Instant,
    /// When the last successful push was sent.
    through: Instant,
    /// When the last push was sent.
    tried: Instant,
}

impl Pace {
    /// The pace of a fuse that was created at `sent` with this life, and seen complete at `seen`.
    pub(super) const fn new(life: Duration, sent: Instant, seen: Instant) -> Self {
        Self { life, seen, through: sent, tried: sent }
    }

    /// The time of the next push.
    pub(super) fn due(&self) -> Instant {
        let pause = if self.tried > self.through { self.life / TRIES } else { self.life / PUSHES };
        self.tried + pause
    }

    /// The time to live for a push at `now`, in whole seconds since the Job was complete. The fuse then burns down one life
    /// after `now`: at most 1 s later, and earlier by at most 1 s plus the time that the Job took to complete.
    pub(super) fn ttl(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.seen).as_secs_f64().ceil() as u64 + self.life.as_secs()
    }

    /// Records that a push was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.tried = now;
    }

    /// Records that the push sent at `sent` succeeded.
    pub(super) fn got_through(&mut self, sent: Instant) {
        self.through = self.through.max(sent);
        // Earlier pushes without an answer no longer matter.
        if self.through >= self.tried {
            self.tried = self.through;
        }
    }

    /// When the fuse burns down, as far as the runner knows.
    pub(super) fn end(&self) -> Instant {
        self.through + self.life
    }

    /// The life of the fuse after a push.
    pub(super) const fn life(&self) -> Duration {
        self.life
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(30);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_fuse_is_pushed_at_a_tenth_of_its_life_and_tried_again_sooner() {
        let zero = Instant::now();
        let mut pace = Pace::new(LIFE, zero, zero + ms(200));
        assert_eq!((pace.due(), pace.end()), (zero + ms(3000), zero + LIFE));
        pace.sent(zero + ms(3000));
        assert_eq!((pace.due(), pace.end()), (zero + ms(5000), zero + LIFE), "it has no answer yet");
        pace.sent(zero + ms(5000));
        pace.got_through(zero + ms(3000));
        assert_eq!((pace.due(), pace.end()), (zero + ms(7000), zero + ms(33_000)), "the second one has none");
        pace.got_through(zero + ms(5000));
        assert_eq!((pace.due(), pace.end()), (zero + ms(8000), zero + ms(35_000)));
        pace.got_through(zero + ms(3000));
        assert_eq!((pace.due(), pace.end()), (zero + ms(8000), zero + ms(35_000)), "an answer that was late");
    }

    /// The cluster counts whole seconds from a moment between the request and the first complete state, rounded down.
    #[test]
    fn a_push_gives_one_life_for_every_completion_time_of_the_job() {
        for created in [0, 1, 499, 999] {
            for took in [0, 120, 980, 4000] {
                for pushed in [500, 1000, 3000, 3001, 59_999, 21_600_000] {
                    let zero = Instant::now();
                    // The cluster's clock shows `created` ms past a second when the request arrives.
                    let written = (created + took) / 1000 * 1000;
                    let pace = Pace::new(LIFE, zero, zero + ms(took + 100));
                    let now = zero + ms(took + 100 + pushed);
                    let burns = ms(written + pace.ttl(now) * 1000).as_secs_f64() - ms(created).as_secs_f64();
                    let life = burns - (now - zero).as_secs_f64();
                    assert!((28.8..=31.0).contains(&life), "created {created}, took {took}, pushed {pushed}: {life}");
                }
            }
        }
    }

    /// How long an API server may be unavailable before a run ends.
    #[test]
    fn an_outage_shorter_than_a_life_leaves_time_for_a_push() {
        for away in [1, 10, 20, 25] {
            let zero = Instant::now();
            let mut pace = Pace::new(LIFE, zero, zero);
            // It is away right before the first push is due.
            let (gone, back) = (zero + ms(2999), zero + ms(2999) + Duration::from_secs(away));
            let mut now;
            loop {
                now = pace.due();
                pace.sent(now);
                if now < gone || now >= back {
                    break;
                }
            }
            assert!(now < pace.end(), "{away} s");
            pace.got_through(now);
            assert_eq!(pace.end(), now + LIFE);
        }
    }
}
