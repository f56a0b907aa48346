use super::*;

fn pod(name: &str, uid: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: uid.into(), node: None, ip: None }
}

/// Pods as `name uid owner second [going]`.
fn pods(lines: &[&str]) -> BTreeMap<String, RosterPod> {
    let parse = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let owner = (words[2] != "-").then(|| words[2].to_owned());
        let created = format!("2026-03-01T00:00:{:>02}Z", words[3]);
        (words[1].to_owned(), RosterPod { pod: pod(words[0], words[1]), owner, created, going: words.len() > 4 })
    };
    lines.iter().map(parse).collect()
}

fn roster(follow: bool, targets: &[(&str, &str)]) -> Roster {
    let mut roster = Roster::default();
    for (name, owner) in targets {
        roster.expect(0, pod(name, name), Some((*owner).to_owned()), follow);
    }
    roster
}

fn shown(notes: &[Note]) -> Vec<String> {
    let show = |note: &Note| match note {
        Note::Lost { pod, untraceable, .. } => {
            format!("lost {}{}", pod.uid, if *untraceable { " without a trace" } else { "" })
        }
        Note::Replaced { pod, by, follow, .. } => format!("{} by {}, follow {follow}", pod.uid, by.uid),
    };
    notes.iter().map(show).collect()
}

#[test]
fn nothing_happens_while_the_targets_are_there() {
    let mut roster = roster(true, &[("a", "set")]);
    assert_eq!(roster.compare("shop", &pods(&["a a set 1", "b b set 1"])), []);
    // Scaled up: another pod of the workload replaces none.
    assert_eq!(roster.compare("shop", &pods(&["a a set 1", "b b set 1", "c c set 2"])), []);
    assert_eq!(roster.compare("other", &BTreeMap::new()), []);
}

#[test]
fn a_replacement_comes_before_or_after_the_loss() {
    let mut after = roster(true, &[("a", "set")]);
    after.compare("shop", &pods(&["a a set 1", "b b set 1"]));
    assert_eq!(shown(&after.compare("shop", &pods(&["a a set 1 going", "b b set 1"]))), ["lost a"]);
    assert_eq!(shown(&after.compare("shop", &pods(&["b b set 1"]))), Vec::<String>::new());
    assert_eq!(shown(&after.compare("shop", &pods(&["b b set 1", "c c set 3"]))), ["a by c, follow true"]);
    let mut before = roster(false, &[("a", "set")]);
    before.compare("shop", &pods(&["a a set 1"]));
    assert_eq!(shown(&before.compare("shop", &pods(&["a a set 1", "c c set 3"]))), Vec::<String>::new());
    assert_eq!(shown(&before.compare("shop", &pods(&["c c set 3"]))), ["lost a", "a by c, follow false"]);
}

#[test]
fn a_follower_is_a_target_like_any_other() {
    let mut roster = roster(true, &[("a", "set")]);
    roster.compare("shop", &pods(&["a a set 1"]));
    assert_eq!(shown(&roster.compare("shop", &pods(&["c c set 2"]))), ["lost a", "a by c, follow true"]);
    assert_eq!(shown(&roster.compare("shop", &pods(&["d d set 3"]))), ["lost c", "c by d, follow true"]);
}

#[test]
fn two_losses_have_two_replacements_in_the_order_in_which_they_came() {
    let mut roster = roster(true, &[("a", "set"), ("b", "set")]);
    roster.compare("shop", &pods(&["a a set 1", "b b set 1"]));
    let notes = roster.compare("shop", &pods(&["d d set 5", "c c set 4"]));
    assert_eq!(shown(&notes), ["lost a", "lost b", "a by c, follow true", "b by d, follow true"]);
}

#[test]
fn only_the_same_workload_replaces_and_a_stateful_set_by_name() {
    let mut roster = roster(true, &[("a-0", "set"), ("a-1", "set")]);
    roster.compare("shop", &pods(&["a-0 a-0 set 1", "a-1 a-1 set 1"]));
    assert_eq!(shown(&roster.compare("shop", &pods(&["x x other 2"]))), ["lost a-0", "lost a-1"]);
    let notes = roster.compare("shop", &pods(&["x x other 2", "a-1 u1 set 3", "a-0 u0 set 4"]));
    assert_eq!(shown(&notes), ["a-0 by u0, follow true", "a-1 by u1, follow true"]);
}

#[test]
fn a_pod_of_its_own_has_no_replacement() {
    let mut roster = Roster::default();
    roster.expect(0, pod("a", "a"), None, true);
    roster.compare("shop", &pods(&["a a - 1"]));
    assert_eq!(shown(&roster.compare("shop", &pods(&["a z - 2"]))), ["lost a"]);
}

#[test]
fn a_target_that_was_gone_before_the_first_look_is_lost() {
    let mut roster = roster(true, &[("a", "set")]);
    assert_eq!(shown(&roster.compare("shop", &pods(&["b b set 1"]))), ["lost a without a trace"]);
    assert_eq!(shown(&roster.compare("shop", &pods(&["b b set 1", "c c set 2"]))), ["a by c, follow true"]);
}

#[test]
fn a_replacement_of_before_the_first_look_is_found_by_its_name_alone() {
    let mut followed = roster(true, &[("a", "set")]);
    assert_eq!(
        shown(&followed.compare("shop", &pods(&["a new set 1", "b b set 1"]))),
        ["lost a", "a by new, follow true"]
    );
    let mut other = roster(true, &[("a", "set")]);
    assert_eq!(shown(&other.compare("shop", &pods(&["a new another 1"]))), ["lost a without a trace"]);
    // Without `follow`, nothing has to be found.
    let mut reported = roster(false, &[("a", "set")]);
    assert_eq!(shown(&reported.compare("shop", &pods(&["b b set 1"]))), ["lost a"]);
}
