//! Partitions next to one whose requests hang: each undo begins at its own moment, whatever the others wait for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use shakedown_schemas::scenario::Direction;
use tokio::time::{sleep, timeout};

use super::*;
use crate::partition::PlannedPartition;
use shakedown_cluster::testing::store::{Fate, Store, Unanswered};
use shakedown_policy::{Block, Front, OtherPorts, Peer, Pod, PortSet, Selector};

/// By when an undo has begun, and here, where every answer but one comes at once, has ended.
const AT_ONCE: Duration = Duration::from_millis(100);
/// When a request that hangs is carried out after all: before its client gives it up. What comes later is looked for by the
/// guard.
const LATE: Duration = Duration::from_secs(5);

/// Two partitions with these targets each, from the bus and from the store.
fn switch(store: &Store, targets: [&[&str]; 2]) -> Switch {
    switch_from(store, targets, ["bus", "store"])
}

/// Two partitions with these targets each, from these peers.
fn switch_from(store: &Store, targets: [&[&str]; 2], peers: [&str; 2]) -> Switch {
    let mut pods = Vec::new();
    let mut refs = BTreeMap::new();
    for (at, name) in ["w-0", "w-1", "bus", "store"].into_iter().enumerate() {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "labels": {"app": name}},
        });
        let made = store.put(Kind::Pod, object);
        let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
        refs.insert(name, PodRef { namespace: "n".into(), name: name.into(), uid, node: None, ip: None });
        pods.push(Pod {
            namespace: "n".into(),
            name: name.into(),
            labels: [("app".to_owned(), name.to_owned())].into(),
            ips: vec![format!("10.0.0.{}", at + 1).parse().unwrap()],
            ..Pod::default()
        });
    }
    let part = |name: &str, peer: &str, targets: &[&str]| PlannedPartition {
        name: name.into(),
        namespace: "n".into(),
        targets: targets.iter().map(|name| refs[name].clone()).collect(),
        blocks: vec![Block::new(
            peer,
            Peer::Pods {
                namespace: "n".into(),
                selector: Selector::label("app", peer),
                unmarked: BTreeSet::new(),
                front: Front::default(),
            },
            PortSet::all(),
            Direction::Both,
        )],
        peer_marks: Vec::new(),
        follow: false,
    };
    let parts = vec![part("a", peers[0], targets[0]), part("b", peers[1], targets[1])];
    let label = ("kubernetes.io/metadata.name".to_owned(), "n".to_owned());
    let cluster = shakedown_policy::Cluster::new(pods, BTreeMap::from([("n".to_owned(), [label].into())]), &[]);
    let network = (cluster, vec!["10.0.0.0/24".parse().unwrap()], Vec::new());
    Switch::new(store.cluster(), Scheme::new("20260301-105959-abcde", 0, parts, network, OtherPorts::Ranges))
}

/// The objects of ours that are there: policies, and pods with a label of ours.
fn left(store: &Store) -> Vec<String> {
    let ours = |path: &String| {
        let object = store.get(path).unwrap_or_default();
        path.contains("networkpolicies") || object["metadata"]["labels"].to_string().contains("mark.shakedown.dev")
    };
    store.all().into_iter().filter(ours).collect()
}

/// Lets the nth request of those that one part sends hang, and be carried out late.
fn hang(store: &Store, nth: usize, counts: impl Fn(&str) -> bool + Send + 'static) {
    let count = AtomicUsize::new(0);
    store.script(move |_, asked| match counts(asked) {
        true if count.fetch_add(1, Ordering::Relaxed) == nth => Fate::Late(Unanswered::Silence, LATE),
        _ => Fate::Answered,
    });
}

/// Partitions on different pods. Each request of the first one hangs in turn, from its injection to the end of its undo.
#[tokio::test(start_paused = true)]
async fn no_request_of_one_partition_delays_the_undo_of_another() {
    let mut hung = 0;
    for nth in 0..20 {
        let store = Store::default();
        let switch = switch(&store, [&["w-0"], &["w-1"]]);
        switch.put_up(1).await.unwrap();
        let policy = switch.state().scheme.policy_key(0).name;
        hang(&store, nth, move |asked| asked.contains("w-0") || asked.contains(&policy) || asked.starts_with("POST"));
        let first = switch.clone();
        let task = tokio::spawn(async move {
            first.put_up(0).await?;
            first.take_down(0).await
        });
        sleep(Duration::from_millis(10)).await;
        hung += usize::from(!task.is_finished());
        timeout(AT_ONCE, switch.take_down(1)).await.unwrap_or_else(|_| panic!("request {nth} delays it")).unwrap();
        let findings = timeout(AT_ONCE, switch.look_for_rests(1)).await.expect("the look is not delayed").unwrap();
        assert!(!findings.is_empty() && findings.iter().all(|it| it.holds), "{nth}: {findings:?}");
        assert_eq!(switch.leftovers(1), [], "{nth}");
        _ = task.await.unwrap();
        sleep(2 * LATE).await;
        switch.take_down(0).await.unwrap();
        assert!(switch.look_for_rests(0).await.unwrap().iter().all(|it| it.holds), "{nth}");
        assert_eq!(left(&store), Vec::<String>::new(), "{nth}");
    }
    assert!(hung > 4, "{hung} requests hung");
}

