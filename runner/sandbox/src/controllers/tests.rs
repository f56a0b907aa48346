//! The controllers under a paused clock, without HTTP and without a node.

pub(super) mod generated;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{deployments, endpoints, garbage, jobs, namespaces, run, stateful_sets};
use crate::addresses::Addresses;
use crate::clock::Clock;
use crate::object;
use crate::registry::{DeleteOptions, Propagation, Registry, WriteOptions};
use crate::resource::{
    CONFIGMAPS, DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, EVENTS, JOBS, NAMESPACES, NETWORK_POLICIES, PODS,
    REPLICA_SETS, Resource, SERVICES, STATEFUL_SETS,
};
use crate::store::{Key, Store};

/// A cluster whose controllers work on a paused clock, with the namespace `a`.
struct Cluster {
    registry: Arc<Registry>,
    _tasks: JoinSet<()>,
}

impl Cluster {
    fn new() -> Self {
        let registry = Arc::new(Registry {
            store: Store::new(Clock::new()),
            addresses: Addresses::claim().unwrap(),
            logs: Default::default(),
            kills: Default::default(),
            starting: Default::default(),
        });
        let mut tasks = JoinSet::new();
        for reconcile in [
            garbage::reconcile,
            jobs::reconcile,
            namespaces::reconcile,
            deployments::reconcile,
            stateful_sets::reconcile,
            endpoints::reconcile,
        ] {
            tasks.spawn(run(registry.clone(), reconcile));
        }
        let cluster = Self { registry, _tasks: tasks };
        cluster.create(&NAMESPACES, json!({"metadata": {"name": "a"}}));
        cluster
    }

    fn create(&self, resource: &'static Resource, mut object: Value) -> Arc<Value> {
        object["apiVersion"] = resource.api_version().into();
        object["kind"] = resource.kind.into();
        let namespace = if resource.namespaced { "a" } else { "" };
        self.registry.create(resource, namespace, object, WriteOptions::default()).unwrap().object
    }

    fn get(&self, resource: &'static Resource, name: &str) -> Option<Arc<Value>> {
        self.registry.store.get(resource, "a", name)
    }

    fn names(&self, resource: &'static Resource) -> Vec<String> {
        self.registry.store.list(resource, "a").iter().map(|o| object::name(o).to_string()).collect()
    }

    fn delete(&self, resource: &'static Resource, name: &str, propagation: Option<Propagation>) {
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        self.registry.delete(&Key::new(resource, "a", name), &options).unwrap();
    }

