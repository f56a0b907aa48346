//! What users have on a cluster of today and had not on an old one: services with several slices of endpoints, accounts without
//! secrets, tokens that end, priority and fairness, native sidecars.

use std::time::Duration;

use serde_json::{Value, json};
use shakedown_schemas::EventKind;
use shakedown_schemas::result::Verdict;

use crate::support::account::{Account, Fairness};
use crate::support::deployment::{FRONTEND, Inference, TestCluster, WORKER};
use crate::support::kubectl::name;
use crate::support::shakedown::Shakedown;
use crate::support::shop::{PORTS, Shop};
use crate::support::stage::wait;
use crate::support::{leftovers, none_of};

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(240);
/// How long a token lives that ends during a run.
const SHORT: Duration = Duration::from_secs(25);
/// How long the API server has no room for the run's requests: much less than the fuse lives.
const STARVED: Duration = Duration::from_secs(8);

const CUT: &str =
    "      cut: {partition: {pods: {owner: deployment/client}, from: [{service: server}], direction: egress}}";

/// A deployment of pods that answer on a port of the name `main`, and go on with that for a while when they are deleted.
fn servers(shop: &Shop, name: &str, replicas: usize, port: u16) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"part": name}},
            "template": {
                "metadata": {"labels": {"part": name, "app": "server"}},
                "spec": {
                    "terminationGracePeriodSeconds": 90,
                    "containers": [{
                        "name": "main", "image": shop.cluster.program, "imagePullPolicy": "Never",
                        "args": ["pod", "probe", "--config", json!({"listen": port}).to_string()],
                        "ports": [{"name": "main", "containerPort": port}],
                        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
                        "lifecycle": {"preStop": {"exec": {"command": ["/bin/busybox", "sleep", "80"]}}},
                    }],
                },
            },
        },
    })
}

/// Two deployments behind one service, whose port has another number in each: a slice for each. One pod is ending, and still
/// answers.
#[test]
#[ignore = "needs a cluster"]
fn a_service_of_several_slices_with_an_endpoint_that_ends_is_cut_as_a_whole() {
    let shop = Shop::new(TestCluster::get(), &[("client", 1)]);
    for (name, replicas, port) in [("old", 2, PORTS[0]), ("new", 1, PORTS[1])] {
        shop.create(servers(&shop, name, replicas, port));
        shop.wait_for(name);
    }
    shop.create(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"name": "main", "port": 80, "targetPort": "main"}]},
    }));
    let ending = name(&shop.items(&["pods", "-l", "part=old"])[0]).to_owned();
    shop.kubectl(&["delete", "pod", &ending, "--wait=false"]);
    let slices = || shop.items(&["endpointslices", "-l", "kubernetes.io/service-name=server"]);
    let endings = |slices: Vec<Value>| {
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
        endpoints.filter(|it| it["conditions"]["terminating"] == true).count()
    };
    wait("two slices and an endpoint that ends", || slices().len() >= 2 && endings(slices()) == 1);
    shop.wait_for("old");

    let ends: Vec<(String, u16)> = shop
        .items(&["pods", "-l", "app=server"])
        .iter()
        .map(|pod| {
            let port = if pod["metadata"]["labels"]["part"] == "old" { PORTS[0] } else { PORTS[1] };
            (pod["status"]["podIP"].as_str().expect("an address").to_owned(), port)
        })
        .collect();
    assert_eq!(ends.len(), 4, "{ends:?}");
    let (client, _) = shop.pods("client").remove(0);
    let links = |open: bool| {
        for (address, port) in &ends {
            shop.expect_link(&client, address, *port, open);
        }
        shop.expect_link(&client, &shop.service("server"), 80, open);
    };
    let shakedown = Shakedown::new();
    let at = ["--kubeconfig", shop.cluster.kubectl.kubeconfig(), "--witness-image", &shop.cluster.program];
    let kill = shakedown.file("kill.yaml", shop.cutting(10, "      kill: {pod_kill: {pods: {owner: deployment/old}}}"));
    let planned = shakedown.run(&[&["plan", &kill], &at[..]].concat()).expect_code(0);
    assert!(!planned.stdout.contains(&ending), "a pod that ends is no target\n{planned}");
    let cut = "      cut: {partition: {pods: {owner: deployment/client}, from: [{service: server, ports: [80]}]}}";
    let file = shakedown.file("slices.yaml", shop.cutting(40, cut));
    links(true);
    let running = shakedown.start(&[&["run", "--out", "out", &file], &at[..]].concat());
    running.stderr_line("fault cut: proven", LIMIT);
    links(false);
    running.finish(LIMIT).expect_code(0);
    let reports = shakedown.reports("out");
    reports.expect_injected_and_undone();
    none_of(&leftovers::find(&shop.cluster.kubectl, &shop.namespace, &reports.result.run.id));
}

