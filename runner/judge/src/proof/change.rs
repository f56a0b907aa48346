//! The changes between two phases that last: success rate, percentiles, and windows out of tolerance.

use shakedown_observe::{Cell, LoadObservations, Observations, PhaseSpan};
use shakedown_schemas::scenario::RecoveryTime;

use crate::bootstrap::Windows;
use crate::long_run::{FEWEST_WINDOWS, LongRun};
use crate::numbers::{freedom_of_sum, hypergeometric_at_least, student_quantile};
use crate::recovery::{Band, Window, WindowState};
use crate::stats::{self, judged, total};
use crate::steady::inflation;
use crate::{samples, shift, text};

/// The maximum share of runs without any change that count as changed.
pub(crate) const FALSE_PROOFS: f64 = 0.01;

/// The number of tests that share the error rate that [`ONSET`] leaves, for each load and phase.
pub(super) const TESTS: usize = 5;

/// The share of the error rate for the test of failures from the start. This test reaches a smaller chance only in a longer
/// run. With this share, 9 of 60 windows with failures, against none of 60, remain a proof.
pub(super) const ONSET: f64 = 0.29;

/// A change of a percentile up to this factor is too small to matter, however certain it is.
pub(super) const NOISE: f64 = 1.1;

/// The factor by which a lasting change must exceed the smallest significant difference. In the far tails, the long-run
/// variance of few terms underestimates the movement of a wandering level. The value is from the bench.
pub(super) const MARGIN: f64 = 1.25;

/// The number of standard deviations within which a level may reach the limit by chance.
pub(super) const REACH: f64 = 5.0;

/// The error rates in a run: that of each of the tests, and that of the test of failures from the start.
pub(super) fn chances(observations: &Observations) -> (f64, f64) {
    let phases = observations.phases.iter().filter(|span| span.has_faults).count();
    let here = FALSE_PROOFS / (phases.max(1) * observations.loads.len().max(1)) as f64;
    ((1.0 - ONSET) * here / TESTS as f64, ONSET * here)
}

/// The changes between two phases that no single clump of failures makes.
pub(super) fn lasting(
    load: &LoadObservations,
    phases: (usize, usize),
    windows: &[OutOfTolerance],
    chance: f64,
) -> Vec<String> {
    let percentiles = [(0.5, "p50"), (0.95, "p95")].into_iter();
    let mut changes: Vec<String> = success(load, phases, chance).into_iter().collect();
    changes.extend(percentiles.filter_map(|it| latency(load, phases, it, chance)));
    changes.extend(windows.iter().filter(|it| it.chance() < chance).map(OutOfTolerance::words));
    changes
}

/// A lasting change of the success rate.
pub(super) fn success(load: &LoadObservations, (first, phase): (usize, usize), chance: f64) -> Option<String> {
    let share = |phase: usize| {
        let cells: Vec<_> = judged(load, phase).collect();
        let windows: Vec<(f64, f64)> = stats::windows(&cells, stats::window_ns(&cells))
            .into_iter()
            .map(|(part, _)| {
                part.iter().fold((0.0, 0.0), |(failed, all), placed| {
                    let requests = placed.cell.requests();
                    (failed + (requests - placed.cell.succeeded) as f64, all + requests as f64)
                })
            })
            .collect();
        let (failed, all) = windows.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        if windows.len() < FEWEST_WINDOWS || all < samples::FLOOR as f64 {
            return None;
        }
        let apart: Vec<f64> = windows.iter().map(|(failed_here, of)| failed_here - failed / all * of).collect();
        let LongRun { variance, freedom } = LongRun::of(&apart);
        Some((failed / all, (variance * apart.len() as f64 / (all * all), freedom)))
    };
    let ((before, of_before), (during, of_during)) = (share(first)?, share(phase)?);
    let least =
        student_quantile(1.0 - chance / 2.0, freedom_of_sum(of_before, of_during)) * (of_before.0 + of_during.0).sqrt();
    let moved = (during - before).abs();
    (moved > 0.0 && moved > MARGIN * least)
        .then(|| format!("success rate {} to {}", text::percent(1.0 - before), text::percent(1.0 - during)))
}

/// A lasting change of a percentile of the latency.
pub(super) fn latency(
    load: &LoadObservations,
    (first, phase): (usize, usize),
    (quantile, name): (f64, &str),
    chance: f64,
) -> Option<String> {
    let (before, during) = (total(load, first), total(load, phase));
    if before.latency.len().min(during.latency.len()) < samples::percentile(quantile) {
        return None;
    }
    let (a, b) = (before.latency.quantile(quantile)?, during.latency.quantile(quantile)?);
    if b / a <= NOISE && a / b <= NOISE {
        return None;
    }
    let windows = |phase| Windows::new(judged(load, phase), |cell: &Cell| &cell.latency);
    let moved = shift::moved((&windows(phase), &windows(first)), quantile, (1.0, b > a), 1.0 - chance)?;
    (moved > MARGIN).then(|| format!("{name} {} to {}", text::seconds(a / 1e6), text::seconds(b / 1e6)))
}