    /// Waits, in the cluster's time, until `is_so` holds.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut latest = self.registry.store.subscribe();
        let waited = timeout(Duration::from_secs(3600), async {
            while !is_so(self) {
                latest.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "never happened: {what}");
    }

    /// Runs everything that can run without time passing.
    async fn settle(&self) {
        let mut latest = self.registry.store.subscribe();
        // The clock only advances when all tasks are idle.
        while timeout(Duration::from_millis(1), latest.changed()).await.is_ok() {}
    }

    /// Acts as the node: the pod runs and is ready.
    fn make_ready(&self, name: &str) {
        let pod = self.get(&PODS, name).unwrap();
        let ip = self.registry.addresses.pod().unwrap().to_string();
        self.registry.modify(&Key::of(&PODS, &pod), object::uid(&pod), |pod| {
            pod["status"] =
                json!({"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]});
        });
    }
}

fn owned(name: &str, owners: &[&Value]) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .map(|o| json!({"apiVersion": o["apiVersion"], "kind": o["kind"], "name": object::name(o), "uid": object::uid(o)}))
        .collect();
    json!({"metadata": {"name": name, "ownerReferences": references}, "data": {}})
}

fn fuse(deadline: i64) -> Value {
    json!({"metadata": {"name": "fuse"}, "spec": {
        "activeDeadlineSeconds": deadline, "ttlSecondsAfterFinished": 0, "backoffLimit": 0,
        "template": {"spec": {"schedulerName": "nobody", "restartPolicy": "Never",
            "containers": [{"name": "fuse", "image": "none"}]}},
    }})
}

fn policy(owner: &Value) -> Value {
    let mut policy = owned("cut", &[owner]);
    policy["spec"] = json!({"podSelector": {}, "policyTypes": ["Egress"]});
    policy.as_object_mut().unwrap().remove("data");
    policy
}

#[tokio::test(start_paused = true)]
async fn a_fuse_removes_what_it_owns_at_its_deadline_and_not_before() {
    let cluster = Cluster::new();
    let began = Instant::now();
    let job = cluster.create(&JOBS, fuse(60));
    cluster.create(&NETWORK_POLICIES, policy(&job));
    cluster.until("the job has a pod", |c| !c.names(&PODS).is_empty()).await;
    let pod = cluster.registry.store.list(&PODS, "a").remove(0);
    assert_eq!(object::text(&pod, "/status/phase"), "Pending");
    assert_eq!(object::text(&pod, "/spec/nodeName"), "");
    cluster.until("the policy is gone", |c| c.get(&NETWORK_POLICIES, "cut").is_none()).await;
    let elapsed = began.elapsed();
    // Time stamps have whole seconds, so a deadline can come up to one second early, as on a real cluster.
    assert!((Duration::from_secs(59)..Duration::from_secs(61)).contains(&elapsed), "{elapsed:?}");
    cluster.until("the job and its pod are gone", |c| c.names(&JOBS).is_empty() && c.names(&PODS).is_empty()).await;
    let said = cluster.registry.store.list(&EVENTS, "a");
    assert!(said.iter().any(|e| e["reason"] == "DeadlineExceeded"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_past_its_deadline_says_why_it_failed() {
    let cluster = Cluster::new();
    let mut job = fuse(5);
    job["spec"]["ttlSecondsAfterFinished"] = 100.into();
    cluster.create(&JOBS, job);
    let failed = |c: &Cluster| c.get(&JOBS, "fuse").is_some_and(|j| object::condition(&j, "Failed") == Some("True"));
    cluster.until("the job fails", failed).await;
    let job = cluster.get(&JOBS, "fuse").unwrap();
    let condition = object::list(&job, "/status/conditions").iter().find(|c| c["type"] == "Failed").unwrap();
    assert_eq!(condition["reason"], "DeadlineExceeded");
    assert_eq!(condition["message"], "Job was active longer than specified deadline");
    assert_eq!(cluster.names(&PODS), [""; 0]);
    let began = Instant::now();
    cluster.until("the job's time to live is over", |c| c.get(&JOBS, "fuse").is_none()).await;
    assert!(began.elapsed() > Duration::from_secs(98), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_without_pods_runs_into_its_deadline_as_well() {
    let cluster = Cluster::new();
    let mut job = fuse(30);
    job["spec"]["parallelism"] = 0.into();
    cluster.create(&JOBS, job);
    cluster
        .until("the job started", |c| !object::text(&c.get(&JOBS, "fuse").unwrap(), "/status/startTime").is_empty())
        .await;
    assert_eq!(cluster.names(&PODS), [""; 0]);
    cluster.until("the job is gone", |c| c.get(&JOBS, "fuse").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_job_orphans_by_default_and_collects_when_asked() {
    let cluster = Cluster::new();
    for (propagation, stays) in
        [(None, true), (Some(Propagation::Background), false), (Some(Propagation::Foreground), false)]
    {
        let job = cluster.create(&JOBS, fuse(1000));
        cluster.create(&NETWORK_POLICIES, policy(&job));
        cluster.delete(&JOBS, "fuse", propagation);
        cluster.until("the job is gone", |c| c.get(&JOBS, "fuse").is_none()).await;
        cluster.settle().await;
        let policy = cluster.get(&NETWORK_POLICIES, "cut");
        assert_eq!(policy.is_some(), stays, "{propagation:?}");
        if let Some(policy) = policy {
            assert!(object::list(&policy, "/metadata/ownerReferences").is_empty());
            cluster.delete(&NETWORK_POLICIES, "cut", None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dependants_go_with_their_last_owner() {
    let cluster = Cluster::new();
    let map = |name: &str| cluster.create(&CONFIGMAPS, json!({"metadata": {"name": name}}));
    let (one, two) = (map("one"), map("two"));
    cluster.create(&CONFIGMAPS, owned("both", &[&one, &two]));
    cluster.create(&CONFIGMAPS, owned("first", &[&one]));
    cluster.create(
        &CONFIGMAPS,
        owned(
            "never",
            &[&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "uid": "another"}})],
        ),
    );
    cluster.create(
        &CONFIGMAPS,
        owned(
            "unknown",
            &[&json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", "uid": "u"}})],
        ),
    );
    cluster.delete(&CONFIGMAPS, "one", None);
    cluster.settle().await;
    assert_eq!(cluster.names(&CONFIGMAPS), ["both", "two", "unknown"]);
    let both = cluster.get(&CONFIGMAPS, "both").unwrap();
    assert_eq!(object::list(&both, "/metadata/ownerReferences").len(), 1);
    cluster.delete(&CONFIGMAPS, "two", None);
    cluster.settle().await;
    assert_eq!(cluster.names(&CONFIGMAPS), ["unknown"]);
}

#[tokio::test(start_paused = true)]
async fn a_foreground_deletion_waits_for_those_that_block_it() {
    let cluster = Cluster::new();
    let owner = cluster.create(&CONFIGMAPS, json!({"metadata": {"name": "owner"}}));
    let mut dependant = owned("dependant", &[&owner]);
    dependant["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = true.into();
    dependant["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.create(&CONFIGMAPS, dependant);
    cluster.delete(&CONFIGMAPS, "owner", Some(Propagation::Foreground));
    cluster.settle().await;
    assert_eq!(cluster.names(&CONFIGMAPS), ["dependant", "owner"]);
    assert!(cluster.registry.store.list(&CONFIGMAPS, "a").iter().all(|o| object::is_terminating(o)));
    let held = cluster.get(&CONFIGMAPS, "dependant").unwrap();
    cluster
        .registry
        .modify(&Key::of(&CONFIGMAPS, &held), object::uid(&held), |o| o["metadata"]["finalizers"] = json!([]));
    cluster.settle().await;
    assert_eq!(cluster.names(&CONFIGMAPS), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_emptied_first() {
    let cluster = Cluster::new();
    cluster.create(&CONFIGMAPS, json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}));
    cluster.create(&CONFIGMAPS, json!({"metadata": {"name": "free"}}));
    cluster.registry.delete(&Key::new(&NAMESPACES, "", "a"), &DeleteOptions::default()).unwrap();
    cluster.settle().await;
    let namespace = cluster.registry.store.get(&NAMESPACES, "", "a").unwrap();
    assert_eq!(object::text(&namespace, "/status/phase"), "Terminating");
    assert_eq!(cluster.names(&CONFIGMAPS), ["held"]);
    let late = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}});
    let refused = cluster.registry.create(&CONFIGMAPS, "a", late, WriteOptions::default()).unwrap_err();
    assert_eq!(refused.code, 403);
    assert!(refused.message.ends_with("because it is being terminated"), "{refused}");
    let held = cluster.get(&CONFIGMAPS, "held").unwrap();
    cluster
        .registry
        .modify(&Key::of(&CONFIGMAPS, &held), object::uid(&held), |o| o["metadata"]["finalizers"] = json!([]));
    cluster.settle().await;
    assert!(cluster.registry.store.get(&NAMESPACES, "", "a").is_none());
}

fn workload(replicas: u32) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "none", "ports": [{"name": "http", "containerPort": 8080}]}]}}}})
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_deployment_are_owned_through_a_replica_set_and_replaced_under_new_names() {
    let cluster = Cluster::new();
    let deployment = cluster.create(&DEPLOYMENTS, workload(2));
    cluster.settle().await;
    let set = cluster.registry.store.list(&REPLICA_SETS, "a").remove(0);
    assert_eq!(object::controller_uid(&set), Some(object::uid(&deployment)));
    let before = cluster.registry.store.list(&PODS, "a");
    assert_eq!(before.len(), 2);
    assert!(before.iter().all(|pod| object::controller_uid(pod) == Some(object::uid(&set))));
    let hash = object::text(&set, "/metadata/labels/pod-template-hash");
    assert!(object::name(&before[0]).starts_with(&format!("web-{hash}-")));
    cluster.delete(&PODS, object::name(&before[0]), None);
    cluster.settle().await;
    let after = cluster.registry.store.list(&PODS, "a");
    assert_eq!(after.len(), 2);
    let kept = after.iter().filter(|pod| before.iter().any(|b| object::uid(b) == object::uid(pod))).count();
    assert_eq!(kept, 1);
    assert_eq!(cluster.registry.store.list(&REPLICA_SETS, "a").len(), 1);
    for pod in &after {
        cluster.make_ready(object::name(pod));
    }
    cluster.settle().await;
    assert_eq!(cluster.get(&DEPLOYMENTS, "web").unwrap()["status"]["availableReplicas"], 2);
    cluster.delete(&DEPLOYMENTS, "web", None);
    cluster.settle().await;
    assert_eq!((cluster.names(&REPLICA_SETS).len(), cluster.names(&PODS).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_new_template_replaces_the_pods_once_the_new_ones_are_ready() {
    let cluster = Cluster::new();
    let deployment = cluster.create(&DEPLOYMENTS, workload(1));
    cluster.settle().await;
    let old = cluster.names(&PODS);
    cluster.make_ready(&old[0]);
    cluster.settle().await;
    cluster.registry.modify(&Key::of(&DEPLOYMENTS, &deployment), object::uid(&deployment), |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = "newer".into();
    });
    cluster.settle().await;
    assert_eq!(cluster.names(&PODS).len(), 2, "the old pod serves until the new one does");
    let new = cluster.names(&PODS).into_iter().find(|name| !old.contains(name)).unwrap();
    cluster.make_ready(&new);
    cluster.settle().await;
    assert_eq!(cluster.names(&PODS), [new]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_relabelled_is_let_go_and_replaced() {
    let cluster = Cluster::new();
    cluster.create(&DEPLOYMENTS, workload(1));
    cluster.settle().await;
    let pod = cluster.registry.store.list(&PODS, "a").remove(0);
    cluster
        .registry
        .modify(&Key::of(&PODS, &pod), object::uid(&pod), |pod| pod["metadata"]["labels"]["app"] = "aside".into());
    cluster.settle().await;
    assert_eq!(cluster.names(&PODS).len(), 2);
    assert_eq!(object::controller_uid(&cluster.get(&PODS, object::name(&pod)).unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_stateful_set_come_in_order_and_keep_their_names() {
    let cluster = Cluster::new();
    let mut set = workload(2);
    set["spec"]["serviceName"] = "web".into();
    cluster.create(&STATEFUL_SETS, set);
    cluster.settle().await;
    assert_eq!(cluster.names(&PODS), ["web-0"]);
    cluster.make_ready("web-0");
    cluster.settle().await;
    assert_eq!(cluster.names(&PODS), ["web-0", "web-1"]);
    let before = cluster.get(&PODS, "web-0").unwrap();
    cluster.delete(&PODS, "web-0", None);
    cluster.settle().await;
    let after = cluster.get(&PODS, "web-0").unwrap();
    assert_ne!(object::uid(&before), object::uid(&after));
}

#[tokio::test(start_paused = true)]
async fn endpoints_follow_ready_pods() {
    let cluster = Cluster::new();
    cluster.create(&DEPLOYMENTS, workload(2));
    cluster.create(
        &SERVICES,
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": "http"}]}}),
    );
    cluster.settle().await;
    let addresses = |c: &Cluster| object::list(&c.get(&ENDPOINTS, "web").unwrap(), "/subsets/0/addresses").len();
    assert_eq!(addresses(&cluster), 0);
    for name in cluster.names(&PODS) {
        cluster.make_ready(&name);
    }
    cluster.settle().await;
    assert_eq!(addresses(&cluster), 2);
    let endpoints = cluster.get(&ENDPOINTS, "web").unwrap();
    assert_eq!(endpoints["subsets"][0]["ports"][0]["port"], 8080);
    cluster.delete(&PODS, &cluster.names(&PODS)[0], None);
    cluster.settle().await;
    assert_eq!(addresses(&cluster), 1);
    cluster.delete(&SERVICES, "web", None);
    cluster.settle().await;
    assert!(cluster.get(&ENDPOINTS, "web").is_none());
}

/// As the real controllers do it: one slice for each combination of ports, and a pod that is being deleted is an endpoint that
/// serves and is not ready. Endpoints have it no longer.
#[tokio::test(start_paused = true)]
async fn pods_with_other_ports_have_slices_of_their_own_and_deleted_ones_are_terminating() {
    let cluster = Cluster::new();
    for (name, port) in [("old-0", 8080), ("old-1", 8080), ("new-0", 9090)] {
        let ports = json!([{"name": "web", "containerPort": port}]);
        let container = json!({"name": "main", "image": "x", "ports": ports});
        cluster.create(
            &PODS,
            json!({"metadata": {"name": name, "labels": {"app": "web"}, "finalizers": ["test/hold"]},
                "spec": {"containers": [container]}}),
        );
        cluster.make_ready(name);
    }
    let ports = json!([{"name": "web", "port": 80, "targetPort": "web"}]);
    cluster
        .create(&SERVICES, json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}));
    cluster.settle().await;
    let slices = |cluster: &Cluster| -> Vec<(i64, Vec<(String, Value)>)> {
        let all = cluster.registry.store.list(&ENDPOINT_SLICES, "a");
        let mut slices: Vec<_> = all
            .iter()
            .map(|slice| {
                assert_eq!(object::labels(slice).unwrap()["kubernetes.io/service-name"], "web");
                let of = |it: &Value| (object::text(it, "/targetRef/name").to_owned(), it["conditions"].clone());
                let endpoints = object::list(slice, "/endpoints").iter().map(of).collect();
                (object::number(slice, "/ports/0/port").unwrap(), endpoints)
            })
            .collect();
        slices.sort_by_key(|(port, _)| *port);
        slices
    };
    let ready = json!({"ready": true, "serving": true, "terminating": false});
    let pod = |name: &str, conditions: &Value| (name.to_owned(), conditions.clone());
    assert_eq!(
        slices(&cluster),
        [(8080, vec![pod("old-0", &ready), pod("old-1", &ready)]), (9090, vec![pod("new-0", &ready)])]
    );
    cluster.delete(&PODS, "old-1", None);
    cluster.settle().await;
    let ending = json!({"ready": false, "serving": true, "terminating": true});
    assert_eq!(slices(&cluster)[0], (8080, vec![pod("old-0", &ready), pod("old-1", &ending)]));
    let endpoints = cluster.get(&ENDPOINTS, "web").unwrap();
    let subsets = object::list(&endpoints, "/subsets").iter();
    let addresses: usize =
        subsets.map(|it| object::list(it, "/addresses").len() + object::list(it, "/notReadyAddresses").len()).sum();
    assert_eq!(addresses, 2, "{endpoints:#}");
    // The last pod of a slice takes the slice with it.
    for name in ["old-0", "old-1"] {
        cluster.delete(&PODS, name, None);
        let pod = cluster.get(&PODS, name).unwrap();
        cluster.registry.modify(&Key::of(&PODS, &pod), object::uid(&pod), |pod| {
            object::meta_mut(pod).insert("finalizers".into(), json!([]));
            object::meta_mut(pod).insert("deletionGracePeriodSeconds".into(), json!(0));
        });
    }
    cluster.settle().await;
    assert_eq!(slices(&cluster), [(9090, vec![pod("new-0", &ready)])]);
}
