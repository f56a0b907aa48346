//! Guesses from a namespace: which service receives the load, and which of its pods lose which service. A fault has an effect
//! if the requests need the link that it cuts. Pure.

use std::collections::BTreeSet;

use super::answers::{Answers, Complete, GUESS, MODEL, Pods, contains, selector};
use super::facts::{Facts, Service, Workload};
use crate::cli::args::{Like, Strike};

/// Names and ports of databases and caches.
const STORES: [&str; 13] = [
    "postgres",
    "pgbouncer",
    "mysql",
    "mariadb",
    "mongo",
    "redis",
    "valkey",
    "memcache",
    "cassandra",
    "elastic",
    "cockroach",
    "database",
    "etcd",
];
const STORE_PORTS: [u16; 10] = [5432, 3306, 27017, 6379, 11211, 9042, 9200, 26257, 1433, 2379];

/// Names and ports of queues and brokers.
const BROKERS: [&str; 8] = ["nats", "rabbit", "kafka", "amqp", "pulsar", "redpanda", "activemq", "queue"];
const BROKER_PORTS: [u16; 6] = [4222, 5672, 9092, 1883, 6650, 61616];

/// Names of services in front.
const FRONTS: [&str; 8] = ["front", "gateway", "ingress", "web", "shop", "www", "api", "proxy"];

/// Fills in what is missing: from the cluster, or else from an example.
pub fn complete(given: Answers, facts: Option<&Facts>) -> Complete {
    let from = given.from.unwrap_or_else(|| kind(facts));
    let namespace = given.namespace.clone().or_else(|| facts.map(|it| it.namespace.clone()));
    let example = example(from);
    let service = given.service.or_else(|| front(facts?, from)).unwrap_or_else(|| example.service.clone());
    let link = facts.and_then(|facts| link(facts, from, &service, given.pods.as_ref(), given.peer.as_deref()));
    let (target, needed) = link.map_or((None, None), |(target, needed)| (Some(target), Some(needed)));
    let pods = given.pods.or_else(|| target.map(selector)).unwrap_or_else(|| example.pods.clone());
    let peer = given.peer.or(needed).unwrap_or_else(|| example.peer.clone());
    let replicas = facts.and_then(|it| it.workloads.iter().find(|it| pods.are_of(it))).map(|it| it.replicas);
    let fault = given.fault.unwrap_or_else(|| fault(replicas, facts.is_some_and(|it| it.chaos_mesh)));
    let model = given.model.or_else(|| facts?.workloads.iter().find_map(|it| it.model.clone()));
    // A path without a method is read; a body is sent.
    let sends = given.body.is_some() || (given.path.is_none() && from == Like::Queue);
    let method = given.method.unwrap_or_else(|| if sends { "POST" } else { "GET" }.to_owned());
    let body = given.body.or_else(|| sends.then(|| "{}".to_owned()));
    let path = given.path.unwrap_or_else(|| if facts.is_some() { GUESS.to_owned() } else { example.path.clone() });
    Complete {
        from,
        name: given.name.unwrap_or_else(|| name(fault, &pods, &peer)),
        namespace: namespace.unwrap_or_else(|| example.namespace.clone()),
        service,
        pods,
        replicas,
        peer,
        fault,
        method,
        path,
        body,
        model: model.unwrap_or(example.model),
    }
}

fn name(fault: Strike, pods: &Pods, peer: &str) -> String {
    let plain = |text: &str| -> String {
        let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        text.chars().map(fits).take(40).collect()
    };
    let (pod, peer) = (plain(&pods.word()), plain(peer));
    match fault {
        Strike::Partition => format!("{pod}-loses-{peer}"),
        Strike::PodKill => format!("{pod}-is-killed"),
        Strike::Delay => format!("{pod}-reaches-{peer}-late"),
    }
}

/// The names in a scenario without a cluster. Those of the LLM and of the shop are the sandbox's.
fn example(from: Like) -> Complete {
    let labels = |value: &str| Pods::Labels([("app".to_owned(), value.to_owned())].into());
    let (namespace, service, pods, peer, path) = match from {
        Like::Shop => ("shop", "checkout:8080", "payments", "postgres", "/"),
        Like::Llm => ("dynamo", "vllm-agg-0-frontend:8000", "vllm-agg-0-vllmdecodeworker", "nats", "/"),
        Like::Queue => ("default", "api:80", "api", "rabbitmq", "/jobs"),
    };
    Complete {
        from,
        name: String::new(),
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        pods: labels(pods),
        replicas: None,
        peer: peer.to_owned(),
        fault: Strike::Partition,
        method: String::new(),
        path: path.to_owned(),
        body: None,
        model: MODEL.to_owned(),
    }
}

/// The kind of the namespace's service. Without a cluster: the LLM, which the default sandbox can rehearse.
fn kind(facts: Option<&Facts>) -> Like {
    let Some(facts) = facts else { return Like::Llm };
    if facts.workloads.iter().any(|it| it.is_llm || it.model.is_some()) {
        return Like::Llm;
    }
    let needed: BTreeSet<&String> = facts.workloads.iter().flat_map(|it| &it.needs).collect();
    let needs = |is: fn(&Service) -> bool| facts.services.iter().any(|it| needed.contains(&it.name) && is(it));
    if needs(is_broker) && !needs(is_store) { Like::Queue } else { Like::Shop }
}

