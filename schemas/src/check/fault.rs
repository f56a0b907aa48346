//! Checks of one fault: its targets, its peers and its time within the phase. What belongs to one kind alone is in a file
//! of its family.

mod manifest;
mod network;
mod peer;
mod pods;
mod selector;

pub(super) use manifest::{Written, written};
pub(super) use selector::selector;

use super::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Fault, Phase};
use selector::narrowing;

pub(super) fn check(path: &str, phase: &Phase, fault: &Fault, findings: &mut Findings<'_>) {
    let path = format!("{path}.{}", fault.kind());
    if let Some(targets) = fault.pods() {
        selector(&format!("{path}.pods"), targets, findings);
        narrowing(&format!("{path}.pods"), targets, findings);
    }
    time(&path, phase, fault, findings);
    match fault {
        Fault::Partition(it) => network::partition(&path, it, findings),
        Fault::Netem(it) => network::netem(&path, it, findings),
        Fault::PodKill(it) => pods::pod_kill(&path, it, findings),
        Fault::PodFailure(_) => {}
        Fault::ContainerKill(it) => {
            pods::container_kill(&path, it, findings);
            pods::containers(&path, &it.containers, findings);
        }
        Fault::Stress(it) => {
            pods::stress(&path, it, findings);
            pods::containers(&path, &it.containers, findings);
        }
        Fault::Http(it) => pods::http(&path, it, findings),
        Fault::Dns(it) => pods::dns(&path, it, findings),
        Fault::Io(it) => {
            pods::io(&path, it, findings);
            pods::containers(&path, &it.containers, findings);
        }
        Fault::Time(it) => pods::containers(&path, &it.containers, findings),
        Fault::Manifest(it) => manifest::manifest(&path, it, findings),
    }
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
            Diagnostic::error(Code::ZeroDuration, "this fault lasts no time")
                .help("remove `for` to keep it until the phase's end"),
        );
    }
    if after >= duration && !after.is_zero() {
        return findings.push(
            &format!("{path}.after"),
            Diagnostic::error(
                Code::FaultTime,
                format!("this fault begins after {after}, when its phase of {duration} is over"),
            )
            .help("lengthen the phase, or begin earlier"),
        );
    }
    if let Some(lasts) = lasts.filter(|lasts| after.get() + lasts.get() > duration.get()) {
        let left = crate::units::Duration::from(duration.get() - after.get());
        findings.push(
            &format!("{path}.for"),
            Diagnostic::error(Code::FaultTime, format!("this fault lasts {lasts}, and {left} are left of its phase"))
                .help(format!("write `for: {left}`, or remove `for` to keep it until the phase's end")),
        );
    }
}

/// `phases[1]` of `phases[1].faults.x.partition`.
fn phase_path(path: &str) -> &str {
    path.split_once('.').map_or(path, |(phase, _)| phase)
}
