//! Counting: each request that ended goes into the cell in which it was due.
//!
//! Which stretch of the timeline that is, the timeline may say a moment after the request was due. So requests are kept
//! one by one for a second or two before they are counted into cells, which is exact and needs a bounded amount of
//! memory. Everything here is pure apart from one lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::slot::micros;
use crate::observe::{CELL_NS, Cell, Failure, Histogram, LoadObservations, Mark, Marks, Part, Segment};

/// Marks may be set this long after the moment that they mark; requests wait so long before they are counted.
pub(super) const HOLD_NS: u64 = 2_000_000_000;

/// A request that ended. Small, because thousands of them are kept for a moment.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// When it was due, in nanoseconds since the load's start.
    pub(super) due_ns: u64,
    /// From the due moment to the end, in microseconds; beyond an hour it stays at the largest value.
    pub(super) latency_us: u32,
    /// What it brought, where its answer has tokens.
    pub(super) tokens: Option<Box<Tokens>>,
    /// Requests under way when it was due, with it.
    pub(super) in_flight: u32,
    /// Why it failed; none for a success.
    pub(super) failure: Option<Failure>,
    /// It was sent and never came to any end.
    pub(super) is_stuck: bool,
}

/// The tokens of one answer. A stream of a thousand of them costs no more than the different gaps between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    /// From the due moment to the first piece that brought tokens, in microseconds.
    first_us: Option<u32>,
    /// When the last such piece came, in nanoseconds since the load's start.
    last_ns: u64,
    /// Between two such pieces, in microseconds.
    gaps: Histogram,
    /// How many such pieces came.
    pieces: u64,
    /// How many tokens the server says that there were.
    counted: Option<u64>,
}

impl Tokens {
    /// So many pieces have come by now, and the server counts so many tokens. Those that come together have no time
    /// between them, which is what their reader sees.
    pub(super) fn see(&mut self, due_ns: u64, now_ns: u64, pieces: u64, counted: Option<u64>) {
        self.counted = counted;
        let Some(news) = pieces.checked_sub(self.pieces).filter(|news| *news > 0) else { return };
        match self.first_us {
            None => self.first_us = Some(micros(now_ns.saturating_sub(due_ns)).max(1)),
            Some(_) => self.gaps.record(micros(now_ns.saturating_sub(self.last_ns)).into()),
        }
        self.gaps.record_n(0, news - 1);
        (self.last_ns, self.pieces) = (now_ns, pieces);
    }

    /// The server's own count, else one token for each piece.
    fn count(&self) -> u64 {
        self.counted.unwrap_or(self.pieces)
    }
}

/// What one load sent and got so far, shared by the engine's threads.
#[derive(Debug)]
pub(super) struct Ledger {
    marks: Arc<Marks>,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// Ended within the last [`HOLD_NS`], and in the [`HOLD_NS`] before that.
    held: [Vec<Record>; 2],
    turned_ns: u64,
    /// By the beginning of the stretch and the number of the cell in it.
    cells: BTreeMap<(u64, u64), Counted>,
    lateness: Histogram,
    live: LiveCounts,
}

#[derive(Debug, Default, Clone)]
struct Counted {
    cell: Cell,
    first_success_ns: Option<u64>,
}

/// What ended since the last look.
#[derive(Debug, Default, Clone)]
pub(super) struct LiveCounts {
    pub(super) ended: u64,
    pub(super) succeeded: u64,
    pub(super) latency: Histogram,
}

