//! Counting: each request that ended is counted in the cell in which it was due.
//!
//! A request that ended was due in the past, and all marks up to now are known (see `Marks`), so it can be counted at once.
//! Memory does not grow with the number of requests: there is a small packed cell for each 250 ms, and longer cells in a
//! long segment. Everything here is pure apart from one lock. Only the live display competes for it, because each engine
//! thread counts separately.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::job::{Job, micros};
use shakedown_observe::{
    CELL_NS, Cell, DateSample, Failure, Finish, Histogram, Integrity, LoadObservations, LoadPart, MOST_BOUNDS, Mark,
    Marks, Outcomes, PackedCell, PhasePart, Sample, Samples, Segment, Strike, Timings,
};

/// The age at which a cell is packed: few of its requests are still under way.
const COLD_NS: u64 = 1_000_000_000;

/// The most cells of a segment before their length doubles: for cells shorter than 1 s, and for longer ones.
const MOST_FINE_CELLS: u64 = 1024;
const MOST_CELLS: u64 = 4096;

/// The least lateness of a request that is kept with its cell, in microseconds.
const LATE_US: u32 = 1000;

/// A stream without a token for this long has a gap.
pub(super) const GAP: Duration = Duration::from_secs(1);

/// The most addresses of a service that are counted separately.
const MOST_ADDRESSES: usize = 256;

/// A request that ended.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) job: Job,
    /// From due to the end without the wait for a tunnel, in microseconds, saturating.
    pub(super) latency_us: u32,
    /// From sent to the head of the answer, in microseconds.
    pub(super) first_byte_us: Option<u32>,
    /// The tokens of the answer, if any.
    pub(super) tokens: Option<Box<Tokens>>,
    /// Why it failed. None for a success.
    pub(super) failure: Option<Failure>,
    /// It was sent and never ended.
    pub(super) is_stuck: bool,
    /// The properties of the answer.
    pub(super) traits: AnswerTraits,
    /// The sets of bounds that it met, the first in the lowest bit.
    pub(super) good: u64,
    /// The number of tokens that it lacks, compared with its reference answer.
    pub(super) lost: u64,
    /// It succeeded, and no reference answer could be compared with it.
    pub(super) is_unmatched: bool,
}

/// The bounds of a good request, each in microseconds and inclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) latency_us: Option<u32>,
    pub(super) first_token_us: Option<u32>,
    pub(super) mean_gap_us: Option<u32>,
}

impl Bounds {
    /// Whether a successful request met all bounds. Without tokens it met no bound of tokens. With one token there is no mean
    /// gap to bound.
    fn hold(&self, record: &Record) -> bool {
        let within =
            |bound: Option<u32>, value: Option<u32>| bound.is_none_or(|most| value.is_some_and(|it| it <= most));
        let tokens = record.tokens.as_deref().filter(|tokens| tokens.first_us.is_some());
        within(self.latency_us, Some(record.latency_us))
            && within(self.first_token_us, tokens.and_then(|tokens| tokens.first_us))
            && within(self.mean_gap_us, tokens.map(|tokens| tokens.mean_us(record.job.begun_ns()).unwrap_or_default()))
    }
}

impl Record {
    /// Determines which of these bounds the request met.
    pub(super) fn meets(&mut self, bounds: &[Bounds]) {
        let all = bounds.iter().take(MOST_BOUNDS).zip(0..);
        self.good = match self.failure {
            None => all.filter(|(bounds, _)| bounds.hold(self)).fold(0, |good, (_, place)| good | 1 << place),
            Some(_) => 0,
        };
    }
}

/// The properties of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AnswerTraits {
    /// It is a stream of events.
    pub(super) is_stream: bool,
    /// The finish reason.
    pub(super) finish: Option<Finish>,
    /// The stream repeated text after a gap.
    pub(super) is_repeated: bool,
}

impl Record {
    /// When it ended, in nanoseconds since the load's start.
    fn end_ns(&self) -> u64 {
        self.job.begun_ns().saturating_add(u64::from(self.latency_us) * 1000)
    }
}

