//! Determines the state of the links between pods: from NetworkPolicies, like a network plugin, and from the rules of each
//! pod's PodNetworkChaos, like chaos-daemon on the node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::events;
use crate::mesh::daemon::Rules;
use crate::mesh::lacks;
use crate::net::{Carry, Link, Links, ShaperChain};
use crate::object;
use crate::registry::Registry;
use crate::resource::{NAMESPACES, NETWORK_POLICIES, NODES, POD_NETWORK_CHAOS, PODS};
use crate::store::Key;
use shakedown_policy::{ApiPod, Cluster, Connection, Endpoint, Labels, Pod, Protocol};

/// Keeps the links in step with pods, namespaces and policies.
#[derive(Debug)]
pub(crate) struct Plugin {
    links: Links,
    seen: Option<LinkInputs>,
    /// The rules of each PodNetworkChaos, by its uid: their shapers keep their state until the rules change.
    rules: BTreeMap<String, Read>,
}

/// The rules of a PodNetworkChaos in one generation.
#[derive(Debug)]
struct Read {
    generation: i64,
    /// The rules, or why they are invalid.
    rules: Result<Arc<Rules>, String>,
}

/// All inputs of the link rules.
#[derive(Debug, PartialEq)]
struct LinkInputs {
    pods: Vec<Pod>,
    namespaces: BTreeMap<String, Labels>,
    policies: Vec<NetworkPolicy>,
    /// The pods with rules: their addresses, and the uid and generation of their rules.
    hurt: BTreeMap<IpAddr, (String, i64)>,
}

impl Plugin {
    /// Controls these links from now on.
    pub fn new(links: Links) -> Self {
        Self { links, seen: None, rules: BTreeMap::new() }
    }

    /// Evaluates all links again if one of their inputs has changed.
    pub fn reconcile(&mut self, registry: &Registry) -> Option<Duration> {
        let (pods, namespaces, policies, chaos) = {
            let tx = registry.store.lock();
            (
                tx.list(&PODS, ""),
                tx.list(&NAMESPACES, ""),
                tx.list(&NETWORK_POLICIES, ""),
                tx.list(&POD_NETWORK_CHAOS, ""),
            )
        };
        self.read(registry, &pods, &chaos);
        let labels = |namespace: &Value| -> Labels {
            let pairs = object::labels(namespace).into_iter().flatten();
            pairs.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string()))).collect()
        };
        let mut seen = LinkInputs {
            pods: typed::<ApiPod>(&pods).into_iter().filter_map(Pod::from_kubernetes).collect(),
            namespaces: namespaces.iter().map(|n| (object::name(n).to_string(), labels(n))).collect(),
            policies: typed(&policies),
            hurt: pods.iter().filter_map(|pod| self.hurt(pod, &chaos)).collect(),
        };
        for policy in &mut seen.policies {
            // A change of annotations alone must not wake every connection.
            policy.metadata.resource_version = None;
            policy.metadata.annotations = None;
        }
        if self.seen.as_ref() != Some(&seen) {
            let cluster = Cluster::new(seen.pods.clone(), seen.namespaces.clone(), &seen.policies);
            let rules = |uid: &String| self.rules.get(uid).and_then(|read| read.rules.clone().ok());
            let hurt: BTreeMap<IpAddr, Arc<Rules>> =
                seen.hurt.iter().filter_map(|(ip, (uid, _))| Some((*ip, rules(uid)?))).collect();
            self.links.update(Arc::new(move |link| carry(&cluster, &hurt, link)));
            self.seen = Some(seen);
        }
        // The rules act from here on.
        self.tell(registry, &chaos);
        None
    }

    /// Reads new and changed rules.
    fn read(&mut self, registry: &Registry, pods: &[Arc<Value>], chaos: &[Arc<Value>]) {
        self.rules.retain(|uid, _| chaos.iter().any(|object| object::uid(object) == uid));
        for object in chaos {
            let generation = object::number(object, "/metadata/generation").unwrap_or(0);
            let known = self.rules.get(object::uid(object));
            // What failed is tried again.
            if known.is_none_or(|read| read.generation != generation || read.rules.is_err()) {
                let is_its = |pod: &&Arc<Value>| {
                    object::name(pod) == object::name(object) && object::namespace(pod) == object::namespace(object)
                };
                let node = pods.iter().find(is_its).map(|pod| object::text(pod, "/spec/nodeName"));
                let node = node.and_then(|node| registry.store.get(&NODES, "", node));
                let rules = match lacks::rules(node.as_deref(), object) {
                    Some(message) => Err(message),
                    None => Rules::read(object).map(Arc::new),
                };
                self.rules.insert(object::uid(object).to_owned(), Read { generation, rules });
            }
        }
    }

    /// The address of a pod with rules. Rules of an earlier pod with this name are gone with it.
    fn hurt(&self, pod: &Value, chaos: &[Arc<Value>]) -> Option<(IpAddr, (String, i64))> {
        let is_its = |object: &&Arc<Value>| {
            object::list(object, "/metadata/ownerReferences").iter().any(|owner| owner["uid"] == object::uid(pod))
        };
        let object = chaos.iter().find(is_its)?;
        let uid = object::uid(object);
        let ip = object::text(pod, "/status/podIP").parse().ok()?;
        Some((ip, (uid.to_owned(), self.rules.get(uid)?.generation)))
    }

    /// Reports the generation of each pod's rules that acts, or why it does not.
    fn tell(&self, registry: &Registry, chaos: &[Arc<Value>]) {
        for object in chaos {
            let Some(read) = self.rules.get(object::uid(object)) else { continue };
            let mut status = json!({"observedGeneration": read.generation});
            if let Err(message) = &read.rules {
                status["failedMessage"] = message.clone().into();
            }
            if object.get("status") != Some(&status) {
                let key = Key::of(&POD_NETWORK_CHAOS, object);
                registry.modify(&key, object::uid(object), |object| object["status"] = status);
                let said = "Successfully update ObservedGeneration and FailedMessage of resource";
                events::emit(registry, object, "podnetworkchaos", false, "Updated", said);
                if let Err(message) = &read.rules {
                    let tool = if message.contains("set tcs") { "tc" } else { "iptables" };
                    let said = format!("Failed to set {tool}: {message}");
                    events::emit(registry, object, "podnetworkchaos", true, "Failed", &said);
                }
            }
        }
    }
}

