//! Creates, updates and deletes objects like an API server, by the same rules for requests and controllers.
//!
//! In scope: names, identities, versions, finalizers and grace periods. Out of scope: HTTP (`api`), the rules
//! of single kinds (`admission`, `validate`) and consequences (`controllers`).

mod delete;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

pub(crate) use delete::{DeleteOptions, Propagation};

use super::addresses::Addresses;
use super::error::{ApiError, Cause};
use super::kills::Kills;
use super::logs::Logs;
use super::resource::{NAMESPACES, Resource};
use super::store::{Key, Store, Transaction};
use super::uid::new_uid;
use super::{admission, custom, object, patch, typed, validate};

/// The objects and the addresses that they have.
#[derive(Debug)]
pub(crate) struct Registry {
    pub store: Store,
    pub addresses: Addresses,
    pub logs: Logs,
    pub kills: Kills,
    /// Whether the sandbox is being started: the pods with which it begins are there without a delay.
    pub starting: AtomicBool,
}

/// The handling of fields that a kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unknown {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so.
    #[default]
    Warn,
    /// Refuse the object.
    Refuse,
}

/// The options of a write.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WriteOptions {
    /// Check everything, store nothing.
    pub dry_run: bool,
    /// The handling of fields that the kind does not have.
    pub unknown: Unknown,
}

/// The outcome of a write.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// The object as stored, or as it would be.
    pub object: Arc<Value>,
    /// Whether it is new.
    pub created: bool,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

/// The part of an object that a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectPart {
    /// All but the status, if the kind has a status subresource.
    Main,
    /// Only the status.
    Status,
    /// Everything: for controllers, which play several roles at once.
    Whole,
}

impl Registry {
    /// Creates an object. The namespace of a namespaced kind comes from the path.
    pub fn create(
        &self,
        resource: &'static Resource,
        namespace: &str,
        object: Value,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        self.create_in(&mut self.store.lock(), resource, namespace, object, options)
    }

    fn create_in(
        &self,
        tx: &mut Transaction<'_>,
        resource: &'static Resource,
        namespace: &str,
        mut object: Value,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        check_kind(resource, &object)?;
        if !object::text(&object, "/metadata/resourceVersion").is_empty() {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        check_namespace(resource, namespace, &mut object)?;
        let warnings = normalise(resource, &mut object, options.unknown)?;
        generate_name(tx, resource, namespace, &mut object);
        {
            let meta = object::meta_mut(&mut object);
            for key in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "generation"] {
                meta.shift_remove(key);
            }
            meta.insert("uid".into(), new_uid().into());
            meta.insert("creationTimestamp".into(), tx.clock().stamp().into());
            if resource.generation {
                meta.insert("generation".into(), 1.into());
            }
        }
        admission::complete(resource, &mut object);
        validate::check(resource, &object)?;
        let key = Key::of(resource, &object);
        if resource.namespaced {
            match tx.get(&Key::new(&NAMESPACES, "", namespace)) {
                None => return Err(ApiError::not_found(&NAMESPACES, namespace)),
                Some(found) if object::is_terminating(&found) => {
                    let why =
                        format!("unable to create new content in namespace {namespace} because it is being terminated");
                    return Err(ApiError::forbidden(resource, &key.name, &why));
                }
                Some(_) => {}
            }
        }
        if tx.get(&key).is_some() {
            return Err(ApiError::already_exists(resource, &key.name));
        }
        admission::begin(resource, &mut object, &tx.clock());
        admission::allocate(resource, &mut object, &self.addresses, options.dry_run)?;
        let object = if options.dry_run { Arc::new(object) } else { tx.put(key, object) };
        Ok(Written { object, created: true, warnings })
    }

    /// Replaces an object, or the part of it.
    pub fn update(
        &self,
        key: &Key,
        part: ObjectPart,
        object: Value,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        self.update_in(&mut self.store.lock(), key, part, object, options)
    }

