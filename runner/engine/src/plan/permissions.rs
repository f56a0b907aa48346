//! Permissions first: what the account needs for one scenario, asked before any load is sent.
//!
//! A permission is *certain* when the scenario cannot run without it, whatever the plan turns out to be. It is *possible*
//! when only the plan says so: which engine makes a partition, or how a load gets to its service. Possible ones are asked
//! for when planning fails at a missing permission, so that one answer names all of them.

use std::collections::BTreeSet;

use shakedown_schemas::Document;
use shakedown_schemas::scenario::{Access, Engine, Expectation, Fault, Means, Peer, PodSelector, Prove, Reach};

use super::error::PlanError;
use super::options::Options;
use super::peers::peer_namespace;
use super::spec::{Action, FaultSpec, Plan, Route};
use super::{default_namespace, own_namespace};
use shakedown_cluster::permissions::{self, Answers, FUSE, LOCK, Need, On, POLICIES, grant};
use shakedown_cluster::{CHAOS_GROUP, Cluster, ClusterError, Kind, labels, owner_plural, parse_service};
use shakedown_faults::partition::PartitionsSpec;

/// What the report says where the server answers no question about permissions.
pub const REFUSED: &str = "this API server does not report the permissions of an account, so a missing permission is an error \
                           only when it is needed";

const ENDPOINTS: On = ("", "endpoints", &["get"]);

/// The permissions of this account, as far as one scenario needs them.
pub struct Permissions<'a> {
    document: &'a Document,
    cluster: &'a Cluster,
    namespace: String,
    fuse: bool,
    needs: Needs,
    /// What planning was refused, in the server's words.
    refused: Option<String>,
    answers: Answers,
}

/// What a scenario needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Needs {
    certain: BTreeSet<Need>,
    possible: BTreeSet<Need>,
}

impl<'a> Permissions<'a> {
    /// Asks for what the scenario says that it needs.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_scenario(
        document: &'a Document,
        cluster: &'a Cluster,
        options: &Options,
    ) -> Result<Self, PlanError> {
        let namespace = default_namespace(&document.scenario, Some(cluster), options);
        let fuse = options.fuse.is_some();
        let needs = needs(document, &namespace, fuse, None);
        let mut it = Self { document, cluster, namespace, fuse, needs, refused: None, answers: Answers::default() };
        cluster.ask(&it.needs.certain, &mut it.answers).await?;
        Ok(it)
    }

    /// Asks for what only the plan says as well.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_plan(&mut self, planned: &Result<Plan, PlanError>) -> Result<(), PlanError> {
        match planned {
            Ok(plan) => self.needs = needs(self.document, &self.namespace, self.fuse, Some(plan)),
            Err(PlanError::Cluster(error @ ClusterError::Forbidden { .. })) => {
                self.refused = Some(error.to_string());
                let possible = std::mem::take(&mut self.needs.possible);
                self.needs.certain.extend(possible);
            }
            // The scenario does not fit, or nothing answers: more permissions would not help.
            Err(_) => {}
        }
        Ok(self.cluster.ask(&self.needs.certain, &mut self.answers).await?)
    }

    /// Whether the server refuses to answer.
    pub const fn are_unknown(&self) -> bool {
        self.answers.refused
    }

    /// What is missing.
    fn missing(&self) -> Vec<&Need> {
        self.needs.certain.iter().filter(|need| self.answers.known.get(need) == Some(&false)).collect()
    }

    /// Whether something is missing.
    pub fn are_missing(&self) -> bool {
        !self.missing().is_empty()
    }

    /// The error that names what is missing, with the Roles that grant everything that the scenario needs where something
    /// is missing; none when nothing is.
    pub async fn refusal(&self) -> Option<String> {
        let missing = self.missing();
        if missing.is_empty() {
            return None;
        }
        let account = self.cluster.account().await;
        let places: BTreeSet<&str> = missing.iter().map(|need| need.namespace.as_str()).collect();
        // A Role of that name that was applied before is replaced: it must keep what it has.
        let granted = self.needs.certain.iter().filter(|need| places.contains(need.namespace.as_str())).cloned();
        let scenario = &self.document.scenario.name;
        let name = format!("shakedown-{}", labels::name_part(scenario));
        let roles = grant(&granted.collect(), name.trim_end_matches('-'), account.as_deref());
        let who = account.map(|name| format!(" ({name})")).unwrap_or_default();
        let mut lines: String = missing.iter().map(|need| format!("\n  {need}")).collect();
        if let Some(refused) = &self.refused {
            lines.push_str(&format!("\nplanning ended with: {refused}"));
        }
        Some(format!(
            "this account{who} lacks permissions that scenario {scenario} needs:{lines}\nhelp: `kubectl apply -f` this, as an \
             administrator:\n{roles}"
        ))
    }
}

