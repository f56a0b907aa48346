//! Compares a stress with the limits of the containers and their nodes: whether its stressors are killed or throttled. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use shakedown_cluster::Node;
use shakedown_schemas::Explained;
use shakedown_schemas::first_few;
use shakedown_schemas::scenario::Stress;

use crate::plan::error::PlanError;
use shakedown_faults::chaos::quota::Quota;
use shakedown_faults::chaos::spec::Inside;

/// A stress, its targets, and the readable nodes.
pub(super) struct Demand<'a> {
    pub fault: &'a str,
    pub stress: &'a Stress,
    pub targets: &'a [(Inside, Value)],
    pub nodes: &'a [Node],
}

/// A stress closer to the memory limit than this share of it leaves too little for the container's own programs.
const TIGHT: f64 = 0.8;
/// The most names in one sentence.
const NAMED: usize = 3;

impl Demand<'_> {
    /// The containers that Chaos Mesh acts on: the named ones, or the first of each pod.
    fn containers(&self) -> impl Iterator<Item = (&Inside, &Value, &str)> {
        self.targets.iter().flat_map(move |(target, there)| {
            target.chosen(&self.stress.containers).map(move |name| (target, there, name))
        })
    }

    /// The number of stressed containers per node.
    fn per_node(&self) -> BTreeMap<&str, f64> {
        let mut count = BTreeMap::new();
        for (_, there, _) in self.containers() {
            *count.entry(there["spec"]["nodeName"].as_str().unwrap_or_default()).or_default() += 1.0;
        }
        count
    }

    fn refusal(&self, text: String, help: &str) -> PlanError {
        PlanError::fault(self.fault, Explained::new(text, help))
    }
}

/// What will happen, in sentences: whether stressors are killed or throttled.
///
/// # Errors
/// If the memory is never held: the kernel kills a stressor each time that it reaches a limit, and Chaos Mesh starts it again.
pub(super) fn outcome(demand: &Demand<'_>) -> Result<String, PlanError> {
    let mut said = Vec::new();
    if let Some(memory) = &demand.stress.memory {
        said.extend(of_memory(demand, memory.size.bytes() as f64, &memory.size.to_string())?);
    }
    if let Some(cpu) = &demand.stress.cpu {
        said.extend(of_cpu(demand, cpu.cores()));
    }
    Ok(match said.is_empty() {
        true => "It is neither throttled nor killed at a limit.".to_owned(),
        false => said.join(" "),
    })
}

fn of_memory(demand: &Demand<'_>, asked: f64, size: &str) -> Result<Vec<String>, PlanError> {
    let mut tight = Vec::new();
    for (target, there, container) in demand.containers() {
        let Some(limit) = Quota::of(there, container).memory else { continue };
        let place = format!("container {container} of pod {}", target.pod.name);
        if asked >= limit {
            return Err(demand.refusal(
                format!(
                    "{size} of memory do not fit into {place}, whose limit is {}: the kernel would kill the stressor \
                     repeatedly, and the container would never hold them",
                    mebibytes(limit)
                ),
                "ask for less than the limit minus what the container itself uses",
            ));
        }
        if asked > TIGHT * limit {
            tight.push(format!("{place} ({})", mebibytes(limit)));
        }
    }
    for (name, containers) in demand.per_node() {
        let memory = demand.nodes.iter().find(|node| node.name == name).and_then(|node| node.memory);
        let Some(memory) = memory.filter(|memory| containers * asked >= *memory) else { continue };
        return Err(demand.refusal(
            format!(
                "{} of memory do not fit into node {name}, whose pods may use {}: the kernel would kill the stressor, or programs \
                 of other pods",
                mebibytes(containers * asked),
                mebibytes(memory)
            ),
            "ask for less memory, or for fewer targets on that node",
        ));
    }
    Ok(match tight.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "It may be killed if the container itself uses the rest of its limit: {}; the kernel then kills the stressor or the \
             container's own program.",
            some(&tight)
        )],
    })
}

fn of_cpu(demand: &Demand<'_>, asked: f64) -> Vec<String> {
    let mut said = Vec::new();
    let throttled: Vec<String> = demand
        .containers()
        .filter_map(|(target, there, container)| {
            let limit = Quota::of(there, container).cpu.filter(|limit| asked > *limit)?;
            Some(format!("container {container} of pod {} ({limit})", target.pod.name))
        })
        .collect();
    if !throttled.is_empty() {
        said.push(format!(
            "Throttled: it asks for {asked} cores, more than the limit of {}; the container's own programs share that limit with it.",
            some(&throttled)
        ));
    }
    for (name, containers) in demand.per_node() {
        let cores = demand.nodes.iter().find(|node| node.name == name).and_then(|node| node.cpu);
        if let Some(cores) = cores.filter(|cores| throttled.is_empty() && containers * asked > *cores) {
            said.push(format!(
                "It asks for {} cores of node {name}, whose pods may use {cores}: every pod there gets less CPU time.",
                containers * asked
            ));
        }
    }
    said
}

