//! The actions of a step on a target: rules in its PodNetworkChaos, another image, a kill, an ailment.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::dns::Dns;
use crate::mesh::network::{self, Ends};
use crate::mesh::record::{Failed, Phase, Record};
use crate::mesh::{ailing, lacks};
use crate::net::Ailments;
use crate::object;
use crate::registry::{DeleteOptions, Registry, WriteOptions};
use crate::resource::{NODES, POD_NETWORK_CHAOS, PODS, Resource};
use crate::store::Key;

/// The image that containers have while their pod fails.
const PAUSE_IMAGE: &str = "gcr.io/google-containers/pause:latest";
/// The prefix, before a container's name, of the annotation with its original image.
const IMAGE_ANNOTATION: &str = "sandbox.shakedown.dev/image-of-";
/// The namespace whose DNS search path applies to names of external targets.
const OWN_NAMESPACE: &str = "chaos-mesh";

/// The chaos of a step.
pub(super) struct ChaosAction<'a> {
    pub registry: &'a Registry,
    pub ailments: Option<&'a Ailments>,
    pub dns: &'a Arc<Dns>,
    pub resource: &'a Resource,
    pub chaos: &'a Value,
}

type Step = Result<Phase, Failed>;

impl ChaosAction<'_> {
    /// Injects, or checks whether a started injection has succeeded.
    pub fn apply(&self, all: &[Record], record: &Record, instances: &mut Value) -> Step {
        if record.phase == Phase::Injecting {
            // Rules that are gone with their pod are no longer injected, which releases the chaos.
            return self.look(record, instances, Phase::Injected).unwrap_or(Ok(Phase::NotInjected));
        }
        let pod = self.pod(record).ok_or_else(|| Failed::whole(format!("pod {:?} not found", record.id)))?;
        let node = self.registry.store.get(&NODES, "", object::text(&pod, "/spec/nodeName"));
        let missing =
            lacks::daemon(node.as_deref()).filter(|_| self.is_by_daemon() && self.resource.kind != "NetworkChaos");
        if let Some(missing) = missing {
            return Err(Failed::whole(missing));
        }
        match (self.resource.kind, object::text(self.chaos, "/spec/action")) {
            ("NetworkChaos", _) => self.apply_rules(&pod, all, record, instances),
            ("PodChaos", "pod-kill") => self.kill_pod(&pod),
            ("PodChaos", "pod-failure") => Ok(self.fail_pod(&pod)),
            // Whatever else is done to the pods of another cluster, its daemons would do.
            _ if self.ailments.is_none() => Ok(Phase::Injected),
            ("PodChaos", _) => match self.registry.kills.kill(object::uid(&pod), record.parts().2) {
                true => Ok(Phase::Injected),
                false => Err(Failed::whole(format!("container {:?} does not run", record.id))),
            },
            (kind, _) => {
                let ailment = ailing::ailment(kind, &self.chaos["spec"], &pod).map_err(Failed::whole)?;
                let ip = address(&pod).ok_or_else(|| Failed::whole(format!("pod {:?} has no address", record.id)))?;
                self.ailments.inspect(|it| it.inflict(ip.into(), &self.key(record), ailment));
                Ok(Phase::Injected)
            }
        }
    }

    /// Recovers, or checks whether a started recovery has succeeded. A pod that is gone counts as recovered.
    pub fn recover(&self, record: &Record, instances: &mut Value) -> Step {
        if record.phase == Phase::Recovering {
            return self.look(record, instances, Phase::NotInjected).unwrap_or(Ok(Phase::NotInjected));
        }
        if let Some(pod) = self.pod(record).filter(|_| self.is_by_daemon() && self.resource.kind != "NetworkChaos") {
            let node = self.registry.store.get(&NODES, "", object::text(&pod, "/spec/nodeName"));
            if let Some(message) = lacks::containers(node.as_deref()) {
                return Err(Failed { phase: record.phase, message });
            }
        }
        match (self.resource.kind, object::text(self.chaos, "/spec/action")) {
            ("NetworkChaos", _) => Ok(self.take_back_rules(record, instances)),
            ("PodChaos", "pod-failure") => {
                if let Some(pod) = self.pod(record) {
                    self.mend_pod(&pod);
                }
                Ok(Phase::NotInjected)
            }
            ("PodChaos", _) => Ok(Phase::NotInjected),
            _ => {
                self.ailments.inspect(|it| it.heal(&self.key(record)));
                Ok(Phase::NotInjected)
            }
        }
    }

    /// Whether a daemon carries it out, and not the manager.
    fn is_by_daemon(&self) -> bool {
        !matches!(object::text(self.chaos, "/spec/action"), "pod-kill" | "pod-failure")
    }

    fn pod(&self, record: &Record) -> Option<Arc<Value>> {
        let (namespace, name, _) = record.parts();
        self.registry.store.get(&PODS, namespace, name)
    }

    /// The key of the ailment.
    fn key(&self, record: &Record) -> String {
        format!("{}/{}", object::uid(self.chaos), record.id)
    }

    /// The daemon's report on the rules of a pod: `None` when there are none, because the pod is gone.
    fn look(&self, record: &Record, instances: &Value, done: Phase) -> Option<Step> {
        let (namespace, name, _) = record.parts();
        let found = self.registry.store.get(&POD_NETWORK_CHAOS, namespace, name)?;
        let failed = object::text(&found, "/status/failedMessage");
        let wanted = instances[&record.id].as_i64().unwrap_or(0);
        Some(if object::number(&found, "/status/observedGeneration").unwrap_or(0) < wanted {
            Ok(record.phase)
        } else if failed.is_empty() {
            Ok(done)
        } else {
            Err(Failed { phase: record.phase, message: failed.to_owned() })
        })
    }

    fn apply_rules(&self, pod: &Value, all: &[Record], record: &Record, instances: &mut Value) -> Step {
        let ends = self.ends(all).map_err(Failed::whole)?;
        let rules = network::rules(self.chaos, &record.selector_key, &ends).map_err(Failed::whole)?;
        if rules.is_empty() {
            return Ok(Phase::Injected);
        }
        let (namespace, name) = (object::namespace(pod), object::name(pod));
        if self.registry.store.get(&POD_NETWORK_CHAOS, namespace, name).is_none() {
            let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": object::uid(pod)});
            let mut new = json!({"apiVersion": POD_NETWORK_CHAOS.api_version(), "kind": POD_NETWORK_CHAOS.kind,
                "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]}, "spec": {}});
            network::merge(&mut new["spec"], &network::source_of(self.chaos), rules);
            let created = self.registry.create(&POD_NETWORK_CHAOS, namespace, new, WriteOptions::default());
            let created = created.map_err(|error| Failed::whole(error.to_string()))?;
            instances[&record.id] = object::number(&created.object, "/metadata/generation").unwrap_or(0).into();
            return Ok(Phase::Injecting);
        }
        let found = self.registry.store.get(&POD_NETWORK_CHAOS, namespace, name);
        let found = found.ok_or_else(|| Failed::whole(format!("podnetworkchaos {:?} not found", record.id)))?;
        // These rules belong to a deleted pod of the same name and are about to be garbage collected.
        if object::list(&found, "/metadata/ownerReferences").iter().all(|owner| owner["uid"] != object::uid(pod)) {
            return Err(Failed::whole(format!("podnetworkchaos {:?} belongs to another pod", record.id)));
        }
        self.write_rules(&found, record, rules, instances);
        Ok(Phase::Injecting)
    }

    fn take_back_rules(&self, record: &Record, instances: &mut Value) -> Phase {
        let (namespace, name, _) = record.parts();
        let Some(found) = self.registry.store.get(&POD_NETWORK_CHAOS, namespace, name) else {
            return Phase::NotInjected;
        };
        // A pod without a rule of this chaos must answer as well.
        self.write_rules(&found, record, network::Rules::default(), instances);
        Phase::Recovering
    }

    fn write_rules(&self, found: &Value, record: &Record, rules: network::Rules, instances: &mut Value) {
        let key = Key::of(&POD_NETWORK_CHAOS, found);
        let source = network::source_of(self.chaos);
        self.registry.modify(&key, object::uid(found), |object| network::merge(&mut object["spec"], &source, rules));
        let written = self.registry.store.get(key.resource, &key.namespace, &key.name);
        instances[&record.id] = written.and_then(|o| object::number(&o, "/metadata/generation")).unwrap_or(0).into();
    }

    fn ends(&self, all: &[Record]) -> Result<Ends, String> {
        let of = |selector_key: &str| -> Vec<Ipv4Addr> {
            let records = all.iter().filter(|record| record.selector_key == selector_key);
            records.filter_map(|record| address(&*self.pod(record)?)).collect()
        };
        let mut ends = Ends { sources: of("."), targets: of(".Target"), external: Vec::new() };
        for target in object::list(self.chaos, "/spec/externalTargets").iter().filter_map(Value::as_str) {
            let (host, port) = match target.rsplit_once(':') {
                Some((host, port)) => (host, Some(port.parse().map_err(|_| format!("{target:?} has no valid port"))?)),
                None => (target, None),
            };
            if host.parse::<shakedown_policy::Cidr>().is_ok() {
                ends.external.push((host.to_owned(), port));
                continue;
            }
            let found = match host.parse() {
                Ok(ip) => vec![ip],
                // Only names of the cluster: the sandbox does not query external DNS.
                Err(_) => self.dns.addresses(host, OWN_NAMESPACE),
            };
            if found.is_empty() {
                return Err(format!("lookup {host}: no such host"));
            }
            ends.external.extend(found.into_iter().map(|ip| (format!("{ip}/32"), port)));
        }
        Ok(ends)
    }

    fn kill_pod(&self, pod: &Value) -> Step {
        let grace = object::number(self.chaos, "/spec/gracePeriod").unwrap_or(0);
        let options = DeleteOptions { grace: Some(grace), ..DeleteOptions::of(object::uid(pod)) };
        match self.registry.delete(&Key::of(&PODS, pod), &options) {
            Ok(_) => Ok(Phase::Injected),
            Err(error) => Err(Failed::whole(error.to_string())),
        }
    }

    fn fail_pod(&self, pod: &Value) -> Phase {
        self.registry.modify(&Key::of(&PODS, pod), object::uid(pod), |pod| {
            let mut images = Vec::new();
            for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
                images.push((container["name"].clone(), container["image"].clone()));
                container["image"] = PAUSE_IMAGE.into();
            }
            let annotations = object::map_mut(&mut pod["metadata"], "annotations");
            for (name, image) in images {
                let key = format!("{IMAGE_ANNOTATION}{}", name.as_str().unwrap_or_default());
                // Another failure of this pod already stored the original image.
                annotations.entry(key).or_insert(image);
            }
        });
        Phase::Injected
    }

    fn mend_pod(&self, pod: &Value) {
        self.registry.modify(&Key::of(&PODS, pod), object::uid(pod), |pod| {
            let annotations = pod["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
            for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
                let key = format!("{IMAGE_ANNOTATION}{}", object::text(container, "/name"));
                if let Some(image) = annotations.get(&key) {
                    container["image"] = image.clone();
                }
            }
            if let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() {
                annotations.retain(|key, _| !key.starts_with(IMAGE_ANNOTATION));
            }
        });
    }
}

fn address(pod: &Value) -> Option<Ipv4Addr> {
    object::text(pod, "/status/podIP").parse().ok()
}
