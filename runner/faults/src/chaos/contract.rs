//! Interprets the status of a resource by the semantics of its controllers. Pure.
//!
//! `AllRecovered` is also true before the injection, and `AllInjected` stays true when a target is replaced. Only the desired
//! phase, the conditions and the records of exactly the planned pods together are conclusive.

use std::collections::BTreeSet;

use serde_json::Value;
use shakedown_schemas::Explained;

use super::diagnose::is_before_rules;
use super::spec::Record;

/// Why a resource does not count as injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No controller has processed it.
    Untouched,
    /// The controller has selected no target.
    Unselected,
    /// It is in progress, or fails and may still succeed.
    Pending {
        /// What is missing.
        what: String,
        /// The message of the latest failure.
        failure: Option<String>,
    },
    /// It acts or will act on a pod that was not planned. Waiting does not help.
    Wrong(String),
}

impl Missing {
    /// What is missing, as text.
    pub fn text(&self) -> String {
        match self {
            Self::Untouched => "no controller has processed it".to_owned(),
            Self::Unselected => "no target is selected".to_owned(),
            Self::Pending { what, failure: Some(failure) } => format!("{what}: {failure}"),
            Self::Pending { what, failure: None } | Self::Wrong(what) => what.clone(),
        }
    }
}

fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

fn records(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["experiment"]["containerRecords"].as_array().into_iter().flatten()
}

fn desired_phase(object: &Value) -> &str {
    object["status"]["experiment"]["desiredPhase"].as_str().unwrap_or_default()
}

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap_or_default()
}

/// Checks that a resource is injected on exactly the planned records.
///
/// # Errors
/// With what is missing.
pub fn injected(object: &Value, planned: &BTreeSet<Record>) -> Result<(), Missing> {
    let pending = |what: String, failure: Option<String>| Err(Missing::Pending { what, failure });
    let finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    if object["status"]["experiment"].is_null() && !finalizers {
        return Err(Missing::Untouched);
    }
    let found: BTreeSet<(&str, &str)> =
        records(object).map(|record| (id(record), record["selectorKey"].as_str().unwrap_or("."))).collect();
    let wanted: BTreeSet<(&str, &str)> = planned.iter().map(|record| (record.id.as_str(), record.key)).collect();
    if let Some((other, key)) = found.difference(&wanted).next() {
        let end = if *key == "." { "" } else { " as the other end" };
        return Err(Missing::Wrong(format!("it acts on {other}{end}, which was not chosen")));
    }
    if condition(object, "Selected") != Some("True") {
        return Err(Missing::Unselected);
    }
    let absent: Vec<&str> = wanted.difference(&found).map(|(id, _)| *id).collect();
    if !absent.is_empty() {
        return pending(format!("{} is not among the selected", absent.join(", ")), None);
    }
    if desired_phase(object) != "Run" {
        return pending(format!("its desired phase is `{}` and not Run", desired_phase(object)), None);
    }
    let waiting: Vec<&Value> = records(object).filter(|record| record["phase"] != "Injected").collect();
    if let Some(first) = waiting.first() {
        let ids: Vec<&str> = waiting.iter().map(|record| id(record)).collect();
        let phase = first["phase"].as_str().unwrap_or("Not Injected");
        return pending(format!("{} is `{phase}`", ids.join(", ")), waiting.iter().find_map(|it| failure(it, "Apply")));
    }
    if condition(object, "AllInjected") != Some("True") {
        return pending("its condition AllInjected is not True".to_owned(), None);
    }
    Ok(())
}

/// Checks that a resource was recovered, from its last state. Its conditions lag one step behind its records.
///
/// # Errors
/// With the records that were not recovered.
pub fn recovered(object: &Value) -> Result<(), Missing> {
    let standing: Vec<&Value> = records(object).filter(|record| record["phase"] != "Not Injected").collect();
    if let Some(first) = standing.first() {
        let ids: Vec<&str> = standing.iter().map(|record| id(record)).collect();
        let phase = first["phase"].as_str().unwrap_or_default();
        let what = format!("{} is `{phase}`", ids.join(", "));
        return Err(Missing::Pending { what, failure: standing.iter().find_map(|it| failure(it, "Recover")) });
    }
    // A resource that was never injected has nothing to recover.
    if records(object).next().is_some() && desired_phase(object) != "Stop" {
        let what = format!("its desired phase is `{}` and not Stop", desired_phase(object));
        return Err(Missing::Pending { what, failure: None });
    }
    Ok(())
}

