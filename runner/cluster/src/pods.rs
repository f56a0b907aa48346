//! Finds the pods that a selector matches.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::PodSelector;

use super::lists::Listed;
use super::{Cluster, ClusterError, Kind, labels};
use shakedown_policy::{Labels, Selector};

/// The resource of an owner such as `deployment/web`, or `web` for a Deployment. None for an unsupported kind.
pub fn owner_plural(owner: &str) -> Option<&'static str> {
    let kind = owner.split_once('/').map_or("deployment", |(kind, _)| kind).to_ascii_lowercase();
    match kind.as_str() {
        "deployment" | "deployments" | "deploy" => Some("deployments"),
        "replicaset" | "replicasets" | "rs" => Some("replicasets"),
        "statefulset" | "statefulsets" | "sts" => Some("statefulsets"),
        "daemonset" | "daemonsets" | "ds" => Some("daemonsets"),
        _ => None,
    }
}

/// The statuses of the containers that run as long as their pod: its containers, and its init containers with
/// `restartPolicy: Always` (native sidecars).
pub fn lasting_statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let is_sidecar = move |status: &&Value| {
        list("/spec/initContainers").any(|it| it["name"] == status["name"] && it["restartPolicy"] == "Always")
    };
    list("/status/containerStatuses").chain(list("/status/initContainerStatuses").filter(is_sidecar))
}

impl Cluster {
    /// The pods that a selector matches and that run now, in order of their names, not yet narrowed by `count` or
    /// `percent`. Pods that end or are being deleted do not count.
    ///
    /// # Errors
    /// When the namespace does not exist, or the server refuses or does not answer.
    pub async fn matching_pods(
        &self,
        selector: &PodSelector,
        default_namespace: &str,
    ) -> Result<Vec<PodRef>, ClusterError> {
        let namespace = selector.namespace.as_deref().unwrap_or(default_namespace);
        let owners = match &selector.owner {
            Some(owner) => Some(self.owner_uids(owner, namespace).await?),
            None => None,
        };
        let (labels, fields) =
            (server_labels(selector), selector.name.as_ref().map(|name| format!("metadata.name={name}")));
        let listed = Listed { labels: labels.as_deref(), fields: fields.as_deref(), ..Listed::of(namespace) };
        let keep = |all: &mut Vec<PodRef>, pod: ApiPod| {
            // Check the whole selector: a server that ignores a part of the query returns more pods.
            if pod.runs()
                && pod.matches(selector)
                && owners.as_ref().is_none_or(|owners| pod.metadata.is_owned_by(owners))
            {
                all.push(pod.into_ref());
            }
        };
        let mut found = self.fetch_all(Kind::Pod, listed, keep).await?;
        found.sort();
        if found.is_empty() {
            self.require_namespace(namespace).await?;
        }
        Ok(found)
    }

    /// Whether a selector matches this pod, regardless of the pod's phase.
    ///
    /// # Errors
    /// When the selector names an owner and the server refuses or does not answer.
    pub async fn is_selected(
        &self,
        pod: &Value,
        selector: &PodSelector,
        default_namespace: &str,
    ) -> Result<bool, ClusterError> {
        let namespace = selector.namespace.as_deref().unwrap_or(default_namespace);
        let pod = ApiPod::deserialize(pod).unwrap_or_default();
        if pod.metadata.namespace.as_deref() != Some(namespace) || !pod.matches(selector) {
            return Ok(false);
        }
        match &selector.owner {
            Some(owner) => Ok(pod.metadata.is_owned_by(&self.owner_uids(owner, namespace).await?)),
            None => Ok(true),
        }
    }

