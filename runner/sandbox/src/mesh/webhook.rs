//! Chaos Mesh's webhooks for an object that is created or changed: they complete, refuse or accept it.
//!
//! In scope: the rules that are not in the schemas. Out of scope: the schemas (`custom`).

use serde_json::Value;

use super::units;
use crate::error::ApiError;
use crate::object::{self, default_to};
use crate::resource::Resource;

/// Sets the defaults of the mutating webhook. It is idempotent.
pub(crate) fn complete(resource: &Resource, value: &mut Value) {
    let namespace = object::namespace(value).to_string();
    let Some(spec) = value.get_mut("spec") else { return };
    if resource.kind == "PodNetworkChaos" {
        return;
    }
    for pointer in ["/selector", "/target/selector"] {
        let Some(selector) = spec.pointer_mut(pointer).and_then(Value::as_object_mut) else { continue };
        if selector.get("namespaces").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            selector.insert("namespaces".into(), vec![namespace.clone()].into());
        }
    }
    if resource.kind != "NetworkChaos" {
        return;
    }
    for block in ["delay", "loss", "duplicate", "corrupt"] {
        let Some(block_value) = spec.get_mut(block).and_then(Value::as_object_mut) else { continue };
        default_to(block_value, "correlation", "0");
        if block == "delay" {
            default_to(block_value, "jitter", "0ms");
        }
        if let Some(reorder) = block_value.get_mut("reorder").and_then(Value::as_object_mut) {
            default_to(reorder, "correlation", "0");
        }
    }
}

/// Applies the checks of the validating webhook.
pub(crate) fn check(resource: &Resource, value: &Value) -> Result<(), ApiError> {
    let spec = &value["spec"];
    let mut problems = Vec::new();
    if resource.kind != "TimeChaos" {
        check_duration(spec, "/duration", "Spec.Duration", &mut problems);
    }
    check_mode(spec, "Spec", &mut problems);
    match resource.kind {
        "NetworkChaos" => check_network(spec, &mut problems),
        "PodChaos" => {
            if spec["action"] == "container-kill" && object::list(spec, "/containerNames").is_empty() {
                problems
                    .push("Spec.ContainerNames: Invalid value: \"\": the name of container is required".to_string());
            }
        }
        "StressChaos" => check_stress(spec, &mut problems),
        "HTTPChaos" => check_http(spec, &mut problems),
        "DNSChaos" => {
            for pattern in object::list(spec, "/patterns").iter().filter_map(Value::as_str) {
                if pattern.trim_end_matches('*').contains('*') {
                    problems.push(format!("Spec.Patterns: Invalid value: {pattern:?}: `*` must be at the end"));
                }
            }
        }
        "IOChaos" => check_io(spec, &mut problems),
        "TimeChaos" => check_duration(spec, "/timeOffset", "Spec.TimeOffset", &mut problems),
        _ => return Ok(()),
    }
    refuse_if(resource, &problems)
}

/// Refuses any change of `spec`: an experiment is immutable.
pub(crate) fn check_update(resource: &Resource, before: &Value, after: &Value) -> Result<(), ApiError> {
    if resource.kind == "PodNetworkChaos" || before.get("spec") == after.get("spec") {
        return Ok(());
    }
    refuse_if(resource, &["Cannot update chaos spec".to_string()])
}

fn refuse_if(resource: &Resource, problems: &[String]) -> Result<(), ApiError> {
    if problems.is_empty() {
        return Ok(());
    }
    let webhook = format!("v{}.kb.io", resource.singular);
    Err(ApiError::denied(&webhook, &problems.join(", ")))
}

fn check_duration(spec: &Value, pointer: &str, field: &str, problems: &mut Vec<String>) {
    if let Some(text) = spec.pointer(pointer).and_then(Value::as_str)
        && units::duration(text).is_none()
    {
        problems.push(format!(
            "{field}: Invalid value: {text:?}: parse duration field error: time: invalid duration {text:?}"
        ));
    }
}