/// The tokens of one answer, in constant memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// From when the latency begins to the first chunk with tokens, in microseconds.
    first_us: Option<u32>,
    /// When the last such chunk arrived, in nanoseconds since the load's start.
    last_ns: u64,
    /// The longest gap between two such chunks, in microseconds.
    longest_us: u32,
    /// The number of such chunks.
    pieces: u64,
    /// The server's own token count.
    counted: Option<u64>,
}

impl Tokens {
    /// `pieces` chunks have arrived so far, and the server counts `counted` tokens. Calls `gap` with the time since the
    /// previous chunk and the number of new chunks. Chunks that arrive together have no gap between them, as for a reader
    /// of the stream.
    pub(super) fn see(
        &mut self,
        begun_ns: u64,
        now_ns: u64,
        pieces: u64,
        counted: Option<u64>,
        mut gap: impl FnMut(u32, u64),
    ) {
        self.counted = counted;
        let Some(batch) = pieces.checked_sub(self.pieces).filter(|batch| *batch > 0) else { return };
        match self.first_us {
            None => self.first_us = Some(micros(now_ns.saturating_sub(begun_ns)).max(1)),
            Some(_) => {
                let since = micros(now_ns.saturating_sub(self.last_ns));
                self.longest_us = self.longest_us.max(since);
                gap(since, 1);
            }
        }
        if batch > 1 {
            gap(0, batch - 1);
        }
        (self.last_ns, self.pieces) = (now_ns, pieces);
    }

    /// From the first token to the last, divided by the number of tokens after the first, in microseconds.
    fn mean_us(&self, begun_ns: u64) -> Option<u32> {
        let after = self.count().checked_sub(1).filter(|after| *after > 0)?;
        let first_ns = begun_ns + u64::from(self.first_us?) * 1000;
        Some(micros(self.last_ns.saturating_sub(first_ns) / after))
    }

    /// True when the stream paused and continued: its longest gap is at least [`GAP`], and ten times the mean of the
    /// others.
    fn has_resumed(&self, begun_ns: u64) -> bool {
        let (Some(first_us), Some(others)) = (self.first_us, self.pieces.checked_sub(2)) else { return false };
        let whole_us = self.last_ns.saturating_sub(begun_ns + u64::from(first_us) * 1000) / 1000;
        let longest_us = u64::from(self.longest_us);
        let rest_us = whole_us.saturating_sub(longest_us);
        longest_us >= GAP.as_micros() as u64 && longest_us.saturating_mul(others) >= rest_us.saturating_mul(10)
    }

    /// From the last chunk with tokens to the end of a stream that failed, in microseconds, if that was its longest gap.
    fn last_gap_us(&self, end_ns: u64) -> Option<u64> {
        self.first_us?;
        let gap = micros(end_ns.saturating_sub(self.last_ns));
        (gap > self.longest_us).then_some(gap.into())
    }

    /// The server's own count, but at least one token per chunk: a lower count would make the time between tokens look short.
    pub(super) fn count(&self) -> u64 {
        self.counted.unwrap_or_default().max(self.pieces)
    }
}

/// A gap between two chunks of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    /// When the stream's request was due.
    pub(super) due_ns: u64,
    pub(super) gap_us: u32,
    pub(super) count: u32,
}

/// A connection that was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewConnection {
    /// When the attempt began.
    pub(super) at_ns: u64,
    pub(super) connect_us: u32,
    pub(super) tls_us: Option<u32>,
}

/// An address of the service, and its use since the last flush.
#[derive(Debug, Clone, Copy)]
pub(super) struct AddressUse {
    pub(super) address: SocketAddr,
    pub(super) connections: u64,
    pub(super) requests: u64,
}

impl AddressUse {
    /// An address that has not been used yet.
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self { address, connections: 0, requests: 0 }
    }
}

