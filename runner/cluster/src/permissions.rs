//! The required and optional permissions of a run's account: those of every scenario, and those of the kinds of faults.
//! `doctor` checks them, and the tables and Roles of PERMISSIONS.md are generated from them.

mod grant;

use std::collections::BTreeMap;
use std::fmt::Write;

use shakedown_schemas::generated;
use shakedown_schemas::scenario::{Access, AccessNeeds, Fault, FaultInfo, Means};

use crate::CHAOS_GROUP;

pub use grant::{Answers, Names, Need, Needs, grant};

/// The document, from the root of a checkout.
pub const FILE: &str = "runner/cluster/PERMISSIONS.md";

/// The command that regenerates the generated parts of the document.
pub const REFRESH: &str = "cargo run -- schema --write";

/// Where a permission is needed, and whether it is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In each namespace of a scenario. Required.
    Needed,
    /// In each namespace of a scenario. Optional: without it a run does less.
    Optional,
    /// In the whole cluster. Optional: without it a run is less exact.
    Wide,
    /// In each namespace of a scenario with faults of Chaos Mesh.
    Chaos,
    /// For `stress`: to read the use of its containers. Without it, the fault is claimed. One of these suffices.
    Usage,
    /// The same, for `cleanup --force-cleanup` alone.
    Force,
    /// In the namespaces of the peers of Chaos Mesh's faults on links.
    Peers,
}

/// Permissions with one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub scope: Scope,
    /// The permission.
    pub all: Vec<Access>,
    /// Whether one of them suffices.
    pub is_choice: bool,
    /// Its purpose.
    pub purpose: String,
}

/// A resource with its group and its verbs.
pub type On = (&'static str, &'static str, &'static [&'static str]);

/// The verbs of the fuse on Jobs.
pub const FUSE: On = ("batch", "jobs", &["get", "list", "create", "patch", "delete"]);

/// The verbs of the lock on Leases.
pub const LOCK: On = ("coordination.k8s.io", "leases", &["get", "create", "update", "delete"]);

/// The permission to read the metrics API.
pub const USAGE_METRICS: On = ("metrics.k8s.io", "pods", &["get"]);

/// The permission to read the kubelets' statistics. On some releases it also allows commands in pods.
const USAGE_KUBELET: On = ("", "nodes/proxy", &["get"]);

/// The permissions that do not depend on the kinds of a scenario's faults.
const EVERY_RUN: &[(Scope, &[On], &str)] = &[
    (Scope::Needed, &[("", "pods", &["get", "list", "patch"])], "targets and their marks"),
    (Scope::Needed, &[("", "services", &["get"]), ("", "endpoints", &["get"])], "the address of a load, and peers"),
    (Scope::Needed, &[FUSE], "the fuse"),
    (Scope::Needed, &[LOCK], "the lock"),
    (
        Scope::Optional,
        &[("", "pods/portforward", &["create"])],
        "a load on a service without a direct route from the runner",
    ),
    (
        Scope::Optional,
        &[("", "pods", &["watch"])],
        "replaced targets are detected immediately, and the report has every change of readiness",
    ),
    (
        Scope::Optional,
        &[("apps", "replicasets", &["get", "list"])],
        "a replaced target is attributed to its Deployment",
    ),
    (
        Scope::Optional,
        &[("", "pods", &["create", "delete"]), ("", "pods/log", &["get"])],
        "witnesses and the canary; log excerpts in the report",
    ),
    (Scope::Optional, &[("", "events", &["list"])], "the pods' events in the report"),
    (
        Scope::Optional,
        &[("", "services", &["list"])],
        "Chaos Mesh's faults on links act on the addresses of services too",
    ),
    (
        Scope::Optional,
        &[("coordination.k8s.io", "leases", &["list"])],
        "`cleanup` without a journal: `--run`, `--all`, `--older-than`, `--check`",
    ),
    (
        Scope::Wide,
        &[("", "namespaces", &["list"]), ("", "nodes", &["list"]), ("", "pods", &["list"])],
        "partitions are exact towards other namespaces and nodes",
    ),
    (
        Scope::Usage,
        &[USAGE_METRICS],
        "with the group `metrics.k8s.io`: what the containers of `stress` use, in its namespace",
    ),
    (Scope::Usage, &[USAGE_KUBELET], "the same in the whole cluster, from the kubelets' statistics"),
    (
        Scope::Chaos,
        &[(CHAOS_GROUP, "podnetworkchaos", &["get"]), ("", "events", &["list"])],
        "Chaos Mesh's events about its faults",
    ),
];

