//! Checks the blast radius of a plan. Pure, except for reading the pods of workloads.

use std::collections::{BTreeMap, BTreeSet};

use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{BlastRadius, Fault, PodSelector, Scenario};

use super::error::PlanError;
use super::spec::FaultSpec;
use shakedown_cluster::{Cluster, Workload};

/// Refuses a plan whose faults act on more pods than the scenario allows.
///
/// # Errors
/// When they do, or the cluster refuses or does not answer.
pub(super) async fn check(scenario: &Scenario, faults: &[FaultSpec], cluster: &Cluster) -> Result<(), PlanError> {
    let namespaces: BTreeSet<&String> =
        faults.iter().flat_map(|fault| &fault.plan.targets).map(|pod| &pod.namespace).collect();
    let mut workloads = Vec::new();
    for namespace in namespaces {
        workloads.extend(cluster.workloads(namespace).await?);
    }
    for (index, phase) in scenario.phases.iter().enumerate() {
        let reaching: Vec<Reach<'_>> = faults
            .iter()
            .map(|fault| &fault.plan)
            .filter(|fault| fault.phase == index)
            .map(|fault| Reach {
                fault: &fault.name,
                targets: &fault.targets,
                explicit: phase.faults.get(&fault.name).and_then(Fault::pods).is_none_or(is_explicit),
                anew: phase.faults.get(&fault.name).is_some_and(|it| it.is_once() && it.follow()),
            })
            .collect();
        refusal(&phase.name, &reaching, &workloads, scenario.blast_radius.as_ref())
            .map_or(Ok(()), |why| Err(PlanError::Scenario(why)))?;
    }
    Ok(())
}

/// The pods that one fault acts on.
struct Reach<'a> {
    fault: &'a str,
    targets: &'a [PodRef],
    /// Whether its selector limits the number of pods.
    explicit: bool,
    /// Whether its pods are chosen when it strikes: those that replace the targets of an earlier fault are others than these.
    anew: bool,
}

/// Whether a selector limits the number of pods. Its author then chose the number on purpose.
fn is_explicit(pods: &PodSelector) -> bool {
    pods.name.is_some() || pods.count.is_some() || pods.percent.is_some_and(|percent| percent.fraction() < 1.0)
}

/// Why the faults of a phase may not be injected. `None` if they may.
fn refusal(
    phase: &str,
    faults: &[Reach<'_>],
    workloads: &[Workload],
    allowed: Option<&BlastRadius>,
) -> Option<Explained> {
    let Some(allowed) = allowed else {
        return faults.iter().filter(|fault| !fault.explicit).find_map(|fault| {
            let (workload, _) =
                shares(fault.targets.iter(), workloads).into_iter().find(|(it, hit)| *hit == it.pods.len())?;
            Some(Explained::new(
                format!("fault `{}` would take {} of {}", fault.fault, all(workload.pods.len()), workload.name),
                "narrow it with `count` or `percent`, or allow it by writing \
                 `blast_radius: {max_percent: 100%}` into the scenario",
            ))
        });
    };
    let (anew, fixed): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| fault.anew);
    let fixed: BTreeMap<&String, &PodRef> =
        fixed.into_iter().flat_map(|fault| fault.targets).map(|pod| (&pod.uid, pod)).collect();
    let targets: Vec<&PodRef> = fixed.into_values().chain(anew.into_iter().flat_map(|fault| fault.targets)).collect();
    let reached = targets.len();
    if let Some(most) = allowed.max_pods.filter(|most| reached > *most as usize) {
        return Some(Explained::new(
            format!("the faults of phase `{phase}` reach {reached} pods, and `blast_radius` allows {most}"),
            "narrow them with `count`, or raise `max_pods`",
        ));
    }
    let most = allowed.max_percent?;
    shares(targets.into_iter(), workloads).into_iter().find_map(|(workload, hit)| {
        let of = workload.pods.len();
        // A rounding error must not refuse a share that equals the limit.
        (hit as f64 > most.fraction() * of as f64 + 1e-9).then(|| {
            Explained::new(
                format!(
                    "the faults of phase `{phase}` reach {hit} of the {of} pods of {}, and `blast_radius` \
             allows {most}",
                    workload.name
                ),
                "narrow them with `count` or `percent`, or raise `max_percent`",
            )
        })
    })
}

fn all(pods: usize) -> String {
    if pods == 1 { "the only pod".to_owned() } else { format!("all {pods} pods") }
}

