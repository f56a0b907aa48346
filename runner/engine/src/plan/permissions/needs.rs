//! Sorts the permissions of one scenario by their importance.

use std::collections::{BTreeMap, BTreeSet};

use shakedown_schemas::Document;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Access, Engine, Fault, Manifest, Means, Peer, PodSelector, PodsRead, Prove, Reach};

use crate::plan::options::Options;
use crate::plan::own_namespace;
use crate::plan::peers::peer_namespace;
use crate::plan::spec::{Action, FaultSpec, Plan, Route};
use shakedown_cluster::permissions::{self, CHAOS_PEERS, FUSE, LOCK, Names, Need, Needs, On, POLICIES, USAGE_METRICS};
use shakedown_cluster::{CHAOS_GROUP, Kind, ObjectKey, owner_plural, parse_service};
use shakedown_faults::ByKubernetes;
use shakedown_faults::manifest::{Check, kinds_of_dependants};
use shakedown_faults::partition::PartitionsSpec;
use shakedown_guard::lock;

const ENDPOINTS: On = ("", "endpoints", &["get"]);
/// The verbs of a watch, which lists first.
const WATCH: &[&str] = &["list", "watch"];

/// The permissions of one scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// Required: without one of these, the scenario cannot run.
    pub certain: Needs,
    /// Possibly required, which only the plan decides: the engine of a partition, or the route of a load. If planning fails
    /// at a missing permission, they are checked as well, so that one error names all.
    pub possible: Needs,
    /// For witnesses that the scenario does not require.
    pub witness: Needs,
    /// Optional: without these, the run does less and warns. The Roles contain them, but they are not checked.
    pub optional: Needs,
}

/// The importance of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Certain,
    Possible,
    Witness,
    Optional,
}

impl How {
    /// Certain, possible, or not needed at all.
    fn of(is_certain: bool, is_open: bool) -> Option<Self> {
        match (is_certain, is_open) {
            (true, _) => Some(Self::Certain),
            (_, true) => Some(Self::Possible),
            _ => None,
        }
    }
}

impl Sorted {
    fn add(&mut self, how: How, namespace: &str, on: &On, names: &Names) {
        for access in permissions::expand(on) {
            self.add_one(how, namespace, access, names);
        }
    }

    fn add_one(&mut self, how: How, namespace: &str, access: Access, names: &Names) {
        let place = match how {
            How::Certain => &mut self.certain,
            How::Possible => &mut self.possible,
            How::Witness => &mut self.witness,
            How::Optional => &mut self.optional,
        };
        let need = Need { namespace: namespace.to_owned(), access };
        place.entry(need).and_modify(|there| there.add(names)).or_insert_with(|| names.clone());
    }

    /// Any object of a kind.
    fn any(&mut self, how: How, namespace: &str, on: &On) {
        self.add(how, namespace, on, &Names::Any);
    }

    /// Treats possible needs as certain.
    pub(super) fn believe_possible(&mut self) {
        for (need, names) in std::mem::take(&mut self.possible) {
            self.add_one(How::Certain, &need.namespace, need.access, &names);
        }
        self.witness.retain(|need, _| !self.certain.contains_key(need));
    }
}

/// Kinds by API version and name, each with whether its objects belong to namespaces.
pub(super) type Kinds = BTreeMap<(String, String), (Kind, bool)>;

/// A scenario, with its plan if it is known.
pub(super) struct Scenario<'a> {
    pub document: &'a Document,
    /// The default namespace of selectors.
    pub namespace: &'a str,
    pub options: &'a Options,
    pub plan: Option<&'a Plan>,
    /// The kinds of its manifests, if there is no plan.
    pub kinds: &'a Kinds,
}

