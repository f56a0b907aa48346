//! What one load sent and got, and how the parts of a load become the whole: counts and histograms are sums, so that it
//! makes no difference how many threads or machines sent it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Cell, Failure, Histogram, Mark, Part, Peculiarities, Samples};

/// The length of the shortest cell, in nanoseconds: the finest grain in which requests can be told apart after the run.
pub const CELL_NS: u64 = 250_000_000;

/// What one load sent and got.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadObservations {
    /// The load's name.
    pub name: String,
    /// True for an open loop, in which requests are due on a schedule.
    pub is_open: bool,
    /// The stretches between the timeline's marks, in order, each followed by its requests that were in flight when a later
    /// phase's fault struck ([`Part::InFlight`]). Every request is in exactly one, by the moment when it was due.
    pub segments: Vec<Segment>,
    /// How many requests the engine issued, counted apart from what became of them. It is the sum of all outcomes.
    pub issued: u64,
    /// Requests that were sent once more, because the server had closed the idle connection that they were first given to
    /// before anything was written to it.
    pub resent: u64,
    /// Of several requests, each by its name: how many succeeded, and how many failed.
    pub requests: Vec<(String, (u64, u64))>,
    /// How often a port-forward had to be made anew.
    pub reconnects: u64,
    /// In what its server's answers depart from the API.
    pub peculiarities: Peculiarities,
    /// The addresses that connections were made to: how many to each, and how many requests went over them.
    pub addresses: BTreeMap<SocketAddr, (u64, u64)>,
}

/// One stretch of the timeline, of one phase and one part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where it begins and what it is.
    pub mark: Mark,
    /// Where it ends.
    pub end_ns: u64,
    /// The length of its cells, in nanoseconds: [`CELL_NS`] in a short stretch, a multiple of it in a long one.
    pub cell_ns: u64,
    /// Its requests; cell `k` holds those that were due from `mark.at_ns + k * cell_ns`.
    pub cells: Vec<Cell>,
    /// How long the steps of its requests took.
    pub timings: Timings,
    /// When the first request that succeeded was due, in nanoseconds since the load's start.
    pub first_success_ns: Option<u64>,
    /// One failed request of each kind.
    pub samples: Samples,
}

/// How long the steps of requests took, in microseconds. Only the latency says what users felt; these say where it comes
/// from, and how well the engine kept its schedule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timings {
    /// How late the engine was with requests that were due, by no fault of the service: until it sent them, or found that
    /// they had to wait for a connection. One value for each request of an open loop.
    pub lateness: Histogram,
    /// From when a request was sent to its end, for requests that were sent and are in the latency.
    pub service: Histogram,
    /// From when a request was sent to the head of its answer, for requests that succeeded.
    pub first_byte: Histogram,
    /// Making connections, with the resolution of names and without TLS.
    pub connect: Histogram,
    /// Agreeing on TLS.
    pub tls: Histogram,
    /// The longest time between two pieces of a stream that brought tokens, for streams with at least two.
    pub longest_gap: Histogram,
    /// The mean time between the tokens of one answer: from its first token to its last, divided by the tokens after the
    /// first. One value for each stream with at least two, so that a long answer weighs no more than a short one.
    pub mean_gap: Histogram,
}

impl Timings {
    /// Adds what others took.
    pub fn merge(&mut self, other: &Self) {
        self.lateness.merge(&other.lateness);
        self.service.merge(&other.service);
        self.first_byte.merge(&other.first_byte);
        self.connect.merge(&other.connect);
        self.tls.merge(&other.tls);
        self.longest_gap.merge(&other.longest_gap);
        self.mean_gap.merge(&other.mean_gap);
    }
}

impl LoadObservations {
    /// All requests, whatever became of them.
    pub fn requests(&self) -> u64 {
        self.segments.iter().flat_map(|segment| &segment.cells).map(Cell::requests).sum()
    }

    /// How long the steps of all requests took.
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

    /// The stretches of time, with the requests that were in flight where they were due.
    pub fn stretches(&self) -> Cow<'_, [Segment]> {
        let in_flight = |segment: &Segment| segment.mark.part == Part::InFlight;
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

    /// Adds what another part of the same load sent and got. Both know the same marks.
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
        self.is_open |= other.is_open;
        for segment in other.segments {
            match self.segments.iter_mut().find(|known| known.mark == segment.mark) {
                Some(known) => known.merge(segment),
                None => {
                    let place = |mark: Mark| (mark.at_ns, mark.part == Part::InFlight);
                    let at = self.segments.partition_point(|known| place(known.mark) <= place(segment.mark));
                    self.segments.insert(at, segment);
                }
            }
        }
    }
}

impl Segment {
    /// A stretch without requests.
    pub fn new(mark: Mark, end_ns: u64) -> Self {
        let (timings, cells, samples) = (Timings::default(), Vec::new(), Samples::default());
        Self { mark, end_ns, cell_ns: CELL_NS, cells, timings, first_success_ns: None, samples }
    }

    /// Adds the requests of another part of the load in the same stretch.
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
        self.first_success_ns = [self.first_success_ns, other.first_success_ns].into_iter().flatten().min();
    }

    /// Makes its cells twice as long.
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
