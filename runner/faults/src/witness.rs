//! Witnesses: a witness is a short-lived pod with only the label that a partition's policy selects. It can connect to the
//! peers before the cut and not while the fault acts, and it prints its observations.
//!
//! It receives no traffic: no Service selects its labels, and a readiness gate that is never set keeps it from being Ready.
//! It runs `probe`. This file creates it, reads its log, and decides what the log proves.

mod rounds;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use shakedown_schemas::Explained;
use shakedown_schemas::result::{Leftover, PodRef, Proof};
use tokio::time::Instant;

use super::{FaultError, Finding, Stretch};
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey, WitnessImage};
use shakedown_probe::{Held, LOST_AFTER, Log, ProbeConfig, Round};

use rounds::{Seen, Watched, join};

/// The timeout of a witness's first connection.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The interval of the checks while it starts.
const PAUSE: Duration = Duration::from_millis(250);
/// The interval at which its log is read after the cut, and the duration of the reads: just long enough to show a cut.
const LOOK: Duration = Duration::from_millis(75);
const LOOK_LIMIT: Duration = Duration::from_millis(1500);
/// The same for rounds that began after the last look: shorter than one look of the timeline, which asks again.
const LAST_LIMIT: Duration = Duration::from_secs(1);
/// The interval at which its log is read while the fault stands. One log has the rounds of three of them.
const SAMPLE: Duration = Duration::from_secs(3);
/// The number of log lines that are read. A round has two.
const LINES: u32 = 120;
/// The most endpoints that a witness tries.
const MOST: usize = 8;
/// A connection that is still established this long after the cut has survived it. Its loss would be known by then.
pub(super) const KEPT_AFTER: Duration = LOST_AFTER.saturating_add(Duration::from_secs(2));

/// Our container in a pod. Its log is read by this name, because admission may add other containers.
pub(crate) const CONTAINER: &str = "witness";

/// Labels that keep service meshes and agents from adding containers. A proxy would accept connections that the policy
/// cuts.
const NO_SIDECARS: [(&str, &str); 2] =
    [("sidecar.istio.io/inject", "false"), ("kuma.io/sidecar-injection", "disabled")];

/// The same as annotations.
const NO_SIDECARS_ANNOTATED: [(&str, &str); 5] = [
    ("sidecar.istio.io/inject", "false"),
    ("kuma.io/sidecar-injection", "disabled"),
    ("linkerd.io/inject", "disabled"),
    ("consul.hashicorp.com/connect-inject", "false"),
    ("vault.hashicorp.com/agent-inject", "false"),
];

/// That established connections survive a cut.
pub(super) const KEPT: &str = "established connections are left open";

/// A witness of one partition.
pub struct Witness {
    cluster: Cluster,
    key: ObjectKey,
    manifest: Value,
    created: bool,
    /// The containers that admission added to its pod, as text.
    injected: Option<String>,
    /// The endpoints that were reachable right before the cut.
    before: BTreeSet<String>,
    /// The last round that may have begun before the cut.
    cut_after: u64,
    cut_at: Option<Instant>,
    /// What was seen since it proved the cut.
    watched: Option<Watched>,
}

/// The parameters of a witness.
pub struct WitnessRequest<'a> {
    /// The run's id.
    pub run: &'a str,
    /// The scenario's number in the run.
    pub serial: usize,
    /// The partition's number in the scenario.
    pub part: usize,
    /// The fault's name.
    pub fault: &'a str,
    /// The label that the policy selects: key and value.
    pub label: (String, String),
    /// A target. The witness runs on the same node.
    pub near: &'a PodRef,
    /// The endpoints that it tries, as `address:port`.
    pub endpoints: Vec<String>,
    /// The image that it runs.
    pub image: &'a WitnessImage,
}

/// The pod of a witness: plain data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WitnessSpec {
    /// The pod's key.
    pub key: ObjectKey,
    /// The pod. A plan shows it among the objects that will be created.
    #[serde(skip)]
    pub manifest: Value,
}

impl WitnessSpec {
    /// The pod of a witness.
    pub fn new(request: WitnessRequest<'_>) -> Self {
        let manifest = manifest(request);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = ObjectKey {
            kind: Kind::Pod,
            namespace: text(&manifest["metadata"]["namespace"]),
            name: text(&manifest["metadata"]["name"]),
            uid: None,
        };
        Self { key, manifest }
    }
}

