//! The complement of blocked addresses, as `ipBlock` entries with ports.
//!
//! Two blocks of addresses are nested or disjoint, so blocks form a tree. A block stays open on the ports that no
//! enclosing block forbids, and excludes the blocks directly below it. This module knows neither the choice of blocks
//! nor the types of Kubernetes.

use std::collections::BTreeMap;

use super::net::Cidr;
use super::ports::PortSet;

/// A block with its exceptions, and the ports on which it stays open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenBlock {
    pub(super) cidr: Cidr,
    pub(super) except: Vec<Cidr>,
    pub(super) ports: PortSet,
}

/// The open part of `roots`. Addresses of `pods` are closed unless they are `nodes`. Addresses of a blocked range are
/// open only on its `open` ports.
pub(super) fn complement(roots: &[Cidr], pods: &[Cidr], nodes: &[Cidr], blocked: &[(Cidr, PortSet)]) -> Vec<OpenBlock> {
    let open_ports = |cidr: Cidr| {
        let pods_only = pods.iter().any(|range| range.contains(cidr)) && !nodes.contains(&cidr);
        let start = if pods_only { PortSet::none() } else { PortSet::all() };
        blocked.iter().filter(|(range, _)| range.contains(cidr)).fold(start, |ports, (_, open)| ports.and(open))
    };
    let all = roots.iter().chain(pods).chain(nodes).chain(blocked.iter().map(|(range, _)| range));
    let mut sorted: Vec<Cidr> = all.copied().filter(|cidr| roots.iter().any(|root| root.contains(*cidr))).collect();
    // Sorted by first address, then by length: every block follows those that contain it.
    sorted.sort_unstable();
    sorted.dedup();
    let mut kept: Vec<(Cidr, PortSet)> = Vec::new();
    let mut children: BTreeMap<Cidr, Vec<Cidr>> = BTreeMap::new();
    for cidr in sorted {
        let ports = open_ports(cidr);
        let around = kept.iter().rev().find(|(outer, _)| outer.contains(cidr));
        match around {
            // Open like its surroundings.
            Some((_, outer_ports)) if *outer_ports == ports => continue,
            Some((outer, _)) => children.entry(*outer).or_default().push(cidr),
            None => {}
        }
        kept.push((cidr, ports));
    }
    kept.into_iter()
        .filter(|(_, ports)| !ports.is_none())
        .map(|(cidr, ports)| OpenBlock { cidr, except: children.remove(&cidr).unwrap_or_default(), ports })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::ports::Protocol;
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a block")
    }

    fn shown(blocks: &[OpenBlock]) -> Vec<String> {
        blocks
            .iter()
            .map(|block| {
                let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
                format!("{} - [{}]: {}", block.cidr, except.join(" "), block.ports)
            })
            .collect()
    }

    #[test]
    fn nested_and_overlapping_blocks_are_excluded_once() {
        let none = PortSet::none;
        let blocked =
            [(cidr("203.0.113.0/24"), none()), (cidr("203.0.113.7/32"), none()), (cidr("8.8.8.8/32"), none())];
        let open = complement(&[Cidr::V4], &[cidr("10.244.0.0/16"), cidr("10.244.3.9/32")], &[], &blocked);
        assert_eq!(shown(&open), ["0.0.0.0/0 - [8.8.8.8/32 10.244.0.0/16 203.0.113.0/24]: all ports"]);
    }

    #[test]
    fn a_block_on_some_ports_keeps_the_others_and_its_own_holes() {
        let no_https = PortSet::range(Protocol::Tcp, 443, 443).negated();
        let blocked = [(cidr("203.0.113.0/24"), no_https), (cidr("203.0.113.7/32"), PortSet::none())];
        assert_eq!(
            shown(&complement(&[Cidr::V4], &[], &[], &blocked)),
            [
                "0.0.0.0/0 - [203.0.113.0/24]: all ports",
                "203.0.113.0/24 - [203.0.113.7/32]: 1-442, 444-65535, all UDP, all SCTP",
            ]
        );
    }

    #[test]
    fn nodes_inside_a_pod_range_stay_open_unless_blocked() {
        let pods = [cidr("10.0.0.0/8")];
        let nodes = [cidr("10.0.0.1/32"), cidr("10.0.0.2/32")];
        let open = complement(&[Cidr::V4], &pods, &nodes, &[(cidr("10.0.0.2/32"), PortSet::none())]);
        assert_eq!(shown(&open), ["0.0.0.0/0 - [10.0.0.0/8]: all ports", "10.0.0.1/32 - []: all ports"]);
    }

    #[test]
    fn everything_blocked_leaves_nothing() {
        assert!(complement(&[Cidr::V4], &[], &[], &[(Cidr::V4, PortSet::none())]).is_empty());
    }

    #[test]
    fn blocks_of_the_other_family_are_ignored() {
        let open = complement(&[Cidr::V4], &[cidr("fd00::/8")], &[], &[]);
        assert_eq!(shown(&open), ["0.0.0.0/0 - []: all ports"]);
    }
}
