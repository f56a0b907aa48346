//! Watches objects: the existing ones and every later change, as plain data.
//!
//! Lists first and watches from there, which every server can (streaming lists need Kubernetes 1.32). A watch that
//! breaks or expires starts again with a list. The caller interprets the changes.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{self, Event};
use serde_json::Value;

use super::objects::to_value;
use super::{Cluster, ClusterError, Kind};

/// The pause before a watch that broke begins again.
const PAUSE: Duration = Duration::from_secs(1);

/// An event of a watch.
#[derive(Debug)]
pub enum Change {
    /// All existing objects. A known object that is not in this list is gone.
    Listed(Vec<Value>),
    /// An object came or changed.
    Applied(Value),
    /// An object is gone.
    Deleted(Value),
    /// The watch broke; it begins again by itself.
    Broken(ClusterError),
}

impl Cluster {
    /// The objects of a kind in a namespace, now and from now on. It never ends by itself.
    pub fn watch(&self, kind: Kind, namespace: &str) -> impl Stream<Item = Change> + Send + 'static {
        let api = self.api(kind, namespace);
        let action = format!("watch {} in namespace {namespace}", kind.kubectl());
        let begin = move || watcher::watcher(api.clone(), watcher::Config::default()).boxed();
        stream::unfold((begin(), begin, Vec::new(), action), |(mut events, begin, mut listed, action)| async move {
            loop {
                let change = match events.next().await? {
                    Ok(Event::Init) => {
                        listed.clear();
                        continue;
                    }
                    Ok(Event::InitApply(object)) => {
                        listed.push(to_value(&object));
                        continue;
                    }
                    Ok(Event::InitDone) => Change::Listed(std::mem::take(&mut listed)),
                    Ok(Event::Apply(object)) => Change::Applied(to_value(&object)),
                    Ok(Event::Delete(object)) => Change::Deleted(to_value(&object)),
                    Err(error) => {
                        // The next poll asks the server immediately.
                        tokio::time::sleep(PAUSE).await;
                        let error = broken(&action, &error);
                        if matches!(error, ClusterError::Expired(_)) {
                            // A server that refuses to begin a watch where it is asked to would be asked the same again.
                            events = begin();
                            listed.clear();
                        }
                        Change::Broken(error)
                    }
                };
                return Some((change, (events, begin, listed, action)));
            }
        })
    }
}

fn broken(action: &str, error: &watcher::Error) -> ClusterError {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => ClusterError::from_kube(action, error),
        watcher::Error::WatchError(status) => ClusterError::from_kube(action, &kube::Error::Api(status.clone())),
        watcher::Error::NoResourceVersion => {
            ClusterError::Other { action: action.to_owned(), message: error.to_string(), transient: true }
        }
    }
}
