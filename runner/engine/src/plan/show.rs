//! A plan as text: the targets, the timeline, and every object that would be created.

use std::fmt::Write;

use shakedown_schemas::scenario::FaultInfo;
use shakedown_schemas::units::Duration;

use super::spec::{FaultSpec, Plan};
use shakedown_faults::chaos::in_words;
use shakedown_faults::effect::RequiredProof;

/// The plan as text, for `shakedown plan`.
pub fn show(plan: &Plan) -> String {
    let mut out = String::new();
    _ = writeln!(out, "scenario {} ({})", plan.scenario, plan.file);
    if let Some(cluster) = &plan.cluster {
        let (name, server, version) = (cluster.name(), &cluster.server, &cluster.version);
        _ = writeln!(out, "cluster  {name}, {server} ({version}), namespace {}", plan.namespace);
    }
    _ = writeln!(out, "seed     {}\n\nload", plan.seed);
    for load in &plan.loads {
        _ = writeln!(out, "  {}: {} to {}", load.name, load.schedule, load.info().reached());
    }
    timeline(&mut out, plan);
    for fault in &plan.faults {
        targets(&mut out, fault);
    }
    canaries(&mut out, plan);
    if !plan.faults.is_empty() {
        out.push_str("\nobjects that will be created, and deleted again\n");
        for job in &plan.fuses {
            _ = writeln!(out, "---\n{}", shakedown_reports::to_yaml(job).trim_end());
        }
        let mut shown = Vec::new();
        for object in plan.faults.iter().flat_map(|fault| &fault.plan.objects) {
            // Partitions that begin together on the same pods share their first policy.
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

fn timeline(out: &mut String, plan: &Plan) {
    out.push_str("\ntimeline\n");
    let text = |duration: std::time::Duration| Duration::from(duration).to_string();
    for (index, phase) in plan.phases.iter().enumerate() {
        let settle = match phase.settle.is_zero() {
            true => String::new(),
            false => format!(", the first {} not judged", text(phase.settle)),
        };
        _ = writeln!(out, "  {:>7}  {} for {}{settle}", text(phase.at), phase.name, text(phase.lasts));
        for (name, pace) in &phase.loads {
            _ = writeln!(out, "             load {name}: {pace}");
        }
        for fault in plan.faults.iter().map(|fault| &fault.plan).filter(|fault| fault.phase == index) {
            let until = match fault.lasts {
                Some(lasts) => format!("for {}", text(lasts)),
                None => "until the phase ends".to_owned(),
            };
            let begin = text(phase.at + fault.after);
            _ = writeln!(out, "  {begin:>7}    inject {} ({}, {}) {until}", fault.name, fault.kind, fault.engine);
        }
        for expectation in &phase.expect {
            let text = serde_json::to_string(expectation).unwrap_or_default();
            _ = writeln!(out, "             expect {}", text.replace('"', "").replace(':', ": ").replace(',', ", "));
        }
    }
    let end = plan.phases.last().map_or_else(Default::default, |phase| phase.at + phase.lasts);
    _ = writeln!(out, "  {:>7}  end", text(end));
}

fn canaries(out: &mut String, plan: &Plan) {
    if plan.canaries.is_empty() {
        return;
    }
    let image = plan.canary_image.as_ref();
    let how = image.map_or(
        super::NO_CANARY,
        |_| "before the load, for nodes whose abilities are not known; without an answer the run continues",
    );
    _ = writeln!(out, "\ncanaries ({how})");
    for trial in &plan.canaries {
        let (what, node) = (in_words(&trial.abilities), &trial.node);
        _ = writeln!(out, "  {what} on node {node}, in a canary pod in namespace {}", trial.namespace);
    }
}

fn targets(out: &mut String, fault: &FaultSpec) {
    let fault = &fault.plan;
    _ = writeln!(out, "\nfault {}: {}", fault.name, fault.description);
    for pod in &fault.targets {
        _ = writeln!(out, "  target {}/{}  uid {}", pod.namespace, pod.name, pod.uid);
    }
    for peer in &fault.peers {
        _ = writeln!(out, "  peer   {peer}");
    }
    let is_observed = matches!(fault.effect, RequiredProof::Observed { .. });
    if fault.engine == "chaos-mesh" && (fault.effect == RequiredProof::Applied || is_observed) {
        let info = FaultInfo::of(fault.kind);
        let more = info.map_or("", |info| info.facts.confirmed_by);
        _ = writeln!(out, "  proof  Chaos Mesh's status: injected on exactly these pods{more}");
        if let Some(info) = info.filter(|info| is_observed && info.is_claimed()) {
            let seen = match info.facts.observed_by {
                "" => String::new(),
                by => format!("{by}, or "),
            };
            let otherwise = match fault.effect {
                RequiredProof::Observed { required: true } => "inconclusive",
                _ => "claimed, not proven",
            };
            _ = writeln!(out, "         and {seen}a change in the run's own requests; without it {otherwise}");
        }
    } else {
        _ = writeln!(out, "  proof  {}", fault.effect);
    }
    for mark in &fault.marks {
        _ = writeln!(out, "  {mark}");
    }
}
