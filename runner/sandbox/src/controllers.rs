//! The controllers: each reads the objects and moves the cluster towards their specification.
//!
//! In scope: one file per controller, each with one function that can be called again and again (`reconcile`)
//! and that returns when it wants to be called next even if nothing changes. Out of scope: requests (`api`).

pub(crate) mod chaos;
pub(crate) mod deployments;
pub(crate) mod disruptions;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod garbage;
pub(crate) mod jobs;
pub(crate) mod links;
pub(crate) mod namespaces;
mod pods;
pub(crate) mod stateful_sets;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::registry::Registry;

/// Calls `reconcile` now, after every change of any object, and when it asked to be called.
pub(crate) async fn run(registry: Arc<Registry>, mut reconcile: impl FnMut(&Registry) -> Option<Duration> + Send) {
    let mut latest = registry.store.subscribe();
    loop {
        // Marked as seen before the call, so that a change during the call leads to another call.
        latest.borrow_and_update();
        let next = reconcile(&registry);
        let timer = async {
            match next {
                Some(next) => tokio::time::sleep(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            () = timer => {}
        }
    }
}

/// The earlier of two times to be called again.
fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
