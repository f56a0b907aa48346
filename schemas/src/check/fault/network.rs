//! Checks of what is done to links: partitions and degradations.

use super::Findings;
use super::peer::peer;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Direction, Engine, Netem, Partition, Peer, PodSelector, Prove};

pub(super) fn partition(path: &str, partition: &Partition, findings: &mut Findings<'_>) {
    if partition.from.is_empty() {
        findings.push(
            &format!("{path}.from"),
            Diagnostic::error(Code::Peer, "this partition cuts no link").help("write `from: [{service: nats}]`"),
        );
    }
    if partition.prove == Prove::Witness && !partition.direction.has_egress() {
        findings.push(
            &format!("{path}.prove"),
            Diagnostic::error(
                Code::Proof,
                "a witness connects to the peer, and this partition cuts only what the peer opens",
            )
            .help("write `prove: traffic`, or `direction: both`"),
        );
    }
    if partition.prove == Prove::Witness && partition.engine == Engine::ChaosMesh {
        findings.push(
            &format!("{path}.prove"),
            Diagnostic::error(
                Code::Proof,
                "Chaos Mesh acts on the target pods alone, so no witness can stand for them",
            )
            .help("write `prove: applied`, which believes what Chaos Mesh says, or `prove: traffic`"),
        );
    }
    for (index, it) in partition.from.iter().enumerate() {
        let path = format!("{path}.from[{index}]");
        peer(&path, it, findings);
        let same = it.pods.as_ref().is_some_and(|pods| {
            let targets = PodSelector { count: None, percent: None, ..partition.pods.clone() };
            *pods == targets && partition.pods.count.is_none() && partition.pods.percent.is_none()
        });
        if same && it.ports.is_empty() {
            findings.push(
                &format!("{path}.pods"),
                Diagnostic::error(
                    Code::SelfPartition,
                    "the targets are cut off from themselves: both ends are the same pods",
                )
                .help("select other pods here, or narrow the targets with `count`"),
            );
        }
    }
}

pub(super) fn netem(path: &str, netem: &Netem, findings: &mut Findings<'_>) {
    let key = |key: &str| format!("{path}.{key}");
    if !netem.does_something() && !findings.map.gone(path) {
        let message = match (netem.jitter.is_some(), netem.reorder.is_some()) {
            (false, false) => "this says nothing about what becomes worse",
            (true, _) => "jitter varies a delay, and there is none",
            (false, true) => "only packets that are delayed can be overtaken, and none is",
        };
        findings.push(
            path,
            Diagnostic::error(Code::Degradation, message).help(
                "write at least one of `loss: 20%`, `delay: 100ms`, `duplicate`, `corrupt` and `bandwidth: 1Mbit/s`",
            ),
        );
    } else if netem.delay.is_none() {
        for (name, there) in [("jitter", netem.jitter.is_some()), ("reorder", netem.reorder.is_some())] {
            if there {
                findings.push(
                    &key(name),
                    Diagnostic::error(Code::Degradation, format!("`{name}` changes a delay, and there is none"))
                        .help("write `delay: 100ms` beside it"),
                );
            }
        }
    }
    if let (Some(delay), Some(jitter)) = (netem.delay, netem.jitter)
        && jitter > delay
    {
        findings.push(
            &key("jitter"),
            Diagnostic::error(Code::Degradation, format!("{delay} ± {jitter} would arrive before it is sent"))
                .help(format!("write `jitter: {delay}` at most")),
        );
    }
    for (name, value) in [("delay", netem.delay), ("jitter", netem.jitter)] {
        if value.is_some_and(|value| value.is_zero()) {
            findings.push(
                &key(name),
                Diagnostic::error(Code::Degradation, format!("`{name}` is no time at all"))
                    .help("remove it, or write a time such as `100ms`"),
            );
        } else if value.is_some_and(|value| !value.get().as_nanos().is_multiple_of(1000)) {
            findings.push(
                &key(name),
                Diagnostic::error(Code::Degradation, format!("`{name}` is finer than the microseconds of the kernel"))
                    .help("write whole microseconds, such as `500us`"),
            );
        }
    }
    let shares = [
        ("loss", netem.loss),
        ("duplicate", netem.duplicate),
        ("corrupt", netem.corrupt),
        ("reorder", netem.reorder),
        ("correlation", netem.correlation),
    ];
    for (name, share) in shares {
        if name != "correlation" && share.is_some_and(|share| share.fraction() <= 0.0) {
            findings.push(
                &key(name),
                Diagnostic::error(Code::Degradation, format!("`{name}: 0%` does nothing"))
                    .help(format!("remove it, or write a share such as `{name}: 20%`")),
            );
        }
    }
    if netem.prove == Prove::Witness {
        findings.push(
            &key("prove"),
            Diagnostic::error(Code::Proof, "no witness can measure a degradation")
                .help("write `prove: traffic`, which asks for a change in the run's own requests"),
        );
    }
    directions(path, netem, findings);
    for (index, it) in netem.to.iter().enumerate() {
        let path = format!("{path}.to[{index}]");
        peer(&path, it, findings);
        let targets = PodSelector { count: None, percent: None, ..netem.pods.clone() };
        let all = netem.pods.count.is_none() && netem.pods.percent.is_none();
        if all && it.pods.as_ref().is_some_and(|pods| *pods == targets) {
            findings.push(
                &format!("{path}.pods"),
                Diagnostic::error(Code::SelfPartition, "both ends are the same pods, and Chaos Mesh cannot do that")
                    .help("select other pods here, or narrow the targets with `count`"),
            );
        }
    }
}

/// That packets are shaped where they are sent: Chaos Mesh can do that on pods, and only there.
fn directions(path: &str, netem: &Netem, findings: &mut Findings<'_>) {
    let key = format!("{path}.direction");
    if netem.direction.is_none_or(|direction| direction == Direction::Egress) {
        return;
    }
    if netem.to.is_empty() && !findings.map.gone(path) && !findings.map.damaged(&format!("{path}.to")) {
        findings.push(
            &key,
            Diagnostic::error(
                Code::Degradation,
                "packets are shaped where they are sent, and without peers nobody knows who sends to the targets",
            )
            .help("name the peers in `to`, or remove `direction` to act on everything that the targets send"),
        );
    }
    let outside = |peer: &Peer| peer.cidr.is_some() || peer.host.is_some();
    if netem.to.iter().any(outside) {
        findings.push(
            &key,
            Diagnostic::error(
                Code::Degradation,
                "packets are shaped where they are sent, and what addresses outside the cluster send cannot be",
            )
            .help("write `direction: egress`, or make the peers in the cluster a fault of their own"),
        );
    }
    if netem.to.iter().any(|peer| !peer.ports.is_empty()) {
        findings.push(
            &key,
            Diagnostic::error(Code::Ports, "the way back goes to other ports than these, so it cannot be told by them")
                .help("write `direction: egress`, or remove `ports`"),
        );
    }
}
