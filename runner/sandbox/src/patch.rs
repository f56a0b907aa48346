//! The three kinds of patches, as functions on JSON.
//!
//! In scope: merge patch (RFC 7386), strategic merge patch, JSON patch (RFC 6902). Out of scope: who may
//! patch what (`registry`).

use serde_json::{Map, Value, json};

use super::error::ApiError;

/// The format of a patch's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Like a merge, except that some lists are merged by a key.
    Strategic,
    /// Create or merge. The owners of fields are not tracked: fields that a later apply leaves out stay.
    Apply,
}

impl PatchKind {
    /// The media types that are understood, as the refusal of others lists them.
    pub const ACCEPTED: &str = "application/json-patch+json, application/merge-patch+json, \
                                application/strategic-merge-patch+json, application/apply-patch+yaml";

    /// The kind that a content type names.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// Applies the patch to the object.
pub(crate) fn apply(kind: PatchKind, object: &mut Value, patch: Value) -> Result<(), ApiError> {
    match kind {
        PatchKind::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch)
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
            let mut changed = object.clone();
            json_patch::patch(&mut changed, &operations).map_err(|e| {
                ApiError::unprocessable(format!("the server rejected our request due to an error in our request: {e}"))
            })?;
            *object = changed;
            Ok(())
        }
        PatchKind::Merge => {
            require_map(&patch)?;
            json_patch::merge(object, &patch);
            Ok(())
        }
        PatchKind::Strategic | PatchKind::Apply => {
            require_map(&patch)?;
            strategic(object, patch, "");
            Ok(())
        }
    }
}

fn require_map(patch: &Value) -> Result<(), ApiError> {
    if patch.is_object() { Ok(()) } else { Err(ApiError::bad_request("the patch must be an object")) }
}

/// The merge key of a list, for the merging lists of the served kinds.
fn merge_key(field: &str, items: &[Value]) -> Option<&'static str> {
    match field {
        "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets" => {
            Some("name")
        }
        "volumeMounts" => Some("mountPath"),
        "ownerReferences" => Some("uid"),
        "conditions" => Some("type"),
        "hostAliases" => Some("ip"),
        // Containers name theirs `containerPort`, services `port`; policies replace the list.
        "ports" if items.iter().all(|i| i.get("containerPort").is_some()) => Some("containerPort"),
        "ports" if items.iter().all(|i| i.get("targetPort").is_some() || i.get("nodePort").is_some()) => Some("port"),
        _ => None,
    }
}

fn strategic(target: &mut Value, patch: Value, field: &str) {
    match patch {
        Value::Object(mut patch) => {
            match patch.shift_remove("$patch").as_ref().and_then(Value::as_str) {
                Some("replace") => {
                    *target = Value::Object(patch);
                    return;
                }
                Some("delete") => {
                    *target = json!({});
                    return;
                }
                _ => {}
            }
            if !target.is_object() {
                *target = json!({});
            }
            let Value::Object(target) = target else { return };
            strategic_map(target, patch);
        }
        Value::Array(items) => {
            let key = merge_key(field, &items);
            match (key, target) {
                (Some(key), Value::Array(existing)) => strategic_list(existing, items, key),
                (Some(key), target) => {
                    let mut existing = Vec::new();
                    strategic_list(&mut existing, items, key);
                    *target = existing.into();
                }
                (None, Value::Array(existing)) if field == "finalizers" => {
                    for item in items {
                        if !existing.contains(&item) {
                            existing.push(item);
                        }
                    }
                }
                (None, target) => *target = items.into(),
            }
        }
        other => *target = other,
    }
}

fn strategic_map(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(existing)), Value::Array(gone)) = (target.get_mut(field), &value) {
                existing.retain(|item| !gone.contains(item));
            }
        } else if key == "$retainKeys" {
            if let Value::Array(kept) = &value {
                target.retain(|existing, _| kept.iter().any(|k| k == existing));
            }
        } else if key.starts_with("$setElementOrder/") {
            // It only orders items, and nothing in the sandbox depends on the order.
        } else if value.is_null() {
            target.shift_remove(&key);
        } else {
            strategic(target.entry(key.clone()).or_insert(Value::Null), value, &key);
        }
    }
}