impl Witness {
    /// A witness that is not started yet.
    pub fn new(cluster: Cluster, spec: WitnessSpec) -> Self {
        let WitnessSpec { key, manifest } = spec;
        Self {
            cluster,
            key,
            manifest,
            created: false,
            injected: None,
            before: BTreeSet::new(),
            cut_after: 0,
            cut_at: None,
            watched: None,
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// Creates the pod, and waits until it has connected to a peer.
    ///
    /// # Errors
    /// When it cannot run, or cannot reach any peer before the cut.
    pub async fn start(&mut self, owner: Option<Value>) -> Result<(), FaultError> {
        if let Some(owner) = owner {
            self.manifest["metadata"]["ownerReferences"] = Value::Array(vec![owner]);
        }
        // Recorded before the request: the server may create the pod although its answer is lost.
        self.created = true;
        let made = self.cluster.create(Kind::Pod, &self.key.namespace, &self.manifest).await?;
        self.key.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        self.injected = injected(&made);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let (trouble, hopeless) = match self.read().await {
                Ok(log) => match log.rounds.last() {
                    Some(round) if !round.open.is_empty() => return Ok(()),
                    Some(round) => (format!("it cannot connect to {}", join(&round.closed)), false),
                    None => ("it has not tried to connect yet".to_owned(), false),
                },
                Err(error) => match self.cluster.get(&self.key).await? {
                    Some(pod) => pod_trouble(&pod).unwrap_or((error.to_string(), false)),
                    None => ("it was deleted".to_owned(), true),
                },
            };
            if hopeless || Instant::now() >= deadline {
                return Err(FaultError::Impossible(Explained::new(
                    format!(
                        "the witness {} (image {}) cannot prove anything: {trouble}",
                        self.key, self.manifest["spec"]["containers"][0]["image"]
                    ),
                    "--witness-image names an image of this program that the cluster's nodes can run; `prove: traffic` and \
                     `prove: applied` need none",
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Records the reachable endpoints right before the cut.
    ///
    /// # Errors
    /// Why it then proves nothing: it reaches none, or its log shows nothing.
    pub async fn before(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let log = loop {
            match self.log().await {
                Ok(log) => break log,
                Err(why) if begun.elapsed() >= LOOK_LIMIT => return Err(why),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        };
        self.before = log.rounds.last().map(|round| round.open.clone()).unwrap_or_default();
        if self.before.is_empty() { Err("it could not connect to any peer".to_owned()) } else { Ok(()) }
    }

    /// Records that the cut is in place now.
    pub async fn cut_now(&mut self) {
        // The next round may have begun before the cut as well. Without a log, the first look counts as the cut.
        self.cut_after = self.log().await.map_or(u64::MAX, |log| log.begun + 1);
        self.cut_at = Some(Instant::now());
    }

    /// Whether it is cut off now, which it shows soon after the cut; `None` if it could not connect before.
    ///
    /// # Errors
    /// When its log does not show it.
    pub async fn look(&mut self) -> Result<Option<Finding>, FaultError> {
        if self.before.is_empty() {
            return Ok(None);
        }
        if self.cut_after == u64::MAX {
            self.cut_now().await;
        }
        let (seen, log) = self.ask(self.cut_after, LOOK_LIMIT, |seen| *seen == Seen::Cut).await;
        if seen == Seen::Cut {
            self.watched = Some(Watched::new(&log, Instant::now()));
        }
        self.finding(seen).map(Some)
    }

    /// Reads its log from time to time, for [`Witness::unproven`]. It never ends.
    pub async fn sample(&mut self) {
        loop {
            tokio::time::sleep(SAMPLE).await;
            let log = self.log().await;
            self.take_in(&log.unwrap_or_default());
        }
    }

    /// Since its proof: when it could connect, or did not try.
    pub fn unproven(&self) -> &[Stretch] {
        self.watched.as_ref().map(Watched::stretches).unwrap_or_default()
    }

    /// Its findings at the end of the fault, from rounds that began after the last look.
    ///
    /// # Errors
    /// When its log does not show whether it is cut off.
    pub async fn conclude(&mut self) -> Result<Vec<Finding>, FaultError> {
        let Some(cut_at) = self.cut_at.filter(|_| !self.before.is_empty()) else { return Ok(Vec::new()) };
        let after = self.watched.as_ref().map_or(self.cut_after, Watched::begun);
        let (seen, log) = self.ask(after, LAST_LIMIT, |seen| !matches!(seen, Seen::Unknown(_))).await;
        // What does not suffice yet is taken in with what comes.
        let mut finding = self.finding(seen)?;
        self.take_in(&log);
        finding.detail.push_str(" (checked again at the end)");
        let mut findings = vec![finding];
        findings.extend(established(&log.rounds, self.cut_after, cut_at.elapsed()));
        Ok(findings)
    }

    fn take_in(&mut self, log: &Log) {
        if let Some(watched) = &mut self.watched {
            watched.take_in(&self.before, log, Instant::now());
        }
    }

    /// What its rounds after this one show. It is asked until that is enough, or for this long.
    async fn ask(&self, after: u64, limit: Duration, is_enough: impl Fn(&Seen) -> bool) -> (Seen, Log) {
        let begun = Instant::now();
        loop {
            let (seen, log) = match self.log().await {
                Ok(log) => (Seen::new(&self.before, after, &log.rounds), log),
                Err(why) => (Seen::Unknown(why), Log::default()),
            };
            if is_enough(&seen) || begun.elapsed() >= limit {
                return (seen, log);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What it shows, as a finding.
    fn finding(&self, seen: Seen) -> Result<Finding, FaultError> {
        let (holds, detail) = match seen {
            Seen::Cut => (true, format!("a witness could connect to {} before, and cannot now", join(&self.before))),
            Seen::Open(open) => {
                let open = join(&open);
                let detail = match &self.injected {
                    None => format!(
                        "a witness with the targets' label can still connect to {open}: nothing enforces the policy"
                    ),
                    Some(others) => format!(
                        "the witness is not conclusive: admission added {others} to its pod, and a proxy there may accept its \
                         connections (it can still connect to {open})"
                    ),
                };
                (false, detail)
            }
            Seen::Unknown(why) => {
                return Err(FaultError::Unknown(
                    format!("the witness does not show whether the cut acts: {why}").into(),
                ));
            }
        };
        Ok(Finding { shows: Proof::Enforced, holds, detail })
    }

    /// Removes the pod.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn remove(&mut self) -> Result<(), FaultError> {
        if self.created {
            self.cluster.delete(&self.key).await?;
        }
        Ok(())
    }

    /// Checks that the pod is gone or being deleted.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn look_for_rests(&mut self) -> Result<Vec<Finding>, FaultError> {
        if !self.created {
            return Ok(Vec::new());
        }
        let there = self.cluster.own(&self.key).await?;
        let holds = there.is_none();
        self.created = !holds;
        let detail = format!("the witness {} is {}", self.key, if holds { "gone" } else { "still there" });
        Ok(vec![Finding { shows: Proof::Removed, holds, detail }])
    }

    /// The objects that may still exist.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let error = "its removal could not be confirmed".to_owned();
        let left = Leftover { what: self.key.to_string(), command: self.key.delete_command(), error };
        if self.created { vec![left] } else { Vec::new() }
    }

    /// Its log, or why there is none.
    async fn log(&self) -> Result<Log, String> {
        match self.read().await {
            Ok(log) if log.begun == 0 => Err("its log is empty".to_owned()),
            Ok(log) => Ok(log),
            Err(error) => Err(format!("its log could not be read ({error})")),
        }
    }

    async fn read(&self) -> Result<Log, ClusterError> {
        // Logs are read by name, and another client may have created a pod of this name.
        if self.cluster.own(&self.key).await?.is_none() {
            return Err(ClusterError::NotFound(format!("{} was deleted by another client", self.key).into()));
        }
        let text = self.cluster.pod_log(&self.key.namespace, &self.key.name, CONTAINER, LINES, None).await?;
        Ok(Log::read(&text))
    }
}

/// The endpoints whose connections survived the cut, and the endpoints whose connections were lost.
pub(super) fn held_since(rounds: &[Round], cut_after: u64, since: Duration) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut kept, mut lost) = (BTreeSet::new(), BTreeSet::new());
    let last = rounds.last().filter(|round| round.round > cut_after);
    for (endpoint, held) in last.into_iter().flat_map(|last| &last.held) {
        match held {
            Held::Alive if since >= KEPT_AFTER => _ = kept.insert(endpoint.clone()),
            // The peer's FIN arrived after the cut, so the connection had survived until then.
            Held::Ended { round } if *round > cut_after => _ = kept.insert(endpoint.clone()),
            Held::Lost { round } if *round > cut_after => _ = lost.insert(endpoint.clone()),
            _ => {}
        }
    }
    (kept, lost)
}

/// Whether the witness's established connections survived the cut; `None` if that is not known.
fn established(rounds: &[Round], cut_after: u64, since: Duration) -> Option<Finding> {
    let (kept, lost) = held_since(rounds, cut_after, since);
    let finding = |shows, detail| Some(Finding { shows, holds: true, detail });
    if !kept.is_empty() {
        let detail = format!(
            "{KEPT} by this cluster's network plugin: the witness's own connection to {} survived the cut",
            join(&kept)
        );
        finding(Proof::ConnectionsKept, detail)
    } else if !lost.is_empty() {
        let detail = format!(
            "established connections are cut as well: the witness's own connection to {} went silent",
            join(&lost)
        );
        finding(Proof::ConnectionsCut, detail)
    } else {
        None
    }
}

/// Why a pod does not run, and whether that is final.
pub fn pod_trouble(pod: &Value) -> Option<(String, bool)> {
    if pod["status"]["phase"] == "Failed" {
        let message =
            pod["status"]["message"].as_str().or(pod["status"]["reason"].as_str()).unwrap_or("its program ended");
        return Some((message.to_owned(), true));
    }
    let status = |list: &str| pod["status"][list].as_array().into_iter().flatten().collect::<Vec<_>>();
    let ours = status("containerStatuses").into_iter().find(|it| it["name"] == CONTAINER)?;
    // Admission may add init containers. One that waits keeps our container from starting.
    let before = status("initContainerStatuses");
    let waits = |it: &&&Value| it["state"]["waiting"]["reason"].as_str().is_some_and(|why| why != "PodInitializing");
    let state = &before.iter().find(waits).copied().unwrap_or(ours)["state"]["waiting"];
    let reason = state["reason"].as_str()?;
    let hopeless = [
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerError",
        "RunContainerError",
    ];
    let message = state["message"].as_str().map(|message| format!(" ({message})")).unwrap_or_default();
    Some((format!("{reason}{message}"), hopeless.contains(&reason)))
}

fn manifest(request: WitnessRequest<'_>) -> Value {
    let WitnessRequest { run, serial, part, fault, label, near, endpoints, image } = request;
    let mut labels = BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::RUN.to_owned(), run.to_owned()),
        (labels::FAULT.to_owned(), labels::value(fault)),
    ]);
    labels.insert(label.0, label.1);
    let endpoints: Vec<String> = endpoints.into_iter().take(MOST).collect();
    let mut pod = pod(
        &format!("shakedown-{run}-{serial}-w{part}"),
        &near.namespace,
        labels,
        image,
        &ProbeConfig { to: endpoints.join(","), listen: 0 },
    );
    if let Some(node) = &near.node {
        // The pod is bound to the target's node, which enforces policies in the same way.
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

/// The containers that admission added to a pod, as text; `None` without any.
pub(super) fn injected(pod: &Value) -> Option<String> {
    let names = |list: &str| {
        let list = pod["spec"][list].as_array().into_iter().flatten();
        list.filter_map(|it| it["name"].as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut others = [names("initContainers"), names("containers")].concat();
    others.retain(|name| name != CONTAINER);
    (!others.is_empty()).then(|| format!("the container {}", others.join(" and the container ")))
}

/// A pod that runs this program, is never Ready, and has no privileges.
pub fn pod(
    name: &str,
    namespace: &str,
    labels: BTreeMap<String, String>,
    image: &WitnessImage,
    probe: &ProbeConfig,
) -> Value {
    let opt_out = NO_SIDECARS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let labels: BTreeMap<String, String> = labels.into_iter().chain(opt_out).collect();
    let annotations = BTreeMap::from(NO_SIDECARS_ANNOTATED);
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // This condition is never set, so no Service sends requests here.
            "readinessGates": [{"conditionType": "shakedown.dev/never"}],
            "containers": [{
                "name": CONTAINER,
                "image": image.image,
                "args": ["pod", "probe", "--config", json!(probe).to_string()],
                "resources": {
                    "requests": {"cpu": "10m", "memory": "16Mi"},
                    "limits": {"cpu": "200m", "memory": "64Mi"},
                },
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": 65534,
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }],
        },
    });
    if !image.command.is_empty() {
        pod["spec"]["containers"][0]["command"] = json!(image.command);
    }
    if !image.pull_secrets.is_empty() {
        let secrets: Vec<Value> = image.pull_secrets.iter().map(|name| json!({"name": name})).collect();
        pod["spec"]["imagePullSecrets"] = json!(secrets);
    }
    pod
}

#[cfg(test)]
mod tests;
