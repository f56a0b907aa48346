//! Chaos from its creation to its end, under a paused clock: with links, without HTTP and without a node.

mod generated;
mod harness;
mod recorded;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use self::harness::Cluster;
use crate::mesh::PAUSE;
use crate::net::{Ailment, Link};
use crate::object;
use crate::registry::WriteOptions;
use crate::resource::{
    DNS_CHAOS, IO_CHAOS, JOBS, NETWORK_CHAOS, POD_CHAOS, POD_NETWORK_CHAOS, PODS, SERVICES, STRESS_CHAOS, TIME_CHAOS,
};
use crate::store::Key;

fn slow_to_nats() -> Value {
    json!({"action": "netem", "delay": {"latency": "100ms"},
        "target": {"mode": "all", "selector": {"labelSelectors": {"app": "nats"}}}})
}

#[tokio::test(start_paused = true)]
async fn a_delay_acts_on_its_link_only_and_is_gone_after_deletion() {
    let cluster = Cluster::new();
    cluster.chaos(&NETWORK_CHAOS, "slow", slow_to_nats());
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
    assert!(object::has_finalizer(&cluster.get(&NETWORK_CHAOS, "slow").unwrap(), "chaos-mesh/records"));
    assert_eq!(cluster.desired(&NETWORK_CHAOS, "slow"), "Run");
    let ids: Vec<String> = cluster.records(&NETWORK_CHAOS, "slow").into_iter().map(|record| record.0).collect();
    assert_eq!(ids, ["a/w-0", "a/w-1", "a/nats-0"]);
    let rules = cluster.get(&POD_NETWORK_CHAOS, "w-0").unwrap();
    assert_eq!(rules["spec"]["tcs"][0]["source"], "a/slow");
    assert_eq!(rules["status"]["observedGeneration"], rules["metadata"]["generation"]);
    assert_eq!(rules["status"].get("failedMessage"), None);
    assert!(cluster.get(&POD_NETWORK_CHAOS, "nats-0").is_none(), "nothing is done at the target");

    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((100, 0)));
    assert_eq!(cluster.takes("nats-0", "w-0", None), Some((0, 100)), "also for what the bus opens");
    assert_eq!(cluster.takes("w-0", "w-1", None), Some((0, 0)));

    cluster.delete(&NETWORK_CHAOS, "slow");
    cluster.until("it is gone", |c| c.get(&NETWORK_CHAOS, "slow").is_none()).await;
    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((0, 0)));
    assert_eq!(cluster.get(&POD_NETWORK_CHAOS, "w-0").unwrap()["spec"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn pods_as_target_do_not_mean_the_service_in_front_of_them() {
    let cluster = Cluster::new();
    let service = cluster.get(&SERVICES, "nats").unwrap();
    let via = SocketAddr::new(object::text(&service, "/spec/clusterIP").parse().unwrap(), 4222);
    cluster.chaos(&NETWORK_CHAOS, "pods", slow_to_nats());
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "pods", "AllInjected")).await;
    assert_eq!(cluster.takes("w-0", "nats-0", Some(via)), Some((0, 0)), "the address is not that of a pod");
    cluster.delete(&NETWORK_CHAOS, "pods");
    cluster.until("it is gone", |c| c.get(&NETWORK_CHAOS, "pods").is_none()).await;

    let mut both = slow_to_nats();
    both["externalTargets"] = json!(["nats.a.svc.cluster.local:4222"]);
    cluster.chaos(&NETWORK_CHAOS, "there", both);
    let back = json!({"action": "netem", "delay": {"latency": "30ms"}, "selector": {"labelSelectors": {"app": "nats"}},
        "target": {"mode": "all", "selector": {"labelSelectors": {"app": "w"}}}});
    cluster.chaos(&NETWORK_CHAOS, "back", back);
    let injected = |c: &Cluster| ["there", "back"].iter().all(|name| c.is(&NETWORK_CHAOS, name, "AllInjected"));
    cluster.until("both are injected", injected).await;
    assert_eq!(cluster.takes("w-0", "nats-0", Some(via)), Some((100, 30)));
}

