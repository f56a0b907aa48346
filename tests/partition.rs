//! Partitions on the real cluster: exactly what they cut and what they leave, by connections from inside the pods, and
//! what the reports say of it. They are ignored by default, as all tests that need a cluster.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use shakedown_schemas::result::Verdict;

use crate::support::deployment::{Inference, TestCluster};
use crate::support::process::{Finished, Running};
use crate::support::reports::Reports;
use crate::support::shakedown::Shakedown;
use crate::support::shop::{PORTS, Shop};
use crate::support::{leftovers, none_of, scenario};

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(180);
/// The variable that says that the cluster leaves established connections open.
const KEEPS: &str = "SHAKEDOWN_CLUSTER_KEEPS";

fn start(shakedown: &Shakedown, shop: &Shop, text: &str) -> Running {
    let file = shakedown.file("links.yaml", text);
    let kubeconfig = shop.cluster.kubectl.kubeconfig();
    shakedown.start(&[
        "run",
        "--out",
        "out",
        "--kubeconfig",
        kubeconfig,
        "--witness-image",
        &shop.cluster.program,
        &file,
    ])
}

/// The pod that a fault chose.
fn chosen(running: &Running, fault: &str) -> String {
    let line = running.stderr_line(&format!("fault {fault}: targets"), LIMIT);
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[track_caller]
fn expect_clean(shop: &Shop, reports: &Reports) {
    none_of(&leftovers::find(&shop.cluster.kubectl, &shop.namespace, &reports.result.run.id));
}

/// Ends a run that has shown what was asked of it.
#[track_caller]
fn interrupt(running: Running, shakedown: &Shakedown, shop: &Shop) -> Finished {
    running.signal(Signal::INT);
    let finished = running.finish(LIMIT).expect_code(130);
    expect_clean(shop, &shakedown.reports("out"));
    finished
}

#[test]
#[ignore = "needs a cluster"]
fn a_default_deny_namespace_is_refused_by_the_name_of_its_policy() {
    let shop = Shop::new(TestCluster::get(), &[("client", 1), ("server", 1)]);
    let policy = |name: &str, spec: serde_json::Value| json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec});
    shop.create(policy("deny-everything", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})));
    let allowed =
        json!({"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [{"from": [{"podSelector": {}}]}]});
    shop.create(policy("server-is-open", allowed));
    let shakedown = Shakedown::new();
    let faults = "      cut: {partition: {pods: {owner: deployment/client}, from: [{service: server}]}}";
    let running = start(&shakedown, &shop, &shop.cutting(10, faults));
    running.finish(LIMIT).expect_code(3).expect_stderr(&["deny-everything", "Chaos Mesh"]);
    let (client, _) = shop.pods("client").remove(0);
    assert!(!shop.connects(&client, &shop.address("server"), PORTS[0]), "what was closed stays closed");
    expect_clean(&shop, &shakedown.reports("out"));
}

#[test]
#[ignore = "needs a cluster"]
fn one_of_three_is_cut_off_and_peers_that_are_replaced_stay_cut() {
    let shop = Shop::new(TestCluster::get(), &[("client", 3), ("server", 1), ("store", 1), ("other", 1)]);
    let shakedown = Shakedown::new();
    // The server is selected by its labels. The store is selected by its name, so it has to be marked.
    let faults = "      cut: {partition: {pods: {owner: deployment/client, count: 1}, from: [{service: server}, {pods: \
        {prefix: store}}]}}";
    let running = start(&shakedown, &shop, &shop.cutting(150, faults));
    let target = chosen(&running, "cut");
    for peer in ["server", "store"] {
        assert!(shop.connects(&target, &shop.address(peer), PORTS[0]), "{peer} before the fault");
    }
    running.stderr_line("fault cut: proven", LIMIT);
    for replaced in [false, true] {
        if replaced {
            for peer in ["server", "store"] {
                shop.replace(peer, &shop.pods(peer)[0].0);
            }
            running.stderr_line("is a new peer", LIMIT);
        }
        let other = shop.address("other");
        for (client, address) in shop.pods("client") {
            let open = client != target;
            for peer in ["server", "store"] {
                shop.expect_link(&client, &shop.address(peer), PORTS[0], open);
                shop.expect_link(&client, &shop.service(peer), PORTS[1], open);
                // The partition is in both directions.
                shop.expect_link(&shop.pods(peer)[0].0, &address, PORTS[0], open);
            }
            shop.expect_link(&client, &other, PORTS[0], true);
            shop.expect_link(&shop.pods("other")[0].0, &address, PORTS[0], true);
        }
    }
    interrupt(running, &shakedown, &shop);
    shop.expect_link(&target, &shop.address("server"), PORTS[0], true);
}

#[test]
#[ignore = "needs a cluster"]
fn a_replaced_target_is_reported_and_followed_only_where_that_is_asked_for() {
    let shop = Shop::new(TestCluster::get(), &[("client", 2), ("server", 1)]);
    for follow in [false, true] {
        let shakedown = Shakedown::new();
        let faults = format!(
            "      cut: {{partition: {{pods: {{owner: deployment/client, count: 1}}, from: [{{service: server}}], \
             follow: {follow}}}}}"
        );
        let running = start(&shakedown, &shop, &shop.cutting(40, &faults));
        let target = chosen(&running, "cut");
        let others: Vec<String> = shop.pods("client").into_iter().map(|(name, _)| name).collect();
        running.stderr_line("fault cut: proven", LIMIT);
        shop.replace("client", &target);
        running.stderr_line(&format!("has replaced target {target}"), LIMIT);
        let server = shop.address("server");
        for (client, _) in shop.pods("client") {
            let replacement = !others.contains(&client);
            shop.expect_link(&client, &server, PORTS[0], !(replacement && follow));
        }
        let finished = running.finish(LIMIT);
        let reports = shakedown.reports("out");
        let fault = reports.fault();
        let said = fault.evidence.iter().map(|it| it.detail.as_str()).collect::<Vec<_>>().join("\n");
        if follow {
            finished.expect_code(0);
            assert!(said.contains("cut off as well"), "{said}");
        } else {
            // Its only target was gone: what came after was no test of the partition.
            finished.expect_code(4);
            assert!(fault.problem.as_ref().is_some_and(|it| it.contains("follow: true")), "{:?}", fault.problem);
        }
        expect_clean(&shop, &reports);
        for (client, _) in shop.pods("client") {
            shop.expect_link(&client, &server, PORTS[0], true);
        }
    }
}

#[test]
#[ignore = "needs a cluster"]
fn a_service_of_another_namespace_is_cut_on_one_port_from_two_runs_at_once() {
    let one = Shop::new(TestCluster::get(), &[("client", 1), ("server", 1)]);
    let two = Shop::new(one.cluster, &[("client", 1), ("server", 1)]);
    let shakedown = [Shakedown::new(), Shakedown::new()];
    let faults = |other: &Shop| {
        format!(
            "      cut: {{partition: {{pods: {{owner: deployment/client}}, direction: egress, from: [{{service: \
             server, namespace: {}, \
             ports: [{}]}}]}}}}",
            other.namespace, PORTS[0]
        )
    };
    let running = [
        start(&shakedown[0], &one, &one.cutting(120, &faults(&two))),
        start(&shakedown[1], &two, &two.cutting(120, &faults(&one))),
    ];
    for running in &running {
        running.stderr_line("fault cut: proven", LIMIT);
    }
    for (here, there) in [(&one, &two), (&two, &one)] {
        let (client, address) = here.pods("client").remove(0);
        here.expect_link(&client, &there.address("server"), PORTS[0], false);
        here.expect_link(&client, &there.service("server"), PORTS[0], false);
        // Its other port, the server of the same name at home, and the way back are not meant.
        here.expect_link(&client, &there.address("server"), PORTS[1], true);
        here.expect_link(&client, &here.address("server"), PORTS[0], true);
        there.expect_link(&there.pods("server")[0].0, &address, PORTS[0], true);
    }
    // Each marks the other's namespace: what is left is looked for when both have ended.
    for running in running {
        running.signal(Signal::INT);
        running.finish(LIMIT).expect_code(130);
    }
    for (shakedown, shop) in shakedown.iter().zip([&one, &two]) {
        expect_clean(shop, &shakedown.reports("out"));
    }
}

#[test]
#[ignore = "needs a cluster"]
fn partitions_that_overlap_on_a_pod_add_up_and_come_apart_again() {
    let shop = Shop::new(TestCluster::get(), &[("client", 2), ("server", 1), ("store", 1), ("other", 1)]);
    let shakedown = Shakedown::new();
    let faults = "      whole: {partition: {pods: {owner: deployment/client}, from: [{service: server}]}}
      middle: {partition: {pods: {owner: deployment/client, count: 1}, from: [{service: store}], after: 10s, for: 25s}}";
    let running = start(&shakedown, &shop, &shop.cutting(70, faults));
    let both = chosen(&running, "middle");
    let links = |cut_from_store: bool| {
        let (server, store, other) = (shop.address("server"), shop.address("store"), shop.address("other"));
        for (client, _) in shop.pods("client") {
            shop.expect_link(&client, &server, PORTS[0], false);
            shop.expect_link(&client, &store, PORTS[0], !(cut_from_store && client == both));
            shop.expect_link(&client, &other, PORTS[0], true);
        }
    };
    running.stderr_line("fault whole: proven", LIMIT);
    links(false);
    running.stderr_line("fault middle: proven", LIMIT);
    links(true);
    running.stderr_line("fault middle: undone", LIMIT);
    links(false);
    running.finish(LIMIT).expect_code(0);
    let reports = shakedown.reports("out");
    reports.expect_injected_and_undone();
    expect_clean(&shop, &reports);
}

#[test]
#[ignore = "needs a cluster"]
fn that_policies_are_enforced_is_remembered_and_proves_no_fault() {
    let shop = Shop::new(TestCluster::get(), &[("client", 1), ("server", 1)]);
    let shakedown = Shakedown::new();
    let kubeconfig = shop.cluster.kubectl.kubeconfig();
    let doctor = |more: &[&str]| {
        let args = ["doctor", "--kubeconfig", kubeconfig, "--namespace", &shop.namespace];
        shakedown.start(&[&args, more].concat()).finish(LIMIT).expect_code(0)
    };
    doctor(&[]).expect_stdout(&[
        "permissions in namespace",
        "fuse: the server accepts",
        "is not known",
        "--canary-image",
    ]);
    doctor(&["--canary-image", &shop.cluster.program]).expect_stdout(&["this cluster enforces NetworkPolicy"]);
    assert!(shop.items(&["pods,networkpolicies,jobs", "-l", leftovers::MANAGED]).is_empty(), "the canary flew away");
    // No image, no witness, and no request feels this fault. The cached enforcement of the cluster proves nothing about it.
    let faults = "      cut: {partition: {pods: {owner: deployment/client}, from: [{service: server}]}}";
    let file = shakedown.file("links.yaml", shop.cutting(3, faults));
    let run = |out: &str| shakedown.start(&["run", "--out", out, "--kubeconfig", kubeconfig, &file]).finish(LIMIT);
    run("known").expect_code(4);
    let reports = shakedown.reports("known");
    let problem = reports.fault().problem.clone().unwrap_or_default();
    assert!(problem.contains("--witness-image") && problem.contains("shakedown doctor"), "{problem}");
    expect_clean(&shop, &reports);
}

/// The cluster's two modes, which the witness distinguishes: one test, because only one of them is active.
#[test]
#[ignore = "needs a cluster"]
fn what_becomes_of_established_connections_is_recognised() {
    let inference = Inference::new(TestCluster::get(), 2);
    let keeps = std::env::var(KEEPS).is_ok_and(|value| value == "1");
    let shakedown = Shakedown::new();
    let (file, namespace) = (scenario("block-nats.yaml"), format!("namespace={}", inference.namespace));
    let args = [
        ["run", "--out", "out"].as_slice(),
        &["--kubeconfig", inference.cluster.kubectl.kubeconfig(), "--witness-image", &inference.cluster.program],
        &["--var", &namespace, "--var", "rate=20/s", "--var", "baseline=8s"],
        &["--var", "fault=12s", "--var", "recovery=20s", &file],
    ]
    .concat();
    let finished = shakedown.start(&args).finish(LIMIT);
    let reports = shakedown.reports("out");
    let fault = reports.fault();
    assert_eq!(fault.injection, Verdict::Pass, "{:?}\n{finished}", fault.problem);
    let said: Vec<&str> =
        fault.evidence.iter().filter(|it| it.shows.is_effect()).map(|it| it.detail.as_str()).collect();
    assert!(said.iter().any(|text| text.contains("and cannot now")), "{said:?}");
    let warnings = reports.scenario().warnings.join("\n");
    if keeps {
        assert!(said.iter().any(|text| text.starts_with("established connections are left open")), "{said:?}");
        for part in ["new connections are cut", "left open", "restart them", "Chaos Mesh"] {
            assert!(warnings.contains(part), "{part}: {warnings}");
        }
    } else {
        assert!(said.iter().any(|text| text.contains("cut as well")), "{said:?}");
        assert!(!warnings.contains("left open"), "{warnings}");
    }
    none_of(&leftovers::find(&inference.cluster.kubectl, &inference.namespace, &reports.result.run.id));
}
