//! The facts that `init` reads from a namespace: services, workloads, their dependencies, and the possible faults. Reads only.
//!
//! A dependency is a service that a workload names in its variables or arguments. Their values may be secret: only the
//! names of services that exist are kept.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shakedown_cluster::{Cluster, ClusterError, Kind};

/// What a namespace contains, as far as this account may read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The cluster, in words.
    pub cluster: String,
    /// Whether it is a sandbox.
    pub sandbox: bool,
    /// The namespace.
    pub namespace: String,
    /// Its services.
    pub services: Vec<Service>,
    /// Its workloads.
    pub workloads: Vec<Workload>,
    /// Whether Chaos Mesh's network faults are served.
    pub chaos_mesh: bool,
    /// Whether the namespace accepts privileged pods. None if this is not known.
    pub privileged: Option<bool>,
    /// The kinds that this account may not list.
    pub unreadable: Vec<&'static str>,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its TCP ports, with their names.
    pub ports: Vec<(u16, String)>,
    /// The labels of the pods behind it. Empty if it selects none.
    pub selector: Labels,
    /// Whether it is reachable from outside the cluster.
    pub public: bool,
}

impl Service {
    /// The port that probably serves HTTP: one of that name, a usual one, or the first.
    pub fn http_port(&self) -> Option<u16> {
        let ports = || self.ports.iter();
        let named = ports().find(|(_, name)| name.starts_with("http") && !name.starts_with("https"));
        let usual = || ports().find(|(port, _)| [80, 8080, 8000, 3000, 5000].contains(port));
        named.or_else(usual).or_else(|| ports().next()).map(|(port, _)| *port)
    }

    /// Its name with this port.
    pub fn address(&self) -> String {
        self.http_port().map_or_else(|| self.name.clone(), |port| format!("{}:{port}", self.name))
    }
}

/// A Deployment, StatefulSet or DaemonSet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its kind in lower case, such as `deployment`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The labels that select its pods.
    pub selector: Labels,
    /// The labels of its pods.
    pub labels: Labels,
    /// The number of pods.
    pub replicas: u64,
    /// The services of the namespace that it names.
    pub needs: BTreeSet<String>,
    /// The model that it serves, if an argument names one.
    pub model: Option<String>,
    /// Whether its name, its labels or its images are those of an LLM server.
    pub is_llm: bool,
}

/// Labels with their values.
pub type Labels = BTreeMap<String, String>;

/// The kinds that own pods: lower case, kind, plural.
const OWNERS: [(&str, &str, &str); 3] = [
    ("deployment", "Deployment", "deployments"),
    ("statefulset", "StatefulSet", "statefulsets"),
    ("daemonset", "DaemonSet", "daemonsets"),
];

/// Words of LLM servers in names, labels and images.
const LLM: [&str; 9] =
    ["vllm", "sglang", "trtllm", "text-generation", "ollama", "nvidia.com/dynamo", "llama-", "-llm", "llm-"];

/// Reads a namespace.
///
/// # Errors
/// If the cluster does not answer.
pub async fn look(cluster: &Cluster, namespace: &str) -> Result<Facts, ClusterError> {
    let info = cluster.info();
    let mut unreadable = Vec::new();
    let services = readable(cluster.list(Kind::Service, namespace, None).await)?;
    let services = services.unwrap_or_else(|| {
        unreadable.push("services");
        Vec::new()
    });
    let mut owners = Vec::new();
    for (name, kind, plural) in OWNERS {
        match readable(cluster.list(Kind::other("apps/v1", kind, plural), namespace, None).await)? {
            Some(list) => owners.extend(list.into_iter().map(|object| (name, object))),
            None => unreadable.push(plural),
        }
    }
    let chaos_mesh = cluster.chaos_kinds().await?.contains(Kind::NetworkChaos.plural());
    let privileged = if cluster.capabilities().is_model { None } else { privileged(cluster, namespace).await? };
    Ok(Facts {
        cluster: format!("Kubernetes {} at {}", info.version, info.server),
        sandbox: info.sandbox,
        namespace: namespace.to_owned(),
        chaos_mesh,
        privileged,
        unreadable,
        ..parse(&services, &owners)
    })
}

