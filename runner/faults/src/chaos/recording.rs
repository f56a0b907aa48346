//! The recording of a run (`--record`): the watch events of the kinds of Chaos Mesh that its faults use, and the Events about
//! their objects, one file for each kind and one event a line. Our tests replay such recordings against the driver.
//!
//! A recording observes. If it is incomplete, that is a warning: it neither ends a run nor changes a verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::ChaosSpec;
use shakedown_cluster::{CHAOS_GROUP, Change, Cluster, Kind, ObjectKey};

/// How long a recording waits for the first list of each kind.
const BEGIN: Duration = Duration::from_secs(10);
/// A recording ends once nothing has come for this long: Chaos Mesh writes its last Events after its object is gone.
const QUIET: Duration = Duration::from_secs(1);
/// The timeout of that wait.
const END: Duration = Duration::from_secs(5);

/// Removes secrets from a value.
pub type Mask = Box<dyn Fn(Value) -> Value + Send>;

/// What a recording contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    kinds: BTreeSet<Kind>,
    namespaces: BTreeSet<String>,
}

impl Scope {
    /// Adds the resources of a fault, and the per-pod objects of Chaos Mesh.
    pub fn fault(&mut self, spec: &ChaosSpec) {
        self.kinds.extend(spec.recipe.resources(&spec.targets).iter().flat_map(|it| with_children(it.kind)));
        self.namespaces.insert(spec.naming.namespace.clone());
        self.namespaces.extend(spec.targets.iter().map(|target| target.pod.namespace.clone()));
        self.namespaces
            .extend(spec.recipe.ends().into_iter().flat_map(|ends| &ends.pods).map(|pod| pod.namespace.clone()));
    }

    /// Adds an object that a scenario writes out, if it is one of Chaos Mesh.
    pub fn object(&mut self, key: &ObjectKey) {
        if key.kind.is_chaos() {
            self.kinds.extend(with_children(key.kind));
            self.namespaces.insert(key.namespace.clone());
        }
    }
}

/// A kind, and the kinds that Chaos Mesh creates because of it.
fn with_children(kind: Kind) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = [Some(kind), kind.child()].into_iter().flatten().collect();
    // A Workflow or a Schedule creates any of them.
    if matches!(kind, Kind::Other(_)) {
        kinds.extend(Kind::CHAOS.into_iter().flat_map(with_children));
        kinds.push(Kind::other("chaos-mesh.org/v1alpha1", "WorkflowNode", "workflownodes"));
    }
    kinds
}

/// A recording in progress. If it is dropped, it lacks its last events.
#[derive(Debug)]
pub struct Recording {
    end: CancellationToken,
    task: AbortOnDropHandle<Vec<String>>,
}