/// The verbs of a partition by NetworkPolicy on policies.
pub const POLICIES: On = ("networking.k8s.io", "networkpolicies", &["get", "list", "create", "update", "delete"]);

/// The verbs of a fault by Chaos Mesh on its resource.
pub const CHAOS_VERBS: &[&str] = &["get", "list", "watch", "create", "delete"];

/// The verbs of a fault by Chaos Mesh on links in the namespaces of the peers: its webhook requires them.
pub const CHAOS_PEERS: [On; 2] =
    [(CHAOS_GROUP, "networkchaos", &["create"]), (CHAOS_GROUP, "podnetworkchaos", &["get"])];

/// The permissions on a resource, one per verb.
pub fn expand(on: &On) -> impl Iterator<Item = Access> {
    let (group, resource, verbs) = *on;
    verbs.iter().map(move |verb| Access { group, resource, verb })
}

/// Every permission that a run may need, in the order of the document.
pub fn rows() -> Vec<Row> {
    let row = |(scope, all, purpose): &(Scope, &[On], &str)| Row {
        scope: *scope,
        all: all.iter().flat_map(expand).collect(),
        is_choice: false,
        purpose: (*purpose).to_owned(),
    };
    let mut rows: Vec<Row> = EVERY_RUN.iter().map(row).collect();
    let mut chaos: Vec<(&'static str, Vec<&FaultInfo>)> = Vec::new();
    for kind in Fault::KINDS {
        for means in kind.facts.means {
            match means {
                Means::NetworkPolicy => {
                    rows.push(row(&(Scope::Needed, &[POLICIES], &format!("`{}` by NetworkPolicy", kind.name))));
                }
                Means::Kubernetes { creates, needs, .. } => {
                    let own = creates.iter().flat_map(|it| it.own().chain([it.list()]));
                    let (each, choice) = match *needs {
                        AccessNeeds::All(all) => (all, [].as_slice()),
                        AccessNeeds::OneOf(all) => ([].as_slice(), all),
                    };
                    let all: Vec<Access> = own.chain(each.iter().copied()).collect();
                    for (all, is_choice) in [(all, false), (choice.to_vec(), true)] {
                        if !all.is_empty() {
                            let purpose = format!("`{}`", kind.name);
                            rows.push(Row { scope: Scope::Optional, all, is_choice, purpose });
                        }
                    }
                }
                Means::ChaosMesh(it) => match chaos.iter_mut().find(|(resource, _)| *resource == it.resource) {
                    Some((_, kinds)) => kinds.push(kind),
                    None => chaos.push((it.resource, vec![kind])),
                },
            }
        }
    }
    let patch = |(resource, _): &(&'static str, _)| Access { group: CHAOS_GROUP, resource, verb: "patch" };
    let rules = Access { group: CHAOS_GROUP, resource: "podnetworkchaos", verb: "patch" };
    let force = chaos.iter().map(patch).chain([rules]).collect();
    let purpose = "`cleanup --force-cleanup`, and the end of a network fault that never took effect".to_owned();
    rows.push(Row { scope: Scope::Force, all: force, is_choice: false, purpose });
    for (resource, kinds) in chaos {
        let names: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.name)).collect();
        let all: Vec<Access> = CHAOS_VERBS.iter().map(|verb| Access { group: CHAOS_GROUP, resource, verb }).collect();
        rows.push(Row { scope: Scope::Chaos, all, is_choice: false, purpose: names.join(", ") });
    }
    let links: Vec<String> = Fault::KINDS
        .iter()
        .filter(|kind| kind.chaos_mesh().is_some_and(|it| it.is_link))
        .map(|kind| format!("`{}`", kind.name))
        .collect();
    rows.push(row(&(Scope::Peers, &CHAOS_PEERS, &links.join(", "))));
    rows.sort_by_key(|row| row.scope);
    rows
}

