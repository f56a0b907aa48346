//! Each failure that users of Chaos Mesh report, as facts, and the finding that names its cause.

use super::*;

fn healthy() -> Facts {
    let served = Kind::CHAOS.iter().chain(&[Kind::PodNetworkChaos]).map(|kind| kind.plural().to_owned());
    Facts {
        namespace: "shop".into(),
        served: served.collect(),
        installed: Installation {
            controllers: vec![controller_with(&[])],
            daemons: vec![daemon_for("containerd")],
            daemon_nodes: Some(["node-1".to_owned()].into()),
            webhooks: vec![json!({})],
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
    let bad = tell(facts, now).into_iter().filter(|finding| finding.level != Level::Ok);
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
fn a_healthy_installation_has_no_complaints() {
    assert_eq!(complaints(&healthy()), Vec::<String>::new());
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let told: Vec<String> = tell(&healthy(), now).into_iter().map(|finding| finding.text).collect();
    assert!(told[0].contains("Chaos Mesh 2.8.3 in namespace chaos-mesh"), "{told:?}");
}

#[test]
fn what_is_not_installed_is_told() {
    names(&Facts::default(), &["not installed", "helm install"]);
    let only_definitions = Facts { installed: Installation::default(), ..healthy() };
    names(&only_definitions, &["its controller is not", "install Chaos Mesh, or remove"]);
    let mut no_daemon = healthy();
    no_daemon.installed.daemons.clear();
    names(&no_daemon, &["no chaos-daemon", "privileged"]);
    let no_definitions = Facts { served: BTreeSet::new(), ..healthy() };
    names(&no_definitions, &["definitions are not", "crds.yaml"]);
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
    names(&facts, &["elsewhere only", "clusterScoped=true"]);

    let mut facts = healthy();
    facts.installed.controllers[0]["status"] = json!({});
    names(&facts, &["no chaos-controller-manager is available", "describe deployment"]);

    let refused = "failed calling webhook \"mnetworkchaos.kb.io\": no endpoints available for service";
    names(
        &Facts { refusal: Some(refused.into()), ..healthy() },
        &["failed calling webhook", "chaos-controller-manager running?"],
    );

    let mut facts = healthy();
    facts.installed.webhooks.clear();
    names(&facts, &["none of its webhooks"]);

    names(&Facts { everywhere: Some(false), ..healthy() }, &["every namespace", "peers' namespaces"]);
    names(
        &Facts { missing: vec!["create networkchaos.chaos-mesh.org".into()], ..healthy() },
        &["may not: create networkchaos"],
    );
}

#[test]
fn what_hangs_or_fails_already_is_told_with_its_cause() {
    let record = |phase: &str, operation: &str, message: &str| {
        json!([{"id": "shop/web-0", "selectorKey": ".", "phase": phase,
            "events": [{"type": "Failed", "operation": operation, "message": message}]}])
    };
    let stuck = json!({
        "kind": "NetworkChaos",
        "metadata": {"name": "old", "deletionTimestamp": "2026-03-01T11:00:00Z", "finalizers": ["chaos-mesh/records"]},
        "status": {"experiment": {"desiredPhase": "Stop",
            "containerRecords": record("Not Injected/Wait", "Apply", "cannot find daemonIP on node node-3")}},
    });
    let facts = Facts { resources: vec![stuck.clone()], ..healthy() };
    names(&facts, &["does not go", "before it can be recovered", "DaemonSet", "--force-cleanup"]);
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
