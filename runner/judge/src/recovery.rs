//! Recovery from the requests themselves: a settling time, as control theory has it (the moment from which a value
//! stays within a band), over windows of requests by the moment when they were due.
//!
//! - The band: success rate at least the baseline's less `tolerance`, and p95 at most `latency_tolerance` times the
//!   baseline's p95, or 10 ms more than it, whichever is more: below that a busy machine's own scheduling decides.
//! - Windows have the length of `window`, or the smallest multiple of it in which the baseline's load has 20 requests.
//!   They begin exactly at the moment that is counted from. A window with fewer than 10 requests is unknown, and an
//!   unknown window is never good.
//! - Recovered is the start of the first run of good windows that together last `hold`. "So many successes in a row"
//!   would not do: with 5 % of requests failing, ten in a row come after 13 requests on average.
//! - Never recovered is censored: the true value is more than what was observed.
//! - The resolution is a window: the interval of an answer is one window to either side.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{Recovery, Unit, Verdict};
use shakedown_schemas::scenario::{Expectation, RecoveryTime};

use super::answer::{Answer, Asked};
use super::limits::Limits;
use super::stats::{Placed, cells, judged_seconds, total};
use super::{samples, seconds, text};
use shakedown_observe::{CELL_NS, Cell, LoadObservations, Observations, PhaseSpan};

/// How many requests a window of the baseline's load has at least; shorter windows are lengthened.
const WANTED: f64 = 20.0;

/// A window with fewer requests is unknown.
const KNOWN: u64 = 10;

/// What p95 may always be above the baseline's, in microseconds.
const LATENCY_FLOOR_US: f64 = 10_000.0;

/// The band of one load, and how it is looked for.
#[derive(Debug, Clone, Copy)]
struct Band {
    success: f64,
    p95_us: f64,
    window_ns: u64,
    hold_ns: u64,
}

/// What a window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Bad,
    Unknown,
}

/// A stretch of one window's length.
#[derive(Debug, Clone, Copy)]
struct Window {
    start_ns: u64,
    end_ns: u64,
    state: State,
}

impl Band {
    /// The band around a baseline phase, or why there is none.
    fn new(observations: &Observations, load: &LoadObservations, it: &RecoveryTime) -> Result<Self, String> {
        let index = baseline(observations, it.to.as_deref())?;
        let span = &observations.phases[index];
        let requests = total(load, index);
        let needed = samples::percentile(0.95);
        let p95 = match requests.latency.quantile(0.95) {
            Some(p95) if requests.latency.len() >= needed => p95,
            _ => {
                let has = text::requests(requests.latency.len());
                return Err(format!("the baseline `{}` has {has} with a latency, and {needed} are needed", span.name));
            }
        };
        let rate = slowest(observations, load, index);
        // A hair of slack: a schedule of 20/s may put 19.98 requests per second into the phase.
        let times = (WANTED / (rate * it.window.as_secs_f64().max(1e-3)) - 0.1).ceil().clamp(1.0, 3600.0) as u64;
        let nanoseconds = |duration: shakedown_schemas::units::Duration| duration.get().as_nanos() as u64;
        // A stretch that was so long that its cells are longer than the window has a coarser resolution.
        let cell_ns = load.segments.iter().skip(1).map(|segment| segment.cell_ns).fold(CELL_NS, u64::max);
        Ok(Self {
            success: requests.succeeded as f64 / requests.requests() as f64 - it.tolerance.fraction() - 1e-9,
            p95_us: (p95 * it.latency_tolerance).max(p95 + LATENCY_FLOOR_US),
            window_ns: nanoseconds(it.window).max(cell_ns) * times,
            hold_ns: nanoseconds(it.hold),
        })
    }

    fn state(&self, requests: &Cell) -> State {
        let n = requests.requests();
        if n < KNOWN {
            return State::Unknown;
        }
        let served = requests.succeeded as f64 / n as f64 >= self.success;
        let quick = requests.latency.quantile(0.95).is_none_or(|p95| p95 <= self.p95_us);
        if served && quick { State::Good } else { State::Bad }
    }

