//! The evaluator of a set of NetworkPolicies. Pods, namespaces and policies are plain data. It decides about one
//! connection at a time, fast enough to be called for every connection.
//!
//! The rules are those of the NetworkPolicy API. A pod that no policy selects for a direction is open in that
//! direction. A selected pod allows only connections that at least one of its policies allows. A connection needs the
//! egress of its source and the ingress of its destination. Where the API leaves a choice to plugins, a comment names
//! the choice made here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::compiled::{Policy, Remote, Rule};
use super::labels::Labels;
use super::pod::{Pod, PolicyName};
use super::policy_type::PolicyType;
use super::ports::Protocol;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A pod by name. No policy selects an unknown pod, and no rule matches it.
    Pod {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// An address. The address of a pod means the pod.
    Address(IpAddr),
}

/// A connection between two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<'a> {
    /// The end that opens it.
    pub from: Endpoint<'a>,
    /// The end that accepts it, after a Service's translation.
    pub to: Endpoint<'a>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port at the accepting end, after a Service's translation.
    pub port: u16,
}

/// Why one end allows a connection or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No policy selects this end for the direction, or no policy can select it.
    NotIsolated,
    /// Both ends are the same pod, which is always allowed.
    SamePod,
    /// The other end is the pod's node. Connections from a node to its pods are always allowed.
    OwnNode,
    /// A rule allows it.
    Rule {
        /// The policy that has the rule.
        policy: PolicyName,
        /// Which of the policy's rules for the direction, from 0.
        index: usize,
    },
    /// Policies select this end, and none of their rules allows it.
    NoRule,
}

/// The decision of one end about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The policies that select this end for the direction.
    pub policies: Vec<PolicyName>,
    /// Why it allows the connection or not.
    pub why: Why,
}

impl Side {
    /// True when this end allows the connection.
    pub fn allows(&self) -> bool {
        self.why != Why::NoRule
    }
}

/// Whether a connection is allowed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The decision of the client's end.
    pub egress: Side,
    /// The decision of the server's end.
    pub ingress: Side,
}

impl Decision {
    /// True when both ends allow the connection.
    pub fn is_allowed(&self) -> bool {
        self.egress.allows() && self.ingress.allows()
    }
}

/// Pods, namespaces and policies at one moment.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    pods: Vec<Pod>,
    namespaces: BTreeMap<String, Labels>,
    policies: Vec<Policy>,
    by_name: BTreeMap<String, BTreeMap<String, usize>>,
    by_address: BTreeMap<IpAddr, usize>,
    /// For each pod, the policies that select it for egress and for ingress, as indices into `policies`.
    egress: Vec<Vec<usize>>,
    ingress: Vec<Vec<usize>>,
}

/// One end, looked up.
#[derive(Clone, Copy)]
struct End<'a> {
    /// The pod's index, if policies can select the pod.
    pod: Option<usize>,
    addresses: &'a [IpAddr],
}

impl Cluster {
    /// Prepares a cluster for evaluation. Leave out pods that have ended: their addresses may belong to other pods.
    pub fn new(pods: Vec<Pod>, namespaces: BTreeMap<String, Labels>, policies: &[NetworkPolicy]) -> Self {
        let mut cluster = Self { pods, namespaces, ..Self::default() };
        for (at, pod) in cluster.pods.iter().enumerate() {
            cluster.by_name.entry(pod.namespace.clone()).or_default().insert(pod.name.clone(), at);
            if !pod.host_network {
                cluster.by_address.extend(pod.ips.iter().map(|ip| (ip.to_canonical(), at)));
            }
        }
        cluster.set_policies(policies);
        cluster
    }

