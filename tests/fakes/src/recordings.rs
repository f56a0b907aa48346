//! Recorded watch streams of a real Chaos Mesh, from `tests/recordings`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

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
            let uid = known.get(&(about.clone(), its.clone())).map(|object| object["metadata"]["uid"].clone());
            let name = format!("{its}.{number:04}");
            let object = json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "shop"},
                "type": line["type"], "reason": line["reason"], "message": line["message"],
                "involvedObject": {"kind": about, "namespace": "shop", "name": its, "uid": uid},
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
