//! Planning partitions: all of a scenario's together, because those that share a target share its policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Engine, Partition, Phase, Prove};

use super::faults::{Planned, record};
use super::peers::{Found, Reader, peer_namespace};
use super::{Options, PlanError};
use shakedown_cluster::{Cluster, ClusterError, Network};
use shakedown_faults::FaultPlan;
use shakedown_faults::effect::Wanted;
use shakedown_faults::enforcement::Enforcement;
use shakedown_faults::partition::{NetworkPolicyPartition, Scheme, Switch, watch};
use shakedown_faults::witness::{self, Witness};
use shakedown_policy::{self as policy, Block};

/// One partition of the scenario, with its targets found.
#[derive(Clone)]
pub(super) struct Wish<'a> {
    pub name: &'a str,
    pub phase: usize,
    pub partition: &'a Partition,
    pub targets: Vec<PodRef>,
}

/// When it stands, in its phase.
struct Stretch {
    phase: usize,
    begin: Duration,
    end: Duration,
}

impl Stretch {
    fn new(wish: &Wish<'_>, phases: &[Phase]) -> Self {
        let begin = wish.partition.after.unwrap_or_default().get();
        let whole = phases[wish.phase].duration.get().max(begin + Duration::from_nanos(1));
        let end = wish.partition.lasts.map_or(whole, |lasts| begin + lasts.get());
        Self { phase: wish.phase, begin, end }
    }

    fn holds(&self, phase: usize, at: Duration) -> bool {
        self.phase == phase && self.begin <= at && at < self.end
    }
}

