//! The campaigns' scenarios: faults of every kind, each on a pod of its own. One mix is fixed, the others are drawn from a seed.

use std::fmt::Write as _;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// The pods of each namespace, in the order of their addresses.
pub const PODS: [&str; 5] = ["one", "two", "peer", VICTIM, "other"];
/// The pod that is killed.
pub const VICTIM: &str = "victim";

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A partition by NetworkPolicy, with a witness or without one.
    Partition { witness: bool },
    /// A degradation by Chaos Mesh.
    Degradation,
    /// An object that the scenario writes out, with a name of its own or one that the run invents.
    Manifest { named: bool },
    /// A pod that is killed.
    Kill,
}

/// One fault of a mix.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub name: &'static str,
    pub kind: FaultKind,
    /// The pod that it acts on; of no meaning for an object that the scenario writes out.
    pub pod: &'static str,
    after: Duration,
    /// None for the rest of the phase.
    lasts: Option<Duration>,
}

/// The faults of one scenario.
#[derive(Debug, Clone)]
pub struct Mix {
    pub faults: Vec<Fault>,
    phase: Duration,
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Mix {
    /// One fault of every kind.
    pub fn fixed() -> Self {
        let fault = |name, kind, pod, after, lasts: Option<u64>| Fault {
            name,
            kind,
            pod,
            after: ms(after),
            lasts: lasts.map(ms),
        };
        let faults = vec![
            fault("first", FaultKind::Partition { witness: true }, "one", 0, Some(1200)),
            fault("second", FaultKind::Degradation, "two", 500, None),
            fault("third", FaultKind::Manifest { named: false }, "", 300, Some(800)),
            fault("fourth", FaultKind::Kill, VICTIM, 700, None),
        ];
        Self { faults, phase: ms(1600) }
    }

    /// At least two faults, with times of their own.
    pub fn drawn(random: &mut StdRng) -> Self {
        let phase = random.random_range(14..20u64) * 100;
        let mut faults: Vec<Fault> = Vec::new();
        while faults.len() < 2 {
            faults.clear();
            let second = match random.random_bool(0.5) {
                true => FaultKind::Degradation,
                false => FaultKind::Partition { witness: false },
            };
            let all = [
                ("first", FaultKind::Partition { witness: random.random_bool(0.5) }, "one"),
                ("second", second, "two"),
                ("third", FaultKind::Manifest { named: random.random_bool(0.5) }, ""),
                ("fourth", FaultKind::Kill, VICTIM),
            ];
            for (name, kind, pod) in all {
                // One of them at most begins with the phase. The phase counts once all of those are active, and a short one that
                // was active long before the others would be there for too little of it.
                let after = random.random_range(u64::from(!faults.is_empty())..8) * 100;
                let room = (phase - after) / 100;
                let lasts =
                    (kind != FaultKind::Kill && random.random_bool(0.5)).then(|| random.random_range(5..=room) * 100);
                if random.random_bool(0.75) {
                    faults.push(Fault { name, kind, pod, after: ms(after), lasts: lasts.map(ms) });
                }
            }
        }
        Self { faults, phase: ms(phase) }
    }

    /// How long a fault is to act. A kill happens once.
    pub fn planned(&self, fault: &Fault) -> Duration {
        fault.lasts.unwrap_or(self.phase - fault.after)
    }

    /// Whether it needs a controller for objects of Chaos Mesh.
    pub fn needs_chaos_mesh(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Degradation)
    }

    /// The scenario, in which `NAMESPACE` and `URL` stand for those.
    pub fn scenario(&self) -> String {
        let mut text = format!(
            "version: 1\nname: campaign\nnamespace: NAMESPACE\n\
             load:\n  requests: {{http: {{url: \"URL\"}}, rate: 40/s, timeout: 2s}}\n\
             phases:\n- {{name: before, duration: 300ms}}\n\
             - name: cut\n  duration: {}ms\n  expect: [success_rate: {{min: 50%}}]\n  faults:\n",
            self.phase.as_millis()
        );
        for fault in &self.faults {
            let pod = fault.pod;
            let (kind, mut fields) = match fault.kind {
                FaultKind::Partition { witness: true } => (
                    "partition",
                    format!(
                        "pods: {{name: {pod}}}, from: [{{pods: {{labels: {{app: peer}}}}, ports: [80]}}], prove: witness"
                    ),
                ),
                FaultKind::Partition { witness: false } => {
                    ("partition", format!("pods: {{name: {pod}}}, from: [{{cidr: 203.0.113.0/24}}], prove: applied"))
                }
                FaultKind::Degradation => {
                    ("netem", format!("pods: {{name: {pod}}}, to: [{{cidr: 203.0.113.0/24}}], loss: 10%"))
                }
                FaultKind::Manifest { named } => {
                    let name = if named { ", metadata: {name: written}" } else { "" };
                    let object = format!("object: {{apiVersion: v1, kind: ConfigMap{name}, data: {{key: value}}}}");
                    ("manifest", format!("{object}, active_when: [{{field: data.key, equals: value}}]"))
                }
                FaultKind::Kill => ("pod_kill", format!("pods: {{name: {pod}}}, grace_period: 0s")),
            };
            if !fault.after.is_zero() {
                _ = write!(fields, ", after: {}ms", fault.after.as_millis());
            }
            if let Some(lasts) = fault.lasts {
                _ = write!(fields, ", for: {}ms", lasts.as_millis());
            }
            _ = writeln!(text, "    {}: {{{kind}: {{{fields}}}}}", fault.name);
        }
        text
    }
}
