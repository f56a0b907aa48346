//! Recovery from the requests themselves: a settling time as in control theory (the moment from which a value stays within
//! a band), over windows of requests by their due moments.
//!
//! - The band: a success rate of at least the baseline's minus `tolerance`, and a p95 of at most `latency_tolerance` times
//!   the baseline's p95, or 10 ms above it, whichever is more. Smaller differences depend on the scheduling of a busy
//!   machine.
//! - The baseline is a reference only if at least 60 of its requests succeeded, its p95 is not that of timeouts, and its
//!   success rate exceeds `tolerance`.
//! - Windows have the length of `window`, or the smallest multiple of it in which the baseline's load has 20 requests. They
//!   begin exactly at the moment from which recovery counts, and the last one ends with the observation. It is shorter than the
//!   others, or longer if it would have fewer than 10 requests. A window with fewer than 10 requests is unknown, and an
//!   unknown window is never good.
//! - A window that is slow only by the load generator's own lateness is unknown, and neither begins nor ends a run of good ones.
//! - In a closed loop, a window with few requests is bad if the workers waited for slow answers in it ([`waiting`]).
//! - A window with failures that has too few requests for the tolerance (100 for 1 %) is compared with the band together
//!   with its neighbours. So is a window whose slow requests are too few to be significant, and a window with failures if requests
//!   of the baseline failed as well: a service with 3 % of failures all the time is often beyond a tolerance of 1 %.
//! - Consecutive unknown windows that together have 10 requests are bad if most of those failed or were slow.
//! - The recovery is the start of the last run of good windows, which must last `hold`. A window that leaves the band after
//!   such a run is a relapse ([`settling`]). A number of consecutive successes would not be enough: with 5 % of requests
//!   failing, ten successes in a row occur after 13 requests on average.
//! - Without a recovery the answer is censored: the true value is more than the observed one.
//! - The resolution is a window: the interval of an answer is one window to either side.

use std::ops::Range;

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{Recovery, Unit, Verdict};
use shakedown_schemas::scenario::{Expectation, RecoveryTime};

use super::answer::{Answer, Asked};
use super::limits::Limits;
use super::{around, seconds, stats, text};
use shakedown_observe::{LoadObservations, Observations, PhaseSpan};

mod band;
mod settling;
mod waiting;

use band::KNOWN;
pub(super) use band::{Band, Window, WindowState, baseline, within};
use settling::Settling;

/// The last phase without faults before the first with faults.
pub(super) fn baseline_index(observations: &Observations) -> Result<usize, String> {
    baseline(observations, None)
}

/// The time after a phase with faults in which a load was stable again: from its first recovery to the end of the
/// observation. None without a recovery. Relapses are included, because a second baseline must be as realistic as the
/// first.
pub(super) fn recovered(
    observations: &Observations,
    load: &LoadObservations,
    fault_phase: usize,
) -> Option<(u64, u64)> {
    let band = Band::new(observations, load, &RecoveryTime::default()).ok()?;
    let to_ns = horizon(observations, fault_phase);
    let windows = band.windows(load, observations.phases.get(fault_phase)?.removed_ns?, to_ns);
    Some((Settling::new(&band, &windows).first_ns?, to_ns))
}

/// The next phase with faults after one.
fn next_faults(observations: &Observations, fault_phase: usize) -> Option<&PhaseSpan> {
    observations.phases.iter().skip(fault_phase + 1).find(|span| span.has_faults)
}

/// The end of the observations after a removal: the start of the next phase with faults, or the end of the load.
fn horizon(observations: &Observations, fault_phase: usize) -> u64 {
    let after = observations.phases.iter().skip(fault_phase + 1);
    let next = next_faults(observations, fault_phase).map(|span| span.start_ns);
    next.or_else(|| after.last().map(|span| span.end_ns))
        .or_else(|| observations.phases.get(fault_phase).map(|span| span.end_ns))
        .unwrap_or_default()
}

