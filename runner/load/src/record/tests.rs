use proptest::prelude::*;

use super::*;

fn record(due_ns: u64) -> Record {
    let job = Job {
        number: 0,
        due_ns,
        in_flight: 3,
        late_us: Some(1),
        sent_us: Some(2),
        limited: false,
        can_be_late: true,
        resent: false,
        setup_us: 0,
        step: 0,
    };
    Record {
        job,
        latency_us: 5,
        first_byte_us: Some(2),
        tokens: None,
        failure: None,
        is_stuck: false,
        traits: AnswerTraits::default(),
        good: 0,
        lost: 0,
        is_unmatched: false,
    }
}

fn mark(at_ns: u64, phase: usize, part: PhasePart) -> Mark {
    Mark { at_ns, phase, part }
}

fn take(ledger: &Ledger, records: Vec<Record>, now_ns: u64) {
    let issued = records.len() as u64;
    let mut batch = Batch { records, ..Batch::default() };
    ledger.take(&mut batch, issued, now_ns);
    assert!(batch.records.is_empty());
}

proptest! {
    /// However late requests end and marks arrive, each request is in exactly the segment and the cell in which it was due.
    #[test]
    fn every_request_is_counted_where_it_was_due(
        due in proptest::collection::vec(0_u64..20_000_000_000, 0..300),
        cuts in proptest::collection::btree_set(0_u64..20_000_000_000, 0..8),
        took in 0_u64..4_000_000_000,
    ) {
        let marks = Arc::new(Marks::default());
        marks.begin(mark(0, 0, PhasePart::Judged));
        let ledger = Ledger::new(Arc::clone(&marks));
        let end_ns = 20_000_000_000;
        let mut cuts = cuts.into_iter().enumerate().peekable();
        // Each request ends `took` after it was due. Each mark is set at its moment.
        for now in (0..=end_ns + took).step_by(100_000_000) {
            while let Some((phase, at)) = cuts.next_if(|(_, at)| *at <= now + 99_999_999) {
                marks.begin(mark(at, phase + 1, PhasePart::Judged));
            }
            let ended = due.iter().filter(|due| (**due + took) / 100_000_000 == now / 100_000_000);
            take(&ledger, ended.map(|due| record(*due)).collect(), now + 99_999_999);
        }
        let seen = ledger.close(end_ns);
        for segment in &seen.segments {
            for (number, cell) in segment.cells.iter().enumerate() {
                let begin = segment.mark.at_ns + number as u64 * CELL_NS;
                let end = (begin + CELL_NS).min(segment.end_ns);
                let wanted = due.iter().filter(|due| (begin..end).contains(due)).count() as u64;
                prop_assert_eq!((cell.requests(), cell.latency.len()), (wanted, wanted));
            }
        }
        prop_assert_eq!(seen.requests(), due.len() as u64);
        let timings = seen.timings();
        for values in [&timings.lateness, &timings.service, &timings.first_byte] {
            prop_assert_eq!(values.len(), due.len() as u64);
        }
    }

}

/// The judge of a recovery needs the lateness at a moment, and that of a whole phase does not tell.
#[test]
fn a_cell_keeps_the_lateness_of_its_own_late_requests() {
    let marks = Arc::new(Marks::default());
    marks.begin(mark(0, 0, PhasePart::Judged));
    let ledger = Ledger::new(Arc::clone(&marks));
    let late = |due_ns, late_us| {
        let mut record = record(due_ns);
        record.job.late_us = late_us;
        record
    };
    let records = vec![late(0, Some(999)), late(CELL_NS, Some(60_000)), late(CELL_NS, None), late(CELL_NS, Some(5))];
    take(&ledger, records, 10 * CELL_NS);
    let seen = ledger.close(20 * CELL_NS);
    let cells = &seen.segments[0].cells;
    assert_eq!((cells[0].late.len(), cells[1].late.len(), cells[1].requests()), (0, 1, 3));
    assert!((cells[1].late.max().unwrap() / 60_000.0 - 1.0).abs() < 0.01);
}