    /// The whole windows between two moments. A cell counts where it begins.
    fn windows(&self, load: &LoadObservations, from_ns: u64, to_ns: u64) -> Vec<Window> {
        // The last window may lack a cell's breadth: phases end some microseconds early or late.
        let count = (to_ns.saturating_sub(from_ns) + CELL_NS / 2) / self.window_ns;
        let mut sums = vec![Cell::default(); count as usize];
        for placed in within(load, from_ns, to_ns) {
            if let Some(sum) = sums.get_mut(((placed.start_ns - from_ns) / self.window_ns) as usize) {
                sum.merge(placed.cell);
            }
        }
        let window = |(index, sum): (u64, &Cell)| {
            let start_ns = from_ns + index * self.window_ns;
            Window { start_ns, end_ns: start_ns + self.window_ns, state: self.state(sum) }
        };
        (0..).zip(&sums).map(window).collect()
    }

    /// The start of the first run of good windows that lasts for the whole hold.
    fn settled(&self, windows: &[Window]) -> Option<u64> {
        let mut run: Option<u64> = None;
        for window in windows {
            match window.state {
                State::Good => {
                    let start = *run.get_or_insert(window.start_ns);
                    if window.end_ns - start >= self.hold_ns {
                        return Some(start);
                    }
                }
                State::Bad | State::Unknown => run = None,
            }
        }
        None
    }
}

/// The lowest rate at which a load was due in a phase and in those after it, per second: a window must hold enough of an
/// open loop wherever it lies. In a closed loop the service decides how often it is asked, and the phase itself counts.
fn slowest(observations: &Observations, load: &LoadObservations, phase: usize) -> f64 {
    let rate = |index: usize| {
        let seconds = judged_seconds(&observations.phases[index]);
        total(load, index).requests() as f64 / seconds.max(1e-9)
    };
    let first = rate(phase);
    let from_there =
        (phase..observations.phases.len()).filter(|index| load.is_open && observations.phases[*index].complete);
    from_there.map(rate).filter(|rate| *rate > 0.0).fold(first, f64::min)
}

/// The cells that begin between two moments.
fn within(load: &LoadObservations, from_ns: u64, to_ns: u64) -> impl Iterator<Item = Placed<'_>> {
    cells(load).filter(move |placed| placed.start_ns >= from_ns && placed.start_ns < to_ns)
}

/// The start of the good windows at the end, if the last one is good.
fn trailing(windows: &[Window]) -> Option<u64> {
    windows.iter().rev().take_while(|window| window.state == State::Good).last().map(|window| window.start_ns)
}

/// The phase to compare with: the one that is named, else the last one without faults before the first with faults.
fn baseline(observations: &Observations, name: Option<&str>) -> Result<usize, String> {
    let phases = &observations.phases;
    let index = match name {
        Some(name) => phases.iter().position(|span| span.name == name),
        None => phases.iter().take_while(|span| !span.has_faults).count().checked_sub(1),
    };
    match index {
        None => Err("there is no baseline: no phase without faults comes before the first fault".to_owned()),
        Some(index) if !phases[index].complete => Err(format!("the baseline `{}` ended early", phases[index].name)),
        Some(index) => Ok(index),
    }
}

/// The last phase without faults before the first with faults.
pub(super) fn baseline_index(observations: &Observations) -> Result<usize, String> {
    baseline(observations, None)
}

/// The stretch after a phase with faults in which a load was itself again, from the recovery to the end of what can be
/// seen; none where it did not recover.
pub(super) fn recovered(
    observations: &Observations,
    load: &LoadObservations,
    fault_phase: usize,
) -> Option<(u64, u64)> {
    let band = Band::new(observations, load, &RecoveryTime::default()).ok()?;
    let to_ns = horizon(observations, fault_phase);
    let windows = band.windows(load, observations.phases.get(fault_phase)?.removed_ns?, to_ns);
    Some((band.settled(&windows)?, to_ns))
}