/// The latest event of a record, if it is a failure of this operation.
fn failure(record: &Value, operation: &str) -> Option<String> {
    let last = record["events"].as_array()?.last()?;
    let failed = last["type"] == "Failed" && last["operation"] == operation;
    failed.then(|| last["message"].as_str().unwrap_or_default().to_owned())
}

/// The current failure of a resource, in its controller's words; `None` without one.
pub fn failing(object: &Value) -> Option<String> {
    let wanted = if desired_phase(object) == "Stop" { ("Not Injected", "Recover") } else { ("Injected", "Apply") };
    records(object).filter(|record| record["phase"] != wanted.0).find_map(|record| failure(record, wanted.1))
}

/// Whether a record reports a failure: then its controller is working.
pub fn tells(object: &Value) -> bool {
    records(object).any(|record| ["Apply", "Recover"].iter().any(|operation| failure(record, operation).is_some()))
}

/// Whether its recovery is under way: every remaining record took effect, and none reports a failure.
pub fn is_recovering(object: &Value) -> bool {
    let mut left = records(object).filter(|record| record["phase"] != "Not Injected").peekable();
    desired_phase(object) == "Stop"
        && left.peek().is_some()
        && left.all(|record| {
            record["phase"].as_str().is_some_and(|phase| phase.starts_with("Injected"))
                && failure(record, "Recover").is_none()
        })
}

/// Why a resource cannot be removed yet, as text.
pub fn stuck(object: &Value) -> String {
    // A failing injection has to succeed before it can be recovered.
    let waits = records(object).find(|record| record["phase"] == "Not Injected/Wait");
    match (recovered(object), waits.and_then(|record| failure(record, "Apply"))) {
        (_, Some(failure)) => {
            format!("its injection never succeeded, and Chaos Mesh cannot recover it before that: {failure}")
        }
        // The manager's first reaction to a deletion is to change the desired phase.
        (Err(missing), None)
            if object["metadata"]["deletionTimestamp"].is_string() && desired_phase(object) == "Run" =>
        {
            format!("{}: {}", missing.text(), super::diagnose::NOT_TAKEN_UP)
        }
        (Err(missing), None) => missing.text(),
        (Ok(()), None) => "its controller does not remove its finalizer".to_owned(),
    }
}

/// The pods on which a resource is not recovered, as `namespace/pod` or `namespace/pod/container`.
pub fn unsettled(object: &Value) -> impl Iterator<Item = &str> {
    records(object).filter(|record| record["phase"] != "Not Injected").map(id)
}

/// The pods of a resource's records, as `namespace/pod`.
pub fn pods(object: &Value) -> impl Iterator<Item = &str> {
    records(object).map(|record| {
        let id = id(record);
        id.match_indices('/').nth(1).map_or(id, |(at, _)| &id[..at])
    })
}

/// Whether the injection into a pod was never seen to succeed.
pub fn waits(object: &Value, pod: &str) -> bool {
    records(object).filter(|record| id(record) == pod).all(|record| {
        record["injectedCount"].as_u64().unwrap_or_default() == 0
            && record["phase"].as_str().is_some_and(|phase| phase.starts_with("Not Injected"))
    })
}

/// Whether every known attempt in a pod failed before any rule, and at least one did.
pub fn failed_before_rules(object: &Value, pod: &str) -> bool {
    let here = records(object).filter(|record| id(record) == pod);
    let mut events = here.filter_map(|record| record["events"].as_array()).flatten().peekable();
    events.peek().is_some()
        && events.all(|event| event["type"] == "Failed" && event["message"].as_str().is_some_and(is_before_rules))
}

/// Whether a resource does nothing in a pod: the far end of a degradation in one direction, because packets are shaped where
/// they are sent. A partition acts at both ends. Source: Chaos Mesh 2.8.3 as recorded (`tests/recordings/delay.ndjson`).
pub fn acts_elsewhere(object: &Value, pod: &str) -> bool {
    let far = match object["spec"]["direction"].as_str() {
        Some("to") | None => ".Target",
        Some("from") => ".",
        Some(_) => return false,
    };
    let mut here = records(object).filter(|record| id(record) == pod);
    object["spec"]["action"] != "partition" && here.all(|record| record["selectorKey"] == far)
}

/// The generation of a child object, which Chaos Mesh keeps for each pod, if the daemon has not answered it yet.
pub fn unanswered(child: &Value) -> Option<i64> {
    let generation = child["metadata"]["generation"].as_i64()?;
    (child["status"]["observedGeneration"].as_i64().unwrap_or_default() < generation).then_some(generation)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten()
}

