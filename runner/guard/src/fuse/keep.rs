//! Pushing a fuse while the runner lives.

use std::panic::AssertUnwindSafe;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use shakedown_schemas::EventKind;
use tokio::sync::watch;
use tokio::time::Instant;

use super::pace::Pace;
use shakedown_cluster::{Cluster, ClusterError, ObjectKey};

/// The number of conflicts in a row after which a push fails.
const CONFLICTS: u32 = 5;

/// The result of a push that the server answered.
#[derive(Debug, PartialEq, Eq)]
enum Pushed {
    /// The Job was updated. Contains its new version.
    Through(Option<String>),
    /// The Job is gone, or being deleted.
    Gone,
}

/// Pushes a fuse until it has burned down or is gone, then sends the reason to `burned`.
pub(super) async fn keep(
    cluster: Cluster,
    key: ObjectKey,
    version: Option<String>,
    pace: Pace,
    burned: watch::Sender<Option<String>>,
) {
    let pushing = push_until_burned(&cluster, &key, version, pace);
    let reason = match AssertUnwindSafe(pushing).catch_unwind().await {
        Ok(reason) => reason,
        Err(_) => "its pushes failed; this is a bug of shakedown".to_owned(),
    };
    burned.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert_with(|| format!("the fuse of namespace {} burned down: {reason}", key.namespace));
        is_first
    });
}

async fn push_until_burned(cluster: &Cluster, key: &ObjectKey, mut version: Option<String>, mut pace: Pace) -> String {
    let mut pushes = FuturesUnordered::new();
    let mut error = "no answer".to_owned();
    let mut attempt = 0;
    loop {
        tokio::select! {
            biased;
            Some((sent, answer)) = pushes.next() => match answer {
                Ok(Pushed::Through(kept)) => {
                    version = kept;
                    attempt = 0;
                    pace.got_through(sent);
                }
                Ok(Pushed::Gone) => {
                    return format!("{key} was deleted by another client, or by the cluster before its time");
                }
                Err(refusal) => {
                    let refusal: ClusterError = refusal;
                    attempt += 1;
                    error = refusal.to_string();
                    cluster.tell(EventKind::ApiRetry { request: format!("push {key}"), error: error.clone(), attempt });
                }
            },
            () = tokio::time::sleep_until(pace.end()) => {
                return format!("the runner could not push it for {} s: {error}", pace.life().as_secs());
            }
            () = tokio::time::sleep_until(pace.due()) => {
                let now = Instant::now();
                let (ttl, version) = (pace.ttl(now), version.clone());
                pace.sent(now);
                pushes.push(async move { (now, push(cluster, key, version, ttl).await) });
            }
        }
    }
}

/// Raises a fuse's time to live. The resource version in the request prevents a delayed push from undoing a later one.
async fn push(
    cluster: &Cluster,
    key: &ObjectKey,
    mut version: Option<String>,
    ttl: u64,
) -> Result<Pushed, ClusterError> {
    let mut conflicts = 0;
    loop {
        let fields = json!({
            "metadata": {"resourceVersion": version},
            "spec": {"ttlSecondsAfterFinished": ttl},
        });
        let conflict = match cluster.patch_once(key, &fields).await {
            Ok(job) if is_going(&job) || kept(&job) >= Some(ttl) => return Ok(through(&job)),
            Ok(job) => {
                let message = format!(
                    "the server kept {} instead of {ttl} for `ttlSecondsAfterFinished`: an admission webhook changes it",
                    job["spec"]["ttlSecondsAfterFinished"]
                );
                return Err(ClusterError::Other { action: format!("push {key}"), message, transient: false });
            }
            Err(error) if error.is_not_found() => return Ok(Pushed::Gone),
            Err(conflict @ ClusterError::Conflict { .. }) => conflict,
            Err(error) => return Err(error),
        };
        let Some(there) = cluster.get_once(key).await? else { return Ok(Pushed::Gone) };
        if kept(&there) >= Some(ttl) || is_going(&there) {
            return Ok(through(&there));
        }
        conflicts += 1;
        if conflicts >= CONFLICTS {
            return Err(conflict);
        }
        version = text(&there["metadata"]["resourceVersion"]);
    }
}

/// The time to live in the server's answer.
fn kept(job: &Value) -> Option<u64> {
    job["spec"]["ttlSecondsAfterFinished"].as_u64()
}

fn through(job: &Value) -> Pushed {
    if is_going(job) { Pushed::Gone } else { Pushed::Through(text(&job["metadata"]["resourceVersion"])) }
}

/// Whether a Job is being deleted. Garbage collection then deletes its dependents, even if the Job is still updated.
pub(crate) fn is_going(job: &Value) -> bool {
    !job["metadata"]["deletionTimestamp"].is_null()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
