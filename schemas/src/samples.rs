//! The number of requests that a question needs. Fewer make the answer inconclusive, never a pass; `min_samples` of the
//! expectation overrides each rule. The judge decides by these numbers, and `validate` reports expectations that cannot reach
//! them.

/// Below this number every answer is inconclusive.
pub const FLOOR: u64 = 20;

/// Below this number not even a failure is decided.
pub const FLOOR_FOR_FAILURE: u64 = 10;

/// How often data in order must repeat in each of two phases before their requests are compared.
pub const ROUNDS: u64 = 3;

/// Requests for a percentile, in each of its terms.
///
/// The largest of `n` independent values lies above the true percentile `p` with chance `1 - p^n`. Unless that is at
/// least 95 %, the sample need not contain a single value beyond the percentile, and "p99" is only another word for
/// "the largest": `n >= ln 0.05 / ln p` (Hahn and Meeker, "Statistical Intervals", distribution-free bounds), which is
/// 59 for p95, 299 for p99 and 2,995 for p99.9. Rounded up to tens (60, 300, 3,000), and never under 20. Percentiles
/// below the median mirror: p5 needs as many as p95.
pub fn percentile(fraction: f64) -> u64 {
    let far = fraction.max(1.0 - fraction);
    let bound = (0.05_f64.ln() / far.ln()).ceil() as u64;
    bound.div_ceil(10).saturating_mul(10).max(FLOOR)
}

/// Requests for a limit on the success rate.
///
/// One chance failure must not decide alone: with `n` requests the best rate after a perfect one is `1 - 1/n`, and it
/// still meets `min: t` when `n >= 1 / (1 - t)`: 100 for 99 %. `max: t` mirrors (`n >= 1 / t`). Never under 20, and
/// never more than 300: by the rule of three, 300 requests without a failure show with 95 % that fewer than one
/// percent fail, and finer limits (99.9 %, 100 %) are then about the requests of this run, which were all counted.
/// For a claim about the service, use `decide: interval`.
pub fn success_rate(min: Option<f64>, max: Option<f64>) -> u64 {
    let alone = |margin: f64| (1.0 / margin - 1e-9).ceil().min(300.0) as u64;
    let low = min.map_or(0, |limit| alone(1.0 - limit));
    let high = max.map_or(0, alone);
    low.max(high).max(FLOOR)
}
