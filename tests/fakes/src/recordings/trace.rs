//! What an object of Chaos Mesh goes through: the order of what follows from each other, and nothing of what does not. Two
//! pods' daemons, for one, answer in any order. With it, the models of Chaos Mesh are compared with the recordings of a real one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Recorded;

/// What an object goes through, part by part.
#[derive(Debug, Default, PartialEq)]
pub struct Trace {
    /// When something was there for the first time, in this order. What came with one write is joined by `+`.
    pub milestones: Vec<String>,
    /// The phases of each end, with how often it was injected and recovered, and the last operation.
    pub records: BTreeMap<String, Vec<String>>,
    /// The values of each condition.
    pub conditions: BTreeMap<String, Vec<String>>,
    /// The rules of each end's pod, and whether the daemon has answered for them.
    pub rules: BTreeMap<String, Vec<String>>,
    /// What was said, by kind.
    pub events: BTreeSet<String>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn push(list: &mut Vec<String>, value: String) {
    if list.last() != Some(&value) {
        list.push(value);
    }
}

fn shape(rule: &Value) -> String {
    let keys = rule.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let keys: BTreeSet<String> = keys
        .map(|(key, value)| match key.as_str() {
            "type" | "ipsetType" | "direction" => format!("{key}={}", value.as_str().unwrap_or_default()),
            _ => key.clone(),
        })
        .collect();
    keys.into_iter().collect::<Vec<_>>().join(",")
}

impl Trace {
    /// The trace of the resource with this name.
    pub fn of(events: &[Recorded], name: &str) -> Self {
        let (mut trace, mut seen) = (Self::default(), BTreeSet::new());
        // Which end a pod is, by its name.
        let mut ends: BTreeMap<&str, &str> = BTreeMap::new();
        for event in events.iter().filter(|event| event.name == name && event.kind != "Event") {
            for record in list(&event.object, "/status/experiment/containerRecords") {
                ends.insert(text(record, "/id").split('/').nth(1).unwrap_or_default(), text(record, "/selectorKey"));
            }
        }
        for event in events {
            let is_gone = event.change == "DELETED";
            match event.kind.as_str() {
                "Event" if !is_gone => trace.said(&event.object, name),
                "PodNetworkChaos" if !is_gone => {
                    if let Some(end) = ends.get(event.name.as_str()) {
                        trace.network(end, &event.object, name);
                    }
                }
                _ if event.name == name => trace.step(&mut seen, (!is_gone).then_some(&event.object)),
                _ => {}
            }
        }
        trace
    }

    /// Without what the pods' rules were before the fault: that is not the fault's.
    pub fn since_the_fault(mut self) -> Self {
        for rules in self.rules.values_mut() {
            while rules.first().is_some_and(|first| first.starts_with("ipsets[] iptables[] tcs[]")) {
                rules.remove(0);
            }
        }
        self.rules.retain(|_, rules| !rules.is_empty());
        self
    }

    fn said(&mut self, event: &Value, name: &str) {
        let about = text(event, "/involvedObject/kind");
        // A race between two writers, which a single one does not have.
        let race = text(event, "/message").starts_with("Failed to update conditions");
        let ours = text(event, "/involvedObject/name") == name || about == "PodNetworkChaos";
        if ours && !race {
            let message = text(event, "/message").split(" for ").next().unwrap_or_default();
            self.events.insert(format!("{about} {}: {message}", text(event, "/reason")));
        }
    }

    fn network(&mut self, end: &str, network: &Value, name: &str) {
        let ours = |rules: &str| -> String {
            let all = list(network, &format!("/spec/{rules}")).iter();
            let ours = all.filter(|rule| text(rule, "/source").ends_with(name));
            format!("{rules}[{}]", ours.map(shape).collect::<Vec<_>>().join(" | "))
        };
        let answered = network["status"]["observedGeneration"] == network["metadata"]["generation"];
        let rules = ["ipsets", "iptables", "tcs"].map(ours).join(" ");
        let failed = if text(network, "/status/failedMessage").is_empty() { "" } else { " failed" };
        push(self.rules.entry(end.to_owned()).or_default(), format!("{rules} answered={answered}{failed}"));
    }

    /// One event of the resource; none once it is gone.
    fn step(&mut self, seen: &mut BTreeSet<String>, object: Option<&Value>) {
        let Some(object) = object else {
            self.milestones.push("gone".to_owned());
            return;
        };
        let records = list(object, "/status/experiment/containerRecords");
        let all = |phase: &str| !records.is_empty() && records.iter().all(|record| record["phase"] == phase);
        let conditions = list(object, "/status/conditions");
        let condition = |kind: &str| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
        let desired = text(object, "/status/experiment/desiredPhase");
        let was = |what: &str| seen.contains(what);
        let facts = [
            ("finalizer", list(object, "/metadata/finalizers").iter().any(|it| it == "chaos-mesh/records")),
            ("Run", desired == "Run"),
            ("conditions", !conditions.is_empty()),
            ("records", !records.is_empty()),
            ("all Injected", all("Injected")),
            ("Selected", condition("Selected")),
            ("AllInjected", condition("AllInjected")),
            ("deleted", !object["metadata"]["deletionTimestamp"].is_null()),
            ("Stop", desired == "Stop"),
            ("all Injected/Wait", all("Injected/Wait")),
            ("AllInjected ends", was("AllInjected") && !condition("AllInjected")),
            ("all Not Injected", was("Stop") && all("Not Injected")),
        ];
        let now: Vec<&str> =
            facts.into_iter().filter(|(what, is_so)| *is_so && !seen.contains(*what)).map(|(what, _)| what).collect();
        seen.extend(now.iter().map(|what| (*what).to_owned()));
        if !now.is_empty() {
            self.milestones.push(now.join(" + "));
        }
        for record in records {
            let last = list(record, "/events").last();
            let last = last.map(|it| format!("{} {}", text(it, "/operation"), text(it, "/type")));
            let counts = format!("{}/{}", record["injectedCount"], record["recoveredCount"]);
            let line = format!("{} {counts} {}", text(record, "/phase"), last.unwrap_or_default());
            push(self.records.entry(text(record, "/selectorKey").to_owned()).or_default(), line);
        }
        for it in conditions {
            let values = self.conditions.entry(text(it, "/type").to_owned()).or_default();
            push(values, text(it, "/status").to_owned());
        }
    }
}