/// A scenario of some seconds that needs nothing but the service itself: it runs from outside and in a pod.
fn short(inference: &Inference) -> String {
    format!(
        "version: 1
name: short
namespace: {}
load: {{health: {{http: {{service: '{FRONTEND}:8000', path: /health}}, rate: 10/s, timeout: 5s}}}}
phases:
  - {{name: before, duration: 2s}}
  - name: cut
    duration: 8s
    faults: {{cut: {{partition: {{pods: {{prefix: {WORKER}, count: 1}}, from: [{{service: nats}}]}}}}}}
    expect: [{{success_rate: {{min: 50%}}}}]
",
        inference.namespace
    )
}

#[test]
#[ignore = "needs a cluster"]
fn an_account_without_secrets_suffices_from_outside_and_in_a_pod() {
    let inference = Inference::new(TestCluster::get(), 2);
    let (kubectl, namespace) = (&inference.cluster.kubectl, inference.namespace.as_str());
    let shakedown = Shakedown::new();
    let file = shakedown.file("short.yaml", short(&inference));
    let account = Account::new(kubectl, namespace, "runner");
    let kubeconfig = account.kubeconfig(&shakedown, &account.token());
    account.grant(&shakedown, &kubeconfig, &[&file, "--witness-image", &inference.cluster.program]);
    assert_eq!(inference.items(&["secrets"]), Vec::<Value>::new(), "an account of today has no secret");
    let args =
        ["run", "--out", "out", "--kubeconfig", &kubeconfig, "--witness-image", &inference.cluster.program, &file];
    shakedown.start(&args).finish(LIMIT).expect_code(0);
    shakedown.reports("out").expect_proven_and_undone();

    // The pod has a token that the kubelet renews, and its own image for the witness.
    let text = std::fs::read_to_string(shakedown.path(&file)).expect("the scenario");
    kubectl.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scenario", "namespace": namespace},
        "data": {"short.yaml": text},
    }));
    kubectl.create(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runner", "namespace": namespace},
        "spec": {
            "serviceAccountName": "runner", "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "runner", "image": inference.cluster.program, "imagePullPolicy": "Never",
                "args": ["run", "/scenario/short.yaml", "--out", "/results/out"],
                "volumeMounts": [{"name": "scenario", "mountPath": "/scenario"}, {"name": "work", "mountPath": "/results"}],
            }],
            "volumes": [{"name": "scenario", "configMap": {"name": "scenario"}}, {"name": "work", "emptyDir": {}}],
        },
    }));
    let phase = || kubectl.get(&["pod", "runner", "-n", namespace])["status"]["phase"].clone();
    wait("the run in a pod", || phase() == "Succeeded" || phase() == "Failed");
    let said = inference.kubectl(&["logs", "runner"]);
    assert_eq!(phase(), "Succeeded", "{said}");
    assert!(said.contains("fault cut: proven") && said.contains("fault cut: undone"), "{said}");
    inference.kubectl(&["delete", "pod", "runner"]);
    let objects = inference.items(&["pods,jobs,networkpolicies,leases", "-l", leftovers::MANAGED]);
    assert_eq!(objects, Vec::<Value>::new());
}

/// A file whose token is renewed before it ends, as a kubelet or a CI system does, and one that is forgotten.
#[test]
#[ignore = "needs a cluster"]
fn a_token_that_ends_during_a_run_is_read_again_or_ends_the_run_honestly() {
    let shop = Shop::new(TestCluster::get(), &[("client", 1), ("server", 1)]);
    let other = Shop::new(shop.cluster, &[("client", 1), ("server", 1)]);
    std::thread::scope(|scope| {
        for (shop, is_renewed) in [(&shop, true), (&other, false)] {
            scope.spawn(move || token_ends(shop, is_renewed));
        }
    });
}

fn token_ends(shop: &Shop, is_renewed: bool) {
    let kubectl = &shop.cluster.kubectl;
    let shakedown = Shakedown::new();
    let account = Account::new(kubectl, &shop.namespace, "runner");
    let kubeconfig = account.kubeconfig(&shakedown, &account.token());
    let file = shakedown.file("links.yaml", shop.cutting(60, CUT));
    let image = ["--witness-image", &shop.cluster.program];
    account.grant(&shakedown, &kubeconfig, &[&[file.as_str()], &image[..]].concat());

    let first = account.short_token(SHORT);
    assert!(account.is_accepted(&first), "the API server takes a token that is signed here");
    account.renew(&shakedown, &first);
    let args = ["run", "--out", "out", "--kubeconfig", &kubeconfig, "--undo-timeout", "20s", &file];
    let running = shakedown.start(&[&args, &image[..]].concat());
    running.stderr_line("fault cut: proven", LIMIT);
    if is_renewed {
        account.renew(&shakedown, &account.token());
    }
    wait("the token's end", || !account.is_accepted(&first));
    let finished = running.finish(LIMIT);
    let reports = shakedown.reports("out");
    if is_renewed {
        assert_eq!(finished.code(), 0, "{finished}");
        reports.expect_proven_and_undone();
    } else {
        // It cannot read back whether its fault is gone, and says so; the fuse has removed it.
        assert_eq!(finished.code(), 6, "{finished}");
        let words = "does not accept the credentials";
        assert!(finished.stderr.contains(words) && reports.text("summary.md").contains(words), "{finished}");
        assert_ne!(reports.result.verdict, Verdict::Pass);
        assert_eq!(reports.fault().undo, Verdict::Error);
    }
    let there = || shop.items(&["networkpolicies,jobs,pods", "-l", leftovers::MANAGED]);
    wait("the fuse", || there().is_empty());
    let (client, _) = shop.pods("client").remove(0);
    shop.expect_link(&client, &shop.address("server"), PORTS[0], true);
}