/// The earlier phases that a recovery measured in this phase includes: those after the faults, and the phase of the faults if
/// the recovery counts from the strike.
pub(super) fn watched_before(observations: &Observations, phase: usize) -> Range<usize> {
    let Some(fault_phase) = observations.phases[..phase].iter().rposition(|span| span.has_faults) else { return 0..0 };
    let from = if observations.phases[fault_phase].struck_ns.is_some() { fault_phase } else { fault_phase + 1 };
    from..phase
}

/// `recovery_time`: from the confirmed removal of the faults before this phase to the start of the steady state, in
/// seconds. For faults that happen once: from the strike.
pub(super) fn recovery_time(asked: &Asked<'_>, it: &RecoveryTime) -> Answer {
    let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
    let observations = asked.observations;
    let Some(fault_phase) = observations.phases[..asked.phase].iter().rposition(|span| span.has_faults) else {
        return Answer::inconclusive("no phase with faults comes before this one".to_owned());
    };
    let fault_span = &observations.phases[fault_phase];
    let Some(removed_ns) = fault_span.recovers_from_ns() else {
        return Answer::inconclusive(format!("the faults of `{}` were not confirmed as removed", fault_span.name));
    };
    let event = if fault_span.struck_ns.is_some() { "strike" } else { "removal" };
    let band = match Band::around(observations, (asked.usual.unwrap_or(asked.load), asked.load), it) {
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
    let from = match fault_span.struck_ns {
        Some(_) => "the strike, because the faults happen once",
        None => "the confirmed removal",
    };
    answer.term("counted from", format!("{from}, by the runner's monotonic clock"));
    answer.term("decided by", "windows of requests by the moment when they were due".to_owned());
    let before = fault_phase.checked_sub(1).map(|index| &observations.phases[index]);
    if let Some(before) = before.filter(|span| span.has_faults) {
        let why = format!("the recovery from `{}`: `{}` followed immediately", before.name, fault_span.name);
        answer.term("not observed", why);
    }
    if windows.iter().all(|window| window.state == WindowState::Unknown) {
        let why = format!("no window of {} after the {event} has {KNOWN} requests", text::seconds(resolution));
        return answer.verdict(Verdict::Inconclusive, why);
    }
    let settling = Settling::new(&band, &windows);
    if let Some(words) = relapses(&settling, removed_ns) {
        answer.term("relapses", words);
    }
    let answer = decide(answer, it, (limits, event), (&band, &windows, &settling), removed_ns);
    let usual = settling.usual_ns.filter(|at| limits.hold(seconds(at - removed_ns)));
    match usual.filter(|_| answer.verdict == Verdict::Fail) {
        None => answer,
        Some(_) => {
            let (slow, all) = band.usual;
            let why = format!(
                "{}; but the slow windows until then are like those of the baseline ({slow} of {all}): lengthen `window`, or \
                 raise `latency_tolerance`",
                answer.reason
            );
            answer.verdict(Verdict::Inconclusive, why)
        }
    }
}

/// The verdict by the moment when the service settled.
fn decide(
    mut answer: Answer,
    it: &RecoveryTime,
    (limits, event): (Limits, &str),
    (band, windows, settling): (&Band, &[Window], &Settling),
    removed_ns: u64,
) -> Answer {
    let resolution = seconds(band.window_ns);
    let relapses = relapses(settling, removed_ns);
    let relapsed = relapses.map_or_else(String::new, |words| format!(" ({words})"));
    if let Some(start_ns) = settling.settled_ns {
        let value = seconds(start_ns - removed_ns);
        let shown = format!("{} ± {}", text::seconds(value), text::seconds(resolution));
        let interval = Some([(value - resolution).max(0.0), value + resolution]);
        let answer = answer.observed(value, shown.clone(), interval);
        let verdict = if limits.hold(value) { Verdict::Pass } else { Verdict::Fail };
        let why = format!("recovered after {shown}{relapsed}, {}", limits.against(value, text::seconds));
        return answer.verdict(verdict, why);
    }
    let observed = seconds(windows.last().map_or(0, |window| window.end_ns - removed_ns));
    answer.censored = true;
    match settling.trailing_ns {
        // Steady at the end, but not for long enough: the only certain verdict is a recovery that is already too late.
        Some(start_ns) => {
            let value = seconds(start_ns - removed_ns);
            let held = observed - value;
            let answer = answer.observed(value, format!("> {}", text::seconds(value)), None);
            let since = format!("within tolerance since {} after the {event}{relapsed}", text::seconds(value));
            if limits.low_enough(value) {
                let more = text::seconds((it.hold.as_secs_f64() - held).max(resolution));
                let why = format!(
                    "{since}, but this was observed for only {} of {}: lengthen the phase by {more}",
                    text::seconds(held),
                    it.hold
                );
                answer.verdict(Verdict::Inconclusive, why)
            } else {
                answer.verdict(Verdict::Fail, format!("{since}, {}", limits.against(value, text::seconds)))
            }
        }
        None => {
            let last_known = windows.iter().rev().find(|window| window.state != WindowState::Unknown);
            let answer = answer.observed(observed, format!("> {}", text::seconds(observed)), None);
            if last_known.is_some_and(|window| window.state == WindowState::Good) {
                let why = "the last windows have too few requests to decide whether the service recovered".to_owned();
                return answer.verdict(Verdict::Inconclusive, why);
            }
            let expected = limits.text(text::seconds);
            let after = text::seconds(observed);
            // A service that is down until an end before the limit might still have recovered in time.
            if limits.low_enough(observed) {
                let more = text::seconds((limits.max.unwrap_or(observed) - observed).max(0.0) + resolution);
                let why = format!(
                    "not recovered when the observation ended, {after} after the {event}{relapsed}: too early to tell, \
                     expected {expected}; lengthen the phase by {more}"
                );
                return answer.verdict(Verdict::Inconclusive, why);
            }
            let why = format!("not recovered {after} after the {event}{relapsed}, expected {expected}");
            answer.verdict(Verdict::Fail, why)
        }
    }
}

/// The relapses in words, counted from the removal. None without relapses.
fn relapses(settling: &Settling, removed_ns: u64) -> Option<String> {
    let after = |at_ns: &u64| text::seconds(seconds(at_ns.saturating_sub(removed_ns)));
    let first = after(&settling.first_ns?);
    Some(match settling.relapses_ns.as_slice() {
        [] => return None,
        [one] => format!("first after {first}; relapsed once, at {}", after(one)),
        [.., last] => {
            format!("first after {first}; relapsed {} times, last at {}", settling.relapses_ns.len(), after(last))
        }
    })
}

/// The failure and recovery of the service around each phase with faults, for each load.
///
/// The band is that of the first `recovery_time` about this load and phase, otherwise the default one. It is based on the
/// whole baseline, as in the answer to that expectation, so that both have the same numbers. A load without a usable baseline
/// has no entry, and neither has a load with too few requests to show an effect of the faults.
///
/// `acting_s` returns from when all faults of a phase, by its name, are known to act, in seconds since the load's start. None
/// if that was never known. There is no failover before that moment. Requests before the injection do not count.
pub fn recoveries(
    scenario: &Scenario,
    observations: &Observations,
    acting_s: &dyn Fn(&str) -> Option<f64>,
) -> Vec<Recovery> {
    let mut recoveries = Vec::new();
    for (index, span) in observations.phases.iter().enumerate().filter(|(_, span)| span.has_faults) {
        for load in &observations.loads {
            let settings = settings(scenario, observations, index, &load.name);
            if let Ok(band) = Band::new(observations, load, &settings) {
                recoveries.extend(recovery(observations, load, index, band, acting_s(&span.name)));
            }
        }
    }
    recoveries
}

/// The `recovery_time` of a load after a phase with faults, otherwise one with all defaults.
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
    band: Band,
    acting_s: Option<f64>,
) -> Option<Recovery> {
    let span = &observations.phases[index];
    // The injection may affect requests due just before it: their cell counts.
    let injecting_ns = span.acts_from_ns();
    let starts = stats::cells(load).filter(|it| it.mark.phase == index).map(|it| it.start_ns);
    let begin_ns = starts.take_while(|at| *at <= injecting_ns).last().unwrap_or_default().max(span.start_ns);
    let acting_ns = acting_s.map(|at_s| (at_s * 1e9) as u64);
    let from_ns = span.recovers_from_ns();
    let horizon_ns = horizon(observations, index);
    let after = from_ns.map_or_else(Vec::new, |from| band.windows(load, from, horizon_ns));
    // Everything after a strike is recovery.
    let during = band.windows(load, begin_ns, span.struck_ns.and(from_ns).unwrap_or(span.judged_to_ns));
    let is_bad = |window: &&Window| window.state == WindowState::Bad;
    let onset_ns = during.iter().find(is_bad).map(|window| window.start_ns);
    let failover = match (onset_ns, acting_ns) {
        (Some(onset), Some(acting)) => {
            let acts = during.partition_point(|window| window.start_ns < onset.max(acting));
            Settling::new(&band, &during[acts..])
        }
        _ => Settling::default(),
    };
    // Settling after the removal of the fault is a recovery.
    let failed_over_ns = failover.settled_ns.filter(|at| from_ns.is_none_or(|from| *at < from));
    let recovered = Settling::new(&band, &after);
    // A service that is always within tolerance, or whose deviations are its own noise, has no onset after the removal.
    let is_late =
        span.struck_ns.is_some() || from_ns.is_some_and(|from| recovered.settled_ns.is_none_or(|at| at > from));
    let onset_ns = onset_ns.or_else(|| after.iter().find(is_bad).filter(|_| is_late).map(|window| window.start_ns));
    // Too few requests to be within tolerance.
    let acted = if span.struck_ns.is_some() { &after } else { &during };
    if onset_ns.is_none() && acted.iter().all(|window| window.state == WindowState::Unknown) {
        return None;
    }
    let first_success = from_ns.and_then(|removed| {
        load.segments.iter().filter_map(|segment| segment.first_success_ns).filter(|first| *first >= removed).min()
    });
    // Without requests, no window is bad.
    let known = after.iter().rev().find(|window| window.state != WindowState::Unknown);
    let seen_until_ns = known.map(|window| window.end_ns).or(from_ns).unwrap_or(horizon_ns);
    Some(Recovery {
        load: load.name.clone(),
        phase: span.name.clone(),
        onset_s: onset_ns.map(seconds),
        failover_s: failed_over_ns.map(seconds),
        removed_s: span.removed_ns.map(seconds),
        struck_s: span.struck_ns.map(seconds),
        first_success_s: first_success.filter(|first| *first < horizon_ns).map(seconds),
        recovered_s: recovered.settled_ns.map(seconds),
        relapses_s: failover.relapses_ns.iter().chain(&recovered.relapses_ns).map(|at_ns| seconds(*at_ns)).collect(),
        out_of_tolerance_s: out_of_tolerance(&during) + out_of_tolerance(&after),
        failed_requests: within(load, begin_ns, horizon_ns)
            .chain(around::in_flight(load, index))
            .map(|placed| placed.cell.requests() - placed.cell.succeeded)
            .sum(),
        resolution_s: seconds(band.window_ns),
        seen_until_s: Some(seconds(seen_until_ns)),
        next_faults: next_faults(observations, index).map(|span| span.name.clone()),
    })
}

/// How long the service was out of tolerance, in seconds. An unknown window counts like the previous one: in a closed loop,
/// a service that hangs receives no requests.
fn out_of_tolerance(windows: &[Window]) -> f64 {
    let mut bad = false;
    let mut sum_ns = 0;
    for window in windows {
        bad = match window.state {
            WindowState::Bad => true,
            WindowState::Good => false,
            WindowState::Unknown => bad,
        };
        sum_ns += if bad { window.end_ns - window.start_ns } else { 0 };
    }
    seconds(sum_ns)
}

#[cfg(test)]
mod tests;
