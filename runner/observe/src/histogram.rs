//! A sparse histogram of microseconds with three significant digits, small enough for one per cell.
//!
//! The buckets are those of HdrHistogram (log-linear: 2048 linear sub-buckets, then 1024 per doubling), so that a merged
//! histogram converts to the standard form without loss. Only buckets with a count are stored.
//!
//! By hand, because the standard form has all its buckets in memory: 188 kB for values of up to an hour, however few there are. A
//! run has a histogram for each load and second. `a_sparse_histogram_is_a_fraction_of_the_standard_form` compares the two.

use std::fmt;

/// Counts of values in microseconds, exact to three significant digits.
///
/// New counts go into two sorted vectors. [`Histogram::pack`] moves them to a form of 2 or 3 bytes each. The counts are the
/// sum of both forms.
#[derive(Clone, Default)]
pub struct Histogram {
    buckets: Vec<u32>,
    counts: Vec<u64>,
    /// The buckets and counts in ascending order, as LEB128 numbers. The first number is twice the distance from the
    /// previous bucket, plus 1 if a second number follows: the count minus 2. A bucket with a count of 1 takes one byte in
    /// most cases.
    packed: Box<[u8]>,
    total: u64,
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.total == other.total && self.entries().eq(other.entries())
    }
}

impl Eq for Histogram {}

impl fmt::Debug for Histogram {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}

/// Merges two ascending lists of buckets.
fn merged(
    left: impl Iterator<Item = (u32, u64)>,
    right: impl Iterator<Item = (u32, u64)>,
) -> impl Iterator<Item = (u32, u64)> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || match (left.peek().copied(), right.peek().copied()) {
        (Some((low, _)), Some((high, _))) if low < high => left.next(),
        (Some((low, count)), Some((high, more))) if low == high => {
            left.next();
            right.next();
            Some((low, count + more))
        }
        (_, Some(_)) => right.next(),
        _ => left.next(),
    })
}

/// Writes a number in LEB128: seven bits per byte, the lowest first.
pub(super) fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads a number that [`write_number`] wrote.
pub(super) fn read_number(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(number)
}

/// The bucket of a value.
fn bucket(value: u64) -> u32 {
    if value < 2048 {
        return value as u32;
    }
    let shift = 63 - value.leading_zeros() - 10;
    shift * 1024 + (value >> shift) as u32
}

/// The smallest value of a bucket, and the number of values in it.
fn range(bucket: u32) -> (u64, u64) {
    if bucket < 2048 {
        return (u64::from(bucket), 1);
    }
    let shift = bucket / 1024 - 1;
    (u64::from(bucket - shift * 1024) << shift, 1 << shift)
}

impl Histogram {
    /// Counts a value.
    pub fn record(&mut self, microseconds: u64) {
        self.record_n(microseconds, 1);
    }

    /// Counts a value `count` times.
    pub fn record_n(&mut self, microseconds: u64, count: u64) {
        if count == 0 {
            return;
        }
        let bucket = bucket(microseconds);
        match self.buckets.binary_search(&bucket) {
            Ok(at) => self.counts[at] += count,
            Err(at) => {
                self.buckets.insert(at, bucket);
                self.counts.insert(at, count);
            }
        }
        self.total += count;
    }

    /// Counts all values and clears the list. Faster than one call per value.
    pub fn record_all(&mut self, microseconds: &mut Vec<u32>) {
        microseconds.sort_unstable();
        self.total += microseconds.len() as u64;
        let mut at = 0;
        let mut missing: Vec<(u32, u64)> = Vec::new();
        for run in microseconds.chunk_by(|a, b| bucket((*a).into()) == bucket((*b).into())) {
            let (bucket, count) = (bucket(run[0].into()), run.len() as u64);
            at += self.buckets[at..].partition_point(|known| *known < bucket);
            match self.buckets.get(at) {
                Some(known) if *known == bucket => self.counts[at] += count,
                _ => missing.push((bucket, count)),
            }
        }
        if !missing.is_empty() {
            let known = self.buckets.iter().copied().zip(self.counts.iter().copied());
            (self.buckets, self.counts) = merged(known, missing.into_iter()).unzip();
        }
        microseconds.clear();
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let (buckets, counts) = merged(self.entries(), other.entries()).unzip();
        (self.buckets, self.counts, self.packed) = (buckets, counts, Box::default());
        self.total += other.total;
    }

