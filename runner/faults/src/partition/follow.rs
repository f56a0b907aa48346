//! Watches for replacements of targets and peers during a scenario. They are reported and, with `follow`, marked like the
//! pods that they replace.
//!
//! `roster` decides which pod replaces which; this task feeds it and acts on its answers. Failed steps are tried again with
//! increasing pauses: the watch repeats itself, this task repeats everything else. Until then, `stretch` records the time
//! without proof.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::PodSelector;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::mark::{Mark, pod_key};
use super::roster::{Note, Roster, RosterPod};
use super::switch::{Source, Switch};
use crate::stretch::{BackOff, Cause, Gap, Waiting, turn};
use shakedown_cluster::{Change, Cluster, ClusterError, Kind, ObjectKey, labels, pod_ref};
use shakedown_policy::{ApiPod, Cidr, Peer, Pod, ServicePort, endpoints_behind};

/// The timeout of one read, after which the watching task handles other changes.
const RETRY_LIMIT: Duration = Duration::from_secs(2);
/// The interval at which Endpoints are read if this account may not watch them.
const POLL: Duration = Duration::from_secs(1);

/// Peers with our mark. New pods that match are marked as well.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarkedPeer {
    /// The partition.
    pub part: usize,
    /// The selector of the peers.
    pub selector: PodSelector,
    /// Their namespace.
    pub namespace: String,
    /// The mark: key and value.
    pub label: (String, String),
}

/// Addresses behind a service without a selector as peers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedPeer {
    /// The partition.
    pub part: usize,
    /// The block's place in the partition.
    pub block: usize,
    /// The service's namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// Its selected ports; empty for all.
    #[serde(skip)]
    pub ports: Vec<ServicePort>,
}

/// The watching task, until this is dropped.
pub type Watching = AbortOnDropHandle<()>;

/// Starts to watch targets and peers.
pub fn watch(switch: Switch, marked: Vec<MarkedPeer>, listed: Vec<ListedPeer>) -> Watching {
    let sources = sources(&switch, &marked, &listed);
    let mut follower = Follower {
        cluster: switch.cluster.clone().with_retry_limit(RETRY_LIMIT),
        owners: Owners::default(),
        pods: BTreeMap::new(),
        roster: Roster::default(),
        begun: false,
        complained: BTreeSet::new(),
        again: BTreeSet::new(),
        polled: BTreeSet::new(),
        back_off: BackOff::default(),
        waiting: Waiting::new(),
        came: Instant::now(),
        marked,
        listed,
        switch,
    };
    AbortOnDropHandle::new(tokio::spawn(async move {
        let streams: Vec<BoxStream<'static, (Source, Change)>> = sources
            .into_iter()
            .map(|source| {
                let changes = follower.switch.cluster.watch(source.0, &source.1);
                changes.map(move |change| (source.clone(), change)).boxed()
            })
            .collect();
        let mut changes = stream::select_all(streams);
        while let Some((change, came)) = turn(&mut changes, &mut follower.waiting, &follower.back_off).await {
            follower.came = came;
            match change {
                Some((source, change)) => follower.take(source, change).await,
                None => follower.retry().await,
            }
        }
    }))
}

/// All watched sources. Records which partition depends on which source, and that nothing is known yet.
fn sources(switch: &Switch, marked: &[MarkedPeer], listed: &[ListedPeer]) -> BTreeSet<Source> {
    let mut state = switch.state();
    let mut all: BTreeSet<Source> = BTreeSet::new();
    all.extend(state.scheme.parts().iter().map(|part| (Kind::Pod, part.namespace.clone())));
    all.extend(state.scheme.peer_namespaces().into_iter().map(|namespace| (Kind::Pod, namespace)));
    all.extend(listed.iter().map(|peer| (Kind::Endpoints, peer.namespace.clone())));
    let mut needed: BTreeMap<usize, BTreeSet<Source>> = BTreeMap::new();
    for (number, part) in state.scheme.parts().iter().enumerate() {
        let of = needed.entry(number).or_default();
        if part.follow {
            of.insert((Kind::Pod, part.namespace.clone()));
        }
        // Policies select later pods by their labels. Other later peers need a mark (`marked`) or an address.
        if state.scheme.knows_no_ranges() {
            let namespaces = part.blocks.iter().filter_map(|block| match &block.peer {
                Peer::Pods { namespace, .. } => Some(namespace.clone()),
                Peer::Addresses(_) => None,
            });
            of.extend(namespaces.map(|namespace| (Kind::Pod, namespace)));
        }
    }
    for peer in marked {
        needed.entry(peer.part).or_default().insert((Kind::Pod, peer.namespace.clone()));
    }
    for peer in listed {
        needed.entry(peer.part).or_default().insert((Kind::Endpoints, peer.namespace.clone()));
    }
    let now = Instant::now();
    for source in &all {
        let why = format!("the watch of {} has not begun", described(source));
        state.doubts.blind(source.clone(), Gap::Watch, now, why);
    }
    state.sources = needed;
    all
}

