//! The time until a request's outcome, including failures: a client that waits 10 s for a 503 waits as long as one that
//! waits 10 s for an answer.
//!
//! A failure that was quicker than the requested percentile says nothing about the duration of an answer. It is excluded,
//! like observations that are censored before the moment in question in a reduced-sample estimate (Kaplan and Meier,
//! "Nonparametric Estimation from Incomplete Observations", Journal of the American Statistical Association 53, 1958).
//! Otherwise a service that refuses half of its requests at once would look twice as fast.

use super::Histogram;

impl Histogram {
    /// These times, and those of `failed` that were not quicker than the quantile (between 0 and 1) of all that count.
    #[must_use]
    pub fn until_outcome(&self, failed: &Self, quantile: f64) -> Self {
        let mut all = self.clone();
        if !failed.is_empty() {
            all.merge(&failed.at_least(self.quantile_with(failed, quantile)));
        }
        all
    }

    /// The quantile of the times until the outcome, in microseconds: the smallest value that the wanted share is at most, of
    /// all but the times of `failed` that were quicker than it. 0 if all are of failures.
    #[must_use]
    pub fn quantile_with(&self, failed: &Self, quantile: f64) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let mut values: Vec<(f64, u64, u64)> = self.iter().map(|(value, count)| (value, count, 0)).collect();
        values.extend(failed.iter().map(|(value, count)| (value, 0, count)));
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut at_most, mut slower) = (0, failed.len());
        for (value, here, failed_here) in values {
            at_most += here;
            slower -= failed_here;
            if at_most as f64 >= quantile * (self.len() + slower) as f64 - 1e-9 {
                return value;
            }
        }
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: &[(u64, u64)]) -> Histogram {
        let mut times = Histogram::default();
        values.iter().for_each(|(value, count)| times.record_n(*value, *count));
        times
    }

    #[test]
    fn slow_failures_count_and_quick_ones_do_not() {
        let p50 = |ended: &Histogram, failed: &Histogram| {
            ended.until_outcome(failed, 0.5).quantile(0.5).map(|microseconds| (microseconds / 1e3).round())
        };
        let answers = times(&[(20_000, 100)]);
        assert_eq!(p50(&answers, &times(&[(2_500_000, 150)])), Some(2501.0));
        assert_eq!(p50(&answers, &times(&[(1_000, 150)])), Some(20.0));
        assert_eq!(p50(&Histogram::default(), &times(&[(2_500_000, 10)])), Some(2501.0));
        assert_eq!(p50(&Histogram::default(), &Histogram::default()), None);
    }
}
