//! Golden files: the resources of every kind and combination, as they are sent. `INSTA_UPDATE=always cargo test --lib
//! chaos::spec` records them anew; look at the difference.

use shakedown_schemas::scenario::Fault;

use super::*;
use crate::faults::chaos::{Naming, object};

fn pod(name: &str, ip: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: name.into(), node: None, ip: Some(ip.into()) }
}

fn targets() -> Vec<Inside> {
    let inside =
        |name: &str, ip: &str| Inside { pod: pod(name, ip), containers: vec!["main".into(), "sidecar".into()] };
    vec![inside("worker-0", "10.0.0.10"), inside("worker-1", "10.0.0.11")]
}

/// Peers behind a service with an address of its own.
fn service() -> Ends {
    Ends {
        pods: vec![PodRef { namespace: "bus".into(), ..pod("nats-0", "10.0.1.20") }],
        addresses: ["10.96.0.7".to_owned()].into(),
        back: BTreeSet::new(),
    }
}

/// Peers that are reached by their own addresses alone.
fn headless() -> Ends {
    Ends { addresses: BTreeSet::new(), ..service() }
}

fn outside() -> Ends {
    Ends {
        pods: Vec::new(),
        addresses: ["203.0.113.0/24".to_owned(), "198.51.100.7:443".to_owned()].into(),
        ..service()
    }
}

fn resources(text: &str, ends: Option<&Ends>) -> Vec<Resource> {
    let fault: Fault = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let inside = targets();
    let pods: Vec<PodRef> = inside.iter().map(|target| target.pod.clone()).collect();
    match &fault {
        Fault::Netem(it) => netem(it, &pods, ends, it.direction.unwrap_or_default()),
        Fault::Partition(it) => partition(&pods, ends.expect("peers"), it.direction),
        Fault::PodFailure(it) => vec![pod_failure(it, &inside)],
        Fault::ContainerKill(it) => vec![container_kill(it, &inside)],
        Fault::Stress(it) => vec![stress(it, &inside)],
        Fault::Http(it) => vec![http(it, &inside)],
        Fault::Dns(it) => vec![dns(it, &inside)],
        Fault::Io(it) => vec![io(it, &inside)],
        Fault::Time(it) => vec![time(it, &inside)],
        Fault::PodKill(_) | Fault::Manifest(_) => panic!("not a kind of Chaos Mesh"),
    }
}

fn naming() -> Naming {
    Naming {
        run: "20260301-105959-abcde".into(),
        serial: 0,
        number: 1,
        fault: "fault".into(),
        namespace: "shop".into(),
        duration: std::time::Duration::from_millis(180_400),
    }
}

const PODS: &str = "pods: {prefix: worker}";

