//! The treatment of the packets of one direction: netem's and the token bucket's rules, as functions of time.
//!
//! In scope: whether and when a packet arrives. Out of scope: the connection's reaction to that
//! (`line`), and whose packets go through which shaper (the sandbox's judge).
//!
//! The rules are those of the Linux queueing disciplines `netem` and `tbf` (tc-netem(8), tc-tbf(8)): losses, delays and
//! copies are drawn per packet, each draw mixed with the one before it by its correlation; jitter is uniform; a rate
//! takes its time for every byte, headers included. A corrupted packet fails TCP's checksum: that is a loss.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

/// How many packets netem keeps before it drops new ones: the kernel's default.
const NETEM_LIMIT: usize = 1000;

/// A share of packets, and the correlation of each draw with the previous one: both from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Chance {
    /// The share.
    pub share: f64,
    /// The weight of the previous draw.
    pub correlation: f64,
}

/// The settings of netem.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Netem {
    /// The mean delay of a packet.
    pub delay: Duration,
    /// The largest deviation of a delay from the mean, in both directions.
    pub jitter: Duration,
    /// The correlation of a delay with the previous one.
    pub delay_correlation: f64,
    /// Packets that never arrive.
    pub loss: Chance,
    /// Packets that arrive corrupted.
    pub corrupt: Chance,
    /// Packets that arrive twice. TCP discards the copy, but it consumes bandwidth.
    pub duplicate: Chance,
    /// Packets that skip the delay and overtake others.
    pub reorder: Chance,
    /// Only every n-th packet may overtake; 0 and 1 mean every packet.
    pub gap: u32,
    /// Bytes per second.
    pub rate: Option<f64>,
}

/// The settings of a token bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Bytes per second.
    pub rate: f64,
    /// The size of the queue, in bytes. A packet that does not fit is dropped.
    pub limit: f64,
    /// The bytes that may pass together; a larger packet never passes.
    pub buffer: f64,
    /// Bytes per second during a burst.
    pub peak: Option<f64>,
}

/// One queueing discipline with its state: all connections that go through it share it.
#[derive(Debug)]
pub struct Shaper {
    rule: Rule,
    state: Mutex<ShaperState>,
}

#[derive(Debug)]
enum Rule {
    Netem(Netem),
    Bucket(Bucket),
}

#[derive(Debug)]
struct ShaperState {
    random: StdRng,
    /// The previous draws, for correlations.
    last: [f64; 5],
    /// Packets since the last one that overtook.
    counter: u32,
    /// The queued packets: when they leave, and their lengths.
    inside: VecDeque<(Instant, usize)>,
    bytes: usize,
    /// When the last packet left or will leave.
    departed: Option<Instant>,
    tokens: f64,
}

/// Which draw: an index into `ShaperState::last`.
#[derive(Clone, Copy)]
enum Draw {
    Delay,
    Loss,
    Corrupt,
    Duplicate,
    Reorder,
}

impl Shaper {
    /// Delay, loss and the like. The seed makes its draws repeatable.
    pub fn netem(netem: Netem, seed: u64) -> Self {
        Self::new(Rule::Netem(netem), 0.0, seed)
    }

    /// A limit on the rate; the bucket is full at first.
    pub fn bucket(bucket: Bucket) -> Self {
        let tokens = bucket.buffer;
        Self::new(Rule::Bucket(bucket), tokens, 0)
    }

    fn new(rule: Rule, tokens: f64, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let last = std::array::from_fn(|_| random.random());
        let state = ShaperState { random, last, counter: 0, inside: VecDeque::new(), bytes: 0, departed: None, tokens };
        Self { rule, state: Mutex::new(state) }
    }

    /// When a packet of this length that arrives at `now` leaves; `None` when it is lost.
    fn pass(&self, now: Instant, bytes: usize) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.inside.front().is_some_and(|(leaves, _)| *leaves <= now) {
            let (_, gone) = state.inside.pop_front()?;
            state.bytes -= gone;
        }
        let leaves = match &self.rule {
            Rule::Netem(netem) => state.netem(netem, now, bytes),
            Rule::Bucket(bucket) => state.bucket(bucket, now, bytes),
        }?;
        if leaves > now {
            state.inside.push_back((leaves, bytes));
            state.bytes += bytes;
        }
        Some(leaves)
    }
}

impl ShaperState {
    fn draw(&mut self, which: Draw, correlation: f64) -> f64 {
        let fresh: f64 = self.random.random();
        let last = &mut self.last[which as usize];
        *last = correlation * *last + (1.0 - correlation) * fresh;
        *last
    }

    fn hits(&mut self, which: Draw, chance: Chance) -> bool {
        chance.share > 0.0 && self.draw(which, chance.correlation) < chance.share
    }

