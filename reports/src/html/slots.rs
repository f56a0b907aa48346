//! Merges a load's windows into a limited number of slots for drawing. Each slot keeps the lowest and the highest value of
//! every line, so that one bad second of an hour stays visible.

use indexmap::IndexMap;
use shakedown_schemas::result::{LoadSeries, Point};

/// The number of error kinds that a chart distinguishes. The rest are merged.
pub(crate) const KINDS: usize = 5;

/// The lowest and the highest of the windows of a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Several merged windows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slot {
    /// The start, in seconds since the load's start.
    pub(crate) from: f64,
    /// The end, in seconds since the load's start.
    pub(crate) to: f64,
    /// The number of windows.
    pub(crate) windows: usize,
    pub(crate) requests: u64,
    pub(crate) succeeded: u64,
    /// Failures, in the order of the chart's kinds.
    pub(crate) errors: Vec<u64>,
    pub(crate) success: Option<Span>,
    pub(crate) p50: Option<Span>,
    pub(crate) p95: Option<Span>,
    pub(crate) p99: Option<Span>,
    pub(crate) in_flight: Option<Span>,
}

impl Slot {
    /// Its length in seconds.
    pub(crate) fn length(&self) -> f64 {
        self.to - self.from
    }

    /// Converts a number of requests to a rate per second.
    pub(crate) fn rate(&self, requests: u64) -> f64 {
        if self.length() > 0.0 { requests as f64 / self.length() } else { 0.0 }
    }
}

/// A load's series in slots.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    pub(crate) slots: Vec<Slot>,
    /// The names of the error kinds, most frequent first. The last may be `other`.
    pub(crate) kinds: Vec<String>,
}

impl Slots {
    /// Merges a series into about `most` slots of equal length at most.
    pub(crate) fn new(series: &LoadSeries, most: usize) -> Self {
        let kinds = kinds(series);
        let mut points: Vec<&Point> = series.points.iter().filter(|p| p.t_s.is_finite() && p.length_s > 0.0).collect();
        points.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        let end = points.iter().map(|p| p.t_s + p.length_s).fold(0.0, f64::max);
        let window = if series.window_s > 0.0 { series.window_s } else { 1.0 };
        // Whole windows per slot, so that no window crosses an edge. If all windows fit, none are merged.
        let per_slot = if points.len() <= most { 0.0 } else { (end / window / most.max(1) as f64).ceil() * window };
        let mut slots: Vec<Slot> = Vec::new();
        let mut current = f64::NAN;
        for point in points {
            let index = if per_slot > 0.0 { ((point.t_s + 1e-9) / per_slot).floor() } else { f64::NAN };
            if slots.is_empty() || index != current {
                slots.push(Slot { from: point.t_s, errors: vec![0; kinds.len()], ..Slot::default() });
                current = index;
            }
            if let Some(slot) = slots.last_mut() {
                slot.add(point, &kinds);
            }
        }
        Self { slots, kinds }
    }
}

impl Slot {
    fn add(&mut self, point: &Point, kinds: &[String]) {
        self.to = self.to.max(point.t_s + point.length_s);
        self.windows += 1;
        self.requests += point.requests;
        self.succeeded += point.succeeded;
        for (kind, count) in &point.errors {
            // A kind without its own colour counts as the last kind, `other`.
            let index = kinds.iter().position(|it| it == kind).unwrap_or(kinds.len().saturating_sub(1));
            if let Some(sum) = self.errors.get_mut(index) {
                *sum += count;
            }
        }
        if point.requests > 0 {
            widen(&mut self.success, Some(point.succeeded as f64 / point.requests as f64));
        }
        widen(&mut self.p50, point.p50_ms);
        widen(&mut self.p95, point.p95_ms);
        widen(&mut self.p99, point.p99_ms);
        widen(&mut self.in_flight, Some(point.in_flight as f64));
    }
}

fn widen(span: &mut Option<Span>, value: Option<f64>) {
    let Some(value) = value.filter(|value| value.is_finite()) else { return };
    let old = span.unwrap_or(Span { low: value, high: value });
    *span = Some(Span { low: old.low.min(value), high: old.high.max(value) });
}

/// The error kinds of a series, most frequent first; equal ones by name.
fn kinds(series: &LoadSeries) -> Vec<String> {
    let mut sums: IndexMap<&str, u64> = IndexMap::new();
    for (kind, count) in series.points.iter().flat_map(|point| &point.errors) {
        *sums.entry(kind).or_default() += count;
    }
    sums.retain(|_, count| *count > 0);
    sums.sort_by(|a, x, b, y| y.cmp(x).then(a.cmp(b)));
    let mut kinds: Vec<String> = sums.keys().map(|kind| (*kind).to_owned()).collect();
    if kinds.len() > KINDS {
        kinds.truncate(KINDS - 1);
        kinds.push("other".to_owned());
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn merging_keeps_counts_and_extremes() {
        let mut series = sample::series("x", 3600, 50, (600.0, 1200.0));
        series.points[1777].p99_ms = Some(98_765.0);
        series.points[1777].succeeded = 1;
        let merged = Slots::new(&series, 500);
        assert!(merged.slots.len() <= 500, "{}", merged.slots.len());
        let sum = |f: fn(&Slot) -> u64| merged.slots.iter().map(f).sum::<u64>();
        assert_eq!(sum(|s| s.requests), 3600 * 50);
        assert_eq!(sum(|s| s.succeeded), series.points.iter().map(|p| p.succeeded).sum::<u64>());
        let failed: u64 = series.points.iter().flat_map(|p| p.errors.values()).sum();
        assert_eq!(merged.slots.iter().flat_map(|s| &s.errors).sum::<u64>(), failed);
        let worst = merged.slots.iter().filter_map(|s| s.p99).map(|s| s.high).fold(0.0, f64::max);
        assert_eq!(worst, 98_765.0);
        let lowest = merged.slots.iter().filter_map(|s| s.success).map(|s| s.low).fold(1.0, f64::min);
        assert_eq!(lowest, 0.02);
    }

    #[test]
    fn few_windows_are_not_merged() {
        let series = sample::series("x", 121, 20, (30.0, 90.0));
        let merged = Slots::new(&series, 500);
        assert_eq!(merged.slots.len(), 121);
        assert_eq!(merged.kinds, ["timeout", "http_503"]);
        assert!(merged.slots.iter().all(|slot| slot.windows == 1 && slot.length() == 1.0));
    }

    #[test]
    fn merges_rare_error_kinds() {
        let mut series = sample::series("x", 10, 20, (30.0, 90.0));
        for k in 0..20_u64 {
            series.points[3].errors.insert(format!("http_{k}"), k + 1);
        }
        let merged = Slots::new(&series, 500);
        assert_eq!(merged.kinds, ["http_19", "http_18", "http_17", "http_16", "other"]);
        assert_eq!(merged.slots[3].errors.iter().sum::<u64>(), 210);
    }
}
