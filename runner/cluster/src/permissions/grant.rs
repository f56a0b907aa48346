//! Permissions of one scenario: checks whether this account has them, and generates the Roles that grant them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use shakedown_schemas::scenario::Access;

use super::rules;
use crate::{Cluster, ClusterError};

/// The number of concurrent access reviews.
const AT_ONCE: usize = 5;

/// The maximum number of object names that are checked per permission. Beyond it, only a permission for every object counts.
const MOST_NAMES: usize = 50;

const RBAC: &str = "rbac.authorization.k8s.io";

/// A permission and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The namespace; empty for the whole cluster.
    pub namespace: String,
    /// The permission.
    pub access: Access,
}

impl fmt::Display for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access { group, resource, verb } = self.access;
        let dot = if group.is_empty() { "" } else { "." };
        write!(out, "{verb} {resource}{dot}{group} ")?;
        match self.namespace.as_str() {
            "" => out.write_str("in the whole cluster"),
            namespace => write!(out, "in namespace {namespace}"),
        }
    }
}

/// The objects of a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Every object, or objects whose names are not known yet.
    Any,
    /// Only the objects with these names.
    Only(BTreeSet<String>),
}

impl Names {
    /// Only the objects with these names.
    pub fn only(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }

    /// Adds the objects of another use of the permission.
    pub fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Only(names), Self::Only(more)) => names.extend(more.iter().cloned()),
            _ => *self = Self::Any,
        }
    }
}

/// Permissions, each with its objects.
pub type Needs = BTreeMap<Need, Names>;

/// The server's answers to questions about permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Each permission that was asked about, and whether this account has it for every object.
    any: BTreeMap<Need, bool>,
    /// The same for single objects, by their names.
    named: BTreeMap<(Need, String), bool>,
    /// Whether the server refused to answer. No further questions are sent then.
    pub refused: bool,
}

impl Answers {
    /// Whether this account lacks a permission for at least one of these objects. False if the server gave no answer.
    pub fn lack(&self, need: &Need, names: &Names) -> bool {
        if self.any.get(need) != Some(&false) {
            return false;
        }
        let names = names_to_ask(need, names);
        names.is_empty() || names.iter().any(|name| self.named.get(&(need.clone(), name.clone())) != Some(&true))
    }
}

/// The names of the objects that a rule with `resourceNames` can allow; empty where no such rule can suffice. A request to
/// list, to watch or to create an object has no name.
fn names_to_ask(need: &Need, names: &Names) -> BTreeSet<String> {
    let Access { resource, verb, .. } = need.access;
    let has_name = match verb {
        "list" | "watch" => false,
        "create" => resource.contains('/'),
        _ => true,
    };
    match names {
        Names::Only(names) if has_name && names.len() <= MOST_NAMES => names.clone(),
        _ => BTreeSet::new(),
    }
}

impl Cluster {
    /// Checks which of these permissions this account has: one request per unknown permission, a few at a time. A Role can
    /// allow a single object by name, so a permission that the account lacks for all objects is checked again for each name.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn ask(&self, needs: &Needs, answers: &mut Answers) -> Result<(), ClusterError> {
        let unknown = needs.keys().filter(|need| !answers.any.contains_key(need));
        let unknown: Vec<(Need, String)> = unknown.map(|need| (need.clone(), String::new())).collect();
        for ((need, _), may) in self.review(unknown, answers).await? {
            answers.any.insert(need, may);
        }
        let refused = needs.iter().filter(|(need, _)| answers.any.get(need) == Some(&false));
        let named = refused.flat_map(|(need, names)| {
            names_to_ask(need, names).into_iter().map(|name| (need.clone(), name)).collect::<Vec<_>>()
        });
        let unknown: Vec<(Need, String)> = named.filter(|it| !answers.named.contains_key(it)).collect();
        let found = self.review(unknown, answers).await?;
        answers.named.extend(found);
        Ok(())
    }

    /// The answers to these questions, until the server refuses to answer.
    async fn review(
        &self,
        questions: Vec<(Need, String)>,
        answers: &mut Answers,
    ) -> Result<Vec<((Need, String), bool)>, ClusterError> {
        let mut found = Vec::new();
        if answers.refused {
            return Ok(found);
        }
        let asked = stream::iter(questions).map(|(need, name)| async move {
            let may = self.may_with(need.access, &need.namespace, &name).await?;
            Ok::<_, ClusterError>(((need, name), may))
        });
        let mut asked = asked.buffered(AT_ONCE);
        while let Some((question, may)) = asked.try_next().await? {
            let Some(may) = may else {
                answers.refused = true;
                return Ok(found);
            };
            found.push((question, may));
        }
        Ok(found)
    }

    /// The name of this account. None if the server does not report it (before Kubernetes 1.28).
    pub async fn account(&self) -> Option<String> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = self.post("ask for the name of this account", path, &review).await.ok()?;
        answer["status"]["userInfo"]["username"].as_str().map(str::to_owned)
    }
}

