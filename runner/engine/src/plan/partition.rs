//! Plans all partitions of a scenario together, because partitions with a common target share its policy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shakedown_schemas::Explained;
use shakedown_schemas::result::ObjectRecord;
use shakedown_schemas::scenario::{Engine, Phase, Prove};

use super::error::PlanError;
use super::options::Options;
use super::peers::{Found, Reader, peer_namespace};
use super::request::CutRequest;
use super::spec::{Action, Planned};
use shakedown_cluster::{Cluster, ClusterError, Network, size};
use shakedown_faults::FaultPlan;
use shakedown_faults::effect::RequiredProof;
use shakedown_faults::enforcement::Enforcement;
use shakedown_faults::partition::{PartitionSpec, PartitionsSpec, Scheme};
use shakedown_faults::witness::{WitnessRequest, WitnessSpec};
use shakedown_policy::{self as policy, Block};

/// The time in which a partition acts, within its phase.
struct Stretch {
    phase: usize,
    begin: Duration,
    end: Duration,
}

impl Stretch {
    fn new(request: &CutRequest<'_>, phases: &[Phase]) -> Self {
        let begin = request.partition.after.unwrap_or_default().get();
        let whole = phases[request.phase].duration.get().max(begin + Duration::from_nanos(1));
        let end = request.partition.lasts.map_or(whole, |lasts| begin + lasts.get());
        Self { phase: request.phase, begin, end }
    }

    fn holds(&self, phase: usize, at: Duration) -> bool {
        self.phase == phase && self.begin <= at && at < self.end
    }
}

/// Why partitions cannot be planned.
pub(super) enum Refusal {
    /// NetworkPolicy cannot make this partition: its index, the reason, and the complete error.
    Unable(usize, String, PlanError),
    /// Any other error.
    Other(PlanError),
}

impl From<PlanError> for Refusal {
    fn from(error: PlanError) -> Self {
        Self::Other(error)
    }
}

impl From<ClusterError> for Refusal {
    fn from(error: ClusterError) -> Self {
        Self::Other(error.into())
    }
}

