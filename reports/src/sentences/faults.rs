//! Faults in words: their action and targets, their proof and their undo.

use std::cmp::Ordering;

use serde_json::Value;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::first_few;
use shakedown_schemas::result::{FaultResult, Measured, ScenarioResult, UnprovenStretch, Verdict};
use shakedown_schemas::scenario::{FaultEngine, FaultInfo};
use shakedown_schemas::words;

use super::values::{pods, variable};

/// The most stretches without proof that are listed.
const SHOWN: usize = 5;

/// A fault in one line: its kind, targets, peers and settings.
pub fn fault(scenario: &ScenarioResult, it: &FaultResult) -> String {
    let peers = first_few(&it.peers, 2);
    let targets = pods(&it.targets, 2);
    let kind = it.kind.replace('_', " ");
    let mut text = match (FaultInfo::of(&it.kind), peers.is_empty()) {
        (Some(info), false) => format!("{kind} {}", (info.facts.link)(&targets, &peers)),
        (None, false) => format!("{kind} of {targets} with {peers}"),
        (_, true) => format!("{kind} of {targets}"),
    };
    let settings = settings(scenario, it);
    if !settings.is_empty() {
        text.push_str(&format!(": {}", settings.join(", ")));
    }
    text
}

/// The settings of a fault in the file: `loss 20%`, `cpu workers 2`.
fn settings(scenario: &ScenarioResult, it: &FaultResult) -> Vec<String> {
    let phases = scenario.resolved["phases"].as_array().into_iter().flatten();
    let asked = phases.filter(|phase| phase["name"] == *it.phase).find_map(|phase| {
        let faults = phase["faults"].as_object()?;
        faults.get(&it.name)?.get(&it.kind)
    });
    let mut list = Vec::new();
    for (key, value) in asked.and_then(Value::as_object).into_iter().flatten() {
        if FaultInfo::of(&it.kind).is_none_or(|info| info.is_setting(key)) {
            setting(&mut list, &key.replace('_', " "), value);
        }
    }
    list.truncate(8);
    list
}

fn setting(list: &mut Vec<String>, name: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| setting(list, &format!("{name} {}", key.replace('_', " ")), value));
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(variable).collect();
            list.push(format!("{name} {}", items.join(" ")));
        }
        Value::Bool(true) => list.push(name.to_owned()),
        Value::Bool(false) | Value::Null => {}
        value => list.push(format!("{name} {}", variable(value))),
    }
}

/// Whether and when a fault was injected and proven, and the observed amounts.
pub fn injection(it: &FaultResult) -> String {
    let said = match (it.proven_s.or(it.claimed_s), it.injecting_s) {
        (Some(at), _) if it.is_claimed() && it.engine == FaultEngine::NetworkPolicy => {
            format!("applied at {}, not proven", words::moment(at))
        }
        (Some(at), _) if it.is_claimed() => {
            format!("claimed by {} at {}, not proven", engine(it), words::moment(at))
        }
        (Some(at), _) if it.injection == Verdict::Pass => format!("proven at {}", words::moment(at)),
        (Some(at), _) => format!("not proven for its whole duration, observed to act at {}", words::moment(at)),
        (None, Some(_)) => "not proven".to_owned(),
        (None, None) => "never injected".to_owned(),
    };
    said + &amounts(it)
}

/// The most amounts that are written into one sentence. The report has all of them.
const AMOUNTS: usize = 4;

/// The observed amounts of a fault, in brackets. Empty without any. The least comes first.
pub fn amounts(it: &FaultResult) -> String {
    let mut all: Vec<&Measured> = it.measured.iter().collect();
    let share = |it: &Measured| if it.asked == 0.0 { 1.0 } else { it.seen / it.asked };
    all.sort_by(|a, b| (a.is_enough, share(a)).partial_cmp(&(b.is_enough, share(b))).unwrap_or(Ordering::Equal));
    let mut texts: Vec<String> = Vec::new();
    for measured in all {
        let text = measured.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let more = texts.len().saturating_sub(AMOUNTS);
    texts.truncate(AMOUNTS);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join("; ")) }
}

/// The stretches in which it was not known to act on everything, in words; empty without any.
pub fn unproven(it: &FaultResult) -> String {
    let one = |stretch: &UnprovenStretch| {
        format!("{} to {}: {}", words::moment(stretch.from_s), words::moment(stretch.to_s), stretch.why)
    };
    let shown: Vec<String> = it.unproven.iter().take(SHOWN).map(one).collect();
    match it.unproven.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// The display name of the engine.
const fn engine(it: &FaultResult) -> &'static str {
    match it.engine {
        FaultEngine::ChaosMesh => "Chaos Mesh",
        other @ (FaultEngine::NetworkPolicy | FaultEngine::Kubernetes) => other.name(),
    }
}

/// Whether and when its removal was confirmed.
pub fn undo(it: &FaultResult) -> String {
    match (it.undone_s, it.injecting_s) {
        _ if matches!(it.state, FaultState::NothingToUndo | FaultState::Unclear) => it.state.word().to_owned(),
        (Some(at), _) => format!("undone at {}", words::moment(at)),
        (None, Some(_)) => "removal not confirmed".to_owned(),
        (None, None) if it.undo == Verdict::Pass => "nothing to undo".to_owned(),
        (None, None) => "removal not confirmed".to_owned(),
    }
}

