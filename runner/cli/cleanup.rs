//! `shakedown cleanup`: removes the leftovers of earlier runs from a cluster, from a run's journal or by the labels of
//! its objects. Objects of an active run are not touched.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shakedown_schemas::result::Leftover;
use shakedown_schemas::units::Duration;
use shakedown_schemas::{Explained, read_file};
use tokio::time::Instant;

use super::args;
use super::identity::host;
use super::sandbox::Environment;
use super::{Failure, exit, print};
use shakedown_cluster::journal::{self, Contents, Outstanding};
use shakedown_cluster::{Cluster, ClusterError, Item, ObjectKey, Remedy, labels};
use shakedown_faults::chaos;
use shakedown_faults::manifest::{dependants, kinds_of_dependants, pause};
use shakedown_guard::leftovers::{self, Kinds};
use shakedown_guard::lock;
use shakedown_secrets::Redactor;

/// The folder of all results, inside the working directory.
const RESULTS: &str = "shakedown-results";
/// The longest journal that is read, in bytes: a run writes a few lines for each object.
const LONGEST: u64 = 64 << 20;
/// The interval between checks of an object that is being removed.
const POLL: std::time::Duration = std::time::Duration::from_millis(500);
/// The time limit of a removal, which includes the recovery of a Chaos Mesh resource.
const RECOVERY: std::time::Duration = std::time::Duration::from_secs(20);

/// Finds and removes leftovers. With `--check`, only finds them.
///
/// # Errors
/// If there is no journal, or the cluster does not answer or refuses.
pub async fn cleanup(args: args::Cleanup, redactor: &Redactor) -> Result<u8, Failure> {
    let by_labels = args.run.is_some() || args.all || args.older_than.is_some();
    let journal = if by_labels { None } else { Journal::find(args.results.as_deref(), args.check)? };
    // `--check` covers more than the latest journal.
    let also_by_labels = by_labels || args.check && args.results.is_none();
    let sandboxed = journal.as_ref().filter(|it| it.contents.is_sandboxed).map(|it| it.path.display().to_string());
    if let (Some(path), false) = (&sandboxed, also_by_labels) {
        print::line(format_args!(
            "`{path}` is of a run in the sandbox, which ended with it: nothing is left in a cluster"
        ));
        return Ok(exit::PASSED);
    }
    let journal = journal.filter(|_| sandboxed.is_none());
    let environment = Environment::open(&args.target, redactor).await?;
    let Some(cluster) = environment.cluster() else { return Ok(exit::PASSED) };
    let mut found = Found::default();
    if let Some(journal) = &journal {
        let there = journal.there(cluster, &args, &mut found.unproven).await.map_err(Failure::environment)?;
        found.add(cluster, &args, there, &journal.dead()?).await?;
    }
    // A check without arguments covers all namespaces in addition to the journal.
    if also_by_labels {
        let there = by_label(cluster, &args, &mut found.unseen).await?;
        found.add(cluster, &args, there, &BTreeSet::new()).await?;
    }
    if let Some(run) = args.run.as_ref().filter(|run| found.live.contains(*run)) {
        return Err(Failure::environment(Explained::new(
            format!("run {run} is still active: it renews its lock"),
            "stop it with Ctrl-C, which undoes its faults",
        )));
    }
    for run in &found.live {
        print::remark(format_args!("run {run} is active: its objects are not touched"));
    }
    if !found.unseen.is_empty() {
        let kinds: Vec<&str> = found.unseen.iter().map(String::as_str).collect();
        print::remark(format_args!("not checked, because this account may not list them: {}", kinds.join(", ")));
    }
    let mut code = exit::PASSED;
    if !args.check {
        code = remove(cluster, &found.items, args.force_cleanup).await;
    }
    // Wait for requests that may be carried out late. Otherwise "no leftovers" could become wrong.
    if let Some(journal) = &journal {
        let late = journal.late(cluster, &found).await.map_err(Failure::environment)?;
        if !args.check {
            code = code.max(remove(cluster, &late, args.force_cleanup).await);
        }
        found.items.extend(late);
        for seen in journal.unclear_ends(cluster, &found, args.run.as_deref()).await {
            print::remark(format_args!("{seen}"));
        }
    }
    for problem in &found.unproven {
        print::remark(format_args!("{problem}"));
    }
    if let Some(none) = found.none() {
        print::line(none);
    }
    if args.check {
        code = check(cluster, &found.items).await;
    }
    Ok(if found.unproven.is_empty() { code } else { exit::LEFTOVERS })
}

