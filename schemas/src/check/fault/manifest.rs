//! Checks of manifests: that the object can be created, and that the conditions say something.

use serde_json::Value;

use super::Findings;
use crate::check::dns_label;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Condition, Fault, Manifest};

/// Which object a fault creates, as far as its scenario says it. Versions of a kind are views of the same objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::check) struct Written {
    group: String,
    pub kind: String,
    /// Empty for the namespace of the run.
    namespace: String,
    pub name: String,
}

/// The object that a fault creates under a name of the scenario's choice.
pub(in crate::check) fn written(fault: &Fault, namespace: Option<&str>) -> Option<Written> {
    let Fault::Manifest(manifest) = fault else { return None };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = manifest.object.get("metadata")?;
    let version = text(manifest.object.get("apiVersion")?)?;
    Some(Written {
        group: version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: text(manifest.object.get("kind")?)?,
        namespace: text(&metadata["namespace"]).or_else(|| namespace.map(str::to_owned)).unwrap_or_default(),
        name: text(&metadata["name"])?,
    })
}

pub(super) fn manifest(path: &str, manifest: &Manifest, findings: &mut Findings<'_>) {
    let object = format!("{path}.object");
    let wrong = |path: &str, message: &str, help: &str, findings: &mut Findings<'_>| {
        findings.push(path, Diagnostic::error(Code::Manifest, message).help(help));
    };
    for (key, example) in [("apiVersion", "chaos-mesh.org/v1alpha1"), ("kind", "NetworkChaos")] {
        match manifest.object.get(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => {}
            Some(_) => wrong(
                &format!("{object}.{key}"),
                &format!("this `{key}` is not a word"),
                &format!("write `{key}: {example}`"),
                findings,
            ),
            None => wrong(
                &object,
                &format!("this object does not say its `{key}`"),
                &format!("write `{key}: {example}`"),
                findings,
            ),
        }
    }
    if manifest.object.contains_key("status") {
        let help = "remove it: what a controller finds there, it may take for its own work already done";
        findings.push_at_key(
            &format!("{object}.status"),
            Diagnostic::error(Code::Manifest, "a new object has no status").help(help),
        );
    }
    if let Some(metadata) = manifest.object.get("metadata") {
        match metadata {
            Value::Object(metadata) => {
                for key in ["generateName", "uid", "resourceVersion", "ownerReferences", "finalizers"] {
                    if metadata.contains_key(key) {
                        let path = format!("{object}.metadata.{key}");
                        let problem = Diagnostic::error(Code::Manifest, format!("`{key}` cannot be chosen here"));
                        findings
                            .push_at_key(&path, problem.help("remove it; without a `name` the object gets its own"));
                    }
                }
            }
            _ => wrong(&format!("{object}.metadata"), "this is not a map", "write `metadata: {name: x}`", findings),
        }
    }
    if manifest.active_when.is_empty() {
        let help = "write `active_when: [{field: \"status.conditions[type=AllInjected].status\", equals: \"True\"}]`";
        wrong(&format!("{path}.active_when"), "without a condition nothing shows that it acts", help, findings);
    }
    if manifest.within.is_some_and(|within| within.is_zero()) {
        let problem =
            Diagnostic::error(Code::ZeroDuration, "this gives the object no time").help("write `within: 60s`");
        findings.push(&format!("{path}.within"), problem);
    }
    for (index, it) in manifest.active_when.iter().enumerate() {
        condition(&format!("{path}.active_when[{index}]"), it, findings);
    }
    for (index, it) in manifest.gone_when.iter().enumerate() {
        let path = format!("{path}.gone_when[{index}]");
        condition(&path, it, findings);
        if it.of.is_none() && !findings.map.gone(&path) {
            let help = "name another one with `of`; that the object itself is gone is always asked for";
            wrong(&path, "the object has no fields when it is gone", help, findings);
        }
    }
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
                Diagnostic::error(Code::Manifest, "only text, numbers and truth values are compared")
                    .help("name a field inside of it"),
            );
        }
    }
    if let Err(message) = crate::scenario::Field::parse(&condition.field) {
        findings.push(
            &format!("{path}.field"),
            Diagnostic::error(Code::Manifest, message).help("write it like `status.conditions[type=Ready].status`"),
        );
    }
    if let Some(namespace) = condition.of.as_ref().and_then(|of| of.namespace.as_ref()) {
        dns_label(namespace, "namespace", &format!("{path}.of.namespace"), findings);
    }
}
