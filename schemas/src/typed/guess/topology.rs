//! Words of Kubernetes and Compose in a topology of the sandbox. Its types are in the sandbox, and are named here alone.

use super::common::{folded, text_of};
use super::row::Means::{Elsewhere, Key, Line, Made, Remove, Said};
use super::row::{Guess, guess};
use crate::source::flow::{flow, quoted};
use crate::source::{Node, Value};

const TOPOLOGY: &[&str] = &["Topology"];
const WORKLOAD: &[&str] = &["Workload"];
const PROGRAM: &[&str] = &["Program"];
/// Programs with one port that is called `port`.
const SERVERS: &[&str] =
    &["ServiceConfig", "RedisConfig", "PostgresConfig", "BusConfig", "DiscoveryConfig", "FrontendConfig"];
const CALLS: &[&str] = &["HttpCall", "RedisCall", "PostgresCall"];
const SETTINGS: &str = "the settings of the program";

/// The programs, and words for them in images and names.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("redis", &["redis", "valkey", "memcached", "cache"]),
    ("postgres", &["postgres", "postgresql", "mysql", "mariadb", "database", "db"]),
    ("bus", &["bus", "nats"]),
    ("discovery", &["discovery", "etcd"]),
    ("frontend", &["frontend"]),
    ("worker", &["worker", "vllm"]),
    ("service", &["service", "nginx", "http", "app", "web", "server", "api"]),
];

/// The table.
pub(super) const TABLE: &[Guess] = &[
    guess(TOPOLOGY, &["services", "deployments", "pods"], Made(workloads)),
    guess(TOPOLOGY, &["ns", "name"], Key("namespace")),
    guess(TOPOLOGY, &["kind", "apiversion", "metadata", "spec"], Said(manifest)),
    guess(WORKLOAD, &["image", "command", "type"], Made(program)),
    guess(WORKLOAD, &["program"], Made(program)),
    guess(WORKLOAD, &["kind"], Made(kind)),
    guess(WORKLOAD, &["count", "instances", "scale"], Key("replicas")),
    guess(WORKLOAD, &["ns"], Key("namespace")),
    guess(WORKLOAD, &["readinessprobe", "readiness_probe", "healthcheck", "livenessprobe"], Said(probe)),
    guess(WORKLOAD, &["latency", "delay", "work"], Elsewhere("work: {}", SETTINGS)),
    guess(WORKLOAD, &["port", "ports"], Said(port_of_program)),
    guess(WORKLOAD, &["calls"], Elsewhere("calls: {}", SETTINGS)),
    guess(WORKLOAD, &["depends_on", "needs", "requires"], Said(calls_of_program)),
    guess(WORKLOAD, &["env", "environment"], Said(env)),
    guess(PROGRAM, &["nginx", "http", "app", "web", "server", "api"], Line("service: {}")),
    guess(PROGRAM, &["postgresql", "mysql", "mariadb", "database", "db"], Line("postgres: {}")),
    guess(PROGRAM, &["valkey", "memcached", "cache"], Line("redis: {}")),
    guess(PROGRAM, &["nats"], Line("bus: {}")),
    guess(PROGRAM, &["etcd"], Line("discovery: {}")),
    guess(SERVERS, &["ports"], Made(port)),
    guess(SERVERS, &["env", "environment"], Said(env)),
    guess(&["ServiceConfig", "PostgresConfig"], &["latency", "delay"], Key("work")),
    guess(&["ServiceConfig"], &["depends_on", "needs", "requires"], Made(calls)),
    guess(CALLS, &["optional"], Made(required)),
    guess(CALLS, &["url"], Made(server)),
    guess(CALLS, &["host", "service", "address", "to"], Key("server")),
    guess(CALLS, &["latency", "delay"], Remove("the program that is called has the `work`; a call has a `timeout`")),
];

/// The name without its path and its tag: `redis` of `docker.io/library/redis:7`.
fn bare(text: &str) -> &str {
    let name = text.rsplit('/').next().unwrap_or(text);
    name.split([':', '@']).next().unwrap_or(name)
}

fn known(text: &str) -> Option<&'static str> {
    let word = folded(bare(text));
    PROGRAMS.iter().find(|(name, words)| *name == word || words.contains(&word.as_str())).map(|(name, _)| *name)
}

/// The program of an image or of its name. Any other image is a service.
fn program(key: &str, node: &Node) -> Option<String> {
    let text = text_of(node)?;
    let name = known(text).or_else(|| (key == "image").then_some("service"))?;
    Some(format!("program: {{{name}: {{}}}}"))
}

/// The kind as Kubernetes writes it. A program is no kind.
fn kind(_: &str, node: &Node) -> Option<String> {
    let text = text_of(node)?;
    match folded(text).as_str() {
        "deployment" => Some("kind: deployment".to_owned()),
        "statefulset" => Some("kind: stateful_set".to_owned()),
        _ => known(text).map(|name| format!("program: {{{name}: {{}}}}")),
    }
}

