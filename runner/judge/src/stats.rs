//! Counting: cells become the statistics of phases and the points of series. Nothing here judges.

use std::borrow::Cow;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use shakedown_schemas::result::{AnswerStats, LatencyStats, LoadSeries, Point, Stats};

use super::{hdr, seconds};
use shakedown_observe::{
    Answers, Cell, Failure, Histogram, LoadObservations, Mark, Observations, Outcomes, PhasePart, PhaseSpan, Segment,
};

/// The most points of a load's series.
const MOST_POINTS: usize = 1200;

/// A cell with its place in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    /// When it begins, in nanoseconds since the load's start.
    pub(super) start_ns: u64,
    /// Its length, in nanoseconds.
    pub(super) length_ns: u64,
    /// The segment that it belongs to.
    pub(super) mark: Mark,
    /// Its requests.
    pub(super) cell: &'a Cell,
}

impl Placed<'_> {
    /// True when the expectations of its phase judge it.
    pub(super) fn is_judged(&self) -> bool {
        self.mark.part == PhasePart::Judged
    }
}

/// All cells of a load, in order of time.
pub(super) fn cells(load: &LoadObservations) -> impl Iterator<Item = Placed<'_>> {
    load.segments.iter().flat_map(|segment| {
        segment.cells.iter().zip(0_u64..).map(move |(cell, index)| Placed {
            start_ns: segment.mark.at_ns + index * segment.cell_ns,
            length_ns: segment.cell_ns,
            mark: segment.mark,
            cell,
        })
    })
}

/// The cells of a load that the expectations of a phase judge.
pub(super) fn judged(load: &LoadObservations, phase: usize) -> impl Iterator<Item = Placed<'_>> {
    cells(load).filter(move |placed| placed.mark.phase == phase && placed.is_judged())
}

/// A second in nanoseconds.
pub(super) const SECOND_NS: u64 = 1_000_000_000;

/// The shortest window for evaluation, in nanoseconds: a second, or the length of the longest cell in a very long stretch.
pub(super) fn window_ns(cells: &[Placed<'_>]) -> u64 {
    cells.iter().map(|placed| placed.length_ns).fold(SECOND_NS, u64::max)
}

/// Cells in windows of at least this many nanoseconds each, and the length of each window. The last one may be shorter.
pub(super) fn windows<'c, 'a>(cells: &'c [Placed<'a>], at_least_ns: u64) -> Vec<(&'c [Placed<'a>], u64)> {
    let mut windows = Vec::new();
    let (mut from, mut length_ns) = (0, 0);
    for (index, placed) in cells.iter().enumerate() {
        length_ns += placed.length_ns;
        if length_ns >= at_least_ns || index + 1 == cells.len() {
            windows.push((&cells[from..=index], length_ns));
            (from, length_ns) = (index + 1, 0);
        }
    }
    windows
}

/// The requests of a load that the expectations of a phase judge, in one cell.
pub(super) fn total(load: &LoadObservations, phase: usize) -> Cell {
    let cells: Vec<&Cell> = judged(load, phase).map(|placed| placed.cell).collect();
    sum(&cells, Cell::merge)
}

/// The load without the failures of a kind, and without their times in the latency.
pub(super) fn without(load: &LoadObservations, is: impl Fn(Failure) -> bool) -> Cow<'_, LoadObservations> {
    let has_one = |cell: &Cell| cell.failed.keys().any(|failure| is(*failure));
    if !load.segments.iter().flat_map(|segment| &segment.cells).any(has_one) {
        return Cow::Borrowed(load);
    }
    let mut load = load.clone();
    for cell in load.segments.iter_mut().flat_map(|segment| &mut segment.cells).filter(|cell| has_one(cell)) {
        cell.failed.retain(|failure, _| !is(*failure));
        cell.tokenless.retain(|failure, _| !is(*failure));
        let mut timed = Histogram::default();
        cell.failed_after.retain(|failure, after| {
            if is(*failure) && failure.is_timed() {
                timed.merge(after);
            }
            !is(*failure)
        });
        if !timed.is_empty() {
            cell.latency = cell.latency.without(&timed);
        }
    }
    Cow::Owned(load)
}

