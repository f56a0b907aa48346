//! The pods that faults end: no other fault can act on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Ends, Fault, Phase};

/// A fault that ends pods or containers, and its targets.
struct Ender<'a> {
    name: &'a str,
    phase: usize,
    /// From the phase's start. Equal for a fault that happens once.
    times: [Duration; 2],
    fault: &'a Fault,
    targets: Vec<PodRef>,
}

/// The targets of the faults that end pods or containers, as far as they are planned.
#[derive(Default)]
pub(super) struct Victims<'a>(Vec<Ender<'a>>);

/// Pods that a fault cannot act on, by UID, each with the fault that ends it.
pub(super) type Taken<'a> = BTreeMap<String, &'a str>;

impl<'a> Victims<'a> {
    /// Records a planned fault.
    pub fn add(&mut self, name: &'a str, fault: &'a Fault, place: (usize, &Phase), targets: &[PodRef]) {
        if fault.info().facts.ends != Ends::Nothing {
            let times = times(fault, place.1);
            self.0.push(Ender { name, phase: place.0, times, fault, targets: targets.to_vec() });
        }
    }

    /// The pods that a fault cannot act on: earlier faults of the same phase end them as well, or a kill has replaced them by
    /// then. A fault with `follow` acts on the replacements, and one that happens once chooses from them when it strikes.
    pub fn taken(&self, fault: &Fault, (phase, it): (usize, &Phase)) -> Taken<'a> {
        let times = times(fault, it);
        let replaced = |other: &Ender<'_>| {
            let is_before = (other.phase, other.times[0]) < (phase, times[0]);
            other.fault.info().facts.ends == Ends::Pods && is_before && !fault.follow()
        };
        let ended = |other: &Ender<'_>| {
            let ends = fault.info().facts.ends != Ends::Nothing;
            let is_anew = fault.is_once() && fault.follow() && other.fault.is_once() && other.times[0] < times[0];
            other.phase == phase && ends && !is_anew && collide((other.fault, other.times), (fault, times))
        };
        by_uid(self.0.iter().filter(|other| replaced(other) || ended(other)))
    }
}

fn by_uid<'a: 'b, 'b>(enders: impl Iterator<Item = &'b Ender<'a>>) -> Taken<'a> {
    let mut taken = Taken::new();
    for ender in enders {
        for pod in &ender.targets {
            taken.entry(pod.uid.clone()).or_insert(ender.name);
        }
    }
    taken
}

/// The names of the faults in such a map.
pub(super) fn names(taken: &Taken<'_>, of: &[PodRef]) -> String {
    let names: BTreeSet<&str> = of.iter().filter_map(|pod| taken.get(&pod.uid).copied()).collect();
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn times(fault: &Fault, phase: &Phase) -> [Duration; 2] {
    let begin = fault.after().get();
    let whole = phase.duration.get().max(begin);
    let end = if fault.is_once() { begin } else { fault.lasts().map_or(whole, |lasts| begin + lasts.get()) };
    [begin, end]
}

/// Whether two faults would end the same thing of one pod.
fn collide((a, a_times): (&Fault, [Duration; 2]), (b, b_times): (&Fault, [Duration; 2])) -> bool {
    if let (Fault::ContainerKill(a), Fault::ContainerKill(b)) = (a, b) {
        return a.containers.iter().any(|it| b.containers.contains(it));
    }
    a.is_once() && b.is_once() || a_times[0] <= b_times[1] && b_times[0] <= a_times[1]
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::{Overrides, parse};

    use super::*;

    /// The faults in two phases that cannot act on a pod, because an earlier one ends it. All of them choose the same pod.
    fn refused(first: &str, second: &str) -> Vec<String> {
        let text = format!(
            "version: 1\nname: x\nload: {{main: {{http: {{url: \"http://127.0.0.1:1\"}}, rate: 20/s}}}}\nphases:\n- {{name: one, \
             duration: 20s, faults: {{{first}}}}}\n- {{name: two, duration: 20s, faults: {{{second}}}}}\n"
        );
        let document = parse("x.yaml", text.as_bytes(), &Overrides::default()).expect("a valid scenario");
        let pod = PodRef { name: "a".into(), namespace: "n".into(), uid: "u".into(), node: None, ip: None };
        let mut victims = Victims::default();
        let mut refused = Vec::new();
        for (index, phase) in document.scenario.phases.iter().enumerate() {
            for (name, fault) in &phase.faults {
                if !victims.taken(fault, (index, phase)).is_empty() {
                    refused.push(name.clone());
                }
                victims.add(name, fault, (index, phase), std::slice::from_ref(&pod));
            }
        }
        refused
    }

    #[test]
    fn no_fault_acts_on_a_pod_that_another_ends() {
        const PODS: &str = "pods: {labels: app=web, count: 1}";
        let kill = |name: &str, more: &str| format!("{name}: {{pod_kill: {{{PODS}{more}}}}}");
        let cut = |more: &str| format!("cut: {{partition: {{{PODS}, from: db{more}}}}}");
        let both = |a: String, b: String| format!("{a}, {b}");
        assert_eq!(refused(&both(kill("a", ""), kill("b", "")), ""), ["b"]);
        assert_eq!(refused(&both(kill("a", ""), kill("b", ", after: 3s")), ""), ["b"]);
        assert_eq!(refused(&kill("a", ""), &kill("b", "")), ["b"]);
        assert_eq!(refused(&kill("a", ""), &cut("")), ["cut"]);
        assert_eq!(refused(&kill("a", ""), &cut(", follow: true")), [""; 0]);
        // A cut pod can be killed, even at the same time.
        assert_eq!(refused(&both(kill("a", ""), cut("")), ""), [""; 0]);
        assert_eq!(refused(&cut(""), &kill("b", "")), [""; 0]);
        // What is chosen at the strike are the pods that run then. Two strikes at one moment would choose the same ones.
        let anew = |name: &str, more: &str| kill(name, &format!(", follow: true{more}"));
        assert_eq!(refused(&kill("a", ""), &anew("b", "")), [""; 0]);
        assert_eq!(refused(&both(kill("a", ""), anew("b", ", after: 3s")), ""), [""; 0]);
        assert_eq!(refused(&both(anew("a", ""), anew("b", "")), ""), ["b"]);
        // Containers of one pod are ended one by one.
        let container = |name: &str, of: &str| format!("{name}: {{container_kill: {{{PODS}, containers: [{of}]}}}}");
        assert_eq!(refused(&both(container("a", "x"), container("b", "x")), ""), ["b"]);
        assert_eq!(refused(&both(container("a", "x"), container("b", "y")), ""), [""; 0]);
        assert_eq!(refused(&container("a", "x"), &container("b", "x")), [""; 0]);
    }
}
