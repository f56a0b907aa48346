//! The requests that were due in one slice of time, and their packed form. The load engine keeps cells packed until the run
//! ends, because a run of an hour has thousands of them.

use std::collections::BTreeMap;

use super::histogram::{read_number, write_number};
use super::{Answers, Failure, Histogram};

/// The most sets of `goodput` bounds that are counted for one load.
pub const MOST_BOUNDS: usize = 64;

/// The requests that were due in one cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that failed, by failure.
    pub failed: BTreeMap<Failure, u64>,
    /// The duration of the failed requests from due to end, in microseconds, by failure.
    pub failed_after: BTreeMap<Failure, Histogram>,
    /// The ones among them that had no token by then: the first token would have taken longer.
    pub tokenless: BTreeMap<Failure, Histogram>,
    /// Latency from due, in microseconds, of requests that succeeded and of requests that never ended (timeout, unfinished,
    /// not sent). The latter count with the time until they were given up. Other failures are only in `failed_after`: a
    /// refused connection is fast and would make a broken service look fast.
    pub latency: Histogram,
    /// How late the load generator was with the requests that it sent a millisecond or more after they were due, in microseconds.
    /// It is a part of their latency.
    pub late: Histogram,
    /// From due to the first token, in microseconds, for streams with tokens.
    pub first_token: Histogram,
    /// The gaps between chunks with tokens of one stream, in microseconds: one value for each chunk after the first. The silence
    /// in which a stream stalled or failed after a second or more is one as well, if it was the stream's longest.
    pub token_gaps: Histogram,
    /// The tokens of answers that succeeded: the server's own count if it sent one, otherwise one per chunk.
    pub tokens: u64,
    /// Requests that were sent and never ended: not within the observation timeout, or still under way at the end of the
    /// run.
    pub stuck: u64,
    /// The maximum number of requests under way at the same time.
    pub in_flight: u64,
    /// Other properties of the answers.
    pub answers: Answers,
}

impl Cell {
    /// Requests that were due.
    pub fn requests(&self) -> u64 {
        self.succeeded + self.failed.values().sum::<u64>()
    }

    /// Adds the requests of another cell.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        for (failure, count) in &other.failed {
            *self.failed.entry(*failure).or_default() += count;
        }
        for (failure, after) in &other.failed_after {
            self.failed_after.entry(*failure).or_default().merge(after);
        }
        for (failure, after) in &other.tokenless {
            self.tokenless.entry(*failure).or_default().merge(after);
        }
        self.latency.merge(&other.latency);
        self.late.merge(&other.late);
        self.first_token.merge(&other.first_token);
        self.token_gaps.merge(&other.token_gaps);
        self.tokens += other.tokens;
        self.stuck += other.stuck;
        self.in_flight = self.in_flight.max(other.in_flight);
        self.answers.merge(&other.answers);
    }
}

/// A cell in compact form: numbers in LEB128, histograms packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedCell(Box<[u8]>);

impl PackedCell {
    /// Packs a cell.
    pub fn new(cell: &Cell) -> Self {
        let mut bytes = Vec::new();
        for number in [cell.succeeded, cell.tokens, cell.stuck, cell.in_flight, cell.failed.len() as u64] {
            write_number(&mut bytes, number);
        }
        for (failure, count) in &cell.failed {
            write_number(&mut bytes, failure.code());
            write_number(&mut bytes, *count);
        }
        let answers = cell.answers.numbers();
        write_number(&mut bytes, answers.len() as u64);
        for (code, count) in answers {
            write_number(&mut bytes, code);
            write_number(&mut bytes, count);
        }
        let mut packed = Vec::new();
        let mut write = |bytes: &mut Vec<u8>, histogram: &Histogram| {
            packed.clear();
            histogram.write(&mut packed);
            write_number(bytes, packed.len() as u64);
            bytes.extend_from_slice(&packed);
        };
        for histogram in [&cell.latency, &cell.late, &cell.first_token, &cell.token_gaps] {
            write(&mut bytes, histogram);
        }
        // Last, so that a cell without failures needs no bytes for them.
        for (times, is_tokenless) in [(&cell.failed_after, 0), (&cell.tokenless, 1)] {
            for (failure, after) in times {
                write_number(&mut bytes, failure.code() * 2 + is_tokenless);
                write(&mut bytes, after);
            }
        }
        Self(bytes.into())
    }

    /// Unpacks the cell. A default value gives an empty cell.
    pub fn unpack(&self) -> Cell {
        let mut bytes = self.0.iter().copied();
        let mut number = || read_number(&mut bytes).unwrap_or_default();
        let mut cell =
            Cell { succeeded: number(), tokens: number(), stuck: number(), in_flight: number(), ..Cell::default() };
        for _ in 0..number() {
            let (code, count) = (number(), number());
            if let Some(failure) = Failure::from_code(code) {
                *cell.failed.entry(failure).or_default() += count;
            }
        }
        for _ in 0..number() {
            let (code, count) = (number(), number());
            cell.answers.add(code, count);
        }
        for histogram in [&mut cell.latency, &mut cell.late, &mut cell.first_token, &mut cell.token_gaps] {
            let length = read_number(&mut bytes).unwrap_or_default() as usize;
            *histogram = Histogram::read(bytes.by_ref().take(length).collect());
        }
        while let Some(code) = read_number(&mut bytes) {
            let length = read_number(&mut bytes).unwrap_or_default() as usize;
            let after = Histogram::read(bytes.by_ref().take(length).collect());
            if let Some(failure) = Failure::from_code(code / 2) {
                let times = if code % 2 == 0 { &mut cell.failed_after } else { &mut cell.tokenless };
                times.insert(failure, after);
            }
        }
        cell
    }

    /// The size in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finish, Integrity};
    use super::*;

    #[test]
    fn packing_is_lossless() {
        assert_eq!(PackedCell::default().unpack(), Cell::default());
        let mut cell = Cell { succeeded: 300, tokens: 12_000, stuck: 2, in_flight: 77, ..Cell::default() };
        for (failure, count) in [Failure::Timeout, Failure::NotSentLate, Failure::Status(503)].into_iter().zip(1..) {
            cell.failed.insert(failure, count);
            cell.failed_after.entry(failure).or_default().record_n(10_000_000 / count, count);
            cell.tokenless.entry(failure).or_default().record_n(20_000_000 / count, count);
        }
        for step in 0..300_u64 {
            cell.latency.record(step * step * 7919 % 90_000);
            cell.first_token.record(step * 17);
            cell.token_gaps.record_n(10_000, 40);
        }
        cell.answers.finish.insert(Finish::Length, 299);
        cell.answers.streams.insert(Integrity::Cut, 1);
        cell.answers.good.insert(1, 250);
        cell.answers.tokens_failed = 70;
        let packed = PackedCell::new(&cell);
        assert_eq!(packed.unpack(), cell);
        assert_eq!(PackedCell::new(&packed.unpack()), packed);
        let mut twice = cell.clone();
        twice.merge(&cell);
        assert_eq!(twice.failed_after[&Failure::Status(503)].len(), 6);
        assert!(packed.size() < 1200, "{}", packed.size());
    }
}
