//! The complement of blocked addresses, as `ipBlock` entries with ports.
//!
//! Two blocks of addresses are nested or disjoint, so blocks form a tree. A block stays open on the ports that no enclosing
//! block forbids, and excludes the blocks directly below it. Neighbours that are open on the same ports become one block: a
//! cluster has a range of pod addresses for each node, and a policy must not have an entry for each of them. This module
//! knows neither the choice of blocks nor the types of Kubernetes.

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
pub(super) fn complement<'a>(
    roots: &[Cidr],
    pods: &[Cidr],
    nodes: impl IntoIterator<Item = &'a Cidr>,
    blocked: &[(Cidr, PortSet)],
) -> Vec<OpenBlock> {
    let mut named: BTreeMap<Cidr, Named> = roots.iter().map(|root| (*root, Named::default())).collect();
    pods.iter().for_each(|range| named.entry(*range).or_default().pods = true);
    nodes.into_iter().for_each(|node| named.entry(*node).or_default().node = true);
    for (range, open) in blocked {
        let limit = &mut named.entry(*range).or_default().limit;
        *limit = Some(limit.as_ref().map_or_else(|| open.clone(), |limit| limit.and(open)));
    }
    let mut found = Vec::new();
    // The regions around the current one, the outermost first.
    let mut around: Vec<Region> = Vec::new();
    // The order is by first address, then by length: every block comes after those that contain it.
    for (cidr, named) in named {
        while around.last().is_some_and(|region| !region.cidr.contains(cidr)) {
            close(&mut around, &mut found);
        }
        match around.last() {
            None if !roots.contains(&cidr) => continue,
            outer => around.push(Region::new(cidr, &named, outer)),
        }
    }
    while !around.is_empty() {
        close(&mut around, &mut found);
    }
    found
}

/// What is said of exactly one block.
#[derive(Default)]
struct Named {
    /// It is a range of pod addresses.
    pods: bool,
    /// It is the address of a node.
    node: bool,
    /// It is blocked, and open on these ports only.
    limit: Option<PortSet>,
}

/// A block without the regions in it. All of its own addresses are open on the same ports.
struct Region {
    cidr: Cidr,
    pods: bool,
    limit: PortSet,
    ports: PortSet,
    /// The regions just below it that are open on other ports, in the order of their addresses.
    inner: Vec<Self>,
}

impl Region {
    fn new(cidr: Cidr, named: &Named, outer: Option<&Self>) -> Self {
        let pods = named.pods || outer.is_some_and(|outer| outer.pods);
        let limit = match (outer, &named.limit) {
            (None, None) => PortSet::all(),
            (Some(outer), None) => outer.limit.clone(),
            (None, Some(own)) => own.clone(),
            (Some(outer), Some(own)) => outer.limit.and(own),
        };
        let ports = if pods && !named.node { PortSet::none() } else { limit.clone() };
        Self { cidr, pods, limit, ports, inner: Vec::new() }
    }

    /// Takes the next region below this one. The two halves of a block become that block.
    fn take(&mut self, mut region: Self) {
        while let Some(last) =
            self.inner.pop_if(|last| last.ports == region.ports && last.cidr.is_half_with(region.cidr))
        {
            let cidr = last.cidr.parent().unwrap_or(last.cidr);
            let inner = last.inner.into_iter().chain(region.inner).collect();
            region = Self { cidr, inner, ..last };
        }
        self.inner.push(region);
    }

    /// Adds what stays open of it, the outer blocks first.
    fn list(self, found: &mut Vec<OpenBlock>) {
        if !self.ports.is_none() {
            let except = self.inner.iter().map(|region| region.cidr).collect();
            found.push(OpenBlock { cidr: self.cidr, except, ports: self.ports });
        }
        self.inner.into_iter().for_each(|region| region.list(found));
    }
}