/// A request that ended, as a part of the load counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartRecord {
    /// When it was due: for a step, when the previous one ended.
    pub(super) due_ns: u64,
    /// When it ended.
    pub(super) end_ns: u64,
    /// The index of the part.
    pub(super) part: u16,
    /// From due to the end without the wait for a tunnel, in microseconds.
    pub(super) latency_us: u32,
    pub(super) failure: Option<Failure>,
}

/// The outcomes since the last flush, which are counted together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) gaps: Vec<Gap>,
    pub(super) made: Vec<NewConnection>,
    pub(super) samples: Vec<(Failure, Sample)>,
    /// Each address once, at a fixed index.
    pub(super) reached: Vec<AddressUse>,
    pub(super) dates: Vec<DateSample>,
    pub(super) parts: Vec<PartRecord>,
    /// New parts, in the order of their indices.
    pub(super) labels: Vec<LoadPart>,
}

/// The counts of one share of a load.
#[derive(Debug)]
pub(super) struct Ledger {
    marks: Arc<Marks>,
    state: Mutex<LedgerState>,
}

#[derive(Debug, Default, Clone)]
struct LedgerState {
    /// The segments by their beginning.
    stretches: BTreeMap<u64, SegmentCounts>,
    /// Their requests that were in flight when a fault struck, and the index of the fault's phase.
    in_flight: BTreeMap<u64, (usize, SegmentCounts)>,
    issued: u64,
    live: LiveCounts,
    /// Connections and requests of each address.
    addresses: BTreeMap<SocketAddr, (u64, u64)>,
    dates: Vec<DateSample>,
    /// The parts by index.
    labels: Vec<LoadPart>,
}

/// The requests of one stretch between two marks.
#[derive(Debug, Clone)]
struct SegmentCounts {
    begin_ns: u64,
    cell_ns: u64,
    /// Cells that are no longer counted into.
    cold: Vec<PackedCell>,
    /// Cells that are still counted into, by number.
    hot: BTreeMap<u64, Cell>,
    timings: Timings,
    first_success_ns: Option<u64>,
    samples: Samples,
    /// The requests of each part, by its index.
    parts: BTreeMap<u16, Cell>,
}

/// The requests that ended since the last call of `live`.
#[derive(Debug, Default, Clone)]
pub(super) struct LiveCounts {
    pub(super) ended: u64,
    pub(super) succeeded: u64,
    pub(super) latency: Outcomes,
}

impl LiveCounts {
    pub(super) fn merge(&mut self, other: &Self) {
        self.ended += other.ended;
        self.succeeded += other.succeeded;
        self.latency.merge(&other.latency);
    }
}