    /// An error if a namespace does not exist. If this account may not read namespaces, it counts as existing.
    ///
    /// # Errors
    /// When the namespace does not exist or the server does not answer.
    pub async fn require_namespace(&self, namespace: &str) -> Result<(), ClusterError> {
        let key =
            super::ObjectKey { kind: Kind::Namespace, namespace: String::new(), name: namespace.to_owned(), uid: None };
        match self.get(&key).await {
            Ok(Some(_)) | Err(ClusterError::Forbidden { .. }) => Ok(()),
            Ok(None) if self.info().sandbox => Err(ClusterError::NotFound(Explained::new(
                format!("there is no namespace `{namespace}` in the sandbox"),
                "its pods are those of a topology: choose one with --sandbox-topology (`dynamo`, `quick`, `shop` or a file), or \
                 with `sandbox: {topology: shop}` in the scenario",
            ))),
            Ok(None) => Err(ClusterError::NotFound(Explained::new(
                format!("there is no namespace `{namespace}` in this cluster"),
                "`kubectl get namespaces` lists them; `namespace:` in the scenario or --namespace on the command line chooses \
                 one",
            ))),
            Err(error) => Err(error),
        }
    }

    /// The UIDs of the objects through which a workload owns its pods: its own, and for a Deployment those of its
    /// ReplicaSets.
    async fn owner_uids(&self, owner: &str, namespace: &str) -> Result<BTreeSet<String>, ClusterError> {
        let name = owner.split_once('/').map_or(owner, |(_, name)| name);
        let Some(plural) = owner_plural(owner) else {
            return Err(ClusterError::NotFound(Explained::new(
                format!("`{owner}`: this kind of owner is not supported"),
                "write deployment/NAME, replicaset/NAME, statefulset/NAME or daemonset/NAME, or select by labels",
            )));
        };
        let path = format!("/apis/apps/v1/namespaces/{namespace}/{plural}/{name}");
        let workload = match self.raw(&format!("read {owner}"), &path).await {
            Err(ClusterError::NotFound(_)) => {
                let help = self.help_for_workload(namespace, plural, name).await;
                let text = format!("there is no {owner} in namespace `{namespace}`");
                return Err(ClusterError::NotFound(Explained::new(text, help)));
            }
            other => other?,
        };
        let uid = workload["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let mut uids = BTreeSet::from([uid]);
        if plural == "deployments" {
            let listed = Listed { only_metadata: true, ..Listed::of(namespace) };
            let owners = uids.clone();
            let keep = |all: &mut BTreeSet<String>, set: ApiObject| {
                all.extend(set.metadata.is_owned_by(&owners).then_some(set.metadata.uid).flatten());
            };
            uids.extend(self.fetch_all(Kind::ReplicaSet, listed, keep).await?);
        }
        Ok(uids)
    }

    /// A GET of a path, as JSON.
    pub(super) async fn raw(&self, action: &str, path: &str) -> Result<Value, ClusterError> {
        self.repeated(action, || async {
            let request = http::Request::get(path)
                .body(Vec::new())
                .map_err(|error| kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error)))?;
            self.client.request::<Value>(request).await
        })
        .await
    }
}

/// The part of the selector that the server can evaluate.
fn server_labels(selector: &PodSelector) -> Option<String> {
    let pairs = selector.labels.as_ref()?.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    Some(pairs.collect::<Vec<_>>().join(",")).filter(|text| !text.is_empty())
}

/// An object, reduced to its metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiObject {
    pub metadata: ApiMetadata,
}

/// The fields of a pod that selectors and workloads need.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiPod {
    pub metadata: ApiMetadata,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ApiMetadata {
    namespace: Option<String>,
    name: Option<String>,
    pub uid: Option<String>,
    labels: Option<Labels>,
    owner_references: Option<Vec<Owner>>,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    controller: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
}

impl ApiMetadata {
    fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owner_references.iter().flatten()
    }

    fn is_owned_by(&self, owners: &BTreeSet<String>) -> bool {
        self.owners().any(|owner| owner.uid.as_ref().is_some_and(|uid| owners.contains(uid)))
    }

    /// The UID and the name of the controller, such as `deployment/web`.
    pub fn controller(&self) -> Option<(String, String)> {
        let owner = self.owners().find(|owner| owner.controller == Some(true))?;
        let kind = owner.kind.as_ref()?.to_ascii_lowercase();
        Some((owner.uid.clone()?, format!("{kind}/{}", owner.name.as_ref()?)))
    }
}