/// Partitions on the same pod share its policy. What hangs of the first one's undo, and is carried out late, neither delays
/// nor reverts the second one's.
#[tokio::test(start_paused = true)]
async fn undos_of_one_policy_do_not_wait_for_each_other() {
    let mut hung = 0;
    for nth in 0..6 {
        let store = Store::default();
        let switch = switch(&store, [&["w-0"], &["w-0"]]);
        switch.put_up(0).await.unwrap();
        switch.put_up(1).await.unwrap();
        hang(&store, nth, |asked| asked.starts_with("PUT") || asked.starts_with("GET") || asked.starts_with("DELETE"));
        let first = switch.clone();
        let task = tokio::spawn(async move { first.take_down(0).await });
        sleep(Duration::from_millis(10)).await;
        let hangs = !task.is_finished();
        hung += usize::from(hangs);
        let second = timeout(AT_ONCE, switch.take_down(1)).await;
        // Without a hanging request of the first one it is the second one that waits for its own.
        assert!(second.is_ok() || !hangs, "request {nth} delays it");
        _ = task.await.unwrap();
        sleep(2 * LATE).await;
        switch.take_down(0).await.unwrap();
        switch.take_down(1).await.unwrap();
        for part in [0, 1] {
            assert!(switch.look_for_rests(part).await.unwrap().iter().all(|it| it.holds), "{nth}");
        }
        assert_eq!(left(&store), Vec::<String>::new(), "{nth}");
    }
    assert!(hung > 0);
}

/// A partition that begins while another one's undo takes their label off waits for that, and has its label then.
#[tokio::test(start_paused = true)]
async fn a_label_that_is_taken_off_late_is_put_on_again() {
    let store = Store::default();
    let switch = switch(&store, [&["w-0"], &["w-0"]]);
    switch.put_up(0).await.unwrap();
    hang(&store, 0, |asked| asked.starts_with("PATCH"));
    let first = switch.clone();
    let undo = tokio::spawn(async move { first.take_down(0).await });
    sleep(Duration::from_millis(10)).await;
    assert!(!undo.is_finished());
    switch.put_up(1).await.unwrap();
    sleep(2 * LATE).await;
    undo.await.unwrap().unwrap();
    let findings = switch.look(1).await.unwrap();
    assert!(findings.len() >= 2 && findings.iter().all(|it| it.holds), "{findings:?}");
    switch.take_down(1).await.unwrap();
    assert_eq!(left(&store), Vec::<String>::new());
}

/// The end of one partition and the beginning of the next one on the same pod: the policy that was deleted is made anew.
#[tokio::test(start_paused = true)]
async fn a_policy_that_was_deleted_is_created_again() {
    let store = Store::default();
    let switch = switch(&store, [&["w-0"], &["w-0"]]);
    switch.put_up(0).await.unwrap();
    switch.take_down(0).await.unwrap();
    switch.put_up(1).await.unwrap();
    let findings = switch.look(1).await.unwrap();
    assert!(findings.iter().all(|it| it.holds), "{findings:?}");
}

/// One partition ends and an equal one begins at the same moment. The deletion of their policy is carried out late, within the
/// client's time or after it. The second one does not take the doomed policy for its own.
#[tokio::test(start_paused = true)]
async fn a_policy_whose_deletion_is_in_flight_is_not_relied_on() {
    for (late, peers) in [(LATE, ["bus", "bus"]), (6 * LATE, ["bus", "bus"]), (LATE, ["bus", "store"])] {
        let store = Store::default();
        let switch = switch_from(&store, [&["w-0"], &["w-0"]], peers);
        switch.put_up(0).await.unwrap();
        store.script(move |_, asked| match asked.starts_with("DELETE") {
            true => Fate::Late(Unanswered::Silence, late),
            false => Fate::Answered,
        });
        let first = switch.clone();
        let undo = tokio::spawn(async move { first.take_down(0).await });
        sleep(Duration::from_millis(10)).await;
        assert!(!undo.is_finished());
        let second = switch.clone();
        let begins = tokio::spawn(async move { second.put_up(1).await });
        _ = undo.await.unwrap();
        store.script(|_, _| Fate::Answered);
        begins.await.unwrap().unwrap();
        sleep(12 * LATE).await;
        let findings = switch.look(1).await.unwrap();
        assert!(findings.len() >= 2 && findings.iter().all(|it| it.holds), "{late:?} {peers:?}: {findings:?}");
        switch.take_down(0).await.unwrap();
        assert!(switch.look_for_rests(0).await.unwrap().iter().all(|it| it.holds));
        assert!(switch.look(1).await.unwrap().iter().all(|it| it.holds));
        switch.take_down(1).await.unwrap();
        assert!(switch.look_for_rests(1).await.unwrap().iter().all(|it| it.holds));
        assert_eq!(left(&store), Vec::<String>::new());
    }
}

