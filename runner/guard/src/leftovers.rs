//! Finding and removing what runs left in a cluster, by the labels that everything of ours carries. It needs no memory
//! of the run that left it.

use serde_json::Value;

use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Item, Kind, ObjectKey};

/// Everything of ours in a namespace (in all of them when it is empty), of one run or of all of them, each with its run,
/// in the order in which it is to be removed.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn find(cluster: &Cluster, run: Option<&str>, namespace: &str) -> Result<Vec<(String, Item)>, ClusterError> {
    let mut found = objects(cluster, run, namespace).await?;
    for kind in [Kind::Pod, Kind::Namespace] {
        let objects = match kind {
            // An account of one namespace may be allowed to read that one by its name.
            Kind::Namespace if !namespace.is_empty() => {
                let key = ObjectKey { kind, namespace: String::new(), name: namespace.to_owned(), uid: None };
                match cluster.get(&key).await {
                    Err(ClusterError::Forbidden { .. }) => Vec::new(),
                    object => object?.into_iter().collect(),
                }
            }
            _ => cluster.list(kind, namespace, None).await?,
        };
        for object in objects {
            for label in object["metadata"]["labels"].as_object().into_iter().flatten().map(|(label, _)| label) {
                let Some(its) = labels::mark_run(label) else { continue };
                if run.is_none_or(|run| its == run) {
                    found.push((its.to_owned(), Item::Mark(key_of(kind, &object), label.clone())));
                }
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
) -> Result<Vec<(String, Item)>, ClusterError> {
    let mut selector = format!("{}={}", labels::MANAGED_BY, labels::MANAGER);
    if let Some(run) = run {
        selector.push_str(&format!(",{}={run}", labels::RUN));
    }
    let mut found = Vec::new();
    // Without Chaos Mesh there is nothing of it to ask for; what an account may not list, it cannot have made.
    let served = cluster.chaos_kinds().await?;
    for kind in Kind::CHAOS.into_iter().filter(|kind| served.contains(kind.plural())) {
        match cluster.list(kind, namespace, Some(&selector)).await {
            Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => {}
            objects => found.extend(objects?.iter().filter_map(|object| {
                let run = object["metadata"]["labels"][labels::RUN].as_str()?;
                Some((run.to_owned(), Item::Object(key_of(kind, object))))
            })),
        }
    }
    for kind in Kind::CREATED {
        for object in cluster.list(kind, namespace, Some(&selector)).await? {
            // Every object of ours says of which run it is. Others of that manager (our own deployment, for one) do not.
            let Some(its) = object["metadata"]["labels"][labels::RUN].as_str() else { continue };
            // A lock is its holder's, whoever made it.
            let its =
                Some(its).filter(|_| kind != Kind::Lease).or(object["spec"]["holderIdentity"].as_str()).unwrap_or(its);
            // A fuse's pod goes with its fuse.
            let with_its_fuse = kind == Kind::Pod && controller(&object) == Some("Job");
            if !with_its_fuse && run.is_none_or(|run| run == its) {
                found.push((its.to_owned(), Item::Object(key_of(kind, &object))));
            }
        }
    }
    Ok(found)
}

fn controller(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["kind"].as_str()
}

/// Those of the items that are really there, and of that run: a name alone may be another run's by now. Each comes back
/// with its UID, so that nothing else is removed in its place.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn existing(cluster: &Cluster, items: Vec<(String, Item)>) -> Result<Vec<(String, Item)>, ClusterError> {
    let mut there = Vec::new();
    for (run, item) in items {
        let (key, label) = match &item {
            Item::Object(key) => (key, None),
            Item::Mark(key, label) => (key, Some(label)),
        };
        let Some(object) = cluster.get(key).await? else { continue };
        let there_labels = &object["metadata"]["labels"];
        // A mark's key is its run's own; an object of that name may be another run's.
        let ours = match label {
            Some(label) => !there_labels[label].is_null(),
            None => there_labels[labels::RUN] == run.as_str(),
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

/// The locks in a namespace; of all of them when it is empty.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn leases(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>, ClusterError> {
    cluster.list(Kind::Lease, namespace, Some(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER))).await
}

/// Removes it. What is gone already is fine.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn remove(cluster: &Cluster, item: &Item) -> Result<(), ClusterError> {
    match item {
        Item::Object(key) => cluster.delete(key).await,
        Item::Mark(key, label) => match cluster.label(key, label, None).await {
            // Gone, or replaced by another object of that name: with it our label.
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
