//! What is done to links: degradations, and partitions that Chaos Mesh does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Direction, Netem, Partition, Prove};

use super::{Deed, Wish, ends, spec};
use crate::plan::PlanError;
use shakedown_cluster::Cluster;
use shakedown_faults::chaos::Make;
use shakedown_faults::chaos::spec::{Ends, Inside};
use shakedown_faults::effect::Wanted;

/// As many packets wait for their time in the queue that Chaos Mesh gives a delay; it cannot be made longer.
const QUEUE: u32 = 1000;
/// A link that carries fewer packets a second than this is worth a word about that queue.
const MANY: f64 = 10_000.0;
/// Of smaller losses the sender's own kernel makes up for a part before they are seen.
const SMALL_LOSS: f64 = 0.05;

/// What Chaos Mesh does to networks, it does by a pod's own address, in version 4.
pub(super) fn check_network(fault: &str, what: &str, pod: &PodRef, object: &Value) -> Result<(), PlanError> {
    let refuse = |text: &str| Err(PlanError::Scenario(format!("fault `{fault}`: {what} pod {} {text}", pod.name)));
    if object["spec"]["hostNetwork"] == true {
        return refuse("uses its node's network, which Chaos Mesh does not touch\nhelp: choose other pods");
    }
    match pod.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(_)) => Ok(()),
        Some(IpAddr::V6(_)) => refuse("has an IPv6 address, and Chaos Mesh knows only IPv4\nhelp: choose other pods"),
        None => refuse("has no address yet\nhelp: wait until it runs"),
    }
}

pub(super) fn check_targets(wish: &Wish<'_>, targets: &[(Inside, Value)]) -> Result<(), PlanError> {
    targets.iter().try_for_each(|(target, there)| check_network(wish.name, "target", &target.pod, there))
}

/// What has to show that it acts: Chaos Mesh's own word, unless the requests are to.
const fn wanted(prove: Prove) -> Wanted {
    match prove {
        Prove::Traffic => Wanted::Traffic,
        Prove::Auto | Prove::Witness | Prove::Applied => Wanted::Applied,
    }
}

pub(super) async fn netem(
    wish: &Wish<'_>,
    netem: Netem,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
    namespace: &str,
) -> Result<Deed, PlanError> {
    check_targets(wish, targets)?;
    let effect = wanted(netem.prove);
    let what = qualities(&netem);
    let follow = netem.follow;
    if netem.to.is_empty() {
        let text =
            format!("Of everything that the targets send, {what}. What they receive is as before.{}", caveats(&netem));
        let make: Make = Arc::new(move |targets| spec::netem(&netem, &pods(targets), None, Direction::Egress));
        return Ok(Deed { make, text, peers: vec!["everybody".to_owned()], far: Vec::new(), follow, effect });
    }
    let reader = ends::Reader { fault: wish.name, cluster, namespace, targets: &wish.targets };
    let found = reader.ends(&netem.to).await?;
    // Packets are shaped where they are sent, and ports only tell those that go to the peers.
    let by_default = if found.one_way { Direction::Egress } else { Direction::Both };
    let direction = netem.direction.unwrap_or(by_default);
    if direction.has_ingress() && found.ends.pods.is_empty() {
        return Err(PlanError::Scenario(format!(
            "fault `{}`: no peer is a pod of this cluster, and packets are shaped where they are sent\nhelp: write \
             `direction: egress`",
            wish.name
        )));
    }
    let way = match direction {
        Direction::Egress => "Of what the targets send to the peers",
        Direction::Ingress => "Of what the peers send to the targets",
        Direction::Both => "Of what the targets and the peers send to each other, each way",
    };
    let mut text = format!("{way}, {what}. Every other link is as before.");
    let more = netem.delay.is_some() || netem.loss.or(netem.duplicate).or(netem.corrupt).is_some();
    if netem.bandwidth.is_some() && more {
        text.push_str(
            " Up to 1000 packets wait for the bandwidth, the queue that Chaos Mesh gives it together with the rest.",
        );
    }
    text.push_str(&caveats(&netem));
    for note in &found.notes {
        text.push_str(&format!(" Note: {note}."));
    }
    let (ends, far) = (found.ends.clone(), found.ends.pods);
    let make: Make = Arc::new(move |targets| spec::netem(&netem, &pods(targets), Some(&ends), direction));
    Ok(Deed { make, text, peers: found.described, far, follow, effect })
}

/// What the tools below make of it that one would not expect.
fn caveats(netem: &Netem) -> String {
    let mut text = String::new();
    let longest = netem.delay.unwrap_or_default().get() + netem.jitter.unwrap_or_default().get();
    let rate = f64::from(QUEUE) / longest.max(Duration::from_nanos(1)).as_secs_f64();
    if rate <= MANY {
        text.push_str(&format!(" Of more than {rate:.0} packets a second the rest is lost: {QUEUE} of them can wait."));
    }
    if netem.loss.is_some_and(|loss| loss.fraction() < SMALL_LOSS) {
        text.push_str(" Of a loss below 5% a part goes unseen: the sender's kernel sends some of it again by itself.");
    }
    text
}

/// What becomes worse, in words.
fn qualities(netem: &Netem) -> String {
    let mut all = Vec::new();
    all.extend(netem.loss.map(|share| format!("{share} of the packets are lost")));
    all.extend(netem.delay.map(|delay| match netem.jitter {
        Some(jitter) => format!("each packet arrives {delay} ± {jitter} later"),
        None => format!("each packet arrives {delay} later"),
    }));
    all.extend(netem.duplicate.map(|share| format!("{share} arrive twice")));
    all.extend(netem.corrupt.map(|share| format!("{share} arrive damaged")));
    all.extend(netem.reorder.map(|share| format!("{share} overtake the others")));
    all.extend(netem.bandwidth.map(|bandwidth| {
        let bytes = bandwidth.bits_per_second() / 8;
        format!("at most {bandwidth} ({bytes} bytes a second) pass")
    }));
    all.join(", ")
}

fn pods(targets: &[Inside]) -> Vec<PodRef> {
    targets.iter().map(|target| target.pod.clone()).collect()
}

pub(super) async fn partition(
    wish: &Wish<'_>,
    partition: Partition,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
    namespace: &str,
) -> Result<Deed, PlanError> {
    check_targets(wish, targets)?;
    let reader = ends::Reader { fault: wish.name, cluster, namespace, targets: &wish.targets };
    let found = reader.ends(&partition.from).await?;
    // With ports only what goes to them can be told, and that suffices: no answer comes to what never arrived.
    let by_ports = partition.from.iter().any(|peer| !peer.ports.is_empty());
    let direction = if by_ports { Direction::Egress } else { partition.direction };
    let mut text = match direction {
        Direction::Both => "No packet passes between the two ends, on connections old and new. Every other link is as before.",
        Direction::Egress => "No packet of the targets reaches the peers. Chaos Mesh drops packets and not connections, so those that the peers open to them fail as well.",
        Direction::Ingress => "No packet of the peers reaches the targets. Chaos Mesh drops packets and not connections, so those that the targets open to them fail as well.",
    }
    .to_owned();
    for note in found.notes.iter().filter(|note| !note.contains("answers")) {
        text.push_str(&format!(" Note: {note}."));
    }
    let (ends, far, follow): (Ends, _, bool) = (found.ends.clone(), found.ends.pods, partition.follow);
    let effect = wanted(partition.prove);
    let make: Make = Arc::new(move |targets| spec::partition(&pods(targets), &ends, direction));
    Ok(Deed { make, text, peers: found.described, far, follow, effect })
}
