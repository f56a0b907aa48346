//! The effect of a phase's faults on users: success rate and latency compared with the reference, the onset, failover and
//! recovery, and the cost.

use shakedown_schemas::result::{PhaseLoad, Recovery, ScenarioResult};
use shakedown_schemas::scenario::Including;

use super::reference;
use crate::words;

/// The requests of a phase with faults compared with the reference: the success rate and p95. None without a reference, or
/// if one of the two has no requests.
pub fn felt(scenario: &ScenarioResult, it: &Recovery) -> Option<String> {
    let of = |phase: &str| load_of(scenario, phase, &it.load);
    let before = reference(scenario).filter(|phase| phase.name != it.phase)?;
    let (first, during) = (of(&before.name)?, of(&it.phase)?);
    let mut text = format!(
        "success rate {} ({} in {})",
        words::fraction(success_rate(during)?),
        words::fraction(success_rate(first)?),
        before.name
    );
    match (&first.stats.latency, &during.stats.latency) {
        (Some(first), Some(during)) if first.p95_ms > 0.0 => text.push_str(&format!(
            ", p95 {} ({} that of {})",
            words::millis(during.p95_ms),
            words::times(during.p95_ms / first.p95_ms),
            before.name
        )),
        (_, Some(during)) => text.push_str(&format!(", p95 {}", words::millis(during.p95_ms))),
        (_, None) => text.push_str(", no latency without answers"),
    }
    Some(text)
}

/// A load in a phase.
fn load_of<'a>(scenario: &'a ScenarioResult, phase: &str, load: &str) -> Option<&'a PhaseLoad> {
    let phase = scenario.phases.iter().find(|known| known.name == phase)?;
    phase.loads.iter().find(|known| known.load == load)
}

/// The success rate as the phase's expectations have it: with the groups that they include.
fn success_rate(load: &PhaseLoad) -> Option<f64> {
    let included = load.around.iter().filter(|group| group.included).map(|group| &group.stats);
    let (succeeded, requests) = std::iter::once(&load.stats)
        .chain(included)
        .fold((0, 0), |(succeeded, requests), stats| (succeeded + stats.succeeded, requests + stats.requests));
    (requests > 0).then(|| succeeded as f64 / requests as f64)
}

/// True if no window after the removal of the faults has enough requests to show a recovery.
pub fn is_unseen(it: &Recovery) -> bool {
    let from_s = it.struck_s.or(it.removed_s);
    it.recovered_s.is_none() && from_s.zip(it.seen_until_s).is_some_and(|(from_s, until_s)| until_s <= from_s)
}

/// Why nothing shows whether the service recovered.
pub fn unseen(it: &Recovery) -> String {
    match &it.next_faults {
        Some(next) => format!("the recovery was not observed, because the faults of {next} followed"),
        None => "too few requests after the removal show whether it recovered".to_owned(),
    }
}

/// The onset, failover, recovery and cost in one sentence.
pub fn recovery(scenario: &ScenarioResult, it: &Recovery) -> String {
    match it.onset_s {
        None => harm(scenario, it),
        Some(_) => format!("{}, {}; {}", began(it), back(it), cost(it)),
    }
}

/// The onset, failover and cost, without the recovery.
pub fn harm(scenario: &ScenarioResult, it: &Recovery) -> String {
    if it.onset_s.is_some() {
        return format!("{}; {}", began(it), cost(it));
    }
    let met = load_of(scenario, &it.phase, &it.load).into_iter().flat_map(|load| &load.around);
    let met = met.filter(|group| group.group == Including::InFlight).map(|group| &group.stats);
    let (all, failed) =
        met.fold((0, 0), |(all, failed), stats| (all + stats.requests, failed + stats.requests - stats.succeeded));
    let others = it.failed_requests.saturating_sub(failed) as usize;
    let harmed = match (failed, others) {
        (0, 0) => String::new(),
        (0, _) => format!(", {}", words::plural(others, "failed request")),
        (_, 0) => format!(", but {failed} of {} in flight failed", words::plural(all as usize, "request")),
        (..) => {
            format!(", but {failed} of {} in flight and {others} others failed", words::plural(all as usize, "request"))
        }
    };
    format!("within tolerance all the time{harmed}")
}

