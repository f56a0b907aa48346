//! Each failure that users of Chaos Mesh report, as facts, and the finding that names its cause.

use super::*;
use std::time::Duration;

use shakedown_cluster::{ConnectOptions, connect};
use shakedown_fakes::kubernetes::{self, json_answer};

fn healthy() -> Facts {
    let served = Kind::CHAOS.iter().chain(&[Kind::PodNetworkChaos]).map(|kind| kind.plural().to_owned());
    Facts {
        namespace: "shop".into(),
        served: served.collect(),
        installed: Installation {
            controllers: vec![controller_with(&[])],
            daemons: vec![daemon_for("containerd")],
            daemon_nodes: Some(["node-1".to_owned()].into()),
            name_servers: vec![json!({"status": {"availableReplicas": 1}})],
            webhooks: vec!["validatingwebhookconfiguration/chaos-mesh-validation".into()],
            ..Installation::default()
        },
        nodes: [("node-1".to_owned(), Some("containerd://1.6.20".to_owned()))].into(),
        annotated: Some(false),
        everywhere: Some(true),
        ..Facts::default()
    }
}

fn controller_with(variables: &[(&str, &str)]) -> Value {
    let variables: Vec<Value> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "metadata": {"name": "chaos-controller-manager", "namespace": "chaos-mesh",
            "labels": {"app.kubernetes.io/version": "2.8.3"}},
        "spec": {"template": {"spec": {"containers": [{"image": "ghcr.io/chaos-mesh/chaos-mesh:v2.8.3", "env": variables}]}}},
        "status": {"availableReplicas": 3},
    })
}

fn daemon_for(runtime: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{
        "command": ["/usr/local/bin/chaos-daemon", "--runtime", runtime, "--http-port", "31766"],
    }]}}}})
}

/// The problems and warnings, with their help.
fn complaints(facts: &Facts) -> Vec<String> {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let bad = evaluate(facts, now).into_iter().filter(|finding| finding.level != Level::Ok);
    bad.map(|finding| format!("{} | {}", finding.text, finding.help.unwrap_or_default())).collect()
}

#[track_caller]
fn names(facts: &Facts, parts: &[&str]) {
    let found = complaints(facts);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "`{part}` is missing: {}", found[0]);
    }
}

#[test]
fn a_healthy_installation_has_no_problems() {
    assert_eq!(complaints(&healthy()), Vec::<String>::new());
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let findings: Vec<String> = evaluate(&healthy(), now).into_iter().map(|finding| finding.text).collect();
    assert!(findings[0].contains("Chaos Mesh 2.8.3 in namespace chaos-mesh"), "{findings:?}");
}

#[test]
fn missing_installations_are_reported() {
    names(&Facts::default(), &["not installed", "helm install"]);
    let only_definitions = Facts { installed: Installation::default(), ..healthy() };
    names(&only_definitions, &["its controller does not run", "install Chaos Mesh, or remove"]);
    let mut uninstalled = healthy();
    uninstalled.installed.controllers.clear();
    names(
        &uninstalled,
        &["its webhooks are still configured", "delete validatingwebhookconfiguration/chaos-mesh-validation"],
    );
    let mut no_daemon = healthy();
    no_daemon.installed.daemons.clear();
    names(&no_daemon, &["no chaos-daemon", "privileged"]);
    let no_definitions = Facts { served: BTreeSet::new(), ..healthy() };
    names(&no_definitions, &["definitions are missing", "crds.yaml"]);
}