impl ApiPod {
    pub fn runs(&self) -> bool {
        self.status.phase.as_deref() == Some("Running") && self.metadata.deletion_timestamp.is_none()
    }

    /// A pod that a run created, such as a witness, does not belong to the service: no selector matches it.
    fn matches(&self, selector: &PodSelector) -> bool {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let label = |key: &str| self.metadata.labels.as_ref()?.get(key).map(String::as_str);
        !labels::is_of_run(label)
            && selector.name.as_deref().is_none_or(|wanted| name == wanted)
            && selector.prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix))
            && selector.labels.as_ref().is_none_or(|labels| Selector::from(labels).holds(label))
    }

    fn into_ref(self) -> PodRef {
        PodRef {
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: self.metadata.name.unwrap_or_default(),
            uid: self.metadata.uid.unwrap_or_default(),
            node: self.spec.node_name,
            ip: self.status.pod_ip,
        }
    }
}

/// A pod's identity.
pub fn pod_ref(pod: &Value) -> PodRef {
    ApiPod::deserialize(pod).unwrap_or_default().into_ref()
}

/// Narrows pods by `count` or `percent` (rounded up). The choice depends on the seed, the fault's name and the pods'
/// order by name only, so that the same seed chooses the same ones where names are stable.
///
/// # Errors
/// When there are fewer pods than `count` asks for.
pub fn choose(pods: &[PodRef], selector: &PodSelector, seed: u64, fault: &str) -> Result<Vec<PodRef>, String> {
    choose_of(pods, |_| true, selector, seed, fault)
}

/// The same of those pods that are free. The number that `percent` asks for, and the order of choice, are those of all pods.
///
/// # Errors
/// When there are fewer free pods than are wanted.
pub fn choose_of(
    pods: &[PodRef],
    is_free: impl Fn(&PodRef) -> bool,
    selector: &PodSelector,
    seed: u64,
    fault: &str,
) -> Result<Vec<PodRef>, String> {
    let free = || pods.iter().filter(|pod| is_free(pod));
    let wanted = match (selector.count, selector.percent) {
        (Some(count), _) => count as usize,
        (None, Some(percent)) => (pods.len() as f64 * percent.fraction() - 1e-9).ceil().max(0.0) as usize,
        (None, None) => pods.len(),
    };
    if free().count() < wanted {
        return Err(format!(
            "fault `{fault}` needs {wanted} pods, but only {} match: {}",
            free().count(),
            free().map(|pod| pod.name.as_str()).collect::<Vec<_>>().join(", ")
        ));
    }
    let salt = fault.bytes().fold(seed, |hash, byte| mix(hash ^ u64::from(byte)));
    let mut ranked: Vec<(u64, &PodRef)> =
        pods.iter().enumerate().map(|(index, pod)| (mix(salt ^ mix(index as u64 + 1)), pod)).collect();
    ranked.retain(|(_, pod)| is_free(pod));
    ranked.sort();
    let mut chosen: Vec<PodRef> = ranked.into_iter().take(wanted).map(|(_, pod)| pod.clone()).collect();
    chosen.sort();
    Ok(chosen)
}