fn carry(cluster: &Cluster, hurt: &BTreeMap<IpAddr, Arc<Rules>>, link: Link) -> Carry {
    let is_outside = link.source == IpAddr::V4(Ipv4Addr::LOCALHOST);
    if !is_outside && !permits(cluster, link) {
        return Carry::blocked();
    }
    let (near, far) = (hurt.get(&link.source), hurt.get(&link.destination));
    if near.is_none() && far.is_none() {
        return Carry::open();
    }
    // In the client's own network, packets still have the service's address, in both directions.
    let callee = link.via.unwrap_or(SocketAddr::new(link.destination, link.port));
    // A port of the client that no rule contains.
    let caller = SocketAddr::new(link.source, 0);
    let dropped = near.is_some_and(|rules| rules.drops_to(callee) || rules.drops_from(callee.ip()))
        || far.is_some_and(|rules| rules.drops_to(caller) || rules.drops_from(caller.ip()));
    if dropped {
        // One blocked direction is enough: without acknowledgements, the other one stops as well.
        return Carry::blocked();
    }
    let way =
        |rules: Option<&Arc<Rules>>, to| rules.map(|rules| ShaperChain::new(rules.shapers(to))).unwrap_or_default();
    Carry::through(way(near, callee), way(far, caller))
}

fn permits(cluster: &Cluster, link: Link) -> bool {
    let connection = Connection {
        from: Endpoint::Address(link.source),
        to: Endpoint::Address(link.destination),
        protocol: Protocol::Tcp,
        port: link.port,
    };
    cluster.permits(&connection)
}

fn typed<T: DeserializeOwned>(objects: &[Arc<Value>]) -> Vec<T> {
    let parse = |object: &Arc<Value>| match T::deserialize(object.as_ref()) {
        Ok(typed) => Some(typed),
        Err(error) => {
            // Every stored object was parsed with these types, so this would be a bug.
            tracing::error!(name = object::name(object), %error, "a stored object cannot be read back");
            None
        }
    };
    objects.iter().filter_map(parse).collect()
}
