//! Least privilege on the real cluster: an account that may do nothing gets exactly the Role that `plan` prints, and the run
//! passes.

use std::time::Duration;

use crate::support::chaos_mesh::{ChaosMesh, Manner};
use crate::support::deployment::{TestCluster, token};
use crate::support::server::serve;
use crate::support::shakedown::Shakedown;
use crate::support::shop::Shop;
use crate::support::stage::define;
use crate::support::{leftovers, none_of};

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(180);
/// The words before the Role.
const HELP: &str = "help: `kubectl apply -f` this, as an administrator:\n";

/// A fault of each means, with a name for the scenario.
const FAULTS: [(&str, &str); 4] = [
    ("witness", "{partition: {pods: {owner: deployment/client}, from: [{service: server}], direction: egress}}"),
    ("kill", "{pod_kill: {pods: {prefix: client}, grace_period: 0s}}"),
    (
        "manifest",
        "{manifest: {object: {apiVersion: v1, kind: ConfigMap, data: {a: b}}, active_when: [{field: data.a, exists: true}]}}",
    ),
    ("netem", "{netem: {pods: {prefix: client}, to: [{service: server}], delay: 10ms, follow: true}}"),
];

#[test]
#[ignore = "needs a cluster"]
fn exactly_the_printed_role_suffices() {
    let cluster = TestCluster::get();
    define(&cluster.kubectl);
    let shop = Shop::new(cluster, &[("client", 1), ("server", 1)]);
    let _mesh = ChaosMesh::play(cluster.kubectl.kubeconfig().as_ref(), &shop.namespace, Manner::Well);
    let shakedown = Shakedown::new();
    for (name, fault) in FAULTS {
        // An account of its own for each, so that no Role of an earlier one helps.
        shop.kubectl(&["create", "serviceaccount", name]);
        let kubeconfig = token(&shop.namespace, name);
        let radius = if name == "manifest" { "" } else { "blast_radius: {max_percent: 100%}\n" };
        let file = shakedown.file(
            &format!("{name}.yaml"),
            format!(
                "version: 1\nname: {name}\nnamespace: {}\n{radius}load: {{aside: {{http: {{url: '{}'}}, rate: 5/s}}}}\nphases:\n  - \
                 {{name: before, duration: 1s}}\n  - name: cut\n    duration: 6s\n    faults: {{only: {fault}}}\n    expect: \
                 [{{requests: {{min: 1}}}}]\n",
                shop.namespace,
                serve(200)
            ),
        );
        let options = ["--kubeconfig", &kubeconfig, "--witness-image", &cluster.program, file.as_str()];
        let refused = shakedown.run(&[&["plan"], &options[..]].concat()).expect_code(3);
        let (_, role) = refused.stderr.split_once(HELP).unwrap_or_else(|| panic!("no Role is printed\n{refused}"));
        let role = shakedown.file(&format!("{name}-role.yaml"), role);
        shop.kubectl(&["apply", "-f", shakedown.path(&role).to_str().expect("UTF-8")]);

        let planned = shakedown.run(&[&["plan"], &options[..]].concat()).expect_code(0);
        assert!(!planned.stderr.contains("lacks permissions"), "{name}: {planned}");
        let out = format!("out-{name}");
        let finished = shakedown.start(&[&["run", "--out", &out], &options[..]].concat()).finish(LIMIT).expect_code(0);
        let reports = shakedown.reports(&out);
        reports.expect_injected_and_undone();
        if name == "witness" {
            reports.expect_proven_and_undone();
        }
        for word in ["forbidden", "lacks permissions"] {
            assert!(!finished.stderr.contains(word), "{name}: {finished}");
        }
        none_of(&leftovers::find(&cluster.kubectl, &shop.namespace, &reports.result.run.id));
        shop.wait_for("client");
    }
}