/// The affected workloads, each with the number of affected pods. A target that is named twice counts twice.
fn shares<'a, 'w>(
    targets: impl Iterator<Item = &'a PodRef> + Clone,
    workloads: &'w [Workload],
) -> Vec<(&'w Workload, usize)> {
    let hits = |workload: &Workload| targets.clone().filter(|pod| workload.pods.contains(&pod.uid)).count();
    let hit = |workload: &Workload| hits(workload).min(workload.pods.len());
    workloads.iter().map(|workload| (workload, hit(workload))).filter(|(_, hit)| *hit > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(uids: &[&str]) -> Vec<PodRef> {
        let pod = |uid: &&str| PodRef {
            namespace: "n".into(),
            name: format!("pod-{uid}"),
            uid: (*uid).to_owned(),
            node: None,
            ip: None,
        };
        uids.iter().map(pod).collect()
    }

    fn workloads() -> Vec<Workload> {
        let of = |name: &str, uids: &[&str]| Workload {
            name: name.to_owned(),
            pods: uids.iter().map(|uid| (*uid).to_owned()).collect(),
        };
        vec![of("deployment/web", &["a", "b", "c"]), of("statefulset/one", &["x"])]
    }

    fn ask(targets: &[&[&str]], explicit: bool, allowed: Option<&str>) -> Option<Explained> {
        let targets: Vec<Vec<PodRef>> = targets.iter().map(|uids| pods(uids)).collect();
        let faults: Vec<Reach<'_>> =
            targets.iter().map(|targets| Reach { fault: "f", targets, explicit, anew: false }).collect();
        let allowed: Option<BlastRadius> = allowed.map(|text| serde_json::from_str(text).unwrap());
        refusal("p", &faults, &workloads(), allowed.as_ref())
    }

    #[test]
    fn all_pods_of_a_workload_are_refused_unless_the_scenario_allows_it() {
        assert_eq!(ask(&[&["a", "b"]], false, None), None);
        assert_eq!(ask(&[&["a", "b", "c"]], true, None), None, "a count says it");
        assert!(ask(&[&["a", "b", "c"]], false, None).unwrap().message.contains("all 3 pods of deployment/web"));
        assert!(ask(&[&["a", "x"]], false, None).unwrap().message.contains("the only pod of statefulset/one"));
        assert_eq!(ask(&[&["a", "b", "c", "x"]], false, Some(r#"{"max_percent": "100%"}"#)), None);
        assert_eq!(ask(&[&["no", "workload"]], false, None), None);
    }

    #[test]
    fn the_limit_counts_over_all_faults_of_a_phase() {
        let two = Some(r#"{"max_pods": 2}"#);
        assert_eq!(ask(&[&["a"], &["a", "b"]], false, two), None, "the same pod twice is one pod");
        assert!(ask(&[&["a"], &["b", "c"]], true, two).unwrap().message.contains("reach 3 pods"));
        // A pod that replaces a target is another one.
        let targets = pods(&["a"]);
        let reached = |anew| {
            let faults = [false, anew].map(|anew| Reach { fault: "f", targets: &targets, explicit: true, anew });
            refusal("p", &faults, &[], serde_json::from_str(r#"{"max_pods": 1}"#).ok().as_ref())
        };
        assert_eq!(reached(false), None);
        assert!(reached(true).unwrap().message.contains("reach 2 pods"));
        let third = Some(r#"{"max_percent": "33.4%"}"#);
        assert_eq!(ask(&[&["a"]], true, third), None);
        assert!(ask(&[&["a"], &["b"]], true, third).unwrap().message.contains("2 of the 3 pods of deployment/web"));
        assert!(ask(&[&["x"]], true, third).unwrap().message.contains("1 of the 1 pods"));
    }

    #[test]
    fn the_same_pods_chosen_anew_count_again_in_their_workload() {
        let targets = [pods(&["a"]), pods(&["a", "b"])];
        let share = |sizes: [usize; 2], anew: [bool; 2], percent: &str| {
            let reach =
                |it: usize| Reach { fault: "f", targets: &targets[sizes[it] - 1], explicit: true, anew: anew[it] };
            let allowed = BlastRadius { max_pods: None, max_percent: serde_json::from_str(percent).ok() };
            refusal("p", &[reach(0), reach(1)], &workloads(), Some(&allowed)).map(|it| it.message)
        };
        let third = r#""33.4%""#;
        assert_eq!(share([1, 1], [false, false], third), None);
        for anew in [[false, true], [true, true]] {
            let message = share([1, 1], anew, third).unwrap();
            assert!(message.contains("reach 2 of the 3 pods of deployment/web"), "{message}");
        }
        // A workload has no more pods than all of its own.
        assert_eq!(share([2, 2], [true, true], r#""100%""#), None);
        assert!(share([2, 2], [true, true], r#""99%""#).unwrap().contains("reach 3 of the 3 pods"));
    }

    #[test]
    fn a_selector_that_says_how_many_is_explicit() {
        for (text, explicit) in [
            (r#"{"prefix": "w"}"#, false),
            (r#"{"labels": {"app": "w"}}"#, false),
            (r#"{"owner": "deployment/w", "percent": "100%"}"#, false),
            (r#"{"owner": "deployment/w", "percent": "99%"}"#, true),
            (r#"{"prefix": "w", "count": 3}"#, true),
            (r#"{"name": "w-0"}"#, true),
        ] {
            assert_eq!(is_explicit(&serde_json::from_str(text).unwrap()), explicit, "{text}");
        }
    }
}