/// When a load first left the band during a phase with faults, in seconds since its start.
pub(super) fn onset(
    observations: &Observations,
    load: &LoadObservations,
    phase: usize,
    it: &RecoveryTime,
) -> Option<f64> {
    let span = observations.phases.get(phase)?;
    let band = Band::new(observations, load, it).ok()?;
    let during = band.windows(load, span.start_ns, span.judged_to_ns);
    during.iter().find(|window| window.state == State::Bad).map(|window| seconds(window.start_ns))
}

/// When what follows a phase's removal can no longer be seen: the next phase with faults begins, or the load ends.
fn horizon(observations: &Observations, fault_phase: usize) -> u64 {
    let after = observations.phases.iter().skip(fault_phase + 1);
    let next = after.clone().find(|span| span.has_faults).map(|span| span.start_ns);
    next.or_else(|| after.last().map(|span| span.end_ns))
        .or_else(|| observations.phases.get(fault_phase).map(|span| span.end_ns))
        .unwrap_or_default()
}

/// `recovery_time`: from the confirmed removal of the faults before this phase to the start of steadiness, in seconds.
pub(super) fn recovery_time(asked: &Asked<'_>, it: &RecoveryTime) -> Answer {
    let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
    let observations = asked.observations;
    let Some(fault_phase) = observations.phases[..asked.phase].iter().rposition(|span| span.has_faults) else {
        return Answer::inconclusive("no phase with faults comes before this one".to_owned());
    };
    let fault_span = &observations.phases[fault_phase];
    let Some(removed_ns) = fault_span.removed_ns else {
        return Answer::inconclusive(format!("the faults of `{}` were not confirmed as removed", fault_span.name));
    };
    let band = match Band::new(observations, asked.load, it) {
        Ok(band) => band,
        Err(why) => return Answer::inconclusive(why),
    };
    let to_ns = horizon(observations, fault_phase);
    let windows = band.windows(asked.load, removed_ns, to_ns);
    let requests: u64 = within(asked.load, removed_ns, to_ns).map(|placed| placed.cell.requests()).sum();
    let resolution = seconds(band.window_ns);
    let mut answer = Answer::new(Unit::Seconds, limits, text::seconds);
    answer.samples = requests;
    answer.term("success rate needed", text::percent(band.success.clamp(0.0, 1.0)));
    answer.term("p95 allowed", text::seconds(band.p95_us / 1e6));
    answer.term("window", text::seconds(resolution));
    answer.term("hold", it.hold.to_string());
    answer.term("counted from", "the confirmed removal, by the runner's monotonic clock".to_owned());
    answer.term("decided by", "windows of requests by the moment when they were due".to_owned());
    if windows.iter().all(|window| window.state == State::Unknown) {
        let why = format!("no window of {} after the removal has {KNOWN} requests", text::seconds(resolution));
        return answer.verdict(Verdict::Inconclusive, why);
    }
    if let Some(start_ns) = band.settled(&windows) {
        let value = seconds(start_ns - removed_ns);
        let shown = format!("{} ± {}", text::seconds(value), text::seconds(resolution));
        let interval = Some([(value - resolution).max(0.0), value + resolution]);
        let answer = answer.observed(value, shown.clone(), interval);
        let verdict = if limits.hold(value) { Verdict::Pass } else { Verdict::Fail };
        let why = format!("recovered after {shown}, {}", limits.against(value, text::seconds));
        return answer.verdict(verdict, why);
    }
    let observed = seconds(windows.last().map_or(0, |window| window.end_ns - removed_ns));
    answer.censored = true;
    match trailing(&windows) {
        // Steady at the end, but not for long enough: only what is too late already can be told.
        Some(start_ns) => {
            let value = seconds(start_ns - removed_ns);
            let held = observed - value;
            let answer = answer.observed(value, format!("> {}", text::seconds(value)), None);
            let since = format!("within tolerance since {} after the removal", text::seconds(value));
            if limits.low_enough(value) {
                let more = text::seconds((it.hold.as_secs_f64() - held).max(resolution));
                let why = format!(
                    "{since}, but that was seen for only {} of {}: lengthen the phase by {more}",
                    text::seconds(held),
                    it.hold
                );
                answer.verdict(Verdict::Inconclusive, why)
            } else {
                answer.verdict(Verdict::Fail, format!("{since}, {}", limits.against(value, text::seconds)))
            }
        }
        None => {
            let last_known = windows.iter().rev().find(|window| window.state != State::Unknown);
            let answer = answer.observed(observed, format!("> {}", text::seconds(observed)), None);
            if last_known.is_some_and(|window| window.state == State::Good) {
                let why = "the last windows have too few requests to tell whether the service had recovered".to_owned();
                return answer.verdict(Verdict::Inconclusive, why);
            }
            let expected = limits.text(text::seconds);
            let why = format!("not recovered {} after the removal, expected {expected}", text::seconds(observed));
            answer.verdict(Verdict::Fail, why)
        }
    }
}