/// The leftovers of dead runs.
#[derive(Default)]
struct Found {
    items: Vec<Item>,
    live: BTreeSet<String>,
    /// The kinds that could not be listed.
    unseen: BTreeSet<String>,
    /// Why it is not known whether objects that an object of the journal created still exist.
    unproven: Vec<String>,
}

impl Found {
    /// The result if nothing was found.
    fn none(&self) -> Option<&'static str> {
        let is_none = self.items.is_empty() && self.unproven.is_empty();
        let all = "no leftovers";
        let seen = "no leftovers of the kinds that this account may list";
        is_none.then_some(if self.unseen.is_empty() { all } else { seen })
    }

    /// Adds the objects of dead runs. The runs in `dead` count as dead regardless of their locks.
    async fn add(
        &mut self,
        cluster: &Cluster,
        args: &args::Cleanup,
        there: Vec<(String, Item)>,
        dead: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let runs: BTreeSet<&str> = there.iter().map(|(run, _)| run.as_str()).collect();
        if !runs.is_empty() {
            let host = host();
            // Only the locks of these runs are watched, to find out which of them are renewed.
            let doubtful = |lease: &serde_json::Value| {
                let run = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
                // A journal is only valid for the processes of the machine that wrote it.
                runs.contains(run) && !(dead.contains(run) && lock::host(lease) == Some(&host))
            };
            let said = Cell::new(false);
            let leases = || async {
                let mut leases =
                    everywhere(cluster, args, async |namespace| leftovers::leases(cluster, namespace).await).await?;
                leases.retain(doubtful);
                if !leases.is_empty() && !said.replace(true) {
                    print::remark(format_args!(
                        "watching {} locks for up to 30 s to find out which of these runs are active",
                        leases.len()
                    ));
                }
                Ok(leases)
            };
            self.live.extend(lock::live_runs(leases).await.map_err(Failure::environment)?);
        }
        for (run, item) in there {
            if !self.live.contains(&run) && !self.items.iter().any(|known| known.same(&item)) {
                self.items.push(item);
            }
        }
        Ok(())
    }
}

async fn check(cluster: &Cluster, items: &[Item]) -> u8 {
    for item in items.iter().filter(|item| item.acts()) {
        let (held, command) = by_hand(cluster, item).await;
        print::line(format_args!("left: {item}{held}\n  {command}"));
    }
    for item in items.iter().filter(|item| !item.acts()) {
        print::line(format_args!(
            "harmless: {item} (a label without effect; `shakedown cleanup` removes it)\n  {}",
            cluster.by_hand(&item.command())
        ));
    }
    if items.iter().any(Item::acts) { exit::LEFTOVERS } else { exit::PASSED }
}

/// What blocks the removal of an item, and the command that removes it.
async fn by_hand(cluster: &Cluster, item: &Item) -> (String, String) {
    let Remedy { command, held } = cluster.remedy(item).await;
    (held.map(|held| format!(": {held}")).unwrap_or_default(), cluster.by_hand(&command))
}