/// Why partitions cannot be planned.
pub(super) enum Refusal {
    /// NetworkPolicy cannot do this one: its place, why, and the whole error.
    Unable(usize, String, PlanError),
    /// Anything else.
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

/// Plans all partitions of a scenario that NetworkPolicies are to do, in the order in which they are given.
pub(super) async fn plan(
    wishes: Vec<Wish<'_>>,
    phases: &[Phase],
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
) -> Result<Vec<Planned>, Refusal> {
    if let Some(known) = options.proof.enforcement.as_ref().filter(|known| !known.enforced)
        && let Some((at, wish)) = wishes.iter().enumerate().find(|(_, wish)| wish.partition.prove != Prove::Applied)
    {
        let why = known.sentence();
        let error = PlanError::Scenario(format!(
            "fault `{}`: the policy would do nothing, because {why}\nhelp: a network plugin such as Calico or Cilium enforces \
             policies; `shakedown doctor` looks again after a change; Chaos Mesh's partition needs no plugin",
            wish.name
        ));
        return Err(Refusal::Unable(at, why, error));
    }
    let place = |wish: &Wish<'_>| wish.partition.pods.namespace.as_deref().unwrap_or(namespace).to_owned();
    let mut wanted: BTreeSet<String> = wishes.iter().map(place).collect();
    let peers = wishes.iter().flat_map(|wish| &wish.partition.from);
    wanted.extend(peers.map(|peer| peer_namespace(peer, namespace)));
    let network = cluster.network(&wanted).await?;
    let mut found = Found::default();
    let mut parts = Vec::new();
    for (at, wish) in wishes.iter().enumerate() {
        let reader = Reader { wish, at, cluster, namespace, options, network: &network };
        parts.push(reader.part(place(wish), &mut found).await?);
    }
    let other_ports = match cluster.version() {
        // `endPort` came with 1.21 (off) and is on from 1.22; an older server drops it without a word.
        Some(version) if version < (1, 22) => policy::OtherPorts::Declared,
        _ => policy::OtherPorts::Ranges,
    };
    let Network { cluster: pods, pod_cidrs, nodes, .. } = network;
    let scheme = Scheme::new(&options.run, options.serial, parts, (pods, pod_cidrs, nodes), other_ports);
    let stretches: Vec<Stretch> = wishes.iter().map(|wish| Stretch::new(wish, phases)).collect();
    let mut planned = Vec::new();
    for (at, wish) in wishes.iter().enumerate() {
        let namespaces = vec![place(wish)];
        planned.push(fault_plan(wish, at, &scheme, &stretches, namespaces)?);
    }
    let witnesses = wishes
        .iter()
        .enumerate()
        .map(|(at, wish)| witness(wish, at, &scheme, &found, cluster, options))
        .collect::<Result<Vec<_>, _>>()?;
    let switch = Switch::new(cluster.clone(), scheme);
    // From now on: a target that is replaced before its fault begins is followed, or an error then.
    let watching = Arc::new(watch(switch.clone(), found.marked, found.listed));
    let mut made: Vec<Planned> = Vec::new();
    let leaves_open = options.proof.enforcement.as_ref().and_then(Enforcement::leaves_open);
    for (at, ((wish, mut plan), (witness, effect))) in wishes.into_iter().zip(planned).zip(witnesses).enumerate() {
        plan.effect = effect;
        if let Some(why) = &leaves_open {
            plan.description.push_str(&format!(" Note: {why}, so those go on."));
        }
        if wish.partition.engine == Engine::Auto {
            plan.description.push_str(" By NetworkPolicy, which can cut exactly this.");
        }
        if let Some(witness) = &witness {
            plan.objects.push(witness.record());
        }
        let demanded = wish.partition.prove == Prove::Witness;
        let driver = NetworkPolicyPartition::new(switch.clone(), at, wish.targets, witness, demanded, watching.clone());
        made.push((plan, Box::new(driver)));
    }
    Ok(made)
}

/// What a partition does, checked in every state of the timeline in which it stands.
fn fault_plan(
    wish: &Wish<'_>,
    at: usize,
    scheme: &Scheme,
    stretches: &[Stretch],
    namespaces: Vec<String>,
) -> Result<FaultPlan, Refusal> {
    let refused = |error: String| PlanError::Scenario(format!("fault `{}`: {error}", wish.name));
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
        for (cut, built) in scheme.cuts(at, state).map_err(|error| refused(error.to_string()))? {
            // Policies that stand already decide whether ours can work at all.
            let conflicts: Vec<String> = scheme.conflicts(&cut, &built).iter().map(ToString::to_string).collect();
            if !conflicts.is_empty() {
                let why = conflicts.join("; ");
                return Err(Refusal::Unable(at, first_line(&why), refused(why)));
            }
            limits.extend(built.limits.iter().map(ToString::to_string));
        }
    }
    let at_first: BTreeSet<usize> =
        (0..stretches.len()).filter(|other| stretches[*other].holds(own.phase, own.begin)).collect();
    let nobody = (BTreeSet::new(), BTreeMap::new());
    let desired = scheme.desired(&at_first, &nobody.0, &nobody.1).map_err(|error| refused(error.to_string()))?;
    let keys: Vec<_> = scheme.groups_of(at).map(|group| scheme.policy_key(group)).collect();
    let only = scheme.desired(&alone, &nobody.0, &nobody.1).map_err(|error| refused(error.to_string()))?;
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
        name: wish.name.to_owned(),
        phase: wish.phase,
        kind: "partition",
        engine: "network-policy",
        description,
        targets: wish.targets.clone(),
        peers: part.blocks.iter().map(peer_text).collect(),
        objects: keys.iter().filter_map(|key| desired.policies.get(key)).map(record).collect(),
        marks: only
            .marks
            .iter()
            .map(|mark| format!("label  {} with {}={}", mark.object, mark.label, mark.value))
            .collect(),
        namespaces,
        after: own.begin,
        lasts: wish.partition.lasts.map(|lasts| lasts.get()),
        effect: Wanted::Applied,
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn peer_text(block: &Block) -> String {
    if block.ports.is_all() { block.described.clone() } else { format!("{}, ports {}", block.described, block.ports) }
}

fn shares(scheme: &Scheme, one: usize, other: usize) -> bool {
    scheme.groups_of(one).any(|group| scheme.parts_of(group).contains(&other))
}

/// The witness of a partition, where there is to be one, and what has to show that it acts.
fn witness(
    wish: &Wish<'_>,
    at: usize,
    scheme: &Scheme,
    found: &Found,
    cluster: &Cluster,
    options: &Options,
) -> Result<(Option<Witness>, Wanted), PlanError> {
    let prove = wish.partition.prove;
    let enforced = options.proof.enforcement.as_ref().map(Enforcement::sentence);
    let endpoints = found.endpoints.get(&at).cloned().unwrap_or_default();
    let group = wish.targets.first().and_then(|pod| Some((pod, scheme.group_of(&pod.namespace, &pod.name)?)));
    let missing = match (&options.proof.image, group) {
        _ if !wish.partition.direction.has_egress() => {
            "this partition cuts only what the peers open, and a witness cannot speak for them".to_owned()
        }
        (None, _) => "no image for it is known (--witness-image)".to_owned(),
        (_, None) => "there is no target beside which it could run".to_owned(),
        _ if endpoints.is_empty() => {
            "no port of the peers is known that it could try: name some in `ports`, or declare them in the pods"
                .to_owned()
        }
        (Some(image), Some((beside, group))) => {
            let order = witness::Order {
                run: &options.run,
                serial: options.serial,
                part: at,
                fault: wish.name,
                label: scheme.label(group),
                beside,
                endpoints,
                image,
            };
            let auto = Wanted::Auto { enforced, no_witness: None };
            return Ok(match prove {
                Prove::Auto => (Some(Witness::new(cluster.clone(), order)), auto),
                Prove::Witness => (Some(Witness::new(cluster.clone(), order)), Wanted::Witness),
                Prove::Traffic => (None, Wanted::Traffic),
                Prove::Applied => (None, Wanted::Applied),
            });
        }
    };
    match prove {
        Prove::Auto => Ok((None, Wanted::Auto { enforced, no_witness: Some(missing) })),
        Prove::Traffic => Ok((None, Wanted::Traffic)),
        Prove::Applied => Ok((None, Wanted::Applied)),
        Prove::Witness => {
            Err(PlanError::Scenario(format!("fault `{}`: there can be no witness: {missing}", wish.name)))
        }
    }
}
