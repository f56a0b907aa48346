//! The end of a scenario, on paused time: delayed actions, objects that cannot be removed, and objects of other clients.

use serde_json::json;

use super::*;
use shakedown_cluster::journal::{self, Journal};
use shakedown_cluster::labels;
use shakedown_cluster::testing::store::{Fate, Store, Unanswered};
use shakedown_cluster::{Kind, ObjectKey};

struct World {
    store: Store,
    cluster: Cluster,
    folder: tempfile::TempDir,
    holder: Holder,
}

impl World {
    fn new() -> Self {
        let (store, folder) = (Store::default(), tempfile::tempdir().unwrap());
        let journal = Journal::open(folder.path(), "r", Box::new(str::to_owned)).unwrap();
        let cluster = store.cluster().journalled(std::sync::Arc::new(journal));
        Self { store, cluster, folder, holder: Holder { run: "r".into(), host: "h".into(), ci_job_url: None } }
    }

    /// The outstanding items of the journal, each with whether its outcome is unclear.
    fn outstanding(&self) -> Vec<(String, bool)> {
        let text = std::fs::read_to_string(self.folder.path().join(journal::FILE)).unwrap();
        let journalled = journal::read(&text).unwrap();
        journalled.outstanding.iter().map(|left| (left.item.to_string(), left.unclear.is_some())).collect()
    }

    async fn create(&self) -> Result<Value, ClusterError> {
        self.cluster.create(Kind::NetworkPolicy, "n", &policy("cut")).await
    }
}

fn policy(name: &str) -> Value {
    let labels = json!({labels::MANAGED_BY: labels::MANAGER, labels::RUN: "r"});
    let metadata = json!({"name": name, "namespace": "n", "labels": labels});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata})
}

fn key() -> ObjectKey {
    ObjectKey { kind: Kind::NetworkPolicy, namespace: "n".into(), name: "cut".into(), uid: None }
}

const NAME: &str = "networkpolicy/cut in namespace n";

const UNANSWERED: [Unanswered; 5] =
    [Unanswered::Reset, Unanswered::Status(500), Unanswered::Status(502), Unanswered::Status(504), Unanswered::Silence];

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_a_delayed_action_and_undoes_it() {
    for how in UNANSWERED {
        for tries in [1, 1000] {
            let world = World::new();
            let guard = Guard::new(&world.cluster, Duration::ZERO);
            let mut count = 0;
            world.store.script(move |_, asked| {
                count += i32::from(asked.starts_with("POST"));
                let late = asked.starts_with("POST") && count <= tries;
                if late { Fate::Late(how, Duration::from_secs(15)) } else { Fate::Answered }
            });
            assert_eq!(world.create().await.is_ok(), tries == 1, "{how:?}");
            world.cluster.delete(&key()).await.unwrap();
            assert_eq!(world.outstanding(), [(NAME.to_owned(), true)], "{how:?}: it may still arrive");
            let remains = guard.stand_down(&world.holder, false).await;
            assert!(remains.leftovers.is_empty() && remains.unknown.is_none(), "{how:?}: {remains:?}");
            assert_eq!(world.store.all(), Vec::<String>::new(), "{how:?}");
            assert_eq!(world.outstanding(), [], "{how:?}: looked at again, and proven gone");
        }
    }
}

