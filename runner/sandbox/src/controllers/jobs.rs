//! Jobs: their pods, their deadline, and their removal afterwards. The runner's fuse depends on these rules.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{earlier, events, pods};
use crate::object;
use crate::registry::{DeleteOptions, Propagation, Registry};
use crate::resource::{JOBS, PODS};
use crate::store::Key;

const COMPONENT: &str = "job-controller";

/// Reconciles every job.
pub(crate) fn reconcile(registry: &Registry) -> Option<Duration> {
    let mut next = None;
    for job in registry.store.list(&JOBS, "") {
        if object::is_terminating(&job) {
            continue;
        }
        next = earlier(next, if ended(&job) { expire(registry, &job) } else { advance(registry, &job) });
    }
    next
}

fn is_true(job: &Value, condition: &str) -> bool {
    object::condition(job, condition) == Some("True")
}

fn ended(job: &Value) -> bool {
    is_true(job, "Complete") || is_true(job, "Failed")
}

/// Deletes an ended job once its time to live is over.
fn expire(registry: &Registry, job: &Value) -> Option<Duration> {
    let ttl = object::number(job, "/spec/ttlSecondsAfterFinished")?;
    let end = object::list(job, "/status/conditions")
        .iter()
        .find(|c| matches!(c["type"].as_str(), Some("Complete" | "Failed")) && c["status"] == "True")
        .map(|c| object::text(c, "/lastTransitionTime"))?;
    let left = registry.store.clock.until(end, ttl);
    if !left.is_zero() {
        return Some(left);
    }
    let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::of(object::uid(job)) };
    if let Err(error) = registry.delete(&Key::of(&JOBS, job), &options) {
        tracing::debug!(job = object::name(job), %error, "an expired job could not be deleted");
    }
    None
}

fn advance(registry: &Registry, job: &Value) -> Option<Duration> {
    if job["spec"]["suspend"] == true {
        return None;
    }
    let clock = registry.store.clock;
    let start = match object::text(job, "/status/startTime") {
        "" => clock.stamp(),
        start => start.to_string(),
    };
    let uid = object::uid(job);
    let owned: Vec<Arc<Value>> = registry
        .store
        .list(&PODS, object::namespace(job))
        .into_iter()
        .filter(|pod| object::controller_uid(pod) == Some(uid))
        .collect();
    let in_phase = |phase: &str| owned.iter().filter(|p| object::text(p, "/status/phase") == phase).count() as i64;
    let (succeeded, failed) = (in_phase("Succeeded"), in_phase("Failed"));
    let active: Vec<&Arc<Value>> = owned
        .iter()
        .filter(|p| !matches!(object::text(p, "/status/phase"), "Succeeded" | "Failed") && !object::is_terminating(p))
        .collect();
    let mut tally = Tally { start, active: active.len() as i64, succeeded, failed, ready: 0, verdict: None };
    tally.ready = active.iter().filter(|p| object::condition(p, "Ready") == Some("True")).count() as i64;

    let deadline = object::number(job, "/spec/activeDeadlineSeconds").map(|s| clock.until(&tally.start, s));
    let completions = object::number(job, "/spec/completions");
    let wanted = completions.unwrap_or(1);
    let limit = object::number(job, "/spec/backoffLimit").unwrap_or(6);
    tally.verdict = if deadline == Some(Duration::ZERO) {
        Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else if failed > limit {
        Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if succeeded >= wanted && (completions.is_some() || active.is_empty()) {
        Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
    } else {
        None
    };
    if let Some((kind, reason, message)) = tally.verdict {
        for pod in &active {
            pods::delete(registry, job, COMPONENT, pod);
        }
        tally.failed += if kind == "Failed" { tally.active } else { 0 };
        (tally.active, tally.ready) = (0, 0);
        let (reason, message) = if kind == "Complete" { ("Completed", "Job completed") } else { (reason, message) };
        events::emit(registry, job, COMPONENT, kind == "Failed", reason, message);
    } else {
        let parallelism = object::number(job, "/spec/parallelism").unwrap_or(1);
        for _ in tally.active..parallelism.min(wanted - succeeded) {
            tally.active += i64::from(pods::create(registry, job, COMPONENT, pod(job)));
        }
    }
    registry.modify(&Key::of(&JOBS, job), uid, |job| tally.write(job, &clock.stamp()));
    deadline.filter(|_| tally.verdict.is_none())
}

/// The status of a job.
struct Tally {
    start: String,
    active: i64,
    ready: i64,
    succeeded: i64,
    failed: i64,
    /// The condition that ends the job, its reason and message.
    verdict: Option<(&'static str, &'static str, &'static str)>,
}

impl Tally {
    fn write(&self, job: &mut Value, now: &str) {
        let status = object::map_mut(job, "status");
        status.insert("startTime".into(), self.start.clone().into());
        status.insert("ready".into(), self.ready.into());
        status.insert("terminating".into(), 0.into());
        status.insert("uncountedTerminatedPods".into(), json!({}));
        for (key, count) in [("active", self.active), ("succeeded", self.succeeded), ("failed", self.failed)] {
            if count > 0 {
                status.insert(key.into(), count.into());
            } else {
                status.shift_remove(key);
            }
        }
        let Some((kind, reason, message)) = self.verdict else { return };
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True", "lastProbeTime": now, "lastTransitionTime": now,
                "reason": reason, "message": message})
        };
        let announced = if kind == "Failed" { "FailureTarget" } else { "SuccessCriteriaMet" };
        status.insert("conditions".into(), json!([condition(announced), condition(kind)]));
        if kind == "Complete" {
            status.insert("completionTime".into(), now.into());
        }
    }
}

fn pod(job: &Value) -> Value {
    let mut pod = pods::from_template(&JOBS, job);
    object::meta_mut(&mut pod).insert("generateName".into(), format!("{}-", object::name(job)).into());
    pod
}
