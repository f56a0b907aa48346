//! The line against ways with known rules, on times that the tests make up.

use std::sync::Arc;

use super::*;
use crate::net::shaper::{Bucket, Chance, Netem, Shaper};
use crate::net::timer::turn;

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn lossy(share: f64, seed: u64) -> ShaperChain {
    let loss = Chance { share, correlation: 0.0 };
    ShaperChain::new(vec![Arc::new(Shaper::netem(Netem { loss, ..Netem::default() }, seed))])
}

fn slow(delay: Duration, jitter: Duration) -> ShaperChain {
    ShaperChain::new(vec![Arc::new(Shaper::netem(Netem { delay, jitter, ..Netem::default() }, 5))])
}

/// A line between two ways, and its time.
struct Trial {
    line: Line,
    way: ShaperChain,
    back: ShaperChain,
    start: Instant,
    now: Instant,
}

impl Trial {
    fn new(way: ShaperChain, back: ShaperChain) -> Self {
        // The timers of all trials are rounded in the same way.
        let now = turn();
        Self { line: Line::new(), way, back, start: now, now }
    }

    fn write(&mut self, data: &[u8]) {
        self.line.write(Bytes::copy_from_slice(data));
        self.line.advance(self.now, &self.way, &self.back);
    }

    fn read(&mut self) -> Option<io::Result<Vec<u8>>> {
        let mut space = vec![0; 1 << 16];
        let mut buf = ReadBuf::new(&mut space);
        let read = self.line.read(&mut buf)?;
        Some(read.map(|()| buf.filled().to_vec()))
    }

    /// Lets time pass until there is something to read; says when that was.
    fn arrival(&mut self) -> (Duration, io::Result<Vec<u8>>) {
        loop {
            self.line.advance(self.now, &self.way, &self.back);
            if let Some(read) = self.read() {
                return (self.now - self.start, read);
            }
            self.now = self.line.next().expect("something happens").max(self.now);
        }
    }

    /// When the last of this number of bytes is read.
    fn all(&mut self, bytes: usize) -> Duration {
        let mut got = 0;
        loop {
            let (at, data) = self.arrival();
            got += data.unwrap().len();
            if got >= bytes {
                return at;
            }
        }
    }
}

#[test]
fn a_delay_moves_everything_and_keeps_the_order() {
    let mut trial = Trial::new(slow(ms(100), ms(50)), ShaperChain::default());
    for letter in b'a'..=b'j' {
        trial.write(&[letter]);
    }
    let mut text = Vec::new();
    while text.len() < 10 {
        let (at, data) = trial.arrival();
        assert!((ms(50)..=ms(150)).contains(&at), "{at:?}");
        text.extend(data.unwrap());
    }
    assert_eq!(text, b"abcdefghij");
}

#[test]
fn a_lost_segment_comes_after_timeouts_that_double() {
    let mut seen = std::collections::BTreeMap::new();
    let way = lossy(0.5, 11);
    for _ in 0..2000 {
        let mut trial = Trial::new(way.clone(), ShaperChain::default());
        trial.write(b"x");
        *seen.entry(trial.arrival().0.as_millis()).or_insert(0) += 1;
    }
    let share = |ms: u128| f64::from(*seen.get(&ms).unwrap_or(&0)) / 2000.0;
    for (ms, expected) in [(0, 0.5), (208, 0.25), (640, 0.125), (1472, 0.0625), (3136, 0.03125)] {
        assert!((share(ms) - expected).abs() < 0.03, "{ms} ms: {} of {seen:?}", share(ms));
    }
}

#[test]
fn three_later_segments_make_a_lost_one_come_sooner() {
    // The first packet of this seed is lost, the next four are not.
    let seed = (0..).find(|seed| {
        let (way, now) = (lossy(0.3, *seed), Instant::now());
        let arrives: Vec<bool> = (0..5).map(|_| way.send(now, 100).is_some()).collect();
        arrives == [false, true, true, true, true]
    });
    let mut trial = Trial::new(lossy(0.3, seed.unwrap()), slow(ms(10), ms(0)));
    for part in [b"a", b"b", b"c", b"d"] {
        trial.write(part);
    }
    let (at, data) = trial.arrival();
    assert_eq!((at, data.unwrap()), (ms(10), b"abcd".to_vec()));
}

