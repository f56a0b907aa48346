//! A plan in words: the targets, the timeline, and every object that would be created.

use std::fmt::Write;

use shakedown_schemas::Document;
use shakedown_schemas::scenario::{FaultInfo, Model, Scenario};
use shakedown_schemas::units::Duration;

use super::Plan;
use shakedown_cluster::Cluster;
use shakedown_faults::FaultPlan;
use shakedown_faults::effect::Wanted;
use shakedown_guard::fuse;

/// The plan as text, for people.
pub fn show(document: &Document, plan: &Plan, cluster: Option<&Cluster>, seed: u64) -> String {
    let mut out = String::new();
    let scenario = &document.scenario;
    _ = writeln!(out, "scenario {} ({})", scenario.name, document.file);
    if let Some(cluster) = cluster {
        let info = cluster.info();
        let what = if info.sandbox { "the sandbox" } else { info.context.as_deref().unwrap_or("in-cluster") };
        _ = writeln!(out, "cluster  {what}, {} ({}), namespace {}", info.server, info.version, plan.namespace);
    }
    _ = writeln!(out, "seed     {seed}\n\nload");
    for load in &plan.load_infos {
        _ = writeln!(out, "  {}: {} to {}", load.name, load.schedule, load.reached());
    }
    timeline(&mut out, scenario, plan);
    for (fault, _) in &plan.faults {
        targets(&mut out, fault);
    }
    if !plan.faults.is_empty() {
        out.push_str("\nobjects that will be created, and deleted again\n");
        for job in &plan.fuses {
            _ = writeln!(out, "---\n{}", shakedown_reports::to_yaml(&fuse::record(job).manifest).trim_end());
        }
        let mut shown = Vec::new();
        for object in plan.faults.iter().flat_map(|(fault, _)| &fault.objects) {
            // Partitions that begin together on the same pods begin with the same policy.
            if shown.contains(&object) {
                continue;
            }
            shown.push(object);
            _ = writeln!(out, "---\n{}", shakedown_reports::to_yaml(&object.manifest).trim_end());
        }
    }
    out.push('\n');
    out
}

fn timeline(out: &mut String, scenario: &Scenario, plan: &Plan) {
    out.push_str("\ntimeline\n");
    let mut at = std::time::Duration::ZERO;
    for (index, phase) in scenario.phases.iter().enumerate() {
        let settle =
            if phase.settle.is_zero() { String::new() } else { format!(", the first {} not judged", phase.settle) };
        _ = writeln!(out, "  {:>7}  {} for {}{settle}", Duration::from(at).to_string(), phase.name, phase.duration);
        for name in scenario.load.keys() {
            if let Some(words) = pace(scenario, name, index) {
                _ = writeln!(out, "             load {name}: {words}");
            }
        }
        for (fault, _) in plan.faults.iter().filter(|(fault, _)| fault.phase == index) {
            let until = match fault.lasts {
                Some(lasts) => format!("for {}", Duration::from(lasts)),
                None => "until the phase ends".to_owned(),
            };
            let begin = Duration::from(at + fault.after).to_string();
            _ = writeln!(out, "  {begin:>7}    inject {} ({}, {}) {until}", fault.name, fault.kind, fault.engine);
        }
        for expectation in &phase.expect {
            let text = serde_json::to_string(expectation).unwrap_or_default();
            _ = writeln!(out, "             expect {}", text.replace('"', "").replace(':', ": ").replace(',', ", "));
        }
        at += phase.duration.get();
    }
    _ = writeln!(out, "  {:>7}  end", Duration::from(at).to_string());
}

/// The pace of a load in a phase, where it is not simply the load's own constant one.
fn pace(scenario: &Scenario, load: &str, index: usize) -> Option<String> {
    let phase = &scenario.phases[index];
    let model = scenario.model(load, index)?;
    match &model {
        Model::Open(pace) if pace.changes() || phase.load.contains_key(load) => {
            let requests = pace.requests(phase.duration, phase.duration.as_secs_f64());
            Some(format!("{pace}, {requests:.0} requests"))
        }
        Model::Closed(_) if phase.load.contains_key(load) => Some(model.to_string()),
        _ => None,
    }
}

fn targets(out: &mut String, fault: &FaultPlan) {
    _ = writeln!(out, "\nfault {}: {}", fault.name, fault.description);
    for pod in &fault.targets {
        _ = writeln!(out, "  target {}/{}  uid {}", pod.namespace, pod.name, pod.uid);
    }
    for peer in &fault.peers {
        _ = writeln!(out, "  peer   {peer}");
    }
    let own_word = fault.engine == "chaos-mesh" && fault.effect == Wanted::Applied;
    if own_word {
        let more = FaultInfo::of(fault.kind).map_or("", |info| info.facts.confirmed_by);
        _ = writeln!(out, "  proof  Chaos Mesh's status: injected on exactly these pods{more}");
    } else {
        _ = writeln!(out, "  proof  {}", fault.effect);
    }
    for mark in &fault.marks {
        _ = writeln!(out, "  {mark}");
    }
}