/// The load with the requests of a phase that were due before its first fault struck as requests that waited for it. A request
/// due right before the strike may have met the fault: its cell stays.
pub(super) fn from_strike<'a>(load: &'a LoadObservations, span: &PhaseSpan, phase: usize) -> Cow<'a, LoadObservations> {
    let strike_ns = span.acts_from_ns();
    let cells_before = |it: &Segment| {
        let acts = it.mark.phase == phase && !matches!(it.mark.part, PhasePart::Waiting | PhasePart::InFlight);
        let cells = (strike_ns.saturating_sub(it.mark.at_ns) / it.cell_ns.max(1)) as usize;
        if acts { cells.min(it.cells.len()) } else { 0 }
    };
    if load.segments.iter().all(|it| cells_before(it) == 0) {
        return Cow::Borrowed(load);
    }
    let mut load = load.clone();
    let split = |mut segment: Segment| {
        let count = cells_before(&segment);
        let mut waited = None;
        if count > 0 {
            let acting = segment.cells.split_off(count);
            let at_ns = segment.mark.at_ns + count as u64 * segment.cell_ns;
            // Data that is not stored per cell stays with the requests that the fault acts on.
            let mark = Mark { part: PhasePart::Waiting, ..segment.mark };
            let cells = std::mem::replace(&mut segment.cells, acting);
            waited = Some(Segment { cells, cell_ns: segment.cell_ns, ..Segment::new(mark, at_ns) });
            segment.mark.at_ns = at_ns;
        }
        waited.into_iter().chain(Some(segment).filter(|it| !it.cells.is_empty()))
    };
    load.segments = std::mem::take(&mut load.segments).into_iter().flat_map(split).collect();
    Cow::Owned(load)
}

/// Merges all parts, in halves: the cost of a merge is the size of both sides, so one after the other would cost the square
/// of their number.
pub(super) fn sum<T: Clone + Default>(parts: &[&T], merge: fn(&mut T, &T)) -> T {
    match parts {
        [] => T::default(),
        [one] => (*one).clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            let mut all = sum(left, merge);
            merge(&mut all, &sum(right, merge));
            all
        }
    }
}

/// The length of the judged part of a phase, in seconds.
pub(super) fn judged_seconds(span: &PhaseSpan) -> f64 {
    seconds(span.judged_to_ns.saturating_sub(span.judged_from_ns))
}

/// The stretches within the judged part of a phase that do not count, in nanoseconds since the load's start: a transient of
/// a baseline (`transient`).
pub(super) fn left_out(load: &LoadObservations, phase: usize, span: &PhaseSpan) -> Vec<(u64, u64)> {
    let is_within = |it: &&Segment| {
        it.mark.phase == phase && it.mark.part == PhasePart::Settling && it.mark.at_ns >= span.judged_from_ns
    };
    load.segments.iter().filter(is_within).map(|it| (it.mark.at_ns, it.end_ns.min(span.judged_to_ns))).collect()
}

/// The length of the part of a phase in which a load's requests are judged, in seconds.
pub(super) fn counted_seconds(load: &LoadObservations, phase: usize, span: &PhaseSpan) -> f64 {
    let out: u64 = left_out(load, phase, span).into_iter().map(|(from, to)| to.saturating_sub(from)).sum();
    judged_seconds(span) - seconds(out)
}

