//! Large clusters: what `plan` asks of the server, what it holds of the answers, and how long a policy gets.

use std::path::Path;

use serde_json::json;
use shakedown_fakes::kubernetes::{VERSION, json_answer, kubeconfig};
use shakedown_fakes::{HttpServer, LargeCluster};

use crate::support::large::plan;
use crate::support::server::serve;
use crate::support::shakedown::{BINARY, Shakedown};

#[test]
fn a_large_cluster_is_read_page_by_page_and_held_in_little_memory() {
    let shakedown = Shakedown::new();
    let plan = |cluster| plan(Path::new(BINARY), &shakedown.path("."), cluster);
    let small = plan(LargeCluster { namespaces: 2, pods: 40, nodes: 10 });
    let large = plan(LargeCluster { namespaces: 100, pods: 2000, nodes: 1000 });
    let lists = |of: &str| {
        let of = format!("GET {of}?");
        large.requests.iter().filter(|request| request.line.starts_with(&of)).collect::<Vec<_>>()
    };
    for request in large.requests.iter().filter(|request| request.method() == "GET") {
        let path = request.target().split('?').next().unwrap_or_default();
        let is_list =
            ["pods", "nodes", "namespaces", "replicasets", "networkpolicies"].iter().any(|it| path.ends_with(it));
        assert!(!is_list || request.target().contains("limit="), "the whole list at once: {}", request.line);
    }
    assert_eq!((lists("/api/v1/pods").len(), lists("/api/v1/nodes").len()), (4, 2), "pages of 500");
    assert!(large.requests.len() < small.requests.len() + 5, "requests grow by pages and not by objects");
    // Policies of other namespaces select none of the targets.
    assert!(lists("/apis/networking.k8s.io/v1/networkpolicies").is_empty());
    // 1,000 is 512 + 256 + 128 + 64 + 32 + 8: in both directions, with the block around them and the service's address.
    assert!(large.blocks() > 2 && large.blocks() <= 2 * (6 + 2), "{}", large.policy());
    // 16 MB of pods and 13 MB of nodes are read, of which a page is 6 MB.
    let more = large.peak_mib - small.peak_mib;
    let (few, many) = (small.peak_mib, large.peak_mib);
    assert!(more < 40.0, "{few:.0} MiB for a small cluster, {many:.0} MiB for a large one in {:?}", large.took);
    println!("{few:.0} MiB for a small cluster, {many:.0} MiB for a large one in {:?}", large.took);
}

#[test]
fn an_object_that_the_server_would_not_store_is_refused_by_the_plan() {
    let cluster = LargeCluster { namespaces: 2, pods: 40, nodes: 10 };
    let server = HttpServer::start(move |request| match request.target() {
        "/version" => json_answer(200, VERSION),
        _ => cluster.answer(request),
    });
    let shakedown = Shakedown::new();
    let kubeconfig = shakedown.file("kubeconfig", kubeconfig(&server.url(), &json!({})));
    // A scenario has at most 1 MiB, and a variable can be used twice.
    let plan = |kib: usize| {
        let text = format!(
            "version: 1
name: large
namespace: team-0
vars: {{text: {}}}
load: {{aside: {{http: {{url: '{}'}}, rate: 5/s}}}}
phases:
  - name: cut
    duration: 10s
    faults:
      map:
        manifest:
          object: {{apiVersion: v1, kind: ConfigMap, data: {{one: '{{{{ text }}}}', two: '{{{{ text }}}}'}}}}
          active_when: [{{field: data.one, exists: true}}]
    expect: [{{requests: {{min: 1}}}}]
",
            "x".repeat(kib << 10),
            serve(200)
        );
        let file = shakedown.file("large.yaml", text);
        shakedown.run(&["plan", &file, "--kubeconfig", &kubeconfig])
    };
    plan(700).expect_code(0);
    plan(750).expect_code(3).expect_stderr(&[
        "fault `map`: ConfigMap shakedown-",
        "would have 1.5 MiB, and an API server stores no object of more than about 1.5 MiB",
        "help: divide the fault into several",
    ]);
}
