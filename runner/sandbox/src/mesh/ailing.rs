//! The effects of StressChaos, HTTPChaos, DNSChaos, IOChaos and TimeChaos on a pod of the sandbox, and their limits.
//!
//! In scope: from a spec to an ailment. Everything else is refused with a message: the chaos then never counts as
//! injected, and a rehearsal cannot pass with a fault without effect.

use std::time::Duration;

use serde_json::Value;

use super::units;
use crate::net::{Ailment, FileRule, HttpRule};
use crate::object;

/// The effect of a chaos of this kind on a pod.
///
/// # Errors
/// The message of the failed record.
pub(crate) fn ailment(kind: &str, spec: &Value, pod: &Value) -> Result<Ailment, String> {
    if spec.get("remoteCluster").is_some() {
        return Err(not_modelled("it has no remote cluster"));
    }
    match kind {
        "StressChaos" => stress(spec, pod),
        "HTTPChaos" => http(spec).map(Ailment::Http),
        "DNSChaos" => Ok(Ailment::Names { patterns: texts(spec, "/patterns"), random: spec["action"] == "random" }),
        "IOChaos" => files(spec, pod).map(Ailment::Files),
        "TimeChaos" => clock(spec, pod),
        other => Err(not_modelled(&format!("it does not model the action {other}"))),
    }
}

fn not_modelled(why: &str) -> String {
    format!("not modelled in the sandbox: {why}")
}