fn check_number(value: &Value, pointer: &str, field: &str, problems: &mut Vec<String>) {
    if let Some(text) = value.pointer(pointer).and_then(Value::as_str)
        && text.parse::<f64>().is_err()
    {
        problems.push(format!(
            "{field}: Invalid value: {text:?}: parse float error: strconv.ParseFloat: parsing {text:?}: invalid syntax"
        ));
    }
}

fn check_mode(spec: &Value, field: &str, problems: &mut Vec<String>) {
    let value = object::text(spec, "/value");
    let limits = match object::text(spec, "/mode") {
        "fixed" => 1..=i64::MAX,
        "fixed-percent" | "random-max-percent" => 1..=100,
        _ => return,
    };
    if !value.parse::<i64>().is_ok_and(|number| limits.contains(&number)) {
        let mode = object::text(spec, "/mode");
        problems.push(format!("{field}.Value: Invalid value: {value:?}: not a number that mode {mode:?} can have"));
    }
}

fn check_network(spec: &Value, problems: &mut Vec<String>) {
    if spec.get("target").is_some() {
        check_mode(&spec["target"], "Spec.Target", problems);
    }
    for (block, field) in [("loss", "Loss"), ("duplicate", "Duplicate"), ("corrupt", "Corrupt")] {
        check_number(spec, &format!("/{block}/{block}"), &format!("Spec.TcParameter.{field}.{field}"), problems);
        check_number(
            spec,
            &format!("/{block}/correlation"),
            &format!("Spec.TcParameter.{field}.Correlation"),
            problems,
        );
    }
    for (part, field) in [("latency", "Latency"), ("jitter", "Jitter")] {
        check_duration(spec, &format!("/delay/{part}"), &format!("Spec.TcParameter.Delay.{field}"), problems);
    }
    check_number(spec, "/delay/correlation", "Spec.TcParameter.Delay.Correlation", problems);
    check_number(spec, "/delay/reorder/reorder", "Spec.TcParameter.Delay.Reorder.Reorder", problems);
    check_number(spec, "/delay/reorder/correlation", "Spec.TcParameter.Delay.Reorder.Correlation", problems);
    for (block, field) in [("rate", "Rate"), ("bandwidth", "Bandwidth")] {
        if let Some(text) = spec.pointer(&format!("/{block}/rate")).and_then(Value::as_str)
            && units::rate(text).is_none()
        {
            problems.push(format!("Spec.TcParameter.{field}.Rate: Invalid value: {text:?}: invalid unit"));
        }
    }
    // A partition is not checked here, as in Chaos Mesh: it supports other targets than the other actions.
    if spec["action"] == "partition" || matches!(object::text(spec, "/direction"), "to" | "") {
        return;
    }
    let direction = object::text(spec, "/direction");
    if spec.get("externalTargets").is_some() {
        problems.push(format!(
            "Spec.Direction: Invalid value: {direction:?}: external targets cannot be used with \
            `from` and `both` direction in netem action yet"
        ));
    }
    if spec.get("target").is_none() {
        problems.push(format!(
            "Spec.Direction: Invalid value: {direction:?}: `from` and `both` direction cannot be \
            used when targets is empty in netem action"
        ));
    }
}

fn check_stress(spec: &Value, problems: &mut Vec<String>) {
    let stressors = &spec["stressors"];
    let has_any = stressors.get("cpu").is_some() || stressors.get("memory").is_some();
    if !has_any && object::text(spec, "/stressngStressors").is_empty() {
        problems.push("Spec: Invalid value: missing stressors".into());
    }
    for kind in ["cpu", "memory"] {
        if stressors.get(kind).is_some() && object::number(&stressors[kind], "/workers").unwrap_or(0) <= 0 {
            problems
                .push(format!("Spec.Stressors.{kind}.Workers: Invalid value: workers should always be greater than 0"));
        }
    }
}