    fn update_in(
        &self,
        tx: &mut Transaction<'_>,
        key: &Key,
        part: ObjectPart,
        mut object: Value,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let resource = key.resource;
        check_kind(resource, &object)?;
        let name = object::name(&object);
        if name != key.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                key.name
            )));
        }
        check_namespace(resource, &key.namespace, &mut object)?;
        let current = tx.get(key).ok_or_else(|| ApiError::not_found(resource, &key.name))?;
        let version = object::text(&object, "/metadata/resourceVersion");
        if version.is_empty() && matches!(resource.kind, "Lease" | "PodDisruptionBudget") {
            let cause = Cause {
                reason: "FieldValueInvalid",
                field: "metadata.resourceVersion".into(),
                message: "Invalid value: 0x0: must be specified for an update".into(),
            };
            return Err(ApiError::invalid(resource, &key.name, &[cause]));
        }
        if !version.is_empty() && version != object::text(&current, "/metadata/resourceVersion") {
            return Err(ApiError::modified(resource, &key.name));
        }
        let (given, known) = (object::uid(&object), object::uid(&current));
        if !given.is_empty() && given != known {
            let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {known}");
            return Err(ApiError::conflict(resource, &key.name, &why));
        }
        let warnings = normalise(resource, &mut object, options.unknown)?;
        let mut next = merge_parts(resource, &current, object, part);
        admission::complete(resource, &mut next);
        carry_identity(resource, &current, &mut next);
        validate::check(resource, &next)?;
        validate::check_update(resource, &current, &next)?;
        if next == *current {
            return Ok(Written { object: current, created: false, warnings });
        }
        let gone = object::is_terminating(&next)
            && object::list(&next, "/metadata/finalizers").is_empty()
            && object::list(&next, "/spec/finalizers").is_empty()
            && object::number(&next, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0;
        let object = if options.dry_run {
            Arc::new(next)
        } else {
            match gone.then(|| self.forget(tx, key, Some(next.clone()))).flatten() {
                Some(last) => last,
                None => tx.put(key.clone(), next),
            }
        };
        Ok(Written { object, created: false, warnings })
    }

    /// Changes an object by a patch. A patch of the kind `Apply` creates what does not exist.
    pub fn patch(
        &self,
        key: &Key,
        part: ObjectPart,
        kind: patch::PatchKind,
        patch: Value,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let mut tx = self.store.lock();
        let Some(current) = tx.get(key) else {
            if kind != patch::PatchKind::Apply || part != ObjectPart::Main {
                return Err(ApiError::not_found(key.resource, &key.name));
            }
            let name = object::name(&patch);
            if name != key.name {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({name}) does not match the name on the URL ({})",
                    key.name
                )));
            }
            return self.create_in(&mut tx, key.resource, &key.namespace, patch, options);
        };
        let mut changed = Value::clone(&current);
        patch::apply(kind, &mut changed, patch)?;
        // A patch cannot change the kind of an object.
        self.update_in(&mut tx, key, part, changed, options)
    }

    /// Changes an object for a controller: `change` edits a copy, which is stored unless it is the same as before.
    /// Does nothing when the object does not exist or has another uid.
    pub fn modify(&self, key: &Key, uid: &str, change: impl FnOnce(&mut Value)) {
        let mut tx = self.store.lock();
        let Some(current) = tx.get(key).filter(|c| object::uid(c) == uid) else { return };
        let mut changed = Value::clone(&current);
        change(&mut changed);
        let options = WriteOptions { unknown: Unknown::Ignore, ..WriteOptions::default() };
        if let Err(error) = self.update_in(&mut tx, key, ObjectPart::Whole, changed, options) {
            tracing::warn!(kind = key.resource.kind, name = %key.name, %error, "the sandbox's own update was refused");
        }
    }

    /// Removes the object from the store, with this last state if one is given, and gives its address back.
    fn forget(&self, tx: &mut Transaction<'_>, key: &Key, last: Option<Value>) -> Option<Arc<Value>> {
        let last = match last {
            Some(last) => tx.remove_as(key, last),
            None => tx.remove(key),
        }?;
        for pointer in ["/spec/clusterIP", "/status/podIP"] {
            if let Ok(address) = object::text(&last, pointer).parse() {
                self.addresses.release(address);
            }
        }
        Some(last)
    }
}

