//! An API server without sockets, controllers or clocks: objects in a map, so that tests can pause the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use shakedown_schemas::result::ClusterInfo;

use crate::{Cluster, Kind};

/// How the server treats a request.
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out, and its answer is lost with the connection.
    AnswerLost,
    /// Its outcome is not reported, and it is carried out after this time.
    Late(Unanswered, Duration),
    /// It is not carried out, and answered with this status.
    Refused(u16),
}

/// How an answer stays away.
#[derive(Debug, Clone, Copy)]
pub enum Unanswered {
    /// The connection is reset.
    Reset,
    /// A server between the client and the API server answers with this status.
    Status(u16),
    /// The request gets no answer.
    Silence,
}

/// The number of objects per page.
const PAGE: usize = 2;

type Script = Box<dyn FnMut(&Store, &str) -> Fate + Send>;

/// A server's objects, by their paths.
#[derive(Clone, Default)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    script: Arc<Mutex<Option<Script>>>,
    /// Rings when something has changed.
    changed: Arc<tokio::sync::Notify>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Value>,
    /// The logs of pods, by their paths.
    logs: BTreeMap<String, String>,
    version: u64,
    /// Every change, for watches.
    history: Vec<Past>,
    /// How many times the watches were cut.
    cuts: u64,
    /// Open watches send nothing and do not end.
    is_mute: bool,
    /// Whether the kinds of Chaos Mesh are served.
    chaos: bool,
}

/// A change of an object.
struct Past {
    version: u64,
    path: String,
    event: Value,
}

impl Store {
    /// A connection to it.
    pub fn cluster(&self) -> Cluster {
        let store = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let store = store.clone();
            async move { store.answer(request).await }
        });
        let info = ClusterInfo {
            sandbox: false,
            context: None,
            server: "memory".to_owned(),
            version: "v1.33.0".to_owned(),
            topology: None,
        };
        Cluster {
            client: kube::Client::new(service, "n"),
            info,
            capabilities: crate::Capabilities::default(),
            default_namespace: "n".to_owned(),
            flags: String::new(),
            notify: Arc::new(|_| {}),
            journal: None,
            retry_limit: Duration::from_secs(20),
            ledger: Arc::default(),
            part: 0,
        }
    }

    /// Decides the treatment of each later request by its method and path.
    pub fn script(&self, script: impl FnMut(&Self, &str) -> Fate + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// The path of the objects of a kind.
    pub fn path(kind: Kind, namespace: &str, name: &str) -> String {
        let root = if kind.api_version().contains('/') { "apis" } else { "api" };
        let place = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
        format!("/{root}/{}/{place}{}/{name}", kind.api_version(), kind.plural())
    }

    /// Stores an object like another client, with a new UID.
    pub fn put(&self, kind: Kind, object: Value) -> Value {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let path = Self::path(kind, &text(&object["metadata"]["namespace"]), &text(&object["metadata"]["name"]));
        let made = self.inner().put(path, object);
        self.changed.notify_waiters();
        made
    }

    /// Changes an existing object.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut inner = self.inner();
        let mut object = inner.objects[path].clone();
        change(&mut object);
        inner.keep(path.to_owned(), object);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Sets the log of a pod.
    pub fn set_log(&self, namespace: &str, pod: &str, text: String) {
        self.inner().logs.insert(format!("{}/log", Self::path(Kind::Pod, namespace, pod)), text);
    }

    /// Takes an object away.
    pub fn remove(&self, path: &str) -> Option<Value> {
        let removed = self.inner().remove(path);
        self.changed.notify_waiters();
        removed
    }

    /// Stores an object under its own UID, whether it exists or not.
    pub fn set(&self, kind: Kind, object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let path = Self::path(kind, &text(&object["metadata"]["namespace"]), &text(&object["metadata"]["name"]));
        self.inner().keep(path, object);
        self.changed.notify_waiters();
    }

    /// Serves the kinds of Chaos Mesh from now on.
    pub fn serve_chaos(&self) {
        self.inner().chaos = true;
    }

    /// Ends every waiting watch, like a lost connection.
    pub fn cut(&self) {
        self.inner().cuts += 1;
        self.changed.notify_waiters();
    }

    /// Silences open watches, like a connection that no longer passes packets.
    pub fn mute(&self, is_mute: bool) {
        self.inner().is_mute = is_mute;
        self.changed.notify_waiters();
    }

    /// An object that is there.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.inner().objects.get(path).cloned()
    }

    /// All objects, by path.
    pub fn all(&self) -> Vec<String> {
        self.inner().objects.keys().cloned().collect()
    }

    /// Carries out a delayed request.
    pub fn deliver(&self, method: &Method, uri: &http::Uri, body: &Value) -> (u16, Value) {
        let answer = self.inner().answer(method, uri, body);
        self.changed.notify_waiters();
        answer
    }

    /// Waits for changes of the objects of a list and returns them. Empty after the timeout, and none if the watch is cut. A
    /// watch ends after its first events, and the client begins another one.
    async fn watch(&self, path: &str, query: &str) -> Option<Vec<u8>> {
        let since = query.split('&').find_map(|part| part.strip_prefix("resourceVersion="));
        let since: u64 = since.and_then(|version| version.parse().ok()).unwrap_or_default();
        let cuts = self.inner().cuts;
        let life = query.split('&').find_map(|part| part.strip_prefix("timeoutSeconds="));
        let life = Duration::from_secs(life.and_then(|seconds| seconds.parse().ok()).unwrap_or(290));
        let end = tokio::time::sleep(life);
        tokio::pin!(end);
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.inner();
                if inner.cuts != cuts {
                    return None;
                }
                let of_list = |past: &&Past| {
                    past.version > since && past.path.rsplit_once('/').is_some_and(|(parent, _)| parent == path)
                };
                let lines: Vec<String> =
                    inner.history.iter().filter(of_list).map(|past| format!("{}\n", past.event)).collect();
                if !lines.is_empty() && !inner.is_mute {
                    return Some(lines.concat().into_bytes());
                }
            }
            let is_mute = self.inner().is_mute;
            tokio::select! {
                () = changed => {}
                () = &mut end, if !is_mute => return Some(Vec::new()),
            }
        }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.map_err(std::io::Error::other)?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let asked = format!("{} {}", parts.method, parts.uri.path());
        let fate = match &mut *self.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(script) => script(self, &asked),
            None => Fate::Answered,
        };
        let reset = || Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let query = parts.uri.query().unwrap_or_default();
        if matches!(fate, Fate::Answered) && parts.method == Method::GET && query.contains("watch=") {
            return self
                .watch(parts.uri.path(), query)
                .await
                .map_or_else(reset, |lines| Ok(Response::new(lines.into())));
        }
        let log = self.inner().logs.get(parts.uri.path()).cloned();
        if let (Fate::Answered, Some(log)) = (&fate, log) {
            return Ok(Response::new(log.into_bytes().into()));
        }
        let (code, answer) = match fate {
            Fate::Answered => self.deliver(&parts.method, &parts.uri, &body),
            Fate::AnswerLost => {
                self.deliver(&parts.method, &parts.uri, &body);
                return reset();
            }
            Fate::Late(how, late) => {
                let (store, method, uri) = (self.clone(), parts.method, parts.uri);
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    store.deliver(&method, &uri, &body);
                });
                match how {
                    Unanswered::Reset => return reset(),
                    Unanswered::Status(code) => (code, status(code, "the upstream server did not answer in time")),
                    Unanswered::Silence => std::future::pending().await,
                }
            }
            Fate::Refused(code) => (code, status(code, "refused by the test")),
        };
        let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
        *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
        Ok(response)
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": ""})
}

