//! Custom resources: the kinds of Chaos Mesh, described by the structural schemas of CustomResourceDefinitions.
//!
//! In scope: reading the schemas (`custom/definitions.yaml`), and completing, pruning and checking objects by
//! them. Out of scope: the rules of Chaos Mesh's webhooks (`admission`, `validate`), and the effects of the objects
//! (`controllers`).

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::Cause;
use super::object;
use super::resource::{RESOURCES, Resource};
use super::uid::new_uid;

/// The group of the custom resources.
pub(crate) const GROUP: &str = "chaos-mesh.org";

/// The definition of a kind in a CustomResourceDefinition.
#[derive(Debug)]
pub(crate) struct Definition {
    kind: String,
    /// The fields of `spec` that `kubectl get` shows.
    pub columns: Vec<String>,
    schema: Value,
}

#[derive(Deserialize)]
struct File {
    status: Value,
    kinds: Vec<CustomKind>,
}

#[derive(Deserialize)]
struct CustomKind {
    kind: String,
    columns: Vec<String>,
    spec: Value,
    #[serde(default)]
    extra: Map<String, Value>,
}

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let file: File = match serde_saphyr::from_str(include_str!("custom/definitions.yaml")) {
        Ok(file) => file,
        Err(error) => unreachable!("the embedded definitions are tested: {error}"),
    };
    let definition = |kind: CustomKind| {
        let mut status = file.status.clone();
        if kind.kind == "PodNetworkChaos" {
            status = json!({"type": "object", "properties":
                {"failedMessage": {"type": "string"}, "observedGeneration": {"type": "integer"}}});
        }
        for (name, schema) in kind.extra {
            status["properties"][name] = schema;
        }
        let text = || json!({"type": "string"});
        let schema = json!({"type": "object", "required": ["spec"], "properties": {
            "apiVersion": text(), "kind": text(), "metadata": {"type": "object"}, "spec": kind.spec, "status": status}});
        Definition { kind: kind.kind, columns: kind.columns, schema }
    };
    file.kinds.into_iter().map(definition).collect()
});

/// The definition of a custom resource; `None` of other kinds.
pub(crate) fn of(resource: &Resource) -> Option<&'static Definition> {
    if resource.group != GROUP {
        return None;
    }
    DEFINITIONS.iter().find(|definition| definition.kind == resource.kind)
}

/// The definitions as objects, as an API server that serves these kinds shows them.
pub(crate) fn objects(now: &str) -> Vec<Value> {
    let shown = |resource: &Resource, definition: &Definition| {
        let names = json!({"plural": resource.plural, "singular": resource.singular, "kind": resource.kind,
            "listKind": format!("{}List", resource.kind)});
        let columns: Vec<Value> = definition
            .columns
            .iter()
            .map(|name| json!({"name": name, "type": "string", "jsonPath": format!(".spec.{name}")}))
            .collect();
        let mut version = json!({"name": resource.version, "served": true, "storage": true,
            "schema": {"openAPIV3Schema": definition.schema}});
        if !columns.is_empty() {
            version["additionalPrinterColumns"] = columns.into();
        }
        if resource.has("status") {
            version["subresources"] = json!({"status": {}});
        }
        let condition = |kind: &str, reason: &str| {
            json!({"type": kind, "status": "True", "reason": reason, "message": "the sandbox serves it",
                "lastTransitionTime": now})
        };
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": resource.qualified(), "uid": new_uid(), "creationTimestamp": now, "generation": 1},
            "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "conversion": {"strategy": "None"},
                "versions": [version]},
            "status": {"acceptedNames": names, "storedVersions": [resource.version], "conditions": [
                condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")]},
        })
    };
    RESOURCES.iter().filter_map(|resource| Some(shown(resource, of(resource)?))).collect()
}

impl Definition {
    /// Fills in the schema's defaults.
    pub fn complete(&self, object: &mut Value) {
        complete(&self.schema, object);
    }

