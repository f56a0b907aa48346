//! TCP over a path with delay and loss: bytes arrive late, in order, or the connection breaks.
//!
//! In scope: segments, retransmissions and the congestion window, as a function of time. Out of scope:
//! sockets (`stream`), and what the way does to a packet (`shaper`).
//!
//! The rules are those of Linux: a lost segment is sent again after the retransmission timeout (RFC 6298, with Linux's
//! floor of 200 ms above the round trip, and as late as its timers are), which doubles each time, or as soon as three later
//! segments have arrived (RFC 5681); what comes after a lost segment waits for it; after 15 attempts the connection is given up
//! (`tcp_retries2`). The window starts at ten segments, grows with every acknowledgement, halves at a loss and falls to
//! one at a timeout. Lost acknowledgements are not modelled: the next one covers them.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::shaper::ShaperChain;
use super::timer::{fires, in_ticks};

/// The bytes of a full segment, on a link with 1500.
const SEGMENT: usize = 1448;
/// The headers of a segment on Ethernet.
pub(super) const HEADERS: usize = 66;
/// The most bytes in flight or waiting to be read: the size of a kernel's buffers.
const ROOM: usize = 256 << 10;
const LEAST_TIMEOUT: Duration = Duration::from_millis(200);
const MOST_TIMEOUT: Duration = Duration::from_secs(120);
const RETRIES: u32 = 15;
const DUPLICATES: u32 = 3;
const WINDOW: f64 = 10.0;

/// One direction of a connection, from the sent bytes to the readable ones.
#[derive(Debug)]
pub(super) struct Line {
    segments: VecDeque<Segment>,
    bytes: usize,
    window: f64,
    threshold: f64,
    /// When the sender learns that segments arrived.
    acknowledged: VecDeque<Instant>,
    is_broken: bool,
}

#[derive(Debug)]
struct Segment {
    data: Bytes,
    /// The end of the stream.
    end: Option<Result<(), io::ErrorKind>>,
    state: SegmentState,
    /// Attempts that ran into the timeout.
    tries: u32,
    /// Later segments that arrived since this one was lost.
    passed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum SegmentState {
    /// There is no room in the window yet.
    Waiting,
    UnderWay {
        sent: Instant,
        arrives: Instant,
    },
    Lost {
        again: Instant,
        by_timeout: bool,
    },
    Arrived,
}

enum Event {
    Arrival(usize),
    Retry(usize),
    Acknowledgement,
}

impl Line {
    pub fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            bytes: 0,
            window: WINDOW,
            threshold: f64::INFINITY,
            acknowledged: VecDeque::new(),
            is_broken: false,
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether everything that was sent has arrived.
    pub fn has_arrived(&self) -> bool {
        self.segments.iter().all(|segment| segment.state == SegmentState::Arrived)
    }

    /// Whether more can be sent.
    pub fn has_room(&self) -> bool {
        self.bytes < ROOM && self.segments.back().is_none_or(|last| last.end.is_none())
    }

    /// The sender wrote something.
    pub fn write(&mut self, mut data: Bytes) {
        self.bytes += data.len();
        while !data.is_empty() {
            let part = data.split_to(data.len().min(SEGMENT));
            self.push(part, None);
        }
    }

    /// The sender closed the connection, or it broke.
    pub fn end(&mut self, how: Result<(), io::ErrorKind>) {
        self.push(Bytes::new(), Some(how));
    }

    fn push(&mut self, data: Bytes, end: Option<Result<(), io::ErrorKind>>) {
        self.segments.push_back(Segment { data, end, state: SegmentState::Waiting, tries: 0, passed: 0 });
    }

    /// Changes the path. Packets on the old path are lost, as when a queueing discipline is removed.
    pub fn reroute(&mut self, now: Instant, way: &ShaperChain, back: &ShaperChain) {
        for segment in &mut self.segments {
            if let SegmentState::UnderWay { sent, arrives } = segment.state
                && arrives > now
            {
                segment.state =
                    SegmentState::Lost { again: fires(sent, timeout(way, back, 0)).max(now), by_timeout: true };
            }
        }
    }

