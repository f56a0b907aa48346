//! One sentence on the closed and the open links of a cut, for plans and reports.

use super::build::peer_pods;
use super::cut::{Block, Cut, Facts, OtherPorts, Peer};
use super::labels::Selector;
use super::policy_type::PolicyType;
use super::ports::Protocol;

/// The maximum number of pods that are named. The others are counted.
const NAMED: usize = 3;

/// The label of the cluster's DNS, whatever serves it.
const DNS: (&str, &str) = ("k8s-app", "kube-dns");

/// One sentence on the closed and the open links of the cut. If the policy is not exact, its `limits` name the
/// differences.
pub fn explain(cut: &Cut, facts: &Facts<'_>) -> String {
    let both: Vec<&Block> = cut.blocks.iter().filter(|block| block.egress && block.ingress).collect();
    let out: Vec<&Block> = cut.blocks.iter().filter(|block| block.egress && !block.ingress).collect();
    let into: Vec<&Block> = cut.blocks.iter().filter(|block| block.ingress && !block.egress).collect();
    let mut cuts = Vec::new();
    for (blocks, verb) in
        [(both, "connections in both directions with"), (out, "connections to"), (into, "connections from")]
    {
        if !blocks.is_empty() {
            cuts.push(format!("{verb} {}", list(blocks.iter().map(|block| peer(block)).collect())));
        }
    }
    let mut left = Vec::new();
    if !cut.blocks.iter().any(|block| is_dns(block, facts)) {
        left.push("DNS");
    }
    if cut.blocks.iter().any(|block| !block.ports.is_all()) {
        let declared = facts.other_ports == OtherPorts::Declared;
        left.push(if declared { "the peers' other declared ports" } else { "the peers' other ports" });
    }
    left.push("all other pods in all namespaces");
    if cut.blocks.iter().any(|block| matches!(block.peer, Peer::Addresses(_))) {
        left.push("all other addresses");
    } else {
        left.extend(["the API server", "nodes", "external addresses"]);
    }
    match PolicyType::BOTH.into_iter().find(|way| !cut.blocks.iter().any(|block| block.applies(*way))) {
        Some(PolicyType::Egress) => left.push("all connections from the targets"),
        Some(PolicyType::Ingress) => left.push("all connections to the targets"),
        None => {}
    }
    let left = list(left.into_iter().map(str::to_owned).collect());
    format!("For {}, cuts {}; everything else stays as it is: {left}.", targets(cut), list(cuts))
}

/// True when the block cuts the targets off from a pod of the cluster's DNS.
fn is_dns(block: &Block, facts: &Facts<'_>) -> bool {
    let asked = [Protocol::Udp, Protocol::Tcp].into_iter().any(|protocol| block.ports.has(protocol, 53));
    block.egress && asked && peer_pods(block, facts).any(|pod| Selector::label(DNS.0, DNS.1).matches(&pod.labels))
}

fn peer(block: &Block) -> String {
    if block.ports.is_all() {
        block.described.clone()
    } else {
        let ports = block.ports.to_string();
        let noun = if ports.contains([',', '-']) { "ports" } else { "port" };
        format!("{} on {noun} {ports}", block.described)
    }
}

fn targets(cut: &Cut) -> String {
    let mut names: Vec<String> = cut.targets.iter().map(|name| format!("{}/{name}", cut.namespace)).collect();
    let count = names.len();
    if count > NAMED {
        names.truncate(NAMED);
        names.push(format!("{} more", count - NAMED));
    }
    list(names)
}

fn list(mut parts: Vec<String>) -> String {
    match parts.pop() {
        None => String::new(),
        Some(last) if parts.is_empty() => last,
        Some(last) => format!("{} and {last}", parts.join(", ")),
    }
}
