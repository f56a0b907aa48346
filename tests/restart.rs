//! The API server restarts while a fault acts: it is killed, and started again after a while with the same arguments. No other
//! test can use the cluster meanwhile, so these run alone.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use shakedown_schemas::result::Verdict;

use crate::support::deployment::TestCluster;
use crate::support::kubectl::Kubectl;
use crate::support::shakedown::Shakedown;
use crate::support::shop::{PORTS, Shop};
use crate::support::stage::wait;
use crate::support::{leftovers, none_of};

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(240);

const CUT: &str =
    "      cut: {partition: {pods: {owner: deployment/client}, from: [{service: server}], direction: egress}}";

/// Controllers look for an API server that was away at growing intervals, of up to a minute.
const CONTROLLERS: Duration = Duration::from_secs(150);

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The API server of the test cluster. Dropped, it runs.
struct ApiServer<'a> {
    kubectl: &'a Kubectl,
    pid_file: PathBuf,
    /// Its program and its arguments.
    line: Vec<String>,
}

impl<'a> ApiServer<'a> {
    #[track_caller]
    fn of(kubectl: &'a Kubectl) -> Self {
        let pid_file = Path::new(kubectl.kubeconfig()).with_file_name("kube-apiserver.pid");
        let pid = std::fs::read_to_string(&pid_file).expect("the API server's pid");
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).expect("a process");
        let line: Vec<String> = line.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        assert!(line[0].ends_with("kube-apiserver"), "{line:?}");
        Self { kubectl, pid_file, line }
    }

    /// Kills it.
    #[track_caller]
    fn kill(&self) {
        let pid = std::fs::read_to_string(&self.pid_file).expect("the API server's pid");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, Signal::KILL).expect("a signal");
        // The process may be a zombie while one of its threads still holds the port.
        let port = self.line.iter().skip_while(|word| *word != "--secure-port").nth(1).expect("a port");
        let address = (Ipv4Addr::LOCALHOST, port.parse().expect("a port"));
        wait("its end", || TcpStream::connect(address).is_err());
    }

    /// Starts it as a process of its own that outlives this test, and waits until it is ready.
    #[track_caller]
    fn start(&self, more: &[&str]) {
        let folder = self.pid_file.parent().expect("a folder");
        let log = std::fs::File::options().append(true).open(folder.join("kube-apiserver.log")).expect("its log");
        let mut command = Command::new(&self.line[0]);
        command.args(&self.line[1..]).args(more).current_dir(folder).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a copy")).stderr(log);
        let mut child = command.spawn().expect("the API server");
        std::fs::write(&self.pid_file, child.id().to_string()).expect("its pid");
        // Waited for in the background, so that it is no zombie when it is killed again.
        std::thread::spawn(move || child.wait());
        wait("the API server", || {
            self.kubectl.try_run(&["--request-timeout=2s", "get", "--raw", "/readyz"]).code() == 0
        });
    }

    /// Waits until the Job controller answers.
    #[track_caller]
    fn wait_for_controllers(&self, shop: &Shop) {
        shop.create(json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "too-late"},
            "spec": {"activeDeadlineSeconds": 1, "template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "none", "image": "none", "imagePullPolicy": "Never"}],
            }}},
        }));
        let limit = format!("--timeout={}s", CONTROLLERS.as_secs());
        shop.kubectl(&["wait", "--for=condition=Failed", &limit, "job/too-late"]);
        shop.kubectl(&["delete", "job", "too-late"]);
    }

    fn restart(&self, away: Duration) {
        self.kill();
        std::thread::sleep(away);
        self.start(&[]);
    }
}

impl Drop for ApiServer<'_> {
    fn drop(&mut self) {
        if self.kubectl.try_run(&["--request-timeout=5s", "get", "--raw", "/readyz"]).code() != 0 {
            self.start(&[]);
        }
    }
}

