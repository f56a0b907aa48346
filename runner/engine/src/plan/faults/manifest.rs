//! Plans the objects of the scenario's manifests.

use serde_json::{Map, Value, json};
use shakedown_schemas::Explained;
use shakedown_schemas::result::ObjectRecord;
use shakedown_schemas::scenario::{Condition, Manifest};

use crate::plan::chaos::INSTALL;
use crate::plan::error::PlanError;
use crate::plan::request::KubernetesRequest;
use shakedown_cluster::{Cluster, ObjectKey};
use shakedown_faults::FaultPlan;
use shakedown_faults::manifest::{Check, Limits, ManifestSpec};

pub(super) async fn plan(
    request: &KubernetesRequest<'_>,
    manifest: &Manifest,
) -> Result<(FaultPlan, ManifestSpec), PlanError> {
    let KubernetesRequest { namespace, scenario, cluster, options, .. } = *request;
    let refuse = |why: Explained| request.refuse(why);
    if request.targets.is_empty() && scenario.blast_radius.is_some() {
        let text =
            "the scenario has a `blast_radius`, but without `pods` the pods that the manifest affects are unknown";
        return Err(refuse(Explained::new(text, "add `pods` next to `object`")));
    }
    let mut object = Value::Object(manifest.object.clone().into_iter().collect());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind_name) = (text(&object["apiVersion"]), text(&object["kind"]));
    let found = cluster.discover(&api_version, &kind_name).await?;
    let (kind, namespaced) = found.ok_or_else(|| refuse(unknown(&kind_name, &api_version)))?;
    if !namespaced {
        return Err(refuse(Explained::new(
            format!("a {kind_name} is cluster-scoped, so no fuse can remove it if the runner dies"),
            "use a namespaced kind",
        )));
    }
    complete(&mut object, namespace, &request.object_name(), &request.labels()).map_err(|why| request.refuse(why))?;
    let place = text(&object["metadata"]["namespace"]);
    let own = ObjectKey { kind, namespace: place.clone(), name: text(&object["metadata"]["name"]), uid: None };
    let mut checks = Vec::new();
    for conditions in [&manifest.active_when, &manifest.gone_when] {
        let mut made = Vec::new();
        for condition in conditions {
            made.push(check(condition, &own, namespace, cluster).await?.map_err(|why| request.refuse(why))?);
        }
        checks.push(made);
    }
    let gone_when = checks.pop().unwrap_or_default();
    let active_when = checks.pop().unwrap_or_default();
    let conditions: Vec<String> = manifest.active_when.iter().map(Condition::text).collect();
    let description =
        format!("The {kind_name} {} is created, and is active when {}.", own.name, conditions.join(" and "));
    let objects = vec![ObjectRecord::from(&object)];
    let plan = FaultPlan { objects, namespaces: vec![place], ..request.plan(description) };
    let within = manifest.within.map_or(options.chaos.active, |within| within.get());
    let limits = Limits { within, force_after: options.chaos.force_after };
    let spec = ManifestSpec { key: own, object, active_when, gone_when, limits };
    Ok((plan, spec))
}

/// Adds the namespace and the name, if the scenario omits them, and our labels.
///
/// # Errors
/// With a sentence about invalid metadata. `validate` reports it with its line and column.
fn complete(object: &mut Value, namespace: &str, name: &str, own: &[(&str, String)]) -> Result<(), String> {
    let metadata = map(object, "metadata")?;
    for (key, default) in [("namespace", namespace), ("name", name)] {
        match metadata.entry(key).or_insert(Value::Null) {
            value @ Value::Null => *value = json!(default),
            Value::String(_) => {}
            _ => return Err(format!("the object's `metadata.{key}` is not text")),
        }
    }
    let labels = map(&mut object["metadata"], "labels")?;
    labels.extend(own.iter().map(|(label, value)| ((*label).to_owned(), json!(value))));
    Ok(())
}

/// The map at a key of a map. It is created if it is missing.
fn map<'v>(value: &'v mut Value, key: &str) -> Result<&'v mut Map<String, Value>, String> {
    let wrong = || format!("the object's `{key}` is not a map");
    let value = value.as_object_mut().ok_or_else(wrong)?.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(wrong)
}

/// A condition with its object.
async fn check(
    condition: &Condition,
    own: &ObjectKey,
    namespace: &str,
    cluster: &Cluster,
) -> Result<Result<Check, String>, PlanError> {
    let Some(of) = &condition.of else {
        return Ok(Ok(Check { of: None, condition: condition.clone() }));
    };
    let Some((kind, namespaced)) = cluster.discover(&of.api_version, &of.kind).await? else {
        return Ok(Err(format!("this cluster has no {} in {}", of.kind, of.api_version)));
    };
    let place = of.namespace.clone().unwrap_or_else(|| namespace.to_owned());
    let namespace = if namespaced { place } else { String::new() };
    let key = ObjectKey { kind, namespace, name: of.name.clone(), uid: None };
    Ok(Ok(Check { of: (key != *own).then_some(key), condition: condition.clone() }))
}

/// The refusal of a kind that the cluster does not have.
fn unknown(kind: &str, api_version: &str) -> Explained {
    match api_version.split('/').next() {
        Some("chaos-mesh.org") => {
            Explained::new(format!("this cluster has no {kind} in {api_version}, a kind of Chaos Mesh"), INSTALL)
        }
        _ => Explained::new(
            format!("this cluster has no {kind} in {api_version}"),
            "`kubectl api-resources` lists what it has",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_missing_is_refused_with_what_brings_it() {
        let chaos = unknown("NetworkChaos", "chaos-mesh.org/v1alpha1").help.unwrap();
        assert!(chaos.starts_with("install it (`helm install chaos-mesh"), "{chaos}");
        let other = unknown("VirtualService", "networking.istio.io/v1").help.unwrap();
        assert_eq!(other, "`kubectl api-resources` lists what it has");
    }

    #[test]
    fn metadata_of_any_type_is_completed_or_refused() {
        let values =
            [json!(null), json!(true), json!(7), json!("x"), json!([]), json!([{"a": 1}]), json!({}), json!({"a": 1})];
        let whole = json!({"metadata": {"name": "it", "namespace": "shop", "labels": {"app": "x"}}});
        for place in
            ["", "/metadata", "/metadata/name", "/metadata/namespace", "/metadata/labels", "/metadata/labels/app"]
        {
            for value in &values {
                let mut object = whole.clone();
                *object.pointer_mut(place).unwrap() = value.clone();
                if complete(&mut object, "default", "made", &[("ours", "yes".to_owned())]).is_ok() {
                    assert_eq!(object["metadata"]["labels"]["ours"], "yes", "{place}: {value}");
                    assert!(object["metadata"]["name"].is_string() && object["metadata"]["namespace"].is_string());
                } else {
                    assert!(!value.is_null() || place.is_empty(), "{place}: {value}");
                }
            }
        }
    }
}