/// The API server has no room for the account's requests for a while, and says when to come back.
#[test]
#[ignore = "needs a cluster"]
fn an_api_server_without_room_for_our_requests_is_waited_for() {
    let shop = Shop::new(TestCluster::get(), &[("client", 1), ("server", 1)]);
    let kubectl = &shop.cluster.kubectl;
    let shakedown = Shakedown::new();
    let account = Account::new(kubectl, &shop.namespace, "runner");
    let kubeconfig = account.kubeconfig(&shakedown, &account.token());
    let file = shakedown.file("links.yaml", shop.cutting(40, CUT));
    let image = ["--witness-image", &shop.cluster.program];
    account.grant(&shakedown, &kubeconfig, &[&[file.as_str()], &image[..]].concat());
    let fairness = Fairness::of(&account);

    let running = shakedown.start(&[&["run", "--out", "out", "--kubeconfig", &kubeconfig, &file], &image[..]].concat());
    running.stderr_line("fault cut: proven", LIMIT);
    let starved = fairness.starve(&account, &shop.namespace);
    std::thread::sleep(STARVED);
    drop(starved);
    let finished = running.finish(LIMIT);
    let reports = shakedown.reports("out");
    let refusals = reports.events.iter().filter(|event| match &event.kind {
        EventKind::ApiRetry { error, .. } => error.contains("asked to wait for"),
        _ => false,
    });
    assert!(refusals.count() > 0, "no request was refused\n{finished}");
    assert_eq!(finished.code(), 0, "{finished}\n{}", reports.found());
    reports.expect_proven_and_undone();
    none_of(&leftovers::find(kubectl, &shop.namespace, &reports.result.run.id));
}

/// A pod whose proxy is a native sidecar: an init container that keeps running.
fn with_sidecar(shop: &Shop) -> Value {
    let container = |name: &str, port: u16| {
        json!({
            "name": name, "image": shop.cluster.program, "imagePullPolicy": "Never",
            "args": ["pod", "probe", "--config", json!({"listen": port}).to_string()],
            "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        })
    };
    let mut proxy = container("proxy", PORTS[1]);
    proxy["restartPolicy"] = json!("Always");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "meshed"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "meshed"}},
            "template": {
                "metadata": {"labels": {"app": "meshed"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "initContainers": [proxy],
                    "containers": [container("main", PORTS[0])],
                },
            },
        },
    })
}

/// Its restart counts as one, the pod is not ready meanwhile, and the report names it.
#[test]
#[ignore = "needs a cluster"]
fn a_native_sidecar_counts_as_a_container() {
    let shop = Shop::new(TestCluster::get(), &[("client", 1)]);
    shop.create(with_sidecar(&shop));
    shop.wait_for("meshed");
    let pod = || shop.items(&["pods", "-l", "app=meshed"]).remove(0);
    assert!(pod()["spec"]["initContainers"][0]["restartPolicy"] == "Always", "this release has no native sidecars");
    let meshed = name(&pod()).to_owned();
    let shakedown = Shakedown::new();
    let expect = "    expect:
      - pods: {select: {prefix: meshed}, restarts: {max: 0}}
      - pods: {select: {prefix: meshed}, ready_within: 15s}\n";
    let text = shop.cutting(
        20,
        "      cut: {partition: {pods: {prefix: meshed}, from: [{cidr: 203.0.113.0/24}], prove: applied}}",
    );
    let text = text.split("    expect:").next().expect("a scenario").to_owned() + expect;
    let file = shakedown.file("sidecar.yaml", text);
    let running = shakedown.start(&["run", "--out", "out", "--kubeconfig", shop.cluster.kubectl.kubeconfig(), &file]);
    running.stderr_line("fault cut: claimed", LIMIT);
    shop.kubectl(&["exec", &meshed, "-c", "proxy", "--", "/bin/busybox", "kill", "1"]);
    wait("the sidecar's restart", || pod()["status"]["initContainerStatuses"][0]["restartCount"] == 1);
    let finished = running.finish(LIMIT).expect_code(1);
    let reports = shakedown.reports("out");
    let of = |kind: &str| {
        let all = &reports.scenario().expectations;
        all.iter().find(|it| it.title.contains(kind)).unwrap_or_else(|| panic!("no {kind}: {}", reports.found()))
    };
    let (restarts, ready) = (of("restart"), of("ready"));
    assert_eq!((restarts.verdict, restarts.observed), (Verdict::Fail, Some(1.0)), "{finished}\n{}", reports.found());
    assert_eq!(ready.verdict, Verdict::Pass, "{}", reports.found());
    assert!(
        reports.text("summary.md").contains("proxy") || reports.text("report.html").contains("proxy"),
        "{finished}"
    );
    none_of(&leftovers::find(&shop.cluster.kubectl, &shop.namespace, &reports.result.run.id));
}