fn described((kind, namespace): &Source) -> String {
    let what = if *kind == Kind::Pod { "pods" } else { "endpoints" };
    format!("{what} in namespace {namespace}")
}

/// The changes that affect partitions, in words, by the partition's number.
type Changes = BTreeMap<usize, Vec<String>>;

struct Follower {
    switch: Switch,
    /// The connection for reads, with a short timeout so that other changes are not delayed.
    cluster: Cluster,
    owners: Owners,
    pods: BTreeMap<String, BTreeMap<String, RosterPod>>,
    roster: Roster,
    begun: bool,
    /// Sources whose broken watch was reported.
    complained: BTreeSet<Source>,
    /// Sources with a change that could not be processed. They are read again.
    again: BTreeSet<Source>,
    /// Sources that this account may not watch. They are read regularly.
    polled: BTreeSet<Source>,
    back_off: BackOff,
    waiting: Waiting,
    /// Since when the change in progress may have existed.
    came: Instant,
    marked: Vec<MarkedPeer>,
    listed: Vec<ListedPeer>,
}

impl Follower {
    async fn take(&mut self, source: Source, change: Change) {
        match change {
            Change::Broken { error, since } => self.lose(source, since, &error),
            change => {
                if !matches!(change, Change::Listed(_)) {
                    self.complained.remove(&source);
                }
                self.process(source, change, Gap::Watch).await;
                self.adjust().await;
            }
        }
    }

    /// Records that a watch is broken. It is reported once.
    fn lose(&mut self, source: Source, since: Instant, error: &ClusterError) {
        let may_not = matches!(error, ClusterError::Forbidden { .. });
        if may_not && source.0 == Kind::Endpoints {
            // This account may read them by name.
            if self.polled.insert(source.clone()) {
                let mut state = self.switch.state();
                state.doubts.sees(&source, Gap::Watch);
                state.doubts.blind(source, Gap::Taking, since, reason(error));
                drop(state);
                self.back_off.again_in(Duration::ZERO);
            }
            return;
        }
        let why = format!("the watch of {} failed: {}", described(&source), reason(error));
        self.switch.state().doubts.blind(source.clone(), Gap::Watch, since, why);
        // An expired watch is normal.
        if !matches!(error, ClusterError::Expired(_)) && self.complained.insert(source) {
            let text = format!("the watch of pods failed, so replacements are detected late: {error}");
            self.switch.cluster.tell(EventKind::Warning { message: text });
        }
    }

    /// Processes a change of a source. If this fails, the source is read again.
    async fn process(&mut self, source: Source, change: Change, by: Gap) {
        let is_whole = matches!(change, Change::Listed(_));
        let mut changes = Changes::new();
        let taken = match source.0 {
            Kind::Pod => self.take_pods(&source.1, change, &mut changes).await,
            _ => {
                self.take_endpoints(&source.1, change, &mut changes);
                Ok(())
            }
        };
        let mut state = self.switch.state();
        // A missed change may have happened at any moment since.
        let (since, unseen) = state.doubts.blindness(&source).unzip();
        let since = since.unwrap_or(self.came);
        for (part, what) in changes {
            let what = what.join("; ");
            let why = unseen.as_ref().map_or_else(|| what.clone(), |unseen| format!("{unseen}; {what}"));
            state.doubts.open(part, Cause::Adjust, since, why);
        }
        if let Err(error) = &taken {
            let why = format!("changes of {} could not be parsed: {}", described(&source), reason(error));
            state.doubts.blind(source.clone(), Gap::Taking, since, why);
        } else if is_whole {
            state.doubts.sees(&source, Gap::Taking);
        }
        if is_whole {
            state.doubts.sees(&source, by);
        }
        drop(state);
        match taken {
            Err(_) => _ = self.again.insert(source),
            Ok(()) if is_whole => _ = self.again.remove(&source),
            Ok(()) => {}
        }
    }

