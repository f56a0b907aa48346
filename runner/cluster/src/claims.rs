//! Our objects, for the code that acts on them: only our objects are changed or deleted, and every creation that was
//! started is checked until its object is proven to be gone.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::{Cluster, ClusterError};
use crate::journal::Outcome;
use crate::keys::{Item, ObjectAction, ObjectKey, Remedy};

/// The longest time in which a request that timed out may still be carried out: an API server's limit for a request.
pub const LATEST: Duration = Duration::from_secs(60);

impl Cluster {
    /// Reads an object that we created. None if it does not exist, or if the object of this name belongs to another client. A
    /// key with a UID means exactly this object.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn own(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        if key.uid.is_some() {
            return self.get(key).await;
        }
        if !self.ledger().knows(key) {
            return Ok(None);
        }
        let there = self.get(key).await?;
        Ok(there.filter(|there| self.ledger().owns(key, there)))
    }

    /// The exact key of an object that we created: without it, nothing is changed or deleted.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn own_key(&self, key: &ObjectKey) -> Result<Option<ObjectKey>, ClusterError> {
        if key.uid.is_some() {
            return Ok(Some(key.clone()));
        }
        let uid = |object: Value| object["metadata"]["uid"].as_str().map(str::to_owned);
        Ok(self.own(key).await?.and_then(uid).map(|uid| ObjectKey { uid: Some(uid), ..key.clone() }))
    }

    /// Whether an object of that name may be ours: we created it, or it is not known whether we did.
    pub fn may_have_made(&self, key: &ObjectKey) -> bool {
        self.ledger().knows(key)
    }

    /// Whether we made the object with this UID.
    pub fn made(&self, uid: &str) -> bool {
        self.ledger().made(uid)
    }

    /// Records that the object with this key's UID now belongs to another run, so this run does not remove it.
    pub fn disown(&self, key: &ObjectKey) {
        let entries = self.ledger().disown(key);
        self.note_gone(entries);
    }

    /// The number of the last action that needs an undo.
    pub fn last_act(&self) -> u64 {
        self.ledger().last()
    }

    /// Checks everything that was created through this connection after the action with this number and is not known to be
    /// gone, and returns the existing objects. What [`Cluster::apart`] separates is not among it. An object that does not
    /// exist and can no longer appear counts as gone from then on.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn look_again(&self, since: u64) -> Result<Vec<Item>, ClusterError> {
        let mut there = Vec::new();
        let claims = self.ledger().open_claims(self.part, since);
        for claim in claims {
            let key = claim.key;
            let Some(label) = claim.label else {
                there.extend(self.own(&key).await?.map(|object| Item::Object(exact(&key, &object))));
                continue;
            };
            match self.get(&key).await? {
                Some(object) if !object["metadata"]["labels"][&label].is_null() => there.push(Item::Mark(key, label)),
                _ => self.unmarked(&key, &label),
            }
        }
        there.sort();
        there.dedup();
        Ok(there)
    }

    /// Removes objects that appeared after their removal, because the server carried out a creation late that it had not
    /// answered, and returns them. Objects that cannot be read now are checked the next time.
    pub async fn remove_late(&self) -> Vec<Item> {
        let mut removed = Vec::new();
        let keys = self.ledger().late_keys(self.part);
        for key in keys {
            let Ok(Some(object)) = self.get_once(&key).await else { continue };
            let key = exact(&key, &object);
            if self.ledger().is_late(&key, &object) && self.delete(&key).await.is_ok() {
                removed.push(Item::Object(key));
            }
        }
        removed
    }

    /// The command that removes a leftover by hand, given its current state. If the state cannot be read: a plain delete.
    pub async fn remedy(&self, item: &Item) -> Remedy {
        match item {
            Item::Object(key) => match self.get_once(key).await {
                Ok(Some(object)) => key.remedy(&object),
                _ => Remedy { command: item.command(), held: None },
            },
            Item::Mark(..) => Remedy { command: item.command(), held: None },
        }
    }

    /// Until when the server may still carry out an unanswered attempt at an action. None without such an attempt.
    pub fn unclear_until(&self) -> Option<Instant> {
        self.ledger().unclear_until(self.part)
    }

    /// Begins an action that needs an undo.
    pub(super) fn begin(
        &self,
        action: &str,
        act: &ObjectAction,
        label: Option<&str>,
        token: &str,
    ) -> Result<Begun<'_>, ClusterError> {
        let entry = self.intend(action, act)?;
        let (ObjectAction::Create(key)
        | ObjectAction::Delete(key)
        | ObjectAction::Mark(key, _)
        | ObjectAction::Unmark(key, _)) = act;
        let claim = self.ledger().open(self.part, key.clone(), label, token, entry);
        Ok(Begun { cluster: self, claim, entry, ended: false })
    }

    pub(super) fn unmarked(&self, key: &ObjectKey, label: &str) {
        let gone = self.ledger().unmarked(key, label);
        self.note_gone(gone);
    }

    /// Records the object that exists under a name.
    pub(super) fn gone(&self, key: &ObjectKey, object: Option<&Value>) {
        let gone = self.ledger().seen(key, object);
        self.note_gone(gone);
    }

    pub(super) fn note_gone(&self, entries: Vec<u64>) {
        if let Some(journal) = &self.journal {
            entries.into_iter().for_each(|entry| journal.settle(entry, Outcome::Gone));
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An action in progress. If it is dropped before its outcome is recorded, the server may still carry it out.
pub(super) struct Begun<'a> {
    cluster: &'a Cluster,
    /// Its number in the ledger.
    pub(super) claim: u64,
    entry: Option<u64>,
    ended: bool,
}

impl Begun<'_> {
    /// Records that one attempt had no answer and may still be carried out.
    pub(super) fn unclear(&self, error: &ClusterError) {
        if let (Some(journal), Some(entry)) = (&self.cluster.journal, self.entry) {
            journal.settle(entry, Outcome::Unclear(error.to_string()));
        }
    }

    /// Records its outcome.
    pub(super) fn end(mut self, answer: Result<Value, ClusterError>) -> Result<Value, ClusterError> {
        self.ended = true;
        let outcome = match &answer {
            Ok(object) => {
                let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
                self.cluster.ledger().done(self.claim, uid.clone());
                Outcome::Done(uid)
            }
            Err(error) if self.cluster.ledger().failed(self.claim) => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::Unclear(error.to_string()),
        };
        if let (Some(journal), Some(entry)) = (&self.cluster.journal, self.entry) {
            journal.settle(entry, outcome);
        }
        answer
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let mut ledger = self.cluster.ledger();
            ledger.unclear(self.claim, Instant::now() + LATEST);
            ledger.failed(self.claim);
        }
    }
}

/// A key with the object's own UID.
fn exact(key: &ObjectKey, object: &Value) -> ObjectKey {
    ObjectKey { uid: object["metadata"]["uid"].as_str().map(str::to_owned), ..key.clone() }
}