async fn remove(cluster: &Cluster, items: &[Item], force: bool) -> u8 {
    let mut failed: Vec<(Item, String)> = Vec::new();
    let (mut going, mut is_left) = (Vec::new(), false);
    for item in items {
        let removed = match item {
            Item::Object(key) if key.kind.is_chaos() => recovered(cluster, key, force).await,
            item => leftovers::remove(cluster, item).await.map_err(|error| Unremoved::There(error.to_string())),
        };
        match (removed, item) {
            (Err(Unremoved::There(error)), _) => failed.push((item.clone(), error)),
            (Err(Unremoved::Left(all)), _) => {
                is_left = true;
                print::line(format_args!("removed: {item}"));
                for left in all {
                    let command = cluster.by_hand(&left.command);
                    print::remark(format_args!("left: {}: {}\n  {command}", left.what, left.error));
                }
            }
            (Err(Unremoved::Forced(why)), _) => {
                is_left = true;
                print::line(format_args!("removed by force: {item}"));
                print::remark(format_args!(
                    "{item} was not recovered ({why}): its effects may stay in the pods until they are replaced"
                ));
            }
            // An accepted deletion does not mean that the object is gone.
            (Ok(()), Item::Object(key)) => going.push((item, key)),
            (Ok(()), Item::Mark(..)) => print::line(format_args!("removed: {item}")),
        }
    }
    let deadline = Instant::now() + RECOVERY;
    for (item, key) in going {
        match gone(cluster, key, deadline).await {
            Ok(()) => print::line(format_args!("removed: {item}")),
            Err(error) => {
                // It no longer exists, but objects that it created do.
                let made = dependants(cluster, key).await.map(|found| found.left).unwrap_or_default();
                let is_gone = matches!(cluster.get(key).await, Ok(None));
                let named = made.into_iter().filter(|_| is_gone).map(|left| (Item::Object(left), error.clone()));
                let named: Vec<(Item, String)> = named.collect();
                if named.is_empty() {
                    failed.push((item.clone(), error));
                }
                failed.extend(named);
            }
        }
    }
    for (item, error) in &failed {
        let (held, command) = by_hand(cluster, item).await;
        print::remark(format_args!("could not remove {item}: {error}{held}\n  {command}"));
    }
    if failed.is_empty() && !is_left { exit::PASSED } else { exit::LEFTOVERS }
}

/// Why an object does not count as removed.
enum Unremoved {
    /// It still exists, for this reason.
    There(String),
    /// It is gone without a recovery, for this reason.
    Forced(String),
    /// It is gone, and has left this.
    Left(Vec<Leftover>),
}

