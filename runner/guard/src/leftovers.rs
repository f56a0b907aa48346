//! Finds and removes the leftovers of runs by the labels on every object of ours. It needs no record of the run.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use serde_json::Value;

use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Item, Kind, Listable, ObjectKey};

/// The number of concurrent list requests.
const AT_ONCE: usize = 8;

/// The kinds that a search covers.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    /// Kinds in addition to those that the runner itself creates.
    pub more: BTreeSet<Kind>,
    /// API versions whose kinds could not be listed: the server behind them does not answer or refuses.
    pub unknown: BTreeSet<String>,
}

impl Kinds {
    /// The kinds that the runner itself creates, and these.
    pub fn with(more: impl IntoIterator<Item = Kind>) -> Self {
        Self { more: more.into_iter().collect(), unknown: BTreeSet::new() }
    }

    /// Every kind whose objects the API can list and delete: a scenario's manifest may have made any of them.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn every(cluster: &Cluster) -> Result<Self, ClusterError> {
        let Listable { kinds, unknown } = cluster.listable_kinds().await?;
        Ok(Self { more: kinds, unknown })
    }
}

/// The result of a search for leftovers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// The leftovers, each with its run, in the order of removal.
    pub found: Vec<(String, Item)>,
    /// Kinds that could not be searched, by their kubectl names: this account may not list them.
    pub unseen: BTreeSet<String>,
}

/// The leftovers in a namespace (in all namespaces when it is empty), of one run or of all runs. Each comes with its run,
/// in the order of removal.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn find(
    cluster: &Cluster,
    run: Option<&str>,
    namespace: &str,
    kinds: &Kinds,
) -> Result<Search, ClusterError> {
    let mut search = objects(cluster, run, namespace, kinds).await?;
    for kind in [Kind::Pod, Kind::Namespace] {
        search.found.extend(marks(cluster, run, namespace, kind).await?);
    }
    Ok(search)
}

/// Our marks on objects that runs did not create.
async fn marks(
    cluster: &Cluster,
    run: Option<&str>,
    namespace: &str,
    kind: Kind,
) -> Result<Vec<(String, Item)>, ClusterError> {
    let objects = match kind {
        // An account of one namespace may still be allowed to read that namespace by name.
        Kind::Namespace if !namespace.is_empty() => {
            let key = ObjectKey { kind, namespace: String::new(), name: namespace.to_owned(), uid: None };
            match cluster.get(&key).await {
                Err(ClusterError::Forbidden { .. }) => Vec::new(),
                object => object?.into_iter().collect(),
            }
        }
        _ => cluster.list(kind, namespace, None).await?,
    };
    let mut found = Vec::new();
    for object in objects {
        for label in object["metadata"]["labels"].as_object().into_iter().flatten().map(|(label, _)| label) {
            let Some(its) = labels::mark_run(label) else { continue };
            if run.is_none_or(|run| its == run) {
                found.push((its.to_owned(), Item::Mark(key_of(kind, &object), label.clone())));
            }
        }
    }
    Ok(found)
}

/// The objects that runs created, without the marks on objects of others.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn objects(
    cluster: &Cluster,
    run: Option<&str>,
    namespace: &str,
    kinds: &Kinds,
) -> Result<Search, ClusterError> {
    let mut selector = format!("{}={}", labels::MANAGED_BY, labels::MANAGER);
    if let Some(run) = run {
        selector.push_str(&format!(",{}={run}", labels::RUN));
    }
    // Ask for Chaos Mesh's kinds only where the API serves them.
    let served = cluster.chaos_kinds().await?;
    let of_chaos = Kind::CHAOS.into_iter().filter(|kind| served.contains(kind.plural()));
    let own: Vec<Kind> = of_chaos.chain(Kind::created()).collect();
    let more = kinds.more.iter().copied().filter(|kind| !own.contains(kind));
    // Objects of a scenario's manifests are removed before the fuse and the lock.
    let (last, first): (Vec<Kind>, Vec<Kind>) =
        own.iter().copied().partition(|kind| matches!(kind, Kind::Lease | Kind::Job));
    let order: Vec<Kind> = first.into_iter().chain(more).chain(last).collect();
    let lists = stream::iter(order).map(|kind| {
        let selector = &selector;
        async move { (kind, cluster.list(kind, namespace, Some(selector)).await) }
    });
    let mut lists = lists.buffered(AT_ONCE);
    let (mut search, mut owners) = (Search { unseen: kinds.unknown.clone(), ..Search::default() }, BTreeSet::new());
    let mut controlled = Vec::new();
    while let Some((kind, objects)) = lists.next().await {
        let objects = match objects {
            // An account of one namespace does not need permission to list Leases for its runs.
            Err(ClusterError::Forbidden { .. })
                if !Kind::CREATED.contains(&kind) || kind == Kind::Lease && !namespace.is_empty() =>
            {
                search.unseen.insert(kind.kubectl());
                continue;
            }
            // The kind was removed since discovery, or it does not support listing.
            Err(ClusterError::NotFound(_)) => continue,
            Err(error) if kinds.more.contains(&kind) && !error.is_transient() => {
                search.unseen.insert(kind.kubectl());
                continue;
            }
            objects => objects?,
        };
        for object in objects.iter().filter(|object| labels::is_original(object)) {
            // Every object of a run has a label with the run's id. Our own deployment, for example, does not.
            let Some(its) = object["metadata"]["labels"][labels::RUN].as_str() else { continue };
            // A lock belongs to its holder, whichever run created it.
            let its =
                Some(its).filter(|_| kind != Kind::Lease).or(object["spec"]["holderIdentity"].as_str()).unwrap_or(its);
            let (key, item) = (key_of(kind, object), Item::Object(key_of(kind, object)));
            owners.extend(key.uid);
            if run.is_none_or(|run| run == its) {
                controlled.push((controller(object).cloned(), its.to_owned(), item));
            }
        }
    }
    for (controller, run, item) in controlled {
        let with_its_fuse = matches!(&item, Item::Object(key) if key.kind == Kind::Pod)
            && controller.as_ref().is_some_and(|owner| owner["kind"] == "Job");
        // A controller may copy our labels to its dependents. They are removed with their owner.
        let with_its_owner =
            controller.as_ref().and_then(|owner| owner["uid"].as_str()).is_some_and(|uid| owners.contains(uid));
        if !with_its_fuse && !with_its_owner {
            search.found.push((run, item));
        }
    }
    Ok(search)
}