    /// Repeats reads and actions that failed.
    async fn retry(&mut self) {
        let due: Vec<Source> = self.again.union(&self.polled).cloned().collect();
        for source in due {
            let asked = Instant::now();
            match self.read(&source).await {
                Ok(objects) => {
                    self.process(source.clone(), Change::Listed(objects), Gap::Taking).await;
                    if self.polled.contains(&source) {
                        let why = format!("this account may not watch {}", described(&source));
                        self.switch.state().doubts.blind(source, Gap::Taking, asked, why);
                    }
                }
                Err(error) => {
                    let why = format!("{} could not be read: {}", described(&source), reason(&error));
                    self.switch.state().doubts.blind(source.clone(), Gap::Taking, asked, why);
                    self.again.insert(source);
                }
            }
        }
        self.adjust().await;
    }

    async fn read(&self, source: &Source) -> Result<Vec<Value>, ClusterError> {
        let (kind, namespace) = source;
        if *kind == Kind::Pod {
            return self.cluster.list(*kind, namespace, None).await;
        }
        let names: BTreeSet<&String> =
            self.listed.iter().filter(|peer| peer.namespace == *namespace).map(|peer| &peer.service).collect();
        let mut all = Vec::new();
        for name in names {
            let key = ObjectKey { kind: *kind, namespace: namespace.clone(), name: name.clone(), uid: None };
            all.extend(self.cluster.get(&key).await?);
        }
        Ok(all)
    }

    /// Updates labels and policies if an update is pending.
    async fn adjust(&mut self) {
        let open = self.switch.state().doubts.waiting(&Cause::Adjust);
        let problems = if open.is_empty() { BTreeMap::new() } else { self.switch.adjust().await };
        let mut warnings = Vec::new();
        {
            let mut state = self.switch.state();
            for part in &open {
                match problems.get(part) {
                    None => state.doubts.close(*part, &Cause::Adjust),
                    Some(problem) => {
                        let why = format!("could not be cut off as well: {}", problem.message);
                        if state.doubts.failed(*part, &Cause::Adjust, why.clone()) {
                            warnings.push(format!("fault {}: a replaced pod {why}", state.scheme.parts()[*part].name));
                        }
                    }
                }
            }
        }
        for message in warnings {
            self.switch.cluster.tell(EventKind::Warning { message });
        }
        match (self.again.is_empty() && problems.is_empty(), self.polled.is_empty()) {
            (false, _) => self.back_off.failed(),
            (true, false) => self.back_off.again_in(POLL),
            (true, true) => self.back_off.done(),
        }
    }

    async fn take_pods(&mut self, namespace: &str, change: Change, changes: &mut Changes) -> Result<(), ClusterError> {
        let objects: Vec<Value> = match change {
            Change::Listed(objects) => {
                self.pods.insert(namespace.to_owned(), BTreeMap::new());
                objects
            }
            Change::Applied(object) => vec![object],
            Change::Deleted(object) => {
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                self.pods.entry(namespace.to_owned()).or_default().remove(uid);
                Vec::new()
            }
            Change::Broken { .. } => return Ok(()),
        };
        let mut incomplete = None;
        for object in &objects {
            let owner = match self.owners.top(&self.cluster, object).await {
                Ok(owner) => owner,
                Err(error) => {
                    incomplete = Some(error);
                    continue;
                }
            };
            let seen = RosterPod {
                pod: pod_ref(object),
                owner,
                created: object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(),
                going: !object["metadata"]["deletionTimestamp"].is_null()
                    || matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
            };
            self.pods.entry(namespace.to_owned()).or_default().insert(seen.pod.uid.clone(), seen);
        }
        // A pod that is missing from this partial list is not gone.
        if let Some(error) = incomplete {
            return Err(error);
        }
        self.begin().await?;
        let empty = BTreeMap::new();
        for note in self.roster.compare(namespace, self.pods.get(namespace).unwrap_or(&empty)) {
            self.note(note, changes);
        }
        let mut taken = Ok(());
        // A witness is not a pod of the service.
        for object in
            objects.iter().filter(|object| !labels::is_of_run(|key| object["metadata"]["labels"][key].as_str()))
        {
            let peer = self.take_peer(namespace, object, changes).await;
            taken = taken.and(peer);
            self.take_address(object, changes);
        }
        taken
    }