#[test]
fn each_reported_failure_has_its_cause_and_its_remedy() {
    let mut facts = healthy();
    facts.nodes.insert("node-2".into(), Some("containerd://1.6.20".into()));
    names(&facts, &["no chaos-daemon is ready on node-2", "toleration"]);

    let mut facts = healthy();
    facts.installed.daemons = vec![daemon_for("docker")];
    names(&facts, &["look for docker", "runs containerd", "socketPath"]);

    let mut facts = healthy();
    facts.installed.controllers = vec![controller_with(&[("ENABLE_FILTER_NAMESPACE", "true")])];
    names(&facts, &["ignores namespace shop", "chaos-mesh.org/inject=enabled"]);
    facts.annotated = Some(true);
    assert_eq!(complaints(&facts), Vec::<String>::new());

    let mut facts = healthy();
    facts.installed.controllers =
        vec![controller_with(&[("CLUSTER_SCOPED", "false"), ("TARGET_NAMESPACE", "elsewhere")])];
    names(&facts, &["acts only in namespace elsewhere", "clusterScoped=true"]);

    let mut facts = healthy();
    facts.installed.controllers[0]["status"] = json!({});
    names(&facts, &["no chaos-controller-manager is available", "describe deployment"]);

    let refused = "failed calling webhook \"mnetworkchaos.kb.io\": no endpoints available for service";
    names(
        &Facts { refusal: Some(refused.into()), ..healthy() },
        &["failed calling webhook", "chaos-controller-manager running?"],
    );

    let mut facts = healthy();
    facts.installed.name_servers.clear();
    names(&facts, &["chaos-dns-server", "dnsServer.create"]);

    let mut facts = healthy();
    facts.installed.webhooks.clear();
    names(&facts, &["its webhooks are not configured"]);

    names(&Facts { everywhere: Some(false), ..healthy() }, &["every namespace", "peers' namespaces"]);
    names(
        &Facts { missing: vec!["create networkchaos.chaos-mesh.org".into()], ..healthy() },
        &["may not: create networkchaos"],
    );
}

#[test]
fn hanging_and_failing_resources_are_reported_with_their_cause() {
    let record = |phase: &str, operation: &str, message: &str| {
        json!([{"id": "shop/web-0", "selectorKey": ".", "phase": phase,
            "events": [{"type": "Failed", "operation": operation, "message": message}]}])
    };
    let stuck = json!({
        "kind": "NetworkChaos",
        "metadata": {"name": "old", "deletionTimestamp": "2026-03-01T11:00:00Z", "finalizers": ["chaos-mesh/records"],
            "labels": {"shakedown.dev/run": "r-1"}},
        "status": {"experiment": {"desiredPhase": "Stop",
            "containerRecords": record("Not Injected/Wait", "Apply", "cannot find daemonIP on node node-3")}},
    });
    let facts = Facts { resources: vec![stuck.clone()], ..healthy() };
    names(
        &facts,
        &[
            "deletion hangs",
            "cannot recover it before that",
            "DaemonSet",
            "`shakedown cleanup --run r-1 --force-cleanup`",
        ],
    );
    let mut fresh = stuck;
    fresh["metadata"]["deletionTimestamp"] = json!("2026-03-01T11:59:50Z");
    assert_eq!(complaints(&Facts { resources: vec![fresh], ..healthy() }), Vec::<String>::new());

    let failing = json!({
        "kind": "NetworkChaos",
        "metadata": {"name": "new"},
        "status": {"experiment": {"desiredPhase": "Run",
            "containerRecords": record("Not Injected", "Apply", "expected docker:// but got container")}},
    });
    names(&Facts { resources: vec![failing], ..healthy() }, &["new fails", "socketPath"]);

    let poisoned = json!({"metadata": {"name": "web-0"}, "status": {"failedMessage": "unable to set tcs"}});
    names(&Facts { networks: vec![poisoned], ..healthy() }, &["pod web-0", "sch_netem"]);
}

