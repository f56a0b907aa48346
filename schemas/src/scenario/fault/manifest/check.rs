//! Checks of manifests: the object can be created, and the conditions can hold.

use indexmap::IndexMap;
use serde_json::Value;

use super::condition::{Condition, Field};
use crate::check::{Findings, dns_label, is_dns_label};
use crate::diagnostic::{Code, Diagnostic};
use crate::units::Duration;

/// The shortest interval of a Schedule. What it has made must be gone within it.
const SHORTEST_SCHEDULE: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) fn object(path: &str, object: &IndexMap<String, Value>, findings: &mut Findings<'_>) {
    for (key, example, fits) in [
        ("apiVersion", "chaos-mesh.org/v1alpha1", is_api_version as fn(&str) -> bool),
        ("kind", "NetworkChaos", is_kind),
    ] {
        let help = format!("write `{key}: {example}`");
        match object.get(key) {
            Some(Value::String(text)) if fits(text) => {}
            Some(_) => {
                wrong(&format!("{path}.{key}"), format!("this cannot be the `{key}` of an object"), &help, findings);
            }
            None => wrong(path, format!("this object does not say its `{key}`"), &help, findings),
        }
    }
    if object.contains_key("status") {
        let help = "remove it: a controller may take it for the result of its own work";
        findings.push_at_key(
            &format!("{path}.status"),
            Diagnostic::error(Code::Manifest, "a new object has no status").help(help),
        );
    }
    schedules(path, object, findings);
    if let Some(metadata) = object.get("metadata") {
        self::metadata(&format!("{path}.metadata"), metadata, findings);
    }
}

pub(super) fn conditions(path: &str, active_when: &[Condition], gone_when: &[Condition], findings: &mut Findings<'_>) {
    if active_when.is_empty() {
        let help = "write `active_when: [{field: \"status.conditions[type=AllInjected].status\", equals: \"True\"}]`";
        wrong(&format!("{path}.active_when"), "without a condition nothing shows that the fault acts", help, findings);
    }
    for (index, it) in active_when.iter().enumerate() {
        condition(&format!("{path}.active_when[{index}]"), it, findings);
    }
    for (index, it) in gone_when.iter().enumerate() {
        let path = format!("{path}.gone_when[{index}]");
        condition(&path, it, findings);
        if it.of.is_none() && !findings.map.gone(&path) {
            let help = "name another object with `of`; the runner always checks that this one is gone";
            wrong(&path, "the object has no fields when it is gone", help, findings);
        }
    }
}

/// Checks a Schedule of Chaos Mesh, and those that a Workflow starts.
fn schedules(path: &str, object: &IndexMap<String, Value>, findings: &mut Findings<'_>) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    if !text("apiVersion").starts_with("chaos-mesh.org/") {
        return;
    }
    let Some(spec) = object.get("spec") else { return };
    match text("kind") {
        "Schedule" => schedule(&format!("{path}.spec"), spec, findings),
        "Workflow" => {
            for (index, it) in spec["templates"].as_array().into_iter().flatten().enumerate() {
                schedule(&format!("{path}.spec.templates[{index}].schedule"), &it["schedule"], findings);
            }
        }
        _ => {}
    }
}

/// When the fuse burns, the cluster deletes a Schedule in the foreground, and it continues to create objects until all that
/// it created are gone. With Chaos Mesh 2.8.3, one that allows several at once made more beside those that could not go, and
/// stayed. One that forbids it made none. Short intervals were tried with a fuse only where several were allowed: one with
/// `@every 3s` was there after three minutes, and one with `@every 30s` after one. Until they are tried without, they stay
/// refused. Cron expressions have minutes.
fn schedule(path: &str, spec: &Value, findings: &mut Findings<'_>) {
    if spec["concurrencyPolicy"] == "Allow" {
        let message =
            "a Schedule that allows several concurrent objects continues during its deletion, which may never end";
        let help = "write `concurrencyPolicy: Forbid`, or leave it out";
        wrong(&format!("{path}.concurrencyPolicy"), message, help, findings);
    }
    let every = spec["schedule"].as_str().and_then(|text| text.trim().strip_prefix("@every "));
    let Some(every) = every.and_then(|every| every.trim().parse::<Duration>().ok()) else { return };
    if every.get() < SHORTEST_SCHEDULE {
        let message = format!(
            "a Schedule that creates an object every {every} continues during its deletion, which may never end"
        );
        let help = "write `schedule: \"@every 1m\"` or more, or put the fault itself into several phases";
        wrong(&format!("{path}.schedule"), message, help, findings);
    }
}

fn wrong(path: &str, message: impl Into<String>, help: &str, findings: &mut Findings<'_>) {
    findings.push(path, Diagnostic::error(Code::Manifest, message).help(help));
}

