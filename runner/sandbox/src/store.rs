//! The objects of the sandbox, their versions, and the log of changes that watches read.
//!
//! In scope: storing objects, numbering changes, and reading an older version. Out of scope: rules for changes
//! (`registry`) and the consequences of a change (`controllers`).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::clock::Clock;
use super::object;
use super::resource::Resource;

/// The default length of the change log for watches.
const LOG_LENGTH: usize = 20_000;

/// Where an object is kept. Cluster-wide objects have an empty namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub resource: &'static Resource,
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// The key of an object of the kind.
    pub fn of(resource: &'static Resource, object: &Value) -> Self {
        Self::new(resource, object::namespace(object), object::name(object))
    }

    /// A key from its parts; the namespace of cluster-wide kinds is dropped.
    pub fn new(resource: &'static Resource, namespace: &str, name: &str) -> Self {
        let namespace = if resource.namespaced { namespace } else { "" };
        Self { resource, namespace: namespace.to_string(), name: name.to_string() }
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The version that the change made.
    pub revision: u64,
    /// Which object.
    pub key: Key,
    /// The object before; `None` when it was created.
    pub before: Option<Arc<Value>>,
    /// The object after; of a deletion, its last state with the version of the deletion.
    pub after: Arc<Value>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// Everything that is stored. Clone the `Arc` around it.
#[derive(Debug)]
pub(crate) struct Store {
    inner: Mutex<Inner>,
    latest: watch::Sender<u64>,
    /// The time by which stamps are set and deadlines counted.
    pub clock: Clock,
}

#[derive(Debug)]
pub(crate) struct Inner {
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<Change>,
    log_length: usize,
    revision: u64,
}

/// A requested version that the store no longer or does not yet know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutOfRange {
    /// Too old; the oldest version that can still be asked for.
    Old(u64),
    /// Too new; the latest version.
    New(u64),
}

impl Store {
    /// An empty store.
    pub fn new(clock: Clock) -> Self {
        Self::with_log_length(clock, LOG_LENGTH)
    }

    /// An empty store that remembers `log_length` changes.
    pub fn with_log_length(clock: Clock, log_length: usize) -> Self {
        let inner = Inner { objects: BTreeMap::new(), log: VecDeque::new(), log_length, revision: 1 };
        Self { inner: Mutex::new(inner), latest: watch::Sender::new(1), clock }
    }

    /// Exclusive access: all reads and writes until the guard is dropped are atomic.
    pub fn lock(&self) -> Transaction<'_> {
        // A panic elsewhere leaves the maps whole: every change below is a single insert or remove.
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Transaction { before: inner.revision, inner, store: self }
    }

    /// Notifies of every new version.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// One object.
    pub fn get(&self, resource: &'static Resource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.lock().get(&Key::new(resource, namespace, name))
    }

    /// All objects of a kind, in one namespace or, with an empty one, in all.
    pub fn list(&self, resource: &'static Resource, namespace: &str) -> Vec<Arc<Value>> {
        self.lock().list(resource, namespace)
    }

    /// The changes after version `since`, oldest first, and the latest version.
    pub fn changes_since(&self, since: u64) -> Result<(Vec<Change>, u64), OutOfRange> {
        let inner = self.lock();
        inner.check_range(since)?;
        let first = inner.log.partition_point(|change| change.revision <= since);
        Ok((inner.log.range(first..).cloned().collect(), inner.revision))
    }
}

/// Exclusive access to the store; watchers learn of the changes when it is dropped.
pub(crate) struct Transaction<'a> {
    inner: MutexGuard<'a, Inner>,
    before: u64,
    store: &'a Store,
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.inner.revision != self.before {
            self.store.latest.send_replace(self.inner.revision);
        }
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl std::ops::DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl Transaction<'_> {
    /// The store's clock.
    pub fn clock(&self) -> Clock {
        self.store.clock
    }
}

impl Inner {
    /// The latest version.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// All objects of a kind, in one namespace or, with an empty one, in all; by namespace and name.
    pub fn list(&self, resource: &'static Resource, namespace: &str) -> Vec<Arc<Value>> {
        select(&self.objects, resource, namespace).map(|(_, object)| object.clone()).collect()
    }

    /// All objects of all kinds.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// The objects of a kind as they were at a version, in one namespace or all; by namespace and name.
    pub fn list_at(
        &self,
        resource: &'static Resource,
        namespace: &str,
        revision: u64,
    ) -> Result<Vec<Arc<Value>>, OutOfRange> {
        self.check_range(revision)?;
        let mut objects: BTreeMap<Key, Arc<Value>> =
            select(&self.objects, resource, namespace).map(|(key, object)| (key.clone(), object.clone())).collect();
        let undo = self.log.iter().rev().take_while(|change| change.revision > revision);
        for change in
            undo.filter(|c| c.key.resource == resource && (namespace.is_empty() || c.key.namespace == namespace))
        {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects.into_values().collect())
    }