proptest! {
    // Comparing fifty minutes of cells takes a while.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Shares that are counted separately, with cells of different lengths, equal the whole once merged.
    #[test]
    fn merged_shares_equal_the_whole(
        requests in proptest::collection::vec((0_u64..3_000_000_000_000, 1_u32..90_000_000, 0_u8..6), 1..200),
        parts in 1_usize..5,
    ) {
        let marks = Arc::new(Marks::default());
        for (phase, at_s) in [0, 30, 700].into_iter().enumerate() {
            marks.begin(mark(at_s * 1_000_000_000, phase, PhasePart::Judged));
        }
        let end_ns = 3_000_000_000_000;
        let of = |&(due_ns, latency_us, kind): &(u64, u32, u8)| {
            let failure = match kind {
                0 => Some(Failure::Timeout),
                1 => Some(Failure::Status(503)),
                2 => Some(Failure::NotSentLimit),
                _ => None,
            };
            let tokens = (kind == 5).then(|| Box::new(Tokens { first_us: Some(7), pieces: 3, longest_us: latency_us, ..Tokens::default() }));
            Record { latency_us, failure, tokens, ..record(due_ns) }
        };
        let counted = |part: usize, parts: usize| {
            let ledger = Ledger::new(Arc::clone(&marks));
            take(&ledger, requests.iter().skip(part).step_by(parts).map(of).collect(), end_ns);
            ledger.close(end_ns)
        };
        let mut merged = LoadObservations::default();
        (0..parts).for_each(|part| merged.merge(counted(part, parts)));
        let whole = counted(0, 1);
        prop_assert_eq!(merged.issued, requests.len() as u64);
        // A share without requests late in a segment has shorter cells than the whole there.
        for (one, other) in merged.segments.iter().zip(&whole.segments) {
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(merged, whole);
    }
}

#[test]
fn a_long_segment_has_longer_cells_and_loses_nothing() {
    let ledger = Ledger::new(Arc::default());
    let hours = 2;
    let mut sizes = Vec::new();
    for second in 0..hours * 3600 {
        let records = (0..50).map(|number| {
            let due_ns = second * 1_000_000_000 + number * 20_000_000;
            Record { latency_us: (1_000 + (second * 7919 + number * 104_729) % 9_000) as u32, ..record(due_ns) }
        });
        take(&ledger, records.collect(), (second + 1) * 1_000_000_000);
        if second % 600 == 599 {
            let state = ledger.state();
            let stretch = &state.stretches[&0];
            assert!(stretch.hot.len() <= 9, "{}", stretch.hot.len());
            sizes.push(stretch.cold.iter().map(PackedCell::size).sum::<usize>());
        }
    }
    // Fifty requests that hardly share a bucket: less than 150 bytes per second, and less once cells are merged.
    assert!(sizes.iter().zip(1..).all(|(size, tenth)| *size < 150 * 600 * tenth), "{sizes:?}");
    let seen = ledger.close(hours * 3_600_000_000_000);
    let segment = &seen.segments[0];
    assert_eq!((segment.cell_ns, segment.cells.len()), (2_000_000_000, 3600));
    assert!(segment.cells.iter().all(|cell| cell.requests() == 100 && cell.latency.len() == 100));
}

#[test]
fn tokens_are_timed_by_chunk_and_counted_by_the_server() {
    let mut tokens = Tokens::default();
    let mut gaps = Vec::new();
    for (now_ms, pieces, counted) in [(40, 1, None), (60, 2, None), (61, 2, None), (90, 5, None), (95, 5, Some(7))] {
        let due_ns = 10_000_000;
        tokens.see(due_ns, now_ms * 1_000_000, pieces, counted, |gap_us, count| {
            gaps.push(Gap { due_ns, gap_us, count: count as u32 });
        });
    }
    let all: Vec<_> = gaps.iter().map(|gap| (gap.gap_us, gap.count)).collect();
    assert_eq!(all, [(20_000, 1), (30_000, 1), (0, 2)]);
    assert_eq!((tokens.first_us, tokens.longest_us), (Some(30_000), 30_000));
    // 50 ms from the first to the last of the 7 tokens that the server counts.
    assert_eq!(tokens.mean_us(10_000_000), Some(8_333));
    let ledger = Ledger::new(Arc::new(Marks::default()));
    let mut broken = Record { failure: Some(Failure::BrokenStream), is_stuck: true, ..record(7) };
    broken.tokens = Some(Box::new(Tokens { pieces: 3, ..Tokens::default() }));
    let good = Record { tokens: Some(Box::new(tokens)), ..record(7) };
    let uncounted = Record { tokens: Some(Box::new(Tokens { pieces: 2, ..Tokens::default() })), ..record(7) };
    ledger.take(&mut Batch { records: vec![broken, good, uncounted], gaps, ..Batch::default() }, 3, 10);
    let early = ledger.so_far(20);
    assert_eq!(early, ledger.so_far(20), "looking changes nothing");
    let seen = ledger.close(20);
    let cell = &seen.segments[0].cells[0];
    assert_eq!((cell.tokens, cell.token_gaps.len(), cell.first_token.len(), cell.stuck), (9, 4, 1, 1));
    assert_eq!(cell, &early.segments[0].cells[0]);
    assert_eq!(seen.segments[0].timings.longest_gap.len(), 3);
}

#[test]
fn a_quick_failure_does_not_make_a_service_look_fast() {
    let ledger = Ledger::new(Arc::new(Marks::default()));
    let failures = [None, Some(Failure::Refused), Some(Failure::Timeout), Some(Failure::Status(503))];
    take(&ledger, failures.map(|failure| Record { failure, ..record(7) }).into(), 10);
    let mut unsent = Record { failure: Some(Failure::NotSentLimit), first_byte_us: None, ..record(7) };
    unsent.job.sent_us = None;
    ledger.take(&mut Batch { records: vec![unsent], ..Batch::default() }, 5, 10);
    let live = ledger.live();
    let times = [live.latency.ended.len(), live.latency.failed.len()];
    assert_eq!((live.ended, live.succeeded, times), (5, 1, [3, 2]));
    assert_eq!(ledger.live().ended, 0);
    let seen = ledger.close(20);
    let cell = &seen.segments[0].cells[0];
    assert_eq!((cell.requests(), cell.succeeded, cell.latency.len(), cell.in_flight), (5, 1, 3, 3));
    assert_eq!(cell.failed[&Failure::Status(503)], 1);
    // The duration of each failure is recorded separately, by its kind.
    let after: Vec<_> = cell.failed_after.iter().map(|(failure, after)| (*failure, after.len())).collect();
    let kinds = [Failure::Timeout, Failure::Refused, Failure::NotSentLimit, Failure::Status(503)];
    assert_eq!(after, kinds.map(|failure| (failure, 1)));
    assert_eq!(cell.failed_after[&Failure::Refused].max(), Some(record(7).latency_us.into()));
    assert_eq!((seen.segments[0].first_success_ns, seen.issued, seen.not_sent()), (Some(7), 5, 1));
    // A request that was not sent has no service time, and only a success has a first byte.
    let timings = seen.timings();
    assert_eq!((timings.lateness.len(), timings.service.len(), timings.first_byte.len()), (5, 2, 1));
    assert_eq!(timings.service.max(), Some(3.0));
    assert_eq!((timings.service_failed.len(), timings.service_failed.max()), (2, Some(3.0)));
}

#[test]
fn connections_count_in_the_segment_in_which_they_began() {
    let marks = Arc::new(Marks::default());
    let ledger = Ledger::new(Arc::clone(&marks));
    marks.begin(mark(0, 0, PhasePart::Judged));
    marks.begin(mark(500, 1, PhasePart::Judged));
    let made = |at_ns, tls_us| NewConnection { at_ns, connect_us: 40, tls_us };
    let made = vec![made(100, None), made(600, Some(900)), made(700, None)];
    ledger.take(&mut Batch { made, ..Batch::default() }, 0, 1000);
    let seen = ledger.close(1000);
    let counts: Vec<_> = seen.segments.iter().map(|it| (it.timings.connect.len(), it.timings.tls.len())).collect();
    assert_eq!(counts, [(1, 0), (2, 1)]);
}

#[test]
fn requests_before_the_first_mark_are_counted_but_not_judged() {
    let marks = Arc::new(Marks::default());
    let ledger = Ledger::new(Arc::clone(&marks));
    marks.begin(mark(500, 0, PhasePart::Judged));
    marks.begin(mark(800, 0, PhasePart::Undoing));
    take(&ledger, vec![record(100), record(499), record(500), record(900)], 1000);
    // Withdrawing a mark after requests were counted from it would be an error of the timeline.
    marks.begin(mark(700, 1, PhasePart::Judged));
    let seen = ledger.close(1000);
    let counts: Vec<_> = seen.segments.iter().map(|segment| (segment.mark.part, segment.cells[0].succeeded)).collect();
    assert_eq!(counts, [(PhasePart::Settling, 2), (PhasePart::Judged, 1), (PhasePart::Judged, 1)]);
}

/// The fault strikes at 1,000. A request that was due at 500 and waited 400 for a tunnel, and then took 200, ended after it.
#[test]
fn a_request_that_waited_for_a_tunnel_ends_when_it_really_ended() {
    let marks = Arc::new(Marks::default());
    let ledger = Ledger::new(Arc::clone(&marks));
    let ms = 1_000_000;
    marks.begin(mark(0, 0, PhasePart::Judged));
    marks.begin(mark(1000 * ms, 1, PhasePart::Injecting));
    marks.strike_now(1, || 1000 * ms);
    let waited = |wait_ms: u32| {
        let job = Job { setup_us: wait_ms * 1000, ..record(500 * ms).job };
        Record { job, latency_us: 200_000, failure: Some(Failure::Reset), ..record(0) }
    };
    let part = |wait_ms: u64| PartRecord {
        due_ns: 500 * ms,
        end_ns: (700 + wait_ms) * ms,
        part: 0,
        latency_us: 200_000,
        failure: Some(Failure::Reset),
    };
    let mut batch = Batch {
        records: vec![waited(0), waited(400)],
        parts: vec![part(0), part(400)],
        labels: vec![LoadPart::Step("login".to_owned())],
        ..Batch::default()
    };
    ledger.take(&mut batch, 2, 2000 * ms);
    let seen = ledger.close(2000 * ms);
    let failed = |segment: &Segment| segment.cells.iter().map(Cell::requests).sum::<u64>();
    let parts = |segment: &Segment| segment.parts.values().map(Cell::requests).sum::<u64>();
    let counts: Vec<_> = seen.segments.iter().map(|it| (it.mark.part, failed(it), parts(it))).collect();
    assert_eq!(
        counts,
        [(PhasePart::Judged, 1, 1), (PhasePart::InFlight, 1, 1), (PhasePart::Injecting, 0, 0)],
        "the one that ended later was in flight"
    );
}

/// The fault of phase 1 strikes at 800. Requests that were due before and had not ended by then belong to that phase, even
/// though they were due in the previous one.
#[test]
fn requests_in_flight_at_a_strike_are_separate() {
    let marks = Arc::new(Marks::default());
    let ledger = Ledger::new(Arc::clone(&marks));
    let (ms, us) = (1_000_000, 1000);
    marks.begin(mark(0, 0, PhasePart::Judged));
    marks.begin(mark(500 * ms, 1, PhasePart::Waiting));
    let took = |due_ms: u64, took_ms: u32| Record { latency_us: took_ms * us, ..record(due_ms * ms) };
    take(&ledger, vec![took(100, 200)], 400 * ms);
    marks.begin(mark(800 * ms, 1, PhasePart::Injecting));
    marks.strike_now(1, || 800 * ms);
    let stalled = Record { failure: Some(Failure::Stalled), ..took(600, 400) };
    let records = vec![took(400, 300), took(450, 700), stalled, took(700, 50), took(850, 300), took(1200, 9_000)];
    let gaps = vec![Gap { due_ns: 450 * ms, gap_us: 7, count: 1 }, Gap { due_ns: 850 * ms, gap_us: 9, count: 1 }];
    let sample = |due_ms: u64, end_ms: u64| Sample { due_ns: due_ms * ms, end_ns: end_ms * ms, ..Sample::default() };
    let samples = vec![(Failure::Stalled, sample(600, 1000)), (Failure::Stalled, sample(610, 700))];
    let mut batch = Batch { records, gaps, samples, ..Batch::default() };
    marks.begin(mark(1000 * ms, 1, PhasePart::Judged));
    ledger.take(&mut batch, 7, 11_000 * ms);
    marks.begin(mark(20_000 * ms, 2, PhasePart::Judged));
    marks.strike_now(2, || 21_000 * ms);
    let seen = ledger.close(22_000 * ms);
    let parts: Vec<_> = seen.segments.iter().map(|it| (it.mark.phase, it.mark.part)).collect();
    let requests = |segment: &Segment| segment.cells.iter().map(Cell::requests).sum::<u64>();
    assert_eq!(
        parts,
        [
            (0, PhasePart::Judged),
            (1, PhasePart::InFlight),
            (1, PhasePart::Waiting),
            (1, PhasePart::InFlight),
            (1, PhasePart::Injecting),
            (1, PhasePart::Judged),
            (2, PhasePart::Judged)
        ]
    );
    assert_eq!(seen.segments.iter().map(requests).collect::<Vec<_>>(), [2, 1, 1, 1, 1, 1, 0]);
    assert_eq!(seen.requests(), 7);
    let gaps: Vec<u64> =
        seen.segments.iter().map(|it| it.cells.iter().map(|cell| cell.token_gaps.len()).sum()).collect();
    assert_eq!(gaps, [0, 1, 0, 0, 1, 0, 0]);
    let sampled = |it: &Segment| it.samples.iter().map(|(_, sample)| sample.due_ns / ms).collect::<Vec<_>>();
    assert_eq!(seen.segments.iter().map(sampled).collect::<Vec<_>>().concat(), [610, 600]);
    assert_eq!((sampled(&seen.segments[2]), sampled(&seen.segments[3])), (vec![610], vec![600]));
    let stretches = seen.stretches();
    assert_eq!(stretches.iter().map(requests).collect::<Vec<_>>(), [3, 2, 1, 1, 0]);
    assert_eq!(stretches[0].cells[1].requests(), 2, "each where it was due");
}

#[test]
fn determines_the_integrity_of_a_stream() {
    let traits = AnswerTraits { is_stream: true, finish: Some(Finish::Stop), is_repeated: false };
    let streamed = |at_ms: &[u64], traits: AnswerTraits, failure: Option<Failure>| {
        let mut tokens = Tokens::default();
        let pieces = at_ms.iter().zip(1..);
        pieces.for_each(|(at_ms, count)| tokens.see(7, at_ms * 1_000_000, count, None, |_, _| ()));
        Record { tokens: Some(Box::new(tokens)), traits, failure, ..record(7) }
    };
    let even: Vec<u64> = (1..=20).map(|piece| piece * 50).collect();
    let slow: Vec<u64> = (1..=5).map(|piece| piece * 1500).collect();
    let gap: Vec<u64> = (1..=20).map(|piece| piece * 50 + if piece > 10 { 2_000 } else { 0 }).collect();
    let again = AnswerTraits { is_repeated: true, ..traits };
    for (at_ms, traits, failure, wanted) in [
        (&even, traits, None, Integrity::Complete),
        (&even, traits, Some(Failure::Check), Integrity::Complete),
        (&slow, traits, None, Integrity::Complete),
        (&gap, traits, None, Integrity::Resumed),
        (&gap, again, None, Integrity::Repeated),
        (&even, traits, Some(Failure::Stalled), Integrity::Stalled),
        (&even, traits, Some(Failure::Timeout), Integrity::Stalled),
        (&even, traits, Some(Failure::BrokenStream), Integrity::Cut),
        (&even, traits, Some(Failure::Reset), Integrity::Cut),
        (&even, traits, Some(Failure::ApiError), Integrity::Error),
        (&even, traits, Some(Failure::FinishAbort), Integrity::Error),
    ] {
        let ledger = Ledger::new(Arc::new(Marks::default()));
        take(&ledger, vec![streamed(at_ms, traits, failure), record(7)], 10);
        let answers = &ledger.close(20).segments[0].cells[0].answers;
        assert_eq!(answers.streams, [(wanted, 1)].into(), "{failure:?}");
        assert_eq!(answers.finish, [(Finish::Stop, 1)].into());
        assert_eq!(answers.tokens_failed, if failure.is_some() { at_ms.len() as u64 } else { 0 });
    }
}

#[test]
fn a_request_is_good_if_it_met_every_bound() {
    let bounds = [
        Bounds { latency_us: Some(5), ..Bounds::default() },
        Bounds { latency_us: Some(4), ..Bounds::default() },
        Bounds { first_token_us: Some(50_000), mean_gap_us: Some(10_000), ..Bounds::default() },
        Bounds { first_token_us: Some(49_000), mean_gap_us: Some(10_000), ..Bounds::default() },
        Bounds { first_token_us: Some(50_000), mean_gap_us: Some(9_000), ..Bounds::default() },
        Bounds { mean_gap_us: Some(10_000), ..Bounds::default() },
    ];
    let streamed = |at_ms: &[u64], failure: Option<Failure>| {
        let mut tokens = Tokens::default();
        at_ms.iter().zip(1..).for_each(|(at_ms, count)| tokens.see(0, at_ms * 1_000_000, count, None, |_, _| ()));
        let mut record = Record { tokens: Some(Box::new(tokens)), failure, ..record(0) };
        record.meets(&bounds);
        record
    };
    let mut plain = record(0);
    plain.meets(&bounds);
    assert_eq!(plain.good, 0b1, "without a token there was neither a first one nor a gap");
    assert_eq!(streamed(&[], None).good, 0b1);
    assert_eq!(streamed(&[50, 60, 70], None).good, 0b10_0101);
    assert_eq!(streamed(&[49, 59, 69], None).good, 0b10_1101);
    assert_eq!(streamed(&[50], None).good, 0b11_0101, "one token has no time between two");
    assert_eq!(streamed(&[50, 60, 70], Some(Failure::Check)).good, 0);
    let ledger = Ledger::new(Arc::new(Marks::default()));
    take(&ledger, vec![streamed(&[50, 60, 70], None), streamed(&[49], None), plain], 10);
    let cell = &ledger.close(20).segments[0].cells[0];
    assert_eq!(cell.answers.good, [(0, 3), (2, 2), (3, 1), (4, 1), (5, 2)].into());
}

/// A server cannot look good by its own count: 50 ms from chunk to chunk, whatever it counts.
#[test]
fn a_count_below_what_came_makes_no_request_good() {
    let bounds = [Bounds { mean_gap_us: Some(49_000), ..Bounds::default() }];
    let streamed = |counted: Option<u64>| {
        let mut tokens = Tokens::default();
        (1..=10).for_each(|piece| tokens.see(0, piece * 50_000_000, piece, counted, |_, _| ()));
        let mut record = Record { tokens: Some(Box::new(tokens)), ..record(0) };
        record.meets(&bounds);
        (record.good, tokens.count())
    };
    for counted in [None, Some(0), Some(1), Some(2), Some(9), Some(10)] {
        assert_eq!(streamed(counted), (0, 10), "{counted:?}");
    }
    assert_eq!(streamed(Some(19)), (1, 19), "two tokens in a chunk");
}

/// A stream that stalls after two tokens, or fails without one.
#[test]
fn the_silence_before_a_failure_counts() {
    let marks = Arc::new(Marks::default());
    marks.begin(mark(0, 0, PhasePart::Judged));
    let ledger = Ledger::new(marks);
    let tokens = Tokens { first_us: Some(20_000), last_ns: 50_000_000, longest_us: 30_000, pieces: 2, counted: None };
    let stalled =
        Record { latency_us: 1_050_000, failure: Some(Failure::Stalled), tokens: Some(Box::new(tokens)), ..record(0) };
    let brief = Record { latency_us: 60_000, failure: Some(Failure::BrokenStream), ..stalled.clone() };
    let whole = Record { failure: None, ..stalled.clone() };
    let refused = Record { latency_us: 2_000_000, failure: Some(Failure::Status(503)), ..record(0) };
    take(&ledger, vec![stalled, brief, whole, refused], 3_000_000_000);
    let seen = ledger.close(3_000_000_000);
    let cell = &seen.segments[0].cells[0];
    let seconds =
        |values: &Histogram| values.iter().map(|(us, count)| ((us / 1e5).round() / 10.0, count)).collect::<Vec<_>>();
    assert_eq!(seconds(&cell.token_gaps), [(1.0, 1)], "only where it was the longest, and only of a failure");
    assert_eq!(cell.tokenless.keys().collect::<Vec<_>>(), [&Failure::Status(503)]);
    assert_eq!(seconds(&cell.tokenless[&Failure::Status(503)]), [(2.0, 1)]);
}

/// The resident memory of this process, in MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("kB") / 1024.0
}

