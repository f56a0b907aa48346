//! Visits every text of a result, each once. `tame` and `redact` define the changes.
//!
//! A new text field in the result needs a line here. A test in `tame` finds a missing one.

use indexmap::IndexMap;
use serde_json::Value;
use shakedown_schemas::event::{Event, EventKind};
use shakedown_schemas::result::{
    ExpectationResult, FailureSample, FaultResult, LoadSeries, NotRun, PhaseResult, Recovery, RunDigest, RunInfo,
    RunResult, ScenarioResult, ShardRun, Stats,
};

use crate::text::{ERROR, NAME, SENTENCE, SOURCE};

/// A change of a text. The number is the most characters of it that a report shows.
pub(crate) type Change<'a> = &'a mut dyn FnMut(&mut String, usize);

/// Changes every text of a result.
pub(crate) fn of_result(it: &mut RunResult, change: Change<'_>) {
    of_run(&mut it.run, change);
    it.events.iter_mut().for_each(|event| of_event(event, change));
    for NotRun { name, file, reason } in &mut it.not_run {
        change(name, NAME);
        change(file, NAME);
        change(reason, SENTENCE);
    }
    it.scenarios.iter_mut().for_each(|it| scenario(it, change));
}

/// Changes every text of a digest.
pub(crate) fn of_digest(it: &mut RunDigest, change: Change<'_>) {
    of_run(&mut it.run, change);
    for scenario in &mut it.scenarios {
        change(&mut scenario.name, NAME);
        change(&mut scenario.file, NAME);
        change(&mut scenario.reason, SENTENCE);
        of_shard_run(scenario.shard_run.as_mut(), change);
        scenario.expectations.iter_mut().for_each(|it| expectation(it, change));
    }
}

fn of_run(run: &mut RunInfo, change: Change<'_>) {
    for text in [&mut run.id, &mut run.tool_version, &mut run.host] {
        change(text, NAME);
    }
    for text in [&mut run.git_sha, &mut run.ci_job_url, &mut run.interrupted].into_iter().flatten() {
        change(text, NAME);
    }
    run.command.iter_mut().for_each(|word| change(word, SENTENCE));
}

fn of_shard_run(run: Option<&mut ShardRun>, change: Change<'_>) {
    if let Some(run) = run {
        change(&mut run.id, NAME);
        run.command.iter_mut().for_each(|word| change(word, SENTENCE));
    }
}

fn scenario(it: &mut ScenarioResult, change: Change<'_>) {
    for text in [&mut it.name, &mut it.file, &mut it.namespace] {
        change(text, NAME);
    }
    if let Some(text) = &mut it.description {
        change(text, SENTENCE);
    }
    change(&mut it.reason, SENTENCE);
    of_shard_run(it.shard_run.as_mut(), change);
    it.attempts.iter_mut().for_each(|attempt| change(&mut attempt.reason, SENTENCE));
    it.tags.iter_mut().for_each(|tag| change(tag, NAME));
    if let Some(cluster) = &mut it.cluster {
        change(&mut cluster.server, NAME);
        change(&mut cluster.version, NAME);
        for text in [&mut cluster.context, &mut cluster.topology].into_iter().flatten() {
            change(text, NAME);
        }
    }
    keys(&mut it.vars, change);
    it.vars.values_mut().for_each(|value| of_value(value, change));
    keys(&mut it.matrix, change);
    it.matrix.values_mut().for_each(|value| of_value(value, change));
    change(&mut it.source, SOURCE);
    of_value(&mut it.resolved, change);
    for load in &mut it.loads {
        for text in
            [&mut load.name, &mut load.kind, &mut load.target, &mut load.schedule, &mut load.reach, &mut load.address]
        {
            change(text, NAME);
        }
        change(&mut load.service, NAME);
        load.addresses.iter_mut().for_each(|it| change(&mut it.address, NAME));
        load.requests.iter_mut().for_each(|request| change(&mut request.name, NAME));
        change(&mut load.group_by, NAME);
    }
    it.phases.iter_mut().for_each(|it| phase(it, change));
    it.faults.iter_mut().for_each(|it| fault(it, change));
    it.expectations.iter_mut().for_each(|it| expectation(it, change));
    it.series.iter_mut().for_each(|it| series(it, change));
    for Recovery { load, phase, next_faults, .. } in &mut it.recoveries {
        change(load, NAME);
        change(phase, NAME);
        next_faults.iter_mut().for_each(|name| change(name, NAME));
    }
    it.errors.iter_mut().for_each(|text| change(text, ERROR));
    it.warnings.iter_mut().for_each(|text| change(text, SENTENCE));
    for leftover in &mut it.leftovers {
        for text in [&mut leftover.what, &mut leftover.command, &mut leftover.error] {
            change(text, SENTENCE);
        }
    }
    diagnostics(it, change);
    it.events.iter_mut().for_each(|it| of_event(it, change));
}

fn diagnostics(it: &mut ScenarioResult, change: Change<'_>) {
    for event in &mut it.pod_events {
        for text in [&mut event.namespace, &mut event.pod, &mut event.reason] {
            change(text, NAME);
        }
        change(&mut event.detail, SENTENCE);
    }
    for excerpt in &mut it.logs {
        for text in [&mut excerpt.namespace, &mut excerpt.pod, &mut excerpt.container, &mut excerpt.around] {
            change(text, NAME);
        }
        excerpt.lines.iter_mut().for_each(|line| change(&mut line.text, SENTENCE));
        if let Some(text) = &mut excerpt.missing {
            change(text, SENTENCE);
        }
    }
}