/// The services and workloads of these objects.
fn parse(services: &[Value], owners: &[(&'static str, Value)]) -> Facts {
    let mut services: Vec<Service> = services.iter().filter_map(service).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let mut workloads: Vec<Workload> = owners.iter().filter_map(|(kind, it)| workload(kind, it, &services)).collect();
    workloads.sort_by(|a, b| a.name.cmp(&b.name));
    Facts { services, workloads, ..Facts::default() }
}

/// A dry run of a privileged pod.
async fn privileged(cluster: &Cluster, namespace: &str) -> Result<Option<bool>, ClusterError> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "shakedown-init", "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "shakedown", "securityContext": {"privileged": true}}]},
    });
    match cluster.dry_run(Kind::Pod, namespace, &pod).await {
        Ok(_) => Ok(Some(true)),
        // Pod Security and most webhooks name the field. Without that, this account may create no pods at all.
        Err(ClusterError::Forbidden { message, .. }) => Ok(message.contains("privileged").then_some(false)),
        Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Unauthenticated { .. })) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Unreadable kinds are unknown. A server that does not serve a kind has none of them.
fn readable(answer: Result<Vec<Value>, ClusterError>) -> Result<Option<Vec<Value>>, ClusterError> {
    match answer {
        Ok(list) => Ok(Some(list)),
        Err(ClusterError::NotFound(_)) => Ok(Some(Vec::new())),
        Err(ClusterError::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn service(object: &Value) -> Option<Service> {
    let (name, spec) = (object["metadata"]["name"].as_str()?, &object["spec"]);
    // The API server's own service, and names outside the cluster.
    if name == "kubernetes" || spec["type"] == "ExternalName" {
        return None;
    }
    let tcp = |port: &&Value| port["protocol"].as_str().is_none_or(|it| it == "TCP");
    let port = |port: &Value| {
        let number = port["port"].as_u64().and_then(|it| u16::try_from(it).ok())?;
        Some((number, port["name"].as_str().unwrap_or_default().to_owned()))
    };
    Some(Service {
        name: name.to_owned(),
        ports: spec["ports"].as_array().into_iter().flatten().filter(tcp).filter_map(port).collect(),
        selector: labels(&spec["selector"]),
        public: spec["type"] == "LoadBalancer" || spec["type"] == "NodePort",
    })
}

fn workload(kind: &'static str, object: &Value, services: &[Service]) -> Option<Workload> {
    let (name, spec) = (object["metadata"]["name"].as_str()?, &object["spec"]);
    let template = &spec["template"];
    let containers: Vec<&Value> = template["spec"]["containers"].as_array().into_iter().flatten().collect();
    let words = words(&containers);
    let needs = services.iter().map(|it| &it.name).filter(|name| words.iter().any(|it| it.names(name)));
    let labels_of_pods = labels(&template["metadata"]["labels"]);
    let images = containers.iter().filter_map(|it| it["image"].as_str());
    let marks = labels_of_pods.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    let is_llm = marks.chain(images).chain([name]).any(|text| LLM.iter().any(|word| text.contains(word)));
    let replicas = match kind {
        "daemonset" => object["status"]["desiredNumberScheduled"].as_u64().unwrap_or(1),
        _ => spec["replicas"].as_u64().unwrap_or(1),
    };
    Some(Workload {
        kind,
        name: name.to_owned(),
        selector: labels(&spec["selector"]["matchLabels"]),
        replicas,
        needs: needs.cloned().collect(),
        model: model(&words),
        is_llm,
        labels: labels_of_pods,
    })
}

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// A variable or an argument of a container.
struct Word<'a> {
    /// The variable, or the flag of `--flag=value`. Empty for other arguments.
    name: &'a str,
    value: &'a str,
}

/// Every variable, every argument and every word of the command.
fn words<'a>(containers: &[&'a Value]) -> Vec<Word<'a>> {
    let mut found = Vec::new();
    for container in containers {
        for variable in container["env"].as_array().into_iter().flatten() {
            let text = |key: &str| variable[key].as_str().unwrap_or_default();
            found.push(Word { name: text("name"), value: text("value") });
        }
        for key in ["command", "args"] {
            // A shell's command line is one argument.
            let arguments = container[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            for argument in arguments.flat_map(str::split_whitespace) {
                let (name, value) = argument.split_once('=').unwrap_or(("", argument));
                found.push(Word { name, value });
            }
        }
    }
    found
}

