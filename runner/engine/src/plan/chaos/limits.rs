//! What a stress asks for, held against what the containers may have: nothing happens of what lies beyond.

use serde_json::Value;
use shakedown_schemas::scenario::Stress;

use crate::plan::error::PlanError;
use shakedown_faults::chaos::spec::Inside;

/// Refuses memory that no container could take: the kernel kills the stressor each time that it reaches the container's
/// limit, Chaos Mesh starts it again, and the container never holds more than a few MiB of it.
pub(super) fn check_memory(fault: &str, it: &Stress, targets: &[(Inside, Value)]) -> Result<(), PlanError> {
    let Some(memory) = &it.memory else { return Ok(()) };
    let asked = memory.size.bytes() as f64;
    for (target, there) in targets {
        let meant = |name: &str| match it.containers.is_empty() {
            true => target.containers.first().is_some_and(|first| first == name),
            false => it.containers.iter().any(|wanted| wanted == name),
        };
        let containers = there["spec"]["containers"].as_array().into_iter().flatten();
        for container in containers.filter(|it| it["name"].as_str().is_some_and(meant)) {
            let Some(limit) = container["resources"]["limits"]["memory"].as_str() else { continue };
            if quantity(limit).is_some_and(|bytes| asked >= bytes) {
                return Err(PlanError::Scenario(format!(
                    "fault `{fault}`: {} of memory do not fit into container {} of pod {}, whose limit is {limit}: the stressor \
                     would be killed again and again, and the container would never hold them\nhelp: ask for less than the \
                     limit and what the container itself uses",
                    memory.size,
                    container["name"].as_str().unwrap_or_default(),
                    target.pod.name
                )));
            }
        }
    }
    Ok(())
}

/// A quantity of Kubernetes, such as `100Mi`, `1.5G` or `128974848`, as a number; none for anything else.
fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    UNITS.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        number.is_finite().then_some(number * factor)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_schemas::result::PodRef;

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("100Mi", 104_857_600.0),
            ("1.5G", 1.5e9),
            ("128974848", 128_974_848.0),
            ("129e6", 129e6),
            ("1E", 1e18),
            ("400m", 0.4),
            ("2k", 2000.0),
        ] {
            assert_eq!(quantity(text), Some(bytes), "{text}");
        }
        assert_eq!([quantity("much"), quantity("1Zi"), quantity("")], [None; 3]);
    }

    /// The recording `memoom`: 400 MB asked of a container that is limited to 100 MiB.
    #[test]
    fn memory_beyond_the_containers_limit_is_refused() {
        let pod = PodRef { namespace: "n".into(), name: "p".into(), uid: "u".into(), node: None, ip: None };
        let target = Inside { pod, containers: vec!["web".into(), "side".into()] };
        let container = |name: &str, limit: &str| json!({"name": name, "resources": {"limits": {"memory": limit}}});
        let there = json!({"spec": {"containers": [container("web", "100Mi"), container("side", "1Gi")]}});
        let check = |size: &str, containers: &[&str]| {
            let stress = json!({"pods": {"name": "p"}, "memory": {"size": size}, "containers": containers});
            check_memory("it", &serde_json::from_value(stress).unwrap(), &[(target.clone(), there.clone())])
                .map_err(|error| error.to_string())
        };
        let refusal = check("400MB", &[]).unwrap_err();
        assert!(refusal.contains("container web of pod p, whose limit is 100Mi"), "{refusal}");
        assert!(check("100MiB", &["web"]).is_err());
        assert_eq!((check("60MB", &[]), check("400MB", &["side"])), (Ok(()), Ok(())));
    }
}
