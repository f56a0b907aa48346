//! Runs that test the scenario itself. A control run leaves out every fault and must pass. An overkill run replaces every
//! fault with a full cut and must fail. Pure: a scenario in; the scenario to run and the scenario to judge out.

use std::borrow::Cow;

use indexmap::IndexMap;
use shakedown_schemas::Document;
use shakedown_schemas::result::Trial;
use shakedown_schemas::scenario::{BlastRadius, Direction, Engine, Fault, Partition, Peer, Phase, PodSelector, Prove};
use shakedown_schemas::units::Percent;

/// The warning about a trial run in its result.
pub fn warning(trial: Trial) -> String {
    match trial {
        Trial::Control => "this is a control run: every fault was left out, and it must pass".to_owned(),
        Trial::Overkill => {
            "this is an overkill run: every fault was replaced by a full cut of all pods that it may act on, and it must \
             fail"
                .to_owned()
        }
        Trial::Shortened => {
            "this is a shortened run: long phases and the limits of `requests` in them are a part of those in the file, so its \
             best verdict is inconclusive, and a failure may come from the short phases alone"
                .to_owned()
        }
    }
}

/// The document to run, and the document whose expectations are judged. They differ in a control run: no fault is
/// injected, but phases with faults keep their names and places, so that recovery is judged as usual. A control run
/// requires no effect of its faults.
pub fn documents(document: &Document, trial: Option<Trial>) -> (Cow<'_, Document>, Cow<'_, Document>) {
    match trial {
        None => (Cow::Borrowed(document), Cow::Borrowed(document)),
        Some(Trial::Shortened) => (Cow::Borrowed(document), Cow::Borrowed(document)),
        Some(Trial::Control) => {
            let mut asked = document.clone();
            asked.scenario.phases.iter_mut().for_each(|phase| phase.effect = None);
            let mut done = asked.clone();
            done.scenario.phases.iter_mut().for_each(|phase| phase.faults.clear());
            (Cow::Owned(done), Cow::Owned(asked))
        }
        Some(Trial::Overkill) => {
            let mut both = document.clone();
            both.scenario.phases.iter_mut().for_each(cut);
            let all = Percent::from_fraction(1.0);
            both.scenario.blast_radius = Some(BlastRadius { max_pods: None, max_percent: Some(all) });
            (Cow::Owned(both.clone()), Cow::Owned(both))
        }
    }
}

/// Replaces a phase's faults with cuts: all pods that they may act on lose all pods of their namespaces, for the whole
/// phase. Several faults on the same pods become one cut.
fn cut(phase: &mut Phase) {
    let mut cuts: IndexMap<String, Fault> = IndexMap::new();
    for (name, fault) in std::mem::take(&mut phase.faults) {
        let Some(pods) = fault.pods() else {
            // The pods that a manifest acts on are not known, so it is kept unchanged.
            cuts.insert(name, fault);
            continue;
        };
        let pods = PodSelector { count: None, percent: None, ..pods.clone() };
        let is_cut = |other: &Fault| matches!(other, Fault::Partition(other) if other.pods == pods);
        if cuts.values().any(is_cut) {
            continue;
        }
        let everything =
            PodSelector { prefix: Some(String::new()), namespace: pods.namespace.clone(), ..PodSelector::default() };
        let mut from = vec![Peer { pods: Some(everything), ..Peer::default() }];
        if let Fault::Partition(partition) = &fault {
            from.extend(partition.from.iter().map(|peer| Peer { ports: Vec::new(), ..peer.clone() }));
        }
        let partition = Partition {
            pods,
            from,
            direction: Direction::Both,
            engine: Engine::Auto,
            follow: true,
            prove: Prove::Auto,
            after: None,
            lasts: None,
        };
        cuts.insert(name, Fault::Partition(partition));
    }
    phase.faults = cuts;
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_schemas::{Overrides, parse};

    const TEXT: &str = r#"
version: 1
name: test
load: {main: {http: {url: "http://127.0.0.1:1"}, rate: 20/s}}
phases:
  - {name: baseline, duration: 30s}
  - name: cut
    duration: 30s
    faults:
      f: {partition: {pods: {prefix: worker, count: 1}, from: [{service: nats, ports: [4222]}], after: 5s}}
      g: {partition: {pods: {prefix: worker}, from: [{service: other}]}}
    effect: any
"#;

    #[test]
    fn a_control_run_injects_nothing_and_judges_everything_but_the_effect() {
        let document = parse("test.yaml", TEXT.as_bytes(), &Overrides::default()).unwrap();
        let (done, asked) = documents(&document, Some(Trial::Control));
        assert!(done.scenario.phases.iter().all(|phase| phase.faults.is_empty()));
        assert_eq!(asked.scenario.phases[1].faults, document.scenario.phases[1].faults);
        assert!(asked.scenario.phases[1].effect.is_none());
        let (done, asked) = documents(&document, None);
        assert_eq!((done.as_ref(), asked.as_ref()), (&document, &document));
    }

    #[test]
    fn an_overkill_run_cuts_all_pods_from_everything_for_the_whole_phase() {
        let document = parse("test.yaml", TEXT.as_bytes(), &Overrides::default()).unwrap();
        let (done, asked) = documents(&document, Some(Trial::Overkill));
        assert_eq!(done, asked);
        let faults = &done.scenario.phases[1].faults;
        assert_eq!(faults.keys().collect::<Vec<_>>(), ["f"], "one cut of the same pods suffices");
        let Fault::Partition(cut) = &faults["f"] else { panic!("{faults:?}") };
        assert_eq!((cut.pods.count, cut.after, cut.from.len()), (None, None, 2));
        assert!(cut.from[1].ports.is_empty() && cut.from[1].service.as_deref() == Some("nats"));
        assert_eq!(done.scenario.blast_radius.as_ref().unwrap().max_percent.unwrap().fraction(), 1.0);
    }
}
