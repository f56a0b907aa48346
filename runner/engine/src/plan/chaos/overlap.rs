//! Resources that would override each other: pure.
//!
//! On one pod, several resources that act on some links only do not add up: Chaos Mesh sorts packets into classes, and the
//! last rule wins. Those that act on everything are chained and add up, and partitions work by another mechanism.

use shakedown_schemas::Explained;
use std::time::Duration;

use shakedown_cluster::Kind;
use shakedown_faults::chaos::spec::Resource;

/// The resources of a fault, and the time in which they act.
pub(in crate::plan) struct Standing {
    pub fault: String,
    pub phase: usize,
    /// From the phase's start.
    pub begin: Duration,
    pub end: Duration,
    pub resources: Vec<Resource>,
}

/// Why these faults cannot act together. None if they can.
pub(in crate::plan) fn check(all: &[Standing]) -> Option<Explained> {
    let meet = |a: &Standing, b: &Standing| a.phase == b.phase && a.begin < b.end && b.begin < a.end;
    for (index, one) in all.iter().enumerate() {
        for (place, resource) in one.resources.iter().enumerate().filter(|(_, resource)| overrides(resource)) {
            let own = one.resources[place + 1..].iter().map(|other| (one, other));
            let others = all[index + 1..].iter().filter(|other| meet(one, other));
            let others = others.flat_map(|other| other.resources.iter().map(move |resource| (other, resource)));
            for (other, second) in own.chain(others).filter(|(_, second)| overrides(second)) {
                if let Some(pod) = resource.shapes.intersection(&second.shapes).next() {
                    return Some(Explained::new(
                        format!(
                            "faults `{}` and `{}` both act on some links of pod {pod} at the same time, and in Chaos Mesh the \
                         later one overrides the earlier one there",
                            one.fault, other.fault
                        ),
                        "make them one `netem`, let one act on all of the \
                         pod's traffic (no `to`), or keep their times apart with `after` and `for`",
                    ));
                }
            }
        }
    }
    None
}

/// Whether a resource overrides others and can be overridden.
fn overrides(resource: &Resource) -> bool {
    resource.kind == Kind::NetworkChaos && resource.filtered && resource.spec["action"] != "partition"
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::PodRef;
    use shakedown_schemas::scenario::{Direction, Netem};

    use super::*;
    use shakedown_faults::chaos::spec::{self, Ends};

    fn pod(name: &str) -> PodRef {
        PodRef { namespace: "n".into(), name: name.into(), uid: name.into(), node: None, ip: Some("10.0.0.1".into()) }
    }

    fn standing(fault: &str, targets: &[&str], peers: &[&str], from_to: (u64, u64)) -> Standing {
        let netem: Netem = serde_json::from_str(r#"{"pods": {"prefix": "x"}, "loss": "10%"}"#).unwrap();
        let ends = Ends { pods: peers.iter().map(|name| pod(name)).collect(), ..Ends::default() };
        let targets: Vec<PodRef> = targets.iter().map(|name| pod(name)).collect();
        let ends = (!peers.is_empty()).then_some(&ends);
        Standing {
            fault: fault.into(),
            phase: 0,
            begin: Duration::from_secs(from_to.0),
            end: Duration::from_secs(from_to.1),
            resources: spec::netem(&netem, &targets, ends, Direction::Both),
        }
    }

    #[test]
    fn filtered_faults_on_one_pod_are_refused_with_the_reason() {
        let a = || standing("a", &["w"], &["bus"], (0, 10));
        assert!(check(&[a(), standing("b", &["w"], &["db"], (0, 10))]).unwrap().message.contains("pod n/w"));
        // Both ways are shaped on the bus as well, so the second fault meets the first one there.
        assert!(check(&[a(), standing("b", &["v"], &["bus"], (5, 20))]).unwrap().message.contains("pod n/bus"));
        assert_eq!(check(&[a(), standing("b", &["w"], &["db"], (10, 20))]), None, "one after the other");
        assert_eq!(check(&[a(), standing("b", &["w"], &[], (0, 10))]), None, "those on everything are chained");
        assert_eq!(check(&[a(), standing("b", &["v"], &["db"], (0, 10))]), None);
    }
}
