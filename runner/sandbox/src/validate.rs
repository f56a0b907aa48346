//! Validation rules of objects, with the messages of the real API server.
//!
//! In scope: names, labels, and the rules across fields that clients rely on. Out of scope: the shape of
//! objects (`typed`), and completing them (`admission`).

mod fields;
mod network;

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{ApiError, Cause};
use super::mesh::webhook;
use super::resource::{RESOURCES, Resource};
use super::{custom, object};
use fields::{bad_label_1035, bad_label_1123, bad_subdomain, check_labels, check_selector, one_of};

/// Checks an object that is to be stored.
pub(crate) fn check(resource: &Resource, value: &Value) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    let name = object::name(value);
    check_name(resource, name, &mut causes);
    check_labels(object::labels(value), "metadata.labels", &mut causes);
    check_metadata(value, &mut causes);
    match resource.kind {
        "Pod" => check_pod_spec(&value["spec"], "spec", &mut causes),
        "Job" => check_job(value, &mut causes),
        "Service" => network::check_service(value, &mut causes),
        "NetworkPolicy" => network::check_policy(&value["spec"], &mut causes),
        "Deployment" | "ReplicaSet" | "StatefulSet" => check_workload(value, &mut causes),
        "CustomResourceDefinition" => check_definition(name, &mut causes),
        _ => {}
    }
    if let Some(definition) = custom::of(resource) {
        definition.check(value, &mut causes);
        if causes.is_empty() {
            return webhook::check(resource, value);
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(resource, name, &causes)) }
}

/// The sandbox serves only its built-in kinds, so definitions of other kinds are refused.
fn check_definition(name: &str, causes: &mut Vec<Cause>) {
    if !RESOURCES.iter().any(|resource| custom::of(resource).is_some() && resource.qualified() == name) {
        causes.push(Cause::invalid("metadata.name", name, "the sandbox cannot serve further kinds"));
    }
}

/// Checks a change of a stored object.
pub(crate) fn check_update(resource: &Resource, before: &Value, after: &Value) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    if object::is_terminating(before) {
        let old: BTreeSet<&str> = strings(before, "/metadata/finalizers").collect();
        let added: Vec<&str> = strings(after, "/metadata/finalizers").filter(|f| !old.contains(f)).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")
            );
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    let immutable: &[(&str, &str)] = match resource.kind {
        "Job" => &[
            ("/spec/selector", "spec.selector"),
            ("/spec/template", "spec.template"),
            ("/spec/completions", "spec.completions"),
        ],
        "Deployment" | "ReplicaSet" | "StatefulSet" => &[("/spec/selector", "spec.selector")],
        _ => &[],
    };
    for (pointer, field) in immutable {
        if before.pointer(pointer) != after.pointer(pointer) {
            let value = after.pointer(pointer).map(Value::to_string).unwrap_or_default();
            causes.push(Cause::invalid(*field, &value, "field is immutable"));
        }
    }
    if resource.kind == "Pod" && pod_without_mutable(before) != pod_without_mutable(after) {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
    if custom::of(resource).is_some() {
        webhook::check_update(resource, before, after)?;
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(resource, object::name(after), &causes)) }
}

fn pod_without_mutable(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    let Some(map) = spec.as_object_mut() else { return spec };
    map.retain(|key, _| {
        !matches!(key.as_str(), "activeDeadlineSeconds" | "tolerations" | "terminationGracePeriodSeconds" | "nodeName")
    });
    for list in ["containers", "initContainers"] {
        for container in map.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container.as_object_mut().map(|c| c.shift_remove("image"));
        }
    }
    spec
}

fn strings<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    object::list(value, pointer).iter().filter_map(Value::as_str)
}

fn check_name(resource: &Resource, name: &str, causes: &mut Vec<Cause>) {
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
        return;
    }
    let why = match resource.kind {
        "Service" => bad_label_1035(name),
        "Namespace" => bad_label_1123(name),
        _ => bad_subdomain(name),
    };
    if let Some(why) = why {
        causes.push(Cause::invalid("metadata.name", name, &why));
    }
}

fn check_metadata(value: &Value, causes: &mut Vec<Cause>) {
    for finalizer in strings(value, "/metadata/finalizers") {
        let core = matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes");
        if !core && !finalizer.contains('/') {
            causes.push(Cause::invalid(
                "metadata.finalizers",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    let owners = object::list(value, "/metadata/ownerReferences");
    for (at, owner) in owners.iter().enumerate() {
        for (key, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner[key].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::invalid(format!("metadata.ownerReferences[{at}].{key}"), "", why));
            }
        }
    }
    if owners.iter().filter(|o| o["controller"] == true).count() > 1 {
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            "",
            "Only one reference can have Controller set to true",
        ));
    }
}

fn check_pod_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = object::list(spec, "/containers");
    if containers.is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let mut names = BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        let name = object::text(container, "/name");
        let field = format!("{path}.containers[{at}].name");
        if name.is_empty() {
            causes.push(Cause::required(field, ""));
        } else if let Some(why) = bad_label_1123(name) {
            causes.push(Cause::invalid(field, name, &why));
        } else if !names.insert(name) {
            causes.push(Cause { reason: "FieldValueDuplicate", field, message: format!("Duplicate value: {name:?}") });
        }
        if object::text(container, "/image").is_empty() {
            causes.push(Cause::required(format!("{path}.containers[{at}].image"), ""));
        }
    }
    one_of(spec, "/restartPolicy", &["Always", "OnFailure", "Never"], &format!("{path}.restartPolicy"), causes);
    check_positive(spec, "/activeDeadlineSeconds", &format!("{path}.activeDeadlineSeconds"), 1, causes);
}

fn check_job(job: &Value, causes: &mut Vec<Cause>) {
    check_pod_spec(&job["spec"]["template"]["spec"], "spec.template.spec", causes);
    let restart = object::text(job, "/spec/template/spec/restartPolicy");
    if !matches!(restart, "Never" | "OnFailure") {
        causes.push(Cause {
            reason: "FieldValueNotSupported",
            field: "spec.template.spec.restartPolicy".into(),
            message: format!("Required value: valid values: \"OnFailure\", \"Never\"; got {restart:?}"),
        });
    }
    for (key, least) in [
        ("activeDeadlineSeconds", 0),
        ("ttlSecondsAfterFinished", 0),
        ("parallelism", 0),
        ("completions", 0),
        ("backoffLimit", 0),
    ] {
        check_positive(&job["spec"], &format!("/{key}"), &format!("spec.{key}"), least, causes);
    }
}

fn check_positive(value: &Value, pointer: &str, field: &str, least: i64, causes: &mut Vec<Cause>) {
    if let Some(number) = object::number(value, pointer).filter(|n| *n < least) {
        let why = format!("must be greater than or equal to {least}");
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {number}: {why}"),
        });
    }
}

fn check_workload(workload: &Value, causes: &mut Vec<Cause>) {
    check_pod_spec(&workload["spec"]["template"]["spec"], "spec.template.spec", causes);
    check_positive(&workload["spec"], "/replicas", "spec.replicas", 0, causes);
    check_selector(&workload["spec"]["selector"], "spec.selector", causes);
    let selector = super::selector::Labels::from_selector(&workload["spec"]["selector"]);
    let template = object::labels(&workload["spec"]["template"]);
    if !selector.matches(template) {
        let found = template.map(|l| Value::Object(l.clone()).to_string()).unwrap_or_default();
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &found,
            "`selector` does not match template `labels`",
        ));
    }
}
