//! Checks that several kinds of faults share.

use super::findings::{Findings, dns_label};
use crate::diagnostic::{Code, Diagnostic};

/// Reports a problem with the action of a fault.
pub(crate) fn wrong(path: &str, message: impl Into<String>, help: &str, findings: &mut Findings<'_>) {
    findings.push(path, Diagnostic::error(Code::Degradation, message).help(help));
}

/// Checks the names of a fault's containers.
pub(crate) fn containers(path: &str, containers: &[String], findings: &mut Findings<'_>) {
    for (index, name) in containers.iter().enumerate() {
        dns_label(name, "container", &format!("{path}.containers[{index}]"), findings);
    }
}

/// True for a share that is a whole number of percent above zero.
pub(crate) fn is_whole(fraction: f64) -> bool {
    let percent = fraction * 100.0;
    percent >= 1.0 && (percent - percent.round()).abs() < 1e-9
}
