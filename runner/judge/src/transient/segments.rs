//! Baselines that jump: the parts before and after a change of level. A limit relative to both parts is relative to a mixture.
//!
//! - Each measure is tested with Pettitt's test for a change point (see [`steady`](crate::steady)) over about 40 windows, and
//!   then again within each part (binary segmentation). Neighbouring windows count as far as they are independent of each
//!   other.
//! - A large jump counts with fewer standard errors ([`LARGE`]).
//! - The level is [`CHANCE`] for a phase, divided over the measures (Bonferroni). `cargo bench --bench judge -- 40 transient`
//!   measures how often an unchanged service has a jump that changes a verdict.

use std::ops::Range;

use super::measure::{LEAST_US, Measure, SHARE, Window};
use crate::steady::change_point;

/// The share of phases without a jump in which one is found, at most, if their windows are independent.
const CHANCE: f64 = 0.001;

/// The number of windows.
const WINDOWS: usize = 40;

/// The minimum number of windows of a regime. A shorter one is a transient.
const FEWEST: usize = 6;

/// The factor by which the level of a latency or of work changes at least.
const FACTOR: f64 = 1.25;

/// The same of a large jump, which needs fewer standard errors: where neighbouring windows resemble each other, a minute has
/// too few independent ones for the test.
const LARGE: f64 = 2.0;
const LARGE_ERRORS: f64 = 3.0;

/// A part of a phase between two jumps, in which the level stays the same.
pub(super) struct Regime {
    /// Its windows.
    pub(super) windows: Range<usize>,
    /// The measure that jumps at one of its ends.
    pub(super) measure: Measure,
}

/// The regimes of a phase that jumps, in order of time, by the measure that jumps most clearly. Empty without a jump.
pub(super) fn regimes(windows: &[Window], measures: &[Measure], is_open: bool) -> Vec<Regime> {
    let together = windows.len().div_ceil(WINDOWS).max(1);
    let merged: Vec<Window> = windows.chunks_exact(together).map(Window::merge).collect();
    let level = CHANCE / measures.len().max(1) as f64;
    let of_measure = |measure: &Measure| {
        let values = measure.values(&merged, is_open);
        let levels: Vec<f64> = values.iter().map(|it| it.1).collect();
        let mut cuts = Vec::new();
        let chance = cut(&levels, 0, *measure, level, &mut cuts)?;
        let places = cuts.into_iter().map(|at| values[at].0.start * together).collect::<Vec<usize>>();
        Some((chance, *measure, places))
    };
    let Some((_, measure, mut places)) = measures.iter().filter_map(of_measure).min_by(|a, b| a.0.total_cmp(&b.0))
    else {
        return Vec::new();
    };
    places.sort_unstable();
    let ends = places.iter().copied().chain([windows.len()]);
    let starts = std::iter::once(0).chain(places.iter().copied());
    starts.zip(ends).map(|(from, to)| Regime { windows: from..to, measure }).collect()
}

/// Adds the places at which the levels jump, and returns the chance of the first one.
fn cut(levels: &[f64], from: usize, measure: Measure, level: f64, cuts: &mut Vec<usize>) -> Option<f64> {
    if levels.len() < 2 * FEWEST {
        return None;
    }
    let found = change_point(levels)?;
    let is_clear = found.is_below(level) && measure.jumps(found.before, found.after, FACTOR);
    // A high percentile of few requests has two levels by itself if the service has two modes.
    let is_tail = matches!(measure, Measure::Quantile(_, quantile) if quantile > 0.5);
    let is_large = !is_tail && found.is_apart(LARGE_ERRORS) && measure.jumps(found.before, found.after, LARGE);
    if !is_clear && !is_large {
        return None;
    }
    if found.at.min(levels.len() - found.at) < FEWEST {
        return None;
    }
    cuts.push(from + found.at);
    let (before, after) = levels.split_at(found.at);
    cut(before, from, measure, level, cuts);
    cut(after, from + found.at, measure, level, cuts);
    Some(found.chance)
}

impl Measure {
    /// True if two levels are so far apart that a limit moves.
    fn jumps(self, before: f64, after: f64, factor: f64) -> bool {
        match self {
            Self::Quantile(..) => {
                (after - before).abs() >= factor.ln() && (after.exp() - before.exp()).abs() >= LEAST_US
            }
            Self::Failures => (after - before).abs() >= SHARE * factor,
            Self::Work(..) => (after - before).abs() >= factor.ln(),
        }
    }
}