impl Ledger {
    pub(super) fn new(marks: Arc<Marks>) -> Self {
        Self { marks, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Counts a batch and clears it. `issued` is the number of all issued requests.
    pub(super) fn take(&self, batch: &mut Batch, issued: u64, now_ns: u64) {
        let (marks, strikes) = (self.marks.all(), self.marks.strikes());
        let mut state = self.state();
        state.issued = issued;
        state.count(batch, &marks, &strikes, now_ns);
    }

    /// The requests that ended since the last call.
    pub(super) fn live(&self) -> LiveCounts {
        std::mem::take(&mut self.state().live)
    }

    /// All counts, cut at the timeline's marks.
    pub(super) fn close(&self, end_ns: u64) -> LoadObservations {
        std::mem::take(&mut *self.state()).close(self.marks.all(), end_ns)
    }

    /// The counts so far, cut at the timeline's marks, while the load continues. Requests under way are missing.
    pub(super) fn so_far(&self, end_ns: u64) -> LoadObservations {
        let state = self.state().clone();
        state.close(self.marks.all(), end_ns)
    }
}

/// The segment that contains a moment: its beginning and its end.
fn stretch_of(marks: &[Mark], at_ns: u64) -> (u64, u64) {
    let following = marks.partition_point(|mark| mark.at_ns <= at_ns);
    let begin = following.checked_sub(1).map_or(0, |index| marks[index].at_ns);
    (begin, marks.get(following).map_or(u64::MAX, |next| next.at_ns))
}

/// The next fault of another segment that struck after this moment's segment had begun. Requests of the segment that had
/// not ended by then count for the fault's phase.
fn strike_after(marks: &[Mark], strikes: &[Strike], at_ns: u64) -> Option<Strike> {
    let following = marks.partition_point(|mark| mark.at_ns <= at_ns);
    let stretch = following.checked_sub(1).map(|index| marks[index]);
    let is_own =
        |strike: &Strike| stretch.is_some_and(|mark| mark.phase == strike.phase && mark.part != PhasePart::Waiting);
    strikes.iter().find(|strike| strike.at_ns > at_ns && !is_own(strike)).copied()
}

/// The segment of a request that ended: its beginning, and the phase of the fault that struck while the request was in
/// flight.
pub(super) fn segment_key(marks: &[Mark], strikes: &[Strike], due_ns: u64, end_ns: u64) -> (u64, Option<usize>) {
    let (begin_ns, _) = stretch_of(marks, due_ns);
    let strike = strike_after(marks, strikes, due_ns).filter(|strike| end_ns > strike.at_ns);
    (begin_ns, strike.map(|strike| strike.phase))
}

impl LedgerState {
    fn count(&mut self, batch: &mut Batch, marks: &[Mark], strikes: &[Strike], now_ns: u64) {
        // Neighbours share a cell, so that each cell is looked up once. The records are nearly sorted already.
        batch.records.sort_by_key(|record| record.job.due_ns);
        let mut values = Vec::new();
        let records = batch.records.iter();
        let latency = &mut self.live.latency;
        for (times, ended) in [(&mut latency.ended, true), (&mut latency.failed, false)] {
            let has_ended = |failure: Failure| failure.is_timed() || failure.is_given_up_early();
            let counted = records.clone().filter(|record| record.failure.is_none_or(has_ended) == ended);
            values.extend(counted.map(|record| record.latency_us));
            times.record_all(&mut values);
        }
        self.live.ended += batch.records.len() as u64;
        self.live.succeeded += records.filter(|record| record.failure.is_none()).count() as u64;
        let mut rest = batch.records.as_slice();
        while let Some(first) = rest.first() {
            let (begin, end) = stretch_of(marks, first.job.due_ns);
            let (records, others) = rest.split_at(rest.partition_point(|record| record.job.due_ns < end));
            match strike_after(marks, strikes, first.job.due_ns) {
                None => self.stretch(begin).count(records, &mut values),
                Some(strike) => {
                    let (struck, before): (Vec<Record>, Vec<Record>) =
                        records.iter().cloned().partition(|record| record.end_ns() > strike.at_ns);
                    self.stretch(begin).count(&before, &mut values);
                    if !struck.is_empty() {
                        self.in_flight(begin, strike.phase).count(&struck, &mut values);
                    }
                }
            }
            rest = others;
        }
        batch.records.clear();
        for Gap { due_ns, gap_us, count } in batch.gaps.drain(..) {
            let (begin, _) = stretch_of(marks, due_ns);
            // A gap has just ended, so its stream was in flight if it was due before.
            let stretch = match strike_after(marks, strikes, due_ns) {
                Some(strike) => self.in_flight(begin, strike.phase),
                None => self.stretch(begin),
            };
            stretch.cell(due_ns).token_gaps.record_n(gap_us.into(), count.into());
        }
        for NewConnection { at_ns, connect_us, tls_us } in batch.made.drain(..) {
            let (begin, _) = stretch_of(marks, at_ns);
            let timings = &mut self.stretch(begin).timings;
            timings.connect.record(connect_us.into());
            tls_us.into_iter().for_each(|tls_us| timings.tls.record(tls_us.into()));
        }
        self.dates.append(&mut batch.dates);
        for reached in &mut batch.reached {
            let known = self.addresses.len();
            if let Some(counts) = self.addresses.get_mut(&reached.address) {
                *counts = (counts.0 + reached.connections, counts.1 + reached.requests);
            } else if known < MOST_ADDRESSES {
                self.addresses.insert(reached.address, (reached.connections, reached.requests));
            }
            *reached = AddressUse::new(reached.address);
        }
        for (failure, sample) in batch.samples.drain(..) {
            let stretch = match segment_key(marks, strikes, sample.due_ns, sample.end_ns) {
                (begin, Some(phase)) => self.in_flight(begin, phase),
                (begin, None) => self.stretch(begin),
            };
            stretch.samples.keep(failure, sample);
        }
        self.labels.append(&mut batch.labels);
        for PartRecord { due_ns, end_ns, part, latency_us, failure } in batch.parts.drain(..) {
            let stretch = match segment_key(marks, strikes, due_ns, end_ns) {
                (begin, Some(phase)) => self.in_flight(begin, phase),
                (begin, None) => self.stretch(begin),
            };
            let cell = stretch.parts.entry(part).or_default();
            count_outcome(cell, failure, latency_us);
            if is_timed(failure) {
                cell.latency.record(latency_us.into());
            }
        }
        let in_flight = self.in_flight.values_mut().map(|(_, stretch)| stretch);
        for stretch in self.stretches.values_mut().chain(in_flight) {
            stretch.cool(now_ns);
        }
    }

    fn in_flight(&mut self, begin_ns: u64, phase: usize) -> &mut SegmentCounts {
        &mut self.in_flight.entry(begin_ns).or_insert_with(|| (phase, SegmentCounts::new(begin_ns))).1
    }

    fn stretch(&mut self, begin_ns: u64) -> &mut SegmentCounts {
        self.stretches.entry(begin_ns).or_insert_with(|| SegmentCounts::new(begin_ns))
    }

    fn close(mut self, mut marks: Vec<Mark>, end_ns: u64) -> LoadObservations {
        let begins = self.stretches.keys().chain(self.in_flight.keys());
        let earliest = begins.min().copied().unwrap_or(u64::MAX);
        if marks.first().is_none_or(|first| first.at_ns > earliest) {
            // Requests from before the first mark are recorded but not judged.
            let phase = marks.first().map_or(0, |first| first.phase);
            marks.insert(0, Mark { at_ns: 0, phase, part: PhasePart::Settling });
        }
        let ends = marks.iter().skip(1).map(|next| next.at_ns).chain([end_ns]);
        let segments = marks.iter().zip(ends).flat_map(|(mark, end)| {
            let end_ns = end.max(mark.at_ns);
            let mut segment = match self.stretches.remove(&mark.at_ns) {
                Some(counted) => counted.close(*mark, end_ns, &self.labels),
                None => Segment::new(*mark, end_ns),
            };
            let whole = (end_ns - mark.at_ns).div_ceil(segment.cell_ns) as usize;
            segment.cells.resize(whole.max(segment.cells.len()), Cell::default());
            let in_flight = self.in_flight.remove(&mark.at_ns).map(|(phase, counted)| {
                counted.close(Mark { at_ns: mark.at_ns, phase, part: PhasePart::InFlight }, end_ns, &self.labels)
            });
            [Some(segment), in_flight].into_iter().flatten().collect::<Vec<_>>()
        });
        let mut seen =
            LoadObservations { segments: segments.collect(), issued: self.issued, ..LoadObservations::default() };
        seen.addresses = self.addresses;
        seen.dates = self.dates;
        // Counts of a mark that was withdrawn would be an error of the timeline. They are not lost.
        let lost = self.in_flight.into_iter().map(|(begin_ns, (_, counted))| (begin_ns, counted));
        for (begin_ns, counted) in self.stretches.into_iter().chain(lost) {
            let index = seen.segments.partition_point(|segment| segment.mark.at_ns <= begin_ns).saturating_sub(1);
            let mark = seen.segments[index].mark;
            seen.segments[index].merge(counted.close(mark, mark.at_ns, &self.labels));
        }
        seen
    }
}

impl SegmentCounts {
    fn new(begin_ns: u64) -> Self {
        let (cold, hot, timings) = (Vec::new(), BTreeMap::new(), Timings::default());
        let (samples, parts) = (Samples::default(), BTreeMap::new());
        Self { begin_ns, cell_ns: CELL_NS, cold, hot, timings, first_success_ns: None, samples, parts }
    }

    fn close(mut self, mark: Mark, end_ns: u64, labels: &[LoadPart]) -> Segment {
        self.cool(u64::MAX);
        let cells = self.cold.iter().map(PackedCell::unpack).collect();
        let Self { cell_ns, timings, first_success_ns, samples, parts, .. } = self;
        let named = |(place, cell): (u16, Cell)| Some((labels.get(usize::from(place))?.clone(), cell));
        let parts = parts.into_iter().filter_map(named).collect();
        Segment { mark, end_ns, cell_ns, cells, timings, first_success_ns, samples, parts }
    }

    /// Counts requests in the order of their due moments.
    fn count(&mut self, records: &[Record], values: &mut Vec<u32>) {
        let gather = |values: &mut Vec<u32>, into: &mut Histogram, of: &dyn Fn(&Record) -> Option<u32>| {
            values.extend(records.iter().filter_map(of));
            into.record_all(values);
        };
        let service = |record: &Record, timed: bool| {
            let sent_us = record.job.sent_us?;
            (is_timed(record.failure) == timed).then(|| record.latency_us.saturating_sub(sent_us))
        };
        gather(values, &mut self.timings.lateness, &|record| record.job.late_us);
        gather(values, &mut self.timings.turn, &|record| record.job.turn_us());
        gather(values, &mut self.timings.service, &|record| service(record, true));
        gather(values, &mut self.timings.service_failed, &|record| service(record, false));
        let first_byte = |record: &Record| record.first_byte_us.filter(|_| record.failure.is_none());
        gather(values, &mut self.timings.first_byte, &first_byte);
        let longest =
            |record: &Record| record.tokens.as_ref().filter(|it| it.pieces > 1).map(|tokens| tokens.longest_us);
        gather(values, &mut self.timings.longest_gap, &longest);
        gather(values, &mut self.timings.mean_gap, &|record| record.tokens.as_ref()?.mean_us(record.job.begun_ns()));
        let first_success = records.iter().find(|record| record.failure.is_none()).map(|record| record.job.due_ns);
        self.first_success_ns = [self.first_success_ns, first_success].into_iter().flatten().min();
        let mut rest = records;
        while let Some(first) = rest.first() {
            self.room(first.job.due_ns);
            let number = (first.job.due_ns - self.begin_ns) / self.cell_ns;
            let end_ns = self.begin_ns + (number + 1) * self.cell_ns;
            let (records, others) = rest.split_at(rest.partition_point(|record| record.job.due_ns < end_ns));
            let cell = self.cell(first.job.due_ns);
            for record in records {
                add(cell, record);
            }
            let timed = records.iter().filter(|record| is_timed(record.failure));
            values.extend(timed.map(|record| record.latency_us));
            cell.latency.record_all(values);
            values.extend(records.iter().filter_map(|record| record.job.late_us).filter(|late_us| *late_us >= LATE_US));
            cell.late.record_all(values);
            rest = others;
        }
    }

    /// The unpacked cell of a moment.
    fn cell(&mut self, at_ns: u64) -> &mut Cell {
        self.room(at_ns);
        let number = (at_ns - self.begin_ns) / self.cell_ns;
        let cold = &mut self.cold;
        self.hot.entry(number).or_insert_with(|| {
            cold.get_mut(number as usize).map(|cell| std::mem::take(cell).unpack()).unwrap_or_default()
        })
    }

    /// Doubles the length of the cells until the moment is within the maximum number of cells.
    fn room(&mut self, at_ns: u64) {
        loop {
            let most = if self.cell_ns < 1_000_000_000 { MOST_FINE_CELLS } else { MOST_CELLS };
            if at_ns - self.begin_ns < most * self.cell_ns {
                return;
            }
            self.cool(u64::MAX);
            self.cell_ns *= 2;
            let pair = |pair: &[PackedCell]| match pair {
                [one, other] => {
                    let mut cell = one.unpack();
                    cell.merge(&other.unpack());
                    PackedCell::new(&cell)
                }
                rest => rest.first().cloned().unwrap_or_default(),
            };
            self.cold = self.cold.chunks(2).map(pair).collect();
        }
    }

    /// Packs the cells that ended a while ago.
    fn cool(&mut self, now_ns: u64) {
        while let Some(entry) = self.hot.first_entry() {
            let number = *entry.key();
            if (self.begin_ns + (number + 1) * self.cell_ns).saturating_add(COLD_NS) > now_ns && now_ns < u64::MAX {
                break;
            }
            let cell = PackedCell::new(&entry.remove());
            if self.cold.len() <= number as usize {
                self.cold.resize(number as usize + 1, PackedCell::default());
            }
            self.cold[number as usize] = cell;
        }
    }
}

/// Counts a request in its cell, except for its latency.
fn add(cell: &mut Cell, record: &Record) {
    count_outcome(cell, record.failure, record.latency_us);
    let first_us = record.tokens.as_ref().and_then(|tokens| tokens.first_us);
    if let Some(failure) = record.failure.filter(|_| first_us.is_none()) {
        cell.tokenless.entry(failure).or_default().record(record.latency_us.into());
    }
    if let Some(tokens) = &record.tokens {
        if let Some(failure) = record.failure {
            let silence_us = tokens.last_gap_us(record.end_ns());
            let silence_us = silence_us.filter(|us| failure == Failure::Stalled || *us >= GAP.as_micros() as u64);
            silence_us.into_iter().for_each(|us| cell.token_gaps.record(us));
        }
        first_us.into_iter().for_each(|first_us| cell.first_token.record(first_us.into()));
        match record.failure {
            None => cell.tokens += tokens.count(),
            Some(_) => cell.answers.tokens_failed += tokens.count(),
        }
    }
    cell.answers.tokens_lost += record.lost;
    cell.answers.unmatched += u64::from(record.is_unmatched);
    let mut good = record.good;
    while good != 0 {
        *cell.answers.good.entry(good.trailing_zeros() as usize).or_default() += 1;
        good &= good - 1;
    }
    if let Some(finish) = record.traits.finish {
        *cell.answers.finish.entry(finish).or_default() += 1;
    }
    if let Some(integrity) = integrity(record) {
        *cell.answers.streams.entry(integrity).or_default() += 1;
    }
    cell.stuck += u64::from(record.is_stuck);
    cell.in_flight = cell.in_flight.max(record.job.in_flight.into());
}

fn count_outcome(cell: &mut Cell, failure: Option<Failure>, latency_us: u32) {
    match failure {
        None => cell.succeeded += 1,
        Some(failure) => {
            *cell.failed.entry(failure).or_default() += 1;
            cell.failed_after.entry(failure).or_default().record(latency_us.into());
        }
    }
}

/// Whether a stream was complete. None for an answer that is not a stream.
fn integrity(record: &Record) -> Option<Integrity> {
    let AnswerTraits { is_stream, is_repeated, .. } = record.traits;
    let has_resumed = || record.tokens.as_ref().is_some_and(|tokens| tokens.has_resumed(record.job.begun_ns()));
    is_stream.then(|| match record.failure {
        None | Some(Failure::Check) if is_repeated => Integrity::Repeated,
        None | Some(Failure::Check) if has_resumed() => Integrity::Resumed,
        None | Some(Failure::Check) => Integrity::Complete,
        Some(Failure::Stalled | Failure::Timeout | Failure::TimeoutAfterWait | Failure::Unfinished) => {
            Integrity::Stalled
        }
        Some(Failure::ApiError | Failure::FinishAbort | Failure::FinishError) => Integrity::Error,
        Some(_) => Integrity::Cut,
    })
}

/// Whether the request's duration belongs in the latency: it succeeded, or it never ended.
fn is_timed(failure: Option<Failure>) -> bool {
    failure.is_none_or(Failure::is_timed)
}

#[cfg(test)]
mod tests;
