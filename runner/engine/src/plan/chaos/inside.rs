//! Plans faults inside pods: on their containers, CPU, memory, requests, names, files and clocks.

use serde_json::{Value, json};
use shakedown_schemas::Explained;
use shakedown_schemas::scenario::{DnsAnswer, Fault, IoFault, Prove};

use super::draft::Draft;
use super::limits::{self, Demand};
use super::network::check_targets;
use crate::plan::error::PlanError;
use crate::plan::request::ChaosRequest;
use shakedown_cluster::Cluster;
use shakedown_faults::chaos::Recipe;
use shakedown_faults::chaos::spec::Inside;
use shakedown_faults::effect::RequiredProof;

/// The required proof of a fault inside pods. The pods' status shows a failure and a kill.
const fn required_proof(prove: Prove) -> RequiredProof {
    match prove {
        Prove::Traffic => RequiredProof::Traffic,
        Prove::Strict => RequiredProof::Observed { required: true },
        Prove::Auto | Prove::Witness => RequiredProof::Observed { required: false },
        Prove::Applied => RequiredProof::Applied,
    }
}

pub(super) async fn draft(
    request: &ChaosRequest<'_>,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
) -> Result<Draft, PlanError> {
    let inside = |recipe: Recipe, text: String, follow: bool| Draft {
        recipe,
        text,
        peers: Vec::new(),
        far: Vec::new(),
        follow,
        effect: required_proof(request.fault.prove()),
    };
    Ok(match request.fault {
        Fault::PodFailure(it) => {
            let text = "The containers of the targets run an image that does nothing.".to_owned();
            inside(Recipe::PodFailure(it.clone()), text, it.follow)
        }
        Fault::ContainerKill(it) => {
            check_containers(request.name, &it.containers, targets)?;
            let text = match it.containers.as_slice() {
                [one] => format!("The container {one} of each target is killed once; the kubelet starts it again."),
                all => format!("The containers {} are killed once; the kubelet starts them again.", all.join(", ")),
            };
            inside(Recipe::ContainerKill(it.clone()), text, false)
        }
        Fault::Stress(it) => {
            check_containers(request.name, &it.containers, targets)?;
            let demand = Demand { fault: request.name, stress: it, targets, nodes: &cluster.nodes().await? };
            let outcome = limits::outcome(&demand)?;
            let cpu = it.cpu.as_ref().map(|cpu| {
                let load = cpu.load.map_or_else(|| "100%".to_owned(), |load| load.to_string());
                format!("{} processes use {load} of a core each", cpu.workers)
            });
            let memory = it.memory.as_ref().map(|memory| format!("{} of memory are allocated", memory.size));
            let what: Vec<String> = cpu.into_iter().chain(memory).collect();
            let text = format!(
                "In each target {}, within the container's limits. {outcome} Chaos Mesh does not report stress that fails \
                 to end: a `recovery_time` in a later phase shows it.",
                what.join(" and ")
            );
            inside(Recipe::Stress(it.clone()), text, it.follow)
        }
        Fault::Http(it) => {
            // The proxy takes over the network of the pod.
            check_targets(request, targets)?;
            let mut what = Vec::new();
            if it.abort {
                what.push("are broken off".to_owned());
            }
            what.extend(it.delay.map(|delay| format!("are answered {delay} later")));
            what.extend(it.status.map(|status| format!("are answered with status {status}")));
            let which = [it.method.clone(), it.path.as_ref().map(|path| format!("to {path}"))];
            let which: Vec<String> = which.into_iter().flatten().collect();
            let which =
                if which.is_empty() { "All requests".to_owned() } else { format!("Requests {}", which.join(" ")) };
            let text = format!(
                "{which} on port {} {}, on connections that are opened after the injection; the proxy can break other \
                 connections of the pod, so check a `recovery_time` in a later phase.",
                it.port,
                what.join(" and ")
            );
            inside(Recipe::Http(it.clone()), text, it.follow)
        }
        Fault::Dns(it) => {
            let which = if it.patterns.is_empty() { "all names".to_owned() } else { it.patterns.join(", ") };
            let answer = match it.answer {
                DnsAnswer::Error => "an error",
                DnsAnswer::Random => "a wrong address",
            };
            let text = format!("DNS queries for {which} get {answer}; answers that applications cache stay correct.");
            inside(Recipe::Dns(it.clone()), text, it.follow)
        }
        Fault::Io(it) => {
            check_containers(request.name, &it.containers, targets)?;
            check_volume(request.name, it, targets)?;
            check_nodes(request.name, targets, cluster).await?;
            let what = match (it.delay, it.error) {
                (Some(delay), _) => format!("take {delay} longer"),
                (None, Some(error)) => format!("fail with {}", json!(error).as_str().unwrap_or_default()),
                (None, None) => String::new(),
            };
            let text =
                format!("Operations on files of {} {what}; files that are being written may be damaged.", it.volume);
            inside(Recipe::Io(it.clone()), text, it.follow)
        }
        Fault::Time(it) => {
            check_containers(request.name, &it.containers, targets)?;
            let way = if it.offset.is_back() { "late" } else { "early" };
            let text = format!("The clocks of the targets' processes are {} too {way}.", it.offset.by());
            inside(Recipe::Time(it.clone()), text, it.follow)
        }
        other => {
            let kind = other.kind();
            return Err(PlanError::fault(request.name, format!("{kind} does nothing inside pods")));
        }
    })
}