/// The restarts of a pod's containers, by name.
pub fn restarts(pod: &Value) -> impl Iterator<Item = (&str, u64)> {
    containers(pod).filter_map(|it| Some((it["name"].as_str()?, it["restartCount"].as_u64()?)))
}

/// How a pod's status shows that its programs were stopped; `None` while they run. `before` is the number of restarts before
/// the fault: without probes, a container with another image becomes ready again.
pub fn stopped(pod: &Value, before: u64) -> Option<String> {
    let name = |it: &Value| it["name"].as_str().unwrap_or_default().to_owned();
    if let Some(container) = containers(pod).find(|it| it["ready"] != true) {
        let state = &container["state"];
        let why = state["waiting"]["reason"].as_str().or(state["terminated"]["reason"].as_str());
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        return Some(format!("container {} is not ready{why}", name(container)));
    }
    // Readiness gates and native sidecars can make a pod unready although its programs run.
    if containers(pod).next().is_none() && condition(pod, "Ready") != Some("True") {
        return Some("it is not ready".to_owned());
    }
    (restarts(pod).map(|(_, count)| count).sum::<u64>() > before)
        .then(|| "its containers were started again, with the image that does nothing".to_owned())
}

/// How a pod's status shows that a container was killed; `None` while it does not. `before` is the number of its restarts
/// before the fault.
pub fn killed(pod: &Value, container: &str, before: u64) -> Option<String> {
    let container = containers(pod).find(|it| it["name"] == container)?;
    if container["restartCount"].as_u64().is_some_and(|count| count > before) {
        return Some("it was started again".to_owned());
    }
    let ended = container["state"].get("terminated")?;
    Some(format!("it has ended ({})", ended["reason"].as_str().unwrap_or("no reason reported")))
}

/// A repeated failure of a pod's containers, as text; `None` without one.
pub fn crash(pod: &Value) -> Option<String> {
    let container = containers(pod).find(|it| it["state"]["running"].is_null())?;
    let (name, count) = (container["name"].as_str().unwrap_or_default(), container["restartCount"].as_u64());
    let reason =
        container["state"]["waiting"]["reason"].as_str().or(container["state"]["terminated"]["reason"].as_str());
    let reason = reason.unwrap_or("it does not run");
    Some(format!("container {name} does not run ({reason}, started again {} times)", count.unwrap_or_default()))
}

/// Checks that the PodNetworkChaos of a pod has the rules of a resource (`namespace/name`) in place.
///
/// # Errors
/// With what is missing.
pub fn in_place(network: Option<&Value>, pod: &str, source: &str) -> Result<(), Missing> {
    let Some(network) = network else {
        let what = format!("there is no PodNetworkChaos of pod {pod}");
        return Err(Missing::Pending { what, failure: None });
    };
    let failed = network["status"]["failedMessage"].as_str().filter(|message| !message.is_empty());
    if let Some(message) = failed {
        let what = format!("the rules of pod {pod} are not in place");
        return Err(Missing::Pending { what, failure: Some(message.to_owned()) });
    }
    let pending = |what: String| Err(Missing::Pending { what, failure: None });
    if !names(network, source) {
        return pending(format!("the PodNetworkChaos of pod {pod} does not have it"));
    }
    let generation = network["metadata"]["generation"].as_i64().unwrap_or_default();
    if network["status"]["observedGeneration"].as_i64().unwrap_or_default() < generation {
        return pending(format!("the daemon has not seen the rules of pod {pod} yet"));
    }
    Ok(())
}

/// The lists of rules in a PodNetworkChaos.
pub const LISTS: [&str; 3] = ["ipsets", "iptables", "tcs"];

/// Whether a pod has rules of a resource.
pub fn names(network: &Value, source: &str) -> bool {
    LISTS.iter().any(|list| {
        let rules = network["spec"][*list].as_array();
        rules.into_iter().flatten().any(|rule| rule["source"] == source)
    })
}

