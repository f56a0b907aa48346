//! What containers use: the samples of the metrics API, or of the kubelets' statistics through the API server. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use shakedown_schemas::result::PodRef;

use super::{Cluster, ClusterError};
use shakedown_schemas::units::quantity;

/// A source of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageSource {
    /// The metrics API (`metrics.k8s.io`), as metrics-server serves it.
    Metrics,
    /// The kubelets' statistics, through the API server.
    Kubelet,
}

impl UsageSource {
    /// Its name in reports.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Metrics => "the metrics API",
            Self::Kubelet => "the kubelet's statistics",
        }
    }
}

/// What a container used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageSample {
    /// The moment of the sample, by the clock of its node.
    pub at: Timestamp,
    /// The window of the CPU time's average. None if unknown.
    pub window: Option<Duration>,
    /// CPU time, in cores.
    pub cores: f64,
    /// Memory in bytes: resident, or the working set if only that is known.
    pub memory: f64,
}

/// The samples of containers, by `namespace/pod/container`.
pub type Usage = BTreeMap<String, UsageSample>;

impl Cluster {
    /// The first source that has a sample of one of these pods, with its samples.
    ///
    /// # Errors
    /// With the reason why neither can be read.
    pub async fn find_usage(&self, pods: &[PodRef]) -> Result<(UsageSource, Usage), String> {
        let mut reasons = Vec::new();
        for source in [UsageSource::Metrics, UsageSource::Kubelet] {
            let what = source.words();
            match self.usage(source, pods).await {
                Ok(usage) if !usage.is_empty() => return Ok((source, usage)),
                Ok(_) => reasons.push(format!("there is no sample of these pods in {what}")),
                Err(ClusterError::NotFound(_)) if source == UsageSource::Metrics => {
                    reasons.push("this cluster has no metrics API".to_owned());
                }
                Err(ClusterError::Forbidden { .. }) => {
                    let permission = match source {
                        UsageSource::Metrics => "get pods of metrics.k8s.io",
                        UsageSource::Kubelet => "get nodes/proxy",
                    };
                    reasons.push(format!("this account may not {permission}"));
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(reasons.join(", and "))
    }

    /// The latest samples of these pods' containers. A container without a sample is left out.
    ///
    /// # Errors
    /// When the source refuses or does not answer, for the first such pod or node.
    pub async fn usage(&self, source: UsageSource, pods: &[PodRef]) -> Result<Usage, ClusterError> {
        let mut usage = Usage::new();
        match source {
            UsageSource::Metrics => {
                let answers = join_all(pods.iter().map(|pod| {
                    let PodRef { namespace, name, .. } = pod;
                    self.read_once(
                        "read the metrics of a pod",
                        format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/{name}"),
                    )
                }));
                let mut gone = None;
                for (pod, answer) in pods.iter().zip(answers.await) {
                    match answer {
                        Ok(answer) => of_metrics(&mut usage, pod, &answer),
                        // A missing pod does not affect the others.
                        Err(error) if error.is_not_found() => gone = Some(error),
                        Err(error) => return Err(error),
                    }
                }
                if let Some(error) = gone.filter(|_| usage.is_empty()) {
                    return Err(error);
                }
            }
            UsageSource::Kubelet => {
                let nodes: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.node.as_deref()).collect();
                let answers = join_all(nodes.iter().map(|node| {
                    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary?only_cpu_and_memory=true");
                    self.read_once("read the kubelet's statistics", path)
                }));
                for answer in answers.await {
                    of_summary(&mut usage, pods, &answer?);
                }
            }
        }
        Ok(usage)
    }

    /// A GET of a path as JSON, asked once: for those who ask again in their own rhythm.
    async fn read_once(&self, action: &str, path: String) -> Result<Value, ClusterError> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| ClusterError::Other {
            action: action.to_owned(),
            message: error.to_string(),
            transient: false,
        })?;
        self.once(action, self.client.request::<Value>(request)).await
    }
}

fn id(pod: &PodRef, container: &Value) -> Option<String> {
    Some(format!("{}/{}/{}", pod.namespace, pod.name, container["name"].as_str()?))
}

fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The samples of an answer of the metrics API.
fn of_metrics(usage: &mut Usage, pod: &PodRef, answer: &Value) {
    let Some(at) = moment(&answer["timestamp"]) else { return };
    let window = answer["window"].as_str().and_then(|text| text.parse::<jiff::SignedDuration>().ok());
    let window = window.and_then(|window| Duration::try_from(window).ok());
    for container in answer["containers"].as_array().into_iter().flatten() {
        let amount = |key: &str| container["usage"][key].as_str().and_then(quantity);
        if let (Some(id), Some(cores), Some(memory)) = (id(pod, container), amount("cpu"), amount("memory")) {
            usage.insert(id, UsageSample { at, window, cores, memory });
        }
    }
}