/// A cluster with every problem that `doctor` can detect, read through the API.
#[tokio::test]
async fn every_cause_is_found_by_reading_the_cluster() {
    _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = kubernetes::server(|request| {
        let list =
            |items: Vec<Value>| json_answer(200, json!({"kind": "List", "metadata": {}, "items": items}).to_string());
        let named = |kind: &str, name: &str| json!({"kind": kind, "metadata": {"name": name}});
        match request.target() {
            path if path.starts_with("/apis/chaos-mesh.org/v1alpha1/namespaces") && request.method() == "POST" => {
                let message = "failed calling webhook \"mnetworkchaos.kb.io\": no endpoints available for service";
                json_answer(
                    500,
                    json!({"kind": "Status", "status": "Failure", "code": 500, "message": message}).to_string(),
                )
            }
            path if path.contains("/networkchaos?") => {
                let mut stuck = named("NetworkChaos", "old");
                stuck["metadata"]["deletionTimestamp"] = json!("2026-03-01T11:00:00Z");
                stuck["metadata"]["finalizers"] = json!(["chaos-mesh/records"]);
                list(vec![stuck])
            }
            path if path.contains("/podnetworkchaos?") => {
                let mut network = named("PodNetworkChaos", "web-0");
                network["status"] = json!({"failedMessage": "unable to set tcs for pod web-0"});
                list(vec![network])
            }
            path if path.contains("/namespaces/shop/pods?") => {
                let mut pod = named("Pod", "web-0");
                pod["spec"] = json!({"nodeName": "node-2"});
                list(vec![pod])
            }
            path if path.starts_with("/apis/chaos-mesh.org/v1alpha1/namespaces") => list(Vec::new()),
            "/apis/chaos-mesh.org/v1alpha1" => {
                let kinds = Kind::CHAOS.iter().chain(&[Kind::PodNetworkChaos]);
                let kinds: Vec<Value> =
                    kinds.map(|kind| json!({"name": kind.plural(), "kind": kind.name(), "namespaced": true})).collect();
                json_answer(200, json!({"kind": "APIResourceList", "resources": kinds}).to_string())
            }
            path if path.contains("/deployments?") && path.contains("controller-manager") => {
                list(vec![controller_with(&[("ENABLE_FILTER_NAMESPACE", "true")])])
            }
            path if path.contains("/deployments?") => list(Vec::new()),
            path if path.contains("/daemonsets?") => list(vec![daemon_for("docker")]),
            path if path.contains("/api/v1/pods?") => {
                let mut daemon = named("Pod", "chaos-daemon-x");
                daemon["spec"] = json!({"nodeName": "node-1"});
                daemon["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
                list(vec![daemon])
            }
            path if path.contains("/nodes?") => {
                let mut node = named("Node", "node-2");
                node["status"] = json!({"nodeInfo": {"containerRuntimeVersion": "containerd://1.7.2"}});
                list(vec![node])
            }
            path if path.contains("validatingwebhookconfigurations?") => {
                let mut webhook = named("ValidatingWebhookConfiguration", "chaos-mesh-validation");
                webhook["webhooks"] = json!([{"rules": [{"apiGroups": ["chaos-mesh.org"]}]}]);
                list(vec![webhook])
            }
            path if path.contains("customresourcedefinitions?") => {
                let mut definition = named("CustomResourceDefinition", "iochaos.chaos-mesh.org");
                definition["metadata"]["deletionTimestamp"] = json!("2026-03-01T11:00:00Z");
                definition["spec"] = json!({"group": "chaos-mesh.org", "names": {"plural": "iochaos"}});
                list(vec![definition])
            }
            "/api/v1/namespaces/shop" => json_answer(200, named("Namespace", "shop").to_string()),
            path if path.contains("selfsubjectaccessreviews") => {
                // All permissions in this namespace, none in others.
                let allowed = request.text().contains(r#""namespace":"shop""#);
                json_answer(201, json!({"kind": "SelfSubjectAccessReview", "status": {"allowed": allowed}}).to_string())
            }
            _ => json_answer(
                404,
                json!({"kind": "Status", "status": "Failure", "code": 404, "message": "not found"}).to_string(),
            ),
        }
    });
    let options = ConnectOptions { kubeconfig_text: Some(kubeconfig), ..ConnectOptions::default() };
    // The runner retries this answer of the webhook for some time.
    let cluster = connect(&options).await.unwrap().with_retry_limit(Duration::from_millis(200));
    let found = look(&cluster, "shop").await.unwrap();
    let bad: Vec<String> = found
        .iter()
        .filter(|finding| finding.level != Level::Ok)
        .map(|finding| format!("{} | {}", finding.text, finding.help.clone().unwrap_or_default()))
        .collect();
    for (cause, remedy) in [
        ("no chaos-daemon is ready on node-2", "toleration"),
        ("look for docker, and node node-2 runs containerd", "socketPath"),
        ("ignores namespace shop", "chaos-mesh.org/inject=enabled"),
        ("failed calling webhook", "chaos-controller-manager running?"),
        ("may not create networkchaos in every namespace", "peers' namespaces"),
        ("NetworkChaos old is being deleted, but its deletion hangs", "replace its pods"),
        ("the network rules of pod web-0 failed", "modprobe sch_netem"),
        ("the definition of iochaos is being deleted", "finalizers"),
        ("DNS server (chaos-dns-server) is not installed", "dnsServer.create"),
    ] {
        let is_reported = bad.iter().any(|text| text.contains(cause) && text.contains(remedy));
        assert!(is_reported, "`{cause}` with `{remedy}` is not among {bad:#?}");
    }
    assert_eq!(bad.len(), 9, "{bad:#?}");
}
