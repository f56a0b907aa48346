//! One sentence on what a cut cuts and what it leaves, for plans and reports.

use super::cut::{Block, Cut, Way};

/// How many pods are named before the rest is only counted.
const NAMED: usize = 3;

/// One sentence on what the cut cuts and what it leaves. Where the policy is not exact, its `limits` say so.
pub fn explain(cut: &Cut) -> String {
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
    let untouched = Way::BOTH.into_iter().find(|way| !cut.blocks.iter().any(|block| block.applies(*way)));
    let untouched = match untouched {
        Some(Way::Egress) => ", and everything that they open",
        Some(Way::Ingress) => ", and everything that they accept",
        None => "",
    };
    let ports = if cut.blocks.iter().any(|block| !block.ports.is_all()) { " the peers' other ports," } else { "" };
    format!(
        "For {}, cuts {}; everything else stays as it is: DNS,{ports} all other pods in all namespaces, the API server, \
         nodes and external addresses{untouched}.",
        targets(cut),
        list(cuts)
    )
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