fn check_kind(resource: &Resource, object: &Value) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the body of the request is not an object"));
    }
    let (version, kind) = (object::text(object, "/apiVersion"), object::text(object, "/kind"));
    if kind.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the body of the request"));
    }
    if version != resource.api_version() || kind != resource.kind {
        return Err(ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {}: the API version in the data ({version}) does not \
             match the expected API version ({})",
            resource.kind,
            resource.api_version()
        )));
    }
    Ok(())
}

fn check_namespace(resource: &Resource, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    let given = object::namespace(object);
    if !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if resource.namespaced {
        object::meta_mut(object).insert("namespace".into(), namespace.into());
    }
    Ok(())
}

fn normalise(resource: &Resource, object: &mut Value, unknown: Unknown) -> Result<Vec<String>, ApiError> {
    let fields: Vec<String> =
        typed::normalise(resource, object)?.iter().map(|field| format!("unknown field {field:?}")).collect();
    match unknown {
        Unknown::Ignore => Ok(Vec::new()),
        Unknown::Warn => Ok(fields),
        Unknown::Refuse if fields.is_empty() => Ok(fields),
        Unknown::Refuse => Err(ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            resource.kind,
            resource.version,
            resource.kind,
            fields.join(", ")
        ))),
    }
}

fn generate_name(tx: &Transaction<'_>, resource: &'static Resource, namespace: &str, object: &mut Value) {
    let prefix = object::text(object, "/metadata/generateName").to_string();
    if prefix.is_empty() || !object::name(object).is_empty() {
        return;
    }
    // The real server tries up to eight names before it gives up with a conflict.
    let name = (0..8)
        .map(|_| format!("{}{}", prefix.get(..58).unwrap_or(&prefix), random_suffix(5)))
        .find(|name| tx.get(&Key::new(resource, namespace, name)).is_none());
    if let Some(name) = name {
        object::meta_mut(object).insert("name".into(), name.into());
    }
}

/// The characters of generated names. They cannot be misread or form words.
pub(crate) fn random_suffix(length: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect()
}

/// The object that a write to one part leaves.
fn merge_parts(resource: &Resource, current: &Value, given: Value, part: ObjectPart) -> Value {
    match part {
        ObjectPart::Whole => given,
        ObjectPart::Status => {
            let mut next = current.clone();
            next["status"] = given.get("status").cloned().unwrap_or(json!({}));
            next
        }
        ObjectPart::Main if resource.has("status") => {
            let mut next = given;
            match current.get("status") {
                Some(status) => next["status"] = status.clone(),
                None => {
                    next.as_object_mut().map(|map| map.shift_remove("status"));
                }
            }
            next
        }
        ObjectPart::Main => given,
    }
}

/// Keeps immutable fields, and derives the consequences of a change.
fn carry_identity(resource: &Resource, current: &Value, next: &mut Value) {
    // In a custom resource without a status subresource, every field except the metadata counts.
    let whole = custom::of(resource).is_some() && !resource.has("status");
    let spec_changed =
        next.get("spec") != current.get("spec") || (whole && next.get("status") != current.get("status"));
    let generation = object::number(current, "/metadata/generation").unwrap_or(1);
    let meta = object::meta_mut(next);
    for key in ["uid", "creationTimestamp", "deletionTimestamp", "generateName", "resourceVersion"] {
        match current["metadata"].get(key) {
            Some(value) => meta.insert(key.into(), value.clone()),
            None => meta.shift_remove(key),
        };
    }
    if current["metadata"].get("deletionTimestamp").is_none() {
        meta.shift_remove("deletionGracePeriodSeconds");
    }
    if resource.generation {
        meta.insert("generation".into(), (generation + i64::from(spec_changed)).into());
    }
}
