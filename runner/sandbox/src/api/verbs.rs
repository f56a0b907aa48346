//! Reading and changing objects by requests.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::format::{Form, success};
use super::options::{ListOptions, Query};
use super::route::Route;
use crate::error::ApiError;
use crate::object;
use crate::patch;
use crate::registry::{DeleteOptions, ObjectPart, Registry, Written};
use crate::store::{Key, OutOfRange};

/// An answer before it becomes HTTP.
pub(super) struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self { code: 200, body, warnings: Vec::new() }
    }
}

/// The server's side of one request about objects.
pub(super) struct Verbs<'a> {
    pub registry: &'a Registry,
    pub route: &'a Route,
    pub query: &'a Query,
    pub form: Form,
}

impl Verbs<'_> {
    fn key(&self) -> Result<Key, ApiError> {
        let name = self.route.name.as_deref().ok_or_else(ApiError::method_not_allowed)?;
        Ok(Key::new(self.route.resource, &self.route.namespace, name))
    }

    fn shaped(&self, code: u16, object: &Value) -> Answer {
        let body = self.form.object(self.route.resource, object, &self.registry.store.clock);
        Answer { code, body, warnings: Vec::new() }
    }

    fn written(&self, written: Written) -> Answer {
        let code = if written.created { 201 } else { 200 };
        Answer { warnings: written.warnings, ..self.shaped(code, &written.object) }
    }

    fn current(&self) -> Result<Arc<Value>, ApiError> {
        let key = self.key()?;
        self.registry.store.lock().get(&key).ok_or_else(|| ApiError::not_found(key.resource, &key.name))
    }

    pub fn get(&self) -> Result<Answer, ApiError> {
        let object = self.current()?;
        match self.route.subresource.as_deref() {
            None | Some("status") => Ok(self.shaped(200, &object)),
            Some("scale") => Ok(Answer::ok(scale(&object))),
            Some(_) => Err(ApiError::method_not_allowed()),
        }
    }

    pub fn list(&self, options: &ListOptions) -> Result<Answer, ApiError> {
        let resource = self.route.resource;
        let (objects, version, after) = {
            let tx = self.registry.store.lock();
            match &options.continue_at {
                None => (tx.list(resource, &self.route.namespace), tx.revision(), None),
                Some(token) => {
                    let (version, after) = read_token(token)?;
                    let objects = tx.list_at(resource, &self.route.namespace, version).map_err(|error| match error {
                        OutOfRange::Old(_) => ApiError::expired(
                            "The provided continue parameter is too old to display a consistent list result. You can \
                             start a new list without the continue parameter.",
                        ),
                        OutOfRange::New(latest) => ApiError::too_new(version, latest),
                    })?;
                    (objects, version, Some(after))
                }
            }
        };
        if let Some(asked) = options.version.filter(|asked| *asked > version) {
            return Err(ApiError::too_new(asked, version));
        }
        let place = |o: &Value| (object::namespace(o).to_string(), object::name(o).to_string());
        let selected: Vec<_> = objects
            .iter()
            .filter(|o| self.route.name.is_none() && options.selects(o))
            .filter(|o| after.as_ref().is_none_or(|after| place(o) > *after))
            .collect();
        let page = &selected[..options.limit.unwrap_or(usize::MAX).min(selected.len())];
        let mut meta = json!({"resourceVersion": version.to_string()});
        if let Some(last) = page.last().filter(|_| page.len() < selected.len()) {
            meta["continue"] = write_token(version, &place(last)).into();
            meta["remainingItemCount"] = (selected.len() - page.len()).into();
        }
        let items = page.iter().map(|o| o.as_ref());
        Ok(Answer::ok(self.form.list(resource, items, meta, &self.registry.store.clock)))
    }

    pub fn create(&self, body: Value) -> Result<Answer, ApiError> {
        let options = self.query.write_options()?;
        match self.route.subresource.as_deref() {
            None if self.route.name.is_none() => {
                if self.route.resource.namespaced && self.route.namespace.is_empty() {
                    return Err(ApiError::method_not_allowed());
                }
                self.registry.create(self.route.resource, &self.route.namespace, body, options).map(|w| self.written(w))
            }
            Some("eviction") => {
                let mut delete = self.query.delete_options(&body["deleteOptions"])?;
                delete.dry_run |= options.dry_run;
                let key = self.key()?;
                let name = object::name(&body);
                if !name.is_empty() && name != key.name {
                    return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
                }
                self.registry.evict(&key, &delete)?;
                let done =
                    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
                Ok(Answer { code: 201, body: done, warnings: Vec::new() })
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    pub fn update(&self, body: Value) -> Result<Answer, ApiError> {
        let (key, options) = (self.key()?, self.query.write_options()?);
        match self.route.subresource.as_deref() {
            Some("scale") => {
                let mut object = Value::clone(&*self.current()?);
                set_scale(&mut object, &body)?;
                let written = self.registry.update(&key, ObjectPart::Main, object, options)?;
                Ok(Answer::ok(scale(&written.object)))
            }
            sub => self.registry.update(&key, part(sub)?, body, options).map(|w| self.written(w)),
        }
    }

    pub fn patch(&self, kind: patch::PatchKind, body: Value) -> Result<Answer, ApiError> {
        let (key, options) = (self.key()?, self.query.write_options()?);
        if kind == patch::PatchKind::Apply && self.query.get("fieldManager").is_none() {
            return Err(ApiError::unprocessable(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        match self.route.subresource.as_deref() {
            Some("scale") => {
                let mut object = Value::clone(&*self.current()?);
                let mut wanted = scale(&object);
                patch::apply(kind, &mut wanted, body)?;
                set_scale(&mut object, &wanted)?;
                let written = self.registry.update(&key, ObjectPart::Main, object, options)?;
                Ok(Answer::ok(scale(&written.object)))
            }
            sub => self.registry.patch(&key, part(sub)?, kind, body, options).map(|w| self.written(w)),
        }
    }

    pub fn delete(&self, body: &Value) -> Result<Answer, ApiError> {
        if self.route.subresource.is_some() {
            return Err(ApiError::method_not_allowed());
        }
        let deleted = self.registry.delete(&self.key()?, &self.query.delete_options(body)?)?;
        let resource = self.route.resource;
        // As on the real server, only some kinds come back whole once they are gone.
        let whole = !deleted.gone || matches!(resource.kind, "Pod" | "Service" | "ServiceAccount");
        let mut answer =
            if whole { self.shaped(200, &deleted.object) } else { Answer::ok(success(resource, &deleted.object)) };
        answer.warnings.extend(deleted.warning.map(str::to_string));
        Ok(answer)
    }

    pub fn delete_all(&self, list: &ListOptions, body: &Value) -> Result<Answer, ApiError> {
        let options = self.query.delete_options(body)?;
        let resource = self.route.resource;
        let mut gone = Vec::new();
        for object in self.registry.store.list(resource, &self.route.namespace).iter().filter(|o| list.selects(o)) {
            let options = DeleteOptions { uid: Some(object::uid(object).to_string()), ..options.clone() };
            match self.registry.delete(&Key::of(resource, object), &options) {
                Ok(deleted) => gone.push(deleted.object),
                // Another client was faster.
                Err(error) if matches!(error.code, 404 | 409) => {}
                Err(error) => return Err(error),
            }
        }
        let meta = json!({"resourceVersion": self.registry.store.lock().revision().to_string()});
        let items = gone.iter().map(|o| o.as_ref());
        Ok(Answer::ok(self.form.list(resource, items, meta, &self.registry.store.clock)))
    }
}

fn part(subresource: Option<&str>) -> Result<ObjectPart, ApiError> {
    match subresource {
        None => Ok(ObjectPart::Main),
        Some("status") => Ok(ObjectPart::Status),
        Some("finalize") => Ok(ObjectPart::Whole),
        Some(_) => Err(ApiError::method_not_allowed()),
    }
}

/// The `Scale` of a workload.
fn scale(object: &Value) -> Value {
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"],
            "uid": object["metadata"]["uid"], "resourceVersion": object["metadata"]["resourceVersion"],
            "creationTimestamp": object["metadata"]["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {"replicas": object::number(object, "/status/replicas").unwrap_or(0)},
    })
}

fn set_scale(object: &mut Value, scale: &Value) -> Result<(), ApiError> {
    let replicas = object::number(scale, "/spec/replicas")
        .ok_or_else(|| ApiError::bad_request("a Scale needs the number spec.replicas"))?;
    let version = object::text(scale, "/metadata/resourceVersion");
    if !version.is_empty() {
        object::meta_mut(object).insert("resourceVersion".into(), version.into());
    }
    object["spec"]["replicas"] = replicas.into();
    Ok(())
}

/// The continue token of a list: its version, and the last object that was sent.
fn write_token(version: u64, last: &(String, String)) -> String {
    BASE64_STANDARD.encode(json!([version, last.0, last.1]).to_string())
}

fn read_token(token: &str) -> Result<(u64, (String, String)), ApiError> {
    let decoded = BASE64_STANDARD.decode(token).ok();
    let parts: Option<(u64, String, String)> = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (version, namespace, name) =
        parts.ok_or_else(|| ApiError::bad_request("continue key is not valid: it was not made by this server"))?;
    Ok((version, (namespace, name)))
}