impl Scenario<'_> {
    /// All its needs. With a plan, none is merely possible.
    pub(super) fn needs(&self) -> Sorted {
        let mut needs = Sorted::default();
        self.loads(&mut needs);
        let phases = &self.document.scenario.phases;
        for (name, fault) in phases.iter().flat_map(|phase| &phase.faults) {
            let spec = self.plan.and_then(|plan| plan.fault(name));
            let shared = self.plan.and_then(|plan| plan.partitions.as_ref());
            FaultNeeds { fault, scenario: self, spec, shared }.add_to(&mut needs);
        }
        self.expectations(&mut needs);
        self.diagnostics(&mut needs);
        self.canary(&mut needs);
        let Sorted { certain, possible, witness, .. } = &mut needs;
        possible.retain(|need, _| !certain.contains_key(need));
        witness.retain(|need, _| !certain.contains_key(need));
        needs
    }

    fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.document.scenario.phases.iter().flat_map(|phase| phase.faults.values())
    }

    fn loads(&self, needs: &mut Sorted) {
        for (name, load) in &self.document.scenario.load {
            let service = load.service().map(|service| parse_service(service, self.namespace));
            let Some(Ok(service)) = service else { continue };
            let route = self.plan.and_then(|plan| plan.load(name));
            let route = route.map(|spec| &spec.route);
            let forwarded = match route {
                Some(route) => matches!(route, Route::PortForward { .. }),
                None => load.reach() == Reach::PortForward,
            };
            let is_open = route.is_none();
            let (namespace, this) = (&service.namespace, Names::only([service.name]));
            needs.add(How::Certain, namespace, &("", "services", &["get"]), &this);
            if let Some(how) = How::of(forwarded || matches!(route, Some(Route::Endpoints { .. })), is_open) {
                needs.add(how, namespace, &ENDPOINTS, &this);
            }
            if let Some(how) = How::of(forwarded, is_open && load.reach() == Reach::Auto) {
                needs.any(how, namespace, &("", "pods/portforward", &["create"]));
            }
        }
    }

    fn expectations(&self, needs: &mut Sorted) {
        for expectation in self.document.scenario.phases.iter().flat_map(|phase| &phase.expect) {
            let Some(PodsRead { select, logs }) = expectation.pods() else { continue };
            let pods: Vec<&PodSelector> = match select {
                Some(select) => vec![select],
                None => self.faults().filter_map(Fault::pods).collect(),
            };
            for pods in pods {
                selected(needs, How::Certain, pods, self.namespace);
                if logs {
                    needs.any(How::Certain, place(pods, self.namespace), &("", "pods/log", &["get"]));
                }
            }
        }
    }

    /// The reads of the report's diagnostics, and of the reasons why a fuse cannot be lit.
    fn diagnostics(&self, needs: &mut Sorted) {
        let mut namespaces: BTreeSet<&str> = self.faults().map(|fault| own_namespace(fault, self.namespace)).collect();
        namespaces.insert(self.namespace);
        for namespace in namespaces.into_iter().filter(|it| !it.is_empty()) {
            needs.any(How::Optional, namespace, &("", "pods", WATCH));
            needs.any(How::Optional, namespace, &("", "services", &["list"]));
            needs.any(How::Optional, namespace, &("", "events", &["list"]));
        }
        for pods in self.faults().filter_map(Fault::pods) {
            needs.any(How::Optional, place(pods, self.namespace), &("", "pods", &["get"]));
            needs.any(How::Optional, place(pods, self.namespace), &("", "pods/log", &["get"]));
        }
    }

    /// The canaries, which test before the load whether the cluster enforces policies, and whether Chaos Mesh can inject the
    /// faults on the nodes.
    fn canary(&self, needs: &mut Sorted) {
        let proof = &self.options.proof;
        if proof.canary.is_none() || self.faults().next().is_none() {
            return;
        }
        for trial in self.plan.iter().flat_map(|plan| &plan.canaries) {
            needs.any(How::Optional, &trial.namespace, &FUSE);
            needs.any(How::Optional, &trial.namespace, &("", "pods", &["get", "create", "delete"]));
            let plural = trial.recipe.kind().plural();
            needs.any(How::Optional, &trial.namespace, &(CHAOS_GROUP, plural, &["get", "create", "patch", "delete"]));
        }
        if proof.enforcement.is_some() {
            return;
        }
        needs.any(How::Optional, self.namespace, &FUSE);
        needs.any(How::Optional, self.namespace, &("", "pods", &["get", "create", "delete"]));
        needs.any(How::Optional, self.namespace, &("", "pods/log", &["get"]));
        let (group, resource, _) = POLICIES;
        needs.any(How::Optional, self.namespace, &(group, resource, &["get", "create", "delete"]));
    }
}