/// Plans all partitions by NetworkPolicy, each with the number of its request.
pub(super) async fn plan(
    requests: &[CutRequest<'_>],
    phases: &[Phase],
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
) -> Result<(PartitionsSpec, Vec<(usize, Planned)>), Refusal> {
    if let Some(known) = options.proof.enforcement.as_ref().filter(|known| !known.enforced)
        && let Some((at, request)) =
            requests.iter().enumerate().find(|(_, request)| request.partition.prove != Prove::Applied)
    {
        let why = known.sentence();
        let help = "a network plugin such as Calico or Cilium enforces policies; `shakedown doctor` looks again after a change; \
                    Chaos Mesh's partition needs no plugin";
        let explained = Explained::new(format!("the policy would do nothing, because {why}"), help);
        let error = PlanError::fault(request.name, explained);
        return Err(Refusal::Unable(at, why, error));
    }
    let place = |request: &CutRequest<'_>| request.partition.pods.namespace.as_deref().unwrap_or(namespace).to_owned();
    let targets: BTreeSet<String> = requests.iter().map(place).collect();
    let peers = requests.iter().flat_map(|request| &request.partition.from);
    // Addresses are in no namespace.
    let peers = peers.filter(|peer| peer.service.is_some() || peer.pods.is_some());
    let peers = peers.map(|peer| peer_namespace(peer, namespace));
    let all: BTreeSet<String> = targets.iter().cloned().chain(peers).collect();
    let network = cluster.network(&targets, &all).await?;
    let unevaluated = cluster.unevaluated_policies(&all).await?.note();
    let mut found = Found::default();
    let mut parts = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let reader = Reader { request, at, cluster, namespace, options, network: &network };
        parts.push(reader.part(place(request), &mut found).await?);
    }
    let other_ports = match cluster.version() {
        // `endPort` was added in 1.21 (off by default) and is on since 1.22. An older server drops it silently.
        Some(version) if version < (1, 22) => policy::OtherPorts::Declared,
        _ => policy::OtherPorts::Ranges,
    };
    let Network { cluster: pods, pod_cidrs, nodes, .. } = network;
    let scheme = Scheme::new(&options.run, options.serial, parts, (pods, pod_cidrs, nodes), other_ports);
    let stretches: Vec<Stretch> = requests.iter().map(|request| Stretch::new(request, phases)).collect();
    let leaves_open = options.proof.enforcement.as_ref().and_then(Enforcement::leaves_open);
    let mut made = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let mut plan = fault_plan(request, at, &scheme, &stretches, vec![place(request)])?;
        let prove = match request.partition.prove {
            // A policy in place proves nothing if another one may overrule it.
            Prove::Applied if unevaluated.is_some() => Prove::Auto,
            prove => prove,
        };
        let (witness, effect) = witness(request, at, &scheme, &found, options, prove)?;
        plan.effect = effect;
        for note in found.notes.get(&at).into_iter().flatten() {
            plan.description.push_str(&format!(" Note: {note}."));
        }
        if let Some(note) = &unevaluated {
            plan.description.push_str(&format!(" Note: {note}."));
        }
        if let Some(why) = &leaves_open {
            plan.description.push_str(&format!(" Note: {why}, so those continue."));
        }
        if request.partition.engine == Engine::Auto {
            plan.description.push_str(" By NetworkPolicy, which can cut exactly these links.");
        }
        if let Some(witness) = &witness {
            plan.objects.push(ObjectRecord::from(&witness.manifest));
        }
        let witness_demanded = request.partition.prove == Prove::Witness;
        let action = Action::NetworkPolicy(PartitionSpec { part: at, witness, witness_demanded });
        made.push((request.number, (plan, action)));
    }
    Ok((PartitionsSpec { scheme, marked: found.marked, listed: found.listed }, made))
}

/// The plan of a partition, checked for every set of partitions that act at the same time.
fn fault_plan(
    request: &CutRequest<'_>,
    at: usize,
    scheme: &Scheme,
    stretches: &[Stretch],
    namespaces: Vec<String>,
) -> Result<FaultPlan, Refusal> {
    let refused = |why: Explained| PlanError::fault(request.name, why);
    let own = &stretches[at];
    let mut states: Vec<BTreeSet<usize>> = Vec::new();
    for moment in stretches.iter().filter(|it| own.holds(it.phase, it.begin)).map(|it| it.begin) {
        let state: BTreeSet<usize> =
            (0..stretches.len()).filter(|other| stretches[*other].holds(own.phase, moment)).collect();
        if !states.contains(&state) {
            states.push(state);
        }
    }
    let alone = BTreeSet::from([at]);
    let mut limits = BTreeSet::new();
    for state in states.iter().chain([&alone]) {
        for (cut, built) in scheme.cuts(at, state).map_err(|error| refused(error.to_string().into()))? {
            // Existing policies may prevent ours from having an effect.
            let conflicts: Vec<String> = scheme.conflicts(&cut, &built).iter().map(ToString::to_string).collect();
            if !conflicts.is_empty() {
                let why = conflicts.join("; ");
                return Err(Refusal::Unable(at, why.clone(), refused(why.into())));
            }
            if let Some(why) = size::too_large("the NetworkPolicy", &built.spec) {
                return Err(Refusal::Unable(at, why.clone(), refused(Explained::new(why, size::HELP))));
            }
            limits.extend(built.limits.iter().map(ToString::to_string));
        }
    }
    let at_first: BTreeSet<usize> =
        (0..stretches.len()).filter(|other| stretches[*other].holds(own.phase, own.begin)).collect();
    let none = (BTreeSet::new(), BTreeMap::new());
    let desired = scheme.desired(&at_first, &none.0, &none.1).map_err(|error| refused(error.to_string().into()))?;
    let keys: Vec<_> = scheme.groups_of(at).map(|group| scheme.policy_key(group)).collect();
    let only = scheme.desired(&alone, &none.0, &none.1).map_err(|error| refused(error.to_string().into()))?;
    let part = &scheme.parts()[at];
    let mut description = scheme.explain(at);
    let mut together: Vec<&str> = states
        .iter()
        .flatten()
        .filter(|other| **other != at && shares(scheme, at, **other))
        .map(|other| scheme.parts()[*other].name.as_str())
        .collect();
    together.sort_unstable();
    together.dedup();
    if !together.is_empty() {
        let names = together.join(", ");
        description.push_str(&format!(" Pods that {names} acts on at the same time have one policy for all of it."));
    }
    for limit in limits {
        description.push_str(&format!(" Note: {limit}."));
    }
    Ok(FaultPlan {
        name: request.name.to_owned(),
        phase: request.phase,
        kind: "partition",
        engine: "network-policy",
        description,
        targets: request.targets.clone(),
        peers: part.blocks.iter().map(peer_text).collect(),
        objects: keys.iter().filter_map(|key| desired.policies.get(key)).map(ObjectRecord::from).collect(),
        marks: only
            .marks
            .iter()
            .map(|mark| format!("label  {} with {}={}", mark.object, mark.label, mark.value))
            .collect(),
        namespaces,
        after: own.begin,
        lasts: request.partition.lasts.map(|lasts| lasts.get()),
        effect: RequiredProof::Applied,
    })
}

