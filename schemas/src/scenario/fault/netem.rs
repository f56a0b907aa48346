//! `netem`: degraded links.

use super::kind::{ChaosMesh, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::{Direction, PASSED_BY, Prove};
use crate::check::{Findings, peer};
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::{Peer, PodSelector, Secret};
use crate::units::{Bandwidth, Duration, Percent};

fault! {
    /// Degrades the links between the target pods and peers: any combination of loss, delay, duplication, corruption,
    /// reordering and limited bandwidth. At least one of them is required. Needs Chaos Mesh.
    pub struct Netem {
        /// The peers at the other end of the links. Default: everything that the targets send, to any destination.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub to: Vec<Peer>,
        /// Which packets are affected, seen from the target pods: `egress` for packets that they send, `ingress` for
        /// packets that they receive. Default: `both` for peers that are pods; `egress` without peers and for addresses
        /// outside the cluster, because packets can only be shaped at their sender.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub direction: Option<Direction>,
        /// The share of packets that are lost, in each direction. TCP retransmits them, so users see delay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub loss: Option<Percent>,
        /// The additional delay of packets, in each direction. With `direction: both`, a round trip takes twice as much
        /// longer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delay: Option<Duration>,
        /// The variation of the delay, plus or minus. Needs `delay`, and cannot exceed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub jitter: Option<Duration>,
        /// How strongly the fate of a packet depends on the previous packet, for all degradations of this fault.
        /// Default `0%`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub correlation: Option<Percent>,
        /// The share of packets that arrive twice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub duplicate: Option<Percent>,
        /// The share of packets with one wrong bit. Checksums turn most of them into losses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub corrupt: Option<Percent>,
        /// The share of packets that are sent at once and overtake delayed packets. Needs `delay`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reorder: Option<Percent>,
        /// The bandwidth limit, in each direction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub bandwidth: Option<Bandwidth>,
        /// The network interface of the target pods. Default `eth0`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["eth0"]))]
        pub device: Option<String>,
    }
    pods, own, follow, prove {
        /// `auto` and `applied` rely on the report of Chaos Mesh. `traffic` requires a change in the run's own
        /// requests. This kind has no witness.
    }, after, lasts,
}

impl FaultKind for Netem {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh { is_link: true, ..ChaosMesh::inside("networkchaos") })],
        sandbox: Sandbox::Modelled,
        rules: &[Rule::Some(&["loss", "delay", "duplicate", "corrupt", "bandwidth"])],
        not_settings: &["to"],
        link: between,
        confirmed_by: ", and its rules in place",
        observed_by: "",
        unfelt_because: PASSED_BY,
        example: "{pods: {labels: {app: worker}}, to: [{service: nats}], delay: 100ms, loss: 1%}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        let key = |key: &str| format!("{path}.{key}");
        if !self.does_something() && !findings.map.gone(path) {
            let message = match (self.jitter.is_some(), self.reorder.is_some()) {
                (false, false) => "this degradation has no effect",
                (true, _) => "`jitter` needs a `delay`, and there is none",
                (false, true) => "`reorder` needs a `delay`, and there is none",
            };
            let help = match self.jitter.or(self.reorder.map(|_| Duration::from_secs(0))) {
                // The delay is at least the jitter.
                Some(jitter) if jitter > Duration::from(std::time::Duration::from_millis(100)) => {
                    format!("add `delay: {jitter}`")
                }
                Some(_) => "add `delay: 100ms`".to_owned(),
                None => {
                    "write at least one of `loss: 20%`, `delay: 100ms`, `duplicate`, `corrupt` and `bandwidth: 1Mbit/s`"
                        .to_owned()
                }
            };
            findings.push(path, Diagnostic::error(Code::Degradation, message).help(help));
        } else if self.delay.is_none() {
            for (name, there) in [("jitter", self.jitter.is_some()), ("reorder", self.reorder.is_some())] {
                if there {
                    findings.push(
                        &key(name),
                        Diagnostic::error(Code::Degradation, format!("`{name}` needs a `delay`, and there is none"))
                            .help("add `delay: 100ms`"),
                    );
                }
            }
        }
        if let (Some(delay), Some(jitter)) = (self.delay, self.jitter)
            && jitter > delay
        {
            findings.push(
                &key("jitter"),
                Diagnostic::error(Code::Degradation, format!("{delay} ± {jitter} would arrive before it is sent"))
                    .help(format!("write `jitter: {delay}` at most")),
            );
        }
        for (name, value) in [("delay", self.delay), ("jitter", self.jitter)] {
            if value.is_some_and(|value| value.is_zero()) {
                findings.push(
                    &key(name),
                    Diagnostic::error(Code::Degradation, format!("`{name}` is zero"))
                        .help("remove it, or write a time such as `100ms`"),
                );
            } else if value.is_some_and(|value| !value.get().as_nanos().is_multiple_of(1000)) {
                findings.push(
                    &key(name),
                    Diagnostic::error(
                        Code::Degradation,
                        format!("`{name}` is finer than the microseconds of the kernel"),
                    )
                    .help("write whole microseconds, such as `500us`"),
                );
            }
        }
        let shares = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
            ("reorder", self.reorder),
            ("correlation", self.correlation),
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
        if self.prove == Prove::Witness {
            findings.push(
                &key("prove"),
                Diagnostic::error(Code::Proof, "a witness cannot measure a degradation")
                    .help("write `prove: traffic`, which asks for a change in the run's own requests"),
            );
        }
        directions(path, self, findings);
        for (index, it) in self.to.iter().enumerate() {
            let path = format!("{path}.to[{index}]");
            peer(&path, it, findings);
            let targets = PodSelector { count: None, percent: None, ..self.pods.clone() };
            let all = self.pods.count.is_none() && self.pods.percent.is_none();
            if all && it.pods.as_ref().is_some_and(|pods| *pods == targets) {
                findings.push(
                    &format!("{path}.pods"),
                    Diagnostic::error(
                        Code::SelfPartition,
                        "both ends are the same pods, which Chaos Mesh does not support",
                    )
                    .help("select other pods here, or narrow the targets with `count`"),
                );
            }
        }
    }

    fn peers(&self) -> &[Peer] {
        &self.to
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

impl Netem {
    /// True if it degrades the links.
    pub const fn does_something(&self) -> bool {
        self.loss.is_some()
            || self.delay.is_some()
            || self.duplicate.is_some()
            || self.corrupt.is_some()
            || self.bandwidth.is_some()
    }
}

/// Checks the direction: packets are shaped at their sender, and Chaos Mesh can do that only on pods.
fn directions(path: &str, netem: &Netem, findings: &mut Findings<'_>) {
    let key = format!("{path}.direction");
    if netem.direction.is_none_or(|direction| direction == Direction::Egress) {
        return;
    }
    if netem.to.is_empty() && !findings.map.gone(path) && !findings.map.damaged(&format!("{path}.to")) {
        findings.push(
            &key,
            Diagnostic::error(Code::Degradation, "packets are shaped at their sender, which is unknown without peers")
                .help("name the peers in `to`, or remove `direction` to act on everything that the targets send"),
        );
    }
    let outside = |peer: &Peer| peer.cidr.is_some() || peer.host.is_some();
    if netem.to.iter().any(outside) {
        findings.push(
            &key,
            Diagnostic::error(
                Code::Degradation,
                "packets are shaped at their sender, which is impossible for addresses outside the cluster",
            )
            .help("write `direction: egress`, or write a separate fault for the peers in the cluster"),
        );
    }
    if netem.to.iter().any(|peer| !peer.ports.is_empty()) {
        findings.push(
            &key,
            Diagnostic::error(Code::Ports, "responses use other ports, so `ports` cannot select them")
                .help("write `direction: egress`, or remove `ports`"),
        );
    }
}
