//! Which kinds a cluster serves.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::Value;

use super::{Cluster, ClusterError, Kind};

/// The number of concurrent list requests.
const AT_ONCE: usize = 8;
/// The timeout of one API group: an aggregated server that is down must not delay the search.
const RETRY_LIMIT: Duration = Duration::from_secs(3);

/// The kinds of an API.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listable {
    /// Those whose objects can be listed and deleted.
    pub kinds: BTreeSet<Kind>,
    /// The API versions that could not be asked, because the server behind them does not answer or refuses.
    pub unknown: BTreeSet<String>,
}

impl Cluster {
    /// Every kind whose objects can be listed and deleted.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn listable_kinds(&self) -> Result<Listable, ClusterError> {
        const ACTION: &str = "look for the kinds of the API";
        let cluster = &self.clone().with_retry_limit(RETRY_LIMIT);
        let groups = self.raw(ACTION, "/apis").await?;
        let groups = groups["groups"].as_array().into_iter().flatten();
        let preferred = groups.filter_map(|group| group["preferredVersion"]["groupVersion"].as_str());
        let versions: Vec<String> = std::iter::once("v1").chain(preferred).map(str::to_owned).collect();
        let lists = stream::iter(versions).map(|version| async move {
            let root = if version.contains('/') { "apis" } else { "api" };
            let list = cluster.raw(ACTION, &format!("/{root}/{version}")).await;
            (version, list)
        });
        let lists: Vec<_> = lists.buffered(AT_ONCE).collect().await;
        let mut found = Listable::default();
        for (version, list) in lists {
            match list {
                Ok(list) => found.kinds.extend(kinds(&version, &list)),
                Err(error) if !version.contains('/') => return Err(error),
                Err(ClusterError::NotFound(_)) => {}
                Err(_) => _ = found.unknown.insert(version),
            }
        }
        Ok(found)
    }
}

/// The kinds of one version that can be listed and deleted.
fn kinds(version: &str, list: &Value) -> Vec<Kind> {
    let resources = list["resources"].as_array().into_iter().flatten();
    let found = resources.filter_map(|resource| {
        let can = |verb: &str| resource["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|it| it == verb));
        let (kind, plural) = (resource["kind"].as_str()?, resource["name"].as_str()?);
        // Two groups serve events, and the runner creates no events.
        (can("list") && can("delete") && kind != "Event").then(|| Kind::other(version, kind, plural))
    });
    found.collect()
}