/// Counts and percentiles of the requests that were due within this many seconds.
pub fn stats(requests: &Cell, seconds: f64) -> Stats {
    Stats {
        requests: requests.requests(),
        succeeded: requests.succeeded,
        errors: errors(&requests.failed),
        failed_after: failed_after(requests),
        throughput: if seconds > 0.0 { requests.succeeded as f64 / seconds } else { 0.0 },
        latency: hdr::latency(&Outcomes::of(requests)),
        time_to_first_token: hdr::percentiles(&requests.first_token),
        answers: answers(requests),
    }
}

/// The statistics of a model's answers.
fn answers(requests: &Cell) -> Option<AnswerStats> {
    let Answers { finish, streams, tokens_failed, tokens_lost, .. } = &requests.answers;
    let is_known = !finish.is_empty() || !streams.is_empty() || requests.tokens + tokens_failed > 0;
    is_known.then(|| AnswerStats {
        finish_reasons: finish.iter().map(|(finish, count)| (finish.to_string(), *count)).collect(),
        streams: streams.iter().map(|(integrity, count)| (integrity.to_string(), *count)).collect(),
        tokens: requests.tokens,
        tokens_failed: *tokens_failed,
        tokens_lost: *tokens_lost,
    })
}

/// How long the failures of each kind took, the most frequent kind first.
fn failed_after(requests: &Cell) -> IndexMap<String, LatencyStats> {
    let mut sorted: Vec<_> = requests.failed_after.iter().collect();
    sorted.sort_by_key(|(failure, after)| (std::cmp::Reverse(after.len()), **failure));
    sorted.into_iter().filter_map(|(failure, after)| Some((failure.to_string(), hdr::percentiles(after)?))).collect()
}

/// Failures by name, the most frequent first.
pub(super) fn errors(failed: &BTreeMap<Failure, u64>) -> IndexMap<String, u64> {
    let mut sorted: Vec<_> = failed.iter().filter(|(_, count)| **count > 0).collect();
    sorted.sort_by_key(|(failure, count)| (std::cmp::Reverse(**count), **failure));
    sorted.into_iter().map(|(failure, count)| (failure.to_string(), *count)).collect()
}

/// The requests of each load over time: windows of a second that begin with every part of every phase, or longer ones if a
/// load would have more than about 1,200 of them. A remainder shorter than half a window belongs to the previous window.
pub fn series(observations: &Observations) -> Vec<LoadSeries> {
    observations.loads.iter().map(load_series).collect()
}

fn load_series(load: &LoadObservations) -> LoadSeries {
    let lengths = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
    let stretches = load.stretches();
    let points = |length: u64| -> usize {
        let nanoseconds = length * 1_000_000_000;
        stretches.iter().map(|it| it.end_ns.saturating_sub(it.mark.at_ns).div_ceil(nanoseconds) as usize).sum()
    };
    let window = lengths.into_iter().find(|length| points(*length) <= MOST_POINTS).unwrap_or(3600);
    let mut windows: Vec<(u64, u64, Cell)> = Vec::new();
    for segment in &*stretches {
        // A very long stretch has cells longer than any of these windows would be.
        let length_ns = (window * 1_000_000_000).next_multiple_of(segment.cell_ns);
        for (cells, index) in segment.cells.chunks((length_ns / segment.cell_ns) as usize).zip(0_u64..) {
            let mut sum = Cell::default();
            for cell in cells {
                sum.merge(cell);
            }
            let start_ns = segment.mark.at_ns + index * length_ns;
            let end_ns = (start_ns + length_ns).min(segment.end_ns);
            match windows.last_mut() {
                // One request in a rest of a millisecond would read as a thousand a second.
                Some(last) if (end_ns.saturating_sub(start_ns)) * 2 < length_ns => {
                    last.1 = end_ns.max(last.1);
                    last.2.merge(&sum);
                }
                _ => windows.push((start_ns, end_ns, sum)),
            }
        }
    }
    let points = windows.iter().filter(|(_, _, sum)| sum.requests() > 0);
    LoadSeries {
        load: load.name.clone(),
        window_s: window as f64,
        points: points.map(|(start_ns, end_ns, sum)| point(sum, *start_ns, *end_ns)).collect(),
        heat: super::heat::heat(load),
    }
}