    /// Builds the roster of targets, once.
    async fn begin(&mut self) -> Result<(), ClusterError> {
        if self.begun {
            return Ok(());
        }
        let mut targets: BTreeMap<PodRef, (usize, bool)> = BTreeMap::new();
        {
            let state = self.switch.state();
            for part in state.scheme.parts() {
                for pod in &part.targets {
                    if let Some(group) = state.scheme.group_of(&pod.namespace, &pod.name) {
                        targets.entry(pod.clone()).or_insert((group, false)).1 |= part.follow;
                    }
                }
            }
        }
        let mut expected = Vec::new();
        for (pod, (group, follow)) in targets {
            // The owner of a target that is gone cannot be read.
            let owner = match self.cluster.get(&pod_key(&pod)).await? {
                Some(object) => self.owners.top(&self.cluster, &object).await?,
                None => None,
            };
            expected.push((group, pod, owner, follow));
        }
        for (group, pod, owner, follow) in expected {
            self.roster.expect(group, pod, owner, follow);
        }
        self.begun = true;
        Ok(())
    }

    /// Handles a change of a target.
    fn note(&self, note: Note, changes: &mut Changes) {
        let mut state = self.switch.state();
        if let Note::Lost { pod, .. } = &note {
            let source = (Kind::Pod, pod.namespace.clone());
            let since = state.doubts.blindness(&source).map_or(self.came, |(since, _)| since);
            state.lose(pod, since);
        }
        let (group, message, untraceable) = match note {
            Note::Lost { group, pod, untraceable } => {
                for followers in state.followers.values_mut() {
                    followers.retain(|follower| follower.uid != pod.uid);
                }
                let message = format!("target pod {} (uid {}) is gone", pod.name, pod.uid);
                (group, message, untraceable.then_some(pod))
            }
            Note::Replaced { group, pod, by, follow } => {
                let so = if follow {
                    state.followers.entry(group).or_default().push(by.clone());
                    "it is cut off as well (follow)"
                } else {
                    "it is not cut off, because `follow` is not set"
                };
                let message = format!("pod {} (uid {}) has replaced target {}: {so}", by.name, by.uid, pod.name);
                if follow {
                    for part in state.scheme.parts_of(group).to_vec() {
                        state.doubts.replaced(part, &pod.uid);
                        changes.entry(part).or_default().push(format!("pod {} has replaced {}", by.name, pod.name));
                    }
                }
                (group, message, None)
            }
        };
        let parts = state.scheme.parts_of(group).to_vec();
        let names: Vec<String> = parts.iter().map(|part| state.scheme.parts()[*part].name.clone()).collect();
        for part in parts {
            if state.standing.contains(&part) {
                state.notes.entry(part).or_default().push(message.clone());
            }
            if let Some(pod) = untraceable.as_ref().filter(|_| state.scheme.parts()[part].follow) {
                let why = format!(
                    "target pod {} was gone before the watch of pods began, so its replacement cannot be distinguished from other pods",
                    pod.name
                );
                state.doubts.open(part, Cause::Pod(pod.uid.clone()), Instant::now(), why);
            }
        }
        drop(state);
        self.switch.cluster.tell(EventKind::Cluster { message: format!("fault {}: {message}", names.join(", ")) });
    }

    /// Handles a new peer.
    async fn take_peer(&self, namespace: &str, object: &Value, changes: &mut Changes) -> Result<(), ClusterError> {
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        for peer in self.marked.iter().filter(|peer| peer.namespace == namespace) {
            let pod = pod_ref(object);
            let mark = Mark { object: pod_key(&pod), label: peer.label.0.clone(), value: peer.label.1.clone() };
            {
                let state = self.switch.state();
                let known = state.scheme.parts()[peer.part].peer_marks.contains(&mark)
                    || state.peer_marks.get(&peer.part).is_some_and(|marks| marks.contains(&mark));
                if known {
                    continue;
                }
            }
            if self.cluster.is_selected(object, &peer.selector, namespace).await? {
                let mut state = self.switch.state();
                state.peer_marks.entry(peer.part).or_default().push(mark);
                let name = state.scheme.parts()[peer.part].name.clone();
                drop(state);
                changes.entry(peer.part).or_default().push(format!("pod {} is a new peer", pod.name));
                let message = format!("fault {name}: pod {} is a new peer and is cut off as well", pod.name);
                self.switch.cluster.tell(EventKind::Cluster { message });
            }
        }
        Ok(())
    }

