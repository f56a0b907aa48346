//! Objects as tables, as `kubectl get` prints them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::partial::metadata;
use crate::clock::Clock;
use crate::custom;
use crate::object;
use crate::resource::Resource;

/// A column: its name, and whether it is only shown with `-o wide`.
type Column = (&'static str, bool);

/// Renders objects of one kind as a `Table`.
pub(super) fn render(resource: &Resource, values: &[&Value], meta: Value, whole: bool, clock: &Clock) -> Value {
    let columns = columns(resource);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, wide)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": "string", "format": format, "description": "", "priority": i32::from(*wide)})
        })
        .collect();
    let rows: Vec<Value> = values
        .iter()
        .map(|value| {
            let cells: Vec<Value> = columns.iter().map(|(name, _)| cell(resource, name, value, clock)).collect();
            let object = if whole { Value::clone(value) } else { metadata(value) };
            json!({"cells": cells, "object": object})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": definitions, "rows": rows})
}

fn columns(resource: &Resource) -> Vec<Column> {
    match custom::of(resource) {
        // As on the real server: no age among the columns that a definition names.
        Some(definition) if !definition.columns.is_empty() => {
            [("Name", false)].into_iter().chain(definition.columns.iter().map(|name| (name.as_str(), false))).collect()
        }
        _ => built_in(resource.kind).to_vec(),
    }
}

fn built_in(kind: &str) -> &'static [Column] {
    const fn shown(name: &'static str) -> Column {
        (name, false)
    }
    const fn wide(name: &'static str) -> Column {
        (name, true)
    }
    const NAME: Column = shown("Name");
    const AGE: Column = shown("Age");
    match kind {
        "Pod" => const { &[NAME, shown("Ready"), shown("Status"), shown("Restarts"), AGE, wide("IP"), wide("Node")] },
        "Service" => {
            const {
                &[
                    NAME,
                    shown("Type"),
                    shown("Cluster-IP"),
                    shown("External-IP"),
                    shown("Port(s)"),
                    AGE,
                    wide("Selector"),
                ]
            }
        }
        "NetworkPolicy" => const { &[NAME, shown("Pod-Selector"), AGE] },
        "Job" => const { &[NAME, shown("Status"), shown("Completions"), shown("Duration"), AGE] },
        "Namespace" => const { &[NAME, shown("Status"), AGE] },
        "Node" => const { &[NAME, shown("Status"), shown("Roles"), AGE, shown("Version"), wide("Internal-IP")] },
        "Deployment" => const { &[NAME, shown("Ready"), shown("Up-to-date"), shown("Available"), AGE] },
        "ReplicaSet" => const { &[NAME, shown("Desired"), shown("Current"), shown("Ready"), AGE] },
        "StatefulSet" => const { &[NAME, shown("Ready"), AGE] },
        "Endpoints" => const { &[NAME, shown("Endpoints"), AGE] },
        "PodDisruptionBudget" => {
            const { &[NAME, shown("Min Available"), shown("Max Unavailable"), shown("Allowed Disruptions"), AGE] }
        }
        "CustomResourceDefinition" => const { &[NAME, shown("Created At")] },
        "Lease" => const { &[NAME, shown("Holder"), AGE] },
        "ConfigMap" => const { &[NAME, shown("Data"), AGE] },
        "Event" => {
            const { &[shown("Last Seen"), shown("Type"), shown("Reason"), shown("Object"), shown("Message"), wide("Name")] }
        }
        _ => const { &[NAME, AGE] },
    }
}

