//! Namespaces: each has a default service account, and one that is deleted is emptied first.

use std::time::Duration;

use serde_json::json;

use crate::object;
use crate::registry::{DeleteOptions, Propagation, Registry, WriteOptions};
use crate::resource::{NAMESPACES, SERVICE_ACCOUNTS};
use crate::store::Key;

/// Reconciles every namespace.
pub(crate) fn reconcile(registry: &Registry) -> Option<Duration> {
    for namespace in registry.store.list(&NAMESPACES, "") {
        let name = object::name(&namespace);
        if object::is_terminating(&namespace) {
            empty(registry, name, object::uid(&namespace));
        } else if registry.store.get(&SERVICE_ACCOUNTS, name, "default").is_none() {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
            // It is refused only when the namespace was deleted in the meantime.
            let _ = registry.create(&SERVICE_ACCOUNTS, name, account, WriteOptions::default());
        }
    }
    None
}

fn empty(registry: &Registry, name: &str, uid: &str) {
    let inside: Vec<_> = {
        let tx = registry.store.lock();
        tx.all().filter(|(key, _)| key.namespace == name).map(|(key, object)| (key.clone(), object.clone())).collect()
    };
    for (key, object) in inside.iter().filter(|(_, object)| !object::is_terminating(object)) {
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::of(object::uid(object)) };
        // It is already gone, or replaced by another object, which the next round handles.
        let _ = registry.delete(key, &options);
    }
    if registry.store.lock().all().all(|(key, _)| key.namespace != name) {
        let key = Key::new(&NAMESPACES, "", name);
        registry.modify(&key, uid, |namespace| namespace["spec"]["finalizers"] = json!([]));
    }
}
