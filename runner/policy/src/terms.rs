//! The complement of blocked pods, as a union of pod selectors with ports.
//!
//! A block `selector x ports` leaves everything outside the selector, which is a union over its negated parts (De
//! Morgan), and the selected pods on their other ports. Several blocks leave the intersection of these sets: the
//! product of the unions, distributed. This module does not cover namespaces, addresses and Kubernetes' types.

use std::collections::BTreeMap;

use super::labels::Selector;
use super::ports::PortSet;

/// Pods, and the ports on which they stay open.
pub(super) type Term = (Selector, PortSet);

/// Products are simplified after each block. A product that exceeds the limit by this factor is abandoned.
const SLACK: usize = 16;

/// The open links if each selected pod is open on `open` ports only. None if they need more than `limit` terms.
pub(super) fn complement(blocks: &[(Selector, PortSet)], limit: usize) -> Option<Vec<Term>> {
    let mut terms = vec![(Selector::everything(), PortSet::all())];
    for (selector, open) in blocks {
        let mut factor: Vec<Term> = selector.negated().into_iter().map(|part| (part, PortSet::all())).collect();
        if !open.is_none() {
            factor.push((selector.clone(), open.clone()));
        }
        if terms.len() * factor.len() > limit * SLACK {
            return None;
        }
        let mut product: BTreeMap<Selector, PortSet> = BTreeMap::new();
        for (pods, ports) in &terms {
            for (part, left) in &factor {
                let (pods, ports) = (pods.and(part), ports.and(left));
                if !pods.is_void() && !ports.is_none() {
                    let entry = product.entry(pods).or_insert_with(PortSet::none);
                    *entry = entry.or(&ports);
                }
            }
        }
        terms = absorbed(product.into_iter().collect());
        if terms.len() > limit {
            return None;
        }
    }
    Some(terms)
}

/// Leaves out every term that another one holds.
fn absorbed(terms: Vec<Term>) -> Vec<Term> {
    let held = |at: usize| {
        let (pods, ports) = &terms[at];
        // Of two equal terms the first stays; equal selectors were joined before, so there are none.
        terms.iter().enumerate().any(|(other, (wider, more))| other != at && pods.within(wider) && ports.within(more))
    };
    let keep: Vec<bool> = (0..terms.len()).map(|at| !held(at)).collect();
    terms.into_iter().zip(keep).filter_map(|(term, keep)| keep.then_some(term)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ports::Protocol;
    use super::*;

    fn app(value: &str) -> Selector {
        Selector::label("app", value)
    }

    fn shown(terms: &[Term]) -> Vec<String> {
        terms.iter().map(|(pods, ports)| format!("{pods}: {ports}")).collect()
    }

    #[test]
    fn several_blocks_by_one_key_stay_one_term() {
        let blocks = [(app("nats"), PortSet::none()), (app("etcd"), PortSet::none())];
        let terms = complement(&blocks, 256).expect("few terms");
        assert_eq!(shown(&terms), ["app notin (etcd,nats): all ports"]);
    }

    #[test]
    fn a_conjunction_leaves_one_term_per_label_and_two_leave_their_product() {
        let bus = app("nats").and(&Selector::label("tier", "bus"));
        let terms = complement(&[(bus.clone(), PortSet::none())], 256).expect("few terms");
        assert_eq!(shown(&terms), ["app!=nats: all ports", "tier!=bus: all ports"]);
        let web = app("web").and(&Selector::label("zone", "a"));
        let terms = complement(&[(bus, PortSet::none()), (web, PortSet::none())], 256).expect("few terms");
        assert_eq!(terms.len(), 4);
    }

    #[test]
    fn a_block_on_some_ports_leaves_the_others() {
        let open = PortSet::range(Protocol::Tcp, 4222, 4222).negated();
        let terms = complement(&[(app("nats"), open)], 256).expect("few terms");
        assert_eq!(shown(&terms), ["app=nats: 1-4221, 4223-65535, all UDP, all SCTP", "app!=nats: all ports"]);
    }

    #[test]
    fn a_block_within_another_adds_nothing() {
        let narrow = app("nats").and(&Selector::label("tier", "bus"));
        let terms = complement(&[(app("nats"), PortSet::none()), (narrow, PortSet::none())], 256).expect("few terms");
        assert_eq!(shown(&terms), ["app!=nats: all ports"]);
    }

    #[test]
    fn too_long_a_product_is_refused() {
        let blocks: Vec<_> = (0..12)
            .map(|n| {
                (Selector::label(format!("a{n}"), "x").and(&Selector::label(format!("b{n}"), "x")), PortSet::none())
            })
            .collect();
        assert_eq!(complement(&blocks[..8], 256).expect("2^8 terms").len(), 256);
        assert!(complement(&blocks, 256).is_none());
    }
}