#[test]
fn golden_files_of_every_kind_and_combination() {
    let (service, headless, outside) = (service(), headless(), outside());
    let cases: [(&str, &str, Option<&Ends>); 25] = [
        ("loss_to_a_service", "netem: {PODS, to: [{service: nats}], loss: 50%}", Some(&service)),
        ("loss_to_pods", "netem: {PODS, to: [{service: nats}], loss: 50%, correlation: 25%}", Some(&headless)),
        ("delay_with_jitter", "netem: {PODS, to: [{service: nats}], delay: 100ms, jitter: 50ms}", Some(&service)),
        ("delay_back_only", "netem: {PODS, to: [{service: nats}], delay: 500us, direction: ingress}", Some(&service)),
        ("delay_to_only", "netem: {PODS, to: [{service: nats}], delay: 1.5s, direction: egress}", Some(&service)),
        ("bandwidth_to_a_service", "netem: {PODS, to: [{service: nats}], bandwidth: 1Mbit/s}", Some(&service)),
        ("bandwidth_of_everything", "netem: {PODS, bandwidth: 125kB/s}", None),
        ("loss_of_everything", "netem: {PODS, loss: 0.5%, device: eth1}", None),
        ("loss_and_bandwidth_of_everything", "netem: {PODS, delay: 1s, bandwidth: 10Mbit/s}", None),
        (
            "combined_to_a_service",
            "netem: {PODS, to: [{service: nats}], loss: 20%, delay: 50ms, jitter: 25ms, bandwidth: 10Mbit/s}",
            Some(&service),
        ),
        (
            "combined_everything",
            "netem: {PODS, to: [{service: nats}], loss: 1%, delay: 10ms, jitter: 5ms, correlation: 10%, duplicate: 2%, \
             corrupt: 0.1%, reorder: 25%, bandwidth: 1Gbit/s}",
            Some(&headless),
        ),
        ("loss_outside", "netem: {PODS, to: [{cidr: 203.0.113.0/24}], loss: 5%, direction: egress}", Some(&outside)),
        ("partition_both", "partition: {PODS, from: [{service: nats}]}", Some(&service)),
        ("partition_outside", "partition: {PODS, from: [{host: example.org}], direction: egress}", Some(&outside)),
        ("pod_failure", "pod_failure: {PODS}", None),
        ("container_kill", "container_kill: {PODS, containers: [main, sidecar]}", None),
        ("stress_cpu", "stress: {PODS, cpu: {workers: 2, load: 80%}}", None),
        ("stress_both", "stress: {PODS, cpu: {workers: 1}, memory: {size: 256MiB}, containers: [sidecar]}", None),
        ("http_abort", "http: {PODS, port: 8000, path: /v1/*, method: POST, abort: true}", None),
        ("http_delay", "http: {PODS, port: 8000, delay: 2s}", None),
        ("http_status", "http: {PODS, port: 8000, status: 503, delay: 100ms}", None),
        ("dns_error", "dns: {PODS, patterns: [nats.*]}", None),
        (
            "io_latency",
            "io: {PODS, volume: /data, path: '/data/**/*.log', delay: 100ms, share: 50%, methods: [read]}",
            None,
        ),
        ("io_fault", "io: {PODS, volume: /data, error: ENOSPC}", None),
        ("time", "time: {PODS, offset: -10m, clocks: [realtime, monotonic]}", None),
    ];
    for (name, text, ends) in cases {
        let made = resources(&text.replace("PODS", PODS), ends);
        let shown: Vec<String> = made
            .iter()
            .map(|resource| {
                let records: Vec<String> =
                    resource.records.iter().map(|record| format!("# record {} {}\n", record.key, record.id)).collect();
                format!("{}{}", records.concat(), shakedown_reports::to_yaml(&object(resource, &naming(), 0)))
            })
            .collect();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, description => text }, {
            insta::assert_snapshot!(name, shown.join("---\n"));
        });
    }
}

#[test]
fn both_ways_of_a_service_are_two_resources_that_do_not_meet() {
    let made = resources("netem: {pods: {prefix: worker}, to: [{service: nats}], loss: 50%}", Some(&service()));
    let [to, back] = made.as_slice() else { panic!("{made:#?}") };
    assert!(to.shapes.is_disjoint(&back.shapes));
    assert_eq!(to.spec["externalTargets"], json!(["10.96.0.7"]));
    assert!(back.spec["externalTargets"].is_null(), "the webhook takes an empty list for one");
    assert_eq!(back.spec["selector"]["pods"], json!({"bus": ["nats-0"]}));
}

#[test]
fn names_tell_resources_faults_and_rounds_apart() {
    let made = resources("netem: {pods: {prefix: worker}, to: [{service: nats}], loss: 50%}", Some(&service()));
    let mut names = BTreeSet::new();
    for number in 0..3 {
        for round in 0..3 {
            for fault in ["a.b", "a-b", &"x".repeat(300)] {
                let naming = Naming { number, fault: fault.to_owned(), ..naming() };
                names.extend(
                    made.iter().map(|it| object(it, &naming, round)["metadata"]["name"].as_str().unwrap().to_owned()),
                );
            }
        }
    }
    // Faults of one scenario have numbers of their own; names that look alike do not count on top of that.
    assert_eq!(names.len(), 3 * 3 * 2 * 2);
    assert!(names.iter().all(|name| name.len() <= 120));
}
