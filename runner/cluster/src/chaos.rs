//! Chaos Mesh as a part of a cluster: its served kinds, its events and its installation. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Cluster, ClusterError, Kind};

/// The installed parts of Chaos Mesh, as far as this account may read them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Installation {
    /// The Deployments of its controller, as they are.
    pub controllers: Vec<Value>,
    /// The DaemonSets of its daemons.
    pub daemons: Vec<Value>,
    /// The nodes on which a daemon's pod is ready; none where its pods may not be read.
    pub daemon_nodes: Option<BTreeSet<String>>,
    /// The Deployments of the DNS server that answers for it.
    pub name_servers: Vec<Value>,
    /// Its webhooks' configurations, as kubectl names them.
    pub webhooks: Vec<String>,
    /// Its definitions, by the plural name of their kind.
    pub definitions: BTreeMap<String, Value>,
    /// The unreadable kinds, in words.
    pub unreadable: Vec<String>,
}

impl Cluster {
    /// The kinds of Chaos Mesh that this cluster serves, by their plural names; empty where it is not installed.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn chaos_kinds(&self) -> Result<BTreeSet<String>, ClusterError> {
        match self.raw("look for Chaos Mesh", "/apis/chaos-mesh.org/v1alpha1").await {
            Ok(list) => Ok(resources(&list).map(|(_, plural, _)| plural.to_owned()).collect()),
            Err(ClusterError::NotFound(_) | ClusterError::Forbidden { .. }) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// A kind by its API version and name, and whether its objects live in namespaces; none where the cluster does not
    /// serve it.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn discover(&self, api_version: &str, kind: &str) -> Result<Option<(Kind, bool)>, ClusterError> {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        match self.raw(&format!("look for {kind}"), &format!("/{root}/{api_version}")).await {
            Ok(list) => Ok(resources(&list)
                .find(|(name, ..)| *name == kind)
                .map(|(name, plural, namespaced)| (Kind::other(api_version, name, plural), namespaced))),
            Err(ClusterError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The events about one object, the latest last. An account that may not read events gets none.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn events_of(&self, namespace: &str, uid: &str) -> Result<Vec<Value>, ClusterError> {
        let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.uid%3D{uid}");
        let list = match self.raw(&format!("list events in namespace {namespace}"), &path).await {
            Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => return Ok(Vec::new()),
            other => other?,
        };
        let mut events = list["items"].as_array().cloned().unwrap_or_default();
        // A server that does not know this field selector gives all of them.
        events.retain(|event| event["involvedObject"]["uid"] == uid);
        let time = |event: &Value| {
            let texts = [&event["lastTimestamp"], &event["eventTime"], &event["metadata"]["creationTimestamp"]];
            texts.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
        };
        events.sort_by_key(time);
        Ok(events)
    }

    /// The running parts of Chaos Mesh in all namespaces. Kinds that this account may not read are listed and skipped.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn chaos_programs(&self) -> Result<Installation, ClusterError> {
        let mut found = Installation::default();
        let by = |component: &str| format!("labelSelector=app.kubernetes.io%2Fcomponent%3D{component}");
        let controller = by("controller-manager");
        found.controllers = self.readable("deployments", "apis/apps/v1/deployments", &controller, &mut found).await?;
        found.controllers.retain(is_chaos_mesh);
        if found.unreadable.is_empty() {
            let names = by("chaos-dns-server");
            found.name_servers = self.readable("deployments", "apis/apps/v1/deployments", &names, &mut found).await?;
        }
        found.daemons = self.readable("daemonsets", "apis/apps/v1/daemonsets", &by("chaos-daemon"), &mut found).await?;
        let before = found.unreadable.len();
        let pods = self.readable("pods", "api/v1/pods", &by("chaos-daemon"), &mut found).await?;
        if found.unreadable.len() == before {
            let ready = |pod: &&Value| condition(pod, "Ready") == Some("True");
            let nodes = pods.iter().filter(ready).filter_map(|pod| pod["spec"]["nodeName"].as_str());
            found.daemon_nodes = Some(nodes.map(str::to_owned).collect());
        }
        Ok(found)
    }

    /// The same, with its webhooks and its definitions.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn chaos_installation(&self) -> Result<Installation, ClusterError> {
        let mut found = self.chaos_programs().await?;
        for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            let path = format!("apis/admissionregistration.k8s.io/v1/{kind}");
            let mut configurations = self.readable(kind, &path, "", &mut found).await?;
            configurations.retain(is_chaos_webhook);
            let names = configurations.iter().filter_map(|it| it["metadata"]["name"].as_str());
            let single = kind.trim_end_matches('s');
            found.webhooks.extend(names.map(|name| format!("{single}/{name}")));
        }
        let path = "apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for definition in self.readable("customresourcedefinitions", path, "", &mut found).await? {
            if definition["spec"]["group"] == "chaos-mesh.org"
                && let Some(plural) = definition["spec"]["names"]["plural"].as_str()
            {
                found.definitions.insert(plural.to_owned(), definition);
            }
        }
        Ok(found)
    }

    /// The last log lines of Chaos Mesh's daemon on a node: only it knows why a tool failed there. None if there is no
    /// daemon, or if this account may not read its log.
    pub async fn chaos_daemon_log(&self, node: &str) -> Option<String> {
        const LINES: u32 = 200;
        let path = "/api/v1/pods?labelSelector=app.kubernetes.io%2Fcomponent%3Dchaos-daemon";
        let pods = self.raw("look for the chaos-daemons", path).await.ok()?;
        let pod = pods["items"].as_array()?.iter().find(|pod| pod["spec"]["nodeName"] == node)?;
        let name = |key: &str| pod["metadata"][key].as_str();
        self.pod_log(name("namespace")?, name("name")?, "chaos-daemon", LINES).await.ok()
    }

    /// The objects of a list of the whole cluster, or none and a word about it.
    async fn readable(
        &self,
        what: &str,
        path: &str,
        query: &str,
        found: &mut Installation,
    ) -> Result<Vec<Value>, ClusterError> {
        match self.raw(&format!("list {what}"), &format!("/{path}?{query}")).await {
            Ok(list) => Ok(list["items"].as_array().cloned().unwrap_or_default()),
            Err(ClusterError::Forbidden { .. }) => {
                found.unreadable.push(what.to_owned());
                Ok(Vec::new())
            }
            // A server without that API has none of them.
            Err(ClusterError::NotFound(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The kind, the plural name and whether it is namespaced, of each resource that is not a part of another.
fn resources(list: &Value) -> impl Iterator<Item = (&str, &str, bool)> {
    list["resources"].as_array().into_iter().flatten().filter_map(|resource| {
        let plural = resource["name"].as_str().filter(|name| !name.contains('/'))?;
        Some((resource["kind"].as_str()?, plural, resource["namespaced"] == true))
    })
}

/// Other projects have controller managers as well.
fn is_chaos_mesh(deployment: &Value) -> bool {
    let labels = &deployment["metadata"]["labels"];
    let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
    name.starts_with("chaos-controller-manager")
        || ["name", "part-of"].iter().any(|key| labels[format!("app.kubernetes.io/{key}")] == "chaos-mesh")
}

fn is_chaos_webhook(configuration: &Value) -> bool {
    configuration["webhooks"].as_array().into_iter().flatten().any(|webhook| {
        let groups = webhook["rules"].as_array().into_iter().flatten().flat_map(|rule| rule["apiGroups"].as_array());
        groups.flatten().any(|group| group == "chaos-mesh.org")
    })
}

fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}
