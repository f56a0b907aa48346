//! The tolerance band of a service around its baseline phase, and the comparison of windows of requests with it.

use shakedown_schemas::scenario::RecoveryTime;

use super::waiting::Waiting;
use crate::numbers::hypergeometric_at_least;
use crate::stats::{Placed, cells, counted_seconds, judged, sum, total};
use crate::{lateness, samples, text};
use shakedown_observe::{CELL_NS, Cell, LoadObservations, Observations, PhasePart};

/// The minimum number of requests in a window at the baseline's rate. Shorter windows are lengthened.
const WANTED: f64 = 20.0;

/// A window with fewer requests is unknown.
pub(super) const KNOWN: u64 = 10;

/// A window with slow or failed requests is judged together with its neighbours until they have this many requests.
const POOLED: u64 = 200;

/// The level of the tests whether a window has a larger share of slow or failed requests than the baseline.
const SLOW: f64 = 0.001;

/// The tolerance of p95 above the baseline's that always applies, in microseconds.
const LATENCY_FLOOR_US: f64 = 10_000.0;

/// The band of one load, and the settings of its search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Band {
    /// The least success rate.
    pub(super) success: f64,
    /// The largest p95, in microseconds.
    pub(crate) p95_us: f64,
    /// The length of a window, in nanoseconds.
    pub(crate) window_ns: u64,
    /// How long the service must stay within the band, in nanoseconds.
    pub(super) hold_ns: u64,
    /// The fewest requests that can resolve the tolerance: among fewer, one failure exceeds it.
    pub(super) resolved_with: u64,
    /// The baseline's failed requests, and all of its requests.
    pub(super) failed: (u64, u64),
    /// The slow requests of the baseline.
    pub(super) slow: Slow,
    /// The baseline's slowest request: the logarithm of its microseconds.
    pub(super) slowest: f64,
    /// How many of the baseline's own windows are out of the band because they are slow, and their total number.
    pub(super) usual: (u64, u64),
}

/// Numbers of requests.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slow {
    /// The requests that are slower than the band allows for p95.
    pub(super) slow: u64,
    /// The requests that are also slower than the slowest one of the baseline.
    pub(super) slowest: u64,
    /// All with a latency.
    pub(super) all: u64,
}

/// The state of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowState {
    /// Within the band.
    Good,
    /// Out of the band.
    Bad,
    /// Too few requests for a decision.
    Unknown,
}

/// One window of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// When it begins, in nanoseconds since the load's start.
    pub(crate) start_ns: u64,
    /// When it ends.
    pub(crate) end_ns: u64,
    /// Its state.
    pub(crate) state: WindowState,
    /// True when too many of its requests failed.
    pub(crate) fails: bool,
    /// The logarithm of its p95. None without a latency, or if it is bad because workers waited for answers in it.
    pub(crate) level: Option<f64>,
    /// True if it is unknown because it is slow only by the load generator's own lateness.
    pub(super) is_late: bool,
    /// True if it is unknown, at the end, and its few requests failed or were slow.
    pub(super) is_doubtful: bool,
}

impl Band {
    /// The band around a baseline phase. An error says why there is none.
    pub(crate) fn new(observations: &Observations, load: &LoadObservations, it: &RecoveryTime) -> Result<Self, String> {
        Self::around(observations, (load, load), it)
    }

