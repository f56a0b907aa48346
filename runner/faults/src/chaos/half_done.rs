//! What a failed injection leaves where no recovery reaches it. Pure.
//!
//! If a later step of an injection fails, Chaos Mesh counts the target as not injected, and never recovers it. The other kinds
//! have one step, or none before the target is `Not Injected/Wait`, which Chaos Mesh has to finish. Source: `Apply` of each kind
//! in Chaos Mesh 2.8.3.

use std::collections::BTreeSet;

use serde_json::Value;

use super::contract::{id, records};
use super::diagnose::{is_before_rules, plain};

/// Parts of messages about a target that Chaos Mesh did not reach.
const BEFORE_STEPS: [&str; 2] = ["container with id ", "cannot find daemonIP"];
/// The program of the first step of a stress. The daemon starts it before that of the second, which occupies memory.
const FIRST_STRESSOR: &str = "stress-ng";
/// Part of the message about a call that the daemon may complete after Chaos Mesh has given up.
const TIMED_OUT: &str = "DeadlineExceeded";

/// What is left, and the failure of the step after it.
#[derive(Debug, PartialEq, Eq)]
pub struct HalfDone<'v> {
    /// What, and where.
    pub what: Rest<'v>,
    /// The failure, in Chaos Mesh's words.
    pub why: String,
}

/// What a failed injection leaves.
#[derive(Debug, PartialEq, Eq)]
pub enum Rest<'v> {
    /// A rule in the DNS server of Chaos Mesh.
    Rule,
    /// Possibly stressors, in these pods (`namespace/pod`).
    Stressors(BTreeSet<&'v str>),
}

/// What a resource that is gone has left, by its last state; `None` without a failed step. `AllRecovered` is True all the time.
pub fn half_done(object: &Value) -> Option<HalfDone<'_>> {
    match object["kind"].as_str()? {
        "DNSChaos" => {
            // A recovery takes the rule back, whichever attempt has given it.
            let is_recovery = |event: &&Value| event["operation"] == "Recover" && event["type"] == "Succeeded";
            let failed = |record| events(record).take_while(|event| !is_recovery(event)).find_map(failed_step);
            let why = records(object).filter(|record| record["phase"] == "Not Injected").find_map(failed)?;
            Some(HalfDone { what: Rest::Rule, why })
        }
        "StressChaos" => {
            // A recovery stops the stressors of the attempt that succeeded.
            let stressors = &object["spec"]["stressors"];
            let has_two = stressors["cpu"].is_object() && stressors["memory"].is_object();
            let may_stay = |why: &String| has_two && !why.contains(FIRST_STRESSOR) || why.contains(TIMED_OUT);
            let failed = |record| events(record).filter_map(failed_step).find(may_stay).map(|why| (pod(record), why));
            let mut failed = records(object).filter_map(failed).peekable();
            let why = failed.peek()?.1.clone();
            Some(HalfDone { what: Rest::Stressors(failed.map(|(pod, _)| pod).collect()), why })
        }
        _ => None,
    }
}

/// The events of a record, the latest first.
fn events(record: &Value) -> impl Iterator<Item = &Value> {
    record["events"].as_array().into_iter().flatten().rev()
}

/// The failure of an injection after its first step.
fn failed_step(event: &Value) -> Option<String> {
    let message = event["message"].as_str().unwrap_or_default();
    let is_before = is_before_rules(message) || BEFORE_STEPS.iter().any(|part| message.contains(part));
    (event["operation"] == "Apply" && event["type"] == "Failed" && !is_before).then(|| plain(message))
}

/// The pod of a record, as `namespace/pod`.
fn pod(record: &Value) -> &str {
    let id = id(record);
    id.match_indices('/').nth(1).map_or(id, |(at, _)| &id[..at])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MEMORY: &str = "rpc error: code = Unknown desc = open /proc/4711/comm: no such file or directory";

    /// The operation and the message of each attempt. No message is a success.
    type Attempts = [(&'static str, &'static str)];

    /// A stress with these stressors that is gone, whose attempts ended like this.
    fn stress(stressors: &Value, attempts: &Attempts) -> Value {
        let events: Vec<Value> = attempts
            .iter()
            .map(|(operation, message)| {
                let ended = if message.is_empty() { "Succeeded" } else { "Failed" };
                json!({"operation": operation, "type": ended, "message": message})
            })
            .collect();
        let record = |pod: &str, events: &[Value]| json!({"id": format!("shop/{pod}/main"), "phase": "Not Injected", "events": events});
        json!({"kind": "StressChaos", "spec": {"stressors": stressors}, "status": {"experiment": {"desiredPhase": "Stop",
            "containerRecords": [record("web-0", &events), record("web-1", &[])]}}})
    }

    #[test]
    fn a_stress_whose_second_stressor_failed_may_leave_the_first() {
        let both = json!({"cpu": {"workers": 1}, "memory": {"workers": 1}});
        let cases: [(&Value, &Attempts, bool); 9] = [
            (&both, &[("Apply", MEMORY)], true),
            // A later attempt starts its own, and its recovery stops those.
            (&both, &[("Apply", MEMORY), ("Apply", ""), ("Recover", "")], true),
            (&both, &[("Apply", ""), ("Recover", "")], false),
            (&both, &[("Apply", "start command `pause stress-ng --cpu 1`: no such file")], false),
            (&both, &[("Apply", "container with id shop/web-0/main not found: container not found")], false),
            (&both, &[("Apply", "cannot find daemonIP on node node-1")], false),
            (&json!({"cpu": {"workers": 1}}), &[("Apply", MEMORY)], false),
            (&json!({"memory": {"workers": 1}}), &[("Apply", MEMORY)], false),
            (&json!({"cpu": {"workers": 1}}), &[("Apply", "rpc error: code = DeadlineExceeded desc = x")], true),
        ];
        for (stressors, attempts, is_left) in cases {
            let object = stress(stressors, attempts);
            let left = half_done(&object);
            assert_eq!(left.is_some(), is_left, "{stressors}, {attempts:?}: {left:?}");
            if let Some(HalfDone { what, why }) = left {
                assert_eq!(what, Rest::Stressors(BTreeSet::from(["shop/web-0"])));
                assert_eq!(why, attempts[0].1);
            }
        }
    }
}
