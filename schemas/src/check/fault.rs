//! Checks of one fault that are the same for every kind: its targets and its time within the phase. Checks of one kind
//! are in the file of that kind.

use super::Findings;
use super::selector::{narrowing, selector};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Fault, Phase, Prove};

pub(super) fn check(path: &str, phase: &Phase, fault: &Fault, findings: &mut Findings<'_>) {
    let path = format!("{path}.{}", fault.kind());
    if let Some(targets) = fault.pods() {
        selector(&format!("{path}.pods"), targets, findings);
        narrowing(&format!("{path}.pods"), targets, findings);
    }
    time(&path, phase, fault, findings);
    if fault.prove() == Prove::Witness && fault.info().is_claimed() {
        findings.push(
            &format!("{path}.prove"),
            Diagnostic::error(Code::Proof, "a witness can only show that a link is cut")
                .help("write `prove: traffic`, which asks for a change in the run's own requests"),
        );
    }
    fault.check(&path, findings);
}

fn time(path: &str, phase: &Phase, fault: &Fault, findings: &mut Findings<'_>) {
    let (after, lasts, duration) = (fault.after(), fault.lasts(), phase.duration);
    let wrong = |path: String| findings.map.has(&path) && findings.map.damaged(&path);
    if wrong(format!("{}.duration", phase_path(path))) || findings.map.gone(path) {
        return;
    }
    if lasts.is_some_and(|lasts| lasts.is_zero()) {
        return findings.push(
            &format!("{path}.for"),
            Diagnostic::error(Code::ZeroDuration, "the duration of this fault is zero")
                .help("remove `for` to keep it until the phase's end"),
        );
    }
    if after >= duration && !after.is_zero() {
        return findings.push(
            &format!("{path}.after"),
            Diagnostic::error(
                Code::FaultTime,
                format!("this fault starts after {after}, but its phase lasts only {duration}"),
            )
            .help("lengthen the phase, or start the fault earlier"),
        );
    }
    if let Some(lasts) = lasts.filter(|lasts| after.get() + lasts.get() > duration.get()) {
        let left = crate::units::Duration::from(duration.get() - after.get());
        findings.push(
            &format!("{path}.for"),
            Diagnostic::error(
                Code::FaultTime,
                format!("this fault lasts {lasts}, but only {left} of its phase remain"),
            )
            .help(format!("write `for: {left}`, or remove `for` to keep it until the phase's end")),
        );
    }
}

/// `phases[1]` of `phases[1].faults.x.partition`.
fn phase_path(path: &str) -> &str {
    path.split_once('.').map_or(path, |(phase, _)| phase)
}