    /// The same pods and namespaces under other policies.
    pub fn set_policies(&mut self, policies: &[NetworkPolicy]) {
        self.policies = policies.iter().map(Policy::new).collect();
        self.policies.sort_by(|a, b| a.name.cmp(&b.name));
        let mut by_namespace: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, policy) in self.policies.iter().enumerate() {
            by_namespace.entry(&policy.name.namespace).or_default().push(at);
        }
        let selecting = |pod: &Pod, applies: fn(&Policy) -> bool| -> Vec<usize> {
            let own = by_namespace.get(pod.namespace.as_str()).filter(|_| !pod.host_network).into_iter().flatten();
            own.copied()
                .filter(|at| applies(&self.policies[*at]) && self.policies[*at].selector.matches(&pod.labels))
                .collect()
        };
        let egress = self.pods.iter().map(|pod| selecting(pod, |policy| policy.egress.is_some())).collect();
        let ingress = self.pods.iter().map(|pod| selecting(pod, |policy| policy.ingress.is_some())).collect();
        (self.egress, self.ingress) = (egress, ingress);
    }

    /// The pods.
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// The namespaces and their labels.
    pub const fn namespaces(&self) -> &BTreeMap<String, Labels> {
        &self.namespaces
    }

    /// The pod of that name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.place(namespace, name).map(|at| &self.pods[at])
    }

    /// Whether a connection is allowed, and by or against which policies.
    pub fn allows(&self, connection: &Connection<'_>) -> Decision {
        let (from, to) = (self.end(&connection.from), self.end(&connection.to));
        Decision {
            egress: self.side(from.pod, &self.egress, self.egress_verdict(from, to, connection)),
            ingress: self.side(to.pod, &self.ingress, self.ingress_verdict(from, to, connection)),
        }
    }

    /// `allows` without the reasons, for frequent calls.
    pub fn permits(&self, connection: &Connection<'_>) -> bool {
        let (from, to) = (self.end(&connection.from), self.end(&connection.to));
        self.egress_verdict(from, to, connection) != Verdict::NoRule
            && self.ingress_verdict(from, to, connection) != Verdict::NoRule
    }

    /// The policies that select a pod of this cluster for a direction.
    pub(super) fn selecting(&self, pod: &Pod, way: PolicyType) -> impl Iterator<Item = &Policy> {
        let places = match way {
            PolicyType::Egress => &self.egress,
            PolicyType::Ingress => &self.ingress,
        };
        let at = self.place(&pod.namespace, &pod.name);
        at.into_iter().flat_map(|at| &places[at]).map(|policy| &self.policies[*policy])
    }

    fn place(&self, namespace: &str, name: &str) -> Option<usize> {
        self.by_name.get(namespace)?.get(name).copied()
    }

    fn end<'a>(&'a self, endpoint: &'a Endpoint<'a>) -> End<'a> {
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let Some(at) = self.place(namespace, name) else { return End { pod: None, addresses: &[] } };
                let pod = &self.pods[at];
                End { pod: (!pod.host_network).then_some(at), addresses: &pod.ips }
            }
            Endpoint::Address(address) => End {
                pod: self.by_address.get(&address.to_canonical()).copied(),
                addresses: std::slice::from_ref(address),
            },
        }
    }

    fn remote<'a>(&'a self, end: End<'a>) -> Remote<'a> {
        static NO_LABELS: Labels = Labels::new();
        Remote {
            pod: end.pod.map(|at| {
                let pod = &self.pods[at];
                (pod, self.namespaces.get(&pod.namespace).unwrap_or(&NO_LABELS))
            }),
            addresses: end.addresses,
        }
    }

    fn egress_verdict(&self, from: End<'_>, to: End<'_>, connection: &Connection<'_>) -> Verdict {
        let Some(at) = from.pod else { return Verdict::NotIsolated };
        if to.pod == Some(at) {
            return Verdict::SamePod;
        }
        let accepting = to.pod.map(|at| &self.pods[at]);
        self.ask(at, &self.egress, |policy| policy.egress.as_deref(), self.remote(to), accepting, connection)
    }

    fn ingress_verdict(&self, from: End<'_>, to: End<'_>, connection: &Connection<'_>) -> Verdict {
        let Some(at) = to.pod else { return Verdict::NotIsolated };
        if from.pod == Some(at) {
            return Verdict::SamePod;
        }
        let pod = &self.pods[at];
        // The API guarantees this for connections from a node to its pods. The rules apply to the other direction, as
        // in most plugins.
        if from.pod.is_none()
            && from
                .addresses
                .iter()
                .any(|address| pod.node_ips.iter().any(|node| node.to_canonical() == address.to_canonical()))
        {
            return Verdict::OwnNode;
        }
        self.ask(at, &self.ingress, |policy| policy.ingress.as_deref(), self.remote(from), Some(pod), connection)
    }

    fn ask(
        &self,
        subject: usize,
        selecting: &[Vec<usize>],
        rules: fn(&Policy) -> Option<&[Rule]>,
        remote: Remote<'_>,
        accepting: Option<&Pod>,
        connection: &Connection<'_>,
    ) -> Verdict {
        if selecting[subject].is_empty() {
            return Verdict::NotIsolated;
        }
        for &policy in &selecting[subject] {
            let own = self.policies[policy].name.namespace.as_str();
            for (rule, entry) in rules(&self.policies[policy]).unwrap_or_default().iter().enumerate() {
                if entry.allows(own, remote, accepting, connection.protocol, connection.port) {
                    return Verdict::Rule { policy, rule };
                }
            }
        }
        Verdict::NoRule
    }

    fn side(&self, pod: Option<usize>, selecting: &[Vec<usize>], verdict: Verdict) -> Side {
        let name = |at: &usize| self.policies[*at].name.clone();
        Side {
            policies: pod.map(|at| selecting[at].iter().map(name).collect()).unwrap_or_default(),
            why: match verdict {
                Verdict::NotIsolated => Why::NotIsolated,
                Verdict::SamePod => Why::SamePod,
                Verdict::OwnNode => Why::OwnNode,
                Verdict::NoRule => Why::NoRule,
                Verdict::Rule { policy, rule } => Why::Rule { policy: name(&policy), index: rule },
            },
        }
    }
}

/// `Why`, without names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    NotIsolated,
    SamePod,
    OwnNode,
    Rule { policy: usize, rule: usize },
    NoRule,
}

#[cfg(test)]
mod tests;