/// A policy that is gone shows no partition, also after the end of another partition has noticed it first.
#[tokio::test(start_paused = true)]
async fn a_missing_policy_is_no_proof() {
    let store = Store::default();
    let switch = switch_from(&store, [&["w-0"], &["w-0"]], ["bus", "bus"]);
    switch.put_up(0).await.unwrap();
    switch.put_up(1).await.unwrap();
    let policy = store.all().into_iter().find(|path| path.contains("networkpolicies")).unwrap();
    store.remove(&policy);
    switch.take_down(0).await.unwrap();
    _ = switch.look_for_rests(0).await.unwrap();
    assert!(switch.look(1).await.unwrap().iter().any(|it| !it.holds));
}

/// The undo tells a policy that was there until then from one that another client had removed, whoever still needed it.
#[tokio::test(start_paused = true)]
async fn an_undo_reports_a_policy_that_was_gone_before_it() {
    for (others, ends) in [(false, vec![0]), (false, vec![0, 1]), (true, vec![0]), (true, vec![0, 1])] {
        let store = Store::default();
        let switch = switch_from(&store, [&["w-0"], &["w-0"]], ["bus", "bus"]);
        for part in &ends {
            switch.put_up(*part).await.unwrap();
        }
        if others {
            let policy = store.all().into_iter().find(|path| path.contains("networkpolicies")).unwrap();
            store.remove(&policy);
        }
        for part in ends {
            switch.take_down(part).await.unwrap();
            switch.take_down(part).await.unwrap();
            assert_eq!(switch.missed(part).is_some(), others, "{part}: {:?}", switch.missed(part));
        }
    }
}

/// Each write of two partitions of one pod has no answer in turn, and is carried out when its client has given up, after the
/// undo. It brings nothing back, and nothing is left.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_carried_out_after_the_undo_cuts_nothing() {
    const VERY_LATE: Duration = Duration::from_secs(15);
    let mut late = 0;
    for how in [Unanswered::Reset, Unanswered::Status(504), Unanswered::Silence] {
        for nth in 0..14 {
            let store = Store::default();
            let switch = switch(&store, [&["w-0"], &["w-0"]]);
            let (count, hits) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let hit = hits.clone();
            store.script(move |_, asked| {
                if asked.starts_with("GET") || count.fetch_add(1, Ordering::Relaxed) != nth {
                    return Fate::Answered;
                }
                hit.fetch_add(1, Ordering::Relaxed);
                Fate::Late(how, VERY_LATE)
            });
            let what = format!("write {nth}, {how:?}");
            let stands = switch.put_up(0).await.is_ok();
            _ = switch.put_up(1).await;
            undo(&switch, 1, &what).await;
            sleep(2 * VERY_LATE).await;
            let findings = switch.look_for_rests(1).await.unwrap();
            assert!(findings.iter().all(|it| it.holds), "{what}: {findings:?}");
            if stands {
                let findings = switch.look(0).await.unwrap();
                assert!(findings.iter().all(|it| it.holds), "{what}: {findings:?}");
            }
            undo(&switch, 0, &what).await;
            // As the guard does it at the end of a run.
            while switch.cluster.unclear_until().is_some() {
                for item in switch.cluster.look_again(0).await.unwrap() {
                    shakedown_guard::leftovers::remove(&switch.cluster, &item).await.unwrap();
                }
                sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(left(&store), Vec::<String>::new(), "{what}");
            late += hits.load(Ordering::Relaxed);
        }
    }
    assert!(late > 15, "{late} writes were late");
}

async fn undo(switch: &Switch, part: usize, what: &str) {
    for _ in 0..20 {
        if switch.take_down(part).await.is_ok()
            && switch.look_for_rests(part).await.unwrap().iter().all(|finding| finding.holds)
        {
            return;
        }
        sleep(Duration::from_millis(250)).await;
    }
    panic!("{what}: the undo of {part} does not end");
}