/// The windows of two phases that are out of tolerance in one way.
pub(super) struct OutOfTolerance {
    /// The kind of deviation, in words.
    pub(super) how: &'static str,
    /// The number of windows out of tolerance, and of all windows.
    pub(super) before: (u64, u64),
    pub(super) during: (u64, u64),
    /// The number of neighbouring windows that count as one.
    pub(super) inflation: f64,
    pub(super) onset_s: Option<f64>,
}

impl OutOfTolerance {
    /// The windows with failures and the slow windows, during the faults of a phase and in the baseline. They are separate,
    /// because slow windows of a noisy service say nothing about its failures.
    pub(super) fn both(
        observations: &Observations,
        load: &LoadObservations,
        (first, phase): (usize, usize),
    ) -> Option<Vec<Self>> {
        let band = Band::new(observations, load, &RecoveryTime::default()).ok()?;
        let before = band.own_windows(observations, load, first);
        Some(Self::between(&band, before, during(&band, load, observations.phases.get(phase)?)))
    }

    /// The same of any windows.
    pub(super) fn between(band: &Band, before: Vec<Window>, during: Vec<Window>) -> Vec<Self> {
        let known = |windows: Vec<Window>| -> Vec<Window> {
            windows.into_iter().filter(|it| it.state != WindowState::Unknown).collect()
        };
        let (before, during) = (known(before), known(during));
        let levels: Vec<f64> = before.iter().filter_map(|it| it.level).collect();
        let one = |how: &'static str, is: fn(&Window) -> bool, of_level: f64| {
            let count = |windows: &[Window]| (windows.iter().filter(|it| is(it)).count() as u64, windows.len() as u64);
            let out: Vec<f64> = before.iter().map(|it| f64::from(u8::from(is(it)))).collect();
            let onset_s = during.iter().find(|it| is(it)).map(|it| crate::seconds(it.start_ns));
            let inflation = resemblance(&out).max(of_level);
            Self { how, before: count(&before), during: count(&during), inflation, onset_s }
        };
        let of_level = if reaches(&levels, band.p95_us.ln()) { resemblance(&levels) } else { 1.0 };
        let is_slow = |it: &Window| it.state == WindowState::Bad && !it.fails;
        vec![one("with too many failures", |it| it.fails, 1.0), one("too slow", is_slow, of_level)]
    }

    /// The chance of at least as many windows out of tolerance in the phase, if the phase were like the baseline.
    pub(super) fn chance(&self) -> f64 {
        let fewer = |count: u64| count as f64 / self.inflation;
        let (bad, all) = (fewer(self.during.0).floor() as u64, fewer(self.during.1).round() as u64);
        let (bad_before, before) = (fewer(self.before.0).ceil() as u64, fewer(self.before.1).floor() as u64);
        hypergeometric_at_least(bad, all.max(bad), bad + bad_before, all.max(bad) + before.max(bad_before))
    }

    pub(super) fn words(&self) -> String {
        format!(
            "{} of {} {}, {} of {} in the baseline",
            self.during.0,
            text::counted(self.during.1, "window"),
            self.how,
            self.before.0,
            self.before.1
        )
    }

    pub(super) fn with_chance(&self) -> String {
        format!("{} (p = {})", self.words(), text::digits(self.chance()))
    }
}

/// The windows in which the faults of a phase act.
pub(super) fn during(band: &Band, load: &LoadObservations, span: &PhaseSpan) -> Vec<Window> {
    band.whole_windows(load, span.active_ns.max(span.acts_from_ns()), span.judged_to_ns)
}

/// True when a level varies so much that it may reach the limit by chance: its mean is within [`REACH`] standard deviations
/// of the limit. For a level far below the limit, the order of the windows is irrelevant.
pub(super) fn reaches(levels: &[f64], limit: f64) -> bool {
    let n = levels.len().max(1) as f64;
    let mean = levels.iter().sum::<f64>() / n;
    let deviation = (levels.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / n).sqrt();
    mean + REACH * deviation >= limit
}

/// How many neighbouring values count for one independent value.
pub(super) fn resemblance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    inflation(&values.iter().map(|value| value - mean).collect::<Vec<_>>())
}
