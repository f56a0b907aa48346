//! The time until a request's outcome, including failures: a client that waits 10 s for a 503 waits as long as one that
//! waits 10 s for an answer.
//!
//! - Every due request counts with the time until its outcome. One that timed out counts with its timeout, which is a lower
//!   bound.
//! - A failure that was faster than the requested percentile says nothing about the duration of an answer. It is excluded,
//!   like observations that are censored before the moment in question in a reduced-sample estimate (Kaplan and Meier,
//!   "Nonparametric Estimation from Incomplete Observations", Journal of the American Statistical Association 53, 1958).
//!   Otherwise a service that refuses half of its requests at once would look twice as fast.
//! - A request that the client gave up before its timeout, such as a stream that stalled, would have taken longer. Its place
//!   is above all other requests.

use std::collections::BTreeMap;

use super::{Cell, Failure, Histogram};

/// The times until the outcomes of some requests, in microseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcomes {
    /// Of requests that succeeded, and of requests that were given up.
    pub ended: Histogram,
    /// Of all other failures.
    pub failed: Histogram,
}

impl Outcomes {
    /// The times of a cell's requests.
    pub fn of(requests: &Cell) -> Self {
        Self::new(&requests.latency, &requests.failed_after)
    }

    /// Of requests that succeeded or reached their timeout, and of failures by their kinds, which may include those.
    pub fn new(ended: &Histogram, failures: &BTreeMap<Failure, Histogram>) -> Self {
        let mut ended = ended.clone();
        let given_up = merged(failures, Failure::is_given_up_early);
        ended.record_n(longest(&ended, failures), given_up.len());
        let failed = merged(failures, |failure| !failure.is_timed() && !failure.is_given_up_early());
        Self { ended, failed }
    }

    /// Adds the times of other requests.
    pub fn merge(&mut self, other: &Self) {
        self.ended.merge(&other.ended);
        self.failed.merge(&other.failed);
    }

    /// The latency at a quantile, in microseconds. None if no request succeeded or was given up: failures alone would make a
    /// broken service look fast.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.ended.is_empty() { None } else { self.counted(quantile).quantile(quantile) }
    }

    /// The times that count at a quantile: all but the failures that were quicker.
    pub fn counted(&self, quantile: f64) -> Histogram {
        let mut counted = self.ended.clone();
        if !self.failed.is_empty() {
            counted.merge(&self.failed.at_least(self.limit(quantile)));
        }
        counted
    }

    /// The smallest failure that counts at a quantile, in microseconds: the smallest value that the wanted share is at most, of
    /// all but the failures that were quicker than it. Where nothing else than quick failures is left it is theirs.
    pub fn limit(&self, quantile: f64) -> f64 {
        if self.ended.is_empty() {
            return 0.0;
        }
        let all = self.ended.len() as f64;
        let values = self.shares().find(|it| it.at_most as f64 >= quantile * (all + it.slower as f64) - 1e-9);
        values.map_or(f64::INFINITY, |it| it.value)
    }

    /// The latencies as one histogram, with one value for each request. Its percentiles are those of [`Self::quantile`], within
    /// one rank. Empty if no request succeeded or was given up.
    pub fn distribution(&self) -> Histogram {
        if self.ended.is_empty() || self.failed.is_empty() {
            return self.ended.clone();
        }
        let (ended, all) = (self.ended.len(), self.ended.len() + self.failed.len());
        let (mut spread, mut before) = (Histogram::default(), 0);
        for Share { value, at_most, slower } in self.shares() {
            let count = (u128::from(at_most) * u128::from(all) / u128::from(ended + slower)) as u64;
            spread.record_n(value as u64, count - before);
            before = count;
        }
        spread
    }

    /// The values in ascending order.
    fn shares(&self) -> impl Iterator<Item = Share> {
        let mut values: Vec<(f64, u64, u64)> = self.ended.iter().map(|(value, count)| (value, count, 0)).collect();
        values.extend(self.failed.iter().map(|(value, count)| (value, 0, count)));
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut at_most, mut slower) = (0, self.failed.len());
        values.into_iter().map(move |(value, ended, failed)| {
            (at_most, slower) = (at_most + ended, slower - failed);
            Share { value, at_most, slower }
        })
    }
}

/// A value, the number of requests that ended within it, and the number of failures that took longer.
struct Share {
    value: f64,
    at_most: u64,
    slower: u64,
}

/// The longest time of requests, in microseconds: the place of those that were given up early.
pub fn longest(ended: &Histogram, failures: &BTreeMap<Failure, Histogram>) -> u64 {
    failures.values().chain([ended]).filter_map(Histogram::max).fold(0.0, f64::max) as u64
}

/// The times of some kinds of failures.
pub fn merged(failures: &BTreeMap<Failure, Histogram>, is_one: impl Fn(Failure) -> bool) -> Histogram {
    let mut all = Histogram::default();
    failures.iter().filter(|it| is_one(*it.0)).for_each(|it| all.merge(it.1));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(ended: &[(u64, u64)], failed: &[(u64, u64)]) -> Outcomes {
        let of = |values: &[(u64, u64)]| {
            let mut times = Histogram::default();
            values.iter().for_each(|(ms, count)| times.record_n(ms * 1000, *count));
            times
        };
        Outcomes { ended: of(ended), failed: of(failed) }
    }

    fn ms(value: Option<f64>) -> Option<f64> {
        value.map(|micros| (micros / 1e3).round())
    }

    #[test]
    fn slow_failures_count_and_quick_ones_do_not() {
        let slow = outcomes(&[(20, 100), (80, 7)], &[(1000, 53)]);
        assert_eq!([0.5, 0.95].map(|at| ms(slow.quantile(at))), [Some(20.0), Some(1000.0)]);
        let quick = outcomes(&[(20, 100), (80, 7)], &[(1, 53)]);
        assert_eq!([0.5, 0.95].map(|at| ms(quick.quantile(at))), [Some(20.0), Some(80.0)]);
        assert_eq!(outcomes(&[], &[(1, 53)]).quantile(0.95), None);
        assert_eq!(
            ms(outcomes(&[], &[(2500, 53)]).counted(0.5).quantile(0.5)),
            Some(2501.0),
            "for those who ask for it"
        );
    }

    #[test]
    fn the_distribution_has_the_percentiles_and_a_value_for_each_request() {
        for it in [
            outcomes(&[(20, 100), (80, 7)], &[(1000, 53)]),
            outcomes(&[(20, 100), (80, 7)], &[(1, 53), (90, 3)]),
            outcomes(&[(20, 10), (80, 70), (300, 20)], &[(50, 40), (200, 10), (900, 2)]),
            outcomes(&[(20, 10)], &[]),
        ] {
            let all = it.distribution();
            assert_eq!(all.len(), it.ended.len() + it.failed.len());
            let rank = 1.0 / all.len() as f64;
            for quantile in [0.25, 0.5, 0.9, 0.95, 1.0] {
                let near = [quantile - rank, quantile, quantile + rank].map(|at| ms(all.quantile(at)));
                assert!(near.contains(&ms(it.quantile(quantile))), "{quantile}: {near:?} and {it:?}");
            }
        }
        assert!(outcomes(&[], &[(1, 53)]).distribution().is_empty());
    }
}