    fn netem(&mut self, netem: &Netem, now: Instant, bytes: usize) -> Option<Instant> {
        let copies = 1 + u32::from(self.hits(Draw::Duplicate, netem.duplicate));
        if self.hits(Draw::Loss, netem.loss)
            || self.hits(Draw::Corrupt, netem.corrupt)
            || self.inside.len() >= NETEM_LIMIT
        {
            return None;
        }
        let may_go_ahead = netem.reorder.share > 0.0 && self.counter + 1 >= netem.gap.max(1);
        let delay = if may_go_ahead && self.hits(Draw::Reorder, netem.reorder) {
            self.counter = 0;
            Duration::ZERO
        } else {
            self.counter += 1;
            self.delay(netem)
        };
        let Some(rate) = netem.rate else { return Some(now + delay) };
        let before = self.departed.filter(|departed| *departed > now).unwrap_or(now);
        let leaves = (now + delay).max(before) + seconds(f64::from(copies) * bytes as f64 / rate);
        self.departed = Some(leaves);
        Some(leaves)
    }

    fn delay(&mut self, netem: &Netem) -> Duration {
        if netem.jitter.is_zero() {
            return netem.delay;
        }
        let off = self.draw(Draw::Delay, netem.delay_correlation) * 2.0 - 1.0;
        seconds(netem.delay.as_secs_f64() + off * netem.jitter.as_secs_f64())
    }

    fn bucket(&mut self, bucket: &Bucket, now: Instant, bytes: usize) -> Option<Instant> {
        let size = bytes as f64;
        if size > bucket.buffer || self.bytes as f64 + size > bucket.limit.max(size) {
            return None;
        }
        // The tokens are as of the moment when the previous packet left.
        let since = self.departed.unwrap_or(now);
        let start = since.max(now);
        self.tokens = (self.tokens + (start - since).as_secs_f64() * bucket.rate).min(bucket.buffer);
        let wait = (size - self.tokens).max(0.0) / bucket.rate;
        let mut leaves = start + seconds(wait);
        if let Some(peak) = bucket.peak {
            leaves = leaves.max(since + seconds(size / peak));
        }
        let filled = (leaves - start).as_secs_f64() * bucket.rate;
        self.tokens = (self.tokens + filled - size).clamp(0.0, bucket.buffer);
        self.departed = Some(leaves);
        Some(leaves)
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::from_secs(3600))
}

/// The shapers that the packets of one direction go through, one after the other. Cheap to clone; two are equal when
/// they are made of the very same shapers.
#[derive(Debug, Clone, Default)]
pub struct ShaperChain(Vec<Arc<Shaper>>);

impl ShaperChain {
    /// A way through these shapers.
    pub fn new(shapers: Vec<Arc<Shaper>>) -> Self {
        Self(shapers)
    }

    /// Whether packets arrive at once.
    pub fn is_plain(&self) -> bool {
        self.0.is_empty()
    }

    /// When a packet of this length that is sent at `now` arrives; `None` when it is lost.
    pub fn send(&self, now: Instant, bytes: usize) -> Option<Instant> {
        self.0.iter().try_fold(now, |at, shaper| shaper.pass(at, bytes))
    }

    /// The mean delay of a small packet.
    pub(super) fn delay(&self) -> Duration {
        self.netems().map(|netem| netem.delay).sum()
    }

    /// The largest deviation of a delay from the mean.
    pub(super) fn jitter(&self) -> Duration {
        self.netems().map(|netem| netem.jitter).sum()
    }

    fn netems(&self) -> impl Iterator<Item = &Netem> {
        self.0.iter().filter_map(|shaper| match &shaper.rule {
            Rule::Netem(netem) => Some(netem),
            Rule::Bucket(_) => None,
        })
    }
}

