//! Checks of the phases: names, durations, and the names of their faults.

use std::collections::BTreeMap;

use super::{Findings, fault, key_name, name, unknown, written};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Including, Scenario};

pub(super) fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    let mut phases: BTreeMap<&str, u32> = BTreeMap::new();
    let mut faults: BTreeMap<&str, (&str, u32)> = BTreeMap::new();
    let mut objects: BTreeMap<written::Written, &str> = BTreeMap::new();
    for (index, phase) in scenario.phases.iter().enumerate() {
        let path = format!("phases[{index}]");
        let key = format!("{path}.name");
        name(&phase.name, "phase's name", &key, findings);
        let line = findings.map.value(&key).map_or(0, |span| span.line);
        if let Some(first) = phases.get(phase.name.as_str()) {
            findings.push(
                &key,
                Diagnostic::error(
                    Code::DuplicateName,
                    format!("the phase `{}` is already on line {first}", phase.name),
                )
                .help("give each phase a unique name: expectations refer to it"),
            );
        } else if !findings.map.damaged(&key) {
            phases.insert(&phase.name, line);
        }
        if phase.duration.is_zero() {
            findings.push(
                &format!("{path}.duration"),
                Diagnostic::error(Code::ZeroDuration, "the duration of this phase is zero").help(
                    "write `duration: \
                    30s`",
                ),
            );
        } else if phase.settle >= phase.duration && !findings.map.damaged(&format!("{path}.duration")) {
            findings.push(
                &format!("{path}.settle"),
                Diagnostic::error(
                    Code::Settle,
                    format!("the settle time of {} covers the whole phase of {}", phase.settle, phase.duration),
                )
                .help("shorten `settle`, or lengthen the phase"),
            );
        }
        if phase.faults.is_empty() && phase.including.iter().any(|it| *it != Including::InFlight) {
            findings.push(
                &format!("{path}.including"),
                Diagnostic::error(Code::Including, "this phase has no faults that could be injected or undone")
                    .help("write `including` in the phase with the faults"),
            );
        }
        for (fault_name, it) in &phase.faults {
            let path = format!("{path}.faults.{fault_name}");
            key_name(fault_name, "fault", &path, findings);
            // Two faults with the same object could not be distinguished: the second would find the object of the
            // first.
            if let Some(object) = written::written(it, scenario.namespace.as_deref()) {
                match objects.get(&object) {
                    Some(first) => findings.push(
                        &format!("{path}.manifest.object.metadata.name"),
                        Diagnostic::error(
                            Code::DuplicateName,
                            format!("the fault `{first}` creates the {} `{}` already", object.kind, object.name),
                        )
                        .help("give it another name, or remove `name`: then each fault gets its own object"),
                    ),
                    None => _ = objects.insert(object, fault_name),
                }
            }
            match faults.get(fault_name.as_str()) {
                Some((phase, line)) => findings.push_at_key(
                    &path,
                    Diagnostic::error(
                        Code::DuplicateName,
                        format!("the fault `{fault_name}` is already in the phase `{phase}`, on line {line}"),
                    )
                    .help("give each fault in the file a unique name: reports identify faults by name"),
                ),
                None => {
                    let line = findings.map.key(&path).map_or(0, |span| span.line);
                    faults.insert(fault_name, (&phase.name, line));
                }
            }
            fault::check(&path, phase, it, findings);
        }
    }
}

/// Checks the phases that loads refer to.
pub(super) fn of_loads(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (name, load) in &scenario.load {
        let compared = load.all_sent().into_iter().find_map(|sent| Some((sent.kind(), sent.same_as()?)));
        let Some((kind, phase)) = compared else { continue };
        let doubtful = findings.map.gone("phases")
            || (0..scenario.phases.len()).any(|at| findings.map.damaged(&format!("phases[{at}].name")));
        if !doubtful && !scenario.phases.iter().any(|known| known.name == phase) {
            let known: Vec<&str> = scenario.phases.iter().map(|phase| phase.name.as_str()).collect();
            let problem = unknown(Code::UnknownPhase, "phase", phase, &known);
            findings.push(&format!("load.{name}.{kind}.check.same_as"), problem);
        }
    }
}
