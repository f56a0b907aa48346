//! From a fault in a scenario to its targets, its peers, its objects and the driver that carries it out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};
use shakedown_schemas::result::{ObjectRecord, PodRef};
use shakedown_schemas::scenario::{self, Fault, LabelSelector, Partition, PodSelector};

use super::{Options, PlanError};
use crate::cluster::{Cluster, Kind, Network, ObjectKey, choose};
use crate::faults::partition::{Mark, NetworkPolicyPartition, pod_key};
use crate::faults::{FaultDriver, FaultPlan};
use crate::labels;
use crate::policy::{self, Block, Cidr, Cut, Facts, Peer, PortSet, Selector};

/// Plans one fault.
pub(super) async fn plan(
    name: &str,
    phase: usize,
    fault: &Fault,
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
) -> Result<(FaultPlan, Box<dyn FaultDriver>), PlanError> {
    let Fault::Partition(partition) = fault;
    let targets = targets(name, &partition.pods, cluster, namespace, options).await?;
    let it = Planning { name, partition, cluster, namespace, options, targets };
    let (mut plan, driver) = it.network_policy().await?;
    plan.phase = phase;
    Ok((plan, driver))
}

/// The pods that a fault acts on.
async fn targets(
    name: &str,
    selector: &PodSelector,
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
) -> Result<Vec<PodRef>, PlanError> {
    let matching = cluster.matching_pods(selector, namespace).await?;
    if matching.is_empty() {
        let place = selector.namespace.as_deref().unwrap_or(namespace);
        return Err(PlanError::Scenario(format!(
            "fault `{name}`: no running pod matches {} in namespace `{place}`\nhelp: `kubectl -n {place} get pods \
             --show-labels` shows what could be matched",
            selector_text(selector)
        )));
    }
    choose(&matching, selector, options.seed, name).map_err(PlanError::Scenario)
}

struct Planning<'a> {
    name: &'a str,
    partition: &'a Partition,
    cluster: &'a Cluster,
    namespace: &'a str,
    options: &'a Options,
    targets: Vec<PodRef>,
}

