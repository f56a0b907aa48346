//! Measures a fault that shifts clocks by the `Date` headers of a load. Pure.

use std::ops::Range;

use shakedown_faults::chaos::Recipe;
use shakedown_observe::DateSample;
use shakedown_schemas::result::{Evidence, FaultResult, Measured, Proof, Quantity, Verdict};
use shakedown_schemas::units::Offset;

use crate::plan::{Action, FaultSpec};
use crate::timeline::Outcome;

/// The smallest shift that headers without fractions of a second can show, in seconds.
const LEAST: f64 = 5.0;
/// The tolerance between the observed and the requested offset: in seconds, or as a share of it.
const TOLERANCE: (f64, f64) = (2.0, 0.05);
/// The fewest samples before and during the fault.
const FEWEST: usize = 3;
/// How long an answer that was computed before the fault may still arrive, in seconds.
const LATE: f64 = 1.0;

/// Proves a claimed shift of clocks by the headers of its loads, or refutes it.
pub(super) fn look(fault: &mut FaultResult, spec: &FaultSpec, outcome: &Outcome) {
    let Action::ChaosMesh(chaos) = &spec.action else { return };
    let Recipe::Time(time) = &chaos.recipe else { return };
    if !fault.is_claimed() || fault.injection != Verdict::Pass || !chaos.observe {
        return;
    }
    let asked = seconds(time.offset);
    let loads = outcome.observations.loads.iter().filter(|load| spec.clocks.contains(&load.name));
    let others: Vec<Shifted> = outcome.faults.values().filter(|it| it.name != fault.name).filter_map(shifted).collect();
    let shown = loads.filter_map(|load| Some((&load.name, shift(&load.dates, fault, &others)?)));
    let Some((load, seen)) = shown.into_iter().next() else {
        fault.claimed_because = Some(match spec.clocks.is_empty() {
            true => "no load gets all its answers from its targets, so their clocks cannot be observed".to_owned(),
            false => "the answers of the loads have too few `Date` headers".to_owned(),
        });
        return;
    };
    if asked.abs() < LEAST {
        fault.claimed_because = Some(format!("a `Date` header does not show a shift of less than {LEAST} s"));
        return;
    }
    let is_enough = (seen - asked).abs() <= TOLERANCE.0.max(TOLERANCE.1 * asked.abs());
    let source = format!("the `Date` headers of load {load}");
    let measured = Measured { of: load.clone(), what: Quantity::Clock, asked, seen, is_enough, source };
    let detail = format!("clock of the targets: {measured} ({})", measured.source);
    // Of several containers, another one may have answered.
    let is_certain = is_enough || chaos.targets.iter().all(|target| target.containers.len() == 1);
    fault.measured.push(measured);
    if !is_certain {
        fault.claimed_because = Some(format!("{detail}; another container of the pod may have answered"));
        return;
    }
    let at_s = fault.undoing_s.or(fault.claimed_s).unwrap_or_default();
    fault.evidence.push(Evidence { at_s, shows: Proof::Effective, holds: is_enough, detail: detail.clone() });
    if is_enough {
        fault.proven_s = fault.claimed_s;
    } else {
        fault.injection = Verdict::Inconclusive;
        fault.problem = Some(format!("not proven: {detail}"));
    }
}

/// The offset in seconds; negative when the clock is behind.
fn seconds(offset: Offset) -> f64 {
    let by = offset.by().as_secs_f64();
    if offset.is_back() { -by } else { by }
}

/// The time in which a fault may shift clocks, in seconds since the load's start.
type Shifted = Range<f64>;

/// The time of a fault that shifts clocks. Without an end, it lasts.
fn shifted(fault: &FaultResult) -> Option<Shifted> {
    let begin = fault.injecting_s.filter(|_| fault.kind == "time")?;
    Some(begin..fault.undone_s.map_or(f64::INFINITY, |end| end + LATE))
}

/// By how much the headers moved with the fault, in seconds; none without enough samples. Samples during another fault that
/// may shift clocks are ignored.
fn shift(dates: &[DateSample], fault: &FaultResult, others: &[Shifted]) -> Option<f64> {
    let (injecting, claimed, undoing) = (fault.injecting_s?, fault.claimed_s?, fault.undoing_s?);
    let median = |from: f64, to: f64| {
        let shows = |at: f64| (from..to).contains(&at) && !others.iter().any(|other| other.contains(&at));
        let mut all: Vec<f64> = dates.iter().filter(|it| shows(it.at_ns as f64 / 1e9)).map(|it| it.ahead_s).collect();
        all.sort_by(f64::total_cmp);
        (all.len() >= FEWEST).then(|| all[all.len() / 2])
    };
    Some(median(claimed + LATE, undoing)? - median(0.0, injecting)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recording `skew`: each second, the moment of reading and the `Date` header of the target.
    const RECORDED: &str = include_str!("../../../../tests/recordings/dates.txt");

    fn recorded() -> Vec<DateSample> {
        let seconds =
            |text: &str| -> f64 { text.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap()) };
        let first = seconds(RECORDED.split(' ').next().unwrap());
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (read, date) = (seconds(words[0]), seconds(words[6]));
            DateSample { at_ns: ((read - first) * 1e9) as u64, ahead_s: date - read }
        };
        RECORDED.lines().map(line).collect()
    }

    /// The recorded fault: the clock is behind from the 10th second to the 25th.
    fn fault(injecting_s: f64, claimed_s: f64, undoing_s: f64) -> FaultResult {
        let mut fault: FaultResult = serde_json::from_value(serde_json::json!({
            "name": "f", "phase": "fault", "kind": "time", "engine": "chaos-mesh", "description": "", "targets": [],
            "peers": [], "objects": [], "state": "undone", "evidence": [], "injection": "pass", "undo": "pass",
        }))
        .unwrap();
        (fault.injecting_s, fault.claimed_s, fault.undoing_s) = (Some(injecting_s), Some(claimed_s), Some(undoing_s));
        fault
    }

    #[test]
    fn the_recorded_shift_is_seen() {
        assert_eq!(shift(&recorded(), &fault(9.0, 10.5, 25.0), &[]), Some(-600.0));
        // Without a shift, nothing is seen.
        assert_eq!(shift(&recorded(), &fault(3.0, 4.0, 9.5), &[]), Some(0.0));
        assert_eq!(shift(&recorded(), &fault(0.5, 10.5, 25.0), &[]), None, "too few before");
        // An earlier fault of this kind covers the whole baseline: its recovery must not look like this fault.
        assert_eq!(shift(&recorded(), &fault(9.0, 10.5, 25.0), &[0.0..8.0]), None, "no baseline");
        assert_eq!(shift(&recorded(), &fault(9.0, 10.5, 25.0), &[0.0..2.0]), Some(-600.0));
        assert_eq!(seconds("-10m".parse().unwrap()), -600.0);
    }
}