/// The kinds of faults that this cluster supports without Chaos Mesh, in words.
pub fn without_chaos_mesh() -> String {
    let can = Fault::KINDS.iter().filter_map(|kind| {
        let other = kind.facts.means.iter().find(|means| !matches!(means, Means::ChaosMesh(_)))?;
        Some(match (other, kind.chaos_mesh()) {
            (Means::NetworkPolicy, Some(_)) => format!("{} (by NetworkPolicy)", kind.name),
            _ => kind.name.to_owned(),
        })
    });
    let mut names: Vec<String> = can.collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
}

impl Row {
    /// The permissions by resource.
    pub fn text(&self) -> String {
        let parts: Vec<String> = by_resource(&self.all)
            .into_iter()
            .map(|((_, resource), verbs)| format!("{resource}: {}", verbs.join(", ")))
            .collect();
        parts.join(if self.is_choice { ", or " } else { "; " })
    }
}

/// The verbs of each resource, in their order.
fn by_resource(all: &[Access]) -> Vec<((&'static str, &'static str), Vec<&'static str>)> {
    let mut found: Vec<((&str, &str), Vec<&str>)> = Vec::new();
    for it in all {
        let on = (it.group, it.resource);
        match found.iter_mut().find(|(other, _)| *other == on) {
            Some((_, verbs)) if !verbs.contains(&it.verb) => verbs.push(it.verb),
            Some(_) => {}
            None => found.push((on, vec![it.verb])),
        }
    }
    found
}

fn of(rows: &[Row], scope: Scope) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| row.scope == scope)
}

/// A table of the permissions of a scope.
fn table(rows: &[Row], scope: Scope, heading: &str) -> String {
    let mut out = format!("| permission | {heading} |\n| --- | --- |\n");
    for row in of(rows, scope) {
        _ = writeln!(out, "| {} | {} |", row.text(), row.purpose);
    }
    out
}

/// A Role with everything that the scopes allow.
fn role(rows: &[Row], kind: &str, name: &str, scopes: &[(Scope, &str)]) -> String {
    let place = if kind == "Role" { ", namespace: shop" } else { "" };
    let mut out = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}{}}}\nrules:\n",
        if name.ends_with("-peer") { ", namespace: database" } else { place }
    );
    for (scope, comment) in scopes {
        if !comment.is_empty() {
            _ = writeln!(out, "  # {comment}");
        }
        let all: Vec<Access> = of(rows, *scope).flat_map(|row| row.all.iter().copied()).collect();
        out.push_str(&rules(&all));
    }
    out
}

/// The rules of a Role that allow this, as YAML. Resources of one group with the same verbs share a rule.
fn rules(all: &[Access]) -> String {
    let mut rules: Vec<(&str, Vec<&str>, Vec<&str>)> = Vec::new();
    for ((group, resource), verbs) in by_resource(all) {
        match rules.iter_mut().find(|(other, _, same)| *other == group && *same == verbs) {
            Some((_, resources, _)) => resources.push(resource),
            None => rules.push((group, vec![resource], verbs)),
        }
    }
    let mut out = String::new();
    for (group, resources, verbs) in rules {
        let group = if group.is_empty() { "\"\"" } else { group };
        _ = writeln!(
            out,
            "  - {{apiGroups: [{group}], resources: [{}], verbs: [{}]}}",
            resources.join(", "),
            verbs.join(", ")
        );
    }
    out
}

/// The document with its generated parts refreshed.
pub fn fill(document: &str) -> String {
    generated::fill(document, &parts())
}