/// The samples of these pods in a kubelet's answer.
fn of_summary(usage: &mut Usage, pods: &[PodRef], answer: &Value) {
    for there in answer["pods"].as_array().into_iter().flatten() {
        let Some(pod) = pods.iter().find(|pod| there["podRef"]["uid"] == *pod.uid) else { continue };
        for container in there["containers"].as_array().into_iter().flatten() {
            let (cpu, memory) = (&container["cpu"], &container["memory"]);
            let resident = memory["rssBytes"].as_f64().or_else(|| memory["workingSetBytes"].as_f64());
            let cores = cpu["usageNanoCores"].as_f64().map(|nanocores| nanocores / 1e9);
            let at = moment(&cpu["time"]).or_else(|| moment(&memory["time"]));
            if let (Some(id), Some(at), Some(cores), Some(memory)) = (id(pod, container), at, cores, resident) {
                usage.insert(id, UsageSample { at, window: None, cores, memory });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_fakes::recordings;

    use super::*;
    use crate::testing::answering;
    use crate::testing::store::Store;

    fn pod(name: &str, uid: &str) -> PodRef {
        PodRef { namespace: "hog".into(), name: name.into(), uid: uid.into(), node: Some("node-1".into()), ip: None }
    }

    /// The pod of the recording.
    fn hog() -> PodRef {
        let first = recordings::usage().remove(0);
        pod("hog", first["pods"][0]["podRef"]["uid"].as_str().unwrap())
    }

    fn refused(code: u16) -> Option<(u16, Value)> {
        Some((code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no"})))
    }

    #[test]
    fn a_recorded_kubelet_is_read() {
        let of = |answer: &Value, container: &str| {
            let mut usage = Usage::new();
            of_summary(&mut usage, &[hog(), pod("hog", "of-another-pod")], answer);
            usage[&format!("hog/hog/{container}")]
        };
        let all = recordings::usage();
        let memory = |container: &str| -> Vec<f64> {
            all.iter().map(|answer| (of(answer, container).memory / 1e5).round() / 10.0).collect()
        };
        // Idle first, then 128 MB that stay allocated, and 400 MB that never exceed the limit of 100 MiB.
        let both = memory("both");
        assert_eq!((both[0], both.last()), (0.1, Some(&128.2)), "{both:?}");
        let oom = memory("oom");
        assert!(oom.iter().all(|it| *it < 105.0) && oom.iter().filter(|it| **it < 10.0).count() > 5, "{oom:?}");
        let throttled: Vec<f64> = all.iter().skip(3).map(|answer| of(answer, "throttled").cores).collect();
        assert!(throttled.iter().all(|cores| (0.15..0.3).contains(cores)), "{throttled:?}");
        let last = of(all.last().unwrap(), "both");
        assert_eq!((last.at.to_string().as_str(), last.window), ("2026-11-29T12:05:19Z", None));
    }

    #[test]
    fn the_metrics_api_is_read() {
        let answer = json!({
            "kind": "PodMetrics", "timestamp": "2026-11-29T12:05:19Z", "window": "15.02s",
            "containers": [
                {"name": "web", "usage": {"cpu": "981234567n", "memory": "125000Ki"}},
                {"name": "side", "usage": {"cpu": "5m", "memory": "3Mi"}},
            ],
        });
        let mut usage = Usage::new();
        of_metrics(&mut usage, &pod("shop", "u"), &answer);
        let web = usage["hog/shop/web"];
        assert!((web.cores - 0.981_234_567).abs() < 1e-12, "{}", web.cores);
        assert_eq!((web.memory, web.window), (128e6, Some(Duration::from_millis(15_020))));
        assert_eq!(usage["hog/shop/side"].cores, 0.005);
    }

    #[tokio::test]
    async fn the_first_source_that_answers_is_taken_and_refusals_are_named() {
        let summary = recordings::usage().remove(0);
        let with = |metrics: u16, kubelet: u16| {
            let summary = summary.clone();
            answering(&Store::default().cluster(), move |(_, path, _)| match path.contains("/proxy/stats/summary") {
                true if kubelet == 200 => Some((200, summary.clone())),
                true => refused(kubelet),
                false => refused(metrics),
            })
        };
        let (source, usage) = with(404, 200).find_usage(&[hog()]).await.unwrap();
        assert_eq!((source, usage.len()), (UsageSource::Kubelet, 3));
        let why = with(404, 403).find_usage(&[hog()]).await.unwrap_err();
        assert_eq!(why, "this cluster has no metrics API, and this account may not get nodes/proxy");
        let why = with(403, 404).find_usage(&[hog()]).await.unwrap_err();
        assert!(why.starts_with("this account may not get pods of metrics.k8s.io, and "), "{why}");
        let why = with(404, 200).find_usage(&[pod("other", "u")]).await.unwrap_err();
        assert!(why.ends_with("there is no sample of these pods in the kubelet's statistics"), "{why}");
    }
}