    /// The band around the usual state of a baseline phase (the first load). Deviations of the whole phase (the second load)
    /// from this band are tolerated as noise.
    pub(super) fn around(
        observations: &Observations,
        (usual, load): (&LoadObservations, &LoadObservations),
        it: &RecoveryTime,
    ) -> Result<Self, String> {
        let index = baseline(observations, it.to.as_deref())?;
        let requests = total(usual, index);
        let tolerance = it.tolerance.fraction();
        let p95 = reference(&requests, &observations.phases[index].name, tolerance)?;
        let rate = slowest(observations, load, index);
        // A small tolerance: a schedule of 20/s may put 19.98 requests per second into the phase.
        let times = (WANTED / (rate * it.window.as_secs_f64().max(1e-3)) - 0.1).ceil().clamp(1.0, 3600.0) as u64;
        let nanoseconds = |duration: shakedown_schemas::units::Duration| duration.get().as_nanos() as u64;
        // The cells of a very long segment may be longer than the window. They limit the resolution.
        let cell_ns = load.segments.iter().skip(1).map(|segment| segment.cell_ns).fold(CELL_NS, u64::max);
        let mut band = Self {
            success: requests.succeeded as f64 / requests.requests() as f64 - tolerance - 1e-9,
            p95_us: (p95 * it.latency_tolerance).max(p95 + LATENCY_FLOOR_US),
            window_ns: nanoseconds(it.window).max(cell_ns) * times,
            hold_ns: nanoseconds(it.hold),
            resolved_with: if tolerance > 0.0 { (1.0 / tolerance - 1e-9).ceil() as u64 } else { 0 },
            failed: (requests.requests() - requests.succeeded, requests.requests()),
            slow: Slow::default(),
            slowest: total(load, index).latency.quantile(1.0).map_or(f64::INFINITY, |slowest| slowest.max(1.0).ln()),
            usual: (0, 0),
        };
        band.slow = band.slow(&requests);
        let own = band.own_windows(observations, load, index);
        let count = |is: fn(&&Window) -> bool| own.iter().filter(is).count() as u64;
        band.usual =
            (count(|it| it.state == WindowState::Bad && !it.fails), count(|it| it.state != WindowState::Unknown));
        Ok(band)
    }

    /// True when the success rate is within the band.
    const fn is_served(&self, succeeded: u64, requests: u64) -> bool {
        succeeded as f64 >= self.success * requests as f64
    }

    /// The state of a window, and whether failures cause it. A window with too few requests for the tolerance is judged
    /// together with its neighbours: one failure among 20 requests exceeds 1 % but is not significant. A window that is slow
    /// only by the load generator's own lateness is unknown.
    pub(super) fn state(&self, windows: &[Cell], at: usize) -> (WindowState, bool) {
        let requests = &windows[at];
        if requests.requests() < KNOWN {
            return (WindowState::Unknown, false);
        }
        let fails = self.fails(windows, at);
        let state = if fails || self.is_slow(windows, at, |it| self.slow_itself(it)) {
            WindowState::Bad
        } else if self.is_slow(windows, at, |it| self.slow(it)) {
            WindowState::Unknown
        } else {
            WindowState::Good
        };
        (state, fails)
    }

    /// True when the success rate is out of the band. A window with too few requests for the tolerance is judged together with
    /// its neighbours. If requests of the baseline failed as well, significantly more have to fail than there (Fisher's exact
    /// test): with 3 % of failures, 100 requests often have 1 % more of them.
    fn fails(&self, windows: &[Cell], at: usize) -> bool {
        let count = |it: &Cell| (it.succeeded, it.requests());
        let (mut succeeded, mut all) = count(&windows[at]);
        if self.is_served(succeeded, all) {
            return false;
        }
        let is_clean = self.failed.0 == 0;
        let enough = if is_clean { self.resolved_with } else { self.resolved_with.max(POOLED) };
        for reach in 1..=windows.len() {
            if !is_clean && self.is_served(succeeded, all) {
                return false;
            }
            if !is_clean && self.is_failing(succeeded, all) {
                return true;
            }
            if all >= enough {
                break;
            }
            for more in around(windows, at, reach).map(count) {
                (succeeded, all) = (succeeded + more.0, all + more.1);
            }
        }
        is_clean && !self.is_served(succeeded, all)
    }

    /// Whether significantly more requests fail than in the baseline. Any failure is more than none.
    fn is_failing(&self, succeeded: u64, all: u64) -> bool {
        let (failed, (before, all_before)) = (all - succeeded, self.failed);
        before == 0 || hypergeometric_at_least(failed, all, failed + before, all + all_before) < SLOW
    }

    /// Judges the good windows between two others together, if the baseline has failures: as many more as the tolerance allows
    /// may be too few in each window to be significant, and too many in all of them.
    fn judge_runs(&self, sums: &[Cell], windows: &mut [Window]) {
        if self.failed.0 == 0 {
            return;
        }
        let mut from = 0;
        for run in windows.chunk_by_mut(|one, next| one.state == next.state) {
            let requests = sum(&sums[from..from + run.len()].iter().collect::<Vec<_>>(), Cell::merge);
            from += run.len();
            let (succeeded, all) = (requests.succeeded, requests.requests());
            let is_good = run.first().is_some_and(|it| it.state == WindowState::Good);
            if is_good && !self.is_served(succeeded, all) && self.is_failing(succeeded, all) {
                run.iter_mut().for_each(|window| (window.state, window.fails) = (WindowState::Bad, true));
            }
        }
    }

