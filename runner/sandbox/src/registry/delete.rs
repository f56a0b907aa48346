//! Deletion: preconditions, grace periods, finalizers and dependants.

use std::sync::Arc;

use serde_json::Value;

use super::Registry;
use crate::budgets::budgets;
use crate::error::ApiError;
use crate::object;
use crate::resource::Resource;
use crate::store::{Key, Transaction};

/// The treatment of the deleted object's dependants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    /// Seconds that a pod has to end; `None` for its own setting.
    pub grace: Option<i64>,
    /// `None` for the kind's default.
    pub propagation: Option<Propagation>,
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must have this version.
    pub version: Option<String>,
    /// Check everything, delete nothing.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// For controllers: only the object with this uid.
    pub fn of(uid: &str) -> Self {
        Self { uid: Some(uid.to_string()), ..Self::default() }
    }
}

/// The outcome of a deletion.
#[derive(Debug, Clone)]
pub(crate) struct Deleted {
    /// The object as it was last, or as it waits for its end.
    pub object: Arc<Value>,
    /// Whether it is gone already.
    pub gone: bool,
    /// Warnings for the client.
    pub warning: Option<&'static str>,
}

impl Registry {
    /// Deletes an object, or marks it as about to be deleted.
    pub fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        self.delete_in(&mut self.store.lock(), key, options)
    }

    /// Deletes a pod unless a PodDisruptionBudget needs it. A pod that does not serve is no loss.
    pub fn evict(&self, key: &Key, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        let mut tx = self.store.lock();
        let pod = tx.get(key).ok_or_else(|| ApiError::not_found(key.resource, &key.name))?;
        let is_over = object::is_terminating(&pod)
            || matches!(object::text(&pod, "/status/phase"), "Pending" | "Succeeded" | "Failed");
        let budgets = if is_over { Vec::new() } else { budgets(&tx, &pod) };
        if budgets.len() > 1 {
            let why =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(ApiError::internal(why));
        }
        if let Some((budget, tally)) = budgets.first().filter(|(_, tally)| tally.allowed() < 1) {
            return Err(ApiError::disrupted(budget, tally.healthy, tally.desired));
        }
        self.delete_in(&mut tx, key, options)
    }

    fn delete_in(&self, tx: &mut Transaction<'_>, key: &Key, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        let current = tx.get(key).ok_or_else(|| ApiError::not_found(key.resource, &key.name))?;
        check_preconditions(key, &current, options)?;
        let mut next = Value::clone(&current);
        let (propagation, warning) = propagation(key.resource, options);
        set_finalizers(&mut next, propagation);
        let waits_for_finalizers = !object::list(&next, "/metadata/finalizers").is_empty()
            || !object::list(&next, "/spec/finalizers").is_empty();
        let grace = grace(key.resource, &current, options);
        if grace == 0 && !waits_for_finalizers {
            if options.dry_run {
                return Ok(Deleted { object: current, gone: true, warning });
            }
            let object = self.forget(tx, key, None).unwrap_or(current);
            return Ok(Deleted { object, gone: true, warning });
        }
        mark(tx, key.resource, &mut next, grace);
        let object = match next == *current {
            true => current,
            false if options.dry_run => Arc::new(next),
            false => tx.put(key.clone(), next),
        };
        Ok(Deleted { object, gone: false, warning })
    }

    /// Ends what waits only for its grace period: for the node, once a pod's programs have stopped.
    pub fn finish_deletion(&self, key: &Key, uid: &str) {
        let options = DeleteOptions { grace: Some(0), ..DeleteOptions::of(uid) };
        // Not found, or another object by now: then there is nothing left to do.
        let _ = self.delete(key, &options);
    }
}

fn check_preconditions(key: &Key, current: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let known = object::uid(current);
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != known) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({known}). The object might have \
             been \
             deleted and then recreated"
        );
        return Err(ApiError::conflict(key.resource, &key.name, &why));
    }
    let known = object::text(current, "/metadata/resourceVersion");
    if let Some(version) = options.version.as_deref().filter(|version| *version != known) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
             ({known}). \
             The object might have been modified"
        );
        return Err(ApiError::conflict(key.resource, &key.name, &why));
    }
    Ok(())
}

/// The propagation to use. Jobs of `batch/v1` keep their dependants unless the request says otherwise, for compatibility with old
/// clients; that surprises many, so the server warns.
fn propagation(resource: &Resource, options: &DeleteOptions) -> (Propagation, Option<&'static str>) {
    match (options.propagation, resource.kind) {
        (Some(propagation), _) => (propagation, None),
        (None, "Job") => (
            Propagation::Orphan,
            Some(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
                 them or set propagationPolicy=Orphan to suppress this warning",
            ),
        ),
        (None, _) => (Propagation::Background, None),
    }
}

fn set_finalizers(object: &mut Value, propagation: Propagation) {
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some("foregroundDeletion"),
        Propagation::Orphan => Some("orphan"),
    };
    let mut finalizers: Vec<Value> = object::list(object, "/metadata/finalizers")
        .iter()
        .filter(|f| *f != "foregroundDeletion" && *f != "orphan")
        .cloned()
        .collect();
    finalizers.extend(wanted.map(Value::from));
    let meta = object::meta_mut(object);
    if finalizers.is_empty() {
        meta.shift_remove("finalizers");
    } else {
        meta.insert("finalizers".into(), finalizers.into());
    }
}

/// Seconds until the object may go. Only pods on a node take time.
fn grace(resource: &Resource, current: &Value, options: &DeleteOptions) -> i64 {
    let ended = matches!(object::text(current, "/status/phase"), "Succeeded" | "Failed");
    if resource.kind != "Pod" || object::text(current, "/spec/nodeName").is_empty() || ended {
        return 0;
    }
    let own = object::number(current, "/spec/terminationGracePeriodSeconds").unwrap_or(30);
    // A second deletion can shorten the time, not lengthen it.
    let left = object::number(current, "/metadata/deletionGracePeriodSeconds").unwrap_or(i64::MAX);
    options.grace.unwrap_or(own).clamp(0, left)
}

fn mark(tx: &Transaction<'_>, resource: &Resource, next: &mut Value, grace: i64) {
    let clock = tx.clock();
    let generation = object::number(next, "/metadata/generation");
    let meta = object::meta_mut(next);
    if !meta.contains_key("deletionTimestamp") {
        // Of a pod, the time at which it is to be gone at the latest.
        meta.insert("deletionTimestamp".into(), clock.stamp_in(grace).into());
        if let Some(generation) = generation {
            meta.insert("generation".into(), (generation + 1).into());
        }
    }
    meta.insert("deletionGracePeriodSeconds".into(), grace.into());
    if resource.kind == "Namespace" {
        next["status"]["phase"] = "Terminating".into();
    }
}
