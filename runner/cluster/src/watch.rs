//! Watches objects: the existing ones and every later change, as plain data.
//!
//! Lists first and watches from there, which every server can (streaming lists need Kubernetes 1.32). A watch that breaks or
//! expires starts again with a list, so that its caller sees the changes that it missed. Each watch lasts a few seconds and
//! is then resumed, so that a silent watch is detected soon. The caller interprets the changes.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::time::Instant;

use super::lists::Listed;
use super::objects::to_value;
use super::{Cluster, ClusterError, Kind};

/// The requested duration of a watch. The server sends a bookmark two seconds before its end, so that the next watch begins
/// where this one ends, even in a quiet namespace.
const LIFE: Duration = Duration::from_secs(3);
/// The additional silence after which a watch counts as broken. A shorter silence is not detected.
const MARGIN: Duration = Duration::from_secs(2);
/// The timeout for beginning a watch.
const START_LIMIT: Duration = LIFE.saturating_add(MARGIN);
/// The pause before a watch that broke begins again. It doubles with each failure in a row.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A list that takes this long, and three times as long as the last one, is requested again: a server that was down never
/// answers earlier requests. One of four lists in a row may take as long as any request.
const HASTE: Duration = Duration::from_secs(3);
/// The interval of lists if this account may list but not watch.
const POLL: Duration = Duration::from_secs(1);

/// An event of a watch.
#[derive(Debug)]
pub enum Change {
    /// All existing objects. A known object that is not in this list is gone.
    Listed(Vec<Value>),
    /// An object came or changed.
    Applied(Value),
    /// An object is gone.
    Deleted(Value),
    /// The watch broke. It begins again by itself, with a list.
    Broken {
        /// Why.
        error: ClusterError,
        /// Changes since then may have been missed.
        since: Instant,
    },
}

impl Cluster {
    /// The objects of a kind in a namespace, now and from now on. It never ends on its own. After `Broken`, the next change is
    /// a list or `Broken` again.
    pub fn watch(&self, kind: Kind, namespace: &str) -> impl Stream<Item = Change> + Send + 'static {
        let watcher = Watcher {
            // The watch has its own pauses, and its caller sees each failure immediately.
            cluster: self.clone().with_retry_limit(Duration::ZERO),
            kind,
            namespace: namespace.to_owned(),
            step: Step::List,
            known: Instant::now(),
            failures: 0,
            took: Duration::ZERO,
            pause: Duration::ZERO,
        };
        stream::unfold(watcher, |mut watcher| async move { Some((watcher.next().await, watcher)) })
    }
}

struct Watcher {
    cluster: Cluster,
    kind: Kind,
    namespace: String,
    step: Step,
    /// Up to this version, every change is known.
    known: Instant,
    /// The failures in a row.
    failures: u32,
    /// The duration of the last list.
    took: Duration,
    /// The pause before the next step.
    pause: Duration,
}

type Events = BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>;

/// What is done next.
enum Step {
    List,
    /// Watch from this version on.
    Begin(String),
    Follow {
        events: Events,
        version: String,
        begun: Instant,
        /// Nothing has come yet.
        is_empty: bool,
    },
}

impl Watcher {
    async fn next(&mut self) -> Change {
        loop {
            // Even a sleep of zero lasts until the timer's next millisecond.
            let pause = std::mem::take(&mut self.pause);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            match self.advance().await {
                Ok(Some(change)) => return change,
                Ok(None) => {}
                Err(error) => {
                    self.step = Step::List;
                    let doubled = PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
                    self.pause = if matches!(error, ClusterError::Forbidden { .. }) { POLL } else { doubled };
                    self.pause = self.pause.max(error.wait());
                    self.failures += 1;
                    return Change::Broken { error, since: self.known };
                }
            }
        }
    }

    fn action(&self) -> String {
        format!("watch {} in namespace {}", self.kind.kubectl(), self.namespace)
    }

    /// One step. The next one lists if this one fails.
    async fn advance(&mut self) -> Result<Option<Change>, ClusterError> {
        match std::mem::replace(&mut self.step, Step::List) {
            Step::List => {
                let asked = Instant::now();
                let listed = Listed::of(&self.namespace);
                let keep = |all: &mut Vec<Value>, object: DynamicObject| all.push(to_value(&object));
                let is_patient = self.took.is_zero() || self.failures % 4 == 3;
                let limit = if is_patient { Duration::MAX } else { HASTE.max(self.took * 3) };
                let fetch = self.cluster.fetch_all_at(self.kind, listed, keep);
                let Ok(fetched) = tokio::time::timeout(limit, fetch).await else {
                    let action = format!("list {} in namespace {}", self.kind.kubectl(), self.namespace);
                    return Err(ClusterError::Timeout { action, limit });
                };
                let (objects, version) = fetched?;
                if !is_patient || self.took.is_zero() {
                    self.took = asked.elapsed();
                }
                let version = version.filter(|version| !version.is_empty()).ok_or_else(|| ClusterError::Other {
                    action: self.action(),
                    message: "the list has no resourceVersion".to_owned(),
                    transient: true,
                })?;
                self.known = asked;
                self.step = Step::Begin(version);
                Ok(Some(Change::Listed(objects)))
            }
            Step::Begin(version) => {
                let api = self.cluster.api(self.kind, &self.namespace);
                let parameters = WatchParams::default().timeout(LIFE.as_secs() as u32);
                let (action, begun) = (self.action(), Instant::now());
                let events = match tokio::time::timeout(START_LIMIT, api.watch(&parameters, &version)).await {
                    Err(_) => return Err(ClusterError::Timeout { action, limit: START_LIMIT }),
                    Ok(events) => events.map_err(|error| ClusterError::from_kube(&action, &error))?.boxed(),
                };
                self.step = Step::Follow { events, version, begun, is_empty: true };
                Ok(None)
            }
            Step::Follow { mut events, version, begun, is_empty } => {
                let action = self.action();
                let Ok(event) = tokio::time::timeout(LIFE + MARGIN, events.next()).await else {
                    return Err(ClusterError::Timeout { action, limit: LIFE + MARGIN });
                };
                let (object, is_deleted) = match event {
                    Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => (object, false),
                    Some(Ok(WatchEvent::Deleted(object))) => (object, true),
                    Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                        self.heard();
                        let version = bookmark.metadata.resource_version;
                        self.step = Step::Follow { events, version, begun, is_empty: false };
                        return Ok(None);
                    }
                    Some(Ok(WatchEvent::Error(status))) => {
                        return Err(ClusterError::from_kube(&action, &kube::Error::Api(status)));
                    }
                    Some(Err(error)) => return Err(ClusterError::from_kube(&action, &error)),
                    None => {
                        if begun.elapsed() + Duration::from_secs(1) >= LIFE {
                            self.heard();
                        } else if self.known.elapsed() > LIFE + MARGIN {
                            // A proxy ends the watches early, and may not pass changes on.
                            return Err(ClusterError::Timeout { action, limit: LIFE + MARGIN });
                        } else if is_empty {
                            // This prevents a busy loop with a server that ends every watch immediately.
                            self.pause = PAUSE;
                        }
                        self.step = Step::Begin(version);
                        return Ok(None);
                    }
                };
                self.heard();
                let version = object.metadata.resource_version.clone().unwrap_or(version);
                self.step = Step::Follow { events, version, begun, is_empty: false };
                let object = to_value(&object);
                Ok(Some(if is_deleted { Change::Deleted(object) } else { Change::Applied(object) }))
            }
        }
    }

    /// The server has sent every change up to now.
    fn heard(&mut self) {
        self.known = Instant::now();
        self.failures = 0;
    }
}