/// How the service failed and recovered around each phase with faults, as each load saw it.
///
/// The band is that of the first `recovery_time` that asks this load about this phase, else the default one. A load
/// without a usable baseline has no entry.
pub fn recoveries(scenario: &Scenario, observations: &Observations) -> Vec<Recovery> {
    let mut recoveries = Vec::new();
    for (index, span) in observations.phases.iter().enumerate().filter(|(_, span)| span.has_faults) {
        for load in &observations.loads {
            let settings = settings(scenario, observations, index, &load.name);
            if let Ok(band) = Band::new(observations, load, &settings) {
                recoveries.push(recovery(observations, load, index, span, band));
            }
        }
    }
    recoveries
}

/// The `recovery_time` that a load is asked after a phase with faults, else one with every default.
fn settings(scenario: &Scenario, observations: &Observations, fault_phase: usize, load: &str) -> RecoveryTime {
    let next = observations.phases.iter().skip(fault_phase + 1).take_while(|span| !span.has_faults).count();
    let asked = scenario.phases.iter().skip(fault_phase + 1).take(next).flat_map(|phase| &phase.expect);
    asked
        .filter_map(|expectation| match expectation {
            Expectation::RecoveryTime(it) if it.load.as_deref().is_none_or(|name| name == load) => Some(it.clone()),
            _ => None,
        })
        .next()
        .unwrap_or_default()
}

fn recovery(
    observations: &Observations,
    load: &LoadObservations,
    index: usize,
    span: &PhaseSpan,
    band: Band,
) -> Recovery {
    let during = band.windows(load, span.start_ns, span.judged_to_ns);
    let onset = during.iter().position(|window| window.state == State::Bad);
    let failover = onset.and_then(|onset| band.settled(&during[onset..]));
    let horizon_ns = horizon(observations, index);
    let after = span.removed_ns.map_or_else(Vec::new, |removed| band.windows(load, removed, horizon_ns));
    let recovered = band.settled(&after);
    let first_success = span.removed_ns.and_then(|removed| {
        load.segments.iter().filter_map(|segment| segment.first_success_ns).filter(|first| *first >= removed).min()
    });
    let until = recovered.unwrap_or(horizon_ns);
    Recovery {
        load: load.name.clone(),
        phase: span.name.clone(),
        onset_s: onset.map(|onset| seconds(during[onset].start_ns)),
        failover_s: failover.map(seconds),
        removed_s: span.removed_ns.map(seconds),
        first_success_s: first_success.filter(|first| *first < horizon_ns).map(seconds),
        recovered_s: recovered.map(seconds),
        out_of_tolerance_s: out_of_tolerance(&during) + out_of_tolerance(&after),
        failed_requests: within(load, span.start_ns, until)
            .map(|placed| placed.cell.requests() - placed.cell.succeeded)
            .sum(),
        resolution_s: seconds(band.window_ns),
        seen_until_s: Some(seconds(horizon_ns)),
    }
}

/// How long the service was out of tolerance, in seconds. An unknown window is taken to be like the one before it: in
/// a closed loop a service that hangs is not asked at all.
fn out_of_tolerance(windows: &[Window]) -> f64 {
    let mut bad = false;
    let mut sum_ns = 0;
    for window in windows {
        bad = match window.state {
            State::Bad => true,
            State::Good => false,
            State::Unknown => bad,
        };
        sum_ns += if bad { window.end_ns - window.start_ns } else { 0 };
    }
    seconds(sum_ns)
}

#[cfg(test)]
mod tests;