/// The namespace of a selector's pods.
fn place<'a>(pods: &'a PodSelector, default: &'a str) -> &'a str {
    pods.namespace.as_deref().unwrap_or(default)
}

/// The reads that find the pods of a selector. Planning refuses other kinds of owners.
fn selected(needs: &mut Sorted, how: How, pods: &PodSelector, default: &str) {
    let namespace = place(pods, default);
    needs.any(how, namespace, &("", "pods", &["list"]));
    let Some(owner) = pods.owner.as_deref() else { return };
    let Some(plural) = owner_plural(owner) else { return };
    let name = owner.split_once('/').map_or(owner, |(_, name)| name);
    needs.add(how, namespace, &("apps", plural, &["get"]), &Names::only([name]));
    if plural == "deployments" {
        needs.any(how, namespace, &("apps", "replicasets", &["list"]));
    }
}

/// The kinds that a manifest names, by API version and name: of its object, and of its conditions.
pub(super) fn kinds_of(manifest: &Manifest) -> Vec<(String, String)> {
    let of = |field: &str| manifest.object.get(field).and_then(|it| it.as_str()).unwrap_or_default().to_owned();
    let conditions = manifest.active_when.iter().chain(&manifest.gone_when).filter_map(|it| it.of.as_ref());
    let others = conditions.map(|of| (of.api_version.clone(), of.kind.clone()));
    std::iter::once((of("apiVersion"), of("kind"))).chain(others).collect()
}

/// One fault, with its plan if there is one.
struct FaultNeeds<'a> {
    fault: &'a Fault,
    scenario: &'a Scenario<'a>,
    spec: Option<&'a FaultSpec>,
    /// The shared data of the plan's partitions by NetworkPolicy.
    shared: Option<&'a PartitionsSpec>,
}

