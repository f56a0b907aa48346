//! Another actor in the runner's namespace: a client that is no part of the program, with objects of its own, which creates,
//! deletes and changes what it likes, right before a call of the runner. What it has is its own, and must stay as it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::mix::VICTIM;
use super::server::{Collection, Server, is_managed};
use crate::support::leftovers::marks;

/// The label of everything that the actor creates.
pub const STRANGER: &str = "campaign.example/stranger";
/// A finalizer of the actor's.
const HOLD: &str = "campaign.example/hold";
/// How long it keeps an object by its finalizer: much less than the program's `--undo-timeout` in the campaigns.
const HELD: Duration = Duration::from_secs(3);
/// How long it waits for an object that it deleted.
const GOING: Duration = Duration::from_secs(2);
/// The pause before it tries again to remove its finalizer.
const AGAIN: Duration = Duration::from_millis(100);
const MERGE: &str = "application/merge-patch+json";

/// What the actor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interference {
    /// Creates an object of the name that the runner is about to create.
    Create,
    /// Copies one of the runner's objects, with its labels and annotations, under another name.
    Copy,
    /// Deletes one of the runner's objects.
    Delete,
    /// The same, and creates one of its own under that name.
    Replace,
    /// Takes all labels and annotations off one of the runner's objects, or a mark off a target.
    Unlabel,
    /// Changes what one of the runner's objects says.
    Change,
    /// Adds a finalizer to one of the runner's objects, and takes it off after a while.
    Hold,
}

impl Interference {
    pub const ALL: [Self; 7] =
        [Self::Delete, Self::Replace, Self::Unlabel, Self::Change, Self::Hold, Self::Copy, Self::Create];

    /// In words, for the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "creates our next name",
            Self::Copy => "copies an object of ours",
            Self::Delete => "deletes an object of ours",
            Self::Replace => "replaces an object of ours",
            Self::Unlabel => "removes labels of ours",
            Self::Change => "changes an object of ours",
            Self::Hold => "holds an object by a finalizer",
        }
    }
}

/// Whether the actor made an object.
pub fn is_strange(object: &Value) -> bool {
    !object["metadata"]["labels"][STRANGER].is_null()
}

/// The actor of one namespace.
pub struct Actor {
    server: Server,
    namespace: String,
    /// Objects that are not the runner's, by their paths, as they were made.
    strange: Mutex<Vec<(String, Value)>>,
    /// What it did, in words.
    done: Mutex<Vec<String>>,
}

impl Actor {
    /// Moves into a namespace: everything that is there is a stranger's, and it brings objects of its own of each kind.
    pub async fn move_in(server: &Server, namespace: &str) -> Arc<Self> {
        let this = Self {
            server: server.clone(),
            namespace: namespace.to_owned(),
            strange: Mutex::default(),
            done: Mutex::default(),
        };
        for collection in server.collections() {
            let path = collection.path(namespace);
            for object in server.items(&path).await {
                let name = name(&object);
                // That one is killed.
                if name != VICTIM {
                    this.remember(format!("{path}/{name}"), object);
                }
            }
            this.create(collection, json!({"name": "theirs"})).await;
        }
        Arc::new(this)
    }

    /// What it did so far, in words.
    pub fn done(&self) -> Vec<String> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was touched of the strangers' objects: each must be there, by its UID, and say what it said.
    pub async fn touched(&self) -> Vec<String> {
        let strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut touched = Vec::new();
        for (path, before) in strange {
            let (status, now) = self.server.ask(Method::GET, &path, None).await;
            if status == StatusCode::NOT_FOUND {
                touched.push(format!("{path} is gone"));
            } else if now["metadata"]["uid"] != before["metadata"]["uid"] {
                touched.push(format!("{path} is another object"));
            } else if content(&now) != content(&before) {
                touched.push(format!("{path} was {} and is {}", content(&before), content(&now)));
            }
        }
        touched
    }