fn phase(it: &mut PhaseResult, change: Change<'_>) {
    change(&mut it.name, NAME);
    for load in &mut it.loads {
        change(&mut load.load, NAME);
        if let Some(generator) = &mut load.generator {
            change(&mut generator.pace, NAME);
        }
        let Stats { errors, failed_after, .. } = &mut load.stats;
        keys(errors, change);
        keys(failed_after, change);
        for group in &mut load.around {
            keys(&mut group.stats.errors, change);
            keys(&mut group.stats.failed_after, change);
        }
        load.samples.iter_mut().for_each(|it| sample(it, change));
        for part in load.steps.iter_mut().chain(&mut load.groups) {
            change(&mut part.name, NAME);
            change(&mut part.matches, NAME);
            keys(&mut part.stats.errors, change);
            keys(&mut part.stats.failed_after, change);
        }
        // The base64 histogram is decoded, never shown.
    }
}

fn sample(it: &mut FailureSample, change: Change<'_>) {
    change(&mut it.failure, NAME);
    change(&mut it.request, NAME);
    keys(&mut it.headers, change);
    it.headers.values_mut().for_each(|text| change(text, SENTENCE));
    change(&mut it.body, SENTENCE);
    change(&mut it.cause, SENTENCE);
}

fn series(it: &mut LoadSeries, change: Change<'_>) {
    change(&mut it.load, NAME);
    for point in &mut it.points {
        keys(&mut point.errors, change);
    }
}

fn fault(it: &mut FaultResult, change: Change<'_>) {
    for text in [&mut it.name, &mut it.phase, &mut it.kind, &mut it.engine] {
        change(text, NAME);
    }
    change(&mut it.description, SENTENCE);
    for text in [&mut it.problem, &mut it.claimed_because].into_iter().flatten() {
        change(text, SENTENCE);
    }
    for measured in &mut it.measured {
        change(&mut measured.of, NAME);
        change(&mut measured.source, NAME);
    }
    for pod in &mut it.targets {
        for text in [&mut pod.namespace, &mut pod.name, &mut pod.uid] {
            change(text, NAME);
        }
        for text in [&mut pod.node, &mut pod.ip].into_iter().flatten() {
            change(text, NAME);
        }
    }
    it.peers.iter_mut().for_each(|text| change(text, SENTENCE));
    for object in &mut it.objects {
        for text in [&mut object.api_version, &mut object.kind, &mut object.namespace, &mut object.name] {
            change(text, NAME);
        }
        of_value(&mut object.manifest, change);
    }
    it.evidence.iter_mut().for_each(|evidence| change(&mut evidence.detail, SENTENCE));
}

fn expectation(it: &mut ExpectationResult, change: Change<'_>) {
    for text in [&mut it.phase, &mut it.load, &mut it.kind, &mut it.title, &mut it.observed_text, &mut it.limit_text] {
        change(text, NAME);
    }
    if let Some(measure) = &mut it.measure {
        change(&mut measure.subject, NAME);
        change(&mut measure.condition, NAME);
        if let Some(to) = &mut measure.to {
            change(to, NAME);
        }
    }
    change(&mut it.reason, SENTENCE);
    keys(&mut it.terms, change);
    it.terms.values_mut().for_each(|text| change(text, NAME));
}

/// Changes every text of an event.
pub(crate) fn of_event(it: &mut Event, change: Change<'_>) {
    if let Some(text) = &mut it.scenario {
        change(text, NAME);
    }
    match &mut it.kind {
        EventKind::RunStarted { run, .. } => change(run, NAME),
        EventKind::ScenarioStarted { file } => change(file, NAME),
        EventKind::Reached { load, how } => {
            change(load, NAME);
            change(how, SENTENCE);
        }
        EventKind::TargetsChosen { fault, pods } => {
            change(fault, NAME);
            pods.iter_mut().for_each(|pod| change(pod, NAME));
        }
        EventKind::PhaseStarted { phase, .. } | EventKind::PhaseEnded { phase } => change(phase, NAME),
        EventKind::Fault { fault, detail, .. } => {
            change(fault, NAME);
            change(detail, SENTENCE);
        }
        EventKind::Cluster { message } | EventKind::Warning { message } => change(message, SENTENCE),
        EventKind::Error { message } => change(message, ERROR),
        EventKind::ApiRetry { request, error, .. } => {
            change(request, SENTENCE);
            change(error, SENTENCE);
        }
        EventKind::Interrupted { signal } => change(signal, NAME),
        EventKind::ScenarioEnded { reason, .. } => change(reason, SENTENCE),
        EventKind::LoadStarted | EventKind::RunEnded { .. } => {}
    }
}

/// Changes the keys of a map and keeps its order. Of keys that become equal, the last value remains.
fn keys<V>(map: &mut IndexMap<String, V>, change: Change<'_>) {
    *map = std::mem::take(map)
        .into_iter()
        .map(|(mut key, value)| {
            change(&mut key, NAME);
            (key, value)
        })
        .collect();
}

/// Changes every text of a JSON value.
pub(crate) fn of_value(value: &mut Value, change: Change<'_>) {
    match value {
        Value::String(text) => change(text, SENTENCE),
        Value::Array(list) => list.iter_mut().for_each(|item| of_value(item, change)),
        Value::Object(map) => {
            *map = std::mem::take(map)
                .into_iter()
                .map(|(mut key, mut value)| {
                    of_value(&mut value, change);
                    change(&mut key, NAME);
                    (key, value)
                })
                .collect();
        }
        // A secret of digits may have been parsed as a number.
        Value::Number(number) => {
            let plain = number.to_string();
            let mut text = plain.clone();
            change(&mut text, NAME);
            if text != plain {
                *value = Value::String(text);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
