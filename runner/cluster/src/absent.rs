//! The help for a name that does not exist: the closest existing name, or the few names that exist. Only for a real cluster
//! does it suggest `kubectl`: a sandbox ends with its command.

use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::diagnostic::suggestion;
use shakedown_schemas::scenario::PodSelector;

use super::{Cluster, Kind};

impl Cluster {
    /// The error for a service that does not exist, with the closest existing name.
    pub async fn no_service(&self, namespace: &str, name: &str) -> Explained {
        let help = self.help_for(Kind::Service, "service", namespace, name).await;
        Explained::new(format!("there is no service `{name}` in namespace `{namespace}`"), help)
    }

    /// The help for a workload that does not exist. `plural` is its resource in `apps/v1`.
    pub(super) async fn help_for_workload(&self, namespace: &str, plural: &str, name: &str) -> String {
        let singular = plural.trim_end_matches('s');
        self.help_for(Kind::other("apps/v1", singular, plural), singular, namespace, name).await
    }

    async fn help_for(&self, kind: Kind, singular: &str, namespace: &str, name: &str) -> String {
        // Without the permission to list, there is no suggestion.
        let objects = self.list(kind, namespace, None).await.unwrap_or_default();
        let meant = suggestion(name, &texts(&objects, "/metadata/name"), singular);
        self.help(meant, &format!("`kubectl -n {namespace} get {}` lists them", kind.plural()))
    }

    /// The help for a selector that no pod matches.
    pub async fn help_for_pods(&self, selector: &PodSelector, namespace: &str) -> String {
        let pods = self.list(Kind::Pod, namespace, None).await.unwrap_or_default();
        let labels = selector.labels.as_ref().map(|it| &it.match_labels);
        let meant = match (&selector.name, &selector.prefix, labels) {
            (Some(name), ..) => suggestion(name, &texts(&pods, "/metadata/name"), "pod"),
            (_, Some(prefix), _) => {
                let owners: Vec<String> = pods.iter().filter_map(owner).collect();
                suggestion(prefix, &distinct(owners.iter().map(String::as_str)), "prefix")
            }
            (.., Some(labels)) => labels.iter().find_map(|(key, value)| {
                let values = distinct(pods.iter().filter_map(|pod| pod["metadata"]["labels"][key].as_str()));
                let is_there = values.contains(&value.as_str());
                (!is_there).then(|| suggestion(value, &values, &format!("value of `{key}`"))).flatten()
            }),
            _ => None,
        };
        let labels = format!("`kubectl -n {namespace} get pods --show-labels` shows what could be matched");
        self.help(meant, &labels)
    }

    fn help(&self, meant: Option<String>, listing: &str) -> String {
        match meant {
            Some(meant) if self.info().sandbox => meant,
            Some(meant) => format!("{meant} {listing}"),
            None if self.info().sandbox => {
                "`shakedown sandbox --print-topology` shows the workloads of a topology".to_owned()
            }
            None => listing.to_owned(),
        }
    }
}

fn texts<'a>(objects: &'a [Value], pointer: &str) -> Vec<&'a str> {
    distinct(objects.iter().filter_map(|it| it.pointer(pointer)?.as_str()))
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = texts.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The name of a pod's workload. A ReplicaSet appends a suffix to the name of its Deployment.
fn owner(pod: &Value) -> Option<String> {
    let owner = pod["metadata"]["ownerReferences"].as_array()?.first()?;
    let name = owner["name"].as_str()?;
    let of_deployment = || name.rsplit_once('-').map(|(name, _)| name);
    Some(if owner["kind"] == "ReplicaSet" { of_deployment().unwrap_or(name) } else { name }.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::store::{Fate, Store};

    #[tokio::test(start_paused = true)]
    async fn a_real_cluster_has_a_command_that_lists_and_may_refuse_to_list() {
        for (may_list, help) in [
            (true, "did you mean `web`? `kubectl -n n get services` lists them"),
            (false, "`kubectl -n n get services` lists them"),
        ] {
            let store = Store::default();
            store.put(Kind::Service, json!({"metadata": {"name": "web", "namespace": "n"}}));
            store.script(move |_, _| if may_list { Fate::Answered } else { Fate::Refused(403) });
            assert_eq!(store.cluster().no_service("n", "wbe").await.help.unwrap_or_default(), help);
        }
    }

    #[test]
    fn the_workload_of_a_pod_is_its_owner_without_the_part_of_the_replica_set() {
        let pod = |kind: &str, name: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "name": name}]}});
        assert_eq!(owner(&pod("ReplicaSet", "web-5d8f7")).as_deref(), Some("web"));
        assert_eq!(owner(&pod("StatefulSet", "redis")).as_deref(), Some("redis"));
        assert_eq!(owner(&json!({"metadata": {}})), None);
    }
}