/// Ends the innermost region: nothing in it follows.
fn close(around: &mut Vec<Region>, found: &mut Vec<OpenBlock>) {
    let Some(mut region) = around.pop() else { return };
    // Nothing is left of a block that its inner regions fill.
    if let Some(whole) = region.inner.pop_if(|inner| inner.cidr == region.cidr) {
        region = whole;
    }
    match around.last_mut() {
        None => region.list(found),
        // Open like its surroundings.
        Some(outer) if outer.ports == region.ports => region.inner.into_iter().for_each(|inner| outer.take(inner)),
        Some(outer) => outer.take(region),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::collection::vec;
    use proptest::prelude::*;

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

    #[test]
    fn the_ranges_of_five_thousand_nodes_are_a_few_blocks() {
        let range = |node: u32| cidr(&format!("10.{}.{}.0/24", node / 256, node % 256));
        let pods: Vec<Cidr> = (0..5000).map(range).collect();
        let open = complement(&[Cidr::V4], &pods, &[], &[(range(5), PortSet::none())]);
        // 5,000 is 4096 + 512 + 256 + 128 + 8.
        assert_eq!(
            shown(&open),
            ["0.0.0.0/0 - [10.0.0.0/12 10.16.0.0/15 10.18.0.0/16 10.19.0.0/17 10.19.128.0/21]: all ports"]
        );
    }

    #[test]
    fn neighbours_that_are_nodes_are_one_block_of_nodes() {
        let nodes = ["10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32"].map(cidr);
        let open = complement(&[Cidr::V4], &[cidr("10.0.0.0/8")], &nodes, &[]);
        let expected =
            ["0.0.0.0/0 - [10.0.0.0/8]: all ports", "10.0.0.2/31 - []: all ports", "10.0.0.4/32 - []: all ports"];
        assert_eq!(shown(&open), expected);
    }

    #[test]
    fn two_halves_fill_the_block_around_them() {
        let halves = ["0.0.0.0/1", "128.0.0.0/1"].map(cidr);
        assert!(complement(&[Cidr::V4], &halves, &[], &[]).is_empty(), "an entry cannot leave out all of itself");
        let open = complement(&[Cidr::V4], &[cidr("10.0.0.0/25"), cidr("10.0.0.128/25")], &[cidr("10.0.0.7/32")], &[]);
        assert_eq!(shown(&open), ["0.0.0.0/0 - [10.0.0.0/24]: all ports", "10.0.0.7/32 - []: all ports"]);
    }

    /// Blocks of `10.0.0.0/26`, so that they often nest and touch.
    fn small() -> impl Strategy<Value = Cidr> {
        (26..=32_u8, 0..64_u8).prop_map(|(length, host)| cidr(&format!("10.0.0.{host}/{length}")))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        /// What an address is open on follows from the blocks that contain it, without any tree and any merging.
        #[test]
        fn merged_blocks_leave_open_exactly_what_the_single_ones_do(
            pods in vec(small(), 0..12),
            nodes in vec(0..64_u8, 0..8),
            blocked in vec((small(), 0..3_usize), 0..10),
        ) {
            let kinds = [PortSet::none(), PortSet::range(Protocol::Tcp, 443, 443).negated(), PortSet::whole(Protocol::Udp)];
            let blocked: Vec<(Cidr, PortSet)> = blocked.into_iter().map(|(it, kind)| (it, kinds[kind].clone())).collect();
            let nodes: Vec<IpAddr> = nodes.into_iter().map(|host| Ipv4Addr::new(10, 0, 0, host).into()).collect();
            let hosts: Vec<Cidr> = nodes.iter().map(|ip| Cidr::host(*ip)).collect();
            let open = complement(&[Cidr::V4], &pods, &hosts, &blocked);
            for host in 0..=255_u8 {
                let ip = IpAddr::from(Ipv4Addr::new(10, 0, 0, host));
                let pods_only = pods.iter().any(|range| range.has(ip)) && !nodes.contains(&ip);
                let start = if pods_only { PortSet::none() } else { PortSet::all() };
                let limits = blocked.iter().filter(|(range, _)| range.has(ip));
                let expected = limits.fold(start, |ports, (_, limit)| ports.and(limit));
                let entries = open.iter().filter(|it| it.cidr.has(ip) && !it.except.iter().any(|hole| hole.has(ip)));
                let entries: Vec<&PortSet> = entries.map(|it| &it.ports).collect();
                prop_assert!(entries.len() <= 1, "{ip}: {:?}", shown(&open));
                let found = entries.into_iter().fold(PortSet::none(), |all, ports| all.or(ports));
                prop_assert_eq!(found, expected, "{}: {:?}", ip, shown(&open));
            }
            for block in &open {
                // The API takes only exceptions that are smaller than their block.
                prop_assert!(block.except.iter().all(|hole| block.cidr.contains(*hole) && *hole != block.cidr));
                let halves = block.except.windows(2).filter(|pair| pair[0].is_half_with(pair[1]));
                for pair in halves {
                    let ports = |cidr: Cidr| open.iter().find(|it| it.cidr == cidr).map(|it| &it.ports);
                    prop_assert_ne!(ports(pair[0]), ports(pair[1]), "two that could be one: {:?}", shown(&open));
                }
            }
        }
    }
}
