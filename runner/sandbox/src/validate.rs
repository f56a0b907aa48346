//! Rules on what objects may say, with the texts of the real API server.
//!
//! What belongs here: names, labels, and the rules across fields that clients rely on. What does not: the shape of
//! objects (`typed`), and completing them (`admission`).

mod network;

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{ApiError, Cause};
use super::mesh::webhook;
use super::resource::{RESOURCES, Resource};
use super::{custom, object};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

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

/// The sandbox serves the kinds that it has, whatever else is defined.
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

fn bad_subdomain(text: &str) -> Option<String> {
    if text.len() > 253 {
        return Some("must be no more than 253 characters".into());
    }
    text.split('.').any(|part| !is_dns_label(part)).then(|| SUBDOMAIN.into())
}

fn bad_label_1123(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    (!is_dns_label(text)).then(|| LABEL_1123.into())
}

fn bad_label_1035(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    (!is_dns_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase())).then(|| LABEL_1035.into())
}

fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

fn is_qualified(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

fn check_labels(labels: Option<&serde_json::Map<String, Value>>, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.into_iter().flatten() {
        check_label_key(key, field, causes);
        check_label_value(value.as_str().unwrap_or_default(), field, causes);
    }
}

fn check_label_key(key: &str, field: &str, causes: &mut Vec<Cause>) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    if let Some(why) = prefix.and_then(bad_subdomain) {
        causes.push(Cause::invalid(field, key, &format!("prefix part {why}")));
    }
    if name.is_empty() {
        causes.push(Cause::invalid(field, key, "name part must be non-empty"));
    } else if name.len() > 63 {
        causes.push(Cause::invalid(field, key, "name part must be no more than 63 characters"));
    } else if !is_qualified(name) {
        causes.push(Cause::invalid(field, key, LABEL_KEY));
    }
}

fn check_label_value(value: &str, field: &str, causes: &mut Vec<Cause>) {
    if value.len() > 63 {
        causes.push(Cause::invalid(field, value, "must be no more than 63 characters"));
    } else if !value.is_empty() && !is_qualified(value) {
        causes.push(Cause::invalid(field, value, LABEL_VALUE));
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

fn one_of(value: &Value, pointer: &str, allowed: &[&str], field: &str, causes: &mut Vec<Cause>) {
    let Some(text) = value.pointer(pointer).and_then(Value::as_str) else { return };
    if !allowed.contains(&text) {
        let list = allowed.iter().map(|a| format!("{a:?}")).collect::<Vec<_>>().join(", ");
        let message = format!("Unsupported value: {text:?}: supported values: {list}");
        causes.push(Cause { reason: "FieldValueNotSupported", field: field.into(), message });
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

/// Checks a `LabelSelector`.
fn check_selector(selector: &Value, path: &str, causes: &mut Vec<Cause>) {
    check_labels(selector["matchLabels"].as_object(), &format!("{path}.matchLabels"), causes);
    for (at, expression) in object::list(selector, "/matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{at}]");
        check_label_key(object::text(expression, "/key"), &format!("{path}.key"), causes);
        let values = object::list(expression, "/values");
        match object::text(expression, "/operator") {
            "In" | "NotIn" if values.is_empty() => causes.push(Cause::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "In" | "NotIn" => {
                for (at, value) in values.iter().enumerate() {
                    check_label_value(value.as_str().unwrap_or_default(), &format!("{path}.values[{at}]"), causes);
                }
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => causes.push(Cause::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "Exists" | "DoesNotExist" => {}
            other => causes.push(Cause::invalid(format!("{path}.operator"), other, "not a valid selector operator")),
        }
    }
}
