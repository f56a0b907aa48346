//! Checks of the pace of loads in each phase, and of comparisons between phases with different paces.

use super::{Findings, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Effect, Load, Model, Pace, Phase, Ramp, Scenario, Steps, WorkerRamp, Workers};
use crate::units::Duration;

/// The largest `concurrency` and `max_in_flight`. Each request needs a socket, and an address has at most 65535 ports.
pub(super) const MAX_AT_ONCE: u32 = 100_000;

pub(super) fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (name, load) in &scenario.load {
        whole(scenario, name, load, findings);
    }
    for (index, phase) in scenario.phases.iter().enumerate() {
        changes(scenario, index, phase, findings);
        comparisons(scenario, index, phase, findings);
    }
}

/// Checks the pace of a load for all phases.
fn whole(scenario: &Scenario, name: &str, load: &Load, findings: &mut Findings<'_>) {
    let path = format!("load.{name}");
    let changed = |phase: &Phase| phase.load.get(name).is_some_and(|it| it.rate.is_some() || it.concurrency.is_some());
    let unchanged: Vec<&Phase> = scenario.phases.iter().filter(|phase| !changed(phase)).collect();
    let is_changed = unchanged.len() < scenario.phases.len();
    if let Some(rate) = &load.rate {
        let path = format!("{path}.rate");
        shape(&path, rate, findings);
        unchanged.iter().for_each(|phase| fits(&path, rate, phase, findings));
        if rate.highest() <= 0.0 && !is_changed {
            findings.push(
                &path,
                Diagnostic::error(Code::Pace, "this load sends no requests: its rate is 0 in every phase")
                    .help("give it a rate, or give it one in a phase: `load: {main: {rate: 20/s}}`"),
            );
        }
    }
    workers(&format!("{path}.concurrency"), load.concurrency, !is_changed, &unchanged, findings);
    if load.arrival.is_some() && load.rate.is_none() && load.concurrency.is_some() && !findings.map.gone(&path) {
        findings.push_at_key(
            &format!("{path}.arrival"),
            Diagnostic::error(Code::Pace, "`arrival` is for `rate`").help(
                "remove it: in a closed loop the previous answer starts the next request; `think_time` spreads \
                    requests",
            ),
        );
    }
    if let Some(time) = load.think_time {
        if load.rate.is_some() && load.concurrency.is_none() && !findings.map.gone(&path) {
            findings.push_at_key(
                &format!("{path}.think_time"),
                Diagnostic::error(Code::Pace, "`think_time` is for `concurrency`")
                    .help("remove it: in an open loop only the schedule starts requests"),
            );
        } else if time.mean().is_zero() {
            findings.push(
                &format!("{path}.think_time"),
                Diagnostic::error(Code::ZeroDuration, "this think time is zero")
                    .help("remove it: without it workers do not wait"),
            );
        }
    }
}

/// Checks the changes of a phase.
fn changes(scenario: &Scenario, index: usize, phase: &Phase, findings: &mut Findings<'_>) {
    for (name, change) in &phase.load {
        let path = format!("phases[{index}].load.{name}");
        let Some(load) = scenario.load.get(name) else {
            // An invalid load was removed, but it exists in the file.
            if !findings.map.gone("load") {
                let known: Vec<&str> = scenario.load.keys().map(String::as_str).collect();
                findings.push_at_key(&path, unknown(Code::UnknownLoad, "load", name, &known));
            }
            continue;
        };
        if change.rate.is_none() && change.concurrency.is_none() && !findings.map.gone(&path) {
            findings.push_at_key(
                &path,
                Diagnostic::error(Code::NothingThere, "this does not change the load")
                    .help("write `rate: 50/s` for an open loop, or `concurrency: 50` for a closed one"),
            );
        }
        let model = load.model();
        if let Some(rate) = &change.rate {
            let path = format!("{path}.rate");
            if let Some(Model::Closed(_)) = model {
                findings.push_at_key(&path, other_model(name, "concurrency", "rate"));
            }
            shape(&path, rate, findings);
            fits(&path, rate, phase, findings);
        }
        if change.concurrency.is_some() {
            let path = format!("{path}.concurrency");
            if let Some(Model::Open(_)) = model {
                findings.push_at_key(&path, other_model(name, "rate", "concurrency"));
            }
            workers(&path, change.concurrency, false, &[phase], findings);
        }
    }
}

fn other_model(load: &str, has: &str, given: &str) -> Diagnostic {
    Diagnostic::error(Code::Pace, format!("the load `{load}` has `{has}`, so a phase cannot set `{given}`"))
        .help(format!("write `{has}`, or add a separate load"))
}

