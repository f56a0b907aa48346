//! The permissions of this account, dry runs of objects and logs of pods: requests that change nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, LogParams, PostParams};
use serde_json::{Value, json};
use shakedown_schemas::scenario::Access;

use super::{Cluster, ClusterError, Kind};

impl Cluster {
    /// Whether this account has a permission in a namespace (in all namespaces if it is empty). None if the server does not
    /// support access reviews.
    ///
    /// # Errors
    /// When the server does not answer at all.
    pub async fn may(&self, access: Access, namespace: &str) -> Result<Option<bool>, ClusterError> {
        self.may_with(access, namespace, "").await
    }

    /// The same for one object by name, or for every object if the name is empty.
    ///
    /// # Errors
    /// When the server does not answer at all.
    pub async fn may_with(&self, access: Access, namespace: &str, name: &str) -> Result<Option<bool>, ClusterError> {
        let (resource, subresource) = access.resource.split_once('/').unwrap_or((access.resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "group": access.group,
                "resource": resource,
                "subresource": subresource,
                "verb": access.verb,
                "namespace": namespace,
                "name": name,
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        match self.post("ask what this account may do", path, &review).await {
            Ok(answer) => Ok(answer["status"]["allowed"].as_bool()),
            Err(ClusterError::NotFound(_) | ClusterError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The server's answer to a dry run of an object.
    ///
    /// # Errors
    /// When the server refuses the object or does not answer.
    pub async fn dry_run(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, ClusterError> {
        let action = format!("try the creation of {} in namespace {namespace} (dry run)", kind.kubectl());
        let typed: DynamicObject = serde_json::from_value(object.clone()).map_err(|error| ClusterError::Other {
            action: action.clone(),
            message: error.to_string(),
            transient: false,
        })?;
        let api = self.api(kind, namespace);
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        let made = self.repeated(&action, || api.create(&parameters, &typed)).await?;
        Ok(super::objects::to_value(&made))
    }

    /// The last log lines of a container, since a moment if one is given. The container is named, because admission may have
    /// added others to the pod.
    ///
    /// # Errors
    /// When the pod is not there or has not begun, or the server refuses or does not answer.
    pub async fn pod_log(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
        lines: u32,
        since: Option<Duration>,
    ) -> Result<String, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let (container, tail_lines) = (Some(container.to_owned()), Some(i64::from(lines)));
        let since_seconds = since.map(|since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX).saturating_add(1));
        let parameters = LogParams { container, tail_lines, since_seconds, ..LogParams::default() };
        self.once(&format!("read the log of pod {name}"), api.logs(name, &parameters)).await
    }

    /// A POST that is safe to repeat.
    pub(super) async fn post(&self, action: &str, path: &str, body: &Value) -> Result<Value, ClusterError> {
        self.repeated(action, || async {
            let request = http::Request::post(path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.to_string().into_bytes())
                .map_err(|error| kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error)))?;
            self.client.request::<Value>(request).await
        })
        .await
    }
}
