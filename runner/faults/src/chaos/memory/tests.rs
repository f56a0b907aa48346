use jiff::SignedDuration;
use shakedown_schemas::scenario::Direction;

use super::*;
use crate::chaos::recipe::Recipe;
use crate::chaos::spec::Ends;

fn trial(abilities: &[Ability]) -> Trial {
    Trial {
        fault: "f".into(),
        namespace: "shop".into(),
        node: "node-1".into(),
        abilities: abilities.iter().copied().collect(),
        recipe: Recipe::Partition { ends: Ends::default(), direction: Direction::Egress },
    }
}

fn programs(kernel: &str, daemon: &str) -> BTreeMap<String, Programs> {
    [("node-1".to_owned(), Programs { kernel: kernel.into(), daemon: daemon.into() })].into()
}

#[test]
fn an_answer_holds_for_one_kernel_and_one_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let path = Some(folder.path().join("clusters/uid-nodes.json"));
    let recall = |kernel: &str, daemon: &str| Memory::read(path.clone(), programs(kernel, daemon));
    let mut memory = recall("6.1", "sha256:a");
    memory.learn(&trial(&[Ability::Netem]), &Outcome::Able);
    memory.learn(&trial(&[Ability::Partition]), &Outcome::Unable("no tables".into()));
    memory.learn(&trial(&[Ability::Stress]), &Outcome::Unknown("no image".into()));
    memory.learn(&trial(&[Ability::Time, Ability::Links]), &Outcome::Unable("which one?".into()));
    memory.save();
    let knows = |memory: &Memory, ability: Ability| memory.is_able("node-1", &[ability].into());
    let again = recall("6.1", "sha256:a");
    assert!(knows(&again, Ability::Netem) && !again.is_able("node-2", &[Ability::Netem].into()));
    // What a node lacks may have been loaded since.
    assert!(!knows(&again, Ability::Partition) && !knows(&again, Ability::Stress) && !knows(&again, Ability::Time));
    let sentence = again.sentence("node-1").unwrap();
    assert!(
        sentence.starts_with("Chaos Mesh can inject netem and cannot inject partition on node node-1"),
        "{sentence}"
    );
    for (kernel, daemon) in [("6.2", "sha256:a"), ("6.1", "sha256:b")] {
        assert!(!knows(&recall(kernel, daemon), Ability::Netem), "{kernel} {daemon}");
    }
    assert!(!knows(&Memory::read(path.clone(), BTreeMap::new()), Ability::Netem), "an account that may not read nodes");
}

#[test]
fn an_answer_grows_old_like_that_about_policies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uid-nodes.json");
    let aged = |days: i64| {
        let at = Timestamp::now() - SignedDuration::from_hours(24 * days);
        let answers = [(Ability::Netem, Answer { able: true, at })].into();
        let node = Node { programs: programs("6.1", "d")["node-1"].clone(), answers };
        let nodes: BTreeMap<String, Node> = [("node-1".to_owned(), node)].into();
        std::fs::write(&path, serde_json::to_vec(&nodes).unwrap()).unwrap();
        Memory::read(Some(path.clone()), programs("6.1", "d")).is_able("node-1", &[Ability::Netem].into())
    };
    assert!(aged(6) && !aged(8));
}