/// Checks the metadata, which the runner reads and extends. The API server checks the rest of the object.
fn metadata(path: &str, metadata: &Value, findings: &mut Findings<'_>) {
    let Value::Object(metadata) = metadata else {
        wrong(path, "this is not a map", "write `metadata: {name: x}`", findings);
        return;
    };
    for key in ["generateName", "uid", "resourceVersion", "ownerReferences", "finalizers"] {
        if metadata.contains_key(key) {
            let problem = Diagnostic::error(Code::Manifest, format!("`{key}` cannot be chosen here"));
            findings.push_at_key(
                &format!("{path}.{key}"),
                problem.help("remove it; without a `name` the object gets its own"),
            );
        }
    }
    match metadata.get("name") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if is_object_name(name) => {}
        Some(_) => {
            let help = "write up to 253 letters, digits, `-` and `.`, or remove it";
            wrong(&format!("{path}.name"), "this cannot be the name of an object", help, findings);
        }
    }
    match metadata.get("namespace") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) => dns_label(name, "namespace", &format!("{path}.namespace"), findings),
        Some(_) => {
            let message = "this cannot be the name of a namespace";
            wrong(&format!("{path}.namespace"), message, "write `namespace: shop`, or remove it", findings);
        }
    }
    for key in ["labels", "annotations"] {
        let path = format!("{path}.{key}");
        match metadata.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (name, value) in entries {
                    let path = format!("{path}.{name}");
                    if !is_qualified_name(name) {
                        let message = format!("`{name}` cannot be a key of `{key}`");
                        let help = "write it like `app` or `example.com/app`";
                        findings.push_at_key(&path, Diagnostic::error(Code::Manifest, message).help(help));
                    }
                    match value {
                        Value::String(text) if key == "annotations" || is_label_value(text) => {}
                        Value::String(_) => {
                            let help = "a label's value has up to 63 letters, digits, `-`, `_` and `.`";
                            wrong(&path, "this cannot be the value of a label", help, findings);
                        }
                        _ => wrong(&path, "this is not text", "put it into quotes", findings),
                    }
                }
            }
            Some(_) => wrong(&path, "this is not a map", &format!("write `{key}: {{app: x}}`"), findings),
        }
    }
}

/// True if an object can have this name. Most kinds allow only a DNS subdomain (RFC 1123). Roles also allow `:`.
fn is_object_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    name.len() <= 253 && name.chars().all(allowed) && has_alphanumeric_ends(name)
}

/// True for a version, or a group and a version separated by `/`.
fn is_api_version(text: &str) -> bool {
    let (group, version) = text.split_once('/').map_or((None, text), |(group, version)| (Some(group), version));
    group.is_none_or(is_dns_subdomain) && is_dns_label(version)
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// True for a key of a label or an annotation: a name, with an optional DNS subdomain and `/` before it.
fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// True for a value of a label. It may be empty.
fn is_label_value(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.is_empty() || text.len() <= 63 && text.chars().all(allowed) && has_alphanumeric_ends(text)
}

fn has_alphanumeric_ends(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn condition(path: &str, condition: &Condition, findings: &mut Findings<'_>) {
    let given = [condition.equals.is_some(), condition.not_equals.is_some(), condition.exists.is_some()];
    if given.iter().filter(|given| **given).count() != 1 && !findings.map.gone(path) {
        findings.push(
            path,
            Diagnostic::error(Code::Manifest, "a condition has exactly one of `equals`, `not_equals` and `exists`")
                .help("write `equals: \"True\"`"),
        );
    }
    for (key, value) in [("equals", &condition.equals), ("not_equals", &condition.not_equals)] {
        if matches!(value, Some(Value::Object(_) | Value::Array(_))) {
            findings.push(
                &format!("{path}.{key}"),
                Diagnostic::error(Code::Manifest, "only text, numbers and booleans can be compared")
                    .help("name a field inside it"),
            );
        }
    }
    if let Err(message) = Field::parse(&condition.field) {
        findings.push(
            &format!("{path}.field"),
            Diagnostic::error(Code::Manifest, message).help("write it like `status.conditions[type=Ready].status`"),
        );
    }
    let Some(of) = &condition.of else { return };
    for (key, text, fits) in [
        ("api_version", &of.api_version, is_api_version as fn(&str) -> bool),
        ("kind", &of.kind, is_kind),
        ("name", &of.name, is_object_name),
    ] {
        if !fits(text) {
            let problem = Diagnostic::error(Code::Manifest, format!("this cannot be the `{key}` of an object"));
            let help = "write an object such as `{api_version: v1, kind: Pod, name: web-0}`";
            findings.push(&format!("{path}.of.{key}"), problem.help(help));
        }
    }
    if let Some(namespace) = &of.namespace {
        dns_label(namespace, "namespace", &format!("{path}.of.namespace"), findings);
    }
}

#[cfg(test)]
mod tests;
