//! Events: human-readable records about objects.

use serde_json::{Value, json};

use crate::object;
use crate::registry::{Registry, WriteOptions, random_suffix};
use crate::resource::EVENTS;
use crate::store::Key;

/// Records an event about an object. Repeated events are counted.
pub(crate) fn emit(registry: &Registry, about: &Value, component: &str, warning: bool, reason: &str, message: &str) {
    let namespace = match object::namespace(about) {
        "" => "default",
        namespace => namespace,
    };
    let same = registry.store.list(&EVENTS, namespace).into_iter().find(|event| {
        object::text(event, "/involvedObject/uid") == object::uid(about)
            && object::text(event, "/reason") == reason
            && object::text(event, "/message") == message
    });
    let now = registry.store.clock.stamp();
    if let Some(event) = same {
        registry.modify(&Key::of(&EVENTS, &event), object::uid(&event), |event| {
            event["count"] = (object::number(event, "/count").unwrap_or(1) + 1).into();
            event["lastTimestamp"] = now.into();
        });
        return;
    }
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{}", object::name(about), random_suffix(16)), "namespace": namespace},
        "involvedObject": {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "name": object::name(about),
            "namespace": about["metadata"].get("namespace"), "uid": object::uid(about),
            "resourceVersion": about["metadata"]["resourceVersion"],
        },
        "type": if warning { "Warning" } else { "Normal" },
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    });
    // It is refused only while the namespace is being deleted. Its events are then not needed.
    let _ = registry.create(&EVENTS, namespace, event, WriteOptions::default());
}