    /// True when p95 is out of the band and significantly more requests are slow than in the baseline, or slower than its
    /// slowest (Fisher's exact test). A window with too few of them for that is judged together with its neighbours: of 19
    /// requests, one is p95. With [`POOLED`] requests, or without more neighbours, p95 decides.
    fn is_slow(&self, windows: &[Cell], at: usize, slow: impl Fn(&Cell) -> Slow) -> bool {
        let mut sum = slow(&windows[at]);
        for reach in 1..=windows.len() {
            if sum.slow * 20 <= sum.all {
                return false;
            }
            if sum.all >= POOLED || self.is_slower(sum) {
                return true;
            }
            for neighbour in around(windows, at, reach) {
                let more = slow(neighbour);
                sum = Slow { slow: sum.slow + more.slow, slowest: sum.slowest + more.slowest, all: sum.all + more.all };
            }
        }
        true
    }

    /// Whether significantly more requests are slow than in the baseline, or slower than its slowest.
    fn is_slower(&self, it: Slow) -> bool {
        let (before, all) = (self.slow, it.all);
        let chance = |count, before_count| hypergeometric_at_least(count, all, count + before_count, all + before.all);
        chance(it.slow, before.slow).min(chance(it.slowest, 0)) < SLOW
    }

    pub(super) fn slow(&self, requests: &Cell) -> Slow {
        self.slow_beyond(requests, 0.0)
    }

    /// Those that are slow without the lateness of the load generator.
    fn slow_itself(&self, requests: &Cell) -> Slow {
        self.slow_beyond(requests, lateness::within(requests, 0.95))
    }

    /// Those that are slower than the band by more than the generator's lateness, in microseconds.
    fn slow_beyond(&self, requests: &Cell, late_us: f64) -> Slow {
        let latency = &requests.latency;
        let above = |limit_us: f64| {
            let is_any = latency.max().is_some_and(|slowest| slowest > limit_us);
            if is_any { latency.iter().filter(|it| it.0 > limit_us).map(|it| it.1).sum() } else { 0 }
        };
        Slow {
            slow: above(self.p95_us + late_us),
            slowest: above(self.p95_us.max(self.slowest.exp()) + late_us),
            all: latency.len(),
        }
    }

    /// The whole windows of the judged part of a phase.
    pub(crate) fn own_windows(
        &self,
        observations: &Observations,
        load: &LoadObservations,
        phase: usize,
    ) -> Vec<Window> {
        let span = &observations.phases[phase];
        self.windows_of(judged(load, phase), span.judged_from_ns, span.judged_to_ns)
    }

    /// The whole windows between two moments. A cell counts where it begins.
    pub(crate) fn whole_windows(&self, load: &LoadObservations, from_ns: u64, to_ns: u64) -> Vec<Window> {
        self.windows_of(within(load, from_ns, to_ns), from_ns, to_ns)
    }

    /// The windows between two moments, up to the last one. The last window is shorter than the others, or longer if that would
    /// leave it fewer than [`KNOWN`] requests. In a closed loop, windows in which the workers wait for answers are bad.
    pub(super) fn windows(&self, load: &LoadObservations, from_ns: u64, to_ns: u64) -> Vec<Window> {
        let mut ends = self.ends(from_ns, to_ns);
        let mut sums = sums(within(load, from_ns, to_ns), from_ns, &ends);
        let waiting = Waiting::new(self.p95_us, load);
        let rest_ns = to_ns.saturating_sub(ends.last().copied().unwrap_or(from_ns));
        // Phases end some microseconds early or late.
        if rest_ns > CELL_NS / 2 {
            match (sums.split_last_mut(), ends.last_mut()) {
                (Some((rest, [.., last])), Some(end_ns))
                    if rest.requests() < KNOWN && !waiting.is_stuck(rest, self.slow(rest).slow, *end_ns..to_ns) =>
                {
                    last.merge(rest);
                    *end_ns = to_ns;
                }
                _ => ends.push(to_ns),
            }
        }
        sums.truncate(ends.len());
        let mut windows = self.judge(&sums, from_ns, &ends);
        for (window, sum) in windows.iter_mut().zip(&sums).filter(|it| it.0.state == WindowState::Unknown) {
            if waiting.is_stuck(sum, self.slow(sum).slow, window.start_ns..window.end_ns) {
                (window.state, window.level) = (WindowState::Bad, None);
            }
        }
        self.doubt(&sums, &waiting, &mut windows);
        windows
    }

