use shakedown_schemas::scenario::Fault;

use super::*;
use crate::chaos::Limits;

fn pod(name: &str, node: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: name.into(), node: Some(node.into()), ip: None }
}

fn spec(fault: &str, recipe: impl FnOnce(Fault) -> Recipe) -> ChaosSpec {
    let naming = Naming {
        run: "r".into(),
        serial: 0,
        number: 1,
        fault: "f".into(),
        namespace: "shop".into(),
        duration: std::time::Duration::from_secs(60),
    };
    let targets = [pod("a", "node-1"), pod("b", "node-2"), pod("c", "node-1")];
    ChaosSpec {
        naming,
        targets: targets.into_iter().map(|pod| Inside { pod, containers: vec!["main".into()] }).collect(),
        recipe: recipe(serde_saphyr::from_str(fault).unwrap()),
        follow: false,
        observe: false,
        limits: Limits::default(),
    }
}

fn netem(fault: &str, peers: &[PodRef], direction: Direction) -> ChaosSpec {
    let ends = (!peers.is_empty()).then(|| Ends { pods: peers.to_vec(), ..Ends::default() });
    spec(fault, |fault| match fault {
        Fault::Netem(it) => Recipe::Netem { netem: Box::new(it), ends, direction },
        other => panic!("{other:?}"),
    })
}

fn shown(trials: &[Trial]) -> Vec<String> {
    trials.iter().map(|trial| format!("{}: {}", trial.node, in_words(&trial.abilities))).collect()
}

#[test]
fn each_node_of_a_fault_is_tried_once_for_what_it_needs() {
    let delay = netem("netem: {pods: {prefix: a}, delay: 10ms}", &[], Direction::Egress);
    assert_eq!(shown(&trials([&delay, &delay])), ["node-1: netem", "node-2: netem"]);
    let thin = netem("netem: {pods: {prefix: a}, delay: 10ms, bandwidth: 1Mbit/s}", &[], Direction::Egress);
    assert_eq!(shown(&trials([&thin])), ["node-1: netem and bandwidth", "node-2: netem and bandwidth"]);
    assert_eq!(trials([&thin, &delay]).len(), 2, "the first shows the second as well");
    // The way back is shaped at the peer, on its node.
    let links =
        netem("netem: {pods: {prefix: a}, delay: 10ms, to: [{service: p}]}", &[pod("p", "far")], Direction::Both);
    assert_eq!(shown(&trials([&links])), ["far: netem to peers", "node-1: netem to peers", "node-2: netem to peers"]);
    let one =
        netem("netem: {pods: {prefix: a}, delay: 10ms, to: [{service: p}]}", &[pod("p", "far")], Direction::Egress);
    assert_eq!(shown(&trials([&one])), ["node-1: netem to peers", "node-2: netem to peers"]);
    let killed = spec("container_kill: {pods: {prefix: a}, containers: [main]}", |fault| match fault {
        Fault::ContainerKill(it) => Recipe::ContainerKill(it),
        other => panic!("{other:?}"),
    });
    assert_eq!(trials([&killed]), []);
}

/// No canary names a target, a peer or an address that exists, and none takes much of its node.
#[test]
fn a_canary_selects_nothing_but_its_own_pod() {
    let peers = [pod("p", "far")];
    let all = [
        netem("netem: {pods: {prefix: a}, loss: 100%, to: [{service: p}]}", &peers, Direction::Both),
        spec("partition: {pods: {prefix: a}, from: [{service: p}]}", |_| Recipe::Partition {
            ends: Ends { pods: peers.to_vec(), addresses: ["10.0.0.1".to_owned()].into(), ..Ends::default() },
            direction: Direction::Both,
        }),
        spec("stress: {pods: {prefix: a}, memory: {size: 400MB}, containers: [main]}", |fault| match fault {
            Fault::Stress(it) => Recipe::Stress(it),
            other => panic!("{other:?}"),
        }),
        spec("time: {pods: {prefix: a}, offset: -10m, containers: [main]}", |fault| match fault {
            Fault::Time(it) => Recipe::Time(it),
            other => panic!("{other:?}"),
        }),
        spec("http: {pods: {prefix: a}, port: 8000, abort: true}", |fault| match fault {
            Fault::Http(it) => Recipe::Http(it),
            other => panic!("{other:?}"),
        }),
    ];
    for spec in &all {
        for trial in trials([spec]) {
            let resources = trial.recipe.resources(&[trial.target("canary", "u", None)]);
            assert!(!resources.is_empty());
            for resource in resources {
                let selected = &resource.spec["selector"];
                assert_eq!(selected["pods"], json!({"shop": ["canary"]}), "{resource:?}");
                let text = resource.spec.to_string();
                for word in ["\"a\"", "\"p\"", "10.0.0.1", "400", "main", "\"target\":{"] {
                    assert!(!text.contains(word), "`{word}`: {text}");
                }
                assert!(resource.records.iter().all(|record| record.id.starts_with("shop/canary")), "{resource:?}");
            }
        }
    }
}

#[test]
fn a_survey_shows_every_ability_but_the_proxy() {
    let all: BTreeSet<Ability> = survey("shop", "node-1").iter().flat_map(|trial| trial.abilities.clone()).collect();
    assert_eq!(
        in_words(&all),
        "netem, netem to peers, bandwidth, partition, stress and time",
        "the proxy may hold up the manager of the whole cluster"
    );
    assert!(survey("shop", "node-1").iter().all(|trial| trial.abilities.len() == 1 && trial.node == "node-1"));
}