    /// Processes all events until `now`.
    pub fn advance(&mut self, now: Instant, way: &ShaperChain, back: &ShaperChain) {
        self.fill_window(now, way, back);
        while let Some((at, event)) = self.first_event().filter(|(at, _)| *at <= now) {
            match event {
                Event::Arrival(index) => {
                    self.segments[index].state = SegmentState::Arrived;
                    self.acknowledged.push_back(at + back.delay());
                    self.pass(index, at + back.delay());
                }
                Event::Retry(index) => {
                    let segment = &mut self.segments[index];
                    let by_timeout = matches!(segment.state, SegmentState::Lost { by_timeout: true, .. });
                    self.threshold = (self.window / 2.0).max(2.0);
                    self.window = if by_timeout { 1.0 } else { self.threshold };
                    segment.tries += u32::from(by_timeout);
                    self.is_broken |= segment.tries > RETRIES;
                    self.transmit(index, at, way, back);
                }
                Event::Acknowledgement => {
                    self.acknowledged.pop_front();
                    self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
                }
            }
            if self.is_broken {
                return;
            }
            self.fill_window(at, way, back);
        }
    }

    /// A segment arrived. If it is the third after a lost segment, the lost one is retransmitted at `known`.
    fn pass(&mut self, arrived: usize, known: Instant) {
        for segment in self.segments.iter_mut().take(arrived) {
            if let SegmentState::Lost { again, by_timeout: true } = segment.state {
                segment.passed += 1;
                if segment.passed >= DUPLICATES && known < again {
                    segment.state = SegmentState::Lost { again: known, by_timeout: false };
                }
            }
        }
    }

    fn fill_window(&mut self, now: Instant, way: &ShaperChain, back: &ShaperChain) {
        let on_the_way = |s: &&Segment| matches!(s.state, SegmentState::UnderWay { .. } | SegmentState::Lost { .. });
        let mut out = self.segments.iter().filter(on_the_way).count() + self.acknowledged.len();
        for index in 0..self.segments.len() {
            if out as f64 >= self.window.max(1.0) {
                return;
            }
            if self.segments[index].state == SegmentState::Waiting {
                self.transmit(index, now, way, back);
                out += 1;
            }
        }
    }

    fn transmit(&mut self, index: usize, now: Instant, way: &ShaperChain, back: &ShaperChain) {
        let segment = &mut self.segments[index];
        segment.passed = 0;
        segment.state = match way.send(now, segment.data.len() + HEADERS) {
            Some(arrives) => SegmentState::UnderWay { sent: now, arrives },
            None => SegmentState::Lost { again: fires(now, timeout(way, back, segment.tries)), by_timeout: true },
        };
    }

    fn first_event(&self) -> Option<(Instant, Event)> {
        let of = |(index, segment): (usize, &Segment)| match segment.state {
            SegmentState::UnderWay { arrives, .. } => Some((arrives, Event::Arrival(index))),
            SegmentState::Lost { again, .. } => Some((again, Event::Retry(index))),
            SegmentState::Waiting | SegmentState::Arrived => None,
        };
        let acknowledged = self.acknowledged.front().map(|at| (*at, Event::Acknowledgement));
        self.segments.iter().enumerate().filter_map(of).chain(acknowledged).min_by_key(|(at, _)| *at)
    }

    /// The next event without an external cause.
    pub fn next(&self) -> Option<Instant> {
        self.first_event().map(|(at, _)| at)
    }

    /// Moves arrived bytes into `buf`. `None` when there is nothing to read yet; an empty `buf` means the end of the stream.
    ///
    /// # Errors
    /// When the connection broke, here or at its other end.
    pub fn read(&mut self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        if self.is_broken {
            return Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end acknowledges nothing")));
        }
        let mut moved = false;
        while let Some(first) = self.segments.front_mut().filter(|first| first.state == SegmentState::Arrived) {
            if let Some(how) = first.end {
                return Some(if moved { Ok(()) } else { how.map_err(io::Error::from) });
            }
            let length = first.data.len().min(buf.remaining());
            if length == 0 {
                break;
            }
            buf.put_slice(&first.data[..length]);
            first.data.advance(length);
            (self.bytes, moved) = (self.bytes - length, true);
            if first.data.is_empty() {
                self.segments.pop_front();
            }
        }
        moved.then_some(Ok(()))
    }
}

/// The timeout before the `tries`-th retransmission of a segment.
fn timeout(way: &ShaperChain, back: &ShaperChain, tries: u32) -> Duration {
    let round_trip = way.delay() + back.delay();
    let variation = LEAST_TIMEOUT.max((way.jitter() + back.jitter()) * 2);
    in_ticks(round_trip + variation).saturating_mul(1 << tries.min(16)).min(MOST_TIMEOUT)
}

#[cfg(test)]
mod tests;