    fn windows_of<'a>(&self, cells: impl Iterator<Item = Placed<'a>>, from_ns: u64, to_ns: u64) -> Vec<Window> {
        let ends = self.ends(from_ns, to_ns);
        let mut sums = sums(cells, from_ns, &ends);
        sums.truncate(ends.len());
        self.judge(&sums, from_ns, &ends)
    }

    /// The ends of the whole windows between two moments.
    fn ends(&self, from_ns: u64, to_ns: u64) -> Vec<u64> {
        // The last window may be shorter by a cell, because phases end some microseconds early or late.
        let count = (to_ns.saturating_sub(from_ns) + CELL_NS / 2) / self.window_ns;
        (1..=count).map(|index| from_ns + index * self.window_ns).collect()
    }

    /// The states of windows with these requests, one after the other.
    fn judge(&self, sums: &[Cell], from_ns: u64, ends: &[u64]) -> Vec<Window> {
        let starts = std::iter::once(from_ns).chain(ends.iter().copied());
        let window = |((index, sum), (start_ns, end_ns)): ((usize, &Cell), (u64, &u64))| {
            let level = sum.latency.quantile(0.95).map(|p95| p95.max(1.0).ln());
            let (state, fails) = self.state(sums, index);
            let is_late = state == WindowState::Unknown && sum.requests() >= KNOWN;
            Window { start_ns, end_ns: *end_ns, state, fails, level, is_late, is_doubtful: false }
        };
        let mut windows: Vec<Window> = sums.iter().enumerate().zip(starts.zip(ends)).map(window).collect();
        self.pool(sums, &mut windows);
        self.judge_runs(sums, &mut windows);
        windows
    }

    /// Marks the unknown windows at the end if any of their requests failed or was slow, or a worker still waits in them: too
    /// few to be bad, but not good either.
    fn doubt(&self, sums: &[Cell], waiting: &Waiting, windows: &mut [Window]) {
        let known = windows.iter().rposition(|it| it.state != WindowState::Unknown).map_or(0, |at| at + 1);
        let few = sum(&sums[known..].iter().collect::<Vec<_>>(), Cell::merge);
        let Some(start_ns) = windows.get(known).map(|it| it.start_ns) else { return };
        let end_ns = windows.last().map_or(start_ns, |it| it.end_ns);
        let fails = !self.is_served(few.succeeded, few.requests());
        let is_doubtful = fails && self.is_failing(few.succeeded, few.requests())
            || self.slow_beyond(&few, lateness::within(&few, 1.0)).slow > 0
            || waiting.within(&(start_ns..end_ns)).0 > 0;
        windows[known..].iter_mut().for_each(|window| window.is_doubtful = is_doubtful);
    }

    /// Judges consecutive unknown windows together once they have enough requests. They are bad if most of these failed or were
    /// slow: the workers of a closed loop wait for a service that hangs, so that no window of it has many requests. Otherwise
    /// they stay unknown, because so few requests decide nothing.
    fn pool(&self, sums: &[Cell], windows: &mut [Window]) {
        let mut pool = Cell::default();
        let mut from = 0;
        for at in 0..windows.len() {
            if windows[at].state != WindowState::Unknown {
                (pool, from) = (Cell::default(), at + 1);
                continue;
            }
            pool.merge(&sums[at]);
            if pool.requests() >= KNOWN {
                let slow = self.slow_itself(&pool);
                let fails = pool.succeeded * 2 < pool.requests() && !self.is_served(pool.succeeded, pool.requests());
                if fails || slow.slow * 2 > slow.all && self.is_slower(slow) {
                    for window in &mut windows[from..=at] {
                        (window.state, window.fails) = (WindowState::Bad, fails);
                    }
                }
                (pool, from) = (Cell::default(), at + 1);
            }
        }
    }

    /// The start of the first run of good windows that lasts for the whole hold. A late window neither begins nor ends a run.
    pub(super) fn settled(&self, windows: &[Window]) -> Option<u64> {
        let mut run: Option<u64> = None;
        for window in windows {
            match window.state {
                WindowState::Good => {
                    let start = *run.get_or_insert(window.start_ns);
                    if window.end_ns - start >= self.hold_ns {
                        return Some(start);
                    }
                }
                WindowState::Unknown if window.is_late => {}
                WindowState::Bad | WindowState::Unknown => run = None,
            }
        }
        None
    }
}

