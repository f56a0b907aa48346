//! Following while the API server fails: whatever happens to pods, and whenever, a pod that should be cut off and is not lies
//! within a stretch without proof, and ends up cut off.

use serde_json::json;
use shakedown_schemas::scenario::Direction;
use tokio::time::sleep;

use super::*;
use crate::Stretch;
use crate::partition::{PlannedPartition, Scheme};
use shakedown_cluster::testing::store::{Fate, Store, Unanswered};
use shakedown_policy::{Block, Front, OtherPorts, PortSet, Selector};

const SECOND: Duration = Duration::from_secs(1);
/// The longest silence of a watch that goes unnoticed.
const UNNOTICED: Duration = Duration::from_secs(5);
/// How long a pod may be uncut while every request is answered. The clock of the test is paused during requests.
const AT_ONCE: Duration = Duration::from_millis(150);
const STEP: Duration = Duration::from_millis(100);

/// A Deployment of workers as targets, and pods of a bus as marked peers.
struct World {
    store: Store,
    switch: Switch,
    /// The pods that were made, for their names and times.
    count: u32,
    /// The current workers' names.
    workers: Vec<String>,
    _watching: Watching,
}

fn owner(kind: &str, name: &str) -> Value {
    json!([{"kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true}])
}

fn put_pod(store: &Store, name: &str, app: &str, count: u32, owners: &Value) -> PodRef {
    let created = format!("2026-03-01T{:02}:{:02}:{:02}Z", count / 3600, count / 60 % 60, count % 60);
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "n", "labels": {"app": app}, "ownerReferences": owners, "creationTimestamp": created,
        },
        "status": {"phase": "Running", "podIP": format!("10.0.{}.{}", count / 250, count % 250 + 1)},
    });
    pod_ref(&store.put(Kind::Pod, object))
}

/// A ReplicaSet of the Deployment; each version of it has another one, whose owner has to be read.
fn put_set(store: &Store, name: &str) -> Value {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "n", "ownerReferences": owner("Deployment", "workers")},
    });
    let made = store.put(Kind::ReplicaSet, object);
    json!([{"kind": "ReplicaSet", "name": name, "uid": made["metadata"]["uid"], "controller": true}])
}

impl World {
    async fn new() -> Self {
        Self::with(true).await
    }

    async fn with(follow: bool) -> Self {
        let store = Store::default();
        let set = put_set(&store, "rs-0");
        let targets = vec![put_pod(&store, "w-0", "worker", 0, &set), put_pod(&store, "w-1", "worker", 1, &set)];
        let bus = put_pod(&store, "bus-0", "bus", 2, &owner("StatefulSet", "bus"));
        let label = ("mark.shakedown.dev/bus".to_owned(), "run".to_owned());
        let peer = Peer::Pods {
            namespace: "n".into(),
            selector: Selector::label(&label.0, &label.1),
            unmarked: BTreeSet::new(),
            front: Front::default(),
        };
        let mark = Mark { object: pod_key(&bus), label: label.0.clone(), value: label.1.clone() };
        let part = PlannedPartition {
            name: "cut".into(),
            namespace: "n".into(),
            targets,
            blocks: vec![Block::new("bus", peer, PortSet::all(), Direction::Both)],
            peer_marks: vec![mark],
            follow,
        };
        let selector = serde_json::from_value(json!({"labels": {"app": "bus"}})).unwrap();
        let marked = vec![MarkedPeer { part: 0, selector, namespace: "n".into(), label }];
        let switch = switch(&store, part);
        let watching = watch(switch.clone(), marked, Vec::new());
        let workers = vec!["w-0".to_owned(), "w-1".to_owned()];
        let world = Self { store, switch, count: 3, workers, _watching: watching };
        sleep(SECOND).await;
        world.switch.put_up(0).await.unwrap();
        world
    }