/// The finalizer of an object that is deleted after its dependants.
const FOREGROUND: &str = "foregroundDeletion";

fn references(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

impl Inner {
    fn put(&mut self, path: String, mut object: Value) -> Value {
        object["metadata"]["uid"] = json!(format!("uid-{}", self.version + 1));
        self.keep(path, object)
    }

    fn keep(&mut self, path: String, mut object: Value) -> Value {
        let change = if self.objects.contains_key(&path) { "MODIFIED" } else { "ADDED" };
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.clone(), object.clone());
        self.note(change, path, &object);
        object
    }

    fn remove(&mut self, path: &str) -> Option<Value> {
        let mut object = self.objects.remove(path)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.note("DELETED", path.to_owned(), &object);
        let waits = |it: &Value| it["metadata"]["finalizers"] == json!([FOREGROUND]) && !self.is_blocked(it);
        let free: Vec<String> = self.objects.iter().filter(|(_, it)| waits(it)).map(|(path, _)| path.clone()).collect();
        free.iter().for_each(|path| _ = self.remove(path));
        Some(object)
    }

    /// Deletes the dependants of an object, as the garbage collector does.
    fn collect(&mut self, owner: &Value) {
        let own = |it: &Value| references(it).any(|reference| reference["uid"] == owner["metadata"]["uid"]);
        let dependants: Vec<String> =
            self.objects.iter().filter(|(_, it)| own(it)).map(|(path, _)| path.clone()).collect();
        for path in dependants {
            let mut there = self.objects[&path].clone();
            if there["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
                self.remove(&path);
            } else {
                there["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
                self.keep(path, there);
            }
        }
    }

    /// Whether a dependant exists that blocks the deletion of an object.
    fn is_blocked(&self, owner: &Value) -> bool {
        let blocks = |it: &Value| it["uid"] == owner["metadata"]["uid"] && it["blockOwnerDeletion"] == true;
        self.objects.values().any(|it| references(it).any(blocks))
    }

    fn note(&mut self, change: &str, path: String, object: &Value) {
        let event = json!({"type": change, "object": object});
        self.history.push(Past { version: self.version, path, event });
    }

    fn answer(&mut self, method: &Method, uri: &http::Uri, body: &Value) -> (u16, Value) {
        let path = uri.path().to_owned();
        let found = self.objects.get(&path).cloned();
        let conflict = || (409, status(409, "it was replaced by another object"));
        match (method.as_str(), found) {
            ("GET", Some(object)) => (200, object),
            ("GET", None) => self.list(&path, uri.query().unwrap_or_default()),
            ("POST", _) if path.ends_with("/selfsubjectaccessreviews") => {
                let mut review = body.clone();
                review["status"] = json!({"allowed": true});
                (201, review)
            }
            ("POST", _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return (409, status(409, "it already exists"));
                }
                if uri.query().is_some_and(|query| query.contains("dryRun")) {
                    return (201, body.clone());
                }
                (201, self.put(path, body.clone()))
            }
            (_, None) => (404, status(404, "there is no such object")),
            ("PUT", Some(there)) => {
                let same = |field: &str| there["metadata"][field] == body["metadata"][field];
                if same("uid") && same("resourceVersion") { (200, self.keep(path, body.clone())) } else { conflict() }
            }
            ("PATCH", Some(mut there)) => {
                let named = |field: &str| !body["metadata"][field].is_null();
                let other = |field: &str| named(field) && body["metadata"][field] != there["metadata"][field];
                if other("uid") || other("resourceVersion") {
                    return conflict();
                }
                merge(&mut there, body);
                if let Some(generation) = there["metadata"]["generation"].as_i64().filter(|_| !body["spec"].is_null()) {
                    there["metadata"]["generation"] = json!(generation + 1);
                }
                let held = there["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
                if !there["metadata"]["deletionTimestamp"].is_null() && !held {
                    self.keep(path.clone(), there.clone());
                    self.remove(&path);
                    return (200, there);
                }
                (200, self.keep(path, there))
            }
            ("DELETE", Some(mut there)) => {
                let wanted = &body["preconditions"];
                let other = |field: &str| !wanted[field].is_null() && wanted[field] != there["metadata"][field];
                if other("uid") || other("resourceVersion") {
                    return conflict();
                }
                let mut finalizers = there["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                if body["propagationPolicy"] == "Foreground" {
                    self.collect(&there);
                    if self.is_blocked(&there) && !finalizers.contains(&json!(FOREGROUND)) {
                        finalizers.push(json!(FOREGROUND));
                    }
                }
                if !finalizers.is_empty() {
                    there["metadata"]["finalizers"] = json!(finalizers);
                    there["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
                    return (200, self.keep(path, there));
                }
                self.remove(&path);
                (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            }
            (other, _) => panic!("{other} {path}"),
        }
    }

    /// The objects of a kind. A path of no kind is not found.
    fn list(&self, path: &str, query: &str) -> (u16, Value) {
        if path == "/apis" {
            return (200, json!({"kind": "APIGroupList", "groups": []}));
        }
        if path == "/api/v1" {
            let verbs = json!(["create", "delete", "get", "list", "patch"]);
            let map = json!({"name": "configmaps", "kind": "ConfigMap", "namespaced": true, "verbs": verbs});
            return (200, json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [map]}));
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let base = if parts[0] == "api" { 2 } else { 3 };
        // One object, or a kind that is not served.
        let unserved = path.contains("chaos-mesh") && !self.chaos;
        if parts.len() < base + 1 || parts.len() == base + 2 || parts.len() == base + 4 || unserved {
            return (404, status(404, "there is no such object"));
        }
        let (root, plural) = (format!("/{}/", parts[..base].join("/")), parts[parts.len() - 1]);
        let namespace = (parts.len() == base + 3).then(|| parts[base + 1]);
        let selector = query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or_default();
        let selector = selector.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let items = self.objects.iter().filter(|(path, object)| {
            let parts: Vec<&str> = path.split('/').collect();
            let its = &object["metadata"];
            path.starts_with(&root)
                && parts[parts.len() - 2] == plural
                && namespace.is_none_or(|namespace| its["namespace"] == namespace)
                && selector.split(',').filter(|it| !it.is_empty()).all(|wanted| {
                    let (key, value) = wanted.split_once('=').unwrap();
                    its["labels"][key] == value
                })
        });
        let items: Vec<&Value> = items.map(|(_, object)| object).collect();
        let parameter = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let mut metadata = json!({"resourceVersion": self.version.max(1).to_string()});
        let from: usize = parameter("continue").and_then(|from| from.parse().ok()).unwrap_or(0);
        let mut to = items.len();
        // Pages are small, so that a client that reads only the first one is detected.
        if parameter("limit").is_some() && from + PAGE < to {
            to = from + PAGE;
            metadata["continue"] = json!(to.to_string());
        }
        let page = &items[from.min(to)..to];
        (200, json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page}))
    }
}

fn merge(there: &mut Value, patch: &Value) {
    let (Some(there), Some(patch)) = (there.as_object_mut(), patch.as_object()) else { return };
    for (key, value) in patch {
        match value {
            Value::Null => _ = there.remove(key),
            Value::Object(_) => merge(there.entry(key.clone()).or_insert_with(|| json!({})), value),
            _ => _ = there.insert(key.clone(), value.clone()),
        }
    }
}