/// Shorter than the fuse: nothing is lost. Longer: the fault ends, as the report says.
#[test]
#[ignore = "needs a cluster of its own"]
fn an_api_server_that_restarts_ends_no_fault_unless_it_is_away_for_longer_than_the_fuse() {
    let cluster = TestCluster::get();
    let _alone = alone();
    let shop = Shop::new(cluster, &[("client", 1), ("server", 1)]);
    let server = ApiServer::of(&cluster.kubectl);
    let (client, _) = shop.pods("client").remove(0);
    for (fuse, away, code) in [("30s", Duration::from_secs(4), 0), ("5s", Duration::from_secs(12), 4)] {
        let shakedown = Shakedown::new();
        let file = shakedown.file("links.yaml", shop.cutting(45, CUT));
        server.wait_for_controllers(&shop);
        let kubeconfig = cluster.kubectl.kubeconfig();
        let args = ["run", "--out", "out", "--kubeconfig", kubeconfig, "--witness-image", &cluster.program];
        let running = shakedown.start(&[&args[..], &["--fuse-margin", fuse, &file]].concat());
        running.stderr_line("fault cut: proven", LIMIT);
        server.restart(away);
        let finished = running.finish(LIMIT);
        let reports = shakedown.reports("out");
        assert_eq!(finished.code(), code, "away for {away:?}, fuse of {fuse}: {finished}\n{}", reports.found());
        let fault = reports.fault();
        if code == 0 {
            reports.expect_proven_and_undone();
        } else {
            let problem = fault.problem.clone().unwrap_or_default();
            assert_eq!((fault.injection, fault.undo), (Verdict::Inconclusive, Verdict::Pass), "{problem}\n{finished}");
            assert!(problem.contains("ended early by its fuse"), "{problem}");
        }
        none_of(&leftovers::find(&cluster.kubectl, &shop.namespace, &reports.result.run.id));
        shop.expect_link(&client, &shop.address("server"), PORTS[0], true);
    }
}

/// The server gets a second range of addresses for this test. The pods have one family, as in most clusters, so the links to the
/// second address cannot be tried.
#[test]
#[ignore = "needs a cluster of its own"]
fn a_service_with_an_address_of_each_family_is_cut() {
    let cluster = TestCluster::get();
    let _alone = alone();
    let shop = Shop::new(cluster, &[("client", 1), ("server", 1)]);
    let server = ApiServer::of(&cluster.kubectl);
    server.kill();
    server.start(&["--service-cluster-ip-range", "10.96.0.0/24,fd00:96::/112"]);
    shop.kubectl(&["delete", "service", "server"]);
    let ports: Vec<Value> = PORTS.iter().map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    shop.create(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ipFamilyPolicy": "RequireDualStack", "ports": ports},
    }));
    let addresses =
        shop.items(&["services", "--field-selector", "metadata.name=server"]).remove(0)["spec"]["clusterIPs"].clone();
    let addresses: Vec<String> = serde_json::from_value(addresses).expect("addresses");
    assert!(addresses.len() == 2 && addresses[1].contains(':'), "{addresses:?}");
    server.wait_for_controllers(&shop);
    let shakedown = Shakedown::new();
    let cut = "      cut: {partition: {pods: {owner: deployment/client}, from: [{service: server, ports: [8080]}], direction: egress}}";
    let file = shakedown.file("links.yaml", shop.cutting(15, cut));
    let args =
        ["run", "--out", "out", "--kubeconfig", cluster.kubectl.kubeconfig(), "--witness-image", &cluster.program];
    let running = shakedown.start(&[&args[..], &[&file]].concat());
    running.stderr_line("fault cut: proven", LIMIT);
    let (client, _) = shop.pods("client").remove(0);
    shop.expect_link(&client, &addresses[0], PORTS[0], false);
    shop.expect_link(&client, &addresses[0], PORTS[1], true);
    running.finish(LIMIT).expect_code(0);
    let reports = shakedown.reports("out");
    reports.expect_proven_and_undone();
    none_of(&leftovers::find(&cluster.kubectl, &shop.namespace, &reports.result.run.id));
    shop.kubectl(&["delete", "service", "server"]);
    server.restart(Duration::ZERO);
}