/// Waits until a deleted object is gone.
async fn gone(cluster: &Cluster, key: &ObjectKey, deadline: Instant) -> Result<(), String> {
    loop {
        let text = |error: ClusterError| error.to_string();
        let problem = match cluster.get(key).await.map_err(text)? {
            Some(_) => "its deletion hangs".to_owned(),
            None => match dependants(cluster, key).await.map_err(text)?.unproven(key) {
                Some(problem) => problem,
                None => return Ok(()),
            },
        };
        if Instant::now() >= deadline {
            return Err(problem);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Removes a resource of Chaos Mesh, which disappears after its recovery, or is ended if it never took effect. A removal by
/// force skips the recovery and is still an error.
async fn recovered(cluster: &Cluster, key: &ObjectKey, force: bool) -> Result<(), Unremoved> {
    let text = |error: ClusterError| Unremoved::There(error.to_string());
    let (begun, mut seen) = (Instant::now(), None);
    pause(cluster, key).await.map_err(text)?;
    let object = loop {
        match chaos::go(cluster, key, RECOVERY, &mut seen).await.map_err(text)? {
            chaos::Going::Gone(last) => {
                let left = chaos::half_done_leftovers(cluster, last.or(seen).as_ref()).await;
                return if left.is_empty() { Ok(()) } else { Err(Unremoved::Left(left)) };
            }
            chaos::Going::There(object) if chaos::recovering(key, &object, begun.elapsed(), None).is_some() => {}
            chaos::Going::There(object) => break object,
        }
    };
    if let Some(done) = chaos::end(cluster, key, &object).await.map_err(text)? {
        print::remark(format_args!("{done}"));
        return Ok(());
    }
    let made = dependants(cluster, key).await.map_err(text)?.left;
    let why = match made.first() {
        Some(left) => format!("{left}, which it created, still exists"),
        None => chaos::stuck(&object),
    };
    if force {
        // The objects that it created act, and block its deletion.
        for left in &made {
            chaos::force(cluster, left).await.map_err(text)?;
        }
        chaos::force(cluster, key).await.map_err(text)?;
        return Err(Unremoved::Forced(why));
    }
    let run = object["metadata"]["labels"][labels::RUN].as_str().unwrap_or_default();
    let help =
        format!("fix the cause, replace the pods that it acts on, or use `{}`", cluster.by_hand(&chaos::by_force(run)));
    Err(Unremoved::There(chaos::explained(&why).about("its deletion hangs").or(&help).to_string()))
}

/// A journal, and the objects that may still exist according to it.
struct Journal {
    path: PathBuf,
    contents: Contents,
    runs: BTreeSet<String>,
}

impl Journal {
    /// The journal of the given folder or file, or of the latest run. With `optional`, none when there is no run.
    fn find(given: Option<&Path>, optional: bool) -> Result<Option<Self>, Failure> {
        let path = match given {
            Some(path) if path.is_dir() => path.join(journal::FILE),
            Some(path) => path.to_owned(),
            None => match latest(Path::new(RESULTS)) {
                Some(path) => path,
                None if optional => return Ok(None),
                None => {
                    return Err(Failure::usage(Explained::new(
                        format!("there is no journal in `{RESULTS}`"),
                        "name a run's result folder, or use --run ID or \
                         --all to find leftovers by their labels",
                    )));
                }
            },
        };
        let name = path.display();
        let bytes = read_file(&path, LONGEST).map_err(|error| {
            Failure::usage(Explained::new(
                format!("the journal `{name}` {error}"),
                "name a run's result folder, or use --run ID or --all to find \
                 leftovers by their labels",
            ))
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let wrong = |error| {
            Failure::usage(Explained::new(format!("`{name}`: {error}"), "--all finds leftovers by their labels"))
        };
        let contents = journal::read(&text).map_err(wrong)?;
        if !contents.unreadable.is_empty() {
            let lines: Vec<String> = contents.unreadable.iter().map(usize::to_string).collect();
            print::remark(format_args!(
                "`{name}` has unreadable lines ({}); --all finds leftovers by their labels",
                lines.join(", ")
            ));
        }
        let makers = contents.gone.iter().filter(|(_, key)| !kinds_of_dependants(key.kind).is_empty());
        let runs = contents.outstanding.iter().map(|left| &left.run).chain(makers.map(|(run, _)| run));
        let runs = runs.cloned().collect();
        Ok(Some(Self { path, contents, runs }))
    }

    /// The objects that still exist: those that it names, and other leftovers of its runs of the same kinds.
    async fn there(
        &self,
        cluster: &Cluster,
        args: &args::Cleanup,
        unproven: &mut Vec<String>,
    ) -> Result<Vec<(String, Item)>, ClusterError> {
        let named = self.contents.outstanding.iter().map(|left| (left.run.clone(), left.item.clone()));
        let mut there = leftovers::existing(cluster, named.collect()).await?;
        let kinds = Kinds::with(self.contents.outstanding.iter().map(|left| left.item.key().kind));
        for run in &self.runs {
            let look = async |namespace: &str| leftovers::find(cluster, Some(run), namespace, &kinds).await;
            match everywhere(cluster, args, look).await {
                // The objects in the journal were already checked by name.
                Err(ClusterError::Forbidden { .. }) => {}
                found => there.extend(found?.found),
            }
        }
        there.extend(self.made(cluster, unproven).await?);
        Ok(there)
    }

    /// The existing objects of the journal's Schedules and Workflows that are gone themselves.
    async fn made(&self, cluster: &Cluster, unproven: &mut Vec<String>) -> Result<Vec<(String, Item)>, ClusterError> {
        let outstanding = self.contents.outstanding.iter().filter_map(|left| match &left.item {
            Item::Object(key) => Some((&left.run, key)),
            Item::Mark(..) => None,
        });
        let mut made = Vec::new();
        for (run, key) in outstanding.chain(self.contents.gone.iter().map(|(run, key)| (run, key))) {
            // If an owner of this name exists, its objects are not leftovers.
            let name = ObjectKey { uid: None, ..key.clone() };
            if kinds_of_dependants(key.kind).is_empty() || key.name.contains('[') || cluster.get(&name).await?.is_some()
            {
                continue;
            }
            let found = dependants(cluster, key).await?;
            if !found.unlisted.is_empty() {
                unproven.extend(found.unproven(key));
            }
            made.extend(found.left.into_iter().map(|left| (run.clone(), Item::Object(left))));
        }
        Ok(made)
    }

    /// Waits until an unanswered request can no longer take effect, or until its object appears, and returns such
    /// objects.
    async fn late(&self, cluster: &Cluster, known: &Found) -> Result<Vec<Item>, ClusterError> {
        let now = Timestamp::now();
        let unclear =
            self.contents.outstanding.iter().filter(|left| left.unclear.is_some_and(|at| young(at, now).is_some()));
        let unclear: Vec<&Outstanding> = unclear.filter(|left| !known.live.contains(&left.run)).collect();
        let left = unclear.iter().filter_map(|left| young(left.unclear?, now)).max();
        let Some(left) = left else { return Ok(Vec::new()) };
        print::remark(format_args!(
            "the API server did not answer an action and may still carry it out: watching for new objects for {} s",
            left.as_secs()
        ));
        let deadline = Instant::now() + left;
        loop {
            let named = unclear.iter().map(|left| (left.run.clone(), left.item.clone())).collect();
            let there = leftovers::existing(cluster, named).await?.into_iter().map(|(_, item)| item);
            let new: Vec<Item> = there.filter(|item| !known.items.contains(item)).collect();
            if !new.is_empty() || Instant::now() >= deadline {
                return Ok(new);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The pods of other owners of which it is not known whether a dead run ended them, as they are once the server can no
    /// longer carry that out, in words. Nothing of them can be removed.
    async fn unclear_ends(&self, cluster: &Cluster, known: &Found, only: Option<&str>) -> Vec<String> {
        let mut all = Vec::new();
        let is_asked = |run: &str| only.is_none_or(|only| only == run) && !known.live.contains(run);
        for (run, key, since) in self.contents.unclear_ends.iter().filter(|(run, ..)| is_asked(run)) {
            let deadline = Instant::now() + young(*since, Timestamp::now()).unwrap_or_default();
            let seen = loop {
                match cluster.ends(key).await {
                    Ok(true) => break "it is gone or being deleted".to_owned(),
                    Ok(false) if Instant::now() >= deadline => break "it still exists".to_owned(),
                    Err(error) if Instant::now() >= deadline => break format!("it could not be read: {error}"),
                    Ok(false) | Err(_) => tokio::time::sleep(POLL).await,
                }
            };
            let uid = key.uid.as_deref().unwrap_or_default();
            all.push(format!("it is not known whether run {run} ended {key} (uid {uid}): {seen}"));
        }
        all
    }

    /// The runs that are known to be dead, because the process that wrote this file is gone.
    fn dead(&self) -> Result<BTreeSet<String>, Failure> {
        match journal::is_written(&self.path) {
            Ok(false) => Ok(self.runs.clone()),
            Ok(true) => Err(Failure::environment(Explained::new(
                format!("the run that writes `{}` is still active", self.path.display()),
                "stop it with Ctrl-C, which undoes its faults",
            ))),
            // On a file system without locks, the lock in the cluster decides.
            Err(_) => Ok(BTreeSet::new()),
        }
    }
}

/// The remaining time in which an unanswered action may be carried out. None if it cannot be.
fn young(at: Timestamp, now: Timestamp) -> Option<std::time::Duration> {
    // A clock that was set back must not make actions older.
    let age = std::time::Duration::try_from(now.duration_since(at)).unwrap_or_default();
    shakedown_cluster::LATEST.checked_sub(age).filter(|left| !left.is_zero())
}

/// The journal of the latest run that has one. The names of folders begin with the time. `latest` does not link to a
/// killed run.
fn latest(results: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(results).ok()?;
    let named = folders.filter_map(|entry| {
        let entry = entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))?;
        Some((entry.file_name(), entry.path().join(journal::FILE)))
    });
    named.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}

/// The labelled objects of every kind that the API can list. Kinds that this account may not list are added to
/// `unseen`.
async fn by_label(
    cluster: &Cluster,
    args: &args::Cleanup,
    unseen: &mut BTreeSet<String>,
) -> Result<Vec<(String, Item)>, Failure> {
    let run = args.run.as_deref();
    let kinds = Kinds::every(cluster).await.map_err(Failure::environment)?;
    let look = async |namespace: &str| leftovers::find(cluster, run, namespace, &kinds).await;
    let found = match &args.target.namespace {
        Some(namespace) => look(namespace).await,
        None => everywhere(cluster, args, look).await,
    };
    let found = found.map_err(Failure::environment)?;
    unseen.extend(found.unseen);
    let now = Timestamp::now();
    let old = |run: &str| args.older_than.is_none_or(|age| is_older(run, age, now));
    Ok(found.found.into_iter().filter(|(run, _)| old(run)).collect())
}

/// Lists all namespaces; an account without that permission lists its default namespace or the given one.
async fn everywhere<T>(
    cluster: &Cluster,
    args: &args::Cleanup,
    look: impl AsyncFn(&str) -> Result<T, ClusterError>,
) -> Result<T, ClusterError> {
    match look("").await {
        Err(ClusterError::Forbidden { .. }) => {
            let own = args.target.namespace.as_deref().unwrap_or_else(|| cluster.default_namespace());
            print::remark(format_args!(
                "this account may not list all namespaces: only `{own}` is checked (--namespace chooses another)"
            ));
            look(own).await
        }
        found => found,
    }
}

/// True if a run started longer ago. Its id begins with the time. An id without a time counts as old.
fn is_older(run: &str, age: Duration, now: Timestamp) -> bool {
    let begun = run.get(..15).and_then(|text| jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", text).ok());
    let begun = begun.and_then(|begun| begun.to_zoned(jiff::tz::TimeZone::UTC).ok());
    begun.is_none_or(|begun| now.duration_since(begun.timestamp()).as_secs_f64() > age.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use shakedown_cluster::Kind;
    use shakedown_cluster::testing::store::{Fate, Store};

    fn config_map() -> Kind {
        Kind::other("v1", "ConfigMap", "configmaps")
    }

    fn settings(run: &str) -> serde_json::Value {
        let labels = json!({labels::MANAGED_BY: labels::MANAGER, labels::RUN: run});
        let metadata = json!({"name": "settings", "namespace": "n", "labels": labels});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    }

    fn named() -> Item {
        Item::Object(ObjectKey { kind: config_map(), namespace: "n".into(), name: "settings".into(), uid: None })
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_held_by_a_finalizer_is_not_removed() {
        for held in [false, true] {
            let store = Store::default();
            let mut object = settings("r");
            object["metadata"]["finalizers"] = if held { json!(["example.org/stuck"]) } else { json!([]) };
            store.put(config_map(), object);
            let there = leftovers::existing(&store.cluster(), vec![("r".to_owned(), named())]).await.unwrap();
            let items: Vec<Item> = there.into_iter().map(|(_, item)| item).collect();
            let code = remove(&store.cluster(), &items, false).await;
            assert_eq!(code, if held { exit::LEFTOVERS } else { exit::PASSED });
            assert_eq!(check(&store.cluster(), &items).await, exit::LEFTOVERS);
            let (why, command) = by_hand(&store.cluster(), &items[0]).await;
            assert_eq!(why.contains("the finalizer example.org/stuck"), held, "{why}");
            assert_eq!(command.contains("patch configmap settings"), held, "{command}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unclear_actions_are_checked_again() {
        for (age, comes_after, found) in [(0, 15, 1), (0, 59, 1), (0, 70, 0), (30, 15, 1), (61, 15, 0), (-600, 15, 1)] {
            let store = Store::default();
            let since = Timestamp::now() - jiff::SignedDuration::from_secs(age);
            let unclear = Outstanding { run: "r".to_owned(), item: named(), unclear: Some(since) };
            let contents = Contents { outstanding: vec![unclear], ..Contents::default() };
            let journal = Journal { path: PathBuf::new(), contents, runs: BTreeSet::from(["r".to_owned()]) };
            let late = store.clone();
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_secs(comes_after)).await;
                late.put(config_map(), settings("r"));
            });
            let begun = Instant::now();
            let came = journal.late(&store.cluster(), &Found::default()).await.unwrap();
            assert_eq!(came.len(), found, "{age} s ago, {comes_after} s from now");
            assert!(begun.elapsed() <= std::time::Duration::from_secs(61), "{:?}", begun.elapsed());
        }
    }

    /// A pod whose deletion had no answer 50 s ago, and that is deleted 5 s, 15 s or never from now on.
    #[tokio::test(start_paused = true)]
    async fn a_pod_that_may_have_been_ended_is_looked_at_until_it_cannot_be() {
        for (comes_after, ends) in [(Some(5), true), (Some(15), false), (None, false)] {
            let store = Store::default();
            let pod = store.put(Kind::Pod, json!({"metadata": {"name": "a", "namespace": "n"}}));
            let uid = pod["metadata"]["uid"].as_str().map(str::to_owned);
            let key = ObjectKey { kind: Kind::Pod, namespace: "n".into(), name: "a".into(), uid };
            let since = Timestamp::now() - jiff::SignedDuration::from_secs(50);
            let contents = Contents { unclear_ends: vec![("r".to_owned(), key, since)], ..Contents::default() };
            let journal = Journal { path: PathBuf::new(), contents, runs: BTreeSet::new() };
            let late = store.clone();
            tokio::spawn(async move {
                let Some(seconds) = comes_after else { return };
                tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
                late.remove(&Store::path(Kind::Pod, "n", "a"));
            });
            let live = Found { live: BTreeSet::from(["r".to_owned()]), ..Found::default() };
            assert!(journal.unclear_ends(&store.cluster(), &live, None).await.is_empty(), "it may still end it");
            let none = Found::default();
            assert!(journal.unclear_ends(&store.cluster(), &none, Some("other")).await.is_empty());
            let seen = journal.unclear_ends(&store.cluster(), &none, Some("r")).await;
            let words = if ends { ": it is gone or being deleted" } else { ": it still exists" };
            assert!(matches!(&seen[..], [text] if text.ends_with(words)), "{comes_after:?}: {seen:?}");
        }
    }

    fn network_chaos() -> serde_json::Value {
        let metadata = json!({"name": "often-2", "namespace": "n", "labels": {"managed-by": "often"},
            "finalizers": ["chaos-mesh/records"]});
        json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos", "metadata": metadata})
    }

    fn schedule() -> ObjectKey {
        let kind = Kind::other("chaos-mesh.org/v1alpha1", "Schedule", "schedules");
        ObjectKey { kind, namespace: "n".into(), name: "often".into(), uid: Some("uid-of-schedule".into()) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_schedule_has_made_is_found_although_it_is_gone_itself() {
        let left = Outstanding { run: "r".to_owned(), item: Item::Object(schedule()), unclear: None };
        let outstanding = Contents { outstanding: vec![left], ..Contents::default() };
        let gone = Contents { gone: vec![("r".to_owned(), schedule())], ..Contents::default() };
        for (contents, of_another) in [(outstanding.clone(), false), (gone, false), (outstanding, true)] {
            let store = Store::default();
            store.serve_chaos();
            store.put(Kind::NetworkChaos, network_chaos());
            if of_another {
                store.put(schedule().kind, json!({"metadata": {"name": "often", "namespace": "n"}}));
            }
            let journal = Journal { path: PathBuf::new(), contents, runs: BTreeSet::new() };
            let made = journal.made(&store.cluster(), &mut Vec::new()).await.unwrap();
            let names: Vec<&str> = made.iter().map(|(_, item)| item.key().name.as_str()).collect();
            assert_eq!(names, if of_another { vec![] } else { vec!["often-2"] });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_listed_is_not_known_to_be_gone() {
        let store = Store::default();
        store.serve_chaos();
        store.script(|_, asked| match asked {
            "GET /apis/chaos-mesh.org/v1alpha1/namespaces/n/networkchaos" => Fate::Refused(403),
            _ => Fate::Answered,
        });
        let contents = Contents { gone: vec![("r".to_owned(), schedule())], ..Contents::default() };
        let journal = Journal { path: PathBuf::new(), contents, runs: BTreeSet::new() };
        let mut unproven = Vec::new();
        assert_eq!(journal.made(&store.cluster(), &mut unproven).await.unwrap(), []);
        assert!(matches!(&unproven[..], [why] if why.contains("networkchaos")), "{unproven:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_schedule_has_made_is_removed_by_force_with_it() {
        for force in [false, true] {
            let store = Store::default();
            store.serve_chaos();
            let metadata = json!({"name": "often", "namespace": "n", "finalizers": ["foregroundDeletion"]});
            let made = store.put(schedule().kind, json!({"metadata": metadata}));
            let uid = made["metadata"]["uid"].as_str().map(str::to_owned);
            store.put(Kind::NetworkChaos, network_chaos());
            let item = Item::Object(ObjectKey { uid, ..schedule() });
            assert_eq!(remove(&store.cluster(), &[item], force).await, exit::LEFTOVERS);
            let path = Store::path(Kind::NetworkChaos, "n", "often-2");
            assert_eq!(store.get(&path).is_none(), force, "{:?}", store.all());
        }
    }

    #[test]
    fn nothing_is_said_of_kinds_that_could_not_be_listed() {
        assert_eq!(Found::default().none(), Some("no leftovers"));
        let blind = Found { unseen: ["jobs".to_owned()].into(), ..Found::default() };
        assert_eq!(blind.none(), Some("no leftovers of the kinds that this account may list"));
        let unproven = Found { unproven: vec!["a Schedule may have made more".to_owned()], ..blind };
        assert_eq!(unproven.none(), None);
    }

    #[test]
    fn the_age_of_a_run_follows_from_its_id() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let hour = Duration::from_secs(3600);
        assert!(is_older("20260301-105959-abcde", hour, now));
        assert!(!is_older("20260301-110001-abcde", hour, now));
        assert!(is_older("by-hand", hour, now));
    }

    #[test]
    fn the_latest_run_with_a_journal_is_found_without_a_link() {
        let results = tempfile::tempdir().unwrap();
        assert_eq!(latest(results.path()), None);
        for (name, written) in [("20260301-100000-a", true), ("20260302-100000-b", true), ("20260303-100000-c", false)]
        {
            let folder = results.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            if written {
                std::fs::write(folder.join(journal::FILE), "").unwrap();
            }
        }
        assert_eq!(latest(results.path()), Some(results.path().join("20260302-100000-b").join(journal::FILE)));
    }
}
