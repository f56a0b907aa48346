//! The sandbox's Chaos Mesh for the objects of another cluster: tests of a real API server play its part with the model that
//! is compared with the recordings.
//!
//! In scope: objects in, requests out. Out of scope: watching that cluster, sending the requests, and everything that a daemon
//! does to a pod.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::links::Plugin;
use super::Controller;
use crate::addresses::Addresses;
use crate::admission;
use crate::clock::Clock;
use crate::controllers::earlier;
use crate::dns::Dns;
use crate::mesh::lacks::LACKS;
use crate::net::Links;
use crate::object;
use crate::registry::Registry;
use crate::resource::{NAMESPACES, NODES, PODS, Resource, find_kind};
use crate::store::{Change, Key, Store};
use crate::typed;

/// A request to the API server of the other cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Creates the object if true; else it is a patch.
    pub creates: bool,
    /// The path of the URL: of the collection, of the object, or of its status.
    pub path: String,
    /// The path of the affected object.
    pub object: String,
    /// The UID of the object that it changes.
    pub uid: String,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Value,
}

/// The manager and the daemons of a Chaos Mesh, and their view of the other cluster.
pub struct ChaosMesh {
    registry: Arc<Registry>,
    manager: Controller,
    daemons: Plugin,
}

/// The resource of an object of the other cluster.
fn resource(object: &Value) -> Option<&'static Resource> {
    find_kind(object::text(object, "/apiVersion"), object::text(object, "/kind"))
}

impl ChaosMesh {
    /// One that has seen nothing yet.
    ///
    /// # Errors
    /// Without loopback addresses.
    pub fn new() -> anyhow::Result<Self> {
        let registry = Arc::new(Registry {
            store: Store::new(Clock::new()),
            addresses: Addresses::claim()?,
            logs: Default::default(),
            kills: Default::default(),
            starting: Default::default(),
        });
        let manager = Controller::new(None, Arc::new(Dns(registry.clone())));
        Ok(Self { registry, manager, daemons: Plugin::new(Links::new()) })
    }

    /// Sees an object as it is now. `lacks` is what the node of a pod lacks, as the sandbox's annotation of that name has it.
    pub fn see(&self, object: &Value, lacks: &str) {
        let Some(resource) = resource(object) else { return };
        let mut object = object.clone();
        let mut store = self.registry.store.lock();
        let namespace = Key::new(&NAMESPACES, "", object::namespace(&object));
        if store.get(&namespace).is_none() {
            let name = namespace.name.clone();
            store.put(namespace, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        }
        if resource.kind == "Pod" {
            // A node for each pod, so that each can lack something else.
            let name = object::name(&object).to_owned();
            let annotations = json!({LACKS: lacks});
            let node = json!({"apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "annotations": annotations}});
            store.put(Key::of(&NODES, &node), node);
            object["spec"]["nodeName"] = name.into();
        } else {
            // Later only the model's own changes make a difference. The webhooks of the other cluster may be missing.
            _ = typed::normalise(resource, &mut object);
            admission::complete(resource, &mut object);
        }
        store.put(Key::of(resource, &object), object);
    }

    /// Sees that an object is gone.
    pub fn forget(&self, object: &Value) {
        if let Some(resource) = resource(object) {
            self.registry.store.lock().remove(&Key::of(resource, object));
        }
    }

    /// Forgets the objects of a kind that a new list lacks. Returns their UIDs.
    pub fn forget_others(&self, kind: &str, listed: &BTreeSet<String>) -> Vec<String> {
        let mut store = self.registry.store.lock();
        let is_other =
            |(key, object): &(&Key, &Arc<Value>)| key.resource.kind == kind && !listed.contains(object::uid(object));
        let others: Vec<(Key, String)> =
            store.all().filter(is_other).map(|(key, object)| (key.clone(), object::uid(object).to_owned())).collect();
        others.iter().for_each(|(key, _)| _ = store.remove(key));
        others.into_iter().map(|(_, uid)| uid).collect()
    }

    /// One pass of the manager and of the daemons over everything that was seen. Returns the requests that carry it out, in
    /// order, and when the next pass is due if nothing changes.
    pub fn pass(&mut self) -> (Vec<Request>, Option<Duration>) {
        let before = self.registry.store.lock().revision();
        let next = self.manager.reconcile(&self.registry);
        let next = earlier(next, self.daemons.reconcile(&self.registry));
        let (changes, _) = self.registry.store.changes_since(before).unwrap_or_default();
        (changes.iter().flat_map(requests).collect(), next)
    }
}

/// The requests with which another API server makes the same change.
fn requests(change: &Change) -> Vec<Request> {
    let Key { resource, namespace, name } = &change.key;
    let root = if resource.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", resource.group) };
    let collection = format!("{root}/{}/namespaces/{namespace}/{}", resource.version, resource.plural);
    let object = format!("{collection}/{name}");
    let Some(before) = &change.before else {
        let mut body = Value::clone(&change.after);
        for server_s in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
            object::meta_mut(&mut body).shift_remove(server_s);
        }
        let (path, uid, content_type) = (collection, String::new(), "application/json");
        return vec![Request { creates: true, path, object, uid, content_type, body }];
    };
    let (mut main, mut status) = (Map::new(), Map::new());
    for (key, value) in difference(before, &change.after).as_object().cloned().unwrap_or_default() {
        match key.as_str() {
            "metadata" => {
                let ours = value.as_object().cloned().unwrap_or_default();
                let ours: Map<String, Value> =
                    ours.into_iter().filter(|(key, _)| matches!(key.as_str(), "finalizers" | "annotations")).collect();
                if !ours.is_empty() {
                    main.insert(key, ours.into());
                }
            }
            "status" if resource.has("status") => _ = status.insert(key, value),
            _ => _ = main.insert(key, value),
        }
    }
    // Of a pod, only images change. The other cluster may know more fields of its containers.
    let mut content_type = "application/merge-patch+json";
    if std::ptr::eq(*resource, &PODS)
        && let Some(containers) = main.get_mut("spec").and_then(|spec| spec["containers"].as_array_mut())
    {
        content_type = "application/strategic-merge-patch+json";
        for container in containers {
            *container = json!({"name": container["name"], "image": container["image"]});
        }
    }
    let patch = |path: String, content_type, body: Map<String, Value>| {
        let (creates, object, uid) = (false, object.clone(), object::uid(before).to_owned());
        (!body.is_empty()).then(|| Request { creates, path, object, uid, content_type, body: body.into() })
    };
    let status = patch(format!("{object}/status"), "application/merge-patch+json", status);
    patch(object.clone(), content_type, main).into_iter().chain(status).collect()
}

/// The merge patch from one value to another.
fn difference(before: &Value, after: &Value) -> Value {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else { return after.clone() };
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, value)| {
        let change = old.get(key).map_or_else(|| value.clone(), |old| difference(old, value));
        (key.clone(), change)
    });
    Value::Object(gone.chain(changed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_a_merge_patch() {
        let (before, after) =
            (json!({"a": {"b": 1, "c": [1]}, "d": 2, "e": {}}), json!({"a": {"b": 1, "c": [2]}, "e": {"f": 3}}));
        let patch = difference(&before, &after);
        assert_eq!(patch, json!({"d": null, "a": {"c": [2]}, "e": {"f": 3}}));
        let mut patched = before;
        json_patch::merge(&mut patched, &patch);
        assert_eq!(patched, after);
    }
}
