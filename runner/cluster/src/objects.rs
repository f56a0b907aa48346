//! Single actions on objects: create, read, delete, label. Each has a time limit. Requests that are safe to repeat are
//! retried a few times if the server is overloaded or the connection breaks, and every retry is an event.

use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};
use shakedown_schemas::EventKind;
use tokio::time::Instant;

use super::claims::{Begun, LATEST};
use super::ledger;
use super::{Cluster, ClusterError, Kind};
use crate::journal::Outcome;
use crate::keys::{ObjectAction, ObjectKey};
use crate::labels;

/// The timeout of one request. Short enough that ten seconds without an answer leave time for a second attempt.
const REQUEST_LIMIT: Duration = Duration::from_secs(8);

impl Cluster {
    pub(super) fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &kind.resource())
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
        }
    }

    /// One request, bounded in time.
    pub(super) async fn once<T>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        match tokio::time::timeout(REQUEST_LIMIT, request).await {
            Err(_) => Err(ClusterError::Timeout { action: action.to_owned(), limit: REQUEST_LIMIT }),
            Ok(Err(error)) => Err(ClusterError::from_kube(action, &error)),
            Ok(Ok(value)) => Ok(value),
        }
    }

    /// A request that is safe to repeat.
    pub(super) async fn repeated<T, F, R>(&self, action: &str, request: F) -> Result<T, ClusterError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, kube::Error>>,
    {
        self.tried(action, request, |_| {}).await
    }

    /// The same for an action that needs an undo: an unanswered attempt may be carried out late, and is recorded.
    async fn acted<T, F, R>(&self, begun: &Begun<'_>, action: &str, request: F) -> Result<T, ClusterError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, kube::Error>>,
    {
        let note = |error: &ClusterError| {
            if error.is_unclear() {
                self.ledger().unclear(begun.claim, Instant::now() + LATEST);
                // Immediately: a run that is killed after the next attempt was answered must not forget this one.
                begun.unclear(error);
            }
        };
        self.tried(action, request, note).await
    }

    /// The same. `note` receives every error, including those of attempts that are repeated.
    pub(super) async fn tried<T, F, R>(
        &self,
        action: &str,
        mut request: F,
        note: impl Fn(&ClusterError),
    ) -> Result<T, ClusterError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, kube::Error>>,
    {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(200);
        for attempt in 1.. {
            let answer = self.once(action, request()).await;
            let Err(error) = &answer else { return answer };
            note(error);
            let wait = pause.max(error.wait());
            if !error.is_transient() || begun.elapsed() + wait >= self.retry_limit {
                return answer;
            }
            (self.notify)(EventKind::ApiRetry { request: action.to_owned(), error: error.to_string(), attempt });
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        unreachable!("the loop only ends by returning")
    }

    /// Creates an object and returns it as the server keeps it. The request contains a token, which distinguishes the
    /// object of an earlier attempt from that of another client.
    ///
    /// # Errors
    /// `Conflict` when there is another object of that name; else when the server refuses it or does not answer.
    pub async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, ClusterError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let action = format!("create {} {name} in namespace {namespace}", kind.kubectl());
        let key = ObjectKey { kind, namespace: namespace.to_owned(), name, uid: None };
        let typed = typed(&action, object)?;
        let api = self.api(kind, namespace);
        let parameters = PostParams::default();
        let begun = self.begin(&action, &ObjectAction::Create(key.clone()), None, &ledger::token())?;
        let request = || {
            let mark = self.ledger().another_try(begun.claim);
            let mut sent = typed.clone();
            sent.metadata.annotations.get_or_insert_default().insert(labels::CREATED.to_owned(), mark);
            let (api, parameters) = (&api, &parameters);
            async move { api.create(parameters, &sent).await }
        };
        let answer = match self.acted(&begun, &action, request).await {
            Ok(created) => Ok(to_value(&created)),
            Err(ClusterError::Conflict { action, message }) => self
                .get(&key)
                .await
                .map(|there| there.filter(|there| self.ledger().owns(&key, there)))
                .and_then(|there| there.ok_or(ClusterError::Conflict { action, message })),
            Err(error) => Err(error),
        };
        begun.end(answer)
    }

    /// Replaces an object of the same name and version. Sent once: a repetition would conflict with its own change.
    ///
    /// # Errors
    /// `Conflict` when it is another version by now; else when the server refuses or does not answer.
    pub async fn replace(&self, key: &ObjectKey, object: &Value) -> Result<Value, ClusterError> {
        let action = format!("replace {key}");
        let typed = typed(&action, object)?;
        let api = self.api(key.kind, &key.namespace);
        let replaced = self.once(&action, api.replace(&key.name, &PostParams::default(), &typed)).await?;
        Ok(to_value(&replaced))
    }

    /// Reads an object. None if it does not exist or has another UID than the key.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        let api = self.api(key.kind, &key.namespace);
        let answer = self.repeated(&format!("read {key}"), || api.get(&key.name)).await;
        self.seen(key, answer)
    }

    /// The same without retries, for callers that poll.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn get_once(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        let api = self.api(key.kind, &key.namespace);
        let answer = self.once(&format!("read {key}"), api.get(&key.name)).await;
        self.seen(key, answer)
    }

    /// The object if it exists. The ledger records objects that are proven to be gone by this.
    fn seen(
        &self,
        key: &ObjectKey,
        answer: Result<DynamicObject, ClusterError>,
    ) -> Result<Option<Value>, ClusterError> {
        let there = match answer {
            Ok(object) => Some(to_value(&object)),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let gone = self.ledger().seen(key, there.as_ref());
        self.note_gone(gone);
        let same = |object: &Value| key.uid.as_deref().is_none_or(|uid| object["metadata"]["uid"] == uid);
        Ok(there.filter(same))
    }

    /// Deletes one of our objects. Its dependants follow. An object of a manifest stays until those dependants are gone that
    /// block its deletion. It is no error if the object is already gone, or if another client's object has this name, which
    /// stays. The server's acceptance does not mean that the object is gone.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), ClusterError> {
        self.ledger().undone(key);
        let Some(key) = self.own_key(key).await? else { return Ok(()) };
        let action = format!("delete {key}");
        // A journal that cannot be written must not prevent the undo.
        let entry = self.intend(&action, &ObjectAction::Delete(key.clone())).ok().flatten();
        let answer = self.delete_now(&action, &key).await;
        self.settle(entry, &answer);
        answer
    }

    async fn delete_now(&self, action: &str, key: &ObjectKey) -> Result<(), ClusterError> {
        let api = self.api(key.kind, &key.namespace);
        let mut parameters = match key.kind {
            // The NetworkChaos of a Schedule acts, not the Schedule.
            Kind::Other(_) => DeleteParams::foreground(),
            _ => DeleteParams::background(),
        };
        parameters.preconditions = Some(Preconditions { uid: key.uid.clone(), resource_version: None });
        match self.repeated(action, || api.delete(&key.name, &parameters)).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => {
                self.gone(key, None);
                Ok(())
            }
            // Another object has this name now, so ours is gone.
            Err(ClusterError::Conflict { .. }) => match self.get(key).await? {
                None => Ok(()),
                Some(_) => Err(ClusterError::Conflict {
                    action: action.to_owned(),
                    message: "the object changes too often".to_owned(),
                }),
            },
            Err(error) => Err(error),
        }
    }

    /// Deletes an object if it was not changed since it was read. False if it was.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn delete_as_read(&self, key: &ObjectKey, version: &str) -> Result<bool, ClusterError> {
        let action = format!("delete {key}");
        let entry = self.intend(&action, &ObjectAction::Delete(key.clone())).ok().flatten();
        let api = self.api(key.kind, &key.namespace);
        let mut parameters = DeleteParams::background();
        parameters.preconditions =
            Some(Preconditions { uid: key.uid.clone(), resource_version: Some(version.to_owned()) });
        let answer = match self.repeated(&action, || api.delete(&key.name, &parameters)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(true),
            Err(ClusterError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        self.settle(entry, &answer);
        answer
    }

    /// Sets a label on an object, or removes it if there is no value. With a UID in the key, another object of the same name
    /// is not changed (`Conflict`).
    ///
    /// # Errors
    /// When the object is not there, the server refuses, or it does not answer.
    pub async fn label(&self, key: &ObjectKey, label: &str, value: Option<&str>) -> Result<(), ClusterError> {
        let api = self.api(key.kind, &key.namespace);
        let mut metadata = json!({"labels": {label: value}});
        if let Some(uid) = &key.uid {
            metadata["uid"] = json!(uid);
        }
        let patch = Patch::Merge(json!({"metadata": metadata}));
        let parameters = PatchParams::default();
        let action = format!("label {key}");
        let patched = || api.patch(&key.name, &parameters, &patch);
        if value.is_some() {
            let act = ObjectAction::Mark(key.clone(), label.to_owned());
            let begun = self.begin(&action, &act, Some(label), "")?;
            let answer = self.acted(&begun, &action, patched).await.map(|object| to_value(&object));
            return begun.end(answer).map(|_| ());
        }
        let entry = self.intend(&action, &ObjectAction::Unmark(key.clone(), label.to_owned())).ok().flatten();
        let answer = self.repeated(&action, patched).await.map(|_| ());
        self.settle(entry, &answer);
        // If the object is gone or was replaced, the label is gone with it.
        if matches!(&answer, Ok(()) | Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. })) {
            self.unmarked(key, label);
        }
        answer
    }

    /// Changes fields of one of our objects and returns it. Another object of the same name is not changed (`Conflict`, or
    /// `NotFound` if none was ours). For changes that need no undo of their own.
    ///
    /// # Errors
    /// When the object is not there, the server refuses, or it does not answer.
    pub async fn patch(&self, key: &ObjectKey, fields: &Value) -> Result<Value, ClusterError> {
        let action = format!("change {key}");
        let key = self.own_key(key).await?;
        let key = key.ok_or_else(|| {
            ClusterError::NotFound(format!("could not {action}: the object does not belong to shakedown").into())
        })?;
        let api = self.api(key.kind, &key.namespace);
        let mut fields = fields.clone();
        fields["metadata"]["uid"] = json!(key.uid);
        let patch = Patch::Merge(fields);
        let parameters = PatchParams::default();
        self.repeated(&action, || api.patch(&key.name, &parameters, &patch)).await.map(|object| to_value(&object))
    }

    /// The same without retries, for callers that poll. The key names the object by its UID. The fields may contain the
    /// version to change (`Conflict` if the object has another one by now).
    ///
    /// # Errors
    /// When the object is not there, is another one or another version, the server refuses, or it does not answer.
    pub async fn patch_once(&self, key: &ObjectKey, fields: &Value) -> Result<Value, ClusterError> {
        let api = self.api(key.kind, &key.namespace);
        let mut fields = fields.clone();
        fields["metadata"]["uid"] = json!(key.uid);
        let patch = Patch::Merge(fields);
        let action = format!("change {key}");
        let patched = self.once(&action, api.patch(&key.name, &PatchParams::default(), &patch)).await?;
        Ok(to_value(&patched))
    }

    /// Records an action in the journal, if there is one. If this fails, the action must not be taken.
    pub(super) fn intend(&self, action: &str, act: &ObjectAction) -> Result<Option<u64>, ClusterError> {
        let Some(journal) = &self.journal else { return Ok(None) };
        journal.intend(act, |command| self.by_hand(command)).map(Some).map_err(|error| ClusterError::Other {
            action: action.to_owned(),
            message: format!("the journal could not be written first: {error}"),
            transient: false,
        })
    }

    /// Records the outcome of an action that needs no undo.
    pub(super) fn settle<T>(&self, entry: Option<u64>, answer: &Result<T, ClusterError>) {
        if let (Some(journal), Some(entry)) = (&self.journal, entry) {
            // A missing object needs no undo.
            match answer.as_ref().err().filter(|error| !error.is_not_found()) {
                None => journal.settle(entry, Outcome::Done(None)),
                Some(error) => journal.settle(entry, Outcome::Failed(error.to_string())),
            }
        }
    }
}

fn typed(action: &str, object: &Value) -> Result<DynamicObject, ClusterError> {
    serde_json::from_value(object.clone()).map_err(|error| ClusterError::Other {
        action: action.to_owned(),
        message: error.to_string(),
        transient: false,
    })
}

pub(super) fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
