//! A copy of a result in which every text is tame: see [`crate::text`]. Every report starts from it, so that none has
//! to remember to.
//!
//! A new text field in the result needs a line here; the test at the end finds one that was forgotten.

use indexmap::IndexMap;
use serde_json::Value;
use shakedown_schemas::event::{Event, EventKind};
use shakedown_schemas::result::{
    ExpectationResult, FaultResult, LoadSeries, PhaseResult, Recovery, RunResult, ScenarioResult, Stats,
};

use crate::text::{NAME, SENTENCE, SOURCE, tame};

/// The result with all its texts tame and bounded.
pub fn tamed(result: &RunResult) -> RunResult {
    let mut out = result.clone();
    let run = &mut out.run;
    for text in [&mut run.id, &mut run.tool_version, &mut run.host] {
        name(text);
    }
    for text in [&mut run.git_sha, &mut run.ci_job_url, &mut run.interrupted].into_iter().flatten() {
        name(text);
    }
    run.command.iter_mut().for_each(sentence);
    out.events.iter_mut().for_each(event);
    out.scenarios.iter_mut().for_each(scenario);
    out
}

fn name(text: &mut String) {
    cut(text, NAME);
}

fn sentence(text: &mut String) {
    cut(text, SENTENCE);
}

fn cut(text: &mut String, limit: usize) {
    if let std::borrow::Cow::Owned(tame) = tame(text, limit) {
        *text = tame;
    }
}

fn scenario(it: &mut ScenarioResult) {
    for text in [&mut it.name, &mut it.file, &mut it.namespace] {
        name(text);
    }
    it.description.as_mut().map(sentence);
    sentence(&mut it.reason);
    it.tags.iter_mut().for_each(name);
    if let Some(cluster) = &mut it.cluster {
        name(&mut cluster.server);
        name(&mut cluster.version);
        cluster.context.as_mut().map(name);
    }
    keys(&mut it.vars);
    it.vars.values_mut().for_each(json);
    cut(&mut it.source, SOURCE);
    for load in &mut it.loads {
        for text in
            [&mut load.name, &mut load.kind, &mut load.target, &mut load.schedule, &mut load.reach, &mut load.address]
        {
            name(text);
        }
    }
    it.phases.iter_mut().for_each(phase);
    it.faults.iter_mut().for_each(fault);
    it.expectations.iter_mut().for_each(expectation);
    it.series.iter_mut().for_each(series);
    for Recovery { load, phase, .. } in &mut it.recoveries {
        name(load);
        name(phase);
    }
    it.errors.iter_mut().for_each(sentence);
    it.warnings.iter_mut().for_each(sentence);
    for leftover in &mut it.leftovers {
        sentence(&mut leftover.what);
        sentence(&mut leftover.command);
        sentence(&mut leftover.error);
    }
    it.events.iter_mut().for_each(event);
}

fn phase(it: &mut PhaseResult) {
    name(&mut it.name);
    for load in &mut it.loads {
        name(&mut load.load);
        let Stats { errors, .. } = &mut load.stats;
        keys(errors);
        // Base64 is decoded, never shown.
    }
}

fn series(it: &mut LoadSeries) {
    name(&mut it.load);
    for point in &mut it.points {
        keys(&mut point.errors);
    }
}

fn fault(it: &mut FaultResult) {
    for text in [&mut it.name, &mut it.phase, &mut it.kind, &mut it.engine] {
        name(text);
    }
    sentence(&mut it.description);
    it.problem.as_mut().map(sentence);
    for pod in &mut it.targets {
        for text in [&mut pod.namespace, &mut pod.name, &mut pod.uid] {
            name(text);
        }
        pod.node.as_mut().map(name);
        pod.ip.as_mut().map(name);
    }
    it.peers.iter_mut().for_each(sentence);
    for object in &mut it.objects {
        for text in [&mut object.api_version, &mut object.kind, &mut object.namespace, &mut object.name] {
            name(text);
        }
        json(&mut object.manifest);
    }
    for evidence in &mut it.evidence {
        sentence(&mut evidence.detail);
    }
}

fn expectation(it: &mut ExpectationResult) {
    for text in [&mut it.phase, &mut it.load, &mut it.kind, &mut it.title, &mut it.observed_text, &mut it.limit_text] {
        name(text);
    }
    sentence(&mut it.reason);
    keys(&mut it.terms);
    it.terms.values_mut().for_each(name);
}

fn event(it: &mut Event) {
    it.scenario.as_mut().map(name);
    match &mut it.kind {
        EventKind::RunStarted { run, .. } => name(run),
        EventKind::ScenarioStarted { file } => name(file),
        EventKind::Reached { load, how } => {
            name(load);
            sentence(how);
        }
        EventKind::TargetsChosen { fault, pods } => {
            name(fault);
            pods.iter_mut().for_each(name);
        }
        EventKind::PhaseStarted { phase, .. } | EventKind::PhaseEnded { phase } => name(phase),
        EventKind::Fault { fault, detail, .. } => {
            name(fault);
            sentence(detail);
        }
        EventKind::Cluster { message } | EventKind::Warning { message } | EventKind::Error { message } => {
            sentence(message);
        }
        EventKind::ApiRetry { request, error, .. } => {
            sentence(request);
            sentence(error);
        }
        EventKind::Interrupted { signal } => name(signal),
        EventKind::ScenarioEnded { reason, .. } => sentence(reason),
        EventKind::LoadStarted | EventKind::RunEnded { .. } => {}
    }
}

/// Tames the keys of a map, keeping its order. Keys that become equal keep the last value.
fn keys<V>(map: &mut IndexMap<String, V>) {
    if map.keys().all(|key| matches!(tame(key, NAME), std::borrow::Cow::Borrowed(_))) {
        return;
    }
    *map = std::mem::take(map).into_iter().map(|(key, value)| (tame(&key, NAME).into_owned(), value)).collect();
}

fn json(value: &mut Value) {
    match value {
        Value::String(text) => sentence(text),
        Value::Array(list) => list.iter_mut().for_each(json),
        Value::Object(map) => {
            *map = std::mem::take(map)
                .into_iter()
                .map(|(key, mut value)| {
                    json(&mut value);
                    (tame(&key, NAME).into_owned(), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn no_text_of_a_hostile_result_stays_wild() {
        let hostile = sample::hostile();
        let wild = serde_json::to_string(&hostile).unwrap();
        assert!(wild.contains("\\u001b[31m") && wild.contains('\u{202e}'), "the sample is hostile");
        let tame = serde_json::to_value(tamed(&hostile)).unwrap();
        assert_all(&tame, "");
    }

    fn assert_all(value: &Value, path: &str) {
        let calm = |text: &str, path: &str| {
            let bad = |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!text.contains(bad), "{path} is wild: {:.60?}", text);
            assert!(text.chars().count() <= SOURCE + 40, "{path} is endless");
        };
        match value {
            Value::String(text) => calm(text, path),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(i, item)| assert_all(item, &format!("{path}[{i}]")))
            }
            // Decoded, never shown.
            Value::Object(map) => map.iter().filter(|(key, _)| *key != "latency_hdr").for_each(|(key, item)| {
                calm(key, path);
                assert_all(item, &format!("{path}.{key:.40}"));
            }),
            _ => {}
        }
    }
}