fn cell(resource: &Resource, column: &str, value: &Value, clock: &Clock) -> Value {
    if custom::of(resource).is_some() && !matches!(column, "Name" | "Age") {
        return value["spec"].get(column).cloned().unwrap_or_default();
    }
    let kind = resource.kind;
    let text = |pointer: &str| object::text(value, pointer).to_string();
    let number = |pointer: &str| object::number(value, pointer).unwrap_or(0);
    let or_none = |text: String| if text.is_empty() { "<none>".to_string() } else { text };
    let shown = match (kind, column) {
        (_, "Name") => text("/metadata/name"),
        (_, "Age") => age(&text("/metadata/creationTimestamp"), clock),
        ("Pod", "Ready") => {
            let statuses = object::list(value, "/status/containerStatuses");
            let ready = statuses.iter().filter(|s| s["ready"] == true).count();
            format!("{ready}/{}", object::list(value, "/spec/containers").len())
        }
        ("Pod", "Status") => pod_status(value),
        ("Pod", "Restarts") => {
            let statuses = object::list(value, "/status/containerStatuses");
            statuses.iter().filter_map(|s| s["restartCount"].as_i64()).sum::<i64>().to_string()
        }
        ("Pod", "IP") => or_none(text("/status/podIP")),
        ("Pod", "Node") => or_none(text("/spec/nodeName")),
        ("Service", "Type") => text("/spec/type"),
        ("Service", "Cluster-IP") => or_none(text("/spec/clusterIP")),
        ("Service", "External-IP") => "<none>".into(),
        ("Service", "Port(s)") => or_none(service_ports(value)),
        ("Service", "Selector") => or_none(equalities(&value["spec"]["selector"])),
        ("NetworkPolicy", "Pod-Selector") => or_none(selector(&value["spec"]["podSelector"])),
        ("Job", "Status") => job_status(value).into(),
        ("Job", "Completions") => {
            format!("{}/{}", number("/status/succeeded"), object::number(value, "/spec/completions").unwrap_or(1))
        }
        ("Job", "Duration") => match text("/status/startTime").as_str() {
            "" => String::new(),
            start => age(start, clock),
        },
        ("Namespace", "Status") => text("/status/phase"),
        ("Node", "Status") => {
            if object::condition(value, "Ready") == Some("True") { "Ready" } else { "NotReady" }.into()
        }
        ("Node", "Roles") => "<none>".into(),
        ("Node", "Version") => text("/status/nodeInfo/kubeletVersion"),
        ("Node", "Internal-IP") => text("/status/addresses/0/address"),
        ("Deployment" | "StatefulSet", "Ready") => {
            format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas"))
        }
        ("Deployment", "Up-to-date") => number("/status/updatedReplicas").to_string(),
        ("Deployment", "Available") => number("/status/availableReplicas").to_string(),
        ("ReplicaSet", "Desired") => number("/spec/replicas").to_string(),
        ("ReplicaSet", "Current") => number("/status/replicas").to_string(),
        ("ReplicaSet", "Ready") => number("/status/readyReplicas").to_string(),
        ("Endpoints", "Endpoints") => or_none(endpoints(value)),
        ("PodDisruptionBudget", "Min Available") => or_not(&value["spec"]["minAvailable"]),
        ("PodDisruptionBudget", "Max Unavailable") => or_not(&value["spec"]["maxUnavailable"]),
        ("PodDisruptionBudget", "Allowed Disruptions") => number("/status/disruptionsAllowed").to_string(),
        ("CustomResourceDefinition", "Created At") => text("/metadata/creationTimestamp"),
        ("Lease", "Holder") => text("/spec/holderIdentity"),
        ("ConfigMap", "Data") => value["data"].as_object().map_or(0, serde_json::Map::len).to_string(),
        ("Event", "Last Seen") => age(&text("/lastTimestamp"), clock),
        ("Event", "Type") => text("/type"),
        ("Event", "Reason") => text("/reason"),
        ("Event", "Object") => {
            format!("{}/{}", text("/involvedObject/kind").to_lowercase(), text("/involvedObject/name"))
        }
        ("Event", "Message") => text("/message"),
        _ => String::new(),
    };
    shown.into()
}

/// How long ago, in the short form of kubectl.
fn age(stamp: &str, clock: &Clock) -> String {
    let Ok(then) = stamp.parse::<Timestamp>() else { return "<unknown>".into() };
    let seconds = clock.now().duration_since(then).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// A number or a percentage, or `N/A`.
fn or_not(value: &Value) -> String {
    match value {
        Value::Null => "N/A".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn pod_status(pod: &Value) -> String {
    if object::is_terminating(pod) {
        return "Terminating".into();
    }
    let waiting = object::list(pod, "/status/containerStatuses")
        .iter()
        .find_map(|s| s["state"]["waiting"]["reason"].as_str().or_else(|| s["state"]["terminated"]["reason"].as_str()));
    let reason = object::text(pod, "/status/reason");
    let phase = object::text(pod, "/status/phase");
    waiting.unwrap_or(if reason.is_empty() { phase } else { reason }).to_string()
}

fn service_ports(service: &Value) -> String {
    let port = |p: &Value| format!("{}/{}", p["port"], object::text(p, "/protocol"));
    object::list(service, "/spec/ports").iter().map(port).collect::<Vec<_>>().join(",")
}

fn job_status(job: &Value) -> &'static str {
    let is = |kind| object::condition(job, kind) == Some("True");
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if object::is_terminating(job) => "Terminating",
        () if is("FailureTarget") => "FailureTarget",
        () => "Running",
    }
}

fn equalities(map: &Value) -> String {
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    map.as_object().map(|map| map.iter().map(pair).collect::<Vec<_>>().join(",")).unwrap_or_default()
}

fn selector(selector: &Value) -> String {
    let mut parts = vec![equalities(&selector["matchLabels"])];
    for expression in object::list(selector, "/matchExpressions") {
        let key = object::text(expression, "/key");
        let values: Vec<&str> = object::list(expression, "/values").iter().filter_map(Value::as_str).collect();
        let values = values.join(",");
        parts.push(match object::text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    parts.retain(|part| !part.is_empty());
    parts.join(",")
}

fn endpoints(value: &Value) -> String {
    let mut all = Vec::new();
    for subset in object::list(value, "/subsets") {
        for address in object::list(subset, "/addresses") {
            for port in object::list(subset, "/ports") {
                all.push(format!("{}:{}", object::text(address, "/ip"), port["port"]));
            }
        }
    }
    all.join(",")
}
