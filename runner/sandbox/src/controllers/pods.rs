//! Functions that all controllers of pods share: finding a pod's owner, creating and deleting pods.

use std::sync::Arc;

use serde_json::{Value, json};

use super::events;
use crate::object;
pub(super) use crate::pod::{is_over, is_ready};
use crate::registry::{DeleteOptions, Registry, WriteOptions};
use crate::resource::{PODS, Resource};
use crate::selector::Labels;
use crate::store::Key;

/// The pods that `owner` controls, after it releases pods whose labels no longer match its selector, and adopts matching
/// pods without a controller.
pub(super) fn claim(registry: &Registry, resource: &'static Resource, owner: &Value) -> Vec<Arc<Value>> {
    let uid = object::uid(owner);
    let selector = Labels::from_selector(&owner["spec"]["selector"]);
    let mut claimed = Vec::new();
    for pod in registry.store.list(&PODS, object::namespace(owner)) {
        let matches = selector.matches(object::labels(&pod));
        let key = Key::of(&PODS, &pod);
        match object::controller_uid(&pod) {
            Some(controller) if controller == uid && matches => claimed.push(pod),
            Some(controller) if controller == uid => registry.modify(&key, object::uid(&pod), |pod| {
                let mut owners = object::list(pod, "/metadata/ownerReferences").to_vec();
                owners.retain(|o| o["uid"] != uid);
                object::meta_mut(pod).insert("ownerReferences".into(), owners.into());
            }),
            None if matches && !is_over(&pod) => registry.modify(&key, object::uid(&pod), |pod| {
                let mut owners = object::list(pod, "/metadata/ownerReferences").to_vec();
                owners.push(object::controller_reference(&resource.api_version(), resource.kind, owner));
                object::meta_mut(pod).insert("ownerReferences".into(), owners.into());
            }),
            _ => {}
        }
    }
    claimed
}

/// A pod from its owner's template, with the owner as its controller.
pub(super) fn from_template(resource: &Resource, owner: &Value) -> Value {
    let mut pod = owner["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    let reference = object::controller_reference(&resource.api_version(), resource.kind, owner);
    object::meta_mut(&mut pod).insert("ownerReferences".into(), json!([reference]));
    pod
}

/// Creates a pod for its owner, and records an event about the result.
pub(super) fn create(registry: &Registry, owner: &Value, component: &str, pod: Value) -> bool {
    match registry.create(&PODS, object::namespace(owner), pod, WriteOptions::default()) {
        Ok(written) => {
            let message = format!("Created pod: {}", object::name(&written.object));
            events::emit(registry, owner, component, false, "SuccessfulCreate", &message);
            true
        }
        Err(error) => {
            events::emit(registry, owner, component, true, "FailedCreate", &format!("Error creating: {error}"));
            false
        }
    }
}

/// Deletes a pod for its owner, and records an event.
pub(super) fn delete(registry: &Registry, owner: &Value, component: &str, pod: &Value) {
    if registry.delete(&Key::of(&PODS, pod), &DeleteOptions::of(object::uid(pod))).is_ok() {
        let message = format!("Deleted pod: {}", object::name(pod));
        events::emit(registry, owner, component, false, "SuccessfulDelete", &message);
    }
}