fn texts(spec: &Value, pointer: &str) -> Vec<String> {
    object::list(spec, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether one of a pod's containers runs this program of the sandbox.
fn runs(pod: &Value, program: &str) -> bool {
    object::list(pod, "/spec/containers").iter().any(|container| {
        let words = ["/command", "/args"].into_iter().flat_map(|part| object::list(container, part));
        words.into_iter().any(|word| word == program)
    })
}

/// Workers keep what prompts came to on a volume. What is not mounted there fails as it does in the real one, whose words
/// these are.
fn files(spec: &Value, pod: &Value) -> Result<FileRule, String> {
    let volume = object::text(spec, "/volumePath").trim_end_matches('/');
    let containers = object::list(pod, "/spec/containers").iter();
    let mut mounts = containers.flat_map(|container| object::list(container, "/volumeMounts"));
    if !mounts.any(|mount| object::text(mount, "/mountPath").trim_end_matches('/') == volume) {
        return Err(format!("toda startup takes too long or an error occurs: source: {volume}"));
    }
    if !runs(pod, "worker") {
        return Err(not_modelled("only workers use files there"));
    }
    if !matches!(object::text(spec, "/action"), "latency" | "fault") {
        return Err(not_modelled("only the delay and the errors of file operations are modelled"));
    }
    let error = spec["errno"].as_i64().and_then(|number| i32::try_from(number).ok());
    Ok(FileRule {
        volume: volume.to_owned(),
        path: spec["path"].as_str().filter(|path| !path.is_empty()).map(str::to_owned),
        methods: texts(spec, "/methods"),
        share: spec["percent"].as_f64().unwrap_or(100.0) / 100.0,
        delay: spec["delay"].as_str().and_then(units::duration).unwrap_or_default(),
        error: error.filter(|_| spec["action"] == "fault"),
    })
}

/// Workers say when they were there last, and frontends look at their own clock to see how long ago that was.
fn clock(spec: &Value, pod: &Value) -> Result<Ailment, String> {
    let clocks = object::list(spec, "/clockIds");
    if !clocks.is_empty() && clocks.iter().all(|clock| clock != "CLOCK_REALTIME") {
        return Err(not_modelled("its programs ask only CLOCK_REALTIME"));
    }
    // A canary tries its node, not its program.
    if !["worker", "frontend", "probe"].iter().any(|program| runs(pod, program)) {
        return Err(not_modelled("only workers and frontends ask a clock there"));
    }
    let text = object::text(spec, "/timeOffset");
    let by = units::duration(text.trim_start_matches('-')).ok_or_else(|| format!("invalid timeOffset {text:?}"))?;
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Ok(Ailment::Clock { ahead_ms: if text.starts_with('-') { -by } else { by } })
}

/// A worker has one processor, which its own work and each stressor share evenly, a stressor for as much as its load:
/// with two at full load, work takes three times as long. Memory is only held: the kubelet's statistics show it, and no program
/// needs it.
fn stress(spec: &Value, pod: &Value) -> Result<Ailment, String> {
    let stressors = &spec["stressors"];
    if spec.get("stressngStressors").is_some() {
        return Err(not_modelled("only the stressors `cpu` and `memory` are modelled"));
    }
    let Some(cpu) = stressors.get("cpu") else {
        return match stressors.get("memory") {
            Some(_) => Ok(Ailment::Busy(1.0)),
            None => Err(not_modelled("there is no stressor")),
        };
    };
    if !runs(pod, "worker") && !runs(pod, "probe") {
        return Err(not_modelled("only workers take processor time there"));
    }
    let workers = cpu["workers"].as_u64().unwrap_or(0) as f64;
    let load = cpu["load"].as_u64().unwrap_or(100) as f64 / 100.0;
    Ok(Ailment::Busy(1.0 + workers * load))
}

fn http(spec: &Value) -> Result<HttpRule, String> {
    if spec.get("tls").is_some() {
        return Err(not_modelled("its programs speak no TLS"));
    }
    let replaced = spec["replace"].as_object().into_iter().flatten().filter(|(key, _)| *key != "code").count();
    if spec.get("patch").is_some() || replaced > 0 || spec.get("response_headers").is_some() {
        return Err(not_modelled("only abort, delay and the status of HTTP responses are modelled"));
    }
    let on_answer = spec["target"] == "Response";
    let code = |value: &Value| value.as_u64().and_then(|code| u16::try_from(code).ok());
    let replace_code = code(&spec["replace"]["code"]);
    if replace_code.is_some() && !on_answer {
        return Err("a request has no status that could be replaced: the target must be Response".into());
    }
    let text = |key: &str| spec[key].as_str().map(str::to_owned);
    let headers = spec["request_headers"].as_object().into_iter().flatten();
    Ok(HttpRule {
        port: spec["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        method: text("method").filter(|method| method != "*"),
        path: text("path"),
        headers: headers.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        code: code(&spec["code"]).filter(|_| on_answer),
        on_answer,
        delay: spec["delay"].as_str().and_then(units::duration).unwrap_or(Duration::ZERO),
        abort: spec["abort"] == true,
        replace_code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{NETWORK_CHAOS, POD_CHAOS, find};
    use serde_json::json;
    use shakedown_schemas::scenario::{Fault, Sandbox};

    fn worker() -> Value {
        json!({"spec": {"containers": [{"command": ["shakedown", "pod"], "args": ["worker"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}})
    }

    #[test]
    fn every_kind_of_fault_is_modelled_as_it_says() {
        for kind in Fault::KINDS.iter().filter(|kind| !matches!(kind.facts.sandbox, Sandbox::No(_))) {
            let Some(chaos) = kind.chaos_mesh() else { continue };
            let resource = find("chaos-mesh.org", "v1alpha1", chaos.resource);
            let resource = resource.unwrap_or_else(|| panic!("{}: {} is not served", kind.name, chaos.resource));
            // Chaos on networks and on whole pods is handled elsewhere.
            if [&NETWORK_CHAOS, &POD_CHAOS].iter().all(|it| it.kind != resource.kind)
                && let Err(why) = ailment(resource.kind, &json!({}), &worker())
            {
                assert!(!why.contains("it does not model"), "{}: {why}", kind.name);
            }
        }
    }

    #[test]
    fn files_are_those_of_a_volume_that_is_there() {
        let spec = json!({"action": "fault", "volumePath": "/data/", "path": "/data/*.kv", "errno": 28, "percent": 50,
            "methods": ["read"], "delay": "1s"});
        let rule = FileRule {
            volume: "/data".into(),
            path: Some("/data/*.kv".into()),
            methods: vec!["read".into()],
            share: 0.5,
            delay: Duration::from_secs(1),
            error: Some(28),
        };
        assert_eq!(ailment("IOChaos", &spec, &worker()), Ok(Ailment::Files(rule)));
        let elsewhere = json!({"action": "fault", "volumePath": "/var", "errno": 28});
        assert!(ailment("IOChaos", &elsewhere, &worker()).unwrap_err().starts_with("toda startup takes too long"));
    }

    #[test]
    fn clocks_are_late_or_early() {
        let off = |offset: &str| ailment("TimeChaos", &json!({"timeOffset": offset}), &worker());
        assert_eq!(off("-10m"), Ok(Ailment::Clock { ahead_ms: -600_000 }));
        assert_eq!(off("1h30m"), Ok(Ailment::Clock { ahead_ms: 5_400_000 }));
    }

    #[test]
    fn stressors_share_the_processor_with_the_work() {
        let stress = |workers: u32, load: u32| {
            let spec = json!({"stressors": {"cpu": {"workers": workers, "load": load}}});
            ailment("StressChaos", &spec, &worker())
        };
        assert_eq!(stress(1, 100), Ok(Ailment::Busy(2.0)));
        assert_eq!(stress(4, 50), Ok(Ailment::Busy(3.0)));
        let memory = json!({"stressors": {"memory": {"workers": 1, "size": "1GB"}}});
        assert_eq!(ailment("StressChaos", &memory, &worker()), Ok(Ailment::Busy(1.0)));
    }

    #[test]
    fn what_does_nothing_here_is_refused() {
        let cpu = json!({"stressors": {"cpu": {"workers": 1}}});
        let other = json!({"stressors": {"cpu": {"workers": 1}}, "stressngStressors": "--cpu 1"});
        for (kind, spec, pod) in [
            ("IOChaos", json!({"action": "mistake", "volumePath": "/data"}), worker()),
            ("TimeChaos", json!({"timeOffset": "1h", "clockIds": ["CLOCK_MONOTONIC"]}), worker()),
            ("TimeChaos", json!({"timeOffset": "1h"}), json!({"spec": {"containers": [{"args": ["bus"]}]}})),
            ("StressChaos", other, worker()),
            ("StressChaos", json!({"stressors": {}}), worker()),
            ("StressChaos", cpu, json!({"spec": {"containers": [{"args": ["bus"]}]}})),
            ("HTTPChaos", json!({"target": "Response", "replace": {"body": "x"}}), worker()),
        ] {
            let why = ailment(kind, &spec, &pod).unwrap_err();
            assert!(why.starts_with("not modelled in the sandbox: "), "{kind}: {why}");
        }
    }

    #[test]
    fn http_rules_keep_their_conditions() {
        let spec = json!({"target": "Response", "port": 8000, "path": "/v1/*", "method": "POST", "code": 200,
            "replace": {"code": 503}, "delay": "10ms", "request_headers": {"x": "y"}});
        let rule = HttpRule {
            port: 8000,
            method: Some("POST".into()),
            path: Some("/v1/*".into()),
            headers: vec![("x".into(), "y".into())],
            code: Some(200),
            on_answer: true,
            delay: Duration::from_millis(10),
            abort: false,
            replace_code: Some(503),
        };
        assert_eq!(ailment("HTTPChaos", &spec, &worker()), Ok(Ailment::Http(rule)));
        let request = json!({"target": "Request", "port": 8000, "replace": {"code": 503}});
        assert!(ailment("HTTPChaos", &request, &worker()).is_err());
    }
}
