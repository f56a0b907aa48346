//! Rules across the fields of a scenario, checked on the typed value and reported at the position in the file. They
//! need no cluster. Rules on single values are in `units` and the types.

mod certain;
pub(crate) mod expect;
mod fault;
mod findings;
pub(crate) mod inside;
pub(crate) mod load;
mod map;
mod pace;
mod peer;
mod phase;
mod safety;
mod selector;
mod written;

pub(crate) use findings::{Findings, dns_label, is_dns_label, key_name, name, unknown};
pub(crate) use map::Map;
pub(crate) use peer::peer;

use crate::diagnostic::{Code, Diagnostic};
use crate::files::{Files, Reader};
use crate::scenario::{SCENARIO_VERSION, Scenario};

/// Checks everything, and reads the files that the scenario names. Values that are already known to be invalid get no
/// further messages. Sets the length of request data.
pub(crate) fn scenario(scenario: &mut Scenario, map: &Map, reader: Reader) -> (Vec<Diagnostic>, Files) {
    let mut findings = Findings { map, found: Vec::new(), reader };
    head(scenario, &mut findings);
    for (name, load) in &mut scenario.load {
        load.cycle = load::check(&format!("load.{name}"), load, &mut findings);
    }
    let scenario = &*scenario;
    phase::of_loads(scenario, &mut findings);
    pace::check(scenario, &mut findings);
    phase::check(scenario, &mut findings);
    expect::check(scenario, &mut findings);
    safety::check(scenario, &mut findings);
    certain::check(scenario, &mut findings);
    (findings.found, findings.reader.files)
}

fn head(scenario: &Scenario, findings: &mut Findings<'_>) {
    if scenario.version != SCENARIO_VERSION {
        findings.push(
            "version",
            Diagnostic::error(Code::Version, format!("this program reads version 1, not {}", scenario.version))
                .help("write `version: 1`, or use a newer shakedown"),
        );
    }
    name(&scenario.name, "name", "name", findings);
    for (index, tag) in scenario.tags.iter().enumerate() {
        name(tag, "tag", &format!("tags[{index}]"), findings);
    }
    if let Some(namespace) = &scenario.namespace {
        dns_label(namespace, "namespace", "namespace", findings);
    }
    if scenario.load.is_empty() {
        findings.push(
            "load",
            Diagnostic::error(Code::NothingThere, "the scenario has no load: a verdict needs requests")
                .help("write `load: {main: {http: {service: \"shop:80\"}, rate: 20/s}}`"),
        );
    }
    if scenario.phases.is_empty() {
        findings.push(
            "phases",
            Diagnostic::error(Code::NothingThere, "the scenario has no phase")
                .help("write `phases: [{name: baseline, duration: 30s}]`"),
        );
    }
    for load in scenario.load.keys() {
        key_name(load, "load", &format!("load.{load}"), findings);
    }
}
