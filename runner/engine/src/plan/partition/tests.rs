//! Policies of other APIs: found by discovery, named in the plan, and never taken for nothing.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use shakedown_schemas::Overrides;

use super::*;
use crate::plan;
use shakedown_cluster::testing::answering;
use shakedown_cluster::{ConnectOptions, WitnessImage, connect};
use shakedown_sandbox::{Sandbox, Topology};

/// The APIs with a kind of each, whether it lives in a namespace, and a name of an object.
const KINDS: [(&str, &str, &str, bool, &str); 9] = [
    ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies", false, "a"),
    (
        "policy.networking.k8s.io/v1alpha1",
        "BaselineAdminNetworkPolicy",
        "baselineadminnetworkpolicies",
        false,
        "default",
    ),
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies", false, "a"),
    ("cilium.io/v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies", true, "a"),
    ("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies", false, "a"),
    ("crd.projectcalico.org/v1", "NetworkPolicy", "networkpolicies", true, "default.a"),
    ("crd.projectcalico.org/v1", "GlobalNetworkPolicy", "globalnetworkpolicies", false, "default.a"),
    ("projectcalico.org/v3", "NetworkPolicy", "networkpolicies", true, "default.a"),
    ("projectcalico.org/v3", "GlobalNetworkPolicy", "globalnetworkpolicies", false, "default.a"),
];