    /// A worker is replaced by one of a new version.
    fn replace_worker(&mut self, place: usize) {
        self.count += 1;
        let name = format!("w-{}", self.count);
        let set = put_set(&self.store, &format!("rs-{}", self.count));
        let old = std::mem::replace(&mut self.workers[place], name.clone());
        self.store.remove(&Store::path(Kind::Pod, "n", &old));
        put_pod(&self.store, &name, "worker", self.count, &set);
    }

    fn add_bus(&mut self) {
        self.count += 1;
        put_pod(&self.store, &format!("bus-{}", self.count), "bus", self.count, &owner("StatefulSet", "bus"));
    }

    /// The pods that should carry our label and do not.
    fn uncut(&self) -> Vec<String> {
        let pods = self.store.all().into_iter().filter(|path| path.contains("/pods/"));
        let ours = |path: &String| {
            let labels = self.store.get(path).unwrap_or_default()["metadata"]["labels"].clone();
            labels.as_object().is_some_and(|all| all.keys().any(|key| key.starts_with("mark.shakedown.dev/")))
        };
        pods.filter(|path| !ours(path)).collect()
    }

    fn stretches(&self) -> Vec<Stretch> {
        self.switch.unproven(0)
    }
}

fn switch(store: &Store, part: PlannedPartition) -> Switch {
    let name = ("kubernetes.io/metadata.name".to_owned(), "n".to_owned());
    let cluster = shakedown_policy::Cluster::new(Vec::new(), BTreeMap::from([("n".to_owned(), [name].into())]), &[]);
    let network = (cluster, vec!["10.0.0.0/16".parse().unwrap()], Vec::new());
    Switch::new(store.cluster(), Scheme::new("20260301-105959-abcde", 0, vec![part], network, OtherPorts::Ranges))
}

/// Requests that begin with this are refused from now on, for a while.
fn refuse(store: &Store, begin: &'static str, code: u16, lasts: Duration) {
    let until = Instant::now() + lasts;
    store.script(move |_, asked| match asked.starts_with(begin) && Instant::now() < until {
        true => Fate::Refused(code),
        false => Fate::Answered,
    });
}

fn length(stretch: &Stretch) -> Duration {
    stretch.to.unwrap_or_else(Instant::now) - stretch.from
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_is_followed_at_once() {
    let mut world = World::new().await;
    world.replace_worker(0);
    world.add_bus();
    sleep(AT_ONCE).await;
    assert_eq!(world.uncut(), Vec::<String>::new());
    let stretches = world.stretches();
    assert!(stretches.iter().all(|it| it.to.is_some() && length(it) <= AT_ONCE), "{stretches:?}");
    let all = stretches.iter().map(|it| it.why.as_str()).collect::<Vec<_>>().join("; ");
    assert!(all.contains("pod w-4 has replaced w-0") && all.contains("pod bus-5 is a new peer"), "{all}");
    // A quiet hour leaves nothing.
    sleep(3600 * SECOND).await;
    assert_eq!(world.stretches(), stretches);
}

/// What is not followed is not cut off from then on; what is followed but not replaced neither.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_is_not_cut_off_from_then_on() {
    for (follow, replaced, wanted) in [(false, true, 1), (false, false, 1), (true, true, 0), (true, false, 1)] {
        let mut world = World::with(follow).await;
        let uid = world.switch.marked(0)[0].0.uid.clone();
        sleep(4 * SECOND).await;
        let at = Instant::now();
        match replaced {
            true => world.replace_worker(0),
            false => _ = world.store.remove(&Store::path(Kind::Pod, "n", "w-0")),
        }
        sleep(20 * SECOND).await;
        let lost: Vec<Stretch> = world.stretches().into_iter().filter(|it| it.target.is_some()).collect();
        assert_eq!(lost.len(), wanted, "{follow} {replaced}: {lost:?}");
        for stretch in lost {
            assert_eq!((stretch.target.as_ref(), stretch.to), (Some(&uid), None), "{follow} {replaced}");
            assert!(stretch.from <= at + AT_ONCE && stretch.from + AT_ONCE >= at, "{follow} {replaced}: {stretch:?}");
        }
        let concluded = world.switch.conclude(0).await.unwrap();
        assert!(concluded.iter().all(|finding| finding.holds), "one is left: {concluded:?}");
    }
}

