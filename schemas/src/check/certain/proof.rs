//! Proof by traffic (`effect: any`, `prove: traffic`) of phases that differ in more than the faults: their requests have
//! another pace, or other data.

use super::counted::{count, is_doubtful, is_silent};
use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Effect, Prove, Scenario};

pub(super) fn check(scenario: &Scenario, index: usize, findings: &mut Findings<'_>) {
    let phase = &scenario.phases[index];
    let Some(first) = scenario.reference().filter(|first| index > *first) else { return };
    let faults = phase.faults.iter().filter(|(_, fault)| fault.prove() == Prove::Traffic);
    let mut asked: Vec<String> = faults.map(|(name, _)| format!("phases[{index}].faults.{name}")).collect();
    asked.extend((phase.effect == Some(Effect::Any)).then(|| format!("phases[{index}].effect")));
    let is_known = |load: &String| [first, index].iter().all(|at| !is_doubtful(*at, load, findings));
    // A phase without requests has its own message.
    let is_sent = |at: usize| scenario.load.keys().any(|load| !is_silent(scenario, load, at));
    if asked.is_empty()
        || !is_sent(first)
        || !is_sent(index)
        || phase.faults.is_empty()
        || !scenario.load.keys().all(is_known)
    {
        return;
    }
    let pace = scenario.load.keys().find_map(|load| scenario.other_pace(load, first, index)).map(|message| {
        Diagnostic::warning(Code::OtherPace, format!("{message}: the requests prove no fault then"))
            .help("give both the same pace, or prove the fault by a witness")
    });
    let Some(problem) = pace.or_else(|| other_data(scenario, first, index)) else { return };
    if let Some(path) = asked.first() {
        findings.push_at_key(path, problem);
    }
}

/// The warning that no load uses its data often enough in both phases.
fn other_data(scenario: &Scenario, first: usize, index: usize) -> Option<Diagnostic> {
    let mut found = None;
    for (name, load) in
        scenario.load.iter().filter(|(name, _)| ![first, index].iter().any(|at| is_silent(scenario, name, *at)))
    {
        let few = [first, index]
            .into_iter()
            .find_map(|at| scenario.too_few_rounds(name, at, count(scenario, name, load, at)?.usual.round() as u64))?;
        found = found.or(Some(format!("{few}: the requests prove no fault then")));
    }
    let problem = Diagnostic::warning(Code::OtherData, found?);
    Some(problem.help("write `order: random`, take fewer rows, or lengthen the phases"))
}