fn check_http(spec: &Value, problems: &mut Vec<String>) {
    if !(1..=65_535).contains(&object::number(spec, "/port").unwrap_or(0)) {
        problems.push("Spec.Port: Invalid value: port is required and must be a valid port".into());
    }
    if ["abort", "delay", "replace", "patch"].iter().all(|action| spec.get(action).is_none()) {
        problems.push("Spec: Invalid value: at least one of abort, delay, replace and patch is required".into());
    }
    check_duration(spec, "/delay", "Spec.PodHttpChaosActions.Delay", problems);
}

fn check_io(spec: &Value, problems: &mut Vec<String>) {
    check_duration(spec, "/delay", "Spec.Delay", problems);
    let needed = match object::text(spec, "/action") {
        "latency" => "delay",
        "fault" => "errno",
        "attrOverride" => "attr",
        _ => "mistake",
    };
    if spec.get(needed).is_none() || (needed == "errno" && spec["errno"] == 0) {
        problems.push(format!("Spec: Invalid value: action {:?} needs {needed:?}", object::text(spec, "/action")));
    }
    if !(0..=100).contains(&object::number(spec, "/percent").unwrap_or(100)) {
        problems.push("Spec.Percent: Invalid value: percent field should be in 0-100".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{NETWORK_CHAOS, POD_CHAOS};
    use serde_json::json;

    fn network(spec: Value) -> Value {
        let mut whole = json!({"mode": "all", "selector": {}, "direction": "to", "action": "netem"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"metadata": {"namespace": "a", "name": "n"}, "spec": whole})
    }

    #[test]
    fn defaults_that_injection_needs_come_from_the_webhook() {
        let mut chaos =
            network(json!({"delay": {"latency": "1ms"}, "loss": {"loss": "5"}, "target": {"selector": {}}}));
        complete(&NETWORK_CHAOS, &mut chaos);
        let spec = &chaos["spec"];
        assert_eq!(spec["delay"], json!({"latency": "1ms", "correlation": "0", "jitter": "0ms"}));
        assert_eq!(spec["loss"]["correlation"], "0");
        assert_eq!(spec["selector"]["namespaces"], json!(["a"]));
        assert_eq!(spec["target"]["selector"]["namespaces"], json!(["a"]));
    }

    #[test]
    fn what_the_webhook_refuses_says_which_webhook_and_field() {
        let target = json!({"mode": "all", "selector": {}});
        for (spec, part) in [
            (json!({"loss": {"loss": "half"}}), "Spec.TcParameter.Loss.Loss"),
            (json!({"rate": {"rate": "1.5mbps"}}), "Spec.TcParameter.Rate.Rate"),
            (json!({"duration": "5"}), "Spec.Duration"),
            (json!({"mode": "fixed", "value": "0"}), "Spec.Value"),
            (json!({"direction": "both"}), "when targets is empty"),
            (json!({"direction": "both", "target": target, "externalTargets": []}), "external targets cannot"),
        ] {
            let error = check(&NETWORK_CHAOS, &network(spec)).unwrap_err();
            assert_eq!((error.code, error.reason), (403, "Forbidden"));
            let start = "admission webhook \"vnetworkchaos.kb.io\" denied the request: ";
            assert!(error.message.starts_with(start) && error.message.contains(part), "{part}: {error}");
        }
        // More than 100 % is accepted here, and fails when tc is called.
        check(&NETWORK_CHAOS, &network(json!({"loss": {"loss": "150"}}))).unwrap();
        check(&NETWORK_CHAOS, &network(json!({"action": "partition", "direction": "both"}))).unwrap();
        let kill = json!({"spec": {"action": "container-kill", "mode": "one"}});
        assert!(check(&POD_CHAOS, &kill).unwrap_err().message.contains("ContainerNames"));
    }

    #[test]
    fn an_experiment_cannot_be_changed() {
        let (before, after) = (network(json!({"loss": {"loss": "5"}})), network(json!({"loss": {"loss": "6"}})));
        assert!(
            check_update(&NETWORK_CHAOS, &before, &after).unwrap_err().message.contains("Cannot update chaos spec")
        );
        check_update(&NETWORK_CHAOS, &before, &before).unwrap();
    }
}