    fn check_range(&self, revision: u64) -> Result<(), OutOfRange> {
        let oldest = self.log.front().map_or(self.revision, |change| change.revision - 1);
        if revision < oldest {
            Err(OutOfRange::Old(oldest))
        } else if revision > self.revision {
            Err(OutOfRange::New(self.revision))
        } else {
            Ok(())
        }
    }

    /// Stores the object under a new version, which it carries from then on, and returns it as stored.
    pub fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object::meta_mut(&mut object).insert("resourceVersion".into(), self.revision.to_string().into());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), object.clone());
        self.record(Change { revision: self.revision, key, before, after: object.clone(), deleted: false });
        object
    }

    /// Removes the object; returns its last state with the version of the deletion.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let last = Value::clone(self.objects.get(key)?);
        self.remove_as(key, last)
    }

    /// Removes the object, whose last state is to be this one.
    pub fn remove_as(&mut self, key: &Key, mut last: Value) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        self.revision += 1;
        object::meta_mut(&mut last).insert("resourceVersion".into(), self.revision.to_string().into());
        let after = Arc::new(last);
        let change = Change {
            revision: self.revision,
            key: key.clone(),
            before: Some(before),
            after: after.clone(),
            deleted: true,
        };
        self.record(change);
        Some(after)
    }

    fn record(&mut self, change: Change) {
        if self.log.len() == self.log_length {
            self.log.pop_front();
        }
        self.log.push_back(change);
    }
}

fn select<'a>(
    objects: &'a BTreeMap<Key, Arc<Value>>,
    resource: &'static Resource,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
    let first = Key { resource, namespace: namespace.to_string(), name: String::new() };
    objects
        .range((Bound::Included(first), Bound::Unbounded))
        .take_while(move |(key, _)| key.resource == resource && (namespace.is_empty() || key.namespace == namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{CONFIGMAPS, PODS};
    use serde_json::json;

    fn put(store: &Store, namespace: &str, name: &str, value: u32) {
        let object = json!({"metadata": {"namespace": namespace, "name": name}, "data": value});
        store.lock().put(Key::of(&CONFIGMAPS, &object), object);
    }

    fn data(objects: &[Arc<Value>]) -> Vec<(String, u64)> {
        objects.iter().map(|o| (object::name(o).to_string(), o["data"].as_u64().unwrap())).collect()
    }

    #[tokio::test]
    async fn older_versions_can_be_listed_as_they_were() {
        let store = Store::new(Clock::new());
        put(&store, "a", "one", 1);
        put(&store, "a", "two", 2);
        put(&store, "b", "one", 3);
        let then = store.lock().revision();
        put(&store, "a", "one", 4);
        put(&store, "a", "three", 5);
        store.lock().remove(&Key::new(&CONFIGMAPS, "a", "two"));
        assert_eq!(data(&store.list(&CONFIGMAPS, "a")), [("one".into(), 4), ("three".into(), 5)]);
        assert_eq!(store.list(&CONFIGMAPS, "").len(), 3);
        assert!(store.list(&PODS, "a").is_empty());
        let old = store.lock().list_at(&CONFIGMAPS, "a", then).unwrap();
        assert_eq!(data(&old), [("one".into(), 1), ("two".into(), 2)]);
    }

    #[tokio::test]
    async fn a_deletion_has_a_version_of_its_own() {
        let store = Store::new(Clock::new());
        put(&store, "a", "one", 1);
        let since = store.lock().revision();
        store.lock().remove(&Key::new(&CONFIGMAPS, "a", "one"));
        let (changes, latest) = store.changes_since(since).unwrap();
        assert_eq!(latest, since + 1);
        assert!(changes[0].deleted);
        assert_eq!(changes[0].after["metadata"]["resourceVersion"], json!(latest.to_string()));
    }

    #[tokio::test]
    async fn forgotten_and_future_versions_are_told_apart() {
        let store = Store::with_log_length(Clock::new(), 2);
        for value in 0..4 {
            put(&store, "a", "one", value);
        }
        let latest = store.lock().revision();
        assert_eq!(store.changes_since(latest - 3).unwrap_err(), OutOfRange::Old(latest - 2));
        assert_eq!(store.changes_since(latest - 2).unwrap().0.len(), 2);
        assert_eq!(store.changes_since(latest + 1).unwrap_err(), OutOfRange::New(latest));
    }
}
