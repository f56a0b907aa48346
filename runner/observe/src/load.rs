//! The requests of one load. Counts and histograms are sums, so the result does not depend on how many threads or machines
//! sent the load.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Cell, Failure, Histogram, Mark, Peculiarities, PhasePart, Samples};

/// The length of the shortest cell, in nanoseconds: the time resolution of everything that is known about requests after
/// the run.
pub const CELL_NS: u64 = 250_000_000;

/// The requests of one load and their outcomes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadObservations {
    /// The load's name.
    pub name: String,
    /// True for an open loop, in which requests are due on a schedule.
    pub is_open: bool,
    /// The segments between the timeline's marks, in order. Each is followed by its requests that were in flight when a
    /// later phase's fault struck ([`PhasePart::InFlight`]). Every request is in exactly one segment, by the moment at which it
    /// was due.
    pub segments: Vec<Segment>,
    /// The number of issued requests, counted independently of their outcomes. It equals the sum of all outcomes.
    pub issued: u64,
    /// Requests that were sent twice: the server had closed the idle connection before the first byte was written.
    pub resent: u64,
    /// For a load with several requests: how many of each name succeeded and how many failed.
    pub requests: Vec<(String, (u64, u64))>,
    /// How often a port-forward was reconnected.
    pub reconnects: u64,
    /// The deviations of the server's answers from the API.
    pub peculiarities: Peculiarities,
    /// The addresses that the load connected to: the number of connections and of requests for each.
    pub addresses: BTreeMap<SocketAddr, (u64, u64)>,
    /// The clocks of the servers, in the order of time, if they were asked for: at most one for each lane and second.
    pub dates: Vec<DateSample>,
}

/// The `Date` header of one answer, compared with the clock of this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DateSample {
    /// When the head of the answer arrived, in nanoseconds since the load's start.
    pub at_ns: u64,
    /// How far the header is ahead, in seconds. Headers have no fractions of a second, so it is up to 1 s too low.
    pub ahead_s: f64,
}

/// One segment of the timeline: one phase, and one part of that phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where the segment begins, and its part of the phase.
    pub mark: Mark,
    /// When the segment ends, in nanoseconds since the load's start.
    pub end_ns: u64,
    /// The length of the cells, in nanoseconds: [`CELL_NS`] in a short segment, a multiple of it in a long one.
    pub cell_ns: u64,
    /// The requests. Cell `k` holds those that were due from `mark.at_ns + k * cell_ns`.
    pub cells: Vec<Cell>,
    /// The durations of the steps of these requests.
    pub timings: Timings,
    /// When the first successful request was due, in nanoseconds since the load's start.
    pub first_success_ns: Option<u64>,
    /// One failed request for each failure.
    pub samples: Samples,
    /// The requests of each part, if the load is broken down. A part has no tokens and no finer times.
    pub parts: BTreeMap<LoadPart, Cell>,
}

/// A part of a load's requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadPart {
    /// The requests of the step with this name. Each was due when the step before it ended.
    Step(String),
    /// The requests whose answer named this group.
    Group(String),
    /// The requests of all groups beyond those that have a count of their own.
    Others,
    /// The requests whose answer named no group.
    Unnamed,
    /// The requests without an answer.
    Unanswered,
}

/// The durations of the steps of requests, in microseconds. Latency is the only measure of what users experience. These
/// durations show where the latency comes from, and how well the engine kept its schedule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timings {
    /// The engine's own delay with a request that was due, until it was sent or began to wait for a connection. One value
    /// for each request of an open loop.
    pub lateness: Histogram,
    /// The time that requests waited because `max_in_flight` others were under way. One value for each request that waited
    /// and was sent.
    pub turn: Histogram,
    /// From sent to the end, for requests that were sent and count in the latency.
    pub service: Histogram,
    /// The same for the other requests that were sent and failed.
    pub service_failed: Histogram,
    /// From sent to the head of the answer, for requests that succeeded.
    pub first_byte: Histogram,
    /// Making connections, including name resolution and without TLS.
    pub connect: Histogram,
    /// TLS handshakes.
    pub tls: Histogram,
    /// The longest gap between two chunks with tokens, for streams with at least two such chunks.
    pub longest_gap: Histogram,
    /// The mean time between the tokens of one answer: the time from its first token to its last, divided by the number of
    /// tokens after the first. One value for each stream with at least two tokens, so that a long answer weighs no more
    /// than a short one.
    pub mean_gap: Histogram,
}