impl Planning<'_> {
    /// The label key for what this fault marks: nobody else's, and recognisable when it is left behind.
    fn mark_key(&self, role: &str) -> String {
        let name: String = labels::name_part(self.name).chars().take(24).collect();
        format!("{}{}.{}.{role}-{name}", labels::MARK_PREFIX, self.options.run, self.options.serial)
    }

    async fn network_policy(self) -> Result<(FaultPlan, Box<dyn FaultDriver>), PlanError> {
        let run = &self.options.run;
        let place = self.partition.pods.namespace.as_deref().unwrap_or(self.namespace).to_owned();
        let mut wanted = BTreeSet::from([place.clone()]);
        wanted.extend(self.partition.from.iter().map(|peer| self.peer_namespace(peer)));
        let network = self.cluster.network(&wanted).await?;
        self.refuse_host_network(&network)?;

        let mut marks = Vec::new();
        let mut blocks = Vec::new();
        for peer in &self.partition.from {
            blocks.push(self.block(peer, &mut marks).await?);
        }
        let target_key = self.mark_key("t");
        let cut = Cut {
            namespace: place.clone(),
            label: (target_key.clone(), run.clone()),
            targets: self.targets.iter().map(|pod| pod.name.clone()).collect(),
            blocks,
        };
        let namespace_key = self.mark_key("n");
        let facts = Facts {
            cluster: &network.cluster,
            pod_cidrs: &network.pod_cidrs,
            nodes: &network.nodes,
            other_ports: self.other_ports(),
            namespace_key: &namespace_key,
        };
        let described = |error: String| PlanError::Scenario(format!("fault `{}`: {error}", self.name));
        let built = policy::build(&cut, &facts).map_err(|error| described(error.to_string()))?;
        // Policies that stand already decide whether ours can work at all.
        let conflicts = policy::standing(&cut, &built, &facts);
        if !conflicts.is_empty() {
            let texts: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
            return Err(described(texts.join("; ")));
        }
        for label in &built.namespace_labels {
            marks.push(Mark {
                object: ObjectKey {
                    kind: Kind::Namespace,
                    namespace: String::new(),
                    name: label.namespace.clone(),
                    uid: None,
                },
                label: label.key.clone(),
                value: label.value.clone(),
            });
        }
        for pod in &self.targets {
            marks.push(Mark { object: pod_key(pod), label: target_key.clone(), value: run.clone() });
        }
        let object = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": format!("shakedown-{run}-{}-{}", self.options.serial, labels::name_part(self.name)),
                "namespace": place,
                "labels": {
                    labels::MANAGED_BY: labels::MANAGER,
                    labels::RUN: run,
                    labels::FAULT: labels::value(self.name),
                },
            },
            "spec": built.spec,
        });
        let plan = FaultPlan {
            name: self.name.to_owned(),
            phase: 0,
            kind: "partition",
            engine: "network-policy",
            description: describe(&cut, &facts, &built),
            targets: self.targets.clone(),
            peers: cut.blocks.iter().map(|block| block.described.clone()).collect(),
            objects: vec![record(&object)],
            marks: marks
                .iter()
                .map(|mark| format!("label  {} with {}={}", mark.object, mark.label, mark.value))
                .collect(),
            namespaces: vec![place],
            after: self.partition.after.unwrap_or_default().get(),
            lasts: self.partition.lasts.map(|lasts| lasts.get()),
        };
        let driver = NetworkPolicyPartition::new(self.cluster.clone(), self.targets, marks, object);
        Ok((plan, Box::new(driver)))
    }

    fn peer_namespace(&self, peer: &scenario::Peer) -> String {
        peer.namespace
            .clone()
            .or_else(|| peer.pods.as_ref().and_then(|pods| pods.namespace.clone()))
            .unwrap_or_else(|| self.namespace.to_owned())
    }

    /// A policy never selects a pod on its node's network: refused here, because the fault would do nothing.
    fn refuse_host_network(&self, network: &Network) -> Result<(), PlanError> {
        for target in &self.targets {
            if network.cluster.pod(&target.namespace, &target.name).is_some_and(|pod| pod.host_network) {
                return Err(PlanError::Scenario(format!(
                    "fault `{}`: target pod {} uses its node's network, which no NetworkPolicy acts on\nhelp: choose \
                     other pods",
                    self.name, target.name
                )));
            }
        }
        Ok(())
    }

    /// `endPort` came with 1.21 (off) and is on from 1.22; an older server drops it without a word.
    fn other_ports(&self) -> policy::OtherPorts {
        match self.cluster.version() {
            Some(version) if version < (1, 22) => policy::OtherPorts::Declared,
            _ => policy::OtherPorts::Ranges,
        }
    }

    async fn block(&self, peer: &scenario::Peer, marks: &mut Vec<Mark>) -> Result<Block, PlanError> {
        let namespace = self.peer_namespace(peer);
        let ports = if peer.ports.is_empty() { PortSet::all() } else { PortSet::from_scenario(&peer.ports) };
        let (described, other_end) = if let Some(service) = &peer.service {
            (format!("service {service} in namespace {namespace}"), self.service(service, &namespace).await?)
        } else if let Some(pods) = &peer.pods {
            (
                format!("pods with {} in namespace {namespace}", selector_text(pods)),
                self.pods(pods, &namespace, marks).await?,
            )
        } else if let Some(cidr) = &peer.cidr {
            let parsed: Cidr = cidr
                .parse()
                .map_err(|error: policy::CidrError| PlanError::Scenario(format!("fault `{}`: {error}", self.name)))?;
            (format!("addresses {cidr}"), Peer::Addresses(vec![parsed]))
        } else {
            let host = peer.host.as_deref().unwrap_or_default();
            let addresses = self.resolve(host).await?;
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            (
                format!("host {host} ({})", shown.join(", ")),
                Peer::Addresses(addresses.into_iter().map(Cidr::host).collect()),
            )
        };
        let described =
            if peer.ports.is_empty() { described } else { format!("{described}, ports {}", port_text(&peer.ports)) };
        Ok(Block::new(described, other_end, ports, self.partition.direction))
    }

    async fn service(&self, name: &str, namespace: &str) -> Result<Peer, PlanError> {
        let Some(service) = self.cluster.service(namespace, name).await? else {
            self.cluster.require_namespace(namespace).await?;
            return Err(PlanError::Scenario(format!(
                "fault `{}`: there is no service `{name}` in namespace `{namespace}`\nhelp: `kubectl -n {namespace} get \
                 services` lists them",
                self.name
            )));
        };
        let selector: std::collections::BTreeMap<String, String> =
            serde_json::from_value(service["spec"]["selector"].clone()).unwrap_or_default();
        if selector.is_empty() {
            // Somebody else keeps its endpoints: what they are now is all that is known.
            let backends = self.cluster.service_backends(namespace, name).await?;
            if backends.is_empty() {
                return Err(PlanError::Scenario(format!(
                    "fault `{}`: service `{name}` has no selector and no endpoints, so nothing can be cut off from it\n\
                     help: name its pods or addresses with `pods`, `cidr` or `host`",
                    self.name
                )));
            }
            return Ok(Peer::Addresses(backends.into_iter().map(Cidr::host).collect()));
        }
        let service_ips = service["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok()).into_iter().collect();
        Ok(Peer::Pods {
            namespace: namespace.to_owned(),
            selector: Selector::from(&selector),
            unmarked: BTreeSet::new(),
            service_ips,
        })
    }

    /// Pods by labels are meant now and later; pods by name, prefix or owner are marked, as no selector names them.
    async fn pods(&self, pods: &PodSelector, namespace: &str, marks: &mut Vec<Mark>) -> Result<Peer, PlanError> {
        let by_labels_only = pods.name.is_none() && pods.prefix.is_none() && pods.owner.is_none();
        if let (true, Some(labels)) = (by_labels_only, &pods.labels) {
            return Ok(Peer::Pods {
                namespace: namespace.to_owned(),
                selector: Selector::from(labels),
                unmarked: BTreeSet::new(),
                service_ips: Vec::new(),
            });
        }
        let found = self.cluster.matching_pods(pods, namespace).await?;
        if found.is_empty() {
            return Err(PlanError::Scenario(format!(
                "fault `{}`: no running pod in namespace `{namespace}` matches the peer {}\nhelp: `kubectl -n {namespace} \
                 get pods --show-labels` shows what could be matched",
                self.name,
                selector_text(pods)
            )));
        }
        let key = self.mark_key("p");
        for pod in &found {
            marks.push(Mark { object: pod_key(pod), label: key.clone(), value: self.options.run.clone() });
        }
        Ok(Peer::Pods {
            namespace: namespace.to_owned(),
            selector: Selector::label(key, self.options.run.clone()),
            unmarked: found.into_iter().map(|pod| pod.name).collect(),
            service_ips: Vec::new(),
        })
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, PlanError> {
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
            PlanError::Scenario(format!("fault `{}`: the host `{host}` could not be resolved: {error}", self.name))
        })?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(addresses)
    }
}

