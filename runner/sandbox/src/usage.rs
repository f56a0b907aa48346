//! The kubelet's statistics: what each container uses, as `stats/summary` of a node answers.
//!
//! In scope: the shape of the answer, and the limits that stressors obey. Out of scope: the CPU time and the memory of the
//! machine. A container of the sandbox is a task, so its own share is a constant of the model, and only stress adds to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shakedown_schemas::units::quantity;

use crate::mesh::units;
use crate::object;
use crate::registry::Registry;
use crate::resource::{NODES, PODS, STRESS_CHAOS};
use crate::store::Key;

/// The idle usage of a container, in nanocores and in bytes.
const OWN: (f64, f64) = (10e6, 24e6);

/// What stressors ask for, in nanocores and in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Stress {
    cpu: f64,
    memory: f64,
}

/// The answer of a node's kubelet; none for a node that does not exist.
pub(crate) fn summary(registry: &Registry, node: &str) -> Option<Value> {
    let now = registry.store.clock.stamp();
    let store = registry.store.lock();
    store.get(&Key::new(&NODES, "", node))?;
    let mut stressed: BTreeMap<String, Stress> = BTreeMap::new();
    for chaos in store.list(&STRESS_CHAOS, "") {
        let records = object::list(&chaos, "/status/experiment/containerRecords");
        for record in records.iter().filter(|record| record["phase"] == "Injected") {
            let of = stressed.entry(object::text(record, "/id").to_owned()).or_default();
            let asked = stressors(&chaos["spec"]["stressors"]);
            *of = Stress { cpu: of.cpu + asked.cpu, memory: of.memory + asked.memory };
        }
    }
    let here = store
        .list(&PODS, "")
        .into_iter()
        .filter(|pod| object::text(pod, "/spec/nodeName") == node && object::text(pod, "/status/phase") == "Running");
    let pods: Vec<Value> = here
        .map(|pod| {
            let id = format!("{}/{}", object::namespace(&pod), object::name(&pod));
            let containers: Vec<Value> = object::list(&pod, "/spec/containers")
                .iter()
                .map(|container| {
                    let name = object::text(container, "/name");
                    let stress = stressed.get(&format!("{id}/{name}")).copied().unwrap_or_default();
                    let (cpu, memory) = used(stress, &container["resources"]["limits"]);
                    json!({
                        "name": name,
                        "startTime": pod["status"]["startTime"],
                        "cpu": {"time": now, "usageNanoCores": cpu.round() as u64},
                        "memory": {
                            "time": now,
                            "usageBytes": memory.round() as u64,
                            "workingSetBytes": memory.round() as u64,
                            "rssBytes": memory.round() as u64,
                        },
                    })
                })
                .collect();
            json!({
                "podRef": {"name": object::name(&pod), "namespace": object::namespace(&pod), "uid": object::uid(&pod)},
                "startTime": pod["status"]["startTime"],
                "containers": containers,
            })
        })
        .collect();
    Some(json!({"node": {"nodeName": node}, "pods": pods}))
}

/// The amounts that a resource's stressors ask for.
fn stressors(spec: &Value) -> Stress {
    let number = |value: &Value, otherwise: f64| value.as_f64().unwrap_or(otherwise);
    let cpu = spec.get("cpu").map_or(0.0, |cpu| number(&cpu["workers"], 0.0) * number(&cpu["load"], 100.0) / 100.0);
    let memory = spec["memory"]["size"].as_str().and_then(units::size).unwrap_or_default();
    Stress { cpu: cpu * 1e9, memory }
}

/// What a container uses under stress, within its limits. A stressor that reaches the memory limit is killed and starts again,
/// so the container uses almost none of the requested memory.
fn used(stress: Stress, limits: &Value) -> (f64, f64) {
    let limit = |key: &str| limits[key].as_str().and_then(quantity).unwrap_or(f64::INFINITY);
    let cpu = (OWN.0 + stress.cpu).min(limit("cpu") * 1e9);
    let is_killed = OWN.1 + stress.memory > limit("memory");
    (cpu, if is_killed { OWN.1 } else { OWN.1 + stress.memory })
}

#[cfg(test)]
mod tests {
    use shakedown_fakes::recordings;

    use super::*;

    #[test]
    fn stressors_obey_the_limits_of_their_container() {
        let asked =
            stressors(&json!({"cpu": {"workers": 2, "load": 80}, "memory": {"workers": 1, "size": "125000KiB"}}));
        assert_eq!((asked.cpu, asked.memory), (1.6e9, 128e6));
        assert_eq!(used(asked, &json!({})), (1.61e9, 152e6));
        assert_eq!(used(asked, &json!({"cpu": "500m", "memory": "1Gi"})), (0.5e9, 152e6));
        // As in the recording `memoom`.
        assert_eq!(used(asked, &json!({"memory": "100Mi"})).1, OWN.1);
        assert_eq!(used(asked, &json!({"memory": "1Ti"})).1, 152e6);
    }

    /// Every field of the model is one of the recorded answer, with the same type.
    fn fits(model: &Value, real: &Value, path: &str) {
        match (model, real) {
            (Value::Object(model), Value::Object(real)) => model.iter().for_each(|(key, value)| {
                let there = real.get(key).unwrap_or_else(|| panic!("{path}/{key} is not in the recording"));
                fits(value, there, &format!("{path}/{key}"));
            }),
            (Value::Array(model), Value::Array(real)) => {
                model.iter().for_each(|it| fits(it, &real[0], path));
            }
            (Value::String(model), Value::String(real)) => {
                let is_time = |text: &str| text.parse::<jiff::Timestamp>().is_ok();
                assert_eq!(is_time(model), is_time(real), "{path}: {model}");
            }
            (Value::Number(model), Value::Number(real)) => assert_eq!(model.is_u64(), real.is_u64(), "{path}"),
            _ => panic!("{path}: {model} instead of {real}"),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_answer_has_the_shape_of_a_real_kubelets() {
        let sandbox = crate::Sandbox::start(crate::Topology::built_in("quick").unwrap()).await.unwrap();
        let answer = summary(&sandbox.registry, "sandbox").unwrap();
        assert_eq!(answer["pods"].as_array().unwrap().len(), 5);
        fits(&answer, &recordings::usage()[0], "");
        assert_eq!(summary(&sandbox.registry, "other"), None);
        sandbox.stop().await;
    }
}
