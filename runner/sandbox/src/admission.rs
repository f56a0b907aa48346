//! Completes objects: the defaults of each kind, and the fields that the server fills in for new objects.
//!
//! In scope: defaults that clients see when they read an object back. Out of scope: checks (`validate`).

use serde_json::{Map, Value, json};

use super::addresses::Addresses;
use super::clock::Clock;
use super::custom;
use super::error::{ApiError, Cause};
use super::mesh::webhook;
use super::object::{self, default_to, map_mut};
use super::resource::Resource;

/// Fills in the defaults of the object's kind. It is idempotent.
pub(crate) fn complete(resource: &Resource, value: &mut Value) {
    if let Some(definition) = custom::of(resource) {
        definition.complete(value);
        webhook::complete(resource, value);
        return;
    }
    match resource.kind {
        "Pod" => complete_pod(map_mut(value, "spec")),
        "Namespace" => complete_namespace(value),
        "Service" => complete_service(map_mut(value, "spec")),
        "NetworkPolicy" => complete_policy(map_mut(value, "spec")),
        "Job" => complete_job(value),
        "Deployment" | "ReplicaSet" | "StatefulSet" => {
            let spec = map_mut(value, "spec");
            default_to(spec, "replicas", 1);
            if let Some(pod) = spec.get_mut("template").and_then(|t| t.get_mut("spec")).and_then(Value::as_object_mut) {
                complete_pod(pod);
            }
        }
        "Secret" => default_to(map_mut_root(value), "type", "Opaque"),
        _ => {}
    }
}

/// Fills in the fields of a new object that the server decides: its initial status, generated selectors.
pub(crate) fn begin(resource: &Resource, value: &mut Value, clock: &Clock) {
    if resource.has("status") {
        map_mut_root(value).shift_remove("status");
    }
    match resource.kind {
        "Pod" => value["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"}),
        "Namespace" => value["status"] = json!({"phase": "Active"}),
        "Service" => value["status"] = json!({"loadBalancer": {}}),
        "Deployment" | "ReplicaSet" | "StatefulSet" => value["status"] = json!({"replicas": 0}),
        "Job" => {
            value["status"] = json!({});
            begin_job(value);
        }
        "Event" => {
            let now = clock.stamp();
            let map = map_mut_root(value);
            default_to(map, "firstTimestamp", now.clone());
            default_to(map, "lastTimestamp", now);
        }
        _ => {}
    }
}

/// Gives a new service its address.
pub(crate) fn allocate(
    resource: &Resource,
    value: &mut Value,
    addresses: &Addresses,
    dry_run: bool,
) -> Result<(), ApiError> {
    if resource.kind != "Service" || object::text(value, "/spec/type") == "ExternalName" {
        return Ok(());
    }
    let refuse = |value: &Value, why: &str| {
        let asked = object::text(value, "/spec/clusterIP");
        ApiError::invalid(resource, object::name(value), &[Cause::invalid("spec.clusterIPs", asked, why)])
    };
    let address = match object::text(value, "/spec/clusterIP") {
        "None" => "None".to_string(),
        _ if dry_run => return Ok(()),
        "" => match addresses.service() {
            Some(address) => address.to_string(),
            None => return Err(refuse(value, "failed to allocate IP: range is full")),
        },
        asked => match asked.parse() {
            Ok(address) if addresses.take_service(address) => asked.to_string(),
            _ => return Err(refuse(value, "failed to allocate IP: not in the valid range, or already allocated")),
        },
    };
    let spec = map_mut(value, "spec");
    spec.insert("clusterIPs".into(), json!([address]));
    spec.insert("clusterIP".into(), address.into());
    Ok(())
}

fn map_mut_root(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object just above"),
    }
}

fn complete_namespace(value: &mut Value) {
    let name = object::name(value).to_string();
    map_mut(&mut value["metadata"], "labels").insert("kubernetes.io/metadata.name".into(), name.into());
    if !object::is_terminating(value) {
        default_to(map_mut(value, "spec"), "finalizers", json!(["kubernetes"]));
    }
}

fn complete_pod(spec: &mut Map<String, Value>) {
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "serviceAccountName", "default");
    default_to(spec, "serviceAccount", "default");
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "schedulerName", "default-scheduler");
    default_to(spec, "enableServiceLinks", true);
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            let latest = image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains(':');
            default_to(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
            default_to(container, "resources", json!({}));
            default_to(container, "terminationMessagePath", "/dev/termination-log");
            default_to(container, "terminationMessagePolicy", "File");
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                complete_port(port);
            }
            for kind in ["readinessProbe", "livenessProbe", "startupProbe"] {
                container.get_mut(kind).and_then(Value::as_object_mut).map(complete_probe);
            }
        }
    }
}

fn complete_port(port: &mut Value) {
    if let Some(port) = port.as_object_mut() {
        default_to(port, "protocol", "TCP");
    }
}

fn complete_probe(probe: &mut Map<String, Value>) {
    for (key, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        default_to(probe, key, value);
    }
    if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
        default_to(get, "path", "/");
        default_to(get, "scheme", "HTTP");
    }
}

fn complete_service(spec: &mut Map<String, Value>) {
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    default_to(spec, "internalTrafficPolicy", "Cluster");
    default_to(spec, "ipFamilies", json!(["IPv4"]));
    default_to(spec, "ipFamilyPolicy", "SingleStack");
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        default_to(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or(Value::Null);
        if !number.is_null() {
            default_to(port, "targetPort", number);
        }
    }
}

fn complete_policy(spec: &mut Map<String, Value>) {
    default_to(spec, "podSelector", json!({}));
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        let kinds = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".into(), kinds);
    }
    for direction in ["ingress", "egress"] {
        for rule in spec.get_mut(direction).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                complete_port(port);
            }
        }
    }
}

fn complete_job(value: &mut Value) {
    let labels = object::labels(&value["spec"]["template"]).cloned();
    let spec = map_mut(value, "spec");
    if spec.get("completions").is_none_or(Value::is_null) && spec.get("parallelism").is_none_or(Value::is_null) {
        spec.insert("completions".into(), 1.into());
    }
    default_to(spec, "parallelism", 1);
    default_to(spec, "backoffLimit", 6);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    default_to(spec, "manualSelector", false);
    default_to(spec, "podReplacementPolicy", "TerminatingOrFailed");
    if spec["manualSelector"] == false {
        spec.shift_remove("manualSelector");
    }
    if let Some(pod) = spec.get_mut("template").and_then(|t| t.get_mut("spec")).and_then(Value::as_object_mut) {
        complete_pod(pod);
    }
    // A job without labels takes those of its pod template.
    if let Some(labels) = labels.filter(|l| !l.is_empty()) {
        default_to(object::meta_mut(value), "labels", Value::Object(labels));
    }
}

fn begin_job(value: &mut Value) {
    if value["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (object::uid(value).to_string(), object::name(value).to_string());
    let labels = map_mut(map_mut_root(&mut value["spec"]["template"]).entry("metadata").or_insert(json!({})), "labels");
    for prefix in ["batch.kubernetes.io/", ""] {
        labels.insert(format!("{prefix}controller-uid"), uid.clone().into());
        labels.insert(format!("{prefix}job-name"), name.clone().into());
    }
    value["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
}
