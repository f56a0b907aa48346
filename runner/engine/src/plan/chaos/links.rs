//! Plans faults on links: degradations, and partitions by Chaos Mesh.

use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::scenario::{Direction, Netem, Partition, Prove};

use super::draft::Draft;
use super::ends;
use super::network::check_targets;
use crate::plan::error::PlanError;
use crate::plan::request::ChaosRequest;
use shakedown_cluster::Cluster;
use shakedown_faults::chaos::Recipe;
use shakedown_faults::chaos::spec::Inside;
use shakedown_faults::effect::RequiredProof;

/// The length of the queue, in packets, that Chaos Mesh uses for a delay. It is fixed.
const QUEUE: u32 = 1000;
/// Below this number of packets per second, the plan mentions that queue.
const MANY: f64 = 10_000.0;
/// Below this loss, the sender's kernel compensates part of it.
const SMALL_LOSS: f64 = 0.05;

/// The required proof: Chaos Mesh's status, unless the scenario requires traffic.
pub(super) const fn required_proof(prove: Prove) -> RequiredProof {
    match prove {
        Prove::Traffic | Prove::Strict => RequiredProof::Traffic,
        Prove::Auto | Prove::Witness | Prove::Applied => RequiredProof::Applied,
    }
}

pub(super) async fn netem(
    request: &ChaosRequest<'_>,
    netem: Netem,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
    namespace: &str,
) -> Result<Draft, PlanError> {
    check_targets(request, targets)?;
    let effect = required_proof(netem.prove);
    let what = qualities(&netem);
    let follow = netem.follow;
    if netem.to.is_empty() {
        let text = format!(
            "Of everything that the targets send, {what}. Packets that they receive are unchanged.{}",
            caveats(&netem)
        );
        let recipe = Recipe::Netem { netem: Box::new(netem), ends: None, direction: Direction::Egress };
        return Ok(Draft { recipe, text, peers: vec!["all destinations".to_owned()], far: Vec::new(), follow, effect });
    }
    let reader = ends::Reader { fault: request.name, cluster, namespace, targets: &request.targets };
    let found = reader.ends(&netem.to).await?;
    // Packets are shaped where they are sent, and ports select only packets to the peers.
    let by_default = if found.one_way { Direction::Egress } else { Direction::Both };
    let direction = netem.direction.unwrap_or(by_default);
    if direction.has_ingress() && found.ends.pods.is_empty() {
        return Err(PlanError::fault(
            request.name,
            Explained::new(
                "no peer is a pod of this cluster, and packets are shaped where they are sent",
                "write `direction: egress`",
            ),
        ));
    }
    let way = match direction {
        Direction::Egress => "Of what the targets send to the peers",
        Direction::Ingress => "Of what the peers send to the targets",
        Direction::Both => "Of what the targets and the peers send to each other, each way",
    };
    let mut text = format!("{way}, {what}. Every other link is unchanged.");
    let more = netem.delay.is_some() || netem.loss.or(netem.duplicate).or(netem.corrupt).is_some();
    if netem.bandwidth.is_some() && more {
        text.push_str(
            " Up to 1000 packets wait in the queue that Chaos Mesh uses for a bandwidth with other settings.",
        );
    }
    text.push_str(&caveats(&netem));
    for note in found.notes.iter().chain(&found.notes_back) {
        text.push_str(&format!(" Note: {note}."));
    }
    let far = found.ends.pods.clone();
    let recipe = Recipe::Netem { netem: Box::new(netem), ends: Some(found.ends), direction };
    Ok(Draft { recipe, text, peers: found.described, far, follow, effect })
}

/// Unexpected effects of the tools that Chaos Mesh uses.
fn caveats(netem: &Netem) -> String {
    let mut text = String::new();
    let longest = netem.delay.unwrap_or_default().get() + netem.jitter.unwrap_or_default().get();
    let rate = f64::from(QUEUE) / longest.max(Duration::from_nanos(1)).as_secs_f64();
    if rate <= MANY {
        text.push_str(&format!(" Packets beyond {rate:.0} per second are lost: the queue holds {QUEUE}."));
    }
    if netem.loss.is_some_and(|loss| loss.fraction() < SMALL_LOSS) {
        text.push_str(
            " Part of a loss below 5% has no effect: the sender's kernel retransmits some of these packets itself.",
        );
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

pub(super) async fn partition(
    request: &ChaosRequest<'_>,
    partition: Partition,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
    namespace: &str,
) -> Result<Draft, PlanError> {
    check_targets(request, targets)?;
    let reader = ends::Reader { fault: request.name, cluster, namespace, targets: &request.targets };
    let found = reader.ends(&partition.from).await?;
    // With ports, only packets to them can be selected. That is enough: a packet that never arrives gets no answer.
    let by_ports = partition.from.iter().any(|peer| !peer.ports.is_empty());
    let direction = if by_ports { Direction::Egress } else { partition.direction };
    let mut text = match direction {
        Direction::Both => "No packet passes between the two ends, on established and new connections. Every other link is \
         unchanged.",
        Direction::Egress => "No packet of the targets reaches the peers. Chaos Mesh drops packets and not connections, so those that the peers open to them fail as well.",
        Direction::Ingress => "No packet of the peers reaches the targets. Chaos Mesh drops packets and not connections, so those that the targets open to them fail as well.",
    }
    .to_owned();
    for note in &found.notes {
        text.push_str(&format!(" Note: {note}."));
    }
    let (far, follow, effect) = (found.ends.pods.clone(), partition.follow, required_proof(partition.prove));
    let recipe = Recipe::Partition { ends: found.ends, direction };
    Ok(Draft { recipe, text, peers: found.described, far, follow, effect })
}