fn point(requests: &Cell, start_ns: u64, end_ns: u64) -> Point {
    let outcomes = Outcomes::of(requests);
    let at = |quantile| outcomes.quantile(quantile).map(|microseconds| microseconds / 1e3);
    Point {
        t_s: seconds(start_ns),
        length_s: seconds(end_ns.saturating_sub(start_ns)),
        requests: requests.requests(),
        succeeded: requests.succeeded,
        errors: errors(&requests.failed),
        p50_ms: at(0.5),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        latency_hdr: hdr::hdr(&outcomes.distribution()),
        in_flight: requests.in_flight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases;
    use crate::testing::{Outcome, Timeline, scenario};

    #[test]
    fn a_phase_counts_only_its_judged_requests() {
        let observations = Timeline::new(20.0)
            .phase("baseline", 10.0)
            .fault_phase("cut", 10.0)
            .settle(2.0)
            .answer(|request| request.ok_in(if request.phase == "baseline" { 10.0 } else { 30.0 }))
            .observe();
        let scenario = scenario(&serde_json::json!([
            {"name": "baseline", "duration": "10s"}, {"name": "cut", "duration": "10s", "settle": "2s"},
        ]));
        let phases = phases(&scenario, &observations);
        assert_eq!(phases.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["baseline", "cut"]);
        let cut = &phases[1];
        assert_eq!(cut.loads[0].stats.requests, 160);
        assert_eq!(cut.loads[0].generator.as_ref().unwrap().planned, Some(160.0));
        assert_eq!(cut.loads[0].stats.throughput, 20.0);
        assert_eq!(cut.loads[0].stats.latency.unwrap().p95_ms.round(), 30.0);
        assert_eq!(cut.judged_from_s - cut.active_s, 2.0);
        assert_eq!(phases[0].loads[0].stats.latency.unwrap().count, 200);
    }

    #[test]
    fn series_hold_every_request_once_and_stay_short() {
        for (seconds, window) in [(60.0, 1.0), (3000.0, 5.0)] {
            let observations =
                Timeline::new(2.0).phase("baseline", seconds).answer(|request| request.ok_in(5.0)).observe();
            let series = series(&observations);
            assert_eq!(series[0].window_s, window);
            assert!(series[0].points.len() <= MOST_POINTS);
            assert_eq!(series[0].points.iter().map(|it| it.requests).sum::<u64>(), (seconds * 2.0) as u64);
            assert_eq!(series[0].points[1].t_s, window);
        }
    }

    /// The cells of the settling are half a second long, as those of a very long stretch are longer.
    #[test]
    fn cells_lie_where_their_requests_were_due() {
        let timeline = Timeline::new(20.0).phase("baseline", 0.5).phase("cut", 1.0).settle(0.5);
        let mut observations = timeline.answer(|it| it.ok_in(5.0)).observe();
        observations.loads[0].segments[1].cell_ns = SECOND_NS / 2;
        observations.loads[0].segments[1].cells.truncate(1);
        let places = |cells: Vec<Placed<'_>>| -> Vec<(u64, u64)> {
            cells.iter().map(|it| (it.start_ns / 1_000_000, it.length_ns / 1_000_000)).collect()
        };
        let all = places(cells(&observations.loads[0]).collect());
        assert_eq!(all, [(0, 250), (250, 250), (500, 500), (1000, 250), (1250, 250)]);
        assert_eq!(places(judged(&observations.loads[0], 1).collect()), [(1000, 250), (1250, 250)]);
    }

    #[test]
    fn windows_hold_every_cell_and_the_last_may_be_shorter() {
        let observations = Timeline::new(20.0).phase("baseline", 2.75).observe();
        let cells: Vec<_> = cells(&observations.loads[0]).collect();
        let windows: Vec<_> = windows(&cells, SECOND_NS).into_iter().map(|(of, ns)| (of.len(), ns)).collect();
        assert_eq!(windows, [(4, SECOND_NS), (4, SECOND_NS), (3, 750_000_000)]);
    }

    #[test]
    fn a_rest_shorter_than_half_a_window_belongs_to_the_point_before_it() {
        let points = |seconds: f64| {
            let observations = Timeline::new(20.0).phase("a", seconds).phase("b", 2.0).observe();
            let series = series(&observations).remove(0);
            series.points.iter().map(|it| (it.t_s, it.length_s, it.requests)).collect::<Vec<_>>()
        };
        assert_eq!(points(2.25), [(0.0, 1.0, 20), (1.0, 1.25, 25), (2.25, 1.0, 20), (3.25, 1.0, 20)]);
        assert_eq!(points(1.5), [(0.0, 1.0, 20), (1.0, 0.5, 10), (1.5, 1.0, 20), (2.5, 1.0, 20)]);
        // Where nothing was due there is no point.
        let mut observations = Timeline::new(20.0).phase("a", 3.0).answer(|it| it.ok_in(40.0)).observe();
        observations.loads[0].segments[0].cells[4..8].fill(Cell::default());
        let points = series(&observations).remove(0).points;
        assert_eq!(points.iter().map(|it| it.t_s).collect::<Vec<_>>(), [0.0, 2.0]);
        let milliseconds = [points[0].p50_ms, points[0].p95_ms, points[0].p99_ms, points[0].max_ms];
        assert_eq!(milliseconds.map(|it| it.unwrap().round()), [40.0; 4]);
    }

    #[test]
    fn only_answers_that_succeeded_are_throughput() {
        let failed = BTreeMap::from([(Failure::Status(503), 10)]);
        let requests = Cell { succeeded: 30, failed, ..Cell::default() };
        assert_eq!([stats(&requests, 0.0).throughput, stats(&requests, 4.0).throughput], [0.0, 7.5]);
    }

    /// One of three requests fails after a second: p95 is theirs, in the phase, in every window and in the histogram, as in the
    /// expectation. Those that are refused at once do not make it lower.
    #[test]
    fn the_latency_counts_failures_as_the_expectation_does() {
        let all = scenario(&serde_json::json!([
            {"name": "cut", "duration": "20s", "expect": [{"latency": {"percentile": "p95", "max": "500ms"}}]},
        ]));
        for (ms, shown) in [(1000.0, 1000.0), (1.0, 20.0)] {
            let observations = Timeline::new(20.0)
                .phase("cut", 20.0)
                .answer(|it| Outcome {
                    failure: it.index.is_multiple_of(3).then_some(Failure::Status(503)),
                    ..it.ok_in(if it.index.is_multiple_of(3) { ms } else { 20.0 })
                })
                .observe();
            let load = &phases(&all, &observations)[0].loads[0];
            let expected = crate::expectations(&all, &observations, 1, &|_| None)[0].observed.unwrap() * 1e3;
            let latency = load.stats.latency.unwrap();
            assert!((latency.p95_ms - expected).abs() < 1e-6, "{} is not {expected}", latency.p95_ms);
            assert_eq!((latency.p95_ms / shown).round(), 1.0, "{latency:?}");
            assert_eq!(latency.count, load.stats.requests);
            for point in &series(&observations)[0].points {
                assert_eq!((point.p95_ms.unwrap() / shown).round(), 1.0, "{point:?}");
            }
        }
    }

    #[test]
    fn failures_are_named_the_most_frequent_first() {
        let failed = BTreeMap::from([(Failure::Timeout, 2), (Failure::Status(503), 7), (Failure::Check, 0)]);
        let names: Vec<_> = errors(&failed).into_iter().collect();
        assert_eq!(names, [("http_503".to_owned(), 7), ("timeout".to_owned(), 2)]);
    }
}