    /// Takes its copies of the runner's objects away: what carries the runner's labels is the runner's to a sweep by labels.
    pub async fn take_copies_away(&self) {
        let strange = std::mem::take(&mut *self.strange.lock().unwrap_or_else(PoisonError::into_inner));
        let (copies, others): (Vec<_>, Vec<_>) = strange.into_iter().partition(|(_, object)| is_managed(object));
        for (path, _) in copies {
            self.server.ask(Method::DELETE, &format!("{path}?gracePeriodSeconds=0"), None).await;
        }
        *self.strange.lock().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// Acts right before a request of the runner. `pick` chooses among what is there.
    pub async fn act(&self, what: Interference, pick: usize, method: &Method, path: &str, body: &Value) {
        if what == Interference::Create {
            let collection = self.server.collections().into_iter().find(|it| it.path(&self.namespace) == path);
            if let Some(collection) = collection.filter(|_| method == Method::POST) {
                self.note(format!("created {}/{}", collection.plural, name(body)));
                self.create(collection, json!({"name": name(body)})).await;
            }
            return;
        }
        let mut there = Vec::new();
        for collection in self.server.collections() {
            for object in self.server.items(&collection.path(&self.namespace)).await {
                let marked = what == Interference::Unlabel && marks(&object).next().is_some();
                if (is_managed(&object) && !is_strange(&object)) || marked {
                    there.push((collection, object));
                }
            }
        }
        if there.is_empty() {
            return;
        }
        let (collection, object) = there.swap_remove(pick % there.len());
        let path = format!("{}/{}", collection.path(&self.namespace), name(&object));
        self.note(format!("{what:?} of {}/{}", collection.plural, name(&object)));
        match what {
            Interference::Create => {}
            Interference::Copy => {
                let annotations = object["metadata"]["annotations"].clone();
                let labels = object["metadata"]["labels"].clone();
                let metadata =
                    json!({"name": format!("{}-copy", name(&object)), "labels": labels, "annotations": annotations});
                self.create(collection, metadata).await;
            }
            Interference::Delete => self.delete(&path).await,
            Interference::Replace => {
                self.delete(&path).await;
                let gone = async {
                    while self.server.ask(Method::GET, &path, None).await.0 != StatusCode::NOT_FOUND {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                if tokio::time::timeout(GOING, gone).await.is_ok() {
                    self.create(collection, json!({"name": name(&object)})).await;
                }
            }
            Interference::Unlabel if is_managed(&object) => {
                self.patch(&path, json!({"metadata": {"labels": null, "annotations": null}})).await;
            }
            Interference::Unlabel => {
                let off: serde_json::Map<_, _> = marks(&object).map(|mark| (mark.clone(), Value::Null)).collect();
                self.patch(&path, json!({"metadata": {"labels": off}})).await;
            }
            Interference::Change => self.patch(&path, change(collection.plural)).await,
            Interference::Hold => {
                let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                finalizers.push(json!(HOLD));
                self.patch(&path, json!({"metadata": {"finalizers": finalizers}})).await;
                let server = self.server.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(HELD).await;
                    release(&server, &path).await;
                });
            }
        }
    }

    fn note(&self, text: String) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn remember(&self, path: String, object: Value) {
        self.strange.lock().unwrap_or_else(PoisonError::into_inner).push((path, object));
    }

    async fn create(&self, collection: Collection, mut metadata: Value) {
        if !metadata["labels"].is_object() {
            metadata["labels"] = json!({});
        }
        metadata["labels"][STRANGER] = json!("true");
        let mut object = own(collection.plural, &self.namespace);
        object["apiVersion"] = json!(collection.version());
        object["kind"] = json!(collection.kind);
        object["metadata"] = metadata;
        let path = collection.path(&self.namespace);
        let (status, made) = self.server.ask(Method::POST, &path, Some(("application/json", object.clone()))).await;
        match status {
            StatusCode::CONFLICT => {}
            status if status.is_success() => self.remember(format!("{path}/{}", name(&object)), made),
            status => panic!("the actor could not create {object}: {status} {made}"),
        }
    }

    async fn delete(&self, path: &str) {
        self.server.ask(Method::DELETE, &format!("{path}?gracePeriodSeconds=0"), None).await;
    }

    async fn patch(&self, path: &str, fields: Value) {
        // Some of it is refused, as by a webhook that keeps what Chaos Mesh does from being changed.
        self.server.ask(Method::PATCH, path, Some((MERGE, fields))).await;
    }
}

/// Takes the actor's finalizer off, whatever the server or the network does meanwhile.
async fn release(server: &Server, path: &str) {
    loop {
        if let Ok((status, object)) = server.try_ask(Method::GET, path, None).await {
            let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            if status == StatusCode::NOT_FOUND || (status.is_success() && !finalizers.contains(&json!(HOLD))) {
                return;
            }
            let others: BTreeSet<&str> = finalizers.iter().filter_map(Value::as_str).filter(|it| *it != HOLD).collect();
            let version = &object["metadata"]["resourceVersion"];
            let fields = json!({"metadata": {"resourceVersion": version, "finalizers": others}});
            _ = server.try_ask(Method::PATCH, path, Some((MERGE, fields))).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// What an object of the actor's own says. It does nothing.
fn own(plural: &str, namespace: &str) -> Value {
    let containers = json!([{"name": "c", "image": "nothing.invalid/nothing"}]);
    match plural {
        "networkpolicies" => {
            json!({"spec": {"podSelector": {"matchLabels": {"no": "pod"}}, "policyTypes": ["Ingress"]}})
        }
        "configmaps" => json!({"data": {"whose": "theirs"}}),
        "leases" => json!({"spec": {"holderIdentity": "a-stranger", "leaseDurationSeconds": 30}}),
        "jobs" => json!({"spec": {
            "parallelism": 0, "completions": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": containers}},
        }}),
        "pods" => json!({"spec": {
            "schedulerName": "nobody", "automountServiceAccountToken": false, "containers": containers,
        }}),
        _ => json!({"spec": {
            "action": "loss", "mode": "all", "direction": "to", "loss": {"loss": "1"},
            "selector": {"pods": {namespace: ["no-pod"]}},
        }}),
    }
}

/// What the actor writes into an object of the runner's.
fn change(plural: &str) -> Value {
    match plural {
        "networkpolicies" => json!({"spec": {"ingress": [{}], "egress": [{}]}}),
        "configmaps" => json!({"data": {"key": "another"}}),
        "leases" => json!({"spec": {"leaseDurationSeconds": 1, "renewTime": "9999-12-31T23:59:59.999999Z"}}),
        "jobs" => json!({"spec": {"ttlSecondsAfterFinished": 86400}}),
        "pods" => json!({"metadata": {"annotations": {"campaign.example/was": "here"}}}),
        _ => json!({"spec": {"loss": {"loss": "0"}}}),
    }
}

/// What an object says, but for what its controllers write: without its status, the runner's marks, and the finalizers of Chaos
/// Mesh.
fn content(object: &Value) -> Value {
    let mut labels = object["metadata"]["labels"].clone();
    for mark in marks(object) {
        labels.as_object_mut().and_then(|labels| labels.remove(mark));
    }
    let mut spec = object["spec"].clone();
    if object["kind"] == "Job" {
        spec = json!({"completions": spec["completions"], "ttl": spec["ttlSecondsAfterFinished"]});
    }
    json!({"labels": labels, "owners": object["metadata"]["ownerReferences"], "spec": spec, "data": object["data"]})
}
