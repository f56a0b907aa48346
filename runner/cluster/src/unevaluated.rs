//! Policies of other APIs than NetworkPolicy. Network plugins enforce them as well, but the runner does not evaluate them:
//! one of them may keep a link open that a partition should cut.

use std::collections::BTreeSet;

use serde_json::Value;

use super::lists::Listed;
use super::{Cluster, ClusterError, Kind};

/// A kind of policy: its name, its plural name, and whether it is namespaced.
type PolicyKind = (&'static str, &'static str, bool);

/// An API with policies.
struct Api {
    group: &'static str,
    kinds: &'static [PolicyKind],
    /// The group that serves the same objects and comes before this one in the list.
    twin: Option<&'static str>,
}

const CALICO: &[PolicyKind] =
    &[("NetworkPolicy", "networkpolicies", true), ("GlobalNetworkPolicy", "globalnetworkpolicies", false)];

const APIS: [Api; 4] = [
    Api {
        group: "policy.networking.k8s.io",
        kinds: &[
            ("AdminNetworkPolicy", "adminnetworkpolicies", false),
            ("BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", false),
            ("ClusterNetworkPolicy", "clusternetworkpolicies", false),
        ],
        twin: None,
    },
    Api {
        group: "cilium.io",
        kinds: &[
            ("CiliumNetworkPolicy", "ciliumnetworkpolicies", true),
            ("CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies", false),
        ],
        twin: None,
    },
    Api { group: "crd.projectcalico.org", kinds: CALICO, twin: None },
    Api { group: "projectcalico.org", kinds: CALICO, twin: Some("crd.projectcalico.org") },
];

/// Calico's own API lists Kubernetes' policies among its own, with this prefix.
const MIRRORED: &str = "knp.";

/// Policies that are not evaluated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unevaluated {
    /// The kinds that have objects, with their places, in words.
    pub present: BTreeSet<String>,
    /// The kinds that could not be checked, with their places and the reason, in words.
    pub unknown: BTreeSet<String>,
}

impl Unevaluated {
    /// The note for plans and reports. None without such policies.
    pub fn note(&self) -> Option<String> {
        let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
        let mut parts = Vec::new();
        if !self.present.is_empty() {
            parts.push(format!("there are policies that are not evaluated: {}", list(&self.present)));
        }
        if !self.unknown.is_empty() {
            parts.push(format!(
                "it is not known whether there are policies that are not evaluated: {}",
                list(&self.unknown)
            ));
        }
        (!parts.is_empty()).then(|| {
            format!(
                "{}; they may keep this link open, so a witness or a change in the run's own requests has to show the cut",
                parts.join("; ")
            )
        })
    }
}

impl Cluster {
    /// Looks for policies of other APIs that may act on pods of these namespaces.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn unevaluated_policies(&self, namespaces: &BTreeSet<String>) -> Result<Unevaluated, ClusterError> {
        let mut found = Unevaluated::default();
        let groups = match self.raw("look for other policies", "/apis").await {
            Ok(groups) => groups,
            Err(ClusterError::NotFound(_)) => return Ok(found),
            Err(error @ ClusterError::Forbidden { .. }) => {
                found.unknown.insert(format!("the APIs of this cluster ({})", reason(&error)));
                return Ok(found);
            }
            Err(error) => return Err(error),
        };
        // The answers by group, kind and place: the twin of a group has the same objects.
        let mut answered: BTreeSet<(&str, &str, String)> = BTreeSet::new();
        for api in &APIS {
            let groups = groups["groups"].as_array().into_iter().flatten();
            let served = groups.into_iter().find(|group| group["name"] == api.group);
            let Some(version) = served.and_then(|group| group["preferredVersion"]["groupVersion"].as_str()) else {
                continue;
            };
            let resources =
                match self.raw(&format!("look for policies of {}", api.group), &format!("/apis/{version}")).await {
                    Ok(resources) => resources,
                    Err(error) => {
                        found.unknown.insert(format!("those of {} ({})", api.group, reason(&error)));
                        continue;
                    }
                };
            for (kind, plural, namespaced) in api.kinds {
                let mut resources = resources["resources"].as_array().into_iter().flatten();
                if !resources.any(|resource| resource["name"] == *plural) {
                    continue;
                }
                let places = if *namespaced { namespaces.clone() } else { BTreeSet::from([String::new()]) };
                for place in places {
                    if api.twin.is_some_and(|twin| answered.contains(&(twin, kind, place.clone()))) {
                        continue;
                    }
                    match self.has_policies(api, version, (kind, plural), &place).await {
                        Ok(has) => {
                            answered.insert((api.group, kind, place.clone()));
                            if has {
                                found.present.insert(named(kind, api, &place));
                            }
                        }
                        Err(error) => {
                            found.unknown.insert(format!("{} ({})", named(kind, api, &place), reason(&error)));
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether a kind has objects in a namespace; in the whole cluster, when that is empty.
    async fn has_policies(
        &self,
        api: &Api,
        version: &str,
        (kind, plural): (&str, &str),
        namespace: &str,
    ) -> Result<bool, ClusterError> {
        let kind = Kind::other(version, kind, plural);
        let is_own = |name: &str| api.twin.is_none() || !name.starts_with(MIRRORED);
        let keep = |found: &mut bool, policy: Value| {
            *found |= is_own(policy["metadata"]["name"].as_str().unwrap_or_default());
        };
        let listed = Listed { only_metadata: true, ..Listed::of(namespace) };
        match self.fetch_all(kind, listed, keep).await {
            Err(ClusterError::NotFound(_)) => Ok(false),
            other => other,
        }
    }
}

fn named(kind: &str, api: &Api, namespace: &str) -> String {
    match namespace {
        "" => format!("{kind}.{}", api.group),
        namespace => format!("{kind}.{} in namespace {namespace}", api.group),
    }
}

/// Why something could not be listed.
fn reason(error: &ClusterError) -> String {
    match error {
        ClusterError::Forbidden { .. } => "this account may not list them".to_owned(),
        error => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