    /// Drops the fields that the schema does not know, and returns their paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut dropped = Vec::new();
        for part in ["spec", "status"] {
            if let Some(value) = object.get_mut(part) {
                prune(&self.schema["properties"][part], value, part, &mut dropped);
            }
        }
        if let Some(map) = object.as_object_mut() {
            map.retain(|key, _| {
                let known = self.schema["properties"].get(key).is_some();
                if !known {
                    dropped.push(key.clone());
                }
                known
            });
        }
        dropped
    }

    /// Checks types, required fields, enumerations and limits.
    pub fn check(&self, object: &Value, causes: &mut Vec<Cause>) {
        check(&self.schema, object, "", causes);
    }
}

fn complete(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = schema.get("default") {
                    object::default_to(map, key, default.clone());
                }
                if let Some(inner) = map.get_mut(key) {
                    complete(schema, inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| complete(&schema["items"], item)),
        _ => {}
    }
}

fn prune(schema: &Value, value: &mut Value, path: &str, dropped: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties");
            if schema["x-kubernetes-preserve-unknown-fields"] == true {
                return;
            }
            let any = schema.get("additionalProperties");
            map.retain(|key, inner| {
                let path = format!("{path}.{key}");
                match properties.and_then(|p| p.get(key)).or(any) {
                    Some(schema) => prune(schema, inner, &path, dropped),
                    None => {
                        dropped.push(path);
                        return false;
                    }
                }
                true
            });
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                prune(&schema["items"], item, &format!("{path}[{at}]"), dropped);
            }
        }
        _ => {}
    }
}

fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(wanted) = schema["type"].as_str() {
        let found = kind_of(value);
        if wanted != found {
            let message =
                format!("Invalid value: {found:?}: {path} in body must be of type {wanted}: {:?}", kind_of(value));
            causes.push(Cause { reason: "FieldValueTypeInvalid", field: path.into(), message });
            return;
        }
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", list.join(", "));
        causes.push(Cause { reason: "FieldValueNotSupported", field: path.into(), message });
    }
    if let Some(text) = value.as_str().filter(|text| schema.get("pattern").is_some() && !is_single_unit(text)) {
        let pattern = object::text(schema, "/pattern");
        causes.push(Cause::invalid(path, text, &format!("{path} in body should match '{pattern}'")));
    }
    if let Some(number) = value.as_i64() {
        let below = schema["minimum"].as_i64().filter(|limit| number < *limit).map(|limit| ("greater", limit));
        let above = schema["maximum"].as_i64().filter(|limit| number > *limit).map(|limit| ("less", limit));
        for (side, limit) in below.into_iter().chain(above) {
            let message = format!("Invalid value: {number}: {path} in body should be {side} than or equal to {limit}");
            causes.push(Cause { reason: "FieldValueInvalid", field: path.into(), message });
        }
    }
    match value {
        Value::Object(map) => {
            let join = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
            for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !map.contains_key(key) {
                    causes.push(Cause::required(join(key), ""));
                }
            }
            for (key, inner) in map {
                if let Some(schema) = schema["properties"].get(key).or(schema.get("additionalProperties")) {
                    check(schema, inner, &join(key), causes);
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{at}]"), causes);
            }
        }
        _ => {}
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Null => "null",
    }
}

