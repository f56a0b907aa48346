//! `shakedown doctor`: whether a cluster is fit for scenarios, each finding with its remedy. It changes nothing but for
//! the canary, which removes itself, and what it finds out about policies is remembered for `run`.

mod chaos;
mod finding;

use shakedown_reports::Redactor;

use super::sandbox::Environment;
use super::{Failure, args, exit, print, proof, run};
use finding::{Finding, Level, access, name};
use shakedown_cluster::{Access, Cluster, ClusterError, Kind};
use shakedown_faults::canary;
use shakedown_faults::enforcement;
use shakedown_guard::fuse;

/// What a run needs, and what it can do without.
const NEEDED: &[(bool, Access)] = &[
    (true, access("", "pods", "get")),
    (true, access("", "pods", "list")),
    (true, access("", "pods", "patch")),
    (false, access("", "pods", "watch")),
    (true, access("", "services", "get")),
    (true, access("", "endpoints", "get")),
    (true, access("networking.k8s.io", "networkpolicies", "get")),
    (true, access("networking.k8s.io", "networkpolicies", "list")),
    (true, access("networking.k8s.io", "networkpolicies", "create")),
    (true, access("networking.k8s.io", "networkpolicies", "update")),
    (true, access("networking.k8s.io", "networkpolicies", "delete")),
    (true, access("batch", "jobs", "get")),
    (true, access("batch", "jobs", "create")),
    (true, access("batch", "jobs", "patch")),
    (true, access("batch", "jobs", "delete")),
    (true, access("coordination.k8s.io", "leases", "get")),
    (true, access("coordination.k8s.io", "leases", "create")),
    (true, access("coordination.k8s.io", "leases", "update")),
    (true, access("coordination.k8s.io", "leases", "delete")),
    (false, access("", "pods/portforward", "create")),
    (false, access("", "pods", "create")),
    (false, access("", "pods", "delete")),
    (false, access("", "pods/log", "get")),
    (false, access("", "pods/eviction", "create")),
    (false, access("", "services", "list")),
    (false, access("apps", "replicasets", "get")),
    (false, access("apps", "replicasets", "list")),
];

/// What makes partitions more exact, in the whole cluster.
const USEFUL: &[Access] = &[access("", "namespaces", "list"), access("", "nodes", "list"), access("", "pods", "list")];

