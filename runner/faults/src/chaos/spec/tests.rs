//! Golden files: the resources of every kind and combination, as they are sent. `INSTA_UPDATE=always cargo test --lib
//! chaos::spec` records them anew; look at the difference.

use shakedown_schemas::scenario::Fault;

use super::combinations::combinations;
use super::*;
use crate::chaos::{Naming, object};
use shakedown_sandbox::asked;

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
        other => panic!("no golden file of {}", other.kind()),
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
    let cases: [(&str, &str, Option<&Ends>); 29] = [
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
        ("partition_back", "partition: {PODS, from: [{service: nats}], direction: ingress}", Some(&service)),
        ("pod_failure", "pod_failure: {PODS}", None),
        ("container_kill", "container_kill: {PODS, containers: [main, sidecar]}", None),
        ("stress_cpu", "stress: {PODS, cpu: {workers: 2, load: 80%}}", None),
        ("stress_both", "stress: {PODS, cpu: {workers: 1}, memory: {size: 256MiB}, containers: [sidecar]}", None),
        ("stress_memory", "stress: {PODS, memory: {size: 1GiB, workers: 4}}", None),
        ("http_abort", "http: {PODS, port: 8000, path: /v1/*, method: POST, abort: true}", None),
        ("http_delay", "http: {PODS, port: 8000, delay: 2s}", None),
        ("http_status", "http: {PODS, port: 8000, status: 503, delay: 100ms}", None),
        ("dns_error", "dns: {PODS, patterns: [nats.*]}", None),
        ("dns_random", "dns: {PODS, answer: random}", None),
        (
            "io_latency",
            "io: {PODS, volume: /data, path: '/data/**/*.log', delay: 100ms, share: 50%, methods: [read]}",
            None,
        ),
        ("io_fault", "io: {PODS, volume: /data, error: ENOSPC}", None),
        ("time_ahead", "time: {PODS, offset: 1h30m, containers: [sidecar]}", None),
        ("time", "time: {PODS, offset: -10m, clocks: [realtime, monotonic]}", None),
    ];
    for (name, text, ends) in cases {
        let made = resources(&text.replace("PODS", PODS), ends);
        // A Workflow or a Schedule would call every end a success.
        assert!(made.iter().all(|resource| Kind::CHAOS.contains(&resource.kind)), "{name}");
        let shown: Vec<String> = made
            .iter()
            .map(|resource| {
                let records: Vec<String> =
                    resource.records.iter().map(|record| format!("# record {} {}\n", record.key, record.id)).collect();
                format!("{}{}", records.concat(), shakedown_schemas::to_yaml(&object(resource, &naming(), 0)))
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

/// The other ends that a degradation may have, and the directions that these can have.
fn places() -> Vec<(&'static str, Option<Ends>, Vec<Direction>)> {
    use Direction::{Both, Egress, Ingress};
    let behind = Ends { back: ["10.96.0.9".to_owned()].into(), ..headless() };
    vec![
        ("everything", None, vec![Egress]),
        ("pods", Some(headless()), vec![Both, Egress, Ingress]),
        ("a service", Some(service()), vec![Both, Egress, Ingress]),
        ("pods that reach the targets by a service", Some(behind), vec![Both, Ingress]),
        ("addresses", Some(outside()), vec![Egress]),
    ]
}

fn degradation(fields: &Map<String, Value>) -> Netem {
    let mut whole = fields.clone();
    whole.insert("pods".to_owned(), json!({"prefix": "worker"}));
    serde_json::from_value(whole.into()).unwrap()
}

fn degraded(fields: &Map<String, Value>, ends: Option<&Ends>, direction: Direction) -> Vec<Resource> {
    let pods: Vec<PodRef> = targets().into_iter().map(|target| target.pod).collect();
    netem(&degradation(fields), &pods, ends, direction)
}

/// What a resource does to packets, and what else distinguishes it from others.
fn halves(resource: &Resource) -> (Map<String, Value>, Map<String, Value>) {
    let whole = resource.spec.as_object().unwrap().clone();
    whole
        .into_iter()
        .partition(|(key, _)| ["loss", "delay", "duplicate", "corrupt", "rate", "bandwidth"].contains(&key.as_str()))
}

/// One line each: what every combination becomes on all traffic and on some links, and where each place is shaped.
#[test]
fn golden_table_of_every_combination_and_place() {
    let mut lines = Vec::new();
    for fields in combinations() {
        lines.push(
            fields
                .iter()
                .map(|(name, value)| format!("{name} {}", value.as_str().unwrap()))
                .collect::<Vec<_>>()
                .join(", "),
        );
        for (place, ends) in [("all", None), ("some", Some(headless()))] {
            let direction = if ends.is_some() { Direction::Both } else { Direction::Egress };
            for made in degraded(&fields, ends.as_ref(), direction) {
                let (does, _) = halves(&made);
                lines.push(format!("  {place}: {} {}", made.spec["action"].as_str().unwrap(), Value::from(does)));
            }
        }
    }
    let rows = [
        ("netem", json!({"loss": "5%"})),
        ("rate", json!({"bandwidth": "1Mbit/s"})),
        ("both", json!({"loss": "5%", "bandwidth": "1Mbit/s"})),
    ];
    for (place, ends, directions) in places() {
        for direction in directions {
            for (what, fields) in &rows {
                lines.push(format!("{what} on {place}, {direction:?}"));
                for made in degraded(fields.as_object().unwrap(), ends.as_ref(), direction) {
                    let records: Vec<String> = made.records.iter().map(|it| format!("{} {}", it.key, it.id)).collect();
                    let shapes: Vec<&str> = made.shapes.iter().map(String::as_str).collect();
                    lines.push(format!("  {}: {}", made.role, Value::from(halves(&made).1)));
                    lines.push(format!("    records {}; shapes {}", records.join(", "), shapes.join(", ")));
                }
            }
        }
    }
    // Apart from the files that are resources, as they are sent.
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "tables" }, {
        insta::assert_snapshot!("every_combination", lines.join("\n"));
    });
}

/// What no combination at no place may do: ask for what was not asked, leave a default to a webhook, be refused by the
/// schema, the webhook or `tc`, or act twice on some links of a pod.
#[test]
fn every_combination_holds_at_every_place() {
    let mut count = 0;
    for (place, ends, directions) in places() {
        for direction in directions {
            for fields in combinations() {
                let made = degraded(&fields, ends.as_ref(), direction);
                let context = format!("{} on {place}, {direction:?}", Value::from(fields.clone()));
                let asked_for: BTreeSet<&str> = fields
                    .keys()
                    .map(|key| match key.as_str() {
                        "jitter" | "reorder" => "delay",
                        key => key,
                    })
                    .filter(|key| *key != "correlation")
                    .collect();
                let mut shaped: Vec<&String> = Vec::new();
                let mut does: BTreeSet<String> = BTreeSet::new();
                for resource in &made {
                    let whole = object(resource, &naming(), 0);
                    // Sent as it is kept: nothing is pruned, and nothing was left to the webhook.
                    let kept = asked(&whole).unwrap_or_else(|refusal| panic!("{context}: {refusal}"));
                    assert_eq!(kept["spec"], whole["spec"], "{context}");
                    if resource.filtered {
                        shaped.extend(&resource.shapes);
                    }
                    does.extend(halves(resource).0.keys().map(|key| match key.as_str() {
                        "rate" => "bandwidth".to_owned(),
                        key => key.to_owned(),
                    }));
                    assert!(!resource.shapes.is_empty() && !resource.records.is_empty(), "{context}");
                    count += 1;
                }
                assert_eq!(does.iter().map(String::as_str).collect::<BTreeSet<_>>(), asked_for, "{context}");
                let different: BTreeSet<&&String> = shaped.iter().collect();
                assert_eq!(different.len(), shaped.len(), "two of them override each other: {context}");
                let names: BTreeSet<&str> = made.iter().map(|it| it.role).collect();
                assert_eq!(names.len(), made.len(), "{context}");
            }
        }
    }
    assert!(count > 1_500, "{count}");
}
