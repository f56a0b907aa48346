//! The cached answer to whether a cluster enforces NetworkPolicy: one small file per cluster in the user's cache folder.
//! It is cached because the canary needs pods and takes seconds.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};

/// How long an answer is valid: network plugins change, but rarely.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Whether a cluster enforces NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// Whether it enforces NetworkPolicy.
    pub enforced: bool,
    /// Whether established connections survive a policy that forbids them; `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps: Option<bool>,
    /// When this was observed.
    pub at: Timestamp,
    /// How it was observed, as text.
    pub how: String,
}

impl Enforcement {
    /// An answer from now.
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

    /// The sentence that established connections survive a policy here; `None` if they do not or it is not known.
    pub fn leaves_open(&self) -> Option<String> {
        (self.enforced && self.keeps == Some(true)).then(|| {
            let when = self.at.strftime("%Y-%m-%d %H:%M UTC");
            format!("this cluster's network plugin leaves established connections open ({}, {when})", self.how)
        })
    }
}

/// The cached answer for a cluster; `None` without one, or when it is too old.
///
/// # Errors
/// When the cluster does not answer.
pub async fn recall(cluster: &Cluster) -> Result<Option<Enforcement>, ClusterError> {
    if let Some(how) = cluster.capabilities().enforces_policies {
        return Ok(Some(Enforcement::now(true, how)));
    }
    let Some(path) = path(cluster, "").await? else { return Ok(None) };
    let known = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Enforcement>(&bytes).ok());
    Ok(known.filter(|known| is_valid(known.at)))
}

/// Caches an answer. Returns the file, or why it could not be written.
///
/// # Errors
/// When the cluster does not answer.
pub async fn remember(cluster: &Cluster, answer: &Enforcement) -> Result<Result<PathBuf, String>, ClusterError> {
    let Some(path) = path(cluster, "").await? else {
        return Ok(Err(
            "this account may not read the namespace kube-system, whose UID identifies the cluster".to_owned()
        ));
    };
    Ok(write(&path, answer).map(|()| path.clone()).map_err(|error| format!("{}: {error}", path.display())))
}

/// Writes answers atomically: another run that reads or writes the file at the same time sees the old or the new answers.
pub(crate) fn write(path: &Path, answers: &impl Serialize) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.{}", std::process::id()));
    let written = std::fs::write(&new, serde_json::to_vec(answers)?).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        _ = std::fs::remove_file(&new);
    }
    written
}

/// Whether an answer with this timestamp is still valid.
pub(crate) fn is_valid(at: Timestamp) -> bool {
    Timestamp::now().duration_since(at) <= MAX_AGE
}

/// A file of answers about a cluster. Its name contains the UID of the namespace kube-system, which is unique to the cluster.
pub(crate) async fn path(cluster: &Cluster, suffix: &str) -> Result<Option<PathBuf>, ClusterError> {
    let key = ObjectKey { kind: Kind::Namespace, namespace: String::new(), name: "kube-system".to_owned(), uid: None };
    let object = match cluster.get(&key).await {
        Ok(object) => object,
        Err(ClusterError::Forbidden { .. }) => None,
        Err(error) => return Err(error),
    };
    let uid = object.and_then(|object| object["metadata"]["uid"].as_str().map(str::to_owned));
    Ok(uid.zip(cache()).map(|(uid, cache)| cache.join("shakedown/clusters").join(format!("{uid}{suffix}.json"))))
}

/// The user's cache folder, by the XDG rules: an absolute `XDG_CACHE_HOME`, else `~/.cache`.
fn cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that is killed in the middle of a write, or two runs at once, must not leave half a file.
    #[test]
    fn a_file_of_answers_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clusters/uid.json");
        write(&path, &"old").unwrap();
        // A reader of the old file continues to read it.
        let mut old = std::fs::File::open(&path).unwrap();
        write(&path, &"new and longer").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut old, &mut text).unwrap();
        assert_eq!(
            (text.as_str(), std::fs::read_to_string(&path).unwrap().as_str()),
            ("\"old\"", "\"new and longer\"")
        );
        // No temporary file remains, not even after a failed write.
        let taken = folder.path().join("clusters/folder.json");
        std::fs::create_dir(&taken).unwrap();
        assert!(write(&taken, &"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("clusters")).unwrap().count(), 2);
    }

    #[test]
    fn answers_of_earlier_versions_can_be_read() {
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
