//! Histograms in the form of results: percentiles in milliseconds, and HdrHistogram's exchange format.

use base64::Engine as _;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use shakedown_schemas::result::{LatencyStats, Timing};

use shakedown_observe::{Histogram, Outcomes};

/// The largest value of a histogram in the exchange format, in microseconds: an hour. The same for all, so that readers
/// can add them.
const LARGEST_US: u64 = 3_600_000_000;

/// Percentiles in milliseconds. None for an empty histogram.
pub(super) fn percentiles(histogram: &Histogram) -> Option<LatencyStats> {
    stats(histogram, |quantile| histogram.quantile(quantile))
}

/// The percentiles of the times until the outcomes, each as an expectation has it. None if no request succeeded or was given up.
pub(super) fn latency(outcomes: &Outcomes) -> Option<LatencyStats> {
    stats(&outcomes.distribution(), |quantile| outcomes.quantile(quantile))
}

/// The numbers of a histogram, with these quantiles in microseconds.
fn stats(histogram: &Histogram, quantile: impl Fn(f64) -> Option<f64>) -> Option<LatencyStats> {
    let at = |share| quantile(share).map(|microseconds| microseconds / 1e3);
    Some(LatencyStats {
        count: histogram.len(),
        mean_ms: histogram.mean()? / 1e3,
        min_ms: histogram.min()? / 1e3,
        p50_ms: at(0.5)?,
        p90_ms: at(0.9)?,
        p95_ms: at(0.95)?,
        p99_ms: at(0.99)?,
        p999_ms: at(0.999)?,
        max_ms: at(1.0)?,
    })
}

/// Percentiles and all values. None for an empty histogram.
pub(super) fn timing(histogram: &Histogram) -> Option<Timing> {
    percentiles(histogram).map(|stats| Timing { stats, hdr: hdr(histogram) })
}

/// A histogram in HdrHistogram's own exchange format (V2, DEFLATE, base64), so that other tools can merge and plot it.
pub(super) fn hdr(histogram: &Histogram) -> Option<String> {
    if histogram.is_empty() {
        return None;
    }
    let mut standard = hdrhistogram::Histogram::<u64>::new_with_bounds(1, LARGEST_US, 3).ok()?;
    for (value, count) in histogram.iter() {
        standard.saturating_record_n(value as u64, count);
    }
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&standard, &mut bytes).ok()?;
    Some(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> hdrhistogram::Histogram<u64> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        hdrhistogram::serialization::Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
    }

    #[test]
    fn the_exchange_format_reads_back() {
        let mut histogram = Histogram::default();
        for value in 1..=2000_u64 {
            histogram.record(value * 37);
        }
        let read = read(&hdr(&histogram).unwrap());
        assert_eq!(read.len(), 2000);
        for quantile in [0.5, 0.95, 0.999] {
            assert_eq!(read.value_at_quantile(quantile), histogram.quantile(quantile).unwrap() as u64);
        }
        assert_eq!((hdr(&Histogram::default()), timing(&Histogram::default())), (None, None));
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut histogram = Histogram::default();
        (1..=1000_u64).for_each(|value| histogram.record(value * 1000));
        let it = percentiles(&histogram).unwrap();
        assert_eq!(it.count, 1000);
        for (actual, expected) in [
            (it.mean_ms, 500.5),
            (it.min_ms, 1.0),
            (it.p50_ms, 500.0),
            (it.p90_ms, 900.0),
            (it.p95_ms, 950.0),
            (it.p99_ms, 990.0),
            (it.p999_ms, 999.0),
            (it.max_ms, 1000.0),
        ] {
            assert!((actual / expected - 1.0).abs() < 0.001, "{actual} is not {expected}");
        }
        assert_eq!(timing(&histogram).unwrap(), Timing { stats: it, hdr: hdr(&histogram) });
    }

    #[test]
    fn any_can_be_added_to_any_other_and_the_sum_is_the_whole() {
        let (mut fast, mut slow, mut whole) = (Histogram::default(), Histogram::default(), Histogram::default());
        for step in 0..3000_u64 {
            let value = step * step * 7919 % 900;
            fast.record(value);
            slow.record(value * 100_000);
            whole.record(value);
            whole.record(value * 100_000);
        }
        let mut sum = read(&hdr(&fast).unwrap());
        sum.add(read(&hdr(&slow).unwrap())).unwrap();
        assert_eq!(sum, read(&hdr(&whole).unwrap()));
        // And the other way round: neither is too small for the other.
        let mut other = read(&hdr(&slow).unwrap());
        other.add(read(&hdr(&fast).unwrap())).unwrap();
        assert_eq!(other, sum);
    }
}
