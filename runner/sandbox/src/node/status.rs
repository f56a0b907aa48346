//! The status of a pod, from the states of its containers.

use serde_json::{Value, json};

use crate::object;

/// Sets a condition; its time only changes with its status.
pub(super) fn set_condition(pod: &mut Value, kind: &str, is_true: bool, why: Option<(&str, &str)>, now: &str) {
    let status = if is_true { "True" } else { "False" };
    let before = object::list(pod, "/status/conditions").iter().find(|c| c["type"] == kind && c["status"] == status);
    let since = before.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(now).to_string();
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since});
    if let Some((reason, message)) = why {
        condition["reason"] = reason.into();
        condition["message"] = message.into();
    }
    let mut conditions = object::list(pod, "/status/conditions").to_vec();
    match conditions.iter_mut().find(|c| c["type"] == kind) {
        Some(same) => *same = condition,
        None => conditions.push(condition),
    }
    object::map_mut(pod, "status").insert("conditions".into(), conditions.into());
}

/// The status of a pod with an address whose containers are about to be created.
pub(super) fn begin(pod: &mut Value, ip: &str, host: &str, now: &str) {
    let containers: Vec<Value> = object::list(pod, "/spec/containers")
        .iter()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "started": false,
                "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}},
            })
        })
        .collect();
    let status = object::map_mut(pod, "status");
    status.insert("podIP".into(), ip.into());
    status.insert("podIPs".into(), json!([{"ip": ip}]));
    status.insert("hostIP".into(), host.into());
    status.insert("hostIPs".into(), json!([{"ip": host}]));
    status.insert("startTime".into(), now.into());
    status.insert("containerStatuses".into(), containers.into());
    set_condition(pod, "PodReadyToStartContainers", true, None, now);
    set_condition(pod, "Initialized", true, None, now);
    refresh(pod, now);
}

/// Changes the status of one container, and the pod's phase and conditions.
pub(super) fn set_container(pod: &mut Value, index: usize, change: impl FnOnce(&mut Value), now: &str) {
    if let Some(container) = pod.pointer_mut(&format!("/status/containerStatuses/{index}")) {
        change(container);
        refresh(pod, now);
    }
}

/// Phase and conditions, from the states of the containers.
fn refresh(pod: &mut Value, now: &str) {
    let containers = object::list(pod, "/status/containerStatuses");
    let count = |state: &str| containers.iter().filter(|c| c["state"].get(state).is_some()).count();
    let all = containers.len();
    let restarts = object::text(pod, "/spec/restartPolicy");
    let failed = containers.iter().any(|c| c["state"]["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0));
    let begun = containers.iter().any(|c| c["state"].get("waiting").is_none() || c["restartCount"] != 0);
    let ended = all > 0 && count("terminated") == all;
    let stays_ended = restarts == "Never" || (restarts == "OnFailure" && !failed);
    let phase = match () {
        () if ended && stays_ended && failed => "Failed",
        () if ended && stays_ended => "Succeeded",
        () if begun => "Running",
        () => "Pending",
    };
    let unready: Vec<&str> =
        containers.iter().filter(|c| c["ready"] != true).filter_map(|c| c["name"].as_str()).collect();
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    let why = match phase {
        _ if unready.is_empty() => None,
        "Succeeded" => Some(("PodCompleted", "")),
        "Failed" => Some(("PodFailed", "")),
        _ => Some(("ContainersNotReady", message.as_str())),
    };
    let is_ready = unready.is_empty();
    object::map_mut(pod, "status").insert("phase".into(), phase.into());
    set_condition(pod, "ContainersReady", is_ready, why, now);
    let gates = object::list(pod, "/spec/readinessGates");
    let shut = gates.iter().find_map(|gate| {
        let condition = gate["conditionType"].as_str()?;
        (object::condition(pod, condition) != Some("True"))
            .then(|| format!("the status of pod readiness gate \"{condition}\" is not \"True\", but False"))
    });
    match shut.filter(|_| is_ready) {
        Some(message) => set_condition(pod, "Ready", false, Some(("ReadinessGatesNotReady", &message)), now),
        None => set_condition(pod, "Ready", is_ready, why, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(restarts: &str) -> Value {
        let mut pod = json!({"spec": {"restartPolicy": restarts, "containers": [{"name": "a"}, {"name": "b"}]}});
        begin(&mut pod, "127.64.0.1", "127.0.0.1", "then");
        pod
    }

    fn set(pod: &mut Value, index: usize, state: Value, ready: bool) {
        set_container(pod, index, |c| (c["state"], c["ready"]) = (state, ready.into()), "now");
    }

    fn shown(pod: &Value) -> (&str, Option<&str>) {
        (object::text(pod, "/status/phase"), object::condition(pod, "Ready"))
    }

    #[test]
    fn the_phase_follows_the_containers() {
        let mut pod = pod("Never");
        assert_eq!(shown(&pod), ("Pending", Some("False")));
        set(&mut pod, 0, json!({"running": {}}), true);
        assert_eq!(shown(&pod), ("Running", Some("False")));
        set(&mut pod, 1, json!({"running": {}}), true);
        assert_eq!(shown(&pod), ("Running", Some("True")));
        set(&mut pod, 0, json!({"terminated": {"exitCode": 1}}), false);
        assert_eq!(shown(&pod), ("Running", Some("False")));
        set(&mut pod, 1, json!({"terminated": {"exitCode": 0}}), false);
        assert_eq!(shown(&pod), ("Failed", Some("False")));
    }

    #[test]
    fn containers_that_will_be_restarted_do_not_end_a_pod() {
        let mut pod = pod("Always");
        set(&mut pod, 0, json!({"terminated": {"exitCode": 0}}), false);
        set(&mut pod, 1, json!({"terminated": {"exitCode": 0}}), false);
        assert_eq!(shown(&pod), ("Running", Some("False")));
    }

    #[test]
    fn the_time_of_a_condition_is_the_time_of_its_last_change() {
        let mut pod = pod("Always");
        let since = |pod: &Value| {
            let conditions = object::list(pod, "/status/conditions");
            object::text(conditions.iter().find(|c| c["type"] == "Ready").unwrap(), "/lastTransitionTime").to_string()
        };
        set(&mut pod, 0, json!({"running": {}}), true);
        assert_eq!(since(&pod), "then");
        set(&mut pod, 1, json!({"running": {}}), true);
        assert_eq!(since(&pod), "now");
    }
}