fn began(it: &Recovery) -> String {
    let onset = it.onset_s.unwrap_or_default();
    let relapsed = relapsed(it, true);
    let failover = match it.failover_s {
        _ if it.struck_s.is_some() || it.removed_s.is_some_and(|removed| onset >= removed) => String::new(),
        Some(at) => format!(", failed over after {}", words::seconds((at - onset).max(0.0))),
        None => ", no failover during the fault".to_owned(),
    };
    format!("out of tolerance from {}{relapsed}{failover}", words::moment(onset))
}

fn cost(it: &Recovery) -> String {
    format!(
        "{} out of tolerance in total, {}",
        words::seconds(it.out_of_tolerance_s),
        words::plural(it.failed_requests as usize, "failed request")
    )
}

/// The relapses during the fault, or those after it.
fn relapsed(it: &Recovery, during: bool) -> String {
    let ended = it.struck_s.or(it.removed_s).unwrap_or(f64::INFINITY);
    let times: Vec<f64> = it.relapses_s.iter().copied().filter(|at| (*at < ended) == during).collect();
    let when = if during { " during the fault" } else { "" };
    match times.as_slice() {
        [] => String::new(),
        [one] => format!(", relapsed once{when}, at {}", words::moment(*one)),
        [.., last] => format!(", relapsed {} times{when}, last at {}", times.len(), words::moment(*last)),
    }
}

