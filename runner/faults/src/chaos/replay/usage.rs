//! Stress of the recordings, next to what a kubelet was recorded to answer: proven, not proven, or claimed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use shakedown_cluster::Cluster;
use shakedown_cluster::testing::answering;
use shakedown_fakes::recordings;
use shakedown_schemas::result::{PodRef, Proof};

use super::stage::{Stage, events, turn};
use super::{Finding, case};
use crate::{FaultDriver, Observed};

/// The kubelet's recorded answers, one after the other, as if this container of them were the target's. The second one is left
/// out: it was taken just before the programs began.
fn kubelet(container: &'static str) -> impl FnOnce(Cluster, &PodRef) -> Cluster {
    move |cluster, target| {
        let (target, asked) = (target.clone(), AtomicUsize::new(0));
        let all = recordings::usage();
        answering(&cluster, move |(method, path, _)| {
            if method == "POST" && path.contains("stresschaos") && !path.contains("dryRun") {
                assert_eq!(asked.load(Ordering::SeqCst), 1, "the first sample is taken before the fault");
            }
            if !path.contains("/api/v1/nodes/node-1/proxy/stats/summary") {
                return None;
            }
            let place = match asked.fetch_add(1, Ordering::SeqCst) {
                0 => 0,
                later => (later + 1).min(all.len() - 1),
            };
            let mut pod = all[place]["pods"][0].clone();
            pod["podRef"]["uid"] = json!(target.uid);
            let containers = pod["containers"].as_array_mut().unwrap();
            containers.retain(|it| it["name"] == container);
            containers[0]["name"] = json!("nginx");
            Some((200, json!({"node": {"nodeName": "node-1"}, "pods": [pod]})))
        })
    }
}

fn refused(cluster: Cluster, _: &PodRef) -> Cluster {
    answering(&cluster, |(_, path, _)| {
        let status = |code: u16| {
            let body =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no"});
            Some((code, body))
        };
        match path {
            it if it.contains("/stats/summary") => status(403),
            it if it.contains("metrics.k8s.io") => status(404),
            _ => None,
        }
    })
}

/// What is seen while the fault acts, what is found at its end, and what the report gets.
async fn seen(
    name: &str,
    way: impl FnOnce(Cluster, &PodRef) -> Cluster,
) -> (Option<Vec<Finding>>, Vec<Finding>, Observed) {
    let case = case(name);
    let recorded = events(case);
    let mut stage = Stage::reached(case, &recorded, way);
    stage.fault.prepare().await.unwrap();
    stage.fault.preflight().await.unwrap();
    stage.fault.inject().await.unwrap();
    let playing = tokio::spawn(stage.player().play(recorded.clone(), turn(&recorded), None));
    stage.fault.become_active().await.unwrap();
    let early = tokio::time::timeout(Duration::from_secs(20), stage.fault.observe()).await.ok();
    let settled = stage.fault.settle().await.unwrap();
    playing.abort();
    (early, settled, stage.fault.observed())
}

fn details(findings: &[Finding]) -> Vec<(bool, &str)> {
    let effective = findings.iter().filter(|it| it.shows == Proof::Effective);
    effective.map(|it| (it.holds, it.detail.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_there_is_proven_while_the_fault_acts() {
    let (early, settled, observed) = seen("memory", kubelet("both")).await;
    let early = early.expect("it is seen within 20 s");
    let [(true, said)] = details(&early)[..] else { panic!("{early:?}") };
    assert!(said.ends_with("/nginx: asked 128 MB, seen 128 MB (the kubelet's statistics)"), "{said}");
    assert!(matches!(details(&settled)[..], [(true, _)]), "{settled:?}");
    assert_eq!((observed.measured.len(), observed.unseen), (1, None));
}

/// 400 MB in a container that is limited to 100 MiB: Chaos Mesh reports it as injected, and it is never there.
#[tokio::test(start_paused = true)]
async fn memoom_is_not_proven() {
    let (early, settled, observed) = seen("memoom", kubelet("oom")).await;
    assert_eq!(early, None, "nothing proves it");
    let [(false, said)] = details(&settled)[..] else { panic!("{settled:?}") };
    assert!(said.contains("asked 400 MB, seen "), "{said}");
    assert!(observed.measured[0].seen < 105e6 && !observed.measured[0].is_enough, "{observed:?}");
}

#[tokio::test(start_paused = true)]
async fn cpu_time_is_seen_and_what_may_not_be_read_stays_claimed() {
    let (_, settled, observed) = seen("stress", kubelet("both")).await;
    // Two processes at 80% ask for 1.6 cores, and one process of the recording takes half a core.
    assert!(matches!(details(&settled)[..], [(false, _)]), "{settled:?}");
    assert!(observed.measured[0].to_string().starts_with("asked 1.6 cores, seen 0.4"), "{observed:?}");
    let (early, settled, observed) = seen("stress", refused).await;
    assert_eq!((early, details(&settled)), (None, Vec::new()));
    let why =
        "what its pods use cannot be read: this cluster has no metrics API, and this account may not get nodes/proxy";
    assert_eq!(observed, Observed { measured: Vec::new(), unseen: Some(why.to_owned()) });
}