impl Word<'_> {
    /// Whether it names a service as a host: in an address, or as the whole value of a variable or flag whose name says so.
    fn names(&self, service: &str) -> bool {
        const HOSTS: [&str; 8] = ["HOST", "ADDR", "SERVER", "SERVICE", "URL", "URI", "ENDPOINT", "BROKER"];
        if self.value == service {
            let name = self.name.to_ascii_uppercase();
            return HOSTS.iter().any(|word| name.contains(word));
        }
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        self.value.match_indices(service).any(|(at, _)| {
            let (before, after) = (&self.value[..at], &self.value[at + service.len()..]);
            let begins = !before.ends_with(inside) && !before.ends_with('.');
            let is_port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
            let domain = after.strip_prefix('.').is_some_and(|rest| rest.contains(".svc") || rest.contains(':'));
            let host = before.ends_with("://") || before.ends_with('@');
            let ends = after.strip_prefix(':').is_some_and(is_port) || domain;
            begins && (ends || host && !after.starts_with(inside) && !after.starts_with(':'))
        })
    }
}

/// The model of `--model NAME`, `--model=NAME` or a configuration in JSON.
fn model(words: &[Word<'_>]) -> Option<String> {
    const FLAGS: [&str; 4] = ["--served-model-name", "--model", "--model-path", "MODEL"];
    for flag in FLAGS {
        let named = words.iter().find(|it| it.name == flag).map(|it| it.value);
        let next =
            || words.windows(2).find(|pair| pair[0].value == flag && pair[0].name.is_empty()).map(|it| it[1].value);
        if let Some(model) = named.or_else(next).filter(|it| !it.is_empty() && !it.starts_with('-')) {
            return Some(model.to_owned());
        }
    }
    let configured = |word: &Word<'_>| {
        let value: Value = serde_json::from_str(word.value).ok()?;
        value["model"].as_str().map(str::to_owned)
    };
    words.iter().find_map(configured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str, value: &str, service: &str) -> bool {
        Word { name, value }.names(service)
    }

    #[test]
    fn a_dependency_is_a_service_named_as_a_host() {
        for (name, value) in [
            ("DATABASE_URL", "postgres://user:secret@postgres:5432/shop"),
            ("DATABASE_URL", "postgresql://user@postgres/shop"),
            ("DB_HOST", "postgres"),
            ("BACKEND", "postgres.shop.svc.cluster.local"),
            ("", "postgres:5432"),
            ("", r#"{"bus":"postgres:4222"}"#),
            ("--db-host", "postgres"),
        ] {
            assert!(names(name, value, "postgres"), "{name}={value}");
        }
        for (name, value) in [
            ("POSTGRES_DB", "postgres"),
            ("DB_HOST", "postgres-replica"),
            ("DB_URL", "postgres://user@db:5432/postgres"),
            ("IMAGE", "registry/postgres:latest"),
            ("", "my-postgres:5432"),
        ] {
            assert!(!names(name, value, "postgres"), "{name}={value}");
        }
    }

    #[test]
    fn the_model_is_an_argument_of_the_server() {
        let container = |args: Value| json!({"args": args});
        for (args, expected) in [
            (json!(["-m", "dynamo.vllm", "--model", "Qwen/Qwen3-0.6B", "--tp", "1"]), Some("Qwen/Qwen3-0.6B")),
            (json!(["--model=a", "--served-model-name=b"]), Some("b")),
            (json!(["exec python3 -m vllm --model a/b"]), Some("a/b")),
            (json!(["worker", "--config", r#"{"model":"a/b"}"#]), Some("a/b")),
            (json!(["--model", "--other"]), None),
            (json!([]), None),
        ] {
            let container = container(args);
            assert_eq!(model(&words(&[&container])).as_deref(), expected, "{container}");
        }
    }
}