/// Everything that a scenario needs; with its plan, nothing is open any more.
fn needs(document: &Document, namespace: &str, fuse: bool, plan: Option<&Plan>) -> Needs {
    let mut needs = Needs::default();
    loads(&mut needs, document, namespace, plan);
    let faults = document.scenario.phases.iter().flat_map(|phase| &phase.faults);
    for (name, fault) in faults {
        let spec = plan.and_then(|plan| plan.faults.iter().find(|spec| spec.plan.name == *name));
        let shared = plan.and_then(|plan| plan.partitions.as_ref());
        FaultNeeds { fault, namespace, fuse, spec, shared }.add_to(&mut needs);
    }
    let expectations = document.scenario.phases.iter().flat_map(|phase| &phase.expect);
    for expectation in expectations {
        let (select, logs) = match expectation {
            Expectation::Pods(it) => (&it.select, false),
            Expectation::Logs(it) => (&it.select, true),
            _ => continue,
        };
        let faults = document.scenario.phases.iter().flat_map(|phase| phase.faults.values());
        let pods: Vec<&PodSelector> = match select {
            Some(select) => vec![select],
            None => faults.filter_map(Fault::pods).collect(),
        };
        for pods in pods {
            selected(&mut |place, on| needs.certain(place, on), pods, namespace);
            if logs {
                needs.certain(place(pods, namespace), &("", "pods/log", &["get"]));
            }
        }
    }
    let Needs { certain, possible } = &mut needs;
    possible.retain(|need| !certain.contains(need));
    needs
}

impl Needs {
    fn certain(&mut self, namespace: &str, on: &On) {
        self.add(true, namespace, permissions::expand(on));
    }

    fn add(&mut self, is_certain: bool, namespace: &str, all: impl IntoIterator<Item = Access>) {
        let place = if is_certain { &mut self.certain } else { &mut self.possible };
        place.extend(all.into_iter().map(|access| Need { namespace: namespace.to_owned(), access }));
    }

    /// Possible ones that a plan confirmed or left out.
    fn open(&mut self, is_certain: bool, is_open: bool, namespace: &str, on: &On) {
        if is_certain || is_open {
            self.add(is_certain, namespace, permissions::expand(on));
        }
    }
}

/// The namespace of a selector's pods.
fn place<'a>(pods: &'a PodSelector, default: &'a str) -> &'a str {
    pods.namespace.as_deref().unwrap_or(default)
}

/// Finding the pods of a selector. Planning refuses other kinds of owners.
fn selected(add: &mut impl FnMut(&str, &On), pods: &PodSelector, default: &str) {
    let namespace = place(pods, default);
    add(namespace, &("", "pods", &["list"]));
    let Some(plural) = pods.owner.as_deref().and_then(owner_plural) else { return };
    add(namespace, &("apps", plural, &["get"]));
    if plural == "deployments" {
        add(namespace, &("apps", "replicasets", &["list"]));
    }
}

fn loads(needs: &mut Needs, document: &Document, default: &str, plan: Option<&Plan>) {
    for (name, load) in &document.scenario.load {
        let Some(Ok(service)) = load.service().map(|service| parse_service(service, default)) else { continue };
        let route = plan.and_then(|plan| plan.loads.iter().find(|spec| spec.name == *name)).map(|spec| &spec.route);
        let forwarded = match route {
            Some(route) => matches!(route, Route::PortForward { .. }),
            None => load.reach() == Reach::PortForward,
        };
        let endpoints = forwarded || matches!(route, Some(Route::Endpoints { .. }));
        let is_open = route.is_none();
        let namespace = &service.namespace;
        needs.certain(namespace, &("", "services", &["get"]));
        needs.open(endpoints, is_open, namespace, &ENDPOINTS);
        let may_forward = is_open && load.reach() == Reach::Auto;
        needs.open(forwarded, may_forward, namespace, &("", "pods/portforward", &["create"]));
    }
}

/// One fault, and what the plan makes of it where there is one.
struct FaultNeeds<'a> {
    fault: &'a Fault,
    /// The namespace of selectors that name none.
    namespace: &'a str,
    fuse: bool,
    spec: Option<&'a FaultSpec>,
    /// What the plan's partitions by NetworkPolicy share.
    shared: Option<&'a PartitionsSpec>,
}