/// The Roles and their bindings that grant all of this, as YAML for `kubectl apply`: a Role per namespace, and a
/// ClusterRole for the whole cluster. `optional` contains the permissions that are not required.
pub fn grant(needed: &BTreeSet<Need>, optional: &BTreeSet<Need>, name: &str, account: Option<&str>) -> String {
    let places: BTreeSet<&str> = needed.iter().chain(optional).map(|need| need.namespace.as_str()).collect();
    let mut documents = Vec::new();
    for namespace in places {
        let of = |all: &BTreeSet<Need>| {
            let mut all: Vec<Access> = all.iter().filter(|it| it.namespace == namespace).map(|it| it.access).collect();
            all.sort_by_key(|it| (it.group, it.resource, order(it.verb)));
            rules(&all)
        };
        let mut text = of(needed);
        let more = of(&optional.difference(needed).cloned().collect());
        if !more.is_empty() {
            text = format!("  # Needed.\n{text}  # Optional: without these a run does less, and says so.\n{more}");
        }
        let (prefix, place) = match namespace {
            "" => ("Cluster", String::new()),
            namespace => ("", format!(", namespace: {namespace}")),
        };
        let head =
            |kind: &str| format!("apiVersion: {RBAC}/v1\nkind: {prefix}{kind}\nmetadata: {{name: {name}{place}}}\n");
        documents.push(format!("{}rules:\n{text}", head("Role")));
        documents.push(format!(
            "{}roleRef: {{apiGroup: {RBAC}, kind: {prefix}Role, name: {name}}}\nsubjects:\n  - {}\n",
            head("RoleBinding"),
            subject(account)
        ));
    }
    documents.join("---\n")
}

/// The place of a verb in a rule.
fn order(verb: &str) -> usize {
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
    verbs.iter().position(|it| *it == verb).unwrap_or(verbs.len())
}

/// The account as a subject of a binding.
fn subject(account: Option<&str>) -> String {
    let quoted = |text: &str| json!(text).to_string();
    let service_account = account.and_then(|name| name.strip_prefix("system:serviceaccount:")?.split_once(':'));
    match (service_account, account) {
        (Some((namespace, name)), _) => {
            format!("{{kind: ServiceAccount, name: {}, namespace: {}}}", quoted(name), quoted(namespace))
        }
        (None, Some(name)) => format!("{{apiGroup: {RBAC}, kind: User, name: {}}}", quoted(name)),
        (None, None) => format!("{{apiGroup: {RBAC}, kind: User, name: NAME}} # replace NAME by this account's name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(namespace: &str, group: &'static str, resource: &'static str, verb: &'static str) -> Need {
        Need { namespace: namespace.to_owned(), access: Access { group, resource, verb } }
    }

    #[test]
    fn a_grant_has_a_role_and_a_binding_per_namespace() {
        let needs = BTreeSet::from([
            need("shop", "", "pods", "list"),
            need("shop", "", "pods", "get"),
            need("shop", "batch", "jobs", "create"),
            need("", "", "namespaces", "patch"),
        ]);
        let text = grant(&needs, &BTreeSet::new(), "shakedown-cut", Some("system:serviceaccount:ci:runner"));
        let documents: Vec<&str> = text.split("---\n").collect();
        assert_eq!(documents.len(), 4, "{text}");
        assert_eq!(
            documents[1],
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: shakedown-cut}\n\
             roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: shakedown-cut}\nsubjects:\n  \
             - {kind: ServiceAccount, name: \"runner\", namespace: \"ci\"}\n"
        );
        assert_eq!(
            documents[2],
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: shakedown-cut, namespace: shop}\nrules:\n  \
             - {apiGroups: [\"\"], resources: [pods], verbs: [get, list]}\n  \
             - {apiGroups: [batch], resources: [jobs], verbs: [create]}\n"
        );
    }

    #[test]
    fn optional_rules_follow_the_needed_ones() {
        let needed = BTreeSet::from([need("shop", "", "pods", "list")]);
        let optional = BTreeSet::from([need("shop", "", "pods", "list"), need("shop", "", "pods", "watch")]);
        let text = grant(&needed, &optional, "x", None);
        let rule = |verb: &str| format!("  - {{apiGroups: [\"\"], resources: [pods], verbs: [{verb}]}}\n");
        let optional = format!("  # Optional: without these a run does less, and says so.\n{}", rule("watch"));
        assert!(text.contains(&format!("rules:\n  # Needed.\n{}{optional}---\n", rule("list"))), "{text}");
    }

    #[test]
    fn names_of_several_uses_add_up() {
        let mut names = Names::only(["a"]);
        names.add(&Names::only(["b"]));
        assert_eq!(names, Names::only(["a", "b"]));
        names.add(&Names::Any);
        names.add(&Names::only(["c"]));
        assert_eq!(names, Names::Any);
    }

    #[test]
    fn only_requests_that_name_an_object_are_asked_about_with_a_name() {
        let names = Names::only(["a"]);
        let asked = |verb, resource| !names_to_ask(&need("shop", "", resource, verb), &names).is_empty();
        for verb in ["get", "update", "patch", "delete"] {
            assert!(asked(verb, "pods"), "{verb}");
        }
        assert!(!asked("list", "pods") && !asked("watch", "pods") && !asked("create", "pods"));
        assert!(asked("create", "pods/eviction") && asked("get", "pods/log"));
        let many = Names::only((0..=MOST_NAMES).map(|it| it.to_string()));
        assert!(names_to_ask(&need("shop", "", "pods", "get"), &many).is_empty());
        assert!(names_to_ask(&need("shop", "", "pods", "get"), &Names::Any).is_empty());
    }

    #[test]
    fn a_subject_is_a_service_account_a_user_or_to_be_filled_in() {
        assert_eq!(
            subject(Some("jo \"x\"")),
            "{apiGroup: rbac.authorization.k8s.io, kind: User, name: \"jo \\\"x\\\"\"}"
        );
        assert!(subject(None).contains("name: NAME}"));
        assert_eq!(need("shop", "batch", "jobs", "create").to_string(), "create jobs.batch in namespace shop");
        assert_eq!(need("", "", "nodes", "list").to_string(), "list nodes in the whole cluster");
    }
}