/// The worse of a fault's two verdicts.
pub fn fault_verdict(fault: &FaultResult) -> Verdict {
    fault.injection.max(fault.undo)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_schemas::result::Quantity;

    use super::*;
    use crate::sample;

    #[test]
    fn a_fault_names_its_targets_peers_and_settings() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let it = scenario.faults[0].clone();
        let peer = "service nats (10.43.7.12:4222; pod nats-0 10.42.0.9)";
        let pod = "vllm-agg-0-vllmdecodeworker-7c9f8-x2k4p";
        assert_eq!(fault(&scenario, &it), format!("partition of {pod} from {peer}"));
        for (kind, peers, asked, text) in [
            (
                "netem",
                true,
                json!({"pods": {"prefix": "x"}, "to": [], "loss": "20%", "delay": "50ms", "follow": true}),
                format!("netem between {pod} and {peer}: loss 20%, delay 50ms"),
            ),
            (
                "stress",
                false,
                json!({"cpu": {"workers": 2, "load": "100%"}, "containers": ["a", "b"]}),
                format!("stress of {pod}: cpu workers 2, cpu load 100%, containers a b"),
            ),
            ("pod_kill", false, json!({"grace_period": "0s"}), format!("pod kill of {pod}: grace period 0s")),
            ("http", false, json!({"abort": true, "port": 80}), format!("http of {pod}: abort, port 80")),
        ] {
            let mut it = FaultResult { kind: kind.to_owned(), ..it.clone() };
            it.peers.truncate(usize::from(peers));
            scenario.resolved["phases"][0]["faults"] = json!({"nats-cut": {kind: asked}});
            assert_eq!(fault(&scenario, &it), text);
        }
    }

    #[test]
    fn what_was_seen_of_an_amount_is_told_with_the_proof() {
        let mut it = sample::passing().scenarios[0].faults[0].clone();
        let measured = |of: &str, what, asked, seen, is_enough| Measured {
            of: of.to_owned(),
            what,
            asked,
            seen,
            is_enough,
            source: "the metrics API".to_owned(),
        };
        it.measured = vec![
            measured("shop/a/web", Quantity::Cpu, 1.0, 0.98, true),
            measured("shop/b/web", Quantity::Memory, 128e6, 125e6, true),
            measured("shop/c/web", Quantity::Memory, 400e6, 3e6, false),
            measured("shop/d/web", Quantity::Memory, 128e6, 125.1e6, true),
        ];
        let said = "proven at 30.8s (asked 400 MB, seen 3 MB; asked 128 MB, seen 125 MB; asked 1 core, seen 0.98)";
        assert_eq!(injection(&it), said);
    }

    #[test]
    fn stretches_without_proof_are_listed_up_to_a_limit() {
        let mut it = sample::passing().scenarios[0].faults[0].clone();
        assert_eq!(unproven(&it), "");
        let stretch = |from_s: f64| UnprovenStretch {
            from_s,
            to_s: from_s + 0.5,
            why: "pod w-1 is new".to_owned(),
            target: None,
        };
        it.unproven = vec![stretch(40.0), stretch(50.0)];
        assert_eq!(unproven(&it), "40.0s to 40.5s: pod w-1 is new; 50.0s to 50.5s: pod w-1 is new");
        it.unproven = (0..7).map(|at| stretch(f64::from(at))).collect();
        assert!(unproven(&it).ends_with("; and 2 more"), "{}", unproven(&it));
    }

    #[test]
    fn a_fault_that_was_never_injected_has_nothing_to_undo() {
        let mut it = sample::passing().scenarios[0].faults[0].clone();
        assert_eq!((injection(&it), undo(&it)), ("proven at 30.8s".to_owned(), "undone at 1m31.3s".to_owned()));
        it.injection = Verdict::Inconclusive;
        assert_eq!(injection(&it), "not proven for its whole duration, observed to act at 30.8s");
        (it.proven_s, it.undone_s) = (None, None);
        assert_eq!((injection(&it), undo(&it)), ("not proven".to_owned(), "removal not confirmed".to_owned()));
        it.claimed_s = Some(31.0);
        it.engine = FaultEngine::ChaosMesh;
        assert_eq!(injection(&it), "claimed by Chaos Mesh at 31.0s, not proven");
        it.engine = FaultEngine::NetworkPolicy;
        assert_eq!(injection(&it), "applied at 31.0s, not proven");
        it.claimed_s = None;
        it.injecting_s = None;
        assert_eq!((injection(&it), undo(&it)), ("never injected".to_owned(), "nothing to undo".to_owned()));
        it.undo = Verdict::Error;
        assert_eq!(undo(&it), "removal not confirmed");
        // One whose injection was refused.
        (it.injecting_s, it.undone_s, it.undo) = (Some(30.0), Some(30.1), Verdict::Pass);
        for (state, words) in [(FaultState::NothingToUndo, "nothing to undo"), (FaultState::Unclear, "unclear")] {
            it.state = state;
            assert_eq!(undo(&it), words);
        }
    }
}