    /// Corrects for coordinated omission: adds the values that a sender missed while it waited for an answer. For each
    /// value longer than its usual interval, it adds values that are shorter by one interval, by two, and so on, down to
    /// the interval itself (HdrHistogram's `copyCorrectedForCoordinatedOmission`).
    #[must_use]
    pub fn corrected(&self, interval_us: u64) -> Self {
        let mut corrected = self.clone();
        for (value, count) in self.iter().filter(|(value, _)| interval_us > 0 && *value >= 2.0 * interval_us as f64) {
            let value = value as u64;
            let missing = value / interval_us - 1;
            // At most as many steps as there are buckets in the range. Each step counts for `stride` values.
            let stride = missing.div_ceil(4096).max(1);
            for step in (0..missing).step_by(stride as usize) {
                let together = stride.min(missing - step);
                corrected.record_n(value - (step + 1) * interval_us - together / 2 * interval_us, count * together);
            }
        }
        corrected
    }

    /// The counts minus those of `other`. `other` must not have a larger count of any value.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut less: std::collections::BTreeMap<u32, u64> = self.entries().collect();
        for (bucket, count) in other.entries() {
            if let Some(mine) = less.get_mut(&bucket) {
                *mine = mine.saturating_sub(count);
            }
        }
        let mut rest = Self::default();
        for (bucket, count) in less.into_iter().filter(|(_, count)| *count > 0) {
            rest.record_n(range(bucket).0, count);
        }
        rest
    }

    /// The counts of values of at least `microseconds`.
    #[must_use]
    pub fn at_least(&self, microseconds: f64) -> Self {
        let mut rest = Self::default();
        for (bucket, count) in self.entries() {
            let (first, width) = range(bucket);
            if (first + width - 1) as f64 >= microseconds {
                rest.record_n(first, count);
            }
        }
        rest
    }

    /// Packs the counts. A run of an hour keeps 14,400 cells, each with its histograms.
    pub fn pack(&mut self) {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        (self.buckets, self.counts, self.packed) = (Vec::new(), Vec::new(), bytes.into());
    }

    /// Writes the packed form.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let mut before = 0;
        for (bucket, count) in self.entries() {
            let has_count = u64::from(count > 1);
            write_number(bytes, u64::from(bucket - before) << 1 | has_count);
            if count > 1 {
                write_number(bytes, count - 2);
            }
            before = bucket;
        }
    }

    /// Reads the packed form.
    pub(super) fn read(packed: Box<[u8]>) -> Self {
        let mut read = Self { packed, ..Self::default() };
        read.total = read.entries().map(|(_, count)| count).sum();
        read
    }

    /// Clears all counts and keeps the memory.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.counts.clear();
        self.packed = Box::default();
        self.total = 0;
    }

    /// The buckets with a count, in ascending order.
    fn entries(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let mut bytes = self.packed.iter().copied();
        let mut bucket = 0;
        let packed = std::iter::from_fn(move || {
            let number = read_number(&mut bytes)?;
            bucket += (number >> 1) as u32;
            Some((bucket, if number & 1 == 1 { read_number(&mut bytes)? + 2 } else { 1 }))
        });
        merged(self.buckets.iter().copied().zip(self.counts.iter().copied()), packed)
    }

    /// The number of counted values.
    pub const fn len(&self) -> u64 {
        self.total
    }

    /// True if no value was counted.
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The value at a quantile between 0 and 1, in microseconds: the smallest value that at least this share of the counts
    /// does not exceed (the largest value of its bucket, as HdrHistogram reports it). None when empty.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = ((quantile.clamp(0.0, 1.0) * self.total as f64) - 1e-9).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.entries() {
            seen += count;
            if seen >= rank {
                let (low, width) = range(index);
                return Some((low + width - 1) as f64);
            }
        }
        None
    }

    /// The mean, in microseconds. None when empty.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.iter().map(|(value, count)| value * count as f64).sum();
        (self.total > 0).then(|| sum / self.total as f64)
    }

    /// The smallest value, in microseconds. None when empty.
    pub fn min(&self) -> Option<f64> {
        self.entries().next().map(|(index, _)| range(index).0 as f64)
    }

    /// The largest value, in microseconds. None when empty.
    pub fn max(&self) -> Option<f64> {
        self.quantile(1.0)
    }

    /// The midpoint and the count of each bucket with a count, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.entries().map(|(index, count)| {
            let (low, width) = range(index);
            (low as f64 + (width - 1) as f64 / 2.0, count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_hold_three_digits() {
        let mut next = 0;
        for index in 0..20_000 {
            let (low, width) = range(index);
            assert_eq!(low, next, "bucket {index}");
            assert_eq!(bucket(low), index);
            assert_eq!(bucket(low + width - 1), index);
            assert!(low < 2048 || (width as f64) / (low as f64) <= 0.001, "bucket {index}");
            next = low + width;
        }
    }

    #[test]
    fn agrees_with_hdrhistogram() {
        let mut ours = Histogram::default();
        let mut theirs = hdrhistogram::Histogram::<u64>::new(3).unwrap();
        let mut value = 1_u64;
        for step in 0..5000_u64 {
            value = (value * 1103 + step * 7919) % 90_000_000;
            ours.record(value);
            theirs.record(value).unwrap();
        }
        for quantile in [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            assert_eq!(ours.quantile(quantile).unwrap() as u64, theirs.value_at_quantile(quantile), "{quantile}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn a_sparse_histogram_is_a_fraction_of_the_standard_form() {
        let standard = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        assert_eq!(standard.distinct_values() * size_of::<u64>(), 188_416);
        let mut ours = Histogram::default();
        (0..1000_u64).for_each(|step| ours.record(5000 + step * step % 20_000));
        ours.pack();
        assert!(ours.packed.len() <= 2000, "{}", ours.packed.len());
    }

    #[test]
    fn merged_shares_equal_the_whole() {
        let mut whole = Histogram::default();
        let mut parts = [Histogram::default(), Histogram::default(), Histogram::default()];
        for step in 0..3000_u64 {
            let value = step * step * 7919 % 1_000_003;
            whole.record(value);
            parts[(step % 3) as usize].record(value);
        }
        let mut merged = Histogram::default();
        for part in &parts {
            merged.merge(part);
        }
        assert_eq!(merged, whole);
        assert_eq!(merged.len(), 3000);
    }

    #[test]
    fn record_all_equals_single_records() {
        let (mut one_by_one, mut at_once) = (Histogram::default(), Histogram::default());
        let mut values = Vec::new();
        for step in 0..5000_u64 {
            let value = step * step * 7919 % if step < 2500 { 300 } else { 9_000_000 };
            one_by_one.record(value);
            values.push(value as u32);
            if step % 613 == 0 {
                at_once.record_all(&mut values);
                assert!(values.is_empty());
            }
            if step % 1500 == 0 {
                at_once.pack();
            }
        }
        at_once.record_all(&mut values);
        assert_eq!((&at_once, at_once.len()), (&one_by_one, 5000));
    }

    #[test]
    fn corrects_for_coordinated_omission_as_hdrhistogram_does() {
        let mut ours = Histogram::default();
        let mut theirs = hdrhistogram::Histogram::<u64>::new(3).unwrap();
        for step in 0..500_u64 {
            let value = step * step * 7919 % 30_000;
            ours.record(value);
            theirs.record(value).unwrap();
        }
        ours.record(2_000_000);
        theirs.record(2_000_000).unwrap();
        let (ours, theirs) = (ours.corrected(700), theirs.clone_correct(700));
        // One steps down from the middle of a bucket, the other from its end.
        assert!((ours.len() as f64 / theirs.len() as f64 - 1.0).abs() < 0.001, "{} {}", ours.len(), theirs.len());
        for quantile in [0.5, 0.9, 0.95, 0.99, 1.0] {
            let (one, other) = (ours.quantile(quantile).unwrap(), theirs.value_at_quantile(quantile) as f64);
            assert!((one / other - 1.0).abs() < 0.002, "{quantile}: {one} {other}");
        }
        assert_eq!(ours.corrected(0), ours);
    }

    #[test]
    fn a_very_long_value_is_corrected_in_bounded_time() {
        let mut one = Histogram::default();
        one.record(3_000_000_000);
        let corrected = one.corrected(50);
        assert!((corrected.len() as f64 / 60e6 - 1.0).abs() < 0.001, "{}", corrected.len());
        assert!((corrected.quantile(0.5).unwrap() / 1.5e9 - 1.0).abs() < 0.01);
    }

    #[test]
    fn packing_changes_nothing_but_the_size() {
        let mut plain = Histogram::default();
        let mut packed = Histogram::default();
        for step in 0..2000_u64 {
            let (value, count) = (step * step * 7919 % 90_000_000, 1 + step % 300);
            plain.record_n(value, count);
            packed.record_n(value, count);
            if step % 100 == 0 {
                packed.pack();
            }
        }
        assert_eq!(packed, plain);
        packed.pack();
        assert_eq!(packed, plain);
        assert_eq!(packed.quantile(0.9), plain.quantile(0.9));
        assert_eq!((packed.min(), packed.max(), packed.mean()), (plain.min(), plain.max(), plain.mean()));
        packed.merge(&plain);
        assert_eq!(packed.len(), 2 * plain.len());
        packed.clear();
        assert_eq!(packed, Histogram::default());
    }
}
