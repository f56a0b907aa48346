//! The usual state of a phase: its requests without each stretch in which most requests were far from the median.
//!
//! This is no test, and has no false rate of its own: a service may stall now and then by itself. Whether such stretches decide
//! a verdict is measured for services that did not change by `cargo bench --bench judge -- 40 transient`.

use super::measure::{Cut, FEWEST_WINDOWS, Measure};
use crate::measure::{Timing, Work};
use crate::steady::middle;
use shakedown_observe::LoadObservations;

/// The factor by which a window must differ from the median one. The median of five requests of an independent service
/// (log-normal, sigma 0.5) never does by chance. For the share of failures it is a multiple of `SHARE`.
const FACTOR: f64 = 4.0;

/// The fewest requests of a window on average: the median of fewer is that of one slow request.
const IN_WINDOW: u64 = 5;

/// The median, failures or work of a window.
const MEASURES: [Measure; 6] = [
    Measure::Quantile(Timing::Latency, 0.5),
    Measure::Quantile(Timing::FirstToken, 0.5),
    Measure::Quantile(Timing::TokenGap, 0.5),
    Measure::Failures,
    Measure::Work(Work::Answers),
    Measure::Work(Work::Tokens),
];

/// The directions in which a stretch is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The service was worse than usual.
    Worse,
    /// Worse or better.
    Either,
}

/// The windows of a phase in which the service was not in its usual state, and the first measure that shows it. None without
/// any.
pub(super) fn unusual(load: &LoadObservations, phase: usize, side: Side) -> Option<(Cut, Vec<bool>, Measure)> {
    let cut = Cut::new(load, phase)?.with_at_least(IN_WINDOW);
    let n = cut.windows.len();
    let (mut far, mut first) = (vec![false; n], None);
    for measure in MEASURES.into_iter().filter(|it| it.is_of(load.is_open, &cut.total)) {
        let values = measure.values(&cut.windows, load.is_open);
        if values.len() < FEWEST_WINDOWS {
            continue;
        }
        let median = middle(values.iter().map(|it| it.1).collect());
        let is_far = |value: f64| {
            let (above, below) = (true, false);
            let worse = if matches!(measure, Measure::Work(_)) { below } else { above };
            measure.is_out(value, median, FACTOR, worse)
                || side == Side::Either && measure.is_out(value, median, FACTOR, !worse)
        };
        for (place, _) in values.into_iter().filter(|it| is_far(it.1)) {
            far[place].fill(true);
            first = first.or(Some(measure));
        }
    }
    // The larger part of a phase is its usual state.
    let measure = first.filter(|_| far.iter().filter(|it| **it).count() * 2 <= n)?;
    // The windows around those are partly in the same stretch.
    let out: Vec<bool> = (0..n).map(|at| far[at.saturating_sub(1)..(at + 2).min(n)].contains(&true)).collect();
    Some((cut, out, measure))
}