impl Timings {
    /// Adds the timings of other requests.
    pub fn merge(&mut self, other: &Self) {
        self.lateness.merge(&other.lateness);
        self.turn.merge(&other.turn);
        self.service.merge(&other.service);
        self.service_failed.merge(&other.service_failed);
        self.first_byte.merge(&other.first_byte);
        self.connect.merge(&other.connect);
        self.tls.merge(&other.tls);
        self.longest_gap.merge(&other.longest_gap);
        self.mean_gap.merge(&other.mean_gap);
    }
}

impl LoadObservations {
    /// All requests, regardless of their outcome.
    pub fn requests(&self) -> u64 {
        self.segments.iter().flat_map(|segment| &segment.cells).map(Cell::requests).sum()
    }

    /// The timings of all requests.
    pub fn timings(&self) -> Timings {
        let mut sum = Timings::default();
        self.segments.iter().for_each(|segment| sum.merge(&segment.timings));
        sum
    }

    /// Requests that were never sent.
    pub fn not_sent(&self) -> u64 {
        let failed = self.segments.iter().flat_map(|segment| &segment.cells).flat_map(|cell| &cell.failed);
        failed.filter(|(failure, _): &(&Failure, _)| failure.is_not_sent()).map(|(_, count)| count).sum()
    }

    /// The segments by time alone: requests in flight are merged into the segment in which they were due.
    pub fn stretches(&self) -> Cow<'_, [Segment]> {
        let in_flight = |segment: &Segment| segment.mark.part == PhasePart::InFlight;
        if !self.segments.iter().any(in_flight) {
            return Cow::Borrowed(&self.segments);
        }
        let mut stretches: Vec<Segment> = Vec::new();
        for segment in &self.segments {
            match stretches.last_mut().filter(|_| in_flight(segment)) {
                Some(last) => last.merge(segment.clone()),
                None => stretches.push(segment.clone()),
            }
        }
        Cow::Owned(stretches)
    }

    /// Adds the observations of another share of the same load. Both must have the same marks.
    pub fn merge(&mut self, other: Self) {
        self.issued += other.issued;
        self.resent += other.resent;
        for (name, (succeeded, failed)) in other.requests {
            match self.requests.iter_mut().find(|(known, _)| *known == name) {
                Some((_, counts)) => *counts = (counts.0 + succeeded, counts.1 + failed),
                None => self.requests.push((name, (succeeded, failed))),
            }
        }
        self.reconnects += other.reconnects;
        self.peculiarities.merge(other.peculiarities);
        for (address, (connections, requests)) in other.addresses {
            let counts = self.addresses.entry(address).or_default();
            *counts = (counts.0 + connections, counts.1 + requests);
        }
        self.dates.extend(other.dates);
        self.dates.sort_by_key(|it| it.at_ns);
        self.is_open |= other.is_open;
        for segment in other.segments {
            match self.segments.iter_mut().find(|known| known.mark == segment.mark) {
                Some(known) => known.merge(segment),
                None => {
                    let place = |mark: Mark| (mark.at_ns, mark.part == PhasePart::InFlight);
                    let at = self.segments.partition_point(|known| place(known.mark) <= place(segment.mark));
                    self.segments.insert(at, segment);
                }
            }
        }
    }
}

impl Segment {
    /// A segment without requests.
    pub fn new(mark: Mark, end_ns: u64) -> Self {
        let (timings, cells, samples) = (Timings::default(), Vec::new(), Samples::default());
        let parts = BTreeMap::new();
        Self { mark, end_ns, cell_ns: CELL_NS, cells, timings, first_success_ns: None, samples, parts }
    }

    /// Adds the requests of the same segment from another share of the load.
    pub fn merge(&mut self, mut other: Self) {
        while self.cell_ns < other.cell_ns {
            self.coarsen();
        }
        while other.cell_ns < self.cell_ns {
            other.coarsen();
        }
        if self.cells.len() < other.cells.len() {
            self.cells.resize(other.cells.len(), Cell::default());
        }
        for (cell, more) in self.cells.iter_mut().zip(&other.cells) {
            cell.merge(more);
        }
        self.end_ns = self.end_ns.max(other.end_ns);
        self.timings.merge(&other.timings);
        self.samples.merge(other.samples);
        for (part, cell) in other.parts {
            self.parts.entry(part).or_default().merge(&cell);
        }
        self.first_success_ns = [self.first_success_ns, other.first_success_ns].into_iter().flatten().min();
    }

    /// Doubles the length of the cells.
    fn coarsen(&mut self) {
        self.cell_ns *= 2;
        let pairs = std::mem::take(&mut self.cells).into_iter();
        let mut pairs = pairs.fuse();
        while let Some(mut cell) = pairs.next() {
            if let Some(next) = pairs.next() {
                cell.merge(&next);
            }
            self.cells.push(cell);
        }
    }
}