/// SplitMix64's output function (Steele, Lea, Flood 2014). It never changes, while a library's generator may change between
/// versions.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_schemas::units::Percent;

    use super::*;

    fn pods(count: usize) -> Vec<PodRef> {
        (0..count)
            .map(|index| PodRef {
                namespace: "n".into(),
                name: format!("pod-{index}"),
                uid: index.to_string(),
                node: None,
                ip: None,
            })
            .collect()
    }

    #[test]
    fn the_choice_follows_the_seed_and_the_fault() {
        let one = PodSelector { count: Some(1), ..PodSelector::default() };
        let chosen = choose(&pods(5), &one, 1, "a").unwrap();
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen, choose(&pods(5), &one, 1, "a").unwrap());
        let by_seed: BTreeSet<_> = (0..50).map(|seed| choose(&pods(5), &one, seed, "a").unwrap()).collect();
        assert_eq!(by_seed.len(), 5, "every pod has its turn");
        let by_fault: BTreeSet<_> =
            (0..50).map(|fault| choose(&pods(5), &one, 1, &fault.to_string()).unwrap()).collect();
        assert_eq!(by_fault.len(), 5);
    }

    #[test]
    fn only_pods_that_run_and_stay_are_chosen() {
        let runs = |pod: &Value| ApiPod::deserialize(pod).unwrap().runs();
        let pod = |phase: &str| json!({"metadata": {}, "status": {"phase": phase}});
        let picked: Vec<&str> = ["Pending", "Running", "Succeeded", "Failed", "Unknown"]
            .into_iter()
            .filter(|phase| runs(&pod(phase)))
            .collect();
        assert_eq!(picked, ["Running"]);
        let going = json!({"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}, "status": {"phase": "Running"}});
        assert!(!runs(&going));
    }

    #[test]
    fn percentages_round_up_and_too_few_pods_are_an_error() {
        let share =
            |text: &str| PodSelector { percent: Some(text.parse::<Percent>().unwrap()), ..PodSelector::default() };
        for (text, of, expected) in [("50%", 4, 2), ("50%", 3, 2), ("1%", 3, 1), ("100%", 3, 3), ("33.3%", 3, 1)] {
            assert_eq!(choose(&pods(of), &share(text), 7, "f").unwrap().len(), expected, "{text} of {of}");
        }
        let five = PodSelector { count: Some(5), ..PodSelector::default() };
        assert!(choose(&pods(2), &five, 7, "f").unwrap_err().contains("needs 5 pods, but only 2 match: pod-0, pod-1"));
    }

    #[test]
    fn selectors_match_by_name_prefix_and_labels() {
        let pod = json!({"metadata": {"name": "web-1", "labels": {"app": "web", "tier": "a"}}});
        let selector = |text: &str| serde_json::from_str::<PodSelector>(text).unwrap();
        for (text, expected) in [
            (r#"{"name": "web-1"}"#, true),
            (r#"{"name": "web"}"#, false),
            (r#"{"prefix": "web"}"#, true),
            (r#"{"labels": {"app": "web"}}"#, true),
            (r#"{"labels": {"app": "web", "tier": "b"}}"#, false),
            (r#"{"prefix": "db", "labels": {"app": "web"}}"#, false),
            (r#"{"labels": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}}"#, true),
            (r#"{"labels": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a"]}]}}"#, false),
            (r#"{"labels": {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]}}"#, true),
            (r#"{"labels": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}"#, true),
            (r#"{"labels": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}"#, false),
        ] {
            assert_eq!(ApiPod::deserialize(&pod).unwrap().matches(&selector(text)), expected, "{text}");
        }
    }

    /// The witness of one scenario was a peer of the next one, whose cut takes every pod.
    #[test]
    fn no_selector_means_a_pod_that_a_run_created() {
        let pod =
            |labels: Value| ApiPod::deserialize(&json!({"metadata": {"name": "web-1", "labels": labels}})).unwrap();
        for text in [r#"{"prefix": ""}"#, r#"{"name": "web-1"}"#, r#"{"labels": {"app": "web"}}"#] {
            let selector = serde_json::from_str::<PodSelector>(text).unwrap();
            let ours = json!({"app": "web", labels::MANAGED_BY: labels::MANAGER, labels::RUN: "r"});
            assert!(!pod(ours).matches(&selector), "{text}");
            // A service may be called like this program.
            assert!(pod(json!({"app": "web", labels::MANAGED_BY: labels::MANAGER})).matches(&selector), "{text}");
        }
    }
}
