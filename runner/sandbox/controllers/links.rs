//! Which links between pods carry data, from NetworkPolicies: the network plugin of the sandbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::policy::{Cluster, Connection, Endpoint, Labels, Pod, Protocol};
use crate::sandbox::net::{Carry, Link, Links};
use crate::sandbox::object;
use crate::sandbox::registry::Registry;
use crate::sandbox::resource::{NAMESPACES, NETWORK_POLICIES, PODS};

/// Keeps the links in step with pods, namespaces and policies.
#[derive(Debug)]
pub(crate) struct Plugin {
    links: Links,
    seen: Option<Seen>,
}

/// All that decides about links.
#[derive(Debug, PartialEq)]
struct Seen {
    pods: Vec<Pod>,
    namespaces: BTreeMap<String, Labels>,
    policies: Vec<NetworkPolicy>,
}

impl Plugin {
    /// Rules these links from now on.
    pub fn new(links: Links) -> Self {
        Self { links, seen: None }
    }

    /// Judges all links anew if anything that decides about them has changed.
    pub fn reconcile(&mut self, registry: &Registry) -> Option<Duration> {
        let (pods, namespaces, policies) = {
            let tx = registry.store.lock();
            (tx.list(&PODS, ""), tx.list(&NAMESPACES, ""), tx.list(&NETWORK_POLICIES, ""))
        };
        let labels = |namespace: &Value| -> Labels {
            let pairs = object::labels(namespace).into_iter().flatten();
            pairs.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string()))).collect()
        };
        let mut seen = Seen {
            pods: typed::<core::Pod>(&pods).iter().filter_map(Pod::from_kubernetes).collect(),
            namespaces: namespaces.iter().map(|n| (object::name(n).to_string(), labels(n))).collect(),
            policies: typed(&policies),
        };
        for policy in &mut seen.policies {
            // A change of annotations alone must not wake every connection.
            policy.metadata.resource_version = None;
            policy.metadata.annotations = None;
        }
        if self.seen.as_ref() != Some(&seen) {
            let cluster = Cluster::new(seen.pods.clone(), seen.namespaces.clone(), &seen.policies);
            self.links.update(Arc::new(move |link| carry(&cluster, link)));
            self.seen = Some(seen);
        }
        None
    }
}

fn carry(cluster: &Cluster, link: Link) -> Carry {
    let connection = Connection {
        from: Endpoint::Address(link.source),
        to: Endpoint::Address(link.destination),
        protocol: Protocol::Tcp,
        port: link.port,
    };
    if cluster.permits(&connection) { Carry::OPEN } else { Carry::BLOCKED }
}

fn typed<T: DeserializeOwned>(objects: &[Arc<Value>]) -> Vec<T> {
    let parse = |object: &Arc<Value>| match T::deserialize(object.as_ref()) {
        Ok(typed) => Some(typed),
        Err(error) => {
            // Everything that is stored went through these types; this would be a bug.
            tracing::error!(name = object::name(object), %error, "a stored object cannot be read back");
            None
        }
    };
    objects.iter().filter_map(parse).collect()
}
