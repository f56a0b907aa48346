//! What is known of a cluster from earlier: whether anything in it enforces NetworkPolicy. Kept in the user's cache
//! folder, one small file per cluster, because finding it out takes pods and seconds.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};

/// How long an answer counts: network plugins are changed, but not every day.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Whether a cluster enforces NetworkPolicy, and since when that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// Whether it does.
    pub enforced: bool,
    /// Whether it leaves connections open that stood before a policy forbade them; none where nobody has seen that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps: Option<bool>,
    /// When it was found out.
    pub at: Timestamp,
    /// How, in words.
    pub how: String,
}

impl Enforcement {
    /// An answer that was found now.
    pub fn now(enforced: bool, how: impl Into<String>) -> Self {
        Self { enforced, keeps: None, at: Timestamp::now(), how: how.into() }
    }

    /// The answer in a sentence.
    pub fn sentence(&self) -> String {
        let what = match (self.enforced, self.keeps) {
            (false, _) => "nothing in this cluster enforces NetworkPolicy",
            (true, None) => "this cluster enforces NetworkPolicy",
            (true, Some(true)) => "this cluster enforces NetworkPolicy, and leaves established connections open",
            (true, Some(false)) => "this cluster enforces NetworkPolicy, on established connections as well",
        };
        format!("{what} ({}, {})", self.how, self.at.strftime("%Y-%m-%d %H:%M UTC"))
    }

    /// That established connections survive a policy here, in a sentence; none where that is not known.
    pub fn leaves_open(&self) -> Option<String> {
        (self.enforced && self.keeps == Some(true)).then(|| {
            let when = self.at.strftime("%Y-%m-%d %H:%M UTC");
            format!("this cluster's network plugin leaves established connections open ({}, {when})", self.how)
        })
    }
}

/// What is known of a cluster; none when it was never found out, or too long ago.
///
/// # Errors
/// When the cluster does not answer.
pub async fn recall(cluster: &Cluster) -> Result<Option<Enforcement>, ClusterError> {
    if let Some(how) = cluster.capabilities().enforces_policies {
        return Ok(Some(Enforcement::now(true, how)));
    }
    let Some(path) = path(cluster).await? else { return Ok(None) };
    let known = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Enforcement>(&bytes).ok());
    Ok(known.filter(|known| Timestamp::now().duration_since(known.at) <= MAX_AGE))
}

/// Keeps an answer. Returns the file, or why there is none.
///
/// # Errors
/// When the cluster does not answer.
pub async fn remember(cluster: &Cluster, answer: &Enforcement) -> Result<Result<PathBuf, String>, ClusterError> {
    let Some(path) = path(cluster).await? else {
        return Ok(Err("this account may not read the namespace kube-system, whose UID names the cluster".to_owned()));
    };
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&path, serde_json::to_vec(answer)?));
    Ok(written.map(|()| path.clone()).map_err(|error| format!("{}: {error}", path.display())))
}

/// The file of a cluster: by the UID of its oldest namespace, which no other cluster has.
async fn path(cluster: &Cluster) -> Result<Option<PathBuf>, ClusterError> {
    let key = ObjectKey { kind: Kind::Namespace, namespace: String::new(), name: "kube-system".to_owned(), uid: None };
    let object = match cluster.get(&key).await {
        Ok(object) => object,
        Err(ClusterError::Forbidden { .. }) => None,
        Err(error) => return Err(error),
    };
    let uid = object.and_then(|object| object["metadata"]["uid"].as_str().map(str::to_owned));
    Ok(uid.zip(cache()).map(|(uid, cache)| cache.join("shakedown/clusters").join(format!("{uid}.json"))))
}

/// The user's cache folder, by the XDG rules: an absolute `XDG_CACHE_HOME`, else `~/.cache`.
fn cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_earlier_versions_read_back_and_say_what_is_known() {
        let old = r#"{"enforced": true, "at": "2026-03-01T12:00:00Z", "how": "a canary showed it"}"#;
        let old: Enforcement = serde_json::from_str(old).unwrap();
        assert_eq!((old.keeps, old.leaves_open()), (None, None));
        assert_eq!(old.sentence(), "this cluster enforces NetworkPolicy (a canary showed it, 2026-03-01 12:00 UTC)");
        let keeps = Enforcement { keeps: Some(true), ..old.clone() };
        assert!(keeps.sentence().contains("leaves established connections open"));
        assert!(keeps.leaves_open().unwrap().contains("(a canary showed it, 2026-03-01 12:00 UTC)"));
        let cuts = Enforcement { keeps: Some(false), ..old };
        assert!(cuts.sentence().contains("established connections as well") && cuts.leaves_open().is_none());
    }
}
