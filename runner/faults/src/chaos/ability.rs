//! The abilities of a node that a fault needs, and the harmless form of the fault that tests them. Pure.
//!
//! The tools of Chaos Mesh's daemon need parts of the node's kernel. A node that lacks one can never inject the fault.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Direction, Fault, HttpFault, Stress, StressCpu, TimeFault};

use super::recipe::Recipe;
use super::spec::{Ends, Inside, Resource, pod_id};
use super::{ChaosSpec, Naming};
use crate::canary::pods::PORT;
use crate::witness::CONTAINER;

/// An address that no host has (RFC 5737): a rule for it changes no connection.
const NOWHERE: &str = "192.0.2.1";

/// A kind of injection that Chaos Mesh can perform on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Degrade everything that a pod sends: `tc` with netem.
    Netem,
    /// Degrade packets to some addresses only: ipset, and packets that iptables classifies.
    Links,
    /// Limit the bandwidth: `tc` with a token bucket.
    Bandwidth,
    /// Drop packets: ipset and iptables.
    Partition,
    /// Run stressors in a container's cgroup.
    Stress,
    /// Shift clocks by ptrace.
    Time,
    /// Put a proxy before a pod: iptables and ebtables.
    Http,
}

impl Ability {
    /// A short name.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Netem => "netem",
            Self::Links => "netem to peers",
            Self::Bandwidth => "bandwidth",
            Self::Partition => "partition",
            Self::Stress => "stress",
            Self::Time => "time",
            Self::Http => "http",
        }
    }
}

/// Several abilities as text.
pub fn in_words<'a>(abilities: impl IntoIterator<Item = &'a Ability>) -> String {
    let words: Vec<&str> = abilities.into_iter().map(|ability| ability.words()).collect();
    match &words[..] {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        words => words.concat(),
    }
}

/// The abilities that a recipe's resource needs. None if every node has them.
fn taken(recipe: &Recipe, resource: &Resource) -> BTreeSet<Ability> {
    let links = if resource.filtered { Some(Ability::Links) } else { None };
    match recipe {
        Recipe::Partition { .. } => [Ability::Partition].into(),
        Recipe::Netem { .. } if resource.spec["action"] == "bandwidth" => {
            [Ability::Bandwidth].into_iter().chain(links).collect()
        }
        Recipe::Netem { .. } => [links.unwrap_or(Ability::Netem)].into(),
        Recipe::Stress(_) => [Ability::Stress].into(),
        Recipe::Time(_) => [Ability::Time].into(),
        Recipe::Http(_) => [Ability::Http].into(),
        Recipe::PodFailure(_) | Recipe::ContainerKill(_) | Recipe::Dns(_) | Recipe::Io(_) => BTreeSet::new(),
    }
}

/// The same fault for a canary: of the same kind, with peers that do not exist and with as little stress as possible. None if
/// a canary cannot test it.
fn harmless(recipe: &Recipe) -> Option<Recipe> {
    let nowhere = || Ends { addresses: [NOWHERE.to_owned()].into(), ..Ends::default() };
    let direction = Direction::Egress;
    Some(match recipe {
        Recipe::Netem { netem, ends, .. } => {
            Recipe::Netem { netem: netem.clone(), ends: ends.as_ref().map(|_| nowhere()), direction }
        }
        Recipe::Partition { .. } => Recipe::Partition { ends: nowhere(), direction },
        Recipe::Stress(it) => {
            let cpu = Some(StressCpu { workers: 1, load: "10%".parse().ok() });
            Recipe::Stress(Stress { cpu, memory: None, containers: Vec::new(), ..it.clone() })
        }
        Recipe::Http(it) => Recipe::Http(HttpFault { port: PORT, ..it.clone() }),
        Recipe::Time(it) => Recipe::Time(TimeFault { containers: Vec::new(), ..it.clone() }),
        Recipe::PodFailure(_) | Recipe::ContainerKill(_) | Recipe::Dns(_) | Recipe::Io(_) => return None,
    })
}

/// The result of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its fault was injected.
    Able,
    /// Its fault could not be injected, with the cause and the remedy.
    Unable(Explained),
    /// The canary could not be tried, with the reason.
    Unknown(Explained),
}

/// One canary: a pod on a node, with the harmless form of a fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// The fault that needs it.
    pub fault: String,
    /// The namespace of the canary: the fault's.
    pub namespace: String,
    /// The node.
    pub node: String,
    /// The abilities that it shows.
    pub abilities: BTreeSet<Ability>,
    /// The fault of the canary.
    #[serde(skip)]
    pub recipe: Recipe,
}

