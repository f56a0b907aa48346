//! Clusters on which an injection is impossible, each a sandbox that is treated like the cluster of a user: the run fails before
//! any load, with the cause, and leaves nothing.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use shakedown_cluster::{Kind, ObjectKey, WitnessImage, testing};

use super::*;
use crate::plan::Proof;

/// The longest time from the start of the run to its end.
const WHOLE: Duration = Duration::from_secs(60);

const DELAY: &str = "netem: {pods: {prefix: client}, delay: 40ms}";
const DELAY_TO: &str = "netem: {pods: {prefix: client}, delay: 40ms, to: [{service: server}]}";
const CUT: &str = "partition: {pods: {prefix: client}, from: [{service: server}], engine: chaos-mesh}";
const CLOCK: &str = "time: {pods: {prefix: client}, offset: -10m}";

/// A scenario on a sandbox whose node lacks something: its result, the objects that were ever created, and its messages.
struct Ran {
    result: ScenarioResult,
    created: Vec<String>,
    warnings: Vec<String>,
    load_connected: bool,
}

async fn run(lacks: &str, fault: &str, image: Option<&str>) -> Ran {
    let (sandbox, cluster) = client_and_server().await;
    let nodes = cluster.nodes().await.unwrap();
    let path = format!("/api/v1/nodes/{}", nodes[0].name);
    let patch = json!({"metadata": {"annotations": {"sandbox.shakedown.dev/lacks": lacks}}});
    testing::ask(&cluster, "PATCH", &path, Some(&patch)).await.expect("the node is changed");
    let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let heard = asked.clone();
    let cluster = testing::watched(&testing::unknown(&cluster), move |(method, path, _)| {
        if method == http::Method::POST && !path.contains("dryRun") {
            heard.lock().unwrap().push(path);
        }
        Box::pin(std::future::ready(()))
    });
    let load = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "version: 1\nname: impossible\nnamespace: one\nblast_radius: {{max_percent: 100%}}\n\
         load: {{aside: {{http: {{url: 'http://{}'}}, rate: 20/s, timeout: 100ms}}}}\n\
         phases:\n  - {{name: before, duration: 1s, expect: [{{requests: {{min: 1}}}}]}}\n  - name: fault\n    \
         duration: 1s\n    faults:\n      late: {{{fault}}}\n",
        load.local_addr().unwrap()
    );
    let document = shakedown_schemas::parse("it.yaml", text.as_bytes(), &Overrides::default()).unwrap();
    let run = "20260301-105959-abcde".to_owned();
    let options = Options {
        run: run.clone(),
        fuse: Some(Fuse { life: Duration::from_secs(30), image: None }),
        proof: Proof { canary: image.map(WitnessImage::named), ..Proof::default() },
        ..Options::for_tests()
    };
    let (_sender, signal) = watch::channel(None);
    let holder = holder(run);
    let context = Context { inject_anyway: true, ..context(&cluster, &holder, signal) };
    // Planning tries the address of the load once.
    let connections = tokio::spawn(async move {
        let mut count = 0;
        while let Ok(Ok(_)) = tokio::time::timeout(WHOLE, load.accept()).await {
            count += 1;
        }
        count
    });
    let events = Events::new(Vec::new()).scenario("impossible");
    let begun = Instant::now();
    let result = Box::pin(execute(&document, &context, &options, &events)).await;
    assert!(begun.elapsed() < WHOLE, "{:?}", begun.elapsed());
    connections.abort();
    let load_connected = events.log().iter().any(|event| event.kind == EventKind::LoadStarted);
    let warnings = events.log().into_iter().filter_map(|event| match event.kind {
        EventKind::Warning { message } => Some(message),
        _ => None,
    });
    let warnings = warnings.collect();
    let left = leftovers::find(&cluster, None, "", &leftovers::Kinds::default()).await.unwrap().found;
    assert!(left.is_empty(), "{lacks}: {left:?}");
    for pod in cluster.list(Kind::Pod, "one", None).await.unwrap() {
        let key = ObjectKey {
            kind: Kind::PodNetworkChaos,
            namespace: "one".into(),
            name: pod["metadata"]["name"].as_str().unwrap().into(),
            uid: None,
        };
        let rules = cluster.get(&key).await.unwrap().map(|network| network["spec"].clone());
        assert!(rules.is_none_or(|rules| rules == json!({})), "{key} has rules");
    }
    let created = asked.lock().unwrap().clone();
    sandbox.stop().await;
    Ran { result, created, warnings, load_connected }
}

#[track_caller]
fn refused(ran: &Ran, words: &[&str]) {
    let text = ran.result.errors.join("\n");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    assert_eq!(
        (ran.result.verdict, shakedown_judge::exit_code(std::slice::from_ref(&ran.result))),
        (Verdict::Error, 3)
    );
    assert!(!ran.load_connected && ran.result.leftovers.is_empty(), "{:?}", ran.result.leftovers);
    let injected = |fault: &&shakedown_schemas::result::FaultResult| fault.injecting_s.is_some();
    assert_eq!(ran.result.faults.iter().find(injected), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_on_which_nothing_can_be_injected_are_refused_before_the_load() {
    let image = Some("shakedown-sandbox");
    let (netem, tables, old, links) = tokio::join!(
        Box::pin(run("sch_netem", DELAY, image)),
        Box::pin(run("iptables", CUT, image)),
        Box::pin(run("discovery.k8s.io/v1", CLOCK, image)),
        Box::pin(run("iptables", DELAY_TO, image)),
    );
    refused(&netem, &["fault late", "cannot inject netem on node", "unable to set tcs", "modprobe sch_netem"]);
    refused(&tables, &["cannot inject partition on node", "legacy tables", "engine: network-policy"]);
    refused(&old, &["cannot inject time on node", "discovery.k8s.io/v1", "Kubernetes 1.21 or later"]);
    refused(&links, &["cannot inject netem to peers on node", "unable to set ip tables chains"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_can_is_used() {
    let (able, untried) =
        tokio::join!(Box::pin(run("", DELAY, Some("shakedown-sandbox"))), Box::pin(run("", CLOCK, None)));
    let state = |ran: &Ran| ran.result.faults[0].injection;
    assert_eq!(state(&able), Verdict::Pass, "{:?}", able.result.errors);
    let chaos: Vec<&String> = able.created.iter().filter(|path| path.contains("networkchaos")).collect();
    assert_eq!(chaos.len(), 2, "the canary's and the fault's: {chaos:?}");
    // Without an image it is said.
    assert!(untried.warnings.iter().any(|warning| warning.contains("there is no image")), "{:?}", untried.warnings);
    let pods: Vec<&String> = untried.created.iter().filter(|path| path.ends_with("/pods")).collect();
    assert!(pods.is_empty() && untried.load_connected, "{pods:?} {:?}", untried.result.errors);
}
