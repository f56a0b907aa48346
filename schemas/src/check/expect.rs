//! Checks of all expectations of a scenario. Checks of several kinds are in `rules`. Checks of one kind are in the file
//! of that kind.

pub(crate) mod rules;

use super::{Findings, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Effect, Expectation, Phase, PhaseFacts, Scenario};

pub(super) fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    let phases = scenario.phases.iter().enumerate();
    let phases: Vec<_> = phases
        .map(|(index, phase)| PhaseFacts {
            name: &phase.name,
            duration: phase.duration,
            has_faults: has_faults(phase, index, findings),
        })
        .collect();
    for (index, phase) in scenario.phases.iter().enumerate() {
        for (number, expectation) in phase.expect.iter().enumerate() {
            let path = format!("phases[{index}].expect[{number}].{}", expectation.kind());
            load(&path, scenario, expectation, findings);
            expectation.check(&path, &phases, index, findings);
        }
        if phase.effect.is_some() && !phases[index].has_faults {
            findings.push(
                &format!("phases[{index}].effect"),
                Diagnostic::error(Code::Effect, "this phase has no fault, so it cannot have an effect")
                    .help("move `effect` to the phase with the fault, or remove it"),
            );
        }
        let first = phases.iter().position(|phase| phase.has_faults);
        if phase.effect.as_ref().is_some_and(|effect| effect.expectation().is_none()) && first == Some(0) {
            findings.push(
                &format!("phases[{index}].effect"),
                Diagnostic::error(Code::Effect, "there is no phase without faults before this one to compare with")
                    .help(
                        "add a phase without faults before the first fault, such as `{name: baseline, duration: 30s}`",
                    ),
            );
        }
        if let Some(expectation) = phase.effect.as_ref().and_then(Effect::expectation) {
            let path = format!("phases[{index}].effect.{}", expectation.kind());
            load(&path, scenario, &expectation, findings);
            expectation.check(&path, &phases, index, findings);
        }
    }
}

/// True if a phase has faults, including faults that were removed because they are invalid.
fn has_faults(phase: &Phase, index: usize, findings: &Findings<'_>) -> bool {
    let key = format!("phases[{index}].faults");
    !phase.faults.is_empty() || findings.map.has(&key) && findings.map.damaged(&key) || findings.map.gone(&key)
}

fn load(path: &str, scenario: &Scenario, expectation: &Expectation, findings: &mut Findings<'_>) {
    if let Some(name) = expectation.load() {
        // An invalid load was removed, but it exists in the file.
        let there = scenario.load.contains_key(name) || findings.map.gone("load");
        if !there {
            let known: Vec<&str> = scenario.load.keys().map(String::as_str).collect();
            findings.push(&format!("{path}.load"), unknown(Code::UnknownLoad, "load", name, &known));
        }
    }
}