impl Trial {
    /// The target of the canary's fault, once its pod runs.
    pub(super) fn target(&self, name: &str, uid: &str, ip: Option<&str>) -> Inside {
        let pod = PodRef {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            node: Some(self.node.clone()),
            ip: ip.map(str::to_owned),
        };
        Inside { pod, containers: vec![CONTAINER.to_owned()] }
    }
}

/// The canaries of a run's faults: one for each node and each set of abilities, regardless of the number of faults that need
/// it.
pub fn trials<'a>(faults: impl IntoIterator<Item = &'a ChaosSpec>) -> Vec<Trial> {
    let mut all: Vec<Trial> = Vec::new();
    for spec in faults {
        for trial in of_fault(spec) {
            if !all.iter().any(|known| known.node == trial.node && known.abilities.is_superset(&trial.abilities)) {
                all.push(trial);
            }
        }
    }
    all
}

fn of_fault(spec: &ChaosSpec) -> Vec<Trial> {
    let ChaosSpec { naming: Naming { fault, namespace, .. }, targets, recipe, .. } = spec;
    let Some(tried) = harmless(recipe) else { return Vec::new() };
    let peers = recipe.ends().into_iter().flat_map(|ends| &ends.pods);
    let pods = targets.iter().map(|target| &target.pod).chain(peers);
    let nodes: BTreeMap<String, &str> = pods.filter_map(|pod| Some((pod_id(pod), pod.node.as_deref()?))).collect();
    let mut needed: BTreeMap<&str, BTreeSet<Ability>> = BTreeMap::new();
    for resource in recipe.resources(targets) {
        let inside = targets.iter().map(|target| pod_id(&target.pod)).filter(|_| resource.shapes.is_empty());
        for pod in resource.shapes.iter().cloned().chain(inside) {
            if let Some(node) = nodes.get(&pod) {
                needed.entry(node).or_default().extend(taken(recipe, &resource));
            }
        }
    }
    let trial = |(node, abilities): (&str, BTreeSet<Ability>)| Trial {
        fault: fault.clone(),
        namespace: namespace.clone(),
        node: node.to_owned(),
        abilities,
        recipe: tried.clone(),
    };
    needed.into_iter().filter(|(_, abilities)| !abilities.is_empty()).map(trial).collect()
}

/// One canary for each ability, to test a node without a scenario. The proxy of `http` is not tested: on a node that cannot
/// run one, it blocks every other HTTPChaos of the cluster (seen on Chaos Mesh 2.8.3).
pub fn survey(namespace: &str, node: &str) -> Vec<Trial> {
    let pods = json!({"prefix": "canary"});
    let faults = [
        json!({"netem": {"pods": pods, "delay": "10ms"}}),
        json!({"netem": {"pods": pods, "delay": "10ms", "to": [{"service": "canary"}]}}),
        json!({"netem": {"pods": pods, "bandwidth": "1Mbit/s"}}),
        json!({"partition": {"pods": pods, "from": [{"service": "canary"}]}}),
        json!({"stress": {"pods": pods, "cpu": {"workers": 1}}}),
        json!({"time": {"pods": pods, "offset": "-10s"}}),
    ];
    let none = || Ends::default();
    let recipe = |fault: serde_json::Value| {
        Some(match serde_json::from_value(fault).ok()? {
            Fault::Netem(it) => {
                let ends = (!it.to.is_empty()).then(none);
                Recipe::Netem { netem: Box::new(it), ends, direction: Direction::Egress }
            }
            Fault::Partition(_) => Recipe::Partition { ends: none(), direction: Direction::Egress },
            Fault::Stress(it) => Recipe::Stress(it),
            Fault::Time(it) => Recipe::Time(it),
            _ => return None,
        })
    };
    let trial = |recipe: Recipe| {
        let recipe = harmless(&recipe)?;
        let mut trial = Trial {
            fault: "doctor".to_owned(),
            namespace: namespace.to_owned(),
            node: node.to_owned(),
            abilities: BTreeSet::new(),
            recipe,
        };
        let resources = trial.recipe.resources(&[trial.target("canary", "", None)]);
        trial.abilities = resources.iter().flat_map(|resource| taken(&trial.recipe, resource)).collect();
        Some(trial)
    };
    faults.into_iter().filter_map(recipe).filter_map(trial).collect()
}

#[cfg(test)]
mod tests;