impl FaultNeeds<'_> {
    fn add_to(&self, needs: &mut Needs) {
        if let Some(pods) = self.fault.pods() {
            selected(&mut |place, on| needs.certain(place, on), pods, self.namespace);
            needs.certain(place(pods, self.namespace), &("", "pods", &["get"]));
        }
        let own = own_namespace(self.fault, self.namespace);
        needs.certain(own, &LOCK);
        if self.fuse {
            needs.certain(own, &FUSE);
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
                self.by_policy(needs, policy, is_open, &partition.from);
                self.by_chaos_mesh(needs, chaos, is_open, &partition.from);
                if policy && partition.prove == Prove::Witness {
                    needs.certain(own, &("", "pods", &["get", "create", "delete"]));
                    needs.certain(own, &("", "pods/log", &["get"]));
                }
            }
            Fault::PodKill(kill) => {
                for means in self.fault.info().facts.means {
                    if let Means::Kubernetes { needs: declared, .. } = means {
                        let used = declared.iter().filter(|it| it.resource.contains('/') == kill.evict);
                        needs.add(true, own, used.copied());
                    }
                }
            }
            Fault::Manifest(_) => self.by_manifest(needs),
            Fault::Netem(netem) => self.by_chaos_mesh(needs, true, false, &netem.to),
            // The other kinds act inside pods, by Chaos Mesh. `plan/faults.rs` names each of them.
            _ => self.by_chaos_mesh(needs, true, false, &[]),
        }
        if self.fault.follow() {
            needs.certain(own, &("", "pods", &["watch"]));
        }
    }

    /// What a partition by NetworkPolicy needs.
    fn by_policy(&self, needs: &mut Needs, is_certain: bool, is_open: bool, peers: &[Peer]) {
        let own = own_namespace(self.fault, self.namespace);
        let mut add = |namespace: &str, on: &On| needs.open(is_certain, is_open, namespace, on);
        let (group, resource, verbs) = POLICIES;
        // A policy is changed where partitions of one pod share it, or where it follows a pod.
        let changes = self.fault.follow() || self.shared.map_or(is_open, |shared| shared.scheme.parts().len() > 1);
        for verb in verbs.iter().filter(|verb| changes || **verb != "update") {
            add(own, &(group, resource, std::slice::from_ref(verb)));
        }
        add(own, &("", "pods", &["patch"]));
        for peer in peers {
            let namespace = peer_namespace(peer, self.namespace);
            if let Some(pods) = &peer.pods {
                selected(&mut add, pods, &namespace);
            }
            if peer.service.is_some() {
                add(&namespace, &("", "pods", &["list"]));
                add(&namespace, &("", "services", &["get"]));
            }
        }
        if let (Some(Action::NetworkPolicy(it)), Some(shared)) = (self.spec.map(|spec| &spec.action), self.shared) {
            for listed in shared.listed.iter().filter(|listed| listed.part == it.part) {
                add(&listed.namespace, &ENDPOINTS);
            }
            let desired = shared.scheme.desired(&BTreeSet::from([it.part]), &BTreeSet::new(), &Default::default());
            for mark in desired.unwrap_or_default().marks {
                match mark.object.kind {
                    Kind::Namespace => add("", &("", "namespaces", &["get", "patch"])),
                    _ => add(&mark.object.namespace, &("", "pods", &["get", "patch"])),
                }
            }
        }
        self.endpoints(needs, peers);
    }

    /// What a fault of Chaos Mesh needs.
    fn by_chaos_mesh(&self, needs: &mut Needs, is_certain: bool, is_open: bool, peers: &[Peer]) {
        let Some(chaos) = self.fault.info().chaos_mesh() else { return };
        let own = own_namespace(self.fault, self.namespace);
        let mut add = |namespace: &str, on: &On| needs.open(is_certain, is_open, namespace, on);
        // Without a watch the resource is read from time to time.
        let verbs = permissions::CHAOS_VERBS.iter().filter(|verb| !["list", "watch"].contains(*verb));
        verbs.for_each(|verb| add(own, &(CHAOS_GROUP, chaos.resource, std::slice::from_ref(verb))));
        if !chaos.is_link {
            return;
        }
        add(own, &(CHAOS_GROUP, "podnetworkchaos", &["get"]));
        for peer in peers {
            let namespace = peer_namespace(peer, self.namespace);
            if peer.service.is_some() {
                add(&namespace, &("", "services", &["get"]));
            }
            // Other peers are addresses, which are in no namespace.
            if let Some(pods) = &peer.pods {
                selected(&mut add, pods, &namespace);
            }
            if peer.service.is_some() || peer.pods.is_some() {
                add(&namespace, &("", "pods", &["get", "list"]));
                permissions::CHAOS_PEERS.iter().for_each(|on| add(&namespace, on));
            }
        }
        self.endpoints(needs, peers);
    }

    /// The endpoints of services as peers, which are read where a service has no selector: the plan knows.
    fn endpoints(&self, needs: &mut Needs, peers: &[Peer]) {
        for peer in peers.iter().filter(|peer| peer.service.is_some() && self.spec.is_none()) {
            needs.open(false, true, &peer_namespace(peer, self.namespace), &ENDPOINTS);
        }
    }

    /// The kinds of a manifest are known once the cluster was asked for them.
    fn by_manifest(&self, needs: &mut Needs) {
        let Some(Action::Manifest(it)) = self.spec.map(|spec| &spec.action) else { return };
        let on = |kind: Kind, verbs: &'static [&'static str]| (kind.group(), kind.plural(), verbs);
        needs.certain(&it.key.namespace, &on(it.key.kind, &["get", "create", "delete"]));
        for check in it.active_when.iter().chain(&it.gone_when) {
            if let Some(of) = &check.of {
                needs.certain(&of.namespace, &on(of.kind, &["get"]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