/// What a list of policies is answered with.
#[derive(Clone, Copy, PartialEq)]
enum Has {
    Nothing,
    One(&'static str),
    Refused,
}

/// The sandbox, with an API of policies in addition to its own.
fn with(
    sandbox: &Cluster,
    (version, kind, plural, namespaced, _): (&str, &str, &str, bool, &str),
    has: Has,
) -> Cluster {
    let (version, kind, plural) = (version.to_owned(), kind.to_owned(), plural.to_owned());
    answering(sandbox, move |(_, path, _)| {
        let path = path.as_str();
        let (group, _) = version.split_once('/').unwrap();
        if path == "/apis" {
            let its = json!({"groupVersion": version, "version": "v"});
            return Some((200, json!({"groups": [{"name": group, "versions": [its], "preferredVersion": its}]})));
        }
        if path == format!("/apis/{version}") {
            let resource = json!({"name": plural, "kind": kind, "namespaced": namespaced, "verbs": ["list"]});
            return Some((200, json!({"resources": [resource]})));
        }
        let place = if namespaced { "namespaces/one/" } else { "" };
        let refused = json!({"kind": "Status", "status": "Failure", "code": 403, "message": "no"});
        path.starts_with(&format!("/apis/{version}/{place}{plural}?")).then(|| match has {
            Has::Nothing => (200, json!({"items": []})),
            Has::One(name) => (200, json!({"items": [{"metadata": {"name": name}}]})),
            Has::Refused => (403, refused),
        })
    })
}

struct World {
    _sandbox: Sandbox,
    cluster: Cluster,
    load: tokio::net::TcpListener,
}

impl World {
    async fn new() -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let workload = |name: &str| {
            format!("- {{name: {name}, namespace: one, start: 20ms, program: {{probe: {{to: '', listen: 8080}}}}}}\n")
        };
        let text = format!("namespace: one\nworkloads:\n{}{}", workload("client"), workload("server"));
        let sandbox = Sandbox::start(Topology::parse(&text).unwrap()).await.unwrap();
        let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..ConnectOptions::default() };
        let cluster = connect(&options).await.unwrap();
        let load = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { _sandbox: sandbox, cluster, load }
    }

    async fn plan(&self, cluster: &Cluster, image: bool) -> FaultPlan {
        let text = format!(
            "version: 1\nname: it\nnamespace: one\nblast_radius: {{max_percent: 100%}}\n\
             load: {{aside: {{http: {{url: 'http://{}'}}, rate: 1/s}}}}\n\
             phases:\n  - name: cut\n    duration: 60s\n    faults: {{only: {{partition: {{pods: {{prefix: client}}, from: \
             [{{service: server}}], prove: applied}}}}}}\n    expect: [{{requests: {{min: 1}}}}]\n",
            self.load.local_addr().unwrap()
        );
        let document = shakedown_schemas::parse("it.yaml", text.as_bytes(), &Overrides::default()).unwrap();
        // Known enforcement is no proof of this fault.
        let proof = plan::Proof {
            image: image.then(|| WitnessImage::named("shakedown:latest")),
            enforcement: Some(Enforcement::now(true, "confirmed by a canary")),
            ..plan::Proof::default()
        };
        let options = Options { proof, ..Options::for_tests() };
        let plan = plan::plan(&document, Some(cluster), &options).await.unwrap();
        // The load's address takes one connection per plan.
        _ = self.load.accept().await;
        plan.faults.into_iter().next().unwrap().plan
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_of_other_apis_are_named_and_ask_for_a_proof() {
    let world = World::new().await;
    assert_eq!(world.plan(&world.cluster, true).await.required_proof, RequiredProof::Applied);
    for it in KINDS {
        let (version, kind, _, namespaced, name) = it;
        let group = version.split_once('/').unwrap().0;
        let named = format!("{kind}.{group}{}", if namespaced { " in namespace one" } else { "" });
        let none = world.plan(&with(&world.cluster, it, Has::Nothing), true).await;
        assert!(
            !none.description.contains("not evaluated") && none.required_proof == RequiredProof::Applied,
            "{named}"
        );
        let there = world.plan(&with(&world.cluster, it, Has::One(name)), true).await;
        assert!(there.description.contains(&format!("that are not evaluated: {named}; they")), "{}", there.description);
        assert_eq!(there.required_proof, RequiredProof::Auto { no_witness: None }, "{named}");
        let without = world.plan(&with(&world.cluster, it, Has::One(name)), false).await;
        assert!(
            matches!(without.required_proof, RequiredProof::Auto { no_witness: Some(_) }),
            "{named}: {:?}",
            without.required_proof
        );
        let refused = world.plan(&with(&world.cluster, it, Has::Refused), true).await;
        let words = format!("not evaluated: {named} (this account may not list them); they");
        assert!(refused.description.contains(&words), "{}", refused.description);
        assert_eq!(refused.required_proof, RequiredProof::Auto { no_witness: None }, "{named}");
    }
}

/// Calico's own API shows Kubernetes' policies as well, and both of its APIs show the same objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_not_taken_for_another_one() {
    let world = World::new().await;
    let mirrored = world.plan(&with(&world.cluster, KINDS[7], Has::One("knp.default.a")), true).await;
    assert_eq!(mirrored.required_proof, RequiredProof::Applied, "{}", mirrored.description);
    let lists: Arc<Mutex<Vec<String>>> = Arc::default();
    let both = answering(&world.cluster, {
        let lists = lists.clone();
        move |(_, path, _)| {
            let of = |version: &str, group: &str| json!({"name": group, "preferredVersion": {"groupVersion": version}});
            let kinds: Value = json!({"resources": [{"name": "globalnetworkpolicies", "kind": "GlobalNetworkPolicy"}]});
            match path.as_str() {
                "/apis" => Some((
                    200,
                    json!({"groups": [
                        of("projectcalico.org/v3", "projectcalico.org"), of("crd.projectcalico.org/v1", "crd.projectcalico.org"),
                    ]}),
                )),
                "/apis/projectcalico.org/v3" | "/apis/crd.projectcalico.org/v1" => Some((200, kinds)),
                path if path.contains("globalnetworkpolicies") => {
                    lists.lock().unwrap().push(path.to_owned());
                    Some((200, json!({"items": []})))
                }
                _ => None,
            }
        }
    });
    assert_eq!(world.plan(&both, true).await.required_proof, RequiredProof::Applied);
    let lists = lists.lock().unwrap().clone();
    assert!(
        lists.len() == 1 && lists[0].starts_with("/apis/crd.projectcalico.org/v1/globalnetworkpolicies?"),
        "{lists:?}"
    );
}