/// A manifest in the place of a topology.
fn manifest(key: &str, node: &Node) -> Option<String> {
    let kind = text_of(node).filter(|_| key == "kind").and_then(|_| kind(key, node));
    let kind = kind.map(|line| format!(", {line}")).unwrap_or_default();
    Some(format!("a topology is no manifest: write `workloads: [{{name: web{kind}, program: {{service: {{}}}}}}]`"))
}

/// Workloads by their names, as Compose has them.
fn workloads(_: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Map(entries) => {
            let one = |entry: &crate::source::Entry| {
                let name = known(&entry.key).unwrap_or("service");
                format!("{{name: {}, program: {{{name}: {{}}}}}}", quoted(&entry.key))
            };
            Some(format!("workloads: [{}]", entries.iter().map(one).collect::<Vec<_>>().join(", ")))
        }
        Value::Seq(_) => Some(format!("workloads: {}", flow(node))),
        _ => None,
    }
}

/// The delay of a readiness check. The check itself is the program's.
fn probe(_: &str, node: &Node) -> Option<String> {
    let seconds = match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| folded(&entry.key) == "initialdelayseconds"),
        _ => None,
    };
    Some(match seconds {
        Some(entry) => format!("write `ready_after: {}s`: the program brings its own check", flow(&entry.node)),
        None => "remove it: the program brings its own check, and `ready_after` delays the first one".to_owned(),
    })
}

/// The one port of a list, of Compose's `8080:80`, or of a container's port.
fn number(node: &Node) -> Option<String> {
    let text = match &node.value {
        Value::Seq(nodes) => match nodes.as_slice() {
            [one] => number(one)?,
            _ => return None,
        },
        Value::Map(entries) => {
            let is_port = |key: &str| matches!(folded(key).as_str(), "port" | "containerport");
            flow(&entries.iter().find(|entry| is_port(&entry.key))?.node)
        }
        _ => flow(node),
    };
    text.trim_matches('"').rsplit(':').next()?.parse::<u16>().ok().map(|port| port.to_string())
}

fn port(_: &str, node: &Node) -> Option<String> {
    number(node).map(|port| format!("port: {port}"))
}

fn port_of_program(key: &str, node: &Node) -> Option<String> {
    port(key, node).map(|line| format!("remove it, and write `{line}` in {SETTINGS}"))
}

/// Calls of the services that another one needs, by their names.
fn calls(_: &str, node: &Node) -> Option<String> {
    let names: Vec<String> = match &node.value {
        Value::Seq(nodes) => nodes.iter().filter_map(text_of).map(str::to_owned).collect(),
        Value::Map(entries) => entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => vec![text_of(node)?.to_owned()],
    };
    let one = |name: &String| match known(name) {
        Some("redis") => format!("{{redis: {{server: \"{name}:6379\", key: {name}}}}}"),
        Some("postgres") => format!("{{postgres: {{server: \"{name}:5432\"}}}}"),
        _ => format!("{{http: {{server: \"{name}:8080\"}}}}"),
    };
    (!names.is_empty()).then(|| format!("calls: [{}]", names.iter().map(one).collect::<Vec<_>>().join(", ")))
}

fn calls_of_program(key: &str, node: &Node) -> Option<String> {
    calls(key, node).map(|line| format!("remove it, and write `{line}` in the settings of `service`"))
}

/// Variables. The programs read none.
fn env(_: &str, node: &Node) -> Option<String> {
    let port = match &node.value {
        Value::Map(entries) => {
            entries.iter().find(|entry| folded(&entry.key) == "port").and_then(|it| number(&it.node))
        }
        Value::Seq(nodes) => nodes.iter().find_map(|node| {
            let Value::Map(entries) = &node.value else { return None };
            let of = |key: &str| entries.iter().find(|entry| entry.key == key).map(|it| &it.node);
            number(of("value").filter(|_| of("name").and_then(text_of).is_some_and(|it| folded(it) == "port"))?)
        }),
        _ => None,
    };
    let why = "a program reads no variables";
    Some(match port {
        Some(port) => format!("remove it: {why}; write `port: {port}` in its settings"),
        None => format!("remove it: {why}, and `shakedown sandbox --print-topology` shows its settings"),
    })
}

/// A URL: the server, and the path of a call by HTTP.
fn server(_: &str, node: &Node) -> Option<String> {
    let text = text_of(node)?;
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    let path = if path.is_empty() { String::new() } else { format!(", path: {}", quoted(&format!("/{path}"))) };
    Some(format!("server: {}{path}", quoted(host)))
}

/// The opposite of `optional`.
fn required(_: &str, node: &Node) -> Option<String> {
    match node.value {
        Value::Bool(is_optional) => Some(format!("required: {}", !is_optional)),
        _ => None,
    }
}