fn check_containers(fault: &str, wanted: &[String], targets: &[(Inside, Value)]) -> Result<(), PlanError> {
    for (target, there) in targets {
        if let Some(missing) = wanted.iter().find(|name| !target.containers.contains(name)) {
            let mut inits = there["spec"]["initContainers"].as_array().into_iter().flatten();
            if inits.any(|it| it["name"] == **missing) {
                return Err(PlanError::fault(
                    fault,
                    Explained::new(
                        format!(
                            "`{missing}` is an init container of pod {}, and Chaos Mesh acts on none of them, native \
                     sidecars included",
                            target.pod.name
                        ),
                        format!("name one of {}", target.containers.join(", ")),
                    ),
                ));
            }
            return Err(PlanError::fault(
                fault,
                Explained::new(
                    format!("pod {} has no container `{missing}`", target.pod.name),
                    format!("it has {}", target.containers.join(", ")),
                ),
            ));
        }
    }
    Ok(())
}

/// Chaos Mesh puts a file system in front of a mount. A resource for any other path could not even be removed again.
fn check_volume(fault: &str, io: &IoFault, targets: &[(Inside, Value)]) -> Result<(), PlanError> {
    for (target, there) in targets {
        let meant = |name: &str| target.chosen(&io.containers).any(|chosen| chosen == name);
        let containers = there["spec"]["containers"].as_array().into_iter().flatten();
        for container in containers.filter(|it| it["name"].as_str().is_some_and(meant)) {
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            let mounts: Vec<&str> = mounts.filter_map(|mount| mount["mountPath"].as_str()).collect();
            let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
            if mounts.iter().any(|path| trimmed(path) == trimmed(&io.volume)) {
                continue;
            }
            let has = if mounts.is_empty() {
                "it has no volumes".to_owned()
            } else {
                format!("it has {}", mounts.join(", "))
            };
            return Err(PlanError::fault(
                fault,
                Explained::new(
                    format!(
                        "nothing is mounted at {} in container {} of pod {}",
                        io.volume,
                        container["name"].as_str().unwrap_or_default(),
                        target.pod.name
                    ),
                    format!(
                        "`volume` is where a volume is \
                 mounted, exactly; {has}"
                    ),
                ),
            ));
        }
    }
    Ok(())
}

/// Chaos Mesh builds the program for file faults for one architecture only.
async fn check_nodes(fault: &str, targets: &[(Inside, Value)], cluster: &Cluster) -> Result<(), PlanError> {
    for node in cluster.nodes().await? {
        let here = targets.iter().find(|(_, there)| there["spec"]["nodeName"] == *node.name);
        if let (Some((target, _)), Some(architecture)) = (here, node.architecture)
            && architecture != "amd64"
            && !cluster.capabilities().shares_nodes
        {
            return Err(PlanError::fault(
                fault,
                Explained::new(
                    format!(
                        "pod {} is on a node with {architecture}, and Chaos Mesh injects faults into files only on \
                 amd64",
                        target.pod.name
                    ),
                    "choose pods on other nodes",
                ),
            ));
        }
    }
    Ok(())
}