fn parts() -> BTreeMap<&'static str, String> {
    let rows = rows();
    let yaml = |roles: &[String]| format!("```yaml\n{}```\n", roles.join("---\n"));
    let notes = Fault::KINDS.iter().flat_map(|kind| {
        kind.facts.means.iter().filter_map(|means| match means {
            Means::Kubernetes { note, .. } if !note.is_empty() => Some(format!("`{}` needs {note}.\n", kind.name)),
            _ => None,
        })
    });
    [
        ("needed", table(&rows, Scope::Needed, "needed for")),
        ("optional", table(&rows, Scope::Optional, "improves")),
        (
            "role",
            yaml(&[role(&rows, "Role", "shakedown", &[(Scope::Needed, "Needed."), (Scope::Optional, "Optional.")])]),
        ),
        ("cluster-role", yaml(&[role(&rows, "ClusterRole", "shakedown", &[(Scope::Wide, "")])])),
        ("chaos", table(&rows, Scope::Chaos, "needed for")),
        ("usage", table(&rows, Scope::Usage, "reads")),
        (
            "chaos-roles",
            yaml(&[
                role(
                    &rows,
                    "Role",
                    "shakedown-chaos-mesh",
                    &[
                        (Scope::Chaos, "Needed."),
                        (
                            Scope::Force,
                            "For `cleanup --force-cleanup`, and to end a network fault that never took effect.",
                        ),
                    ],
                ),
                role(&rows, "Role", "shakedown-chaos-mesh-peer", &[(Scope::Peers, "")]),
            ]),
        ),
        ("notes", notes.collect::<String>()),
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::Kind;

    #[test]
    fn the_document_is_fresh_and_has_every_part() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("PERMISSIONS.md");
        let document = std::fs::read_to_string(&path).expect("the document");
        let fresh = fill(&document);
        if std::env::var("INSTA_UPDATE").is_ok_and(|it| it == "always") {
            std::fs::write(&path, &fresh).expect("the document's file");
        }
        let now = std::fs::read_to_string(&path).expect("the document");
        assert!(now == fresh, "{FILE} is stale; refresh it with `{REFRESH}`");
        for (name, part) in parts() {
            assert!(now.contains(&format!("{}{name} -->\n\n{part}", generated::BEGIN)), "the part `{name}` is missing");
        }
        assert_eq!(fill(&fresh), fresh);
    }

    #[test]
    fn resources_of_kinds_are_those_that_the_runner_removes() {
        let of_kinds: BTreeSet<&str> =
            Fault::KINDS.iter().filter_map(|kind| kind.chaos_mesh()).map(|it| it.resource).collect();
        let known: BTreeSet<&str> = Kind::CHAOS.iter().map(|kind| kind.plural()).collect();
        assert_eq!(of_kinds, known);
    }

    #[test]
    fn every_kind_is_in_a_row_or_a_note() {
        let text = parts().into_values().collect::<String>();
        for kind in Fault::KINDS {
            assert!(text.contains(&format!("`{}`", kind.name)), "{} needs no permission", kind.name);
            assert!(!kind.facts.means.is_empty(), "nothing can do {}", kind.name);
        }
    }

    /// Since Kubernetes 1.24 a service account has no secret with its token, and no run needs one.
    #[test]
    fn no_secret_of_a_service_account_is_ever_read() {
        let text = parts().into_values().collect::<String>();
        for resource in ["secrets", "serviceaccounts", "*"] {
            assert!(
                !text.contains(&format!("\"{resource}\"")) && !text.contains(&format!("`{resource}`")),
                "{resource}"
            );
        }
    }

    #[test]
    fn what_is_possible_without_chaos_mesh_is_named() {
        let text = without_chaos_mesh();
        assert!(
            text.starts_with("partition (by NetworkPolicy), pod_kill") && text.ends_with(" and manifest"),
            "{text}"
        );
        for kind in Fault::KINDS {
            let only_chaos = kind.facts.means.iter().all(|it| matches!(it, Means::ChaosMesh(_)));
            assert_ne!(text.split([',', ' ']).any(|word| word == kind.name), only_chaos, "{}: {text}", kind.name);
        }
    }
}
