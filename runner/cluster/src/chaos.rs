//! Chaos Mesh in a cluster: its served kinds, its events and its installation. Read only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lists::Listed;
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
    /// The images that these daemons run, by node: with their digests, where the kubelet knows them.
    pub daemon_images: BTreeMap<String, String>,
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

    /// A kind by its API version and name, and whether it is namespaced. None if the cluster does not serve it.
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
        let of = format!("involvedObject.uid={uid}");
        let listed = Listed { fields: Some(&of), ..Listed::of(namespace) };
        let events = self.fetch_all(Kind::Event, listed, Vec::push).await;
        let mut events: Vec<Value> = match events {
            Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => return Ok(Vec::new()),
            other => other?,
        };
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
        let deployments = Kind::other("apps/v1", "Deployment", "deployments");
        let controllers = |all: &mut Vec<Value>, object: Value| all.extend(is_chaos_mesh(&object).then_some(object));
        found.controllers =
            self.readable(deployments, &component("controller-manager"), &mut found, controllers).await?;
        if found.unreadable.is_empty() {
            let names = component("chaos-dns-server");
            found.name_servers = self.readable(deployments, &names, &mut found, Vec::push).await?;
        }
        let (daemon, daemons) = (component("chaos-daemon"), Kind::other("apps/v1", "DaemonSet", "daemonsets"));
        found.daemons = self.readable(daemons, &daemon, &mut found, Vec::push).await?;
        let before = found.unreadable.len();
        let ready = |all: &mut BTreeMap<String, String>, pod: Value| {
            let node = pod["spec"]["nodeName"].as_str().filter(|_| condition(&pod, "Ready") == Some("True"));
            let digest = pod["status"]["containerStatuses"][0]["imageID"].as_str().filter(|digest| !digest.is_empty());
            let image = digest.or(pod["spec"]["containers"][0]["image"].as_str()).unwrap_or_default();
            all.extend(node.map(|node| (node.to_owned(), image.to_owned())));
        };
        found.daemon_images = self.readable(Kind::Pod, &daemon, &mut found, ready).await?;
        let nodes = found.daemon_images.keys().cloned().collect();
        found.daemon_nodes = (found.unreadable.len() == before).then_some(nodes);
        Ok(found)
    }

    /// The same, with its webhooks and its definitions.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn chaos_installation(&self) -> Result<Installation, ClusterError> {
        let mut found = self.chaos_programs().await?;
        for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
            let single = kind.to_ascii_lowercase();
            let kind = Kind::other("admissionregistration.k8s.io/v1", kind, &format!("{single}s"));
            let name = |all: &mut Vec<String>, it: Value| {
                let name = it["metadata"]["name"].as_str().filter(|_| is_chaos_webhook(&it));
                all.extend(name.map(|name| format!("{single}/{name}")));
            };
            let names = self.readable(kind, "", &mut found, name).await?;
            found.webhooks.extend(names);
        }
        let kind = Kind::other("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions");
        let definitions: Vec<Value> = self.readable(kind, "", &mut found, Vec::push).await?;
        for definition in definitions {
            if definition["spec"]["group"] == "chaos-mesh.org"
                && let Some(plural) = definition["spec"]["names"]["plural"].as_str()
            {
                found.definitions.insert(plural.to_owned(), definition);
            }
        }
        Ok(found)
    }

    /// The last log lines of Chaos Mesh's daemon on a node, not older than this: only it knows why a tool failed there. None if
    /// there is no daemon, or if this account may not read its log.
    pub async fn chaos_daemon_log(&self, node: &str, age: Duration) -> Option<String> {
        const LINES: u32 = 200;
        let labels = component("chaos-daemon");
        let listed = Listed { labels: Some(&labels), ..Listed::default() };
        let keep = |there: &mut Option<Value>, pod: Value| {
            if pod["spec"]["nodeName"] == node {
                there.get_or_insert(pod);
            }
        };
        let pod = self.fetch_all(Kind::Pod, listed, keep).await.ok()??;
        let name = |key: &str| pod["metadata"][key].as_str();
        self.pod_log(name("namespace")?, name("name")?, "chaos-daemon", LINES, Some(age)).await.ok()
    }

    /// The objects of a kind in the whole cluster, reduced to the needed fields. If this account may not read them, the kind
    /// is recorded as unreadable.
    async fn readable<T: DeserializeOwned, C: Default>(
        &self,
        kind: Kind,
        labels: &str,
        found: &mut Installation,
        keep: impl Fn(&mut C, T),
    ) -> Result<C, ClusterError> {
        let listed = Listed { labels: Some(labels).filter(|labels| !labels.is_empty()), ..Listed::default() };
        match self.fetch_all(kind, listed, keep).await {
            Err(ClusterError::Forbidden { .. }) => {
                found.unreadable.push(kind.plural().to_owned());
                Ok(C::default())
            }
            // A server without this API has no such objects.
            Err(ClusterError::NotFound(_)) => Ok(C::default()),
            other => other,
        }
    }
}

/// The kind, the plural name and whether it is namespaced, of each resource that is not a subresource.
fn resources(list: &Value) -> impl Iterator<Item = (&str, &str, bool)> {
    list["resources"].as_array().into_iter().flatten().filter_map(|resource| {
        let plural = resource["name"].as_str().filter(|name| !name.contains('/'))?;
        Some((resource["kind"].as_str()?, plural, resource["namespaced"] == true))
    })
}

/// The label selector of a part of Chaos Mesh.
fn component(name: &str) -> String {
    format!("app.kubernetes.io/component={name}")
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
