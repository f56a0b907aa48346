//! Data about pods: events, services, containers and their logs. Read only; each is read at most twice per scenario.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::lists::Listed;
use super::{Cluster, ClusterError, Kind};

/// The timeout of reading a log.
const LIMIT: Duration = Duration::from_secs(10);

impl Cluster {
    /// The events about pods of a namespace that the cluster still keeps (an hour, as a rule).
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn pod_events(&self, namespace: &str) -> Result<Vec<Value>, ClusterError> {
        let listed = Listed { fields: Some("involvedObject.kind=Pod"), ..Listed::of(namespace) };
        self.fetch_all(Kind::Event, listed, Vec::push).await
    }

    /// The services of a namespace.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn services(&self, namespace: &str) -> Result<Vec<Value>, ClusterError> {
        self.list(Kind::Service, namespace, None).await
    }

    /// The names of a pod's containers.
    ///
    /// # Errors
    /// When the pod is gone, or the server refuses or does not answer.
    pub async fn containers(&self, namespace: &str, pod: &str) -> Result<Vec<String>, ClusterError> {
        let pod = self.raw("read a pod", &format!("/api/v1/namespaces/{namespace}/pods/{pod}")).await?;
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        Ok(containers.filter_map(|it| it["name"].as_str().map(str::to_owned)).collect())
    }

    /// The log of a container since a moment, each line with its timestamp, limited to this number of bytes.
    ///
    /// # Errors
    /// When the pod is gone or has no log, or the server refuses or does not answer.
    pub async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        since: Timestamp,
        bytes: usize,
    ) -> Result<String, ClusterError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log");
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let query = format!("container={container}&sinceTime={since}&timestamps=true&limitBytes={bytes}");
        let action = "read a log";
        let request = http::Request::get(format!("{path}?{query}")).body(Vec::new()).map_err(|error| {
            ClusterError::Other { action: action.to_owned(), message: error.to_string(), transient: false }
        })?;
        match tokio::time::timeout(LIMIT, self.client.request_text(request)).await {
            Ok(answer) => answer.map_err(|error| ClusterError::from_kube(action, &error)),
            Err(_) => Err(ClusterError::Timeout { action: action.to_owned(), limit: LIMIT }),
        }
    }
}