impl Ledger {
    pub(super) fn new(marks: Arc<Marks>) -> Self {
        Self { marks, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes over the requests that ended and how late requests were sent, and empties both.
    pub(super) fn take(&self, records: &mut Vec<Record>, lateness: &mut Histogram, now_ns: u64) {
        let mut state = self.state();
        state.lateness.merge(lateness);
        lateness.clear();
        for record in records.iter() {
            state.live.ended += 1;
            if record.failure.is_none() {
                state.live.succeeded += 1;
            }
            if is_timed(record.failure) {
                state.live.latency.record(record.latency_us.into());
            }
        }
        state.held[0].append(records);
        if now_ns >= state.turned_ns + HOLD_NS {
            state.turned_ns = now_ns;
            let ripe = std::mem::take(&mut state.held[1]);
            state.held.swap(0, 1);
            state.count(ripe, &self.marks.all());
        }
    }

    /// What ended since the last call.
    pub(super) fn live(&self) -> LiveCounts {
        std::mem::take(&mut self.state().live)
    }

    /// Everything, cut at the timeline's marks.
    pub(super) fn close(&self, name: &str, end_ns: u64) -> LoadObservations {
        std::mem::take(&mut *self.state()).close(name, self.marks.all(), end_ns)
    }

    /// What ended so far, cut at the timeline's marks, while the load goes on. Requests that are under way are missing.
    pub(super) fn so_far(&self, name: &str, end_ns: u64) -> LoadObservations {
        let state = self.state().clone();
        state.close(name, self.marks.all(), end_ns)
    }
}

impl State {
    fn close(mut self, name: &str, mut marks: Vec<Mark>, end_ns: u64) -> LoadObservations {
        let state = &mut self;
        for records in std::mem::take(&mut state.held) {
            state.count(records, &marks);
        }
        let cells = std::mem::take(&mut state.cells);
        let earliest = cells.keys().next().map_or(u64::MAX, |(begin, _)| *begin);
        if marks.first().is_none_or(|first| first.at_ns > earliest) {
            // Requests from before the first mark are seen, but nobody's to judge.
            marks.insert(
                0,
                Mark { at_ns: 0, phase: marks.first().map_or(0, |first| first.phase), part: Part::Settling },
            );
        }
        let ends = marks.iter().skip(1).map(|next| next.at_ns).chain([end_ns]);
        let mut segments: Vec<Segment> = marks
            .iter()
            .zip(ends)
            .map(|(mark, end)| Segment {
                mark: *mark,
                end_ns: end.max(mark.at_ns),
                cells: vec![Cell::default(); (end.saturating_sub(mark.at_ns)).div_ceil(CELL_NS) as usize],
                first_success_ns: None,
            })
            .collect();
        for ((begin, number), counted) in cells {
            // The cell's own mark, unless the timeline broke its promise and took it back: then the one before.
            let at = begin + number * CELL_NS;
            let index = marks.partition_point(|mark| mark.at_ns <= at).saturating_sub(1);
            let segment = &mut segments[index];
            let number = (at.saturating_sub(segment.mark.at_ns) / CELL_NS) as usize;
            if segment.cells.len() <= number {
                segment.cells.resize(number + 1, Cell::default());
            }
            segment.cells[number].merge(&counted.cell);
            segment.first_success_ns = [segment.first_success_ns, counted.first_success_ns].into_iter().flatten().min();
        }
        LoadObservations {
            name: name.to_owned(),
            segments,
            lateness: std::mem::take(&mut state.lateness),
            reconnects: 0,
            resent: 0,
            requests: Vec::new(),
        }
    }

    /// Counts requests into their cells.
    fn count(&mut self, mut records: Vec<Record>, marks: &[Mark]) {
        // Neighbours share a cell, so that each cell is looked up once.
        records.sort_unstable_by_key(|record| record.due_ns);
        let mut records = records.into_iter().peekable();
        while let Some(first) = records.peek() {
            let following = marks.partition_point(|mark| mark.at_ns <= first.due_ns);
            let begin = following.checked_sub(1).map_or(0, |index| marks[index].at_ns);
            let number = (first.due_ns - begin) / CELL_NS;
            let end = (begin + (number + 1) * CELL_NS).min(marks.get(following).map_or(u64::MAX, |next| next.at_ns));
            let counted = self.cells.entry((begin, number)).or_default();
            while let Some(record) = records.next_if(|record| record.due_ns < end) {
                counted.add(&record);
            }
            counted.cell.latency.pack();
            counted.cell.first_token.pack();
            counted.cell.token_gaps.pack();
        }
    }
}

impl Counted {
    fn add(&mut self, record: &Record) {
        let cell = &mut self.cell;
        match record.failure {
            None => {
                cell.succeeded += 1;
                self.first_success_ns = Some(self.first_success_ns.unwrap_or(u64::MAX).min(record.due_ns));
            }
            Some(failure) => *cell.failed.entry(failure).or_default() += 1,
        }
        if is_timed(record.failure) {
            cell.latency.record(record.latency_us.into());
        }
        if let Some(tokens) = &record.tokens {
            if let Some(first_us) = tokens.first_us {
                cell.first_token.record(first_us.into());
            }
            cell.token_gaps.merge(&tokens.gaps);
            cell.tokens += if record.failure.is_none() { tokens.count() } else { 0 };
        }
        cell.stuck += u64::from(record.is_stuck);
        cell.in_flight = cell.in_flight.max(record.in_flight.into());
    }
}

/// Whether the time that a request took says something about the service: it succeeded, or it never ended.
fn is_timed(failure: Option<Failure>) -> bool {
    matches!(failure, None | Some(Failure::Timeout | Failure::Unfinished | Failure::NotSent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(due_ns: u64) -> Record {
        Record { due_ns, latency_us: 5, tokens: None, in_flight: 3, failure: None, is_stuck: false }
    }

    fn mark(at_ns: u64, phase: usize, part: Part) -> Mark {
        Mark { at_ns, phase, part }
    }

    proptest! {
        /// Whenever marks come within the promised time, each request is in exactly the stretch in which it was due.
        #[test]
        fn every_request_is_counted_where_it_was_due(
            due in proptest::collection::vec(0_u64..20_000_000_000, 0..300),
            cuts in proptest::collection::btree_set(0_u64..20_000_000_000, 0..8),
            took in 0_u64..4_000_000_000,
            late in 0_u64..HOLD_NS,
        ) {
            let marks = Arc::new(Marks::default());
            marks.begin(mark(0, 0, Part::Judged));
            let ledger = Ledger::new(Arc::clone(&marks));
            let end_ns = 20_000_000_000;
            let mut open_cuts = cuts.iter().copied().enumerate().peekable();
            // Each request ends `took` after it was due, each mark is set `late` after what it marks.
            for now in (0..=end_ns + took).step_by(100_000_000) {
                while let Some((phase, at)) = open_cuts.next_if(|(_, at)| at + late <= now) {
                    marks.begin(mark(at, phase + 1, Part::Judged));
                }
                let mut ended: Vec<_> = due
                    .iter()
                    .filter(|due| (**due + took) / 100_000_000 == now / 100_000_000)
                    .map(|due| record(*due))
                    .collect();
                let mut lateness = Histogram::default();
                lateness.record_n(1, ended.len() as u64);
                ledger.take(&mut ended, &mut lateness, now + 99_999_999);
            }
            for (phase, at) in open_cuts {
                marks.begin(mark(at, phase + 1, Part::Judged));
            }
            let seen = ledger.close("load", end_ns);
            for segment in &seen.segments {
                for (number, cell) in segment.cells.iter().enumerate() {
                    let begin = segment.mark.at_ns + number as u64 * CELL_NS;
                    let end = (begin + CELL_NS).min(segment.end_ns);
                    let wanted = due.iter().filter(|due| (begin..end).contains(due)).count() as u64;
                    prop_assert_eq!(cell.requests(), wanted);
                }
            }
            let total: u64 = seen.segments.iter().flat_map(|segment| &segment.cells).map(Cell::requests).sum();
            prop_assert_eq!(total, due.len() as u64);
            prop_assert_eq!(seen.lateness.len(), due.len() as u64);
        }
    }

    #[test]
    fn tokens_are_timed_by_piece_and_counted_by_the_server_where_it_counts() {
        let mut tokens = Tokens::default();
        for (now_ms, pieces, counted) in [(40, 1, None), (60, 2, None), (61, 2, None), (90, 5, None), (95, 5, Some(7))]
        {
            tokens.see(10_000_000, now_ms * 1_000_000, pieces, counted);
        }
        let gaps: Vec<(f64, u64)> = tokens.gaps.iter().map(|(us, count)| (us.round(), count)).collect();
        assert_eq!(tokens.first_us, Some(30_000));
        assert_eq!((gaps[0], tokens.gaps.len()), ((0.0, 2), 4));
        assert!((gaps[1].0 - 20_000.0).abs() < 20.0 && (gaps[2].0 - 30_000.0).abs() < 20.0, "{gaps:?}");
        let ledger = Ledger::new(Arc::new(Marks::default()));
        let mut broken = Record { failure: Some(Failure::BrokenStream), is_stuck: true, ..record(7) };
        broken.tokens = Some(Box::new(Tokens { pieces: 3, ..Tokens::default() }));
        let good = Record { tokens: Some(Box::new(tokens)), ..record(7) };
        let uncounted = Record { tokens: Some(Box::new(Tokens { pieces: 2, ..Tokens::default() })), ..record(7) };
        ledger.take(&mut vec![broken, good, uncounted], &mut Histogram::default(), 10);
        let early = ledger.so_far("load", 20);
        assert_eq!(early, ledger.so_far("load", 20), "looking changes nothing");
        let cell = &ledger.close("load", 20).segments[0].cells[0];
        assert_eq!((cell.tokens, cell.token_gaps.len(), cell.first_token.len(), cell.stuck), (9, 4, 1, 1));
        assert_eq!(cell, &early.segments[0].cells[0]);
    }

    #[test]
    fn a_quick_failure_does_not_make_a_service_look_fast() {
        let ledger = Ledger::new(Arc::new(Marks::default()));
        let failures = [None, Some(Failure::Refused), Some(Failure::Timeout), Some(Failure::Status(503))];
        let mut records: Vec<_> = failures.map(|failure| Record { failure, ..record(7) }).into();
        ledger.take(&mut records, &mut Histogram::default(), 10);
        assert!(records.is_empty());
        let live = ledger.live();
        assert_eq!((live.ended, live.succeeded, live.latency.len()), (4, 1, 2));
        assert_eq!(ledger.live().ended, 0);
        let seen = ledger.close("load", 20);
        let cell = &seen.segments[0].cells[0];
        assert_eq!((cell.requests(), cell.succeeded, cell.latency.len(), cell.in_flight), (4, 1, 2, 3));
        assert_eq!(cell.failed[&Failure::Status(503)], 1);
        assert_eq!(seen.segments[0].first_success_ns, Some(7));
    }

    #[test]
    fn requests_from_before_the_first_mark_are_not_judged() {
        let marks = Arc::new(Marks::default());
        let ledger = Ledger::new(Arc::clone(&marks));
        marks.begin(mark(500, 0, Part::Judged));
        ledger.take(&mut vec![record(100), record(499), record(500)], &mut Histogram::default(), 10);
        let seen = ledger.close("load", 1000);
        let counts: Vec<_> =
            seen.segments.iter().map(|segment| (segment.mark.part, segment.cells[0].succeeded)).collect();
        assert_eq!(counts, [(Part::Settling, 2), (Part::Judged, 1)]);
    }
}