/// Why a pod's network cannot take another resource. Chaos Mesh keeps one state per pod for all resources.
pub fn unfit(network: &Value, pod: &str) -> Option<Explained> {
    let others: BTreeSet<&str> = LISTS
        .iter()
        .flat_map(|list| network["spec"][*list].as_array().into_iter().flatten())
        .filter_map(|rule| rule["source"].as_str())
        .collect();
    // Without rules, a failure is outdated: each new rule is tried again.
    if others.is_empty() {
        return None;
    }
    let others = others.into_iter().collect::<Vec<_>>().join(", ");
    Some(match network["status"]["failedMessage"].as_str().filter(|message| !message.is_empty()) {
        Some(message) => Explained::new(
            format!(
                "an earlier network fault of Chaos Mesh on pod {pod} ({others}) has failed, and every new one fails with it: \
                 {message}"
            ),
            "remove what is left (`kubectl get networkchaos -A`), then replace the pod",
        ),
        None => Explained::new(
            format!("another network fault acts on pod {pod} already: {others}"),
            "two of them on one pod override each other; remove that one first (`kubectl delete networkchaos`)",
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planned() -> BTreeSet<Record> {
        [("n/a", "."), ("n/b", ".Target")].map(|(id, key)| Record { id: id.into(), key }).into()
    }

    fn object(desired: &str, records: &[(&str, &str, &str)], conditions: &[(&str, &str)]) -> Value {
        let records: Vec<Value> = records
            .iter()
            .map(|(id, key, phase)| {
                let event = json!({"type": "Failed", "operation": "Apply", "message": "unable to set tcs for pod a"});
                let events = if *phase == "Not Injected/Wait" { vec![event] } else { Vec::new() };
                json!({"id": id, "selectorKey": key, "phase": phase, "events": events})
            })
            .collect();
        let conditions: Vec<Value> =
            conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        json!({
            "metadata": {"finalizers": ["chaos-mesh/records"]},
            "status": {"conditions": conditions, "experiment": {"desiredPhase": desired, "containerRecords": records}},
        })
    }

    const SELECTED: (&str, &str) = ("Selected", "True");
    const INJECTED: (&str, &str) = ("AllInjected", "True");

    #[test]
    fn a_degradation_acts_where_packets_are_sent_and_a_partition_at_both_ends() {
        let object = |action: &str, direction: &str| {
            let records = json!([{"id": "a/near", "selectorKey": "."}, {"id": "a/far", "selectorKey": ".Target"}]);
            json!({"spec": {"action": action, "direction": direction},
                "status": {"experiment": {"containerRecords": records}}})
        };
        for (action, direction, near, far) in [
            ("netem", "to", false, true),
            ("netem", "from", true, false),
            ("netem", "both", false, false),
            ("partition", "to", false, false),
        ] {
            let object = object(action, direction);
            assert_eq!(
                (acts_elsewhere(&object, "a/near"), acts_elsewhere(&object, "a/far")),
                (near, far),
                "{action} {direction}"
            );
        }
    }

    #[test]
    fn injected_takes_all_of_it_together() {
        let both = [("n/a", ".", "Injected"), ("n/b", ".Target", "Injected")];
        assert_eq!(injected(&object("Run", &both, &[SELECTED, INJECTED]), &planned()), Ok(()));
        let text = |object: Value| injected(&object, &planned()).unwrap_err().text();
        assert!(text(object("Stop", &both, &[SELECTED, INJECTED])).contains("`Stop` and not Run"));
        assert!(text(object("Run", &both, &[SELECTED])).contains("AllInjected"));
        assert!(text(object("Run", &both, &[INJECTED])).contains("no target is selected"));
        assert!(text(object("Run", &both[..1], &[SELECTED, INJECTED])).contains("n/b is not among"));
        let half = [both[0], ("n/b", ".Target", "Not Injected/Wait")];
        let half = text(object("Run", &half, &[SELECTED]));
        assert!(half.contains("n/b is `Not Injected/Wait`: unable to set tcs"), "{half}");
        let fresh = json!({"metadata": {}});
        assert_eq!(injected(&fresh, &planned()), Err(Missing::Untouched));
    }

    #[test]
    fn another_pod_is_wrong_at_once() {
        let other = [("n/a", ".", "Injected"), ("n/b", ".Target", "Injected"), ("n/c", ".", "Not Injected")];
        let answer = injected(&object("Run", &other, &[SELECTED]), &planned());
        assert_eq!(answer, Err(Missing::Wrong("it acts on n/c, which was not chosen".into())));
        let swapped = [("n/a", ".Target", "Injected"), ("n/b", ".", "Injected")];
        let answer = injected(&object("Run", &swapped, &[SELECTED]), &planned());
        assert_eq!(answer, Err(Missing::Wrong("it acts on n/a as the other end, which was not chosen".into())));
    }

    #[test]
    fn programs_count_as_stopped_by_their_pods_own_status() {
        let pod = |ready: bool, restarts: u64, state: Value| {
            json!({"status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "containerStatuses": [{"name": "main", "ready": ready, "restartCount": restarts, "state": state}],
            }})
        };
        let running = json!({"running": {}});
        assert_eq!(stopped(&pod(true, 3, running.clone()), 3), None, "its image was changed, and it still runs");
        assert!(
            stopped(&pod(true, 4, running.clone()), 3).unwrap().contains("started again"),
            "without probes it is ready"
        );
        assert_eq!(killed(&pod(true, 3, running.clone()), "main", 3), None, "Chaos Mesh says so, and it still runs");
        assert_eq!(killed(&pod(true, 4, running.clone()), "sidecar", 3), None, "another container was started again");
        assert!(killed(&pod(true, 4, running.clone()), "main", 3).unwrap().contains("started again"));
        let over = pod(false, 3, json!({"terminated": {"reason": "Error", "exitCode": 137}}));
        assert_eq!(killed(&over, "main", 3).unwrap(), "it has ended (Error)", "where it is not restarted");
        let waits = pod(false, 3, json!({"waiting": {"reason": "CreateContainerError"}}));
        assert_eq!(stopped(&waits, 3).unwrap(), "container main is not ready (CreateContainerError)");
        assert_eq!(crash(&pod(true, 3, running)), None);
        let crashes = crash(&pod(false, 7, json!({"waiting": {"reason": "CrashLoopBackOff"}}))).unwrap();
        assert_eq!(crashes, "container main does not run (CrashLoopBackOff, started again 7 times)");
    }

    /// Chaos Mesh changes the images of init containers as well. A native sidecar has no grace period of the pod's own
    /// programs.
    #[test]
    fn a_native_sidecar_that_ends_first_does_not_show_that_the_programs_have_ended() {
        let pod = |main: bool, sidecar: bool| {
            let ready = if main && sidecar { "True" } else { "False" };
            json!({
                "spec": {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}], "containers": [{"name": "main"}]},
                "status": {
                    "conditions": [{"type": "Ready", "status": ready}],
                    "containerStatuses": [{"name": "main", "ready": main, "restartCount": 0, "state": {"running": {}}}],
                    "initContainerStatuses": [{"name": "proxy", "ready": sidecar, "restartCount": 1}],
                },
            })
        };
        assert_eq!((stopped(&pod(true, true), 0), stopped(&pod(true, false), 0)), (None, None));
        assert_eq!(stopped(&pod(false, true), 0).unwrap(), "container main is not ready");
        // Pods that no kubelet has accepted have only conditions.
        let bare = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        assert_eq!(stopped(&bare, 0).unwrap(), "it is not ready");
    }

    #[test]
    fn all_recovered_alone_is_not_believed() {
        let before = [("n/a", ".", "Not Injected"), ("n/b", ".Target", "Not Injected")];
        let all = [SELECTED, ("AllRecovered", "True")];
        assert!(recovered(&object("Run", &before, &all)).is_err(), "true before injection as well");
        assert_eq!(recovered(&object("Stop", &before, &all)), Ok(()));
        assert_eq!(recovered(&object("Stop", &before, &[])), Ok(()), "the conditions come a step later");
        let left = [before[0], ("n/b", ".Target", "Injected/Wait")];
        assert!(recovered(&object("Stop", &left, &all)).unwrap_err().text().contains("n/b is `Injected/Wait`"));
    }

    #[test]
    fn rules_of_a_pod_count_when_they_were_seen() {
        let network = |observed: i64, failed: &str| {
            json!({
                "metadata": {"generation": 2},
                "spec": {"tcs": [{"type": "netem", "source": "n/x"}]},
                "status": {"observedGeneration": observed, "failedMessage": failed},
            })
        };
        assert_eq!(in_place(Some(&network(2, "")), "n/a", "n/x"), Ok(()));
        assert!(in_place(Some(&network(1, "")), "n/a", "n/x").unwrap_err().text().contains("not seen"));
        assert!(in_place(Some(&network(2, "tc failed")), "n/a", "n/x").unwrap_err().text().contains("tc failed"));
        assert!(in_place(Some(&network(2, "")), "n/a", "n/y").is_err() && in_place(None, "n/a", "n/x").is_err());
        assert!(unfit(&network(2, ""), "n/a").unwrap().message.contains("n/x"));
        assert!(unfit(&network(2, "tc failed"), "n/a").unwrap().message.contains("tc failed"));
        assert_eq!(unfit(&json!({"spec": {}}), "n/a"), None);
        // Seen on Chaos Mesh 2.8.3: once the node can, the next fault of this pod takes hold.
        assert_eq!(unfit(&json!({"spec": {}, "status": {"failedMessage": "tc failed"}}), "n/a"), None);
    }
}