impl FaultNeeds<'_> {
    fn own(&self) -> &str {
        own_namespace(self.fault, self.scenario.namespace)
    }

    /// The names of the targets. Any name if they are unknown or may be replaced.
    fn targets(&self) -> Names {
        match self.spec {
            Some(spec) if !self.fault.follow() => Names::only(spec.plan.targets.iter().map(|pod: &PodRef| &pod.name)),
            _ => Names::Any,
        }
    }

    /// The names of the planned objects of a kind. Any name if they are unknown or more may be created.
    fn objects(&self, kind: &str) -> Names {
        match self.spec {
            Some(spec) if !self.fault.follow() => {
                Names::only(spec.plan.objects.iter().filter(|it| it.kind == kind).map(|it| &it.name))
            }
            _ => Names::Any,
        }
    }

    fn add_to(&self, needs: &mut Sorted) {
        let own = self.own();
        if let Some(pods) = self.fault.pods() {
            let (namespace, default) = (place(pods, self.scenario.namespace), self.scenario.namespace);
            selected(needs, How::Certain, pods, default);
            needs.add(How::Certain, namespace, &("", "pods", &["get"]), &self.targets());
            // The pods of a Deployment are counted together, and their replacements are recognised.
            needs.any(How::Optional, namespace, &("apps", "replicasets", &["get", "list"]));
        }
        needs.add(How::Certain, own, &LOCK, &Names::only([lock::NAME]));
        if self.scenario.options.fuse.is_some() {
            needs.add(How::Certain, own, &FUSE, &self.fuse());
        }
        match self.fault {
            Fault::Partition(partition) => {
                let action = self.spec.map(|spec| &spec.action);
                let (policy, chaos) = match (action, partition.engine) {
                    (Some(Action::NetworkPolicy(_)), _) | (None, Engine::NetworkPolicy) => (true, false),
                    (Some(_), _) | (None, Engine::ChaosMesh) => (false, true),
                    (None, Engine::Auto) => (false, false),
                };
                let is_open = !policy && !chaos;
                if let Some(how) = How::of(policy, is_open) {
                    self.by_policy(needs, how, &partition.from);
                    self.witness(needs, how, partition.prove);
                }
                if let Some(how) = How::of(chaos, is_open) {
                    self.by_chaos_mesh(needs, how, &partition.from);
                }
            }
            Fault::Manifest(it) => self.by_manifest(needs, it),
            // Only one engine supports it. Its kind lists the permissions.
            fault => {
                self.by_kubernetes(needs);
                self.by_chaos_mesh(needs, How::Certain, fault.peers());
            }
        }
        if matches!(self.fault, Fault::Stress(stress) if stress.prove != Prove::Applied) {
            // The kubelets' statistics are not granted: their permission allows commands in pods on some releases.
            needs.any(How::Optional, own, &USAGE_METRICS);
        }
        if self.fault.follow() {
            needs.any(How::Certain, own, &("", "pods", WATCH));
        }
    }

    /// The name of the fuse's Job; any without a plan.
    fn fuse(&self) -> Names {
        let Some(plan) = self.scenario.plan else { return Names::Any };
        let here = plan.fuses.iter().filter(|job| job["metadata"]["namespace"] == self.own());
        Names::only(here.filter_map(|job| job["metadata"]["name"].as_str()))
    }

    /// What a partition by NetworkPolicy needs.
    fn by_policy(&self, needs: &mut Sorted, how: How, peers: &[Peer]) {
        let (own, follow) = (self.own(), self.fault.follow());
        let (group, resource, verbs) = POLICIES;
        // A policy is changed if partitions of one pod share it, or if it follows pods.
        let is_open = how == How::Possible;
        let changes = follow || self.shared.map_or(is_open, |shared| shared.scheme.parts().len() > 1);
        for verb in verbs.iter().filter(|verb| changes || **verb != "update") {
            needs.add(how, own, &(group, resource, std::slice::from_ref(verb)), &self.objects("NetworkPolicy"));
        }
        needs.add(how, own, &("", "pods", &["patch"]), &self.targets());
        // If one watch is refused, no replacement is followed.
        let watched = if follow { how } else { How::Optional };
        for peer in peers {
            let namespace = peer_namespace(peer, self.scenario.namespace);
            if let Some(pods) = &peer.pods {
                selected(needs, how, pods, &namespace);
            }
            if let Some(service) = &peer.service {
                needs.any(how, &namespace, &("", "pods", &["list"]));
                needs.add(how, &namespace, &("", "services", &["get"]), &Names::only([service]));
            }
            if peer.service.is_some() || peer.pods.is_some() {
                needs.any(watched, &namespace, &("", "pods", WATCH));
                needs.any(How::Optional, &namespace, &("apps", "replicasets", &["get"]));
            }
        }
        if let (Some(Action::NetworkPolicy(it)), Some(shared)) = (self.spec.map(|spec| &spec.action), self.shared) {
            for listed in shared.listed.iter().filter(|listed| listed.part == it.part) {
                needs.add(how, &listed.namespace, &ENDPOINTS, &Names::only([&listed.service]));
                needs.any(watched, &listed.namespace, &("", "endpoints", WATCH));
            }
            let desired = shared.scheme.desired(&BTreeSet::from([it.part]), &BTreeSet::new(), &Default::default());
            for mark in desired.unwrap_or_default().marks {
                let ObjectKey { kind, namespace, name, .. } = &mark.object;
                let names = if follow { Names::Any } else { Names::only([name]) };
                match kind {
                    Kind::Namespace => needs.add(how, "", &("", "namespaces", &["get", "patch"]), &names),
                    _ => needs.add(how, namespace, &("", "pods", &["get", "patch"]), &names),
                }
            }
        }
        self.endpoints(needs, peers);
    }

    /// The witness of a partition. It is optional unless the scenario requires it.
    fn witness(&self, needs: &mut Sorted, how: How, prove: Prove) {
        let planned = match self.spec.map(|spec| &spec.action) {
            Some(Action::NetworkPolicy(it)) => it.witness.as_ref(),
            _ => None,
        };
        let has_image = self.scenario.options.proof.image.is_some();
        let (how, names) = match (planned, self.spec, prove) {
            (Some(witness), ..) => {
                let how = if prove == Prove::Witness { how } else { How::Witness };
                (how, Names::only([&witness.key.name]))
            }
            (None, None, Prove::Witness) => (how, Names::Any),
            (None, None, Prove::Auto | Prove::Strict) if has_image => (How::Witness, Names::Any),
            _ => return,
        };
        needs.add(how, self.own(), &("", "pods", &["get", "create", "delete"]), &names);
        needs.add(how, self.own(), &("", "pods/log", &["get"]), &names);
    }

    /// What a fault by the Kubernetes API alone needs, as its kind declares it.
    fn by_kubernetes(&self, needs: &mut Sorted) {
        let own = self.own();
        for access in self.fault.needs() {
            let of_pods = access.group.is_empty() && access.resource.split('/').next() == Some("pods");
            let names = if of_pods { self.targets() } else { self.others(&access) };
            needs.add_one(How::Certain, own, access, &names);
        }
        for means in self.fault.info().facts.means {
            if let Means::Kubernetes { creates, .. } = means {
                for resource in *creates {
                    for access in resource.own() {
                        needs.add_one(How::Certain, own, access, &self.objects(resource.kind));
                    }
                    // `cleanup` finds it without a journal.
                    needs.add_one(How::Optional, own, resource.list(), &Names::Any);
                }
            }
        }
    }

    /// The names of the other objects that the plan names for a permission. Any name if it names none.
    fn others(&self, access: &Access) -> Names {
        let Some(Action::Kubernetes(it)) = self.spec.map(|spec| &spec.action) else { return Names::Any };
        let is_meant = |key: &&ObjectKey| key.kind.group() == access.group && key.kind.plural() == access.resource;
        let all: Vec<&ObjectKey> = it.spec().objects().into_iter().filter(is_meant).collect();
        if all.is_empty() { Names::Any } else { Names::only(all.into_iter().map(|key| &key.name)) }
    }

    /// What a fault of Chaos Mesh needs.
    fn by_chaos_mesh(&self, needs: &mut Sorted, how: How, peers: &[Peer]) {
        let Some(chaos) = self.fault.info().chaos_mesh() else { return };
        let own = self.own();
        let objects = Kind::CHAOS.into_iter().find(|kind| kind.plural() == chaos.resource);
        let objects = objects.map_or(Names::Any, |kind| self.objects(kind.name()));
        for verb in permissions::CHAOS_VERBS {
            // Without a watch, the resource is polled.
            let how = if WATCH.contains(verb) { How::Optional } else { how };
            needs.add(how, own, &(CHAOS_GROUP, chaos.resource, std::slice::from_ref(verb)), &objects);
        }
        let patch: &'static [&'static str] = &["patch"];
        if chaos.is_link || self.scenario.options.chaos.force_after.is_some() {
            // To end a fault that never took effect, or by force.
            needs.add(How::Optional, own, &(CHAOS_GROUP, chaos.resource, patch), &objects);
        }
        if !chaos.is_link {
            return;
        }
        needs.any(how, own, &(CHAOS_GROUP, "podnetworkchaos", &["get"]));
        needs.any(How::Optional, own, &(CHAOS_GROUP, "podnetworkchaos", patch));
        for peer in peers {
            let namespace = peer_namespace(peer, self.scenario.namespace);
            if let Some(service) = &peer.service {
                needs.add(how, &namespace, &("", "services", &["get"]), &Names::only([service]));
            }
            // Other peers are addresses, which are in no namespace.
            if let Some(pods) = &peer.pods {
                selected(needs, how, pods, &namespace);
            }
            if peer.service.is_some() || peer.pods.is_some() {
                needs.any(how, &namespace, &("", "pods", &["get", "list"]));
                CHAOS_PEERS.iter().for_each(|on| needs.any(how, &namespace, on));
                needs.any(How::Optional, &namespace, &("", "services", &["list"]));
                needs.any(How::Optional, &namespace, &(CHAOS_GROUP, "podnetworkchaos", patch));
            }
        }
        self.endpoints(needs, peers);
    }

    /// The endpoints of services as peers, which are read if a service has no selector, as the plan shows.
    fn endpoints(&self, needs: &mut Sorted, peers: &[Peer]) {
        for peer in peers.iter().filter(|_| self.spec.is_none()) {
            if let Some(service) = &peer.service {
                let namespace = peer_namespace(peer, self.scenario.namespace);
                needs.add(How::Possible, &namespace, &ENDPOINTS, &Names::only([service]));
            }
        }
    }

    /// The kinds of a manifest are known once the cluster was asked for them: by planning, or because planning was refused
    /// something.
    fn by_manifest(&self, needs: &mut Sorted, manifest: &Manifest) {
        let (how, object, others) = match self.spec.map(|spec| &spec.action) {
            Some(Action::Kubernetes(ByKubernetes::Manifest(it))) => {
                let checks = it.active_when.iter().chain(&it.gone_when);
                let others: Vec<ObjectKey> = checks.filter_map(|Check { of, .. }| of.clone()).collect();
                (How::Certain, Some((it.key.kind, Names::only([&it.key.name]))), others)
            }
            _ => {
                let found = self.named_kinds(manifest);
                (How::Possible, found.0, found.1)
            }
        };
        let on = |kind: Kind, verbs: &'static [&'static str]| (kind.group(), kind.plural(), verbs);
        if let Some((kind, names)) = object {
            needs.add(how, self.own(), &on(kind, &["get", "create", "delete"]), &names);
            // Without a watch, the deletion of an object is polled.
            needs.any(How::Optional, self.own(), &on(kind, WATCH));
            // Without a list, the run cannot confirm at its end that the created objects are gone.
            for made in kinds_of_dependants(kind) {
                needs.any(how, self.own(), &on(made, &["list"]));
            }
            let may_force = self.scenario.options.chaos.force_after.is_some();
            if kind.is_chaos() && (may_force || kind.name() == "Schedule") {
                // To remove it by force, and to pause a Schedule before its deletion.
                needs.add(How::Optional, self.own(), &on(kind, &["patch"]), &names);
            }
            if kind.is_chaos() && may_force {
                // The objects that it created block its deletion.
                for made in kinds_of_dependants(kind) {
                    needs.any(How::Optional, self.own(), &on(made, &["get", "delete", "patch"]));
                }
            }
        }
        for of in others {
            needs.add(how, &of.namespace, &on(of.kind, &["get"]), &Names::only([of.name]));
        }
    }

    /// The kind of a manifest's object with its name, and the objects of its conditions, as far as their kinds are known.
    fn named_kinds(&self, manifest: &Manifest) -> (Option<(Kind, Names)>, Vec<ObjectKey>) {
        let kinds = &self.scenario.kinds;
        let name = manifest.object.get("metadata").and_then(|it| it["name"].as_str());
        let names = name.map_or(Names::Any, |name| Names::only([name]));
        let object = kinds_of(manifest).first().and_then(|it| kinds.get(it)).map(|(kind, _)| (*kind, names));
        let conditions = manifest.active_when.iter().chain(&manifest.gone_when).filter_map(|it| it.of.as_ref());
        let others = conditions.filter_map(|of| {
            let (kind, namespaced) = kinds.get(&(of.api_version.clone(), of.kind.clone()))?;
            let namespace = of.namespace.as_deref().unwrap_or(self.scenario.namespace);
            let namespace = if *namespaced { namespace.to_owned() } else { String::new() };
            Some(ObjectKey { kind: *kind, namespace, name: of.name.clone(), uid: None })
        });
        (object, others.collect())
    }
}