/// The only pattern of the definitions: a number without sign and one unit.
fn is_single_unit(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    matches!(&text[number.len()..], "ns" | "us" | "ms" | "s" | "m" | "h") && digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{NETWORK_CHAOS, STRESS_CHAOS};

    fn causes(resource: &Resource, object: &Value) -> Vec<String> {
        let mut causes = Vec::new();
        of(resource).unwrap().check(object, &mut causes);
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    fn network(change: impl FnOnce(&mut Value)) -> Value {
        let mut spec = json!({"action": "netem", "mode": "all", "selector": {}});
        change(&mut spec);
        json!({"spec": spec})
    }

    #[test]
    fn every_custom_kind_has_a_definition_and_the_other_way_round() {
        let served: Vec<&str> = RESOURCES.iter().filter(|r| r.group == GROUP).map(|r| r.kind).collect();
        assert_eq!(served.len(), DEFINITIONS.len());
        assert!(DEFINITIONS.iter().all(|definition| served.contains(&definition.kind.as_str())));
        assert_eq!(objects("now").len(), served.len());
    }

    #[test]
    fn what_the_schema_refuses_is_refused_in_its_words() {
        for (change, expected) in [
            (json!({"action": "rate"}), "spec.action: Unsupported value: \"rate\": supported values: \"netem\""),
            (json!({"value": 1}), "spec.value: Invalid value: \"integer\": spec.value in body must be of type string"),
            (json!({"delay": {"latency": "-1ms"}}), "spec.delay.latency: Invalid value: \"-1ms\""),
            (json!({"delay": {"latency": "1m30s"}}), "spec.delay.latency"),
            (json!({"delay": {"jitter": "1ms"}}), "spec.delay.latency: Required value"),
            (
                json!({"delay": {"latency": "1s", "reorder": {"reorder": "5"}}}),
                "spec.delay.reorder.gap: Required value",
            ),
            (
                json!({"bandwidth": {"rate": "1bps", "limit": 0, "buffer": 1}}),
                "spec.bandwidth.limit: Invalid value: 0: spec.bandwidth.limit in body should be greater than or equal \
                 to 1",
            ),
        ] {
            let object = network(|spec| spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()));
            let found = causes(&NETWORK_CHAOS, &object);
            assert!(found.iter().any(|cause| cause.contains(expected)), "{change}: {found:?}");
        }
        assert_eq!(causes(&NETWORK_CHAOS, &network(|spec| spec["delay"] = json!({"latency": "0.5ms"}))), [""; 0]);
        assert_eq!(causes(&NETWORK_CHAOS, &json!({})), ["spec: Required value"]);
    }

    #[test]
    fn misspelt_fields_are_dropped_as_the_real_server_drops_them() {
        let mut object =
            network(|spec| spec["selector"] = json!({"lableSelectors": {"app": "a"}, "pods": {"a": ["b"]}}));
        let definition = of(&NETWORK_CHAOS).unwrap();
        assert_eq!(definition.prune(&mut object), ["spec.selector.lableSelectors"]);
        assert_eq!(object["spec"]["selector"], json!({"pods": {"a": ["b"]}}));
    }

    #[test]
    fn defaults_are_those_of_the_schema() {
        let mut object = network(|_| {});
        of(&NETWORK_CHAOS).unwrap().complete(&mut object);
        assert_eq!(object["spec"]["direction"], "to");
        let mut stress = json!({"spec": {"stressors": {"memory": {"workers": 1}}}});
        of(&STRESS_CHAOS).unwrap().complete(&mut stress);
        assert_eq!(stress["spec"]["stressors"]["memory"]["oomScoreAdj"], 0);
    }

    /// Apart from their descriptions, our definitions are the real ones.
    #[test]
    #[ignore = "needs ../shared/chaos-mesh"]
    fn the_schemas_are_those_of_chaos_mesh() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/chaos-mesh/crds");
        let files = std::fs::read_dir(&folder);
        let files = files.unwrap_or_else(|why| panic!("this test needs {}: {why}", folder.display()));
        let mut compared = 0;
        for file in files {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let real: Value = serde_saphyr::from_str(&text).unwrap();
            let kind = object::text(&real, "/spec/names/kind");
            let ours = DEFINITIONS.iter().find(|definition| definition.kind == kind).expect(kind);
            let real = &real["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
            for part in ["spec", "status"] {
                let mut real = real[part].clone();
                strip(&mut real);
                assert_eq!(real, ours.schema["properties"][part], "{kind}.{part}");
            }
            compared += 1;
        }
        assert_eq!(compared, 7);
    }

    /// Removes the parts that no check depends on.
    fn strip(schema: &mut Value) {
        let Some(map) = schema.as_object_mut() else { return };
        map.retain(|key, _| !matches!(key.as_str(), "description" | "format" | "x-kubernetes-list-type"));
        for (key, inner) in map {
            match (key.as_str(), inner) {
                ("properties", Value::Object(properties)) => properties.values_mut().for_each(strip),
                ("items" | "additionalProperties", inner) => strip(inner),
                _ => {}
            }
        }
    }
}
