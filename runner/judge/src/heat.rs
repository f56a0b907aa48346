//! The latency heat map of the reports, with the time until every request's outcome: the cells of a run in a few columns and
//! rows, so that the result stays small for any length of the run.

use std::collections::BTreeMap;

use shakedown_schemas::result::Heat;

use shakedown_observe::{LoadObservations, Outcomes};

/// The most columns.
const COLUMNS: u64 = 60;
/// The most rows. They are equally high on a logarithmic axis.
const ROWS: u32 = 40;
/// The minimum range of the axis, as a factor, so that two equal latencies are not spread over forty rows.
const LEAST_FACTOR: f64 = 4.0;

/// The heat map of one load. None without requests.
pub(super) fn heat(load: &LoadObservations) -> Option<Heat> {
    let end_ns = load.segments.last()?.end_ns;
    let column_ns = end_ns.div_ceil(COLUMNS).div_ceil(1_000_000_000).max(1) * 1_000_000_000;
    let cells = || {
        load.segments.iter().flat_map(|segment| {
            segment.cells.iter().zip(0_u64..).map(|(cell, index)| (segment.mark.at_ns + index * segment.cell_ns, cell))
        })
    };
    let times: Vec<(u64, Outcomes)> = cells().map(|(at_ns, cell)| (at_ns, Outcomes::of(cell))).collect();
    let all = || times.iter().flat_map(|(_, it)| [&it.ended, &it.failed]);
    let low = all().filter_map(|it| it.min()).fold(f64::INFINITY, f64::min).max(1.0);
    let high = all().filter_map(|it| it.max()).fold(0.0, f64::max).max(low * LEAST_FACTOR);
    if !low.is_finite() {
        return None;
    }
    let step = (high / low).ln() / f64::from(ROWS);
    let row = |microseconds: f64| (((microseconds.max(low) / low).ln() / step) as u32).min(ROWS - 1);
    let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (at_ns, it) in &times {
        let column = (at_ns / column_ns) as u32;
        for (microseconds, count) in it.ended.iter().chain(it.failed.iter()) {
            *counts.entry((column, row(microseconds))).or_default() += count;
        }
    }
    // Four digits are enough for a drawing, and short in the file.
    let short = |value: f64| {
        let unit = 10_f64.powf(value.log10().floor() - 3.0);
        (value / unit).round() * unit
    };
    Some(Heat {
        column_s: super::seconds(column_ns),
        edges_ms: (0..=ROWS).map(|row| short(low * (f64::from(row) * step).exp() / 1e3)).collect(),
        cells: counts.into_iter().map(|((column, row), count)| (column, row, count)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Timeline;

    #[test]
    fn every_latency_is_in_one_cell_of_its_row_and_column() {
        let observations = Timeline::new(10.0)
            .phase("calm", 90.0)
            .phase("slow", 90.0)
            .answer(|request| request.ok_in(if request.at < 90.0 { 10.0 } else { 400.0 }))
            .observe();
        let heat = heat(&observations.loads[0]).expect("there are latencies");
        assert_eq!(heat.cells.iter().map(|(_, _, count)| count).sum::<u64>(), 1800);
        assert_eq!((heat.column_s, heat.edges_ms.len()), (3.0, 41));
        for (column, row, _) in &heat.cells {
            let (low, high) = (heat.edges_ms[*row as usize], heat.edges_ms[*row as usize + 1]);
            let wanted = if *column < 30 { 10.0 } else { 400.0 };
            assert!(low <= wanted * 1.002 && wanted <= high * 1.002, "{column}: {low} to {high}");
        }
    }

    #[test]
    fn rows_are_equally_high_and_columns_whole_seconds() {
        let observations = Timeline::new(10.0)
            .phase("first", 10.5)
            .phase("second", 10.0)
            .answer(|request| request.ok_in(if request.phase == "first" { 10.0 } else { 13.0 }))
            .observe();
        let heat = heat(&observations.loads[0]).expect("there are latencies");
        // Four times the lowest at least, in forty rows: 10 ms times the fortieth root of four for each.
        for (edge, expected) in [(0, 10.0), (1, 10.35), (20, 20.0), (39, 38.64), (40, 40.0)] {
            assert!((heat.edges_ms[edge] / expected - 1.0).abs() < 0.001, "{edge}: {}", heat.edges_ms[edge]);
            let digits = heat.edges_ms[edge] * 100.0;
            assert!((digits - digits.round()).abs() < 1e-9, "four digits: {}", heat.edges_ms[edge]);
        }
        // ln 1.3 / ln 4 of forty rows are 7.6.
        let expected = (0..10_u32).map(|column| (column, 0, 10)).chain([(10, 0, 5), (10, 7, 5)]);
        let expected = expected.chain((11..20).map(|column| (column, 7, 10))).chain([(20, 7, 5)]);
        assert_eq!((heat.column_s, heat.cells), (1.0, expected.collect::<Vec<_>>()));
    }

    #[test]
    fn the_axis_reaches_from_the_lowest_to_the_highest() {
        let map = |low: f64, high: f64, seconds: f64| {
            let answer = move |it: crate::testing::Request<'_>| it.ok_in(if it.index == 3 { high } else { low });
            heat(&Timeline::new(1.0).phase("only", seconds).answer(answer).observe().loads[0]).unwrap()
        };
        let wide = map(10.0, 1000.0, 61.0);
        assert!((wide.edges_ms[40] / 1000.0 - 1.0).abs() < 0.001, "{}", wide.edges_ms[40]);
        assert_eq!((wide.column_s, wide.cells[..2].to_vec()), (2.0, vec![(0, 0, 2), (1, 0, 1)]));
        assert_eq!(wide.cells[2], (1, 39, 1), "the highest is in the last row");
        for high in [0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256] {
            let last = map(0.001, high, 10.0).cells.iter().map(|(_, row, _)| *row).max();
            assert_eq!(last, Some(39), "{high} ms");
        }
        // A microsecond is the lowest edge, and nothing is below it.
        let fast = map(0.0, 0.5, 10.0);
        assert_eq!((fast.edges_ms[0], fast.cells[0]), (0.001, (0, 0, 1)));
    }

    #[test]
    fn failures_are_in_the_map_and_a_load_without_requests_has_none() {
        let refused = Timeline::new(5.0).phase("only", 4.0).answer(|request| request.refused()).observe();
        let map = heat(&refused.loads[0]).unwrap();
        assert_eq!(map.cells.iter().map(|(_, _, count)| count).sum::<u64>(), 20);
        assert_eq!(heat(&LoadObservations::default()), None);
    }
}