#[test]
fn a_connection_that_loses_everything_breaks_at_last() {
    let mut trial = Trial::new(lossy(1.0, 1), ShaperChain::default());
    trial.write(b"x");
    let (at, read) = trial.arrival();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
    // What Linux's documentation gives for tcp_retries2 = 15 and the least timeout, 924.6 seconds, and what the ticks and the
    // rounding of its timers add.
    assert!((924.6..924.6 * 1.04).contains(&at.as_secs_f64()), "{at:?}");
}

#[test]
fn a_segment_that_was_lost_comes_with_its_next_attempt_once_the_way_is_good() {
    let mut trial = Trial::new(lossy(1.0, 1), ShaperChain::default());
    trial.write(b"x");
    trial.now += ms(2000);
    trial.line.advance(trial.now, &trial.way, &trial.back);
    trial.way = ShaperChain::default();
    trial.line.reroute(trial.now, &trial.way, &trial.back);
    // 208, 640, 1472 were in vain; 3136 is next.
    assert_eq!(trial.arrival().0, ms(3136));
}

#[test]
fn what_is_on_a_way_that_is_taken_away_has_to_be_sent_again() {
    let mut trial = Trial::new(slow(ms(5000), ms(0)), ShaperChain::default());
    trial.write(b"x");
    trial.now += ms(100);
    trial.way = ShaperChain::default();
    trial.line.reroute(trial.now, &trial.way, &trial.back);
    assert_eq!(trial.arrival().0, ms(208));
}

#[test]
fn a_bucket_gives_its_rate_to_a_long_stream() {
    // 1 Mbit/s with room for a second: 256 kB take about two seconds and a bit for the headers.
    let bucket = Bucket { rate: 125_000.0, limit: 125_000.0, buffer: 10_000.0, peak: None };
    let mut trial = Trial::new(ShaperChain::new(vec![Arc::new(Shaper::bucket(bucket))]), ShaperChain::default());
    let bytes = 250_000;
    trial.write(&vec![7; bytes]);
    let took = trial.all(bytes).as_secs_f64();
    assert!((1.9..2.6).contains(&took), "{took}");
}

#[test]
fn a_queue_that_is_too_short_costs_more_than_the_rate() {
    let took = |limit: f64| {
        let bucket = Bucket { rate: 125_000.0, limit, buffer: 3_000.0, peak: None };
        let mut trial = Trial::new(ShaperChain::new(vec![Arc::new(Shaper::bucket(bucket))]), slow(ms(50), ms(0)));
        trial.write(&vec![7; 200_000]);
        trial.all(200_000).as_secs_f64()
    };
    assert!(took(3_000.0) > 1.2 * took(125_000.0), "{} {}", took(3_000.0), took(125_000.0));
}

#[test]
fn the_end_comes_last_and_again() {
    let mut trial = Trial::new(slow(ms(20), ms(0)), ShaperChain::default());
    trial.write(b"bye");
    trial.line.end(Ok(()));
    assert!(!trial.line.has_room());
    let (at, data) = trial.arrival();
    assert_eq!((at, data.unwrap()), (ms(20), b"bye".to_vec()));
    for _ in 0..2 {
        assert_eq!(trial.arrival().1.unwrap(), b"");
    }
    let mut trial = Trial::new(slow(ms(20), ms(0)), ShaperChain::default());
    trial.line.end(Err(io::ErrorKind::ConnectionReset));
    assert_eq!(trial.arrival().1.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_reader_that_does_not_read_stops_the_sender() {
    let mut trial = Trial::new(slow(ms(1), ms(0)), ShaperChain::default());
    while trial.line.has_room() {
        trial.write(&[7; 16 << 10]);
    }
    assert_eq!(trial.line.bytes, ROOM);
    trial.all(ROOM);
    assert!(trial.line.has_room());
}
