//! Endpoints and EndpointSlices of services.

use std::time::Duration;

use serde_json::{Value, json};

use super::pods;
use crate::object;
use crate::registry::{DeleteOptions, Registry, Unknown, WriteOptions};
use crate::resource::{ENDPOINT_SLICES, ENDPOINTS, PODS, Resource, SERVICES};
use crate::selector::Labels;
use crate::store::Key;

/// Updates the endpoints of every service, and removes those of deleted services.
pub(crate) fn reconcile(registry: &Registry) -> Option<Duration> {
    for service in registry.store.list(&SERVICES, "").iter().filter(|s| !object::is_terminating(s)) {
        // Without a selector, the user manages the endpoints.
        if let Some(selector) = Labels::from_map(service["spec"].get("selector")) {
            update(registry, service, &selector);
        }
    }
    for endpoints in registry.store.list(&ENDPOINTS, "") {
        let (namespace, name) = (object::namespace(&endpoints), object::name(&endpoints));
        if registry.store.get(&SERVICES, namespace, name).is_none() {
            let options = DeleteOptions::of(object::uid(&endpoints));
            // It is already gone.
            let _ = registry.delete(&Key::of(&ENDPOINTS, &endpoints), &options);
        }
    }
    None
}

/// A pod behind a service.
struct Backend {
    address: Value,
    ip: String,
    ready: bool,
    /// It answers, and may be being deleted.
    serving: bool,
    terminating: bool,
    ports: Vec<Value>,
}

fn update(registry: &Registry, service: &Value, selector: &Labels) {
    let backends: Vec<Backend> = registry
        .store
        .list(&PODS, object::namespace(service))
        .iter()
        .filter(|pod| selector.matches(object::labels(pod)))
        .filter(|pod| !matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed"))
        .filter(|pod| !object::text(pod, "/status/podIP").is_empty())
        .map(|pod| backend(service, pod))
        .collect();
    // Pods of a rollout can have different numbers behind the same port name: one subset for each combination.
    let mut combinations: Vec<&Vec<Value>> = Vec::new();
    for backend in backends.iter().filter(|b| !b.ports.is_empty()) {
        if !combinations.contains(&&backend.ports) {
            combinations.push(&backend.ports);
        }
    }
    let subsets: Vec<Value> = combinations.iter().filter_map(|ports| subset(&backends, ports)).collect();
    let name = object::name(service);
    let labels = service["metadata"].get("labels").cloned().unwrap_or(json!({}));
    let mut endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "labels": labels}});
    if !subsets.is_empty() {
        endpoints["subsets"] = subsets.into();
    }
    put(registry, &ENDPOINTS, object::namespace(service), endpoints);

    let mut slice_labels = labels;
    slice_labels["kubernetes.io/service-name"] = name.into();
    slice_labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io".into();
    let owner = object::controller_reference("v1", "Service", service);
    // All endpoints of a slice have the same ports. A service always has at least one slice.
    let none = Vec::new();
    combinations.extend(combinations.is_empty().then_some(&none));
    for (number, ports) in combinations.iter().enumerate() {
        let items: Vec<Value> = backends.iter().filter(|it| it.ports == **ports).map(slice_endpoint).collect();
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-sandbox{suffix}"), "labels": slice_labels, "ownerReferences": [owner]},
            "addressType": "IPv4", "endpoints": items, "ports": ports,
        });
        put(registry, &ENDPOINT_SLICES, object::namespace(service), slice);
    }
    let first_unused = combinations.len();
    for slice in registry.store.list(&ENDPOINT_SLICES, object::namespace(service)) {
        let number = object::name(&slice).strip_prefix(&format!("{name}-sandbox-")).and_then(|it| it.parse().ok());
        if number.is_some_and(|number: usize| number >= first_unused) {
            let _ = registry.delete(&Key::of(&ENDPOINT_SLICES, &slice), &DeleteOptions::of(object::uid(&slice)));
        }
    }
}

fn backend(service: &Value, pod: &Value) -> Backend {
    let ip = object::text(pod, "/status/podIP").to_string();
    let target =
        json!({"kind": "Pod", "name": object::name(pod), "namespace": object::namespace(pod), "uid": object::uid(pod)});
    let ports = object::list(service, "/spec/ports").iter().filter_map(|port| {
        let number = target_port(port, pod)?;
        let mut shown = json!({"port": number, "protocol": port["protocol"]});
        if let Some(name) = port.get("name") {
            shown["name"] = name.clone();
        }
        Some(shown)
    });
    Backend {
        address: json!({"ip": ip, "nodeName": pod["spec"]["nodeName"], "targetRef": target}),
        ip,
        ready: pods::is_ready(pod),
        serving: object::condition(pod, "Ready") == Some("True"),
        terminating: object::is_terminating(pod),
        ports: ports.collect(),
    }
}

/// The port number of the pod behind a port of the service.
fn target_port(port: &Value, pod: &Value) -> Option<i64> {
    match &port["targetPort"] {
        Value::Number(number) => number.as_i64(),
        Value::String(name) => object::list(pod, "/spec/containers")
            .iter()
            .flat_map(|container| object::list(container, "/ports"))
            .find(|p| p["name"] == name.as_str())
            .and_then(|p| p["containerPort"].as_i64()),
        _ => port["port"].as_i64(),
    }
}

fn subset(backends: &[Backend], ports: &Vec<Value>) -> Option<Value> {
    let of = |ready: bool| -> Vec<Value> {
        let these = backends.iter().filter(|b| b.ports == *ports && b.ready == ready && !b.terminating);
        these.map(|b| b.address.clone()).collect()
    };
    let (ready, waiting) = (of(true), of(false));
    let mut subset = json!({});
    if !ready.is_empty() {
        subset["addresses"] = ready.into();
    }
    if !waiting.is_empty() {
        subset["notReadyAddresses"] = waiting.into();
    }
    if subset.as_object().is_some_and(serde_json::Map::is_empty) {
        return None;
    }
    subset["ports"] = ports.clone().into();
    Some(subset)
}

fn slice_endpoint(backend: &Backend) -> Value {
    json!({
        "addresses": [backend.ip],
        "conditions": {"ready": backend.ready, "serving": backend.serving, "terminating": backend.terminating},
        "nodeName": backend.address["nodeName"],
        "targetRef": backend.address["targetRef"],
    })
}

/// Creates or updates the object.
fn put(registry: &Registry, resource: &'static Resource, namespace: &str, mut wanted: Value) {
    let key = Key::new(resource, namespace, object::name(&wanted));
    match registry.store.get(resource, namespace, &key.name) {
        None => {
            let options = WriteOptions { unknown: Unknown::Ignore, ..WriteOptions::default() };
            // It is refused only while the namespace is being deleted.
            let _ = registry.create(resource, namespace, wanted, options);
        }
        Some(current) => registry.modify(&key, object::uid(&current), |object| {
            for part in ["subsets", "endpoints", "ports"] {
                match wanted.as_object_mut().and_then(|w| w.shift_remove(part)) {
                    Some(value) => object[part] = value,
                    None => {
                        object.as_object_mut().map(|o| o.shift_remove(part));
                    }
                }
            }
        }),
    }
}
