//! Watches: changes of objects as a stream of JSON lines.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::format::Form;
use super::options::ListOptions;
use super::route::Route;
use crate::error::ApiError;
use crate::object;
use crate::registry::Registry;
use crate::store::{Change, OutOfRange};

/// How long a watch lasts when the client does not say.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How often a client that wants bookmarks gets one.
const BOOKMARKS: Duration = Duration::from_secs(30);

/// Starts a watch. The stream ends at its time-out, or after the error that ended it.
pub(super) fn start(
    registry: Arc<Registry>,
    route: Route,
    options: ListOptions,
    form: Form,
) -> impl Stream<Item = Bytes> {
    let (lines, mut receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let watch = Watch { registry, route, options, form, lines };
        // `None` says that the client went away.
        let _ = watch.run().await;
    });
    futures::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}

struct Watch {
    registry: Arc<Registry>,
    route: Route,
    options: ListOptions,
    form: Form,
    lines: mpsc::Sender<Bytes>,
}

impl Watch {
    async fn run(&self) -> Option<()> {
        let deadline = Instant::now() + self.options.timeout.unwrap_or(TIMEOUT);
        let mut latest = self.registry.store.subscribe();
        let mut bookmarks = tokio::time::interval_at(Instant::now() + BOOKMARKS, BOOKMARKS);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = match self.options.version {
            Some(version) => version,
            None => self.send_existing().await?,
        };
        loop {
            // Marked as seen before reading, so that no version slips through between the two.
            latest.borrow_and_update();
            match self.registry.store.changes_since(seen) {
                Ok((changes, version)) => {
                    seen = version;
                    for change in &changes {
                        self.send_change(change).await?;
                    }
                }
                Err(error) => return self.send_error(seen, error).await,
            }
            tokio::select! {
                changed = latest.changed() => if changed.is_err() { return Some(()) },
                _ = bookmarks.tick(), if self.options.bookmarks => self.send_bookmark(seen).await?,
                () = tokio::time::sleep_until(deadline) => {
                    if self.options.bookmarks {
                        self.send_bookmark(seen).await?;
                    }
                    return Some(());
                }
                () = self.lines.closed() => return None,
            }
        }
    }

    /// Without a start version, a watch begins with the existing objects.
    async fn send_existing(&self) -> Option<u64> {
        let (objects, version) = {
            let tx = self.registry.store.lock();
            (tx.list(self.route.resource, &self.route.namespace), tx.revision())
        };
        for object in objects.iter().filter(|o| self.is_named(o) && self.options.selects(o)) {
            self.send("ADDED", self.shape(object)).await?;
        }
        Some(version)
    }

    async fn send_change(&self, change: &Change) -> Option<()> {
        let in_scope = change.key.resource == self.route.resource
            && (self.route.namespace.is_empty() || change.key.namespace == self.route.namespace)
            && self.route.name.as_ref().is_none_or(|name| *name == change.key.name);
        if !in_scope {
            return Some(());
        }
        let was = change.before.as_deref().filter(|before| self.options.selects(before));
        let is = !change.deleted && self.options.selects(&change.after);
        match (was, is) {
            (None, true) => self.send("ADDED", self.shape(&change.after)).await,
            (Some(_), true) => self.send("MODIFIED", self.shape(&change.after)).await,
            (Some(_), false) if change.deleted => self.send("DELETED", self.shape(&change.after)).await,
            (Some(before), false) => {
                // It left the selection: it is sent as it was, with the version at which it left.
                let mut last = before.clone();
                object::meta_mut(&mut last).insert("resourceVersion".into(), change.revision.to_string().into());
                self.send("DELETED", self.shape(&last)).await
            }
            (None, false) => Some(()),
        }
    }

    async fn send_bookmark(&self, version: u64) -> Option<()> {
        let resource = self.route.resource;
        let bookmark = json!({"kind": resource.kind, "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}});
        let bookmark = match self.form {
            Form::Table { .. } => self.shape(&bookmark),
            _ => bookmark,
        };
        self.send("BOOKMARK", bookmark).await
    }

    async fn send_error(&self, asked: u64, error: OutOfRange) -> Option<()> {
        let error = match error {
            OutOfRange::Old(oldest) => ApiError::expired(format!("too old resource version: {asked} ({oldest})")),
            OutOfRange::New(latest) => ApiError::too_new(asked, latest),
        };
        self.send("ERROR", error.to_status()).await
    }

    fn is_named(&self, object: &Value) -> bool {
        self.route.name.as_ref().is_none_or(|name| name == object::name(object))
    }

    fn shape(&self, object: &Value) -> Value {
        self.form.object(self.route.resource, object, &self.registry.store.clock)
    }

    async fn send(&self, kind: &str, object: Value) -> Option<()> {
        let mut line = json!({"type": kind, "object": object}).to_string();
        line.push('\n');
        self.lines.send(line.into()).await.ok()
    }
}
