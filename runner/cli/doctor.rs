//! `shakedown doctor`: checks that a cluster can run scenarios. Each finding has a remedy. It creates only canaries,
//! which remove themselves. Their answers are cached for `run`.

mod chaos;
mod finding;
mod nodes;

use shakedown_reports::Redactor;

use super::sandbox::Environment;
use super::{Failure, args, exit, identity, print, proof};
use finding::{Finding, Level, access, name};
use shakedown_cluster::permissions::{self, Scope};
use shakedown_cluster::{Cluster, ClusterError, Kind};
use shakedown_faults::canary;
use shakedown_faults::enforcement;
use shakedown_guard::{fuse, lock};

/// Runs all checks and prints the findings.
///
/// # Errors
/// If there is no cluster.
pub async fn doctor(args: args::Doctor, redactor: &Redactor) -> Result<u8, Failure> {
    let environment = Environment::open(&args.target, redactor).await?;
    let Some(cluster) = environment.cluster() else { return Ok(exit::PASSED) };
    let namespace = args.target.namespace.clone().unwrap_or_else(|| cluster.default_namespace().to_owned());
    let mut findings = vec![version(cluster)];
    findings.push(namespace_finding(cluster, &namespace).await.map_err(Failure::environment)?);
    findings.extend(permission_findings(cluster, &namespace).await.map_err(Failure::environment)?);
    let image = proof::image(&args.proving, cluster).await;
    findings.push(fuse_finding(cluster, &namespace, image.as_ref().map(|image| image.image.as_str())).await);
    findings.extend(enforcement(&args.proving, cluster, &namespace).await.map_err(Failure::environment)?);
    findings.extend(chaos::look(cluster, &namespace).await.map_err(Failure::environment)?);
    findings.extend(nodes::look(&args.proving, cluster, &namespace).await.map_err(Failure::environment)?);
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

/// The releases of Kubernetes on which every build is tested, in words.
const TESTED: &str = "tested with 1.20 and 1.34";

fn version(cluster: &Cluster) -> Finding {
    let info = cluster.info();
    let text = format!("Kubernetes {} at {}", info.version, info.server);
    if info.sandbox {
        return Finding::ok(text);
    }
    of_version(cluster.version(), text)
}

/// The finding about a server's version; `None` if the server does not say.
fn of_version(version: Option<(u32, u32)>, text: String) -> Finding {
    match version {
        Some(version) if version < (1, 20) => Finding::new(
            Level::Warning,
            format!("{text}: older than 1.20"),
            format!("{TESTED}; older releases are not supported"),
        ),
        Some(version) if version < (1, 22) => Finding::new(
            Level::Warning,
            format!("{text} ({TESTED}): `endPort` is not supported"),
            "a partition with `ports` keeps only the declared other ports of a peer open; 1.22 keeps all of them",
        ),
        Some(_) => Finding::ok(format!("{text} ({TESTED})")),
        None => Finding::ok(format!("{text}: the server does not report its release ({TESTED})")),
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

async fn permission_findings(cluster: &Cluster, namespace: &str) -> Result<Vec<Finding>, ClusterError> {
    let mut findings = Vec::new();
    let rows = permissions::rows();
    let mut missing = Vec::new();
    let mut optional = Vec::new();
    let mut without = Vec::new();
    for row in rows.iter().filter(|row| matches!(row.scope, Scope::Needed | Scope::Optional)) {
        let mut refused = Vec::new();
        for access in &row.all {
            let mut may = cluster.may(*access, namespace).await?;
            if may == Some(false) && access.resource == "leases" && !matches!(access.verb, "create" | "list") {
                // The only object with the same name in every run: a Role may allow it by name.
                may = cluster.may_with(*access, namespace, lock::NAME).await?;
            }
            match may {
                None => {
                    return Ok(vec![Finding::new(
                        Level::Warning,
                        "this API server does not report the permissions of an account",
                        "a missing permission causes an error when it is needed",
                    )]);
                }
                Some(true) => {}
                Some(false) => refused.push(name(access)),
            }
        }
        if row.scope == Scope::Needed {
            missing.append(&mut refused);
        } else if !refused.is_empty() && (!row.is_choice || refused.len() == row.all.len()) {
            without.push(format!("{}: {}", row.text(), row.purpose));
            optional.append(&mut refused);
        }
    }
    findings.push(if missing.is_empty() {
        Finding::ok(format!("permissions in namespace {namespace}"))
    } else {
        let text = format!("in namespace {namespace} this account may not: {}", missing.join(", "));
        Finding::new(Level::Problem, text, "give it a Role that allows these; runner/cluster/PERMISSIONS.md has one")
    });
    if !optional.is_empty() {
        optional.sort();
        optional.dedup();
        let text = format!("in namespace {namespace} this account may not: {}", optional.join(", "));
        findings.push(Finding::new(
            Level::Warning,
            text,
            format!("with these, a run can do more. {}", without.join(". ")),
        ));
    }
    let mut wide = Vec::new();
    // Before 1.21 namespaces have no name label, so the namespaces of the peers must be marked.
    let unnamed = cluster.version().is_some_and(|version| version < (1, 21));
    let mark = access("", "namespaces", "patch");
    let useful = rows.iter().filter(|row| row.scope == Scope::Wide).flat_map(|row| &row.all);
    for access in useful.chain(unnamed.then_some(&mark)) {
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

/// A dry run of a fuse: a server that does not support `ttlSecondsAfterFinished` drops it.
async fn fuse_finding(cluster: &Cluster, namespace: &str, image: Option<&str>) -> Finding {
    let life = std::time::Duration::from_secs(30);
    let job = fuse::job(&identity::run_id(jiff::Timestamp::now()), 0, namespace, life, image);
    match cluster.dry_run(Kind::Job, namespace, &job).await {
        Ok(made) if made["spec"]["ttlSecondsAfterFinished"] == job["spec"]["ttlSecondsAfterFinished"] => {
            Finding::ok("fuse: the server accepts the Job that removes faults if the runner dies")
        }
        Ok(_) => Finding::new(
            Level::Problem,
            "fuse: the server drops ttlSecondsAfterFinished, so faults would stay if the runner dies",
            "before 1.21, enable the feature gate TTLAfterFinished; --no-fuse runs without a fuse",
        ),
        Err(error) => Finding::new(
            Level::Problem,
            format!("fuse: the server refuses the Job that removes faults: {error}"),
            "allow it, name an image that is allowed with --fuse-image, or run with --no-fuse",
        ),
    }
}

/// The enforcement of policies, from a canary or from the cache.
async fn enforcement(args: &args::Proving, cluster: &Cluster, namespace: &str) -> Result<Vec<Finding>, ClusterError> {
    const REMEDY: &str = "this cluster does not enforce NetworkPolicy, so partitions have no effect: install a network \
        plugin that enforces policies, such \
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
                    "it is not known whether this cluster enforces NetworkPolicy",
                    "run without --no-canary",
                )
            },
            tell,
        )]);
    }
    let Some(image) = proof::canary_image(args, cluster).await else {
        let help = "name an image with this program as its entry point (--canary-image); two short-lived pods test it";
        return Ok(vec![remembered.as_ref().map_or_else(
            || Finding::new(Level::Warning, "it is not known whether this cluster enforces NetworkPolicy", help),
            tell,
        )]);
    };
    match canary::run(cluster, &identity::run_id(jiff::Timestamp::now()), namespace, &image, canary::START_LIMIT).await
    {
        Ok(answer) => {
            let mut findings = vec![tell(&answer)];
            if let Err(why) = enforcement::remember(cluster, &answer).await? {
                findings.push(Finding::new(Level::Warning, "this answer could not be cached for later runs", why));
            }
            Ok(findings)
        }
        Err(error) => {
            let why = error.explained().about("could not find out whether this cluster enforces NetworkPolicy");
            Ok(vec![Finding::of(Level::Warning, why)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_say_its_release_is_not_an_old_one() {
        let line = |version| {
            let Finding { level, text, .. } = of_version(version, "Kubernetes".to_owned());
            (level, text)
        };
        assert_eq!(line(Some((1, 34))), (Level::Ok, "Kubernetes (tested with 1.20 and 1.34)".to_owned()));
        let unknown = "Kubernetes: the server does not report its release (tested with 1.20 and 1.34)";
        assert_eq!(line(None), (Level::Ok, unknown.to_owned()));
        assert_eq!(line(Some((1, 19))), (Level::Warning, "Kubernetes: older than 1.20".to_owned()));
        assert!(line(Some((1, 20))).1.contains("`endPort` is not supported"));
    }
}
