//! Permissions of one scenario: the question whether this account has them, and the Roles that grant them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use shakedown_schemas::scenario::Access;

use super::rules;
use crate::{Cluster, ClusterError};

/// The reviews that are asked for at the same time.
const AT_ONCE: usize = 5;

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

/// The server's answers to questions about permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Each permission that was asked about, and whether this account has it.
    pub known: BTreeMap<Need, bool>,
    /// Whether the server refused to answer. Then nothing more is asked.
    pub refused: bool,
}

impl Cluster {
    /// Asks which of these permissions this account has: one request per permission that is not known yet, a few at a
    /// time.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn ask(&self, needs: &BTreeSet<Need>, answers: &mut Answers) -> Result<(), ClusterError> {
        if answers.refused {
            return Ok(());
        }
        let unknown: Vec<Need> = needs.iter().filter(|need| !answers.known.contains_key(need)).cloned().collect();
        let asked = stream::iter(unknown).map(|need| async move {
            let may = self.may(need.access, &need.namespace).await?;
            Ok::<_, ClusterError>((need, may))
        });
        let mut asked = asked.buffered(AT_ONCE);
        while let Some((need, may)) = asked.try_next().await? {
            let Some(may) = may else {
                answers.refused = true;
                return Ok(());
            };
            answers.known.insert(need, may);
        }
        Ok(())
    }

    /// The name of this account; none where the server does not say it (before Kubernetes 1.28).
    pub async fn account(&self) -> Option<String> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = self.post("ask for the name of this account", path, &review).await.ok()?;
        answer["status"]["userInfo"]["username"].as_str().map(str::to_owned)
    }
}

/// The Roles and their bindings that grant all of this, as YAML for `kubectl apply`: a Role per namespace, and a
/// ClusterRole for the whole cluster.
pub fn grant(needs: &BTreeSet<Need>, name: &str, account: Option<&str>) -> String {
    let mut places: BTreeMap<&str, Vec<Access>> = BTreeMap::new();
    for need in needs {
        places.entry(&need.namespace).or_default().push(need.access);
    }
    let mut documents = Vec::new();
    for (namespace, mut all) in places {
        all.sort_by_key(|it| (it.group, it.resource, order(it.verb)));
        let (prefix, place) = match namespace {
            "" => ("Cluster", String::new()),
            namespace => ("", format!(", namespace: {namespace}")),
        };
        let head =
            |kind: &str| format!("apiVersion: {RBAC}/v1\nkind: {prefix}{kind}\nmetadata: {{name: {name}{place}}}\n");
        documents.push(format!("{}rules:\n{}", head("Role"), rules(&all)));
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
        let text = grant(&needs, "shakedown-cut", Some("system:serviceaccount:ci:runner"));
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