#[tokio::test(start_paused = true)]
async fn a_partition_cuts_and_also_cuts_the_world_outside_when_it_has_no_target() {
    let cluster = Cluster::new();
    let mut cut = slow_to_nats();
    cut["action"] = "partition".into();
    cluster.chaos(&NETWORK_CHAOS, "cut", cut);
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "cut", "AllInjected")).await;
    assert_eq!(cluster.takes("w-0", "nats-0", None), None);
    assert_eq!(cluster.takes("nats-0", "w-0", None), None);
    assert_eq!(cluster.takes("w-0", "w-1", None), Some((0, 0)));
    let outside = |cluster: &Cluster, pod: &str| {
        let link = Link { source: [127, 0, 0, 1].into(), destination: cluster.ip(pod), port: 80, via: None };
        cluster.links.ask(link).open
    };
    assert!(outside(&cluster, "w-0"));
    cluster.chaos(&NETWORK_CHAOS, "alone", json!({"action": "partition", "direction": "both"}));
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "alone", "AllInjected")).await;
    assert!(!outside(&cluster, "w-0") && outside(&cluster, "nats-0"));
}

#[tokio::test(start_paused = true)]
async fn its_duration_ends_it_and_leaves_the_object() {
    let cluster = Cluster::new();
    let began = Instant::now();
    let mut spec = slow_to_nats();
    spec["duration"] = "30s".into();
    cluster.chaos(&NETWORK_CHAOS, "slow", spec);
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
    let over =
        |c: &Cluster| c.desired(&NETWORK_CHAOS, "slow") == "Stop" && c.is(&NETWORK_CHAOS, "slow", "AllRecovered");
    cluster.until("it is over", over).await;
    // Time stamps have whole seconds: it counts from up to one second before.
    assert!((Duration::from_secs(29)..=Duration::from_secs(31)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(cluster.said("Time up"), 1);
    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_pause_recovers_and_its_end_injects_again() {
    let cluster = Cluster::new();
    cluster.chaos(&NETWORK_CHAOS, "slow", slow_to_nats());
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
    cluster.annotate(&NETWORK_CHAOS, "slow", PAUSE, "true".into());
    let paused = |c: &Cluster| c.is(&NETWORK_CHAOS, "slow", "Paused") && c.is(&NETWORK_CHAOS, "slow", "AllRecovered");
    cluster.until("it is paused", paused).await;
    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((0, 0)));
    cluster.annotate(&NETWORK_CHAOS, "slow", PAUSE, "false".into());
    cluster.until("it is injected again", |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((100, 0)));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_said_once_and_looked_for_again_only_after_a_change() {
    let cluster = Cluster::new();
    cluster.chaos(
        &NETWORK_CHAOS,
        "none",
        json!({"action": "loss", "loss": {"loss": "1"}, "selector": {"pods": {"a": ["x"]}}}),
    );
    cluster.until("it is said", |c| c.said("no pod is selected") == 1).await;
    cluster.pod("x");
    cluster.settle().await;
    for condition in ["Selected", "AllInjected"] {
        assert!(!cluster.is(&NETWORK_CHAOS, "none", condition), "{condition}");
    }
    cluster.annotate(&NETWORK_CHAOS, "none", "look", "again".into());
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "none", "AllInjected")).await;
    cluster.chaos(
        &NETWORK_CHAOS,
        "gone",
        json!({"action": "netem", "loss": {"loss": "1"}, "selector": {"pods": {"a": ["y"]}}}),
    );
    cluster.settle().await;
    cluster.delete(&NETWORK_CHAOS, "gone");
    cluster.until("it goes all the same", |c| c.get(&NETWORK_CHAOS, "gone").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_chaos_goes_with_the_fuse_that_owns_it() {
    let cluster = Cluster::new();
    let template = json!({"spec": {"schedulerName": "nobody", "restartPolicy": "Never",
        "containers": [{"name": "fuse", "image": "none"}]}});
    let job = cluster.create(
        &JOBS,
        json!({"metadata": {"name": "fuse"}, "spec": {"activeDeadlineSeconds": 60,
        "ttlSecondsAfterFinished": 0, "backoffLimit": 0, "template": template}}),
    );
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "fuse", "uid": object::uid(&job)});
    let mut spec = slow_to_nats();
    spec["mode"] = "all".into();
    spec["selector"] = json!({"pods": {"a": ["w-0"]}});
    cluster.create(&NETWORK_CHAOS, json!({"metadata": {"name": "slow", "ownerReferences": [owner]}, "spec": spec}));
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((100, 0)));
    cluster.until("it is gone", |c| c.get(&NETWORK_CHAOS, "slow").is_none()).await;
    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((0, 0)));
}