/// The requests of each window, which end at these moments, and those of the rest.
fn sums<'a>(cells: impl Iterator<Item = Placed<'a>>, from_ns: u64, ends: &[u64]) -> Vec<Cell> {
    let mut sums = vec![Cell::default(); ends.len() + 1];
    for placed in cells.filter(|placed| placed.start_ns >= from_ns) {
        sums[ends.partition_point(|end_ns| *end_ns <= placed.start_ns)].merge(placed.cell);
    }
    sums
}

/// The p95 of a baseline in microseconds, or why the baseline is not a valid reference.
fn reference(requests: &Cell, name: &str, tolerance: f64) -> Result<f64, String> {
    let (all, succeeded, needed) = (requests.requests(), requests.succeeded, samples::percentile(0.95));
    if all > 0 && succeeded == 0 {
        return Err(format!("no request of the baseline `{name}` succeeded: there is nothing to recover to"));
    }
    if succeeded < needed {
        let has = text::requests(succeeded);
        return Err(format!("the baseline `{name}` has {has} that succeeded, and {needed} are needed"));
    }
    // They have the largest latencies, because they were given up.
    let timed = requests.failed.iter().filter(|it| it.0.is_timed());
    let endless: u64 = timed.map(|(_, count)| count).sum();
    if endless * 20 > requests.latency.len() {
        let of = text::requests(all);
        return Err(format!("{endless} of {of} of the baseline `{name}` never ended: its p95 is unknown"));
    }
    let rate = succeeded as f64 / all as f64;
    if rate <= tolerance {
        let rate = text::percent(rate);
        return Err(format!(
            "the baseline `{name}` has a success rate of {rate}, which is within the tolerance of a service that never answers"
        ));
    }
    requests.latency.quantile(0.95).ok_or_else(|| format!("the baseline `{name}` has no latency"))
}

/// The windows at this distance from another one.
fn around(windows: &[Cell], at: usize, distance: usize) -> impl Iterator<Item = &Cell> {
    [at.checked_sub(distance), Some(at + distance)].into_iter().flatten().filter_map(|index| windows.get(index))
}

/// The lowest rate at which a load was due in a phase and in later ones, per second, because every window of an open loop
/// needs enough requests. In a closed loop the service determines the rate, and only the phase itself counts.
fn slowest(observations: &Observations, load: &LoadObservations, phase: usize) -> f64 {
    let rate = |index: usize| {
        let seconds = counted_seconds(load, index, &observations.phases[index]);
        total(load, index).requests() as f64 / seconds.max(1e-9)
    };
    let first = rate(phase);
    let from_there =
        (phase..observations.phases.len()).filter(|index| load.is_open && observations.phases[*index].complete);
    from_there.map(rate).filter(|rate| *rate > 0.0).fold(first, f64::min)
}

/// The cells that begin between two moments, without requests that were in flight when a fault struck: their outcome says
/// nothing about the moment at which they were due.
pub(crate) fn within(load: &LoadObservations, from_ns: u64, to_ns: u64) -> impl Iterator<Item = Placed<'_>> {
    let is_there = move |placed: &Placed<'_>| placed.start_ns >= from_ns && placed.start_ns < to_ns;
    cells(load).filter(move |placed| placed.mark.part != PhasePart::InFlight && is_there(placed))
}

/// The reference phase: the named one, otherwise the last one without faults before the first with faults.
pub(crate) fn baseline(observations: &Observations, name: Option<&str>) -> Result<usize, String> {
    let phases = &observations.phases;
    let index = match name {
        Some(name) => observations.phase(name),
        None => phases.iter().take_while(|span| !span.has_faults).count().checked_sub(1),
    };
    match index {
        None => Err("there is no baseline: no phase without faults comes before the first fault".to_owned()),
        Some(index) if !phases[index].complete => Err(format!("the baseline `{}` ended early", phases[index].name)),
        Some(index) => Ok(index),
    }
}
