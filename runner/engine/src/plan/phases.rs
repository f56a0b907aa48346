//! The timeline of a plan. Pure.

use std::time::Duration;

use shakedown_schemas::Document;
use shakedown_schemas::scenario::{Model, Scenario};

use super::spec::PhaseSpec;

/// The phases of a scenario, in order.
pub(super) fn plan(document: &Document) -> Vec<PhaseSpec> {
    let scenario = &document.scenario;
    let mut at = Duration::ZERO;
    let spec = |(index, phase): (usize, &shakedown_schemas::scenario::Phase)| {
        let begin = at;
        at += phase.duration.get();
        PhaseSpec {
            name: phase.name.clone(),
            line: document.line(&format!("phases[{index}]")),
            at: begin,
            lasts: phase.duration.get(),
            settle: phase.settle.get(),
            loads: scenario.load.keys().filter_map(|load| Some((load.clone(), pace(scenario, load, index)?))).collect(),
            expect: phase.expect.clone(),
        }
    };
    scenario.phases.iter().enumerate().map(spec).collect()
}

/// The pace of a load in a phase; `None` when it is the load's own constant pace.
fn pace(scenario: &Scenario, load: &str, index: usize) -> Option<String> {
    let phase = &scenario.phases[index];
    let model = scenario.model(load, index)?;
    match &model {
        Model::Open(pace) if pace.changes() || phase.load.contains_key(load) => {
            let requests = pace.requests(phase.duration, phase.duration.as_secs_f64());
            Some(format!("{pace}, {requests:.0} requests"))
        }
        Model::Closed(workers) if workers.changes() || phase.load.contains_key(load) => Some(model.to_string()),
        _ => None,
    }
}
