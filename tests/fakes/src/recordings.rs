//! Recorded watch streams of Chaos Mesh: those of `tests/recordings`, which are shortened, and those that
//! `shakedown run --record` writes.

mod trace;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

pub use trace::Trace;

/// One event of a recorded watch.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub change: String,
    /// The kind of the object.
    pub kind: String,
    /// The name of the object.
    pub name: String,
    /// The object after this event.
    pub object: Value,
}

/// The events of a recording, in their order.
///
/// # Panics
/// When there is no such recording, or it cannot be read.
pub fn read(name: &str) -> Vec<Recorded> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings").join(format!("{name}.ndjson"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut known: BTreeMap<(String, String), Value> = BTreeMap::new();
    let lines = text.lines().enumerate().map(|(number, line)| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        if line["kind"] == "Event" {
            let (about, its) = (word("about"), word("name"));
            let metadata = known.get(&(about.clone(), its.clone())).map(|object| &object["metadata"]);
            let uid = metadata.map(|metadata| metadata["uid"].clone());
            let namespace = metadata.and_then(|metadata| metadata["namespace"].as_str()).unwrap_or("shop");
            let name = format!("{its}.{number:04}");
            let object = json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
                "type": line["type"], "reason": line["reason"], "message": line["message"],
                "involvedObject": {
                    "apiVersion": "chaos-mesh.org/v1alpha1", "kind": about, "namespace": namespace, "name": its, "uid": uid,
                },
            });
            return Recorded { change: "ADDED".to_owned(), kind: word("kind"), name, object };
        }
        let (kind, name) = (word("kind"), word("name"));
        let object = known.entry((kind.clone(), name.clone())).or_insert_with(|| json!({}));
        merge(object, &line["change"]);
        object["kind"] = json!(kind);
        object["apiVersion"] = json!("chaos-mesh.org/v1alpha1");
        Recorded { change: word("type"), kind, name, object: object.clone() }
    });
    lines.collect()
}

/// The events in a folder that `shakedown run --record` has written, in the order of the server's resource versions.
///
/// # Panics
/// When the folder or a line in it cannot be read.
pub fn folder(path: &Path) -> Vec<Recorded> {
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "ndjson"));
    files.sort();
    let mut events: Vec<(u64, Recorded)> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        for line in text.lines() {
            let mut line: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let object = line["object"].take();
            let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let version = word("/metadata/resourceVersion").parse().expect("a resource version");
            let change = line["type"].as_str().expect("a type").to_owned();
            let (kind, name) = (word("/kind"), word("/metadata/name"));
            events.push((version, Recorded { change, kind, name, object }));
        }
    }
    events.sort_by_key(|(version, _)| *version);
    events.into_iter().map(|(_, event)| event).collect()
}

/// The first event of a run's own resource.
pub fn first(events: &[Recorded]) -> Option<&Recorded> {
    events.iter().find(|event| event.name.starts_with("shakedown-") && event.kind != "Event")
}

fn merge(there: &mut Value, patch: &Value) {
    let (Some(map), Some(patch)) = (there.as_object_mut(), patch.as_object()) else {
        *there = patch.clone();
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => _ = map.remove(key),
            Value::Object(_) => merge(map.entry(key.clone()).or_insert_with(|| json!({})), value),
            _ => _ = map.insert(key.clone(), value.clone()),
        }
    }
}

/// The recorded answers of a kubelet to `stats/summary`, in their order.
///
/// # Panics
/// When the recording is missing, or it cannot be read.
pub fn usage() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/usage.ndjson");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let answer = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["answer"].take();
    text.lines().map(answer).collect()
}