#[tokio::test(start_paused = true)]
async fn what_tc_refuses_is_told_and_blocks_its_own_deletion_until_the_pods_are_gone() {
    let cluster = Cluster::new();
    cluster.chaos(
        &NETWORK_CHAOS,
        "bad",
        json!({"action": "netem", "loss": {"loss": "150"}, "selector": {"pods": {"a": ["w-0"]}}}),
    );
    cluster
        .until("it fails", |c| {
            c.said("Failed to apply chaos: failed to apply for pod a/w-0: unable to set tcs for pod w-0") == 1
        })
        .await;
    let words = "failed to apply for pod a/w-0: unable to set tcs for pod w-0";
    let failed = ("a/w-0".to_string(), "Not Injected/Wait".to_string(), words.to_string());
    assert_eq!(cluster.records(&NETWORK_CHAOS, "bad"), [failed]);
    assert_eq!(cluster.get(&POD_NETWORK_CHAOS, "w-0").unwrap()["status"]["failedMessage"], words);
    // Others on the same pod suffer from it.
    cluster.chaos(&NETWORK_CHAOS, "good", slow_to_nats());
    cluster.until("it fails as well", |c| c.said("Failed to apply chaos: failed to apply for pod a/w-0") == 2).await;

    cluster.annotate(&NETWORK_CHAOS, "bad", "chaos-mesh.chaos-mesh.org/cleanFinalizer", "forced".into());
    cluster.delete(&NETWORK_CHAOS, "bad");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(cluster.get(&NETWORK_CHAOS, "bad").is_some(), "force does not help while a step fails");
    cluster.delete(&PODS, "w-0");
    cluster.until("it is gone", |c| c.get(&NETWORK_CHAOS, "bad").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_the_same_name_starts_whole_and_the_record_says_what_it_said() {
    let cluster = Cluster::new();
    cluster.chaos(&NETWORK_CHAOS, "slow", slow_to_nats());
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
    cluster.delete(&PODS, "w-0");
    cluster.until("its rules go with it", |c| c.get(&POD_NETWORK_CHAOS, "w-0").is_none()).await;
    cluster.pod("w-0");
    cluster.settle().await;
    assert_eq!(cluster.takes("w-0", "nats-0", None), Some((0, 0)));
    assert!(cluster.is(&NETWORK_CHAOS, "slow", "AllInjected"), "no controller looks again");
    cluster.delete(&NETWORK_CHAOS, "slow");
    cluster.until("it is gone", |c| c.get(&NETWORK_CHAOS, "slow").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_killed_once_and_containers_as_well() {
    let cluster = Cluster::new();
    let uid = object::uid(&cluster.get(&PODS, "w-1").unwrap()).to_string();
    let token = cluster.registry.kills.arm(&uid, "main");
    let spec = json!({"action": "container-kill", "containerNames": ["main"], "selector": {"pods": {"a": ["w-1"]}}});
    cluster.chaos(&POD_CHAOS, "container", spec);
    cluster.until("it is injected", |c| c.is(&POD_CHAOS, "container", "AllInjected")).await;
    assert!(token.is_cancelled());
    assert_eq!(cluster.records(&POD_CHAOS, "container")[0].0, "a/w-1/main");

    let spec = json!({"action": "pod-kill", "selector": {"pods": {"a": ["w-0"]}}, "duration": "1s"});
    cluster.chaos(&POD_CHAOS, "kill", spec);
    cluster.until("it is injected", |c| c.is(&POD_CHAOS, "kill", "AllInjected")).await;
    assert!(cluster.get(&PODS, "w-0").is_none());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cluster.desired(&POD_CHAOS, "kill"), "Run", "its duration means nothing");
    cluster.pod("w-0");
    cluster.settle().await;
    assert!(cluster.get(&PODS, "w-0").is_some(), "it kills once");
    for name in ["kill", "container"] {
        cluster.delete(&POD_CHAOS, name);
        cluster.until("it is gone", |c| c.get(&POD_CHAOS, name).is_none()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fails_has_another_image_until_it_is_mended() {
    let cluster = Cluster::new();
    let image = |c: &Cluster| object::text(&c.get(&PODS, "w-0").unwrap(), "/spec/containers/0/image").to_string();
    for name in ["one", "two"] {
        cluster.chaos(&POD_CHAOS, name, json!({"action": "pod-failure", "selector": {"pods": {"a": ["w-0"]}}}));
        cluster.until("it is injected", |c| c.is(&POD_CHAOS, name, "AllInjected")).await;
        assert!(image(&cluster).contains("pause"));
    }
    for name in ["one", "two"] {
        cluster.delete(&POD_CHAOS, name);
        cluster.until("it is gone", |c| c.get(&POD_CHAOS, name).is_none()).await;
    }
    assert_eq!(image(&cluster), "shakedown:latest");
}

#[tokio::test(start_paused = true)]
async fn what_the_sandbox_models_ails_the_pod_and_what_it_does_not_is_never_injected() {
    let cluster = Cluster::new();
    let names = json!({"action": "error", "patterns": ["nats.*"]});
    cluster.chaos(&STRESS_CHAOS, "busy", json!({"stressors": {"cpu": {"workers": 1, "load": 50}}}));
    cluster.chaos(&DNS_CHAOS, "names", names);
    for (resource, name) in [(&STRESS_CHAOS, "busy"), (&DNS_CHAOS, "names")] {
        cluster.until("it is injected", |c| c.is(resource, name, "AllInjected")).await;
    }
    let ailments = cluster.links.ailments().of(cluster.ip("w-0"));
    assert!(ailments.contains(&Ailment::Busy(1.5)) && ailments.len() == 2, "{ailments:?}");
    assert_eq!(cluster.links.ailments().of(cluster.ip("nats-0")), []);
    for (resource, name) in [(&STRESS_CHAOS, "busy"), (&DNS_CHAOS, "names")] {
        cluster.delete(resource, name);
        cluster.until("it is gone", |c| c.get(resource, name).is_none()).await;
    }
    assert_eq!(cluster.links.ailments().of(cluster.ip("w-0")), []);

    let late = json!({"timeOffset": "-10m", "clockIds": ["CLOCK_REALTIME"]});
    cluster.chaos(&TIME_CHAOS, "late", late);
    cluster.until("it is injected", |c| c.is(&TIME_CHAOS, "late", "AllInjected")).await;
    assert_eq!(cluster.links.ailments().of(cluster.ip("w-0")), [Ailment::Clock { ahead_ms: -600_000 }]);
    cluster.delete(&TIME_CHAOS, "late");
    cluster.until("it is gone", |c| c.get(&TIME_CHAOS, "late").is_none()).await;
    assert_eq!(cluster.links.ailments().of(cluster.ip("w-0")), []);

    // As in the real one: nothing is mounted there, and what never was injected goes all the same.
    cluster.chaos(&IO_CHAOS, "io", json!({"action": "latency", "delay": "10ms", "volumePath": "/data"}));
    cluster.until("it fails", |c| c.said("toda startup takes too long") > 0).await;
    assert!(cluster.is(&IO_CHAOS, "io", "Selected") && !cluster.is(&IO_CHAOS, "io", "AllInjected"));
    cluster.delete(&IO_CHAOS, "io");
    cluster.until("it is gone", |c| c.get(&IO_CHAOS, "io").is_none()).await;

    let other = json!({"stressors": {"cpu": {"workers": 1}}, "stressngStressors": "--cpu 1"});
    cluster.chaos(&STRESS_CHAOS, "other", other);
    cluster.until("it fails", |c| c.said("not modelled in the sandbox") > 0).await;
    assert!(!cluster.is(&STRESS_CHAOS, "other", "AllInjected"));
}

#[tokio::test(start_paused = true)]
async fn versions_and_updates_follow_the_rules_of_custom_resources() {
    let cluster = Cluster::new();
    cluster.chaos(&NETWORK_CHAOS, "slow", slow_to_nats());
    cluster.until("it is injected", |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
    let chaos = cluster.get(&NETWORK_CHAOS, "slow").unwrap();
    assert!(object::number(&chaos, "/metadata/generation").unwrap() > 1, "its status counts");
    let mut changed = Value::clone(&chaos);
    changed["spec"]["delay"]["latency"] = "1ms".into();
    let key = Key::of(&NETWORK_CHAOS, &chaos);
    let refused = cluster.registry.update(&key, crate::registry::ObjectPart::Main, changed, WriteOptions::default());
    assert!(refused.unwrap_err().message.contains("Cannot update chaos spec"));
    let unknown = cluster.try_create(&NETWORK_CHAOS, json!({"metadata": {"name": "x"}, "spec": {"action": "rate"}}));
    assert!(unknown.unwrap_err().contains("Unsupported value: \"rate\""));
}