/// The watch is broken, so that only the last look notices.
#[tokio::test(start_paused = true)]
async fn a_loss_that_was_not_heard_counts_from_the_last_word_on() {
    let world = World::with(false).await;
    // Lists and watches; single pods can be read.
    world.store.script(|_, asked| match asked.ends_with("/pods") {
        true => Fate::Refused(503),
        false => Fate::Answered,
    });
    world.store.cut();
    let at = Instant::now();
    sleep(10 * SECOND).await;
    world.store.remove(&Store::path(Kind::Pod, "n", "w-0"));
    sleep(10 * SECOND).await;
    assert!(world.stretches().iter().all(|it| it.target.is_none()), "{:?}", world.stretches());
    world.switch.conclude(0).await.unwrap();
    let stretches = world.stretches();
    let stretch = stretches.iter().find(|it| it.target.is_some()).expect("a stretch");
    assert!(stretch.from <= at + UNNOTICED, "{stretch:?}");
}

/// The witness of a run matches the selector of the peers, if that is every pod: it is none, and nothing is unproven.
#[tokio::test(start_paused = true)]
async fn a_pod_that_a_run_created_is_no_peer() {
    let world = World::new().await;
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "shakedown-w0", "namespace": "n",
            "labels": {"app": "bus", labels::MANAGED_BY: labels::MANAGER, labels::RUN: "20260301-105959-abcde"},
        },
        "status": {"phase": "Running", "podIP": "10.0.9.9"},
    });
    world.store.put(Kind::Pod, object);
    sleep(SECOND).await;
    assert_eq!(world.uncut().len(), 1, "the witness has no mark of ours");
    assert_eq!(world.stretches(), Vec::new());
}

#[tokio::test(start_paused = true)]
async fn a_label_that_is_refused_is_sent_again() {
    for code in [403, 503] {
        let mut world = World::new().await;
        refuse(&world.store, "PATCH", code, 30 * SECOND);
        world.replace_worker(1);
        let begun = Instant::now();
        sleep(29 * SECOND).await;
        let lasting = world.stretches();
        assert!(lasting.iter().any(|it| it.to.is_none() && it.why.contains("could not be cut off")), "{lasting:?}");
        sleep(20 * SECOND).await;
        assert_eq!(world.uncut(), Vec::<String>::new(), "{code}");
        let [stretch] = &world.stretches()[..] else { panic!("{:?}", world.stretches()) };
        assert!(
            stretch.to.is_some() && stretch.from <= begun + AT_ONCE && length(stretch) >= 30 * SECOND,
            "{stretch:?}"
        );
    }
}

/// Blindness alone takes no proof away: the list says that nothing has changed.
#[tokio::test(start_paused = true)]
async fn a_blind_watch_without_changes_leaves_nothing() {
    let world = World::new().await;
    refuse(&world.store, "GET", 503, 40 * SECOND);
    world.store.cut();
    sleep(20 * SECOND).await;
    let stretches = world.stretches();
    assert!(stretches.len() == 1 && stretches[0].to.is_none() && length(&stretches[0]) >= 19 * SECOND, "{stretches:?}");
    assert!(stretches[0].why.starts_with("the watch of pods in namespace n failed"), "{stretches:?}");
    sleep(30 * SECOND).await;
    assert_eq!(world.stretches(), []);
}

/// A server that keeps a connection open and says nothing is noticed, and what happened meanwhile is not proven.
#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_noticed() {
    let mut world = World::new().await;
    sleep(3 * SECOND).await;
    let begun = Instant::now();
    world.store.mute(true);
    world.replace_worker(0);
    sleep(20 * SECOND).await;
    world.store.mute(false);
    sleep(15 * SECOND).await;
    assert_eq!(world.uncut(), Vec::<String>::new());
    let [stretch] = &world.stretches()[..] else { panic!("{:?}", world.stretches()) };
    assert!(stretch.from <= begun && length(stretch) >= 2 * SECOND, "{stretch:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_gone_before_the_watch_is_never_proven() {
    let mut world = World::new().await;
    // As `World`, with a watch that begins after the replacement.
    let part = world.switch.state().scheme.parts()[0].clone();
    world.replace_worker(0);
    let late = switch(&world.store, part);
    let _watching = watch(late.clone(), Vec::new(), Vec::new());
    sleep(10 * SECOND).await;
    let stretches = late.unproven(0);
    assert!(
        stretches.iter().any(|it| it.to.is_none() && it.why.contains("cannot be distinguished from other pods")),
        "{stretches:?}"
    );
}

