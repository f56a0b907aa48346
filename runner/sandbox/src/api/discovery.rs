//! Discovery: versions, groups, kinds, and the parts of OpenAPI that kubectl needs.

use serde_json::{Value, json};

use crate::resource::{RESOURCES, Resource};

/// The version that distinguishes a sandbox from a cluster.
pub(super) const VERSION: &str = "v1.33.0+shakedown-sandbox";

const TITLE: &str = "shakedown sandbox";

/// Groups that have a virtual kind only: (group, version, plural, kind).
const VIRTUAL: &[(&str, &str, &str, &str)] =
    &[("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")];

/// The answer to a path of discovery. `None` for other paths.
pub(super) fn answer(path: &str, address: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        })),
        ["apis"] => {
            let groups: Vec<Value> = groups().into_iter().map(|(group, version)| group_value(group, version)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", group] => {
            let (group, version) = groups().into_iter().find(|(g, _)| g == group)?;
            let mut value = group_value(group, version);
            value["kind"] = "APIGroup".into();
            value["apiVersion"] = "v1".into();
            Some(value)
        }
        ["api", "v1"] => Some(resources("", "v1")),
        ["apis", group, version] => {
            groups().into_iter().find(|(g, v)| g == group && v == version).map(|(g, v)| resources(g, v))
        }
        ["openapi", "v2"] => Some(json!({"swagger": "2.0", "info": {"title": TITLE, "version": VERSION}, "paths": {}})),
        ["openapi", "v3"] => Some(openapi_index()),
        ["openapi", "v3", "api", "v1"] => Some(openapi("", "v1")),
        ["openapi", "v3", "apis", group, version] => {
            groups().into_iter().find(|(g, v)| g == group && v == version).map(|(g, v)| openapi(g, v))
        }
        _ => None,
    }
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// The named groups with their versions, in order of their first kind.
fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    let all = RESOURCES.iter().map(|r| (r.group, r.version)).chain(VIRTUAL.iter().map(|v| (v.0, v.1)));
    for group in all.filter(|(group, _)| !group.is_empty()) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn group_value(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_string() } else { format!("{group}/{version}") }
}

fn resources(group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for resource in of_group(group, version) {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        });
        if !resource.short.is_empty() {
            entry["shortNames"] = json!(resource.short);
        }
        if matches!(resource.plural, "pods" | "services" | "deployments" | "replicasets" | "statefulsets" | "jobs") {
            entry["categories"] = json!(["all"]);
        }
        list.push(entry);
        for sub in resource.subresources {
            list.push(subresource(resource, sub));
        }
    }
    for (_, _, plural, kind) in VIRTUAL.iter().filter(|v| v.0 == group && v.1 == version) {
        list.push(json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind,
            "verbs": ["create"]}));
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version), "resources": list})
}

fn subresource(resource: &Resource, sub: &str) -> Value {
    let (kind, group, version, verbs) = match sub {
        "scale" => ("Scale", "autoscaling", "v1", json!(["get", "patch", "update"])),
        "eviction" => ("Eviction", "policy", "v1", json!(["create"])),
        "log" => (resource.kind, "", "", json!(["get"])),
        "finalize" => (resource.kind, "", "", json!(["update"])),
        _ => (resource.kind, "", "", json!(["get", "patch", "update"])),
    };
    let mut entry = json!({
        "name": format!("{}/{sub}", resource.plural),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": verbs,
    });
    if !group.is_empty() {
        entry["group"] = group.into();
        entry["version"] = version.into();
    }
    entry
}

fn of_group(group: &str, version: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().copied().filter(move |r| r.group == group && r.version == version)
}

fn openapi_index() -> Value {
    let mut paths = serde_json::Map::new();
    for path in std::iter::once("api/v1".to_string()).chain(groups().iter().map(|(g, v)| format!("apis/{g}/{v}"))) {
        let url = format!("/openapi/v3/{path}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// No schemas: only that each kind's patch takes `fieldValidation`, so that kubectl leaves the checking to the server.
fn openapi(group: &str, version: &str) -> Value {
    let mut paths = serde_json::Map::new();
    for resource in of_group(group, version) {
        let root = if group.is_empty() { "/api/v1".to_string() } else { format!("/apis/{group}/{version}") };
        let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let patch = json!({
            "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": resource.kind},
        });
        paths.insert(format!("{root}{namespace}/{}/{{name}}", resource.plural), json!({"patch": patch}));
    }
    json!({"openapi": "3.0.0", "info": {"title": TITLE, "version": VERSION}, "paths": paths})
}

/// The same as `/openapi/v2` in the only form that kubectl before 1.29 takes. Without schemas it checks nothing itself.
pub(super) fn openapi_v2_protobuf() -> Vec<u8> {
    // Fields of gnostic's `openapi.v2`: Document has swagger = 1, info = 2, paths = 8; Info has title = 1, version = 2.
    let info = [field(1, TITLE.as_bytes()), field(2, VERSION.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")].concat()
}

/// A field of protobuf's wire type 2. Everything here is shorter than 128 bytes, so that one byte holds each length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap_or(0);
    [&[number << 3 | 2, length], bytes].concat()
}