fn strategic_list(existing: &mut Vec<Value>, items: Vec<Value>, key: &str) {
    if items.iter().any(|i| i["$patch"] == "replace") {
        existing.clear();
    }
    for mut item in items.into_iter().filter(|i| i["$patch"] != "replace") {
        let same = existing.iter().position(|e| e.get(key) == item.get(key));
        match (same, item["$patch"] == "delete") {
            (Some(at), true) => {
                existing.remove(at);
            }
            (None, true) => {}
            (Some(at), false) => strategic(&mut existing[at], item.take(), ""),
            (None, false) => {
                let mut fresh = Value::Null;
                strategic(&mut fresh, item, "");
                existing.push(fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(kind: PatchKind, mut object: Value, patch: Value) -> Value {
        apply(kind, &mut object, patch).unwrap();
        object
    }

    #[test]
    fn a_merge_patch_removes_nulls_and_replaces_lists() {
        let object = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        let result = patched(PatchKind::Merge, object, json!({"a": {"b": null, "d": {"e": null, "f": 3}}, "l": [3]}));
        assert_eq!(result, json!({"a": {"c": 2, "d": {"f": 3}}, "l": [3]}));
    }

    #[test]
    fn a_strategic_patch_merges_containers_by_name_and_owners_by_uid() {
        let object = json!({
            "metadata": {"ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}], "finalizers": ["x"]},
            "spec": {"containers": [{"name": "main", "image": "old", "env": [{"name": "A", "value": "1"}]}]},
        });
        let result = patched(
            PatchKind::Strategic,
            object,
            json!({
                "metadata": {
                    "ownerReferences": [{"uid": "1", "$patch": "delete"}],
                    "finalizers": ["y"],
                    "$deleteFromPrimitiveList/finalizers": ["x"],
                },
                "spec": {
                    "$setElementOrder/containers": [{"name": "main"}, {"name": "side"}],
                    "containers": [{"name": "main", "image": "new", "env": [{"name": "B", "value": "2"}]}, {"name": "side"}],
                },
            }),
        );
        assert_eq!(
            result,
            json!({
                "metadata": {"ownerReferences": [{"uid": "2", "name": "b"}], "finalizers": ["y"]},
                "spec": {"containers": [
                    {"name": "main", "image": "new", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                    {"name": "side"},
                ]},
            })
        );
    }

    #[test]
    fn a_strategic_patch_replaces_the_rules_of_a_policy() {
        let object = json!({"spec": {"egress": [{"to": []}], "podSelector": {"matchLabels": {"a": "b"}}}});
        let patch = json!({"spec": {"egress": [], "podSelector": {"$patch": "replace", "matchLabels": {"c": "d"}}}});
        let result = patched(PatchKind::Strategic, object, patch);
        assert_eq!(result, json!({"spec": {"egress": [], "podSelector": {"matchLabels": {"c": "d"}}}}));
    }

    #[test]
    fn a_failing_json_patch_changes_nothing() {
        let mut object = json!({"a": 1});
        let patch = json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 3}]);
        assert_eq!(apply(PatchKind::Json, &mut object, patch).unwrap_err().code, 422);
        assert_eq!(object, json!({"a": 1}));
        let result = patched(
            PatchKind::Json,
            object,
            json!([{"op": "add", "path": "/b", "value": [1]}, {"op": "remove", "path": "/a"}]),
        );
        assert_eq!(result, json!({"b": [1]}));
    }

    #[test]
    fn a_patch_of_the_wrong_shape_is_a_bad_request() {
        for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic] {
            assert_eq!(apply(kind, &mut json!({}), json!("text")).unwrap_err().code, 400);
        }
    }
}