fn peer_text(block: &Block) -> String {
    if block.ports.is_all() { block.described.clone() } else { format!("{}, ports {}", block.described, block.ports) }
}

fn shares(scheme: &Scheme, one: usize, other: usize) -> bool {
    scheme.groups_of(one).any(|group| scheme.parts_of(group).contains(&other))
}

/// The witness of a partition, if any, and the required proof that it acts.
fn witness(
    request: &CutRequest<'_>,
    at: usize,
    scheme: &Scheme,
    found: &Found,
    options: &Options,
    prove: Prove,
) -> Result<(Option<WitnessSpec>, RequiredProof), PlanError> {
    let endpoints = found.endpoints.get(&at).cloned().unwrap_or_default();
    let group = request.targets.first().and_then(|pod| Some((pod, scheme.group_of(&pod.namespace, &pod.name)?)));
    let missing = match (&options.proof.image, group) {
        _ if !request.partition.direction.has_egress() => {
            "this partition cuts only connections that the peers open, and a witness cannot test those".to_owned()
        }
        (None, _) => "no image for it is known (--witness-image)".to_owned(),
        (_, None) => "no target has a node on which it could run".to_owned(),
        _ if endpoints.is_empty() => {
            "it knows no port of the peers: name ports in `ports`, or declare them in the pods".to_owned()
        }
        (Some(image), Some((near, group))) => {
            let witness = WitnessRequest {
                run: &options.run,
                serial: options.serial,
                part: at,
                fault: request.name,
                label: scheme.label(group),
                near,
                endpoints,
                image,
            };
            let auto = RequiredProof::Auto { no_witness: None };
            return Ok(match prove {
                Prove::Auto | Prove::Strict => (Some(WitnessSpec::new(witness)), auto),
                Prove::Witness => (Some(WitnessSpec::new(witness)), RequiredProof::Witness),
                Prove::Traffic => (None, RequiredProof::Traffic),
                Prove::Applied => (None, RequiredProof::Applied),
            });
        }
    };
    match prove {
        Prove::Auto | Prove::Strict => Ok((None, RequiredProof::Auto { no_witness: Some(missing) })),
        Prove::Traffic => Ok((None, RequiredProof::Traffic)),
        Prove::Applied => Ok((None, RequiredProof::Applied)),
        Prove::Witness => Err(PlanError::fault(request.name, format!("there can be no witness: {missing}"))),
    }
}

#[cfg(test)]
mod tests;