impl Recording {
    /// Begins to record into an existing folder; `None` when nothing of Chaos Mesh is in the scope. It returns once each
    /// kind was listed or refused, at most 10 s later.
    pub async fn start(cluster: &Cluster, scope: &Scope, folder: &Path, mask: Mask) -> Option<Self> {
        if scope.kinds.is_empty() {
            return None;
        }
        let watches = scope.namespaces.iter().flat_map(|namespace| {
            scope.kinds.iter().copied().chain([Kind::Event]).map(move |kind| {
                let place = (kind, namespace.clone());
                cluster.watch(kind, namespace).map(move |change| (place.clone(), change)).boxed()
            })
        });
        let watches: Vec<_> = watches.collect();
        let (waiting, end) = (watches.len(), CancellationToken::new());
        let (sender, begun) = oneshot::channel();
        let pages = Pages { folder: folder.to_owned(), mask, ..Pages::new() };
        let task = record(futures::stream::select_all(watches), pages, waiting, sender, end.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        _ = tokio::time::timeout(BEGIN, begun).await;
        Some(Self { end, task })
    }

    /// Waits up to 5 s for the last events, and ends. Returns what the recording lacks, as warnings.
    pub async fn finish(self) -> Vec<String> {
        self.end.cancel();
        self.task.await.unwrap_or_else(|error| vec![format!("the recording is not complete: {error}")])
    }
}

/// A kind in a namespace.
type Place = (Kind, String);

async fn record(
    mut changes: impl Stream<Item = (Place, Change)> + Unpin,
    mut pages: Pages,
    waiting: usize,
    begun: oneshot::Sender<()>,
    end: CancellationToken,
) -> Vec<String> {
    let mut begun = Some(begun);
    let mut until: Option<(Instant, Instant)> = None;
    loop {
        let over = async {
            match until {
                Some((quiet, last)) => tokio::time::sleep_until(quiet.min(last)).await,
                None => end.cancelled().await,
            }
        };
        tokio::select! {
            biased;
            Some((place, change)) = changes.next() => {
                if let Some((quiet, _)) = until.as_mut().filter(|_| !matches!(change, Change::Broken { .. })) {
                    *quiet = Instant::now() + QUIET;
                }
                pages.take(place, change);
                if pages.begun.len() == waiting && let Some(begun) = begun.take() {
                    _ = begun.send(());
                }
            }
            () = over => match until {
                None => until = Some((Instant::now() + QUIET, Instant::now() + END)),
                Some(_) => return pages.gaps(),
            },
        }
    }
}

/// The files of a recording.
struct Pages {
    folder: PathBuf,
    mask: Mask,
    files: BTreeMap<Kind, File>,
    /// The objects that exist, in their latest form.
    known: BTreeMap<(Kind, String, String), Value>,
    /// The places that have answered, each with whether the answer was a list.
    begun: BTreeMap<Place, bool>,
    missing: BTreeMap<Kind, String>,
    interrupted: BTreeSet<Kind>,
    unwritten: Option<String>,
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Pages {
    fn new() -> Self {
        let (folder, files, known, begun) = Default::default();
        let (missing, interrupted, unwritten) = Default::default();
        Self { folder, mask: Box::new(|it| it), files, known, begun, missing, interrupted, unwritten }
    }

    fn take(&mut self, place: Place, change: Change) {
        let (kind, namespace) = place.clone();
        match change {
            Change::Listed(objects) => {
                let is_first = self.begun.insert(place, true) != Some(true);
                self.missing.remove(&kind);
                let there: BTreeSet<&str> = objects.iter().map(|it| text(it, "/metadata/name")).collect();
                let of_place = |(its, within, _): &&(Kind, String, String)| *its == kind && *within == namespace;
                let gone: Vec<_> = self.known.keys().filter(of_place).cloned().collect();
                for key in gone.into_iter().filter(|(_, _, name)| !there.contains(name.as_str())) {
                    if let Some(last) = self.known.remove(&key) {
                        self.write(kind, "DELETED", last);
                    }
                }
                for object in objects {
                    // Earlier events describe the earlier state.
                    if is_first && kind == Kind::Event {
                        self.known
                            .insert((kind, namespace.clone(), text(&object, "/metadata/name").to_owned()), object);
                    } else {
                        self.applied(kind, &namespace, object);
                    }
                }
            }
            Change::Applied(object) => self.applied(kind, &namespace, object),
            Change::Deleted(object) => {
                self.known.remove(&(kind, namespace, text(&object, "/metadata/name").to_owned()));
                self.write(kind, "DELETED", object);
            }
            Change::Broken { error, .. } => {
                if *self.begun.entry(place).or_insert(false) {
                    self.interrupted.insert(kind);
                } else {
                    self.missing.insert(kind, error.to_string());
                }
            }
        }
    }

    fn applied(&mut self, kind: Kind, namespace: &str, object: Value) {
        let key = (kind, namespace.to_owned(), text(&object, "/metadata/name").to_owned());
        let before = self.known.insert(key, object.clone());
        // A list that is read again contains what was recorded before.
        let is_same = |before: &Value| before["metadata"]["resourceVersion"] == object["metadata"]["resourceVersion"];
        if !before.as_ref().is_some_and(is_same) {
            self.write(kind, if before.is_some() { "MODIFIED" } else { "ADDED" }, object);
        }
    }

    fn write(&mut self, kind: Kind, change: &str, mut object: Value) {
        if kind == Kind::Event && !text(&object, "/involvedObject/apiVersion").starts_with(CHAOS_GROUP) {
            return;
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        // The items of a list lack their kind.
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name());
        let line = format!("{{\"type\":\"{change}\",\"object\":{}}}\n", (self.mask)(object));
        if let Err(error) = self.append(kind, line.as_bytes()) {
            self.unwritten.get_or_insert(error.to_string());
        }
    }

    fn append(&mut self, kind: Kind, line: &[u8]) -> std::io::Result<()> {
        if !self.files.contains_key(&kind) {
            let name = if kind == Kind::Event { "events".to_owned() } else { kind.name().to_ascii_lowercase() };
            let path = self.folder.join(format!("{name}.ndjson"));
            self.files.insert(kind, File::options().append(true).create(true).open(path)?);
        }
        self.files.get_mut(&kind).map_or(Ok(()), |file| file.write_all(line))
    }

    fn gaps(self) -> Vec<String> {
        let missing =
            self.missing.into_iter().map(|(kind, error)| format!("the recording lacks {}: {error}", kind.name()));
        let interrupted = self
            .interrupted
            .into_iter()
            .map(|kind| format!("the recording may lack events of {}: its watch broke and began again", kind.name()));
        let unwritten = self.unwritten.into_iter().map(|error| format!("the recording could not be written: {error}"));
        missing.chain(interrupted).chain(unwritten).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(folder: &Path) -> Pages {
        let mask = |value: Value| {
            serde_json::from_str(&value.to_string().replace("hunter2", "[redacted]"))
                .expect("the same with other words")
        };
        Pages { folder: folder.to_owned(), mask: Box::new(mask), ..Pages::new() }
    }

    fn lines(folder: &Path, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn object(name: &str, version: u32) -> Value {
        json!({"metadata": {"name": name, "resourceVersion": version.to_string(), "managedFields": [{"manager": "x"}]},
            "spec": {"url": "http://10.0.0.1/hunter2"}})
    }

    #[test]
    fn a_line_is_what_the_server_sent_without_secrets_and_managed_fields() {
        let folder = tempfile::tempdir().unwrap();
        let mut pages = pages(folder.path());
        let place = || (Kind::HttpChaos, "shop".to_owned());
        pages.take(place(), Change::Listed(vec![object("a", 1), object("b", 2)]));
        pages.take(place(), Change::Applied(object("a", 3)));
        // The watch breaks: `a` still exists, and `b` was deleted meanwhile.
        pages.take(
            place(),
            Change::Broken {
                error: shakedown_cluster::ClusterError::Expired("gone".into()),
                since: tokio::time::Instant::now(),
            },
        );
        pages.take(place(), Change::Listed(vec![object("a", 3)]));
        pages.take(place(), Change::Deleted(object("a", 4)));
        let seen: Vec<String> = lines(folder.path(), "httpchaos.ndjson")
            .iter()
            .map(|it| {
                format!("{} {} {}", text(it, "/type"), text(it, "/object/kind"), text(it, "/object/metadata/name"))
            })
            .collect();
        let wanted = ["ADDED HTTPChaos a", "ADDED HTTPChaos b", "MODIFIED HTTPChaos a", "DELETED HTTPChaos b"];
        assert_eq!(seen, [&wanted[..], &["DELETED HTTPChaos a"]].concat());
        let first = &lines(folder.path(), "httpchaos.ndjson")[0]["object"];
        assert_eq!(first["metadata"], json!({"name": "a", "resourceVersion": "1"}));
        assert_eq!(first["spec"]["url"], "http://10.0.0.1/[redacted]");
        assert_eq!(pages.gaps(), ["the recording may lack events of HTTPChaos: its watch broke and began again"]);
    }

    #[test]
    fn of_the_events_only_those_about_chaos_mesh_are_kept_and_none_of_earlier_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut pages = pages(folder.path());
        let place = (Kind::Event, "shop".to_owned());
        let about =
            |name: &str, version: &str| json!({"metadata": {"name": name}, "involvedObject": {"apiVersion": version}});
        pages.take(place.clone(), Change::Listed(vec![about("old", "chaos-mesh.org/v1alpha1")]));
        for event in [about("a", "chaos-mesh.org/v1alpha1"), about("b", "v1")] {
            pages.take(place.clone(), Change::Applied(event));
        }
        let kept = lines(folder.path(), "events.ndjson");
        assert_eq!((kept.len(), &kept[0]["object"]["metadata"]["name"]), (1, &json!("a")));
    }

    #[test]
    fn a_kind_that_may_not_be_watched_is_a_gap_until_it_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let mut pages = pages(folder.path());
        let place = || (Kind::PodNetworkChaos, "shop".to_owned());
        pages.take(
            place(),
            Change::Broken {
                error: shakedown_cluster::ClusterError::Expired("no".into()),
                since: tokio::time::Instant::now(),
            },
        );
        assert_eq!(pages.missing.len(), 1);
        pages.take(place(), Change::Listed(Vec::new()));
        assert_eq!(pages.gaps(), Vec::<String>::new());
    }

    #[test]
    fn a_workflow_may_create_every_kind() {
        let mut scope = Scope::default();
        let key = |kind| ObjectKey { kind, namespace: "shop".into(), name: "x".into(), uid: None };
        scope.object(&key(Kind::Pod));
        assert_eq!(scope, Scope::default());
        scope.object(&key(Kind::other("chaos-mesh.org/v1alpha1", "Workflow", "workflows")));
        let names: Vec<&str> = scope.kinds.iter().map(|kind| kind.name()).collect();
        for name in ["Workflow", "WorkflowNode", "TimeChaos", "PodNetworkChaos", "PodHttpChaos", "PodIOChaos"] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
    }
}