/// The service that receives the load, as `name:port`.
fn front(facts: &Facts, from: Like) -> Option<String> {
    let score = |service: &Service| {
        let mut score = 0;
        score += if service.public { 4 } else { 0 };
        score += if FRONTS.iter().any(|word| service.name.contains(word)) { 3 } else { 0 };
        score += if facts.workloads.iter().any(|it| it.needs.contains(&service.name)) { 0 } else { 2 };
        score += if behind(facts, &service.name).any(|it| !it.needs.is_empty()) { 2 } else { 0 };
        score += if from == Like::Llm && service.ports.iter().any(|(_, name)| name.contains("http")) { 1 } else { 0 };
        score - if is_store(service) || is_broker(service) { 20 } else { 0 }
    };
    let best = facts.services.iter().filter(|it| it.http_port().is_some()).map(|it| (score(it), it));
    // The first of several: `max_by_key` takes the last.
    let best = best.rev().max_by_key(|(score, _)| *score).filter(|(score, _)| *score > -10);
    best.map(|(_, service)| service.address())
}

/// The workload of which one pod is hit, and the service that it loses: both on the path of a request, if the cluster shows
/// that path. Given answers are kept.
fn link<'f>(
    facts: &'f Facts,
    from: Like,
    service: &str,
    pods: Option<&Pods>,
    peer: Option<&str>,
) -> Option<(&'f Workload, String)> {
    let entry = service.split(':').next().unwrap_or_default();
    let reached = reached(facts, entry);
    let mut found: Option<(i32, &Workload, &Service)> = None;
    for workload in facts.workloads.iter().filter(|it| it.replicas > 0 && pods.is_none_or(|pods| pods.are_of(it))) {
        for needed in facts.services.iter().filter(|it| peer.map_or(it.name != entry, |peer| peer == it.name)) {
            let is_front = behind(facts, entry).any(|it| it.name == workload.name);
            let wanted = match from {
                Like::Shop => is_store(needed),
                Like::Llm | Like::Queue => is_broker(needed),
            };
            // A dependency that is configured elsewhere is not visible. The kind of the service then decides.
            let is_needed = workload.needs.contains(&needed.name);
            let is_own = contains(&workload.labels, &needed.selector);
            if is_own || !is_needed && !wanted && peer.is_none() {
                continue;
            }
            let mut score = 0;
            score += if is_needed { 8 } else { 0 };
            score += if reached.contains(&workload.name) { 4 } else { 0 };
            score += if workload.replicas > 1 { 3 } else { 0 };
            // One of three carries less of the load than one of two.
            score += if workload.replicas > 2 { 1 } else { 0 };
            score += if wanted { 2 } else { 0 };
            // Requests and workers meet on a bus. Jobs are put into a queue by the service that answers.
            score += match from {
                Like::Llm if !is_front && (workload.is_llm || workload.model.is_some()) => 6,
                Like::Queue if is_front => 4,
                _ => 0,
            };
            if found.is_none_or(|(best, ..)| score > best) {
                found = Some((score, workload, needed));
            }
        }
    }
    found.map(|(_, workload, needed)| (workload, needed.name.clone()))
}

/// The fault that the service can tolerate: with a second pod, a cut. A single pod cannot be cut off without an outage, so it
/// is delayed, or killed and replaced.
const fn fault(replicas: Option<u64>, chaos_mesh: bool) -> Strike {
    match (replicas, chaos_mesh) {
        (Some(1), true) => Strike::Delay,
        (Some(1), false) => Strike::PodKill,
        _ => Strike::Partition,
    }
}

/// The workloads whose pods a service selects.
fn behind<'f>(facts: &'f Facts, service: &str) -> impl Iterator<Item = &'f Workload> {
    let service = facts.services.iter().find(|it| it.name == service);
    facts.workloads.iter().filter(move |it| service.is_some_and(|service| contains(&it.labels, &service.selector)))
}

/// The workloads that a request to this service may reach.
fn reached(facts: &Facts, service: &str) -> BTreeSet<String> {
    let mut open = vec![service.to_owned()];
    let mut found = BTreeSet::new();
    while let Some(service) = open.pop() {
        for workload in behind(facts, &service) {
            if found.insert(workload.name.clone()) {
                open.extend(workload.needs.iter().cloned());
            }
        }
    }
    found
}

fn is_store(service: &Service) -> bool {
    is_one(service, &STORES, &STORE_PORTS)
}

fn is_broker(service: &Service) -> bool {
    is_one(service, &BROKERS, &BROKER_PORTS)
}

fn is_one(service: &Service, names: &[&str], ports: &[u16]) -> bool {
    names.iter().any(|word| service.name.contains(word)) || service.ports.iter().any(|(port, _)| ports.contains(port))
}