/// What goes wrong for a while.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// Requests of this method are refused, and watches are cut off.
    Refused(&'static str, u16),
    /// Requests of this method are not answered, and watches are cut off.
    Hang(&'static str),
    /// Open watches say nothing.
    Mute,
}

const TROUBLES: [Trouble; 8] = [
    Trouble::Refused("", 503),
    Trouble::Refused("GET", 500),
    Trouble::Refused("GET", 403),
    Trouble::Refused("GET", 410),
    Trouble::Refused("PATCH", 403),
    Trouble::Hang("GET"),
    Trouble::Hang("PATCH"),
    Trouble::Mute,
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// For each generated run: several troubles, and changes of pods at any time. Every moment at which a pod was not cut off lies
/// in a stretch without proof. In the end, everything is cut off.
#[tokio::test(start_paused = true)]
async fn whatever_fails_no_pod_stays_uncut_silently() {
    let mut unproven = 0;
    for seed in 1..=24 {
        let mut dice = Dice(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
        let mut world = World::new().await;
        let begun = Instant::now();
        let mut troubles: Vec<(Duration, Duration, Trouble)> = Vec::new();
        let mut at = Duration::ZERO;
        while troubles.len() < 3 {
            at += Duration::from_millis(500 + dice.below(20_000));
            let lasts = Duration::from_millis(200 + dice.below(25_000));
            troubles.push((at, at + lasts, TROUBLES[dice.below(TROUBLES.len() as u64) as usize]));
            at += lasts;
        }
        let mut changes: Vec<(Duration, u64)> =
            (0..6).map(|_| (Duration::from_millis(dice.below(at.as_millis() as u64)), dice.below(3))).collect();
        changes.sort_unstable();
        let is_mute = troubles.iter().any(|it| matches!(it.2, Trouble::Mute));
        let at_once = if is_mute { UNNOTICED + AT_ONCE } else { AT_ONCE };
        let mut missed: Vec<(Instant, Vec<String>)> = Vec::new();
        let mut since: BTreeMap<String, Instant> = BTreeMap::new();
        let mut active = None;
        let end = at + 30 * SECOND;
        while begun.elapsed() < end {
            let now = begun.elapsed();
            let wanted = troubles.iter().find(|(from, to, _)| (*from..*to).contains(&now)).map(|it| (it.0, it.2));
            if wanted.map(|it| it.0) != active {
                active = wanted.map(|it| it.0);
                world.store.mute(matches!(wanted, Some((_, Trouble::Mute))));
                let trouble = wanted.map(|it| it.1);
                world.store.script(move |_, asked| match trouble {
                    Some(Trouble::Refused(method, code)) if asked.starts_with(method) => Fate::Refused(code),
                    Some(Trouble::Hang(method)) if asked.starts_with(method) => Fate::Late(Unanswered::Silence, SECOND),
                    _ => Fate::Answered,
                });
                if matches!(trouble, Some(Trouble::Refused(..) | Trouble::Hang(_))) {
                    world.store.cut();
                }
            }
            while changes.first().is_some_and(|change| change.0 <= now) {
                match changes.remove(0).1 {
                    2 => world.add_bus(),
                    place => world.replace_worker(place as usize),
                }
            }
            let uncut = world.uncut();
            since.retain(|pod, _| uncut.contains(pod));
            for pod in &uncut {
                since.entry(pod.clone()).or_insert_with(Instant::now);
            }
            let late: Vec<String> =
                since.iter().filter(|(_, since)| since.elapsed() > at_once).map(|(pod, _)| pod.clone()).collect();
            if !late.is_empty() {
                missed.push((Instant::now(), late));
            }
            sleep(STEP).await;
        }
        assert_eq!(world.uncut(), Vec::<String>::new(), "seed {seed}: {troubles:?}");
        let stretches = world.stretches();
        assert!(stretches.iter().all(|it| it.to.is_some()), "seed {seed}: {troubles:?}: {stretches:?}");
        for (at, pods) in &missed {
            let covered = |it: &Stretch| it.from <= *at && it.to.is_none_or(|to| *at <= to);
            assert!(
                stretches.iter().any(covered),
                "seed {seed}: {pods:?} not cut off after {:?}, and proven: {troubles:?} {:?}",
                *at - begun,
                stretches.iter().map(|it| (it.from - begun, length(it), &it.why)).collect::<Vec<_>>()
            );
        }
        unproven += usize::from(!missed.is_empty());
    }
    assert!(unproven > 10, "only {unproven} runs had a pod that was not cut off");
}

/// A service whose addresses are listed, with an account that may not watch them: they are read.
#[tokio::test(start_paused = true)]
async fn addresses_that_cannot_be_watched_are_read_and_too_many_are_reported() {
    let store = Store::default();
    let target = put_pod(&store, "w-0", "worker", 0, &owner("StatefulSet", "w"));
    let endpoints = |ips: &[String]| {
        let addresses: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "legacy", "namespace": "n"},
            "subsets": [{"addresses": addresses, "ports": [{"port": 80, "protocol": "TCP"}]}],
        })
    };
    let ips = |count: u32| -> Vec<String> {
        // Every other address, so that no two of them are one block.
        (0..count).map(|at| std::net::Ipv4Addr::from(0x0b00_0000 + 2 * at).to_string()).collect()
    };
    store.put(Kind::Endpoints, endpoints(&ips(1)));
    let one = Peer::Addresses(vec!["11.0.0.0/32".parse().unwrap()]);
    let part = PlannedPartition {
        name: "cut".into(),
        namespace: "n".into(),
        targets: vec![target],
        blocks: vec![Block::new("service `legacy`", one, PortSet::all(), Direction::Egress)],
        peer_marks: Vec::new(),
        follow: false,
    };
    let switch = switch(&store, part);
    store.script(|_, asked| match asked.ends_with("/endpoints") {
        true => Fate::Refused(403),
        false => Fate::Answered,
    });
    let listed =
        vec![ListedPeer { part: 0, block: 0, namespace: "n".into(), service: "legacy".into(), ports: Vec::new() }];
    let _watching = watch(switch.clone(), Vec::new(), listed);
    sleep(SECOND).await;
    switch.put_up(0).await.unwrap();
    let policy = || {
        let path = store.all().into_iter().find(|path| path.contains("networkpolicies")).unwrap();
        store.get(&path).unwrap()["spec"].to_string()
    };
    store.set(Kind::Endpoints, endpoints(&ips(2)));
    sleep(3 * SECOND).await;
    assert!(policy().contains("11.0.0.2"), "{}", policy());
    let stretches = switch.unproven(0);
    assert!(stretches.iter().all(|it| length(it) <= 3 * SECOND / 2), "{stretches:?}");
    let before = policy();
    store.set(Kind::Endpoints, endpoints(&ips(100_000)));
    sleep(3 * SECOND).await;
    assert!(policy() == before, "the policy is another one");
    let stretches = switch.unproven(0);
    let open = stretches.iter().find(|it| it.to.is_none() && length(it) >= 3 * SECOND / 2).expect("a stretch");
    assert!(
        open.why.contains("stores no object of more than") && open.why.contains("help: divide the fault"),
        "{open:?}"
    );
    store.set(Kind::Endpoints, endpoints(&ips(3)));
    sleep(3 * SECOND).await;
    assert!(switch.unproven(0).iter().all(|it| it.to.is_some() || length(it) < 2 * SECOND), "{:?}", switch.unproven(0));
}