    /// Handles a peer's new address.
    fn take_address(&self, object: &Value, changes: &mut Changes) {
        let Some(pod) = ApiPod::deserialize(object).ok().and_then(Pod::from_kubernetes) else { return };
        let mut state = self.switch.state();
        let standing = state.standing.clone();
        let came = state.scheme.see(&pod, &standing);
        for part in came.parts {
            match &came.refusal {
                None => changes.entry(part).or_default().push(format!("peer {} has a new address", pod.name)),
                Some(why) => {
                    let why = format!("the new address of peer {} cannot be cut off: {why}", pod.name);
                    state.doubts.open(part, Cause::Pod(pod.name.clone()), Instant::now(), why);
                }
            }
        }
    }

    fn take_endpoints(&self, namespace: &str, change: Change, changes: &mut Changes) {
        let objects = match change {
            Change::Listed(objects) => objects,
            Change::Applied(object) => vec![object],
            Change::Deleted(_) | Change::Broken { .. } => Vec::new(),
        };
        for peer in self.listed.iter().filter(|peer| peer.namespace == namespace) {
            let Some(object) = objects.iter().find(|it| it["metadata"]["name"] == peer.service.as_str()) else {
                continue;
            };
            let Ok(endpoints) = core::Endpoints::deserialize(object) else { continue };
            let (addresses, ports) = endpoints_behind(&endpoints, &peer.ports);
            // Without any address, the last ones stay cut.
            if addresses.is_empty() {
                continue;
            }
            let cidrs = Peer::Addresses(addresses.into_iter().map(Cidr::host).collect());
            let mut state = self.switch.state();
            let standing = state.standing.clone();
            let cause = Cause::Peer(peer.block);
            match state.scheme.set_peer((peer.part, peer.block), cidrs, ports, &standing) {
                Ok(is_new) => {
                    state.doubts.close(peer.part, &cause);
                    if is_new {
                        let what = format!("service {} has other addresses", peer.service);
                        changes.entry(peer.part).or_default().push(what);
                    }
                }
                Err(why) => {
                    let what = format!("the new addresses of service {} cannot be cut off: {why}", peer.service);
                    if state.doubts.open(peer.part, cause, Instant::now(), what.clone()) {
                        drop(state);
                        self.switch.cluster.tell(EventKind::Warning { message: what });
                    }
                }
            }
        }
    }
}

/// An error without its help, which the warning contains.
fn reason(error: &ClusterError) -> String {
    error.explained().message
}

/// The top owners of pods. A Deployment owns its pods through ReplicaSets, which it replaces.
#[derive(Default)]
pub struct Owners {
    known: BTreeMap<String, String>,
}

impl Owners {
    /// The UID of the top owner; `None` for a pod without an owner.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn top(&mut self, cluster: &Cluster, pod: &Value) -> Result<Option<String>, ClusterError> {
        let Some((kind, name, uid)) = controller(pod) else { return Ok(None) };
        if kind != "ReplicaSet" {
            return Ok(Some(uid));
        }
        if let Some(top) = self.known.get(&uid) {
            return Ok(Some(top.clone()));
        }
        let key = ObjectKey {
            kind: Kind::ReplicaSet,
            namespace: pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
            name,
            uid: Some(uid.clone()),
        };
        let set = match cluster.get(&key).await {
            // If the owner may not be read or is gone, the ReplicaSet itself is used.
            Err(ClusterError::Forbidden { .. }) => None,
            set => set?,
        };
        let top = set.as_ref().and_then(controller).map_or_else(|| uid.clone(), |(_, _, top)| top);
        self.known.insert(uid, top.clone());
        Ok(Some(top))
    }
}

fn controller(object: &Value) -> Option<(String, String, String)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    let text = |key: &str| owner[key].as_str().map(str::to_owned);
    Some((text("kind")?, text("name")?, text("uid")?))
}

#[cfg(test)]
mod tests;