/// A fault whose removal was confirmed acted again until the end of the run.
#[tokio::test(start_paused = true)]
async fn a_creation_that_arrives_after_its_undo_is_removed_while_the_run_goes_on() {
    for how in UNANSWERED {
        for tries in [1, 1000] {
            let mut world = World::new();
            let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            world.cluster = world.cluster.clone().notifying({
                let events = std::sync::Arc::clone(&events);
                std::sync::Arc::new(move |event| events.lock().unwrap().push(format!("{event:?}")))
            });
            let mut guard = Guard::new(&world.cluster, Duration::ZERO);
            let mut signal = watch::channel(None).1;
            guard.put_up(BTreeSet::new(), &[], &world.holder, &mut signal).await.unwrap();
            let mut count = 0;
            world.store.script(move |_, asked| {
                count += i32::from(asked.starts_with("POST"));
                let late = asked.starts_with("POST") && count <= tries;
                if late { Fate::Late(how, Duration::from_secs(40)) } else { Fate::Answered }
            });
            assert_eq!(world.create().await.is_ok(), tries == 1, "{how:?}");
            world.cluster.delete(&key()).await.unwrap();
            assert_eq!(world.cluster.own(&key()).await.unwrap(), None, "{how:?}: the undo is confirmed");
            tokio::time::sleep(Duration::from_secs(75)).await;
            assert_eq!(world.store.all(), Vec::<String>::new(), "{how:?} {tries}");
            let words = events.lock().unwrap().join("\n");
            assert!(
                words.contains("networkpolicy/cut in namespace n appeared after its removal"),
                "{how:?} {tries}: {words}"
            );
            let remains = guard.stand_down(&world.holder, false).await;
            assert!(remains.leftovers.is_empty() && remains.unknown.is_none(), "{how:?}: {remains:?}");
            assert_eq!(world.outstanding(), [], "{how:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hurried_end_reports_an_unclear_action_and_keeps_it_in_the_journal() {
    for how in UNANSWERED {
        let world = World::new();
        let guard = Guard::new(&world.cluster, Duration::ZERO);
        world.store.script(move |_, asked| match asked.starts_with("POST") {
            true => Fate::Late(how, Duration::from_secs(45)),
            false => Fate::Answered,
        });
        world.create().await.unwrap_err();
        let remains = guard.stand_down(&world.holder, true).await;
        assert!(remains.unknown.is_some(), "{how:?}");
        assert_eq!(world.outstanding(), [(NAME.to_owned(), true)], "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_refused_action() {
    for code in [400, 403, 409, 422, 429, 503] {
        let world = World::new();
        let guard = Guard::new(&world.cluster, Duration::ZERO);
        world.store.script(move |_, asked| match asked.starts_with("POST") {
            true => Fate::Refused(code),
            false => Fate::Answered,
        });
        world.create().await.unwrap_err();
        let begun = Instant::now();
        let remains = guard.stand_down(&world.holder, false).await;
        assert!(remains.leftovers.is_empty() && remains.unknown.is_none(), "{code}: {remains:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{code}: {:?}", begun.elapsed());
        assert_eq!(world.outstanding(), [], "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_by_its_token_and_not_by_its_name() {
    for taken in [false, true] {
        let world = World::new();
        let mut count = 0;
        world.store.script(move |store, asked| {
            count += i32::from(asked.starts_with("POST"));
            match (asked.starts_with("POST") && count == 1, taken) {
                (false, _) => Fate::Answered,
                (true, false) => Fate::AnswerLost,
                (true, true) => {
                    // Another client created it first, with our labels.
                    store.put(Kind::NetworkPolicy, policy("cut"));
                    Fate::Late(Unanswered::Reset, Duration::ZERO)
                }
            }
        });
        let made = world.create().await;
        assert_eq!(made.is_ok(), !taken, "{made:?}");
        world.cluster.delete(&key()).await.unwrap();
        assert_eq!(world.store.all().len(), usize::from(taken), "only ours is deleted");
        assert_eq!(world.cluster.own(&key()).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_delete_is_not_a_confirmed_one() {
    let world = World::new();
    let guard = Guard::new(&world.cluster, Duration::ZERO);
    world.create().await.unwrap();
    let path = Store::path(Kind::NetworkPolicy, "n", "cut");
    world.store.change(&path, |policy| policy["metadata"]["finalizers"] = json!(["example.org/stuck"]));
    world.cluster.delete(&key()).await.unwrap();
    assert_eq!(world.outstanding(), [(NAME.to_owned(), false)], "accepted, and still there");
    let remains = guard.stand_down(&world.holder, false).await;
    assert_eq!(remains.leftovers.iter().map(|left| left.what.as_str()).collect::<Vec<_>>(), [NAME]);
    let (command, why) = &remains.held[NAME];
    assert!(command.starts_with("kubectl -n n patch networkpolicy cut --type=merge"), "{command}");
    assert!(why.contains("the finalizer example.org/stuck"), "{why}");
    assert_eq!(world.outstanding(), [(NAME.to_owned(), false)]);
    world.store.remove(&path);
    assert_eq!(world.cluster.look_again(0).await.unwrap(), []);
    assert_eq!(world.outstanding(), []);
}

/// An undo that was given up has taken its time. What it leaves is deleted once more, and not waited for.
#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_what_is_known_to_be_left() {
    for held in [true, false] {
        let world = World::new();
        let mut guard = Guard::new(&world.cluster, Duration::ZERO);
        world.create().await.unwrap();
        let path = Store::path(Kind::NetworkPolicy, "n", "cut");
        if held {
            world.store.change(&path, |policy| policy["metadata"]["finalizers"] = json!(["example.org/stuck"]));
        }
        let left = Leftover { what: NAME.into(), command: "by its fault".into(), error: "stuck".into() };
        guard.gave_up(std::slice::from_ref(&left));
        let begun = Instant::now();
        let remains = guard.stand_down(&world.holder, false).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(remains.leftovers, [], "its fault tells it");
        let there = world.store.get(&path);
        assert!(there.is_none_or(|policy| held && policy["metadata"]["deletionTimestamp"].is_string()));
    }
}

/// Of two scenarios that run at the same time, the first to end does not wait for the other's faults, and does not remove them.
#[tokio::test(start_paused = true)]
async fn the_end_of_one_scenario_leaves_those_next_to_it_alone() {
    let mut world = World::new();
    let run = world.cluster.clone();
    let mine = run.clone().apart();
    world.cluster = run.clone().apart();
    let guard = Guard::new(&mine, Duration::ZERO);
    let other = Guard::new(&world.cluster, Duration::ZERO);
    world.create().await.unwrap();
    world.store.script(|_, asked| match asked.starts_with("POST") {
        true => Fate::Late(Unanswered::Reset, Duration::from_secs(15)),
        false => Fate::Answered,
    });
    world.cluster.create(Kind::NetworkPolicy, "n", &policy("late")).await.unwrap_err();
    let begun = Instant::now();
    let remains = guard.stand_down(&world.holder, false).await;
    assert!(remains.leftovers.is_empty() && remains.unknown.is_none(), "{remains:?}");
    assert!(begun.elapsed() < COLLECTION_GRACE, "{:?}", begun.elapsed());
    assert!(world.store.get(&Store::path(Kind::NetworkPolicy, "n", "cut")).is_some(), "its fault is in use");
    let made = world.cluster.own(&key()).await.unwrap().unwrap();
    let uid = made["metadata"]["uid"].as_str().unwrap();
    assert!(mine.made(uid) && run.made(uid), "it is of this run: a lock that one could not release is no stranger's");
    other.stand_down(&world.holder, false).await;
    assert_eq!(world.store.all(), Vec::<String>::new(), "each removes its own");
}

#[tokio::test(start_paused = true)]
async fn objects_of_others_with_our_labels_are_kept() {
    let world = World::new();
    let guard = Guard::new(&world.cluster, Duration::ZERO);
    let made = world.create().await.unwrap();
    // A copy under another name, with all labels and annotations.
    let mut copy = made.clone();
    copy["metadata"]["name"] = json!("copy");
    world.store.put(Kind::NetworkPolicy, copy);
    let remains = guard.stand_down(&world.holder, false).await;
    assert!(remains.leftovers.is_empty(), "{remains:?}");
    assert_eq!(world.store.all(), [Store::path(Kind::NetworkPolicy, "n", "copy")]);
    let swept = leftovers::find(&world.cluster, Some("r"), "", &leftovers::Kinds::default()).await.unwrap();
    assert_eq!(swept.found, [], "a search by label does not list it either");
}