/// Checks a number of workers, and that a ramp of it ends within its phases.
fn workers(path: &str, workers: Option<Workers>, needs_some: bool, phases: &[&Phase], findings: &mut Findings<'_>) {
    let outside = |path: &str, what: &str, value: u32, least: u32, findings: &mut Findings<'_>| {
        findings.push(
            path,
            Diagnostic::error(Code::LoadLimit, format!("`{what}` is {value}, outside {least} to {MAX_AT_ONCE}"))
                .help("write `concurrency: 8`"),
        );
    };
    let Some(workers) = workers else { return };
    let WorkerRamp { from, to, over } = match workers {
        Workers::Ramp(ramp) => ramp,
        Workers::Constant(value) => {
            if value > MAX_AT_ONCE || value == 0 && needs_some {
                outside(path, "concurrency", value, 1, findings);
            }
            return;
        }
    };
    for (key, value) in [("from", from), ("to", to)] {
        if value > MAX_AT_ONCE {
            outside(&format!("{path}.{key}"), key, value, 0, findings);
        }
    }
    if from == to {
        findings.push(
            path,
            Diagnostic::error(Code::Pace, "this ramp starts and ends at the same number of workers")
                .help(format!("write `concurrency: {from}`")),
        );
    }
    none(&format!("{path}.over"), over, "the duration of this ramp is zero", "over: 30s", findings);
    phases.iter().for_each(|phase| ramp_fits(path, over, phase, findings));
}

/// Checks a ramp or steps, independent of the phase.
fn shape(path: &str, pace: &Pace, findings: &mut Findings<'_>) {
    match pace {
        Pace::Constant(_) => {}
        Pace::Ramp(Ramp { from, to, over }) => {
            if from == to {
                findings.push(
                    path,
                    Diagnostic::error(Code::Pace, "this ramp starts and ends at the same rate")
                        .help(format!("write `rate: {from}`")),
                );
            }
            none(&format!("{path}.over"), *over, "the duration of this ramp is zero", "over: 30s", findings);
        }
        Pace::Steps(Steps { steps, each }) => {
            if steps.len() < 2 && !findings.map.gone(&format!("{path}.steps")) {
                findings.push(
                    &format!("{path}.steps"),
                    Diagnostic::error(Code::Pace, "`steps` needs at least two rates")
                        .help("write `steps: [10/s, 50/s]`, or `rate: 50/s` for a single one"),
                );
            }
            none(&format!("{path}.each"), *each, "the duration of these steps is zero", "each: 20s", findings);
        }
    }
}

fn none(path: &str, time: Option<Duration>, what: &str, example: &str, findings: &mut Findings<'_>) {
    if time.is_some_and(Duration::is_zero) {
        findings.push(path, Diagnostic::error(Code::ZeroDuration, what).help(format!("write `{example}`")));
    }
}

/// Checks that a ramp or steps end within a phase.
fn fits(path: &str, pace: &Pace, phase: &Phase, findings: &mut Findings<'_>) {
    let (name, duration) = (&phase.name, phase.duration);
    // A phase without a duration has its own error.
    if duration.is_zero() {
        return;
    }
    match pace {
        Pace::Ramp(Ramp { over, .. }) => ramp_fits(path, *over, phase, findings),
        Pace::Steps(Steps { steps, each: Some(each) }) => {
            let before_last = each.get().saturating_mul(u32::try_from(steps.len().max(1) - 1).unwrap_or(u32::MAX));
            if before_last >= duration.get() {
                findings.push(
                    &format!("{path}.each"),
                    Diagnostic::error(
                        Code::Pace,
                        format!(
                            "the last of {} steps of {each} never begins: the phase `{name}` lasts {duration}",
                            steps.len()
                        ),
                    )
                    .help("shorten the steps, or lengthen the phase; without `each` the steps divide the whole phase"),
                );
            }
        }
        _ => {}
    }
}

/// Checks that a ramp ends within a phase.
fn ramp_fits(path: &str, over: Option<Duration>, phase: &Phase, findings: &mut Findings<'_>) {
    let (name, duration) = (&phase.name, phase.duration);
    if let Some(over) = over.filter(|over| *over > duration && !duration.is_zero()) {
        findings.push(
            &format!("{path}.over"),
            Diagnostic::error(
                Code::Pace,
                format!("a ramp over {over} does not fit: the phase `{name}` lasts {duration}"),
            )
            .help("shorten the ramp, or lengthen the phase; without `over` the ramp lasts the whole phase"),
        );
    }
}

/// Warns about comparisons with a phase in which a load has another pace.
fn comparisons(scenario: &Scenario, index: usize, phase: &Phase, findings: &mut Findings<'_>) {
    let asked = phase.expect.iter().enumerate().map(|(number, it)| (format!("expect[{number}]"), it.clone()));
    let effect = phase.effect.as_ref().and_then(Effect::expectation).map(|it| ("effect".to_owned(), it));
    for (place, expectation) in asked.chain(effect).filter(|(_, it)| it.is_about_requests()) {
        let Some(to) = expectation.to() else { continue };
        let Some(first) = scenario.phases[..index].iter().position(|phase| phase.name == to) else { continue };
        let loads = scenario.load.keys().filter(|name| expectation.load().is_none_or(|asked| asked == *name));
        let other = loads.filter_map(|load| scenario.other_pace(load, first, index));
        // One load is enough for the warning.
        for message in other.take(1) {
            let meaning = match expectation.info().facts.counts_work {
                true => "the throughput of a healthy service follows the rate of its requests",
                false => "the pace explains a part of the difference",
            };
            findings.push(
                &format!("phases[{index}].{place}.{}.to", expectation.kind()),
                Diagnostic::warning(Code::OtherPace, message)
                    .help(format!("{meaning}: give both the same pace, or adapt the limits")),
            );
        }
    }
}