/// Looks at everything and prints it.
///
/// # Errors
/// When there is no cluster to look at.
pub async fn doctor(args: args::Doctor, redactor: &Redactor) -> Result<u8, Failure> {
    let environment = Environment::open(&args.target, true, redactor).await?;
    let Some(cluster) = environment.cluster() else { return Ok(exit::PASSED) };
    let namespace = args.target.namespace.clone().unwrap_or_else(|| cluster.default_namespace().to_owned());
    let mut findings = vec![version(cluster)];
    findings.push(namespace_finding(cluster, &namespace).await.map_err(Failure::environment)?);
    findings.extend(permissions(cluster, &namespace).await.map_err(Failure::environment)?);
    findings.push(fuse_finding(cluster, &namespace).await);
    findings.extend(enforcement(&args.proving, cluster, &namespace).await.map_err(Failure::environment)?);
    findings.extend(chaos::look(cluster, &namespace).await.map_err(Failure::environment)?);
    for Finding { level, text, help } in &findings {
        let word = match level {
            Level::Ok => "ok     ",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        print::line(format_args!("{word}  {text}"));
        if let Some(help) = help {
            print::line(format_args!("         help: {help}"));
        }
    }
    let worst = findings.iter().map(|finding| finding.level).max();
    environment.close().await;
    Ok(if worst == Some(Level::Problem) { exit::ENVIRONMENT } else { exit::PASSED })
}

fn version(cluster: &Cluster) -> Finding {
    let info = cluster.info();
    let text = format!("Kubernetes {} at {}", info.version, info.server);
    match cluster.version() {
        Some(version) if version < (1, 20) => {
            Finding::new(Level::Warning, text, "versions before 1.20 are not tested; 1.20 is the oldest that is")
        }
        Some(version) if version < (1, 22) => Finding::new(
            Level::Warning,
            format!("{text}: it does not know `endPort`"),
            "a partition with `ports` keeps only the declared other ports of a peer open; 1.22 keeps all of them",
        ),
        _ => Finding::ok(text),
    }
}

async fn namespace_finding(cluster: &Cluster, namespace: &str) -> Result<Finding, ClusterError> {
    match cluster.require_namespace(namespace).await {
        Ok(()) => Ok(Finding::ok(format!("namespace {namespace}"))),
        Err(ClusterError::NotFound(_)) => Ok(Finding::new(
            Level::Problem,
            format!("there is no namespace {namespace}"),
            "--namespace names the one that scenarios use",
        )),
        Err(error) => Err(error),
    }
}

async fn permissions(cluster: &Cluster, namespace: &str) -> Result<Vec<Finding>, ClusterError> {
    let mut findings = Vec::new();
    let mut missing = Vec::new();
    let mut optional = Vec::new();
    for (needed, access) in NEEDED {
        match cluster.may(*access, namespace).await? {
            None => {
                return Ok(vec![Finding::new(
                    Level::Warning,
                    "this API server does not say what an account may do",
                    "a permission that is missing shows when it is needed",
                )]);
            }
            Some(true) => {}
            Some(false) if *needed => missing.push(name(access)),
            Some(false) => optional.push(name(access)),
        }
    }
    findings.push(if missing.is_empty() {
        Finding::ok(format!("permissions in namespace {namespace}"))
    } else {
        let text = format!("in namespace {namespace} this account may not: {}", missing.join(", "));
        Finding::new(Level::Problem, text, "give it a Role that allows these; the README lists what a run needs")
    });
    if !optional.is_empty() {
        let text = format!("in namespace {namespace} this account may not: {}", optional.join(", "));
        findings.push(Finding::new(
            Level::Warning,
            text,
            "port-forwards need pods/portforward; witnesses need pods create and delete and pods/log get; \
             pod_kill needs pods delete or pods/eviction create; Chaos Mesh's faults on links are more exact with services list; replaced targets are \
             noticed at once with pods watch, and told by their Deployment with replicasets get",
        ));
    }
    let mut wide = Vec::new();
    // Before 1.21 namespaces carry no label of their own, and the peers' ones have to be marked.
    let unnamed = cluster.version().is_some_and(|version| version < (1, 21));
    let mark = access("", "namespaces", "patch");
    for access in USEFUL.iter().chain(unnamed.then_some(&mark)) {
        if cluster.may(*access, "").await? == Some(false) {
            wide.push(name(access));
        }
    }
    findings.push(if wide.is_empty() {
        Finding::ok("namespaces, nodes and pods of the whole cluster can be read")
    } else {
        let text = format!("in the whole cluster this account may not: {}", wide.join(", "));
        Finding::new(
            Level::Warning,
            text,
            "with these, partitions are exact towards other namespaces and nodes as well",
        )
    });
    Ok(findings)
}

/// The server is asked what it would make of a fuse: one that does not know `ttlSecondsAfterFinished` drops it.
async fn fuse_finding(cluster: &Cluster, namespace: &str) -> Finding {
    let job = fuse::job(&run::run_id(jiff::Timestamp::now()), 0, namespace, std::time::Duration::from_secs(60));
    match cluster.rehearse(Kind::Job, namespace, &job).await {
        Ok(made) if made["spec"]["ttlSecondsAfterFinished"] == 0 => {
            Finding::ok("fuse: the server takes the Job that removes faults when the runner dies")
        }
        Ok(_) => Finding::new(
            Level::Problem,
            "fuse: the server drops ttlSecondsAfterFinished, so faults would outlive a runner that dies",
            "before 1.21 the feature gate TTLAfterFinished has to be on; --no-fuse runs without",
        ),
        Err(error) => Finding::new(
            Level::Problem,
            format!("fuse: the server refuses the Job that removes faults: {error}"),
            "allow it, or run with --no-fuse",
        ),
    }
}

/// Whether policies are enforced: by a canary, else from memory.
async fn enforcement(args: &args::Proving, cluster: &Cluster, namespace: &str) -> Result<Vec<Finding>, ClusterError> {
    const REMEDY: &str = "partitions by NetworkPolicy do nothing here: install a network plugin that enforces policies, such \
                          as Calico or Cilium, or use Chaos Mesh's partition";
    let tell = |known: &enforcement::Enforcement| {
        if known.enforced {
            Finding::ok(known.sentence())
        } else {
            Finding::new(Level::Problem, known.sentence(), REMEDY)
        }
    };
    let remembered = enforcement::recall(cluster).await?;
    if cluster.info().sandbox || args.no_canary {
        return Ok(vec![remembered.as_ref().map_or_else(
            || {
                Finding::new(
                    Level::Warning,
                    "whether anything enforces NetworkPolicy is not known",
                    "run it without --no-canary",
                )
            },
            tell,
        )]);
    }
    let Some(image) = proof::canary_image(args, cluster).await else {
        let help =
            "--canary-image names an image whose entry point is this program; two short-lived pods of it find out";
        return Ok(vec![remembered.as_ref().map_or_else(
            || Finding::new(Level::Warning, "whether anything enforces NetworkPolicy is not known", help),
            tell,
        )]);
    };
    match canary::sing(cluster, &run::run_id(jiff::Timestamp::now()), namespace, &image).await {
        Ok(answer) => {
            let mut findings = vec![tell(&answer)];
            if let Err(why) = enforcement::remember(cluster, &answer).await? {
                findings.push(Finding::new(Level::Warning, "this answer could not be kept for later runs", why));
            }
            Ok(findings)
        }
        Err(error) => Ok(vec![Finding::new(
            Level::Warning,
            format!(
                "whether anything enforces NetworkPolicy could not be found out: {}",
                first_line(&error.to_string())
            ),
            error.to_string().lines().skip(1).collect::<Vec<_>>().join(" ").trim_start_matches("help: ").to_owned(),
        )]),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{Access, NEEDED, USEFUL};

    const DOCUMENT: &str = include_str!("../cluster/PERMISSIONS.md");

    /// What the Roles of the document allow: group, resource and verb, those of ClusterRoles apart.
    fn allowed() -> [BTreeSet<(String, String, String)>; 2] {
        let mut found = [BTreeSet::new(), BTreeSet::new()];
        let blocks = DOCUMENT.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for text in blocks.flat_map(|block| block.split("---\n")) {
            let role: Value = serde_saphyr::from_str(text).expect("a Role");
            let wide = usize::from(role["kind"] == "ClusterRole");
            let texts = |list: &Value| -> Vec<String> {
                list.as_array().expect("a list").iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
            };
            for rule in role["rules"].as_array().expect("rules") {
                for group in texts(&rule["apiGroups"]) {
                    for resource in texts(&rule["resources"]) {
                        for verb in texts(&rule["verbs"]) {
                            found[wide].insert((group.clone(), resource.clone(), verb));
                        }
                    }
                }
            }
        }
        found
    }

    #[test]
    fn the_documented_roles_allow_everything_that_is_asked_about() {
        let [narrow, wide] = allowed();
        let key = |it: &Access| (it.group.to_owned(), it.resource.to_owned(), it.verb.to_owned());
        let missing = NEEDED.iter().map(|(_, it)| it).map(key).filter(|it| !narrow.contains(it)).collect::<Vec<_>>();
        assert!(missing.is_empty(), "no Role of PERMISSIONS.md allows {missing:?}");
        let missing = USEFUL.iter().map(key).filter(|it| !wide.contains(it)).collect::<Vec<_>>();
        assert!(missing.is_empty(), "no ClusterRole of PERMISSIONS.md allows {missing:?}");
        for kind in shakedown_cluster::Kind::CHAOS {
            for verb in super::chaos::VERBS {
                let it = ("chaos-mesh.org".to_owned(), kind.plural().to_owned(), verb.to_owned());
                assert!(narrow.contains(&it), "no Role of PERMISSIONS.md allows {it:?}");
            }
        }
    }
}