/// The recovery as a time with its interval, and the relapses after the fault.
pub fn back(it: &Recovery) -> String {
    if it.onset_s.is_none() {
        return "never out of tolerance".to_owned();
    }
    let event = if it.struck_s.is_some() { "the strike" } else { "the removal was confirmed" };
    let recovered = match (it.struck_s.or(it.removed_s), it.recovered_s) {
        (Some(from), Some(at)) => {
            let took = (at - from).max(0.0);
            let took_text = format!("{} ± {}", words::seconds(took), words::seconds(it.resolution_s));
            match took > 0.0 {
                true => format!("recovered {took_text} after {event}"),
                false => format!("recovered at once ({took_text} after {event})"),
            }
        }
        (Some(_), None) if is_unseen(it) => unseen(it),
        (Some(removed), None) => match it.seen_until_s {
            Some(until) if until - removed <= it.resolution_s => {
                let seen = words::seconds((until - removed).max(0.0));
                format!("the {seen} that followed are too short to tell whether it recovered")
            }
            Some(until) => format!("not recovered in the {} that followed", words::seconds((until - removed).max(0.0))),
            None => "not recovered within the run".to_owned(),
        },
        (None, _) => "the removal was never confirmed".to_owned(),
    };
    format!("{recovered}{}", relapsed(it, false))
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::{Around, Stats};

    use super::*;
    use crate::sample;

    #[test]
    fn relapses_are_counted_and_the_last_has_its_moment() {
        let scenario = sample::passing().scenarios.remove(0);
        let mut it = scenario.recoveries[0].clone();
        assert!(!recovery(&scenario, &it).contains("relapsed"));
        it.relapses_s = vec![97.0];
        assert!(recovery(&scenario, &it).contains(", relapsed once, at 1m37.0s; "), "{}", recovery(&scenario, &it));
        it.relapses_s = vec![97.0, 103.5];
        assert!(
            recovery(&scenario, &it).contains(", relapsed 2 times, last at 1m43.5s"),
            "{}",
            recovery(&scenario, &it)
        );
    }

    #[test]
    fn a_relapse_before_the_removal_is_no_relapse_after_it() {
        let scenario = sample::passing().scenarios.remove(0);
        let mut it = scenario.recoveries[0].clone();
        let removed = it.removed_s.unwrap();
        it.relapses_s = vec![removed - 4.0, removed - 2.0];
        let last = words::moment(removed - 2.0);
        assert!(
            harm(&scenario, &it).contains(&format!(", relapsed 2 times during the fault, last at {last}, ")),
            "{}",
            harm(&scenario, &it)
        );
        assert!(!back(&it).contains("relapsed"), "{}", back(&it));
        it.relapses_s.push(removed + 9.0);
        assert!(back(&it).ends_with(&format!(", relapsed once, at {}", words::moment(removed + 9.0))), "{}", back(&it));
    }

    #[test]
    fn the_recovery_is_a_time_with_its_interval() {
        let scenario = sample::passing().scenarios.remove(0);
        let mut it = scenario.recoveries[0].clone();
        let removed = it.removed_s.unwrap();
        it.recovered_s = Some(removed);
        assert_eq!(back(&it), "recovered at once (0s ± 1s after the removal was confirmed)");
        it.recovered_s = Some(removed + 5.0);
        assert_eq!(back(&it), "recovered 5s ± 1s after the removal was confirmed");
        it.struck_s = Some(removed - 1.0);
        assert_eq!(back(&it), "recovered 6s ± 1s after the strike");
    }

    /// The same number as the expectation's, which counts the requests in flight.
    #[test]
    fn the_success_rate_has_the_groups_that_the_expectations_include() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let it = scenario.recoveries[0].clone();
        let load = scenario.phases.iter_mut().find(|phase| phase.name == it.phase).unwrap();
        let load = load.loads.iter_mut().find(|load| load.load == it.load).unwrap();
        let mut group = Around { group: Including::InFlight, included: true, length_s: 0.0, stats: Stats::default() };
        group.stats.requests = load.stats.requests;
        load.around = vec![group];
        let half = words::fraction(load.stats.success_rate().unwrap() / 2.0);
        assert!(felt(&scenario, &it).unwrap().starts_with(&format!("success rate {half} (")));
    }

    /// "Within tolerance all the time, 9 failed requests" stood beside a success rate of 83 %.
    #[test]
    fn requests_in_flight_that_failed_are_said_as_such() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let mut it = scenario.recoveries[0].clone();
        let (phase, load) = (it.phase.clone(), it.load.clone());
        let met = |scenario: &mut ScenarioResult, around: Vec<Around>| {
            let judged = scenario.phases.iter_mut().find(|known| known.name == phase).unwrap();
            judged.loads.iter_mut().find(|known| known.load == load).unwrap().around = around;
        };
        met(&mut scenario, Vec::new());
        (it.onset_s, it.failed_requests) = (None, 0);
        assert_eq!(harm(&scenario, &it), "within tolerance all the time");
        it.failed_requests = 9;
        assert_eq!(harm(&scenario, &it), "within tolerance all the time, 9 failed requests");
        let mut group = Around { group: Including::InFlight, included: true, length_s: 0.0, stats: Stats::default() };
        (group.stats.requests, group.stats.succeeded) = (10, 1);
        met(&mut scenario, vec![group]);
        assert_eq!(harm(&scenario, &it), "within tolerance all the time, but 9 of 10 requests in flight failed");
        it.failed_requests = 11;
        let said = "within tolerance all the time, but 9 of 10 requests in flight and 2 others failed";
        assert_eq!(harm(&scenario, &it), said);
    }

    #[test]
    fn only_what_was_watched_is_not_recovered() {
        let scenario = sample::passing().scenarios.remove(0);
        let mut it = scenario.recoveries[0].clone();
        it.recovered_s = None;
        let removed = it.removed_s.unwrap();
        it.seen_until_s = Some(removed + 20.0);
        assert!(
            recovery(&scenario, &it).contains(", not recovered in the 20s that followed; "),
            "{}",
            recovery(&scenario, &it)
        );
        it.seen_until_s = Some(removed + it.resolution_s);
        let said = recovery(&scenario, &it);
        assert!(said.contains(" that followed are too short to tell whether it recovered; "), "{said}");
        it.seen_until_s = Some(removed);
        let said = recovery(&scenario, &it);
        assert!(said.contains(", too few requests after the removal show whether it recovered; "), "{said}");
        assert!(!said.contains("not recovered"), "{said}");
        it.next_faults = Some("kill".to_owned());
        let said = recovery(&scenario, &it);
        assert!(said.contains(", the recovery was not observed, because the faults of kill followed; "), "{said}");
    }

    #[test]
    fn compares_the_effect_with_the_reference() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let it = scenario.recoveries[0].clone();
        let said = felt(&scenario, &it).unwrap();
        assert!(said.starts_with("success rate 98.36% ") && said.contains("(100% in baseline), p95 "), "{said}");
        assert!(said.ends_with("x that of baseline)"), "{said}");
        scenario.phases[1].loads[0].stats.latency = None;
        assert!(felt(&scenario, &it).unwrap().ends_with("no latency without answers"));
        scenario.phases.truncate(1);
        assert_eq!(felt(&scenario, &it), None);
    }
}
