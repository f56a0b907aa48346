//! The resource limits of a container, by its pod's spec. Pure. `plan` compares it with what a stress asks for, and the proof
//! with what was seen.

use serde_json::Value;
use shakedown_schemas::units::quantity;

/// The limits of a container; none without a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quota {
    /// CPU time, in cores.
    pub cpu: Option<f64>,
    /// Memory, in bytes.
    pub memory: Option<f64>,
}

impl Quota {
    /// The limits of a container of a pod: its own, or those of its whole pod where they are smaller. Defaults of a LimitRange
    /// are in the spec already.
    pub fn of(pod: &Value, container: &str) -> Self {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let own = containers.into_iter().find(|it| it["name"] == container).map(|it| &it["resources"]["limits"]);
        let whole = &pod["spec"]["resources"]["limits"];
        let least = |key: &str| -> Option<f64> {
            let all = own.into_iter().chain([whole]);
            all.filter_map(|limits| limits[key].as_str().and_then(quantity)).reduce(f64::min)
        };
        Self { cpu: least("cpu"), memory: least("memory") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_may_use_what_its_own_limits_and_those_of_its_pod_leave() {
        let container = |name: &str, limits: Value| json!({"name": name, "resources": {"limits": limits}});
        let mut pod = json!({"spec": {
            "containers": [
                container("web", json!({"cpu": "250m", "memory": "100Mi"})),
                container("big", json!({"memory": "4Gi"})),
                {"name": "free"},
            ],
            // A native sidecar has limits of its own.
            "initContainers": [container("free", json!({"memory": "1Mi"}))],
        }});
        let of = |pod: &Value, name: &str| Quota::of(pod, name);
        assert_eq!(of(&pod, "web"), Quota { cpu: Some(0.25), memory: Some(104_857_600.0) });
        assert_eq!(of(&pod, "free"), Quota::default());
        pod["spec"]["resources"] = json!({"limits": {"cpu": "2", "memory": "1Gi"}});
        assert_eq!(of(&pod, "web"), Quota { cpu: Some(0.25), memory: Some(104_857_600.0) });
        assert_eq!(of(&pod, "big"), Quota { cpu: Some(2.0), memory: Some(1_073_741_824.0) });
        assert_eq!(of(&pod, "free"), Quota { cpu: Some(2.0), memory: Some(1_073_741_824.0) });
    }
}
