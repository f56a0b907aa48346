//! Garbage collection: deletes objects whose owners are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::object;
use crate::registry::{DeleteOptions, Propagation, Registry};
use crate::resource;
use crate::store::Key;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Deletes dependants without owners, and releases owners that waited for their dependants.
pub(crate) fn reconcile(registry: &Registry) -> Option<Duration> {
    let objects: Vec<(Key, Arc<Value>)> =
        registry.store.lock().all().map(|(key, object)| (key.clone(), object.clone())).collect();
    let owners: BTreeMap<&str, (&Key, &Value)> =
        objects.iter().map(|(key, object)| (object::uid(object), (key, object.as_ref()))).collect();
    let mut held: BTreeSet<&str> = BTreeSet::new();
    for (key, object) in &objects {
        let references = object::list(object, "/metadata/ownerReferences");
        if references.is_empty() {
            continue;
        }
        for reference in references.iter().filter(|r| r["blockOwnerDeletion"] == true) {
            held.extend(reference["uid"].as_str());
        }
        collect(registry, key, object, references, &owners);
    }
    for (key, object) in objects.iter().filter(|(_, o)| object::is_terminating(o)) {
        let uid = object::uid(object);
        if object::has_finalizer(object, ORPHAN) {
            for (key, dependant) in objects.iter().filter(|(_, o)| is_owned_by(o, uid)) {
                registry.modify(key, object::uid(dependant), |o| retain_owners(o, |r| r["uid"] != uid));
            }
            remove_finalizer(registry, key, uid, ORPHAN);
        } else if object::has_finalizer(object, FOREGROUND) && !held.contains(uid) {
            remove_finalizer(registry, key, uid, FOREGROUND);
        }
    }
    None
}

fn collect(
    registry: &Registry,
    key: &Key,
    dependant: &Value,
    references: &[Value],
    owners: &BTreeMap<&str, (&Key, &Value)>,
) {
    let (mut solid, mut leaving, mut dangling) = (0, 0, Vec::new());
    for reference in references {
        match owner_of(key, reference, owners) {
            Owner::Here(owner) if object::is_terminating(owner) && object::has_finalizer(owner, FOREGROUND) => {
                leaving += 1
            }
            Owner::Here(_) | Owner::Unknown => solid += 1,
            Owner::Gone => dangling.extend(reference["uid"].as_str()),
        }
    }
    let uid = object::uid(dependant);
    if solid > 0 {
        if !dangling.is_empty() {
            registry.modify(key, uid, |o| retain_owners(o, |r| !dangling.iter().any(|gone| r["uid"] == *gone)));
        }
    } else if !object::is_terminating(dependant) {
        // Dependants of an owner that waits are themselves deleted in the foreground.
        let propagation = if leaving > 0 { Propagation::Foreground } else { Propagation::Background };
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::of(uid) };
        if let Err(error) = registry.delete(key, &options) {
            tracing::debug!(kind = key.resource.kind, name = %key.name, %error, "not collected");
        }
    }
}

enum Owner<'a> {
    Here(&'a Value),
    Gone,
    /// The kind is not served: the owner is unknown.
    Unknown,
}

fn owner_of<'a>(dependant: &Key, reference: &Value, owners: &BTreeMap<&str, (&'a Key, &'a Value)>) -> Owner<'a> {
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let Some(resource) = resource::find_kind(text("apiVersion"), text("kind")) else { return Owner::Unknown };
    match owners.get(text("uid")) {
        Some((key, owner))
            if key.resource == resource
                && key.name == text("name")
                && (!resource.namespaced || key.namespace == dependant.namespace) =>
        {
            Owner::Here(owner)
        }
        _ => Owner::Gone,
    }
}

fn is_owned_by(object: &Value, uid: &str) -> bool {
    object::list(object, "/metadata/ownerReferences").iter().any(|r| r["uid"] == uid)
}

fn retain_owners(object: &mut Value, keep: impl Fn(&Value) -> bool) {
    let left: Vec<Value> =
        object::list(object, "/metadata/ownerReferences").iter().filter(|r| keep(r)).cloned().collect();
    let meta = object::meta_mut(object);
    if left.is_empty() {
        meta.shift_remove("ownerReferences");
    } else {
        meta.insert("ownerReferences".into(), left.into());
    }
}

fn remove_finalizer(registry: &Registry, key: &Key, uid: &str, finalizer: &str) {
    registry.modify(key, uid, |object| {
        let left: Vec<Value> =
            object::list(object, "/metadata/finalizers").iter().filter(|f| *f != finalizer).cloned().collect();
        object::meta_mut(object).insert("finalizers".into(), left.into());
    });
}