/// A day of a load in three phases of eight hours, without its sockets. Prints the memory every two hours.
#[test]
#[ignore = "takes a minute"]
fn a_day_is_counted_in_bounded_memory() {
    const DAY_S: u64 = 86_400;
    // A tenth in a debug build: the memory depends on the spread of the latencies more than on their number.
    let rate = if cfg!(debug_assertions) { 100 } else { 1_000 };
    let marks = Arc::new(Marks::default());
    let ledger = Ledger::new(Arc::clone(&marks));
    let begun = resident_mib();
    let (mut dice, mut most) = (1_u64, 0.0_f64);
    let (mut batch, mut issued) = (Batch::default(), 0);
    for second in 0..DAY_S {
        let at_ns = second * 1_000_000_000;
        if second % (DAY_S / 3) == 0 {
            marks.begin(mark(at_ns, (second / (DAY_S / 3)) as usize, PhasePart::Judged));
        }
        batch.records.extend((0..rate).map(|number| {
            // A linear congruential generator (Knuth, MMIX). The latency has a long tail: from 2 ms to 2 s.
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = (dice >> 40) as f64 / (1_u64 << 24) as f64;
            let latency_us = (2_000.0 / (1.001 - share)) as u32;
            let failure = (dice >> 33).is_multiple_of(1_000).then_some(Failure::Status(503));
            Record { latency_us, failure, ..record(at_ns + number * (1_000_000_000 / rate)) }
        }));
        issued += rate;
        ledger.take(&mut batch, issued, at_ns + 1_000_000_000);
        // The console asks every second.
        ledger.live();
        if (second + 1) % 7_200 == 0 {
            let more = resident_mib() - begun;
            most = most.max(more);
            eprintln!("after {:>2} h: {more:.1} MiB", (second + 1) / 3_600);
        }
    }
    let seen = ledger.close(DAY_S * 1_000_000_000);
    most = most.max(resident_mib() - begun);
    eprintln!("closed: {} requests, at most {most:.1} MiB", seen.requests());
    assert_eq!(seen.requests(), rate * DAY_S);
    assert!(most < 40.0, "{most:.1} MiB");
}
