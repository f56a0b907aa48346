//! A cluster without HTTP and without a node, in which the controllers of chaos and links work.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::addresses::Addresses;
use crate::clock::Clock;
use crate::controllers::chaos::Controller;
use crate::controllers::{garbage, jobs, links, run};
use crate::dns::Dns;
use crate::net::{Link, Links};
use crate::object;
use crate::registry::{DeleteOptions, Registry, WriteOptions};
use crate::resource::{EVENTS, NAMESPACES, PODS, Resource, SERVICES};
use crate::store::{Key, Store};

/// A cluster with two workers and a bus behind a service, all of them pods without programs.
pub(super) struct Cluster {
    pub registry: Arc<Registry>,
    pub links: Links,
    _tasks: JoinSet<()>,
}

impl Cluster {
    pub fn new() -> Self {
        Self::with(&json!({}))
    }

    /// With these fields in the spec of each pod.
    pub fn with(fields: &Value) -> Self {
        let registry = Arc::new(Registry {
            store: Store::new(Clock::new()),
            addresses: Addresses::claim().unwrap(),
            logs: Default::default(),
            kills: Default::default(),
            starting: Default::default(),
        });
        let links = Links::new();
        let (mut plugin, mut tasks) = (links::Plugin::new(links.clone()), JoinSet::new());
        let mut mesh = Controller::new(Some(links.ailments().clone()), Arc::new(Dns(registry.clone())));
        tasks.spawn(run(registry.clone(), move |registry| mesh.reconcile(registry)));
        tasks.spawn(run(registry.clone(), move |registry| plugin.reconcile(registry)));
        tasks.spawn(run(registry.clone(), garbage::reconcile));
        tasks.spawn(run(registry.clone(), jobs::reconcile));
        let cluster = Self { registry, links, _tasks: tasks };
        cluster.create(&NAMESPACES, json!({"metadata": {"name": "a"}}));
        for name in ["w-0", "w-1", "nats-0"] {
            cluster.pod_with(name, fields);
        }
        cluster.create(
            &SERVICES,
            json!({"metadata": {"name": "nats"}, "spec": {"selector": {"app": "nats"}, "ports": [{"port": 4222}]}}),
        );
        cluster
    }

    /// True while every controller works.
    pub fn works(&mut self) -> bool {
        self._tasks.try_join_next().is_none()
    }

    pub fn pod(&self, name: &str) {
        self.pod_with(name, &json!({}));
    }

    fn pod_with(&self, name: &str, fields: &Value) {
        let app = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        let command = json!(["shakedown", "pod", if app == "w" { "worker" } else { "bus" }]);
        let mut pod = json!({"metadata": {"name": name, "labels": {"app": app}},
            "spec": {"containers": [{"name": "main", "image": "shakedown:latest", "command": command}]}});
        pod["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let pod = self.create(&PODS, pod);
        let ip = self.registry.addresses.pod().unwrap().to_string();
        self.registry.modify(&Key::of(&PODS, &pod), object::uid(&pod), |pod| {
            pod["status"] = json!({"phase": "Running", "podIP": ip});
        });
    }

    pub fn create(&self, resource: &'static Resource, object: Value) -> Arc<Value> {
        self.try_create(resource, object).unwrap()
    }

    pub fn try_create(&self, resource: &'static Resource, mut object: Value) -> Result<Arc<Value>, String> {
        object["apiVersion"] = resource.api_version().into();
        object["kind"] = resource.kind.into();
        let namespace = if resource.namespaced { "a" } else { "" };
        let written = self.registry.create(resource, namespace, object, WriteOptions::default());
        written.map(|written| written.object).map_err(|error| error.to_string())
    }

    pub fn chaos(&self, resource: &'static Resource, name: &str, spec: Value) {
        let mut whole = json!({"mode": "all", "selector": {"labelSelectors": {"app": "w"}}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.create(resource, json!({"metadata": {"name": name}, "spec": whole}));
    }

    pub fn get(&self, resource: &'static Resource, name: &str) -> Option<Arc<Value>> {
        self.registry.store.get(resource, "a", name)
    }

    pub fn is(&self, resource: &'static Resource, name: &str, condition: &str) -> bool {
        self.get(resource, name).is_some_and(|chaos| object::condition(&chaos, condition) == Some("True"))
    }

    pub fn desired(&self, resource: &'static Resource, name: &str) -> String {
        self.get(resource, name)
            .map(|chaos| object::text(&chaos, "/status/experiment/desiredPhase").to_string())
            .unwrap_or_default()
    }

    /// The records: id, phase, and the message of the last event.
    pub fn records(&self, resource: &'static Resource, name: &str) -> Vec<(String, String, String)> {
        let chaos = self.get(resource, name).unwrap();
        let text = |value: &Value, pointer: &str| object::text(value, pointer).to_string();
        object::list(&chaos, "/status/experiment/containerRecords")
            .iter()
            .map(|record| {
                let last = object::list(record, "/events").last().map(|event| text(event, "/message"));
                (text(record, "/id"), text(record, "/phase"), last.unwrap_or_default())
            })
            .collect()
    }

    pub fn annotate(&self, resource: &'static Resource, name: &str, key: &str, value: Value) {
        let chaos = self.get(resource, name).unwrap();
        self.registry.modify(&Key::of(resource, &chaos), object::uid(&chaos), |chaos| {
            object::map_mut(&mut chaos["metadata"], "annotations").insert(key.into(), value);
        });
    }

    pub fn delete(&self, resource: &'static Resource, name: &str) {
        self.registry.delete(&Key::new(resource, "a", name), &DeleteOptions::default()).unwrap();
    }

    pub fn said(&self, part: &str) -> usize {
        let events = self.registry.store.list(&EVENTS, "a");
        events.iter().filter(|event| object::text(event, "/message").contains(part)).count()
    }

    pub fn ip(&self, pod: &str) -> IpAddr {
        object::text(&self.get(&PODS, pod).unwrap(), "/status/podIP").parse().unwrap()
    }

    /// How long a packet takes from one pod to another and back, in ms; `None` when the link is cut.
    pub fn takes(&self, from: &str, to: &str, via: Option<SocketAddr>) -> Option<(u128, u128)> {
        let link = Link { source: self.ip(from), destination: self.ip(to), port: 4222, via };
        let carry = self.links.ask(link);
        let now = Instant::now();
        let ms = |at: Instant| (at - now).as_millis();
        carry.open.then(|| (ms(carry.there.send(now, 100).unwrap()), ms(carry.back.send(now, 100).unwrap())))
    }

    /// Waits, in the cluster's time, until `is_so` holds.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut latest = self.registry.store.subscribe();
        let waited = timeout(Duration::from_secs(3600), async {
            while !is_so(self) {
                latest.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "never happened: {what}");
    }

    /// Lets everything happen that happens without time passing.
    pub async fn settle(&self) {
        let mut latest = self.registry.store.subscribe();
        while timeout(Duration::from_millis(1), latest.changed()).await.is_ok() {}
    }
}