impl PartialEq for ShaperChain {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, two)| Arc::ptr_eq(one, two))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: u32 = 20_000;

    fn ms(value: f64) -> Duration {
        Duration::from_secs_f64(value / 1e3)
    }

    /// The delays in milliseconds of packets that are sent one millisecond after the other; NaN for a lost one.
    fn delays(shaper: &Shaper, bytes: usize) -> Vec<f64> {
        let start = Instant::now();
        let delay = |number: u32| {
            let sent = start + ms(f64::from(number));
            shaper.pass(sent, bytes).map_or(f64::NAN, |left| (left - sent).as_secs_f64() * 1e3)
        };
        (0..PACKETS).map(delay).collect()
    }

    fn share(values: &[f64], is_so: impl Fn(f64) -> bool) -> f64 {
        values.iter().filter(|value| is_so(**value)).count() as f64 / values.len() as f64
    }

    #[test]
    fn delays_lie_evenly_within_the_jitter_and_repeat_with_the_seed() {
        let netem = Netem { delay: ms(100.0), jitter: ms(50.0), ..Netem::default() };
        let found = delays(&Shaper::netem(netem.clone(), 7), 100);
        assert!(found.iter().all(|delay| (50.0..=150.0).contains(delay)));
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        assert!((mean - 100.0).abs() < 1.0, "{mean}");
        assert!((share(&found, |delay| delay < 75.0) - 0.25).abs() < 0.02);
        assert_eq!(found, delays(&Shaper::netem(netem.clone(), 7), 100));
        assert_ne!(found, delays(&Shaper::netem(netem, 8), 100));
    }

    #[test]
    fn correlated_delays_move_less_from_one_to_the_next() {
        let step = |delay_correlation: f64| {
            let netem = Netem { delay: ms(100.0), jitter: ms(50.0), delay_correlation, ..Netem::default() };
            let found = delays(&Shaper::netem(netem, 7), 100);
            found.windows(2).map(|pair| (pair[0] - pair[1]).abs()).sum::<f64>() / found.len() as f64
        };
        assert!(step(0.9) < step(0.0) / 4.0, "{} {}", step(0.9), step(0.0));
    }

    #[test]
    fn losses_and_corruption_both_lose() {
        let lost = |loss: f64, corrupt: f64| {
            let chance = |share| Chance { share, correlation: 0.0 };
            let netem = Netem { loss: chance(loss), corrupt: chance(corrupt), ..Netem::default() };
            share(&delays(&Shaper::netem(netem, 3), 100), f64::is_nan)
        };
        assert!((lost(0.2, 0.0) - 0.2).abs() < 0.02);
        assert!((lost(0.0, 0.2) - 0.2).abs() < 0.02);
        assert!((lost(0.5, 0.5) - 0.75).abs() < 0.02);
        assert_eq!((lost(1.0, 0.0), lost(0.0, 0.0)), (1.0, 0.0));
    }

    #[test]
    fn reordered_packets_go_ahead_and_the_gap_spares_those_between() {
        let ahead = |gap: u32| {
            let reorder = Chance { share: 0.5, correlation: 0.0 };
            let netem = Netem { delay: ms(10.0), reorder, gap, ..Netem::default() };
            share(&delays(&Shaper::netem(netem, 3), 100), |delay| delay == 0.0)
        };
        assert!((ahead(1) - 0.5).abs() < 0.02);
        // Four that cannot, then two on average until one does.
        assert!((ahead(5) - 1.0 / 6.0).abs() < 0.02, "{}", ahead(5));
    }

    #[test]
    fn a_rate_takes_its_time_for_every_byte_and_every_copy() {
        let last = |duplicate: f64| {
            let duplicate = Chance { share: duplicate, correlation: 0.0 };
            let shaper = Shaper::netem(Netem { rate: Some(125_000.0), duplicate, ..Netem::default() }, 3);
            let now = Instant::now();
            let left: Vec<_> = (0..100).map(|_| shaper.pass(now, 1250).unwrap() - now).collect();
            left[99].as_secs_f64()
        };
        // 1 Mbit/s: 10 ms for each 1250 bytes.
        assert!((last(0.0) - 1.0).abs() < 1e-3);
        assert!((last(1.0) - 2.0).abs() < 1e-3);
    }

    #[test]
    fn a_bucket_lets_its_buffer_go_at_once_then_keeps_the_rate_and_drops_what_finds_no_room() {
        let shaper = Shaper::bucket(Bucket { rate: 125_000.0, limit: 10_000.0, buffer: 5_000.0, peak: None });
        let now = Instant::now();
        let left: Vec<_> = (0..20).map(|_| shaper.pass(now, 1000).map(|left| (left - now).as_secs_f64())).collect();
        assert_eq!(&left[..5], [Some(0.0); 5]);
        for (at, left) in left[5..15].iter().enumerate() {
            assert!((left.unwrap() - 0.008 * (at + 1) as f64).abs() < 1e-6, "{at}: {left:?}");
        }
        assert_eq!(&left[15..], [None; 5]);
        assert_eq!(shaper.pass(now, 5001), None, "larger than the buffer");
        // When it has been idle, the bucket is full again.
        let later = now + Duration::from_secs(10);
        assert_eq!(shaper.pass(later, 4000), Some(later));
    }

    #[test]
    fn ways_go_through_all_their_shapers() {
        let shaper = |delay: f64| Arc::new(Shaper::netem(Netem { delay: ms(delay), ..Netem::default() }, 1));
        let (one, two) = (shaper(10.0), shaper(20.0));
        let way = ShaperChain::new(vec![one.clone(), two.clone()]);
        let now = Instant::now();
        assert_eq!(way.send(now, 100), Some(now + ms(30.0)));
        assert_eq!(way.delay(), ms(30.0));
        assert!(way == ShaperChain::new(vec![one.clone(), two]) && way != ShaperChain::new(vec![one]));
        assert_eq!(ShaperChain::default().send(now, 100), Some(now));
    }
}