fn describe(cut: &Cut, facts: &Facts<'_>, built: &policy::Built) -> String {
    let mut text = policy::explain(cut, facts);
    for limit in &built.limits {
        text.push_str("; ");
        text.push_str(&limit.to_string());
    }
    text
}

fn record(object: &Value) -> ObjectRecord {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ObjectRecord {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        namespace: text(&object["metadata"]["namespace"]),
        name: text(&object["metadata"]["name"]),
        manifest: object.clone(),
    }
}

/// A selector for people.
fn selector_text(selector: &PodSelector) -> String {
    let mut parts = Vec::new();
    for (what, value) in [("name", &selector.name), ("prefix", &selector.prefix), ("owner", &selector.owner)] {
        if let Some(value) = value {
            parts.push(format!("{what} `{value}`"));
        }
    }
    if let Some(labels) = &selector.labels {
        parts.push(format!("labels `{}`", label_text(labels)));
    }
    parts.join(" and ")
}

fn label_text(selector: &LabelSelector) -> String {
    let equal = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let others = selector.match_expressions.iter().map(|it| {
        let values = if it.values.is_empty() { String::new() } else { format!(" ({})", it.values.join(", ")) };
        format!("{} {:?}{values}", it.key, it.operator)
    });
    equal.chain(others).collect::<Vec<_>>().join(", ")
}

fn port_text(ports: &[scenario::PortRange]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