fn some(names: &[String]) -> String {
    first_few(names, NAMED)
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_schemas::result::PodRef;

    use super::*;

    /// A pod with the containers `web` (100 MiB, half a core), `side` (1 GiB) and `free`.
    fn target(name: &str) -> (Inside, Value) {
        let pod = PodRef { namespace: "n".into(), name: name.into(), uid: "u".into(), node: None, ip: None };
        let container = |name: &str, limits: Value| json!({"name": name, "resources": {"limits": limits}});
        let there = json!({"spec": {"nodeName": "node-1", "containers": [
            container("web", json!({"memory": "100Mi", "cpu": "500m"})), container("side", json!({"memory": "1Gi"})), {"name": "free"},
        ]}});
        (Inside { pod, containers: vec!["web".into(), "side".into(), "free".into()] }, there)
    }

    fn check_at(targets: &[(Inside, Value)], stress: Value) -> Result<String, String> {
        let mut stress = stress;
        stress["pods"] = json!({"name": "p"});
        let stress = serde_json::from_value(stress).unwrap();
        let (runtime, architecture, kernel) = (None, None, None);
        let nodes = [Node { name: "node-1".into(), runtime, architecture, kernel, cpu: Some(2.0), memory: Some(2e9) }];
        outcome(&Demand { fault: "it", stress: &stress, targets, nodes: &nodes }).map_err(|error| error.to_string())
    }

    fn check(stress: Value) -> Result<String, String> {
        check_at(&[target("p")], stress)
    }

    /// The recording `memoom`: 400 MB asked of a container that is limited to 100 MiB.
    #[test]
    fn memory_beyond_the_containers_limit_is_refused() {
        let memory =
            |size: &str, containers: &[&str]| check(json!({"memory": {"size": size}, "containers": containers}));
        let refusal = memory("400MB", &[]).unwrap_err();
        assert!(refusal.contains("container web of pod p, whose limit is 100 MiB"), "{refusal}");
        assert!(memory("100MiB", &["web"]).is_err());
        // Four stressors of 100 MB each reach the limit as well.
        assert!(check(json!({"memory": {"size": "400MB", "workers": 4}})).is_err());
        for fits in [memory("60MB", &[]), memory("400MB", &["side"])] {
            assert_eq!(fits.unwrap(), "It is neither throttled nor killed at a limit.");
        }
        let tight = memory("96MiB", &["web"]).unwrap();
        assert!(
            tight.starts_with(
                "It may be killed if the container itself uses the rest of its limit: container web of pod p"
            ),
            "{tight}"
        );
    }

    #[test]
    fn pod_level_limits_hold_for_every_container() {
        let (inside, mut there) = target("p");
        there["spec"]["resources"] = json!({"limits": {"memory": "200Mi", "cpu": "1"}});
        let of = |stress: Value| check_at(&[(inside.clone(), there.clone())], stress);
        let refusal = of(json!({"memory": {"size": "300MB"}, "containers": ["free"]})).unwrap_err();
        assert!(refusal.contains("container free of pod p, whose limit is 200 MiB"), "{refusal}");
        let said = of(json!({"cpu": {"workers": 2}, "containers": ["free"]})).unwrap();
        assert!(
            said.starts_with("Throttled: it asks for 2 cores, more than the limit of container free of pod p (1)"),
            "{said}"
        );
    }

    #[test]
    fn memory_beyond_the_node_is_refused() {
        let free = |size: &str| json!({"memory": {"size": size}, "containers": ["free"]});
        assert!(check(free("1.5GB")).is_ok());
        let refusal = check(free("2GB")).unwrap_err();
        assert!(refusal.contains("do not fit into node node-1, whose pods may use 1907 MiB"), "{refusal}");
        let both = check_at(&[target("p"), target("q")], free("1.5GB")).unwrap_err();
        assert!(both.contains("2861 MiB of memory do not fit"), "{both}");
    }

    #[test]
    fn cpu_time_beyond_a_limit_is_throttled() {
        let cpu = |workers: u32, load: &str, container: &str| {
            check(json!({"cpu": {"workers": workers, "load": load}, "containers": [container]})).unwrap()
        };
        let said = cpu(2, "80%", "web");
        assert!(
            said.starts_with("Throttled: it asks for 1.6 cores, more than the limit of container web of pod p (0.5)"),
            "{said}"
        );
        assert_eq!(cpu(1, "50%", "web"), "It is neither throttled nor killed at a limit.");
        let said = cpu(4, "100%", "free");
        assert_eq!(
            said,
            "It asks for 4 cores of node node-1, whose pods may use 2: every pod there gets less CPU time."
        );
        let many: Vec<(Inside, Value)> = (0..5).map(|number| target(&format!("p{number}"))).collect();
        let said = check_at(&many, json!({"cpu": {"workers": 1}})).unwrap();
        assert!(said.contains("container web of pod p2 (0.5) and 2 more"), "{said}");
    }
}