fn controller(object: &Value) -> Option<&Value> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

/// The items that exist and belong to their run. The name alone is not enough: another run may use it by now. Each item is
/// returned with its UID, so that no other object is removed in its place. An item whose name is redacted in the journal,
/// because it contains a secret, is found by the run's label.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn existing(cluster: &Cluster, items: Vec<(String, Item)>) -> Result<Vec<(String, Item)>, ClusterError> {
    let mut there: Vec<(String, Item)> = Vec::new();
    for (run, item) in items {
        let key = item.key();
        if is_hidden(&key.name)
            || is_hidden(&key.namespace)
            || matches!(&item, Item::Mark(_, label) if is_hidden(label))
        {
            for found in by_label(cluster, &run, &item).await? {
                if !there.contains(&(run.clone(), found.clone())) {
                    there.push((run.clone(), found));
                }
            }
            continue;
        }
        let Some(object) = cluster.get(key).await? else { continue };
        let there_labels = &object["metadata"]["labels"];
        let ours = match &item {
            // The label of a mark contains the run's id; the name of an object does not.
            Item::Mark(_, label) => !there_labels[label].is_null(),
            // A lock belongs to its holder, whichever run created it.
            Item::Object(key) if key.kind == Kind::Lease => object["spec"]["holderIdentity"] == run.as_str(),
            Item::Object(_) => there_labels[labels::RUN] == run.as_str() && labels::is_original(&object),
        };
        if ours {
            let key = key_of(key.kind, &object);
            let item = match item {
                Item::Object(_) => Item::Object(key),
                Item::Mark(_, label) => Item::Mark(key, label),
            };
            there.push((run, item));
        }
    }
    Ok(there)
}

/// Whether a name is redacted. No Kubernetes name contains a bracket.
fn is_hidden(name: &str) -> bool {
    name.contains('[')
}

/// The candidates for an item with a redacted name: the object with its UID if known, else every object of its kind and
/// run.
async fn by_label(cluster: &Cluster, run: &str, item: &Item) -> Result<Vec<Item>, ClusterError> {
    let key = item.key();
    let namespace = if is_hidden(&key.namespace) { "" } else { &key.namespace };
    let found: Vec<Item> = match item {
        Item::Mark(..) => {
            marks(cluster, Some(run), namespace, key.kind).await?.into_iter().map(|(_, item)| item).collect()
        }
        Item::Object(_) => {
            let selector = format!("{}={}", labels::RUN, run);
            let objects = cluster.list(key.kind, namespace, Some(&selector)).await?;
            objects.iter().filter(|it| labels::is_original(it)).map(|it| Item::Object(key_of(key.kind, it))).collect()
        }
    };
    let is = |found: &Item| key.uid.is_none() || key.uid == found.key().uid;
    Ok(found.into_iter().filter(is).collect())
}

/// The locks in a namespace, or in all namespaces when it is empty.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn leases(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>, ClusterError> {
    cluster.list(Kind::Lease, namespace, Some(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER))).await
}

/// Removes an item. An item that no longer exists is not an error.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn remove(cluster: &Cluster, item: &Item) -> Result<(), ClusterError> {
    match item {
        Item::Object(key) => cluster.delete(key).await,
        Item::Mark(key, label) => match cluster.label(key, label, None).await {
            // The object is gone or was replaced by another of that name; the label went with it.
            Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => Ok(()),
            other => other,
        },
    }
}

fn key_of(kind: Kind, object: &Value) -> ObjectKey {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    ObjectKey {
        kind,
        namespace: text(&object["metadata"]["namespace"]).unwrap_or_default(),
        name: text(&object["metadata"]["name"]).unwrap_or_default(),
        uid: text(&object["metadata"]["uid"]),
    }
}

#[cfg(test)]
mod tests;
