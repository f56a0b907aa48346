//! `stress`: consumes CPU time and memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{ChaosMesh, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::check::inside::{containers, is_whole, wrong};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::{Percent, Size};

fault! {
    /// Consumes CPU time, memory or both in the target pods' containers, within the containers' limits. At least one of
    /// `cpu` and `memory`. Needs Chaos Mesh.
    pub struct Stress {
        /// CPU time to consume.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub cpu: Option<StressCpu>,
        /// Memory to consume.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub memory: Option<StressMemory>,
        /// The affected containers, by name. Default: the first container of each pod.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(extend("examples" = [["worker"]]))]
        pub containers: Vec<String>,
    }
    pods, own, follow, prove {
        /// `auto` reads what the containers use before and during the fault, from the metrics API or the kubelet's
        /// statistics. At least 80% of the memory must be seen, and half of the CPU time or of what the limit leaves of it.
        /// A change in the run's own requests proves the fault too. If neither can be seen, the fault is claimed, not
        /// proven; `strict` is inconclusive then. `traffic` requires a change in the run's own requests. `applied` reads
        /// nothing: the fault is claimed.
    }, after, lasts,
}

impl FaultKind for Stress {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh::inside("stresschaos"))],
        sandbox: Sandbox::Partly("`cpu`, on its workers, and `memory`, which slows no program"),
        rules: &[Rule::Some(&["cpu", "memory"])],
        not_settings: &[],
        link: between,
        confirmed_by: "",
        observed_by: "what its containers use, by the metrics API or the kubelet's statistics",
        unfelt_because: "",
        ends: Ends::Nothing,
        cuts_links: false,
        reads_usage: true,
        shifts_clocks: false,
        example: "{pods: {labels: {app: worker}, count: 1}, cpu: {workers: 2, load: 80%}}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        if self.cpu.is_none() && self.memory.is_none() {
            let help = "write `cpu: {workers: 2}` or `memory: {size: 256MiB}`";
            wrong(path, "this fault consumes neither CPU time nor memory", help, findings);
        }
        let workers = [
            ("cpu.workers", self.cpu.as_ref().map(|cpu| cpu.workers)),
            ("memory.workers", self.memory.as_ref().and_then(|memory| memory.workers)),
        ];
        for (key, count) in workers {
            if count.is_some_and(|count| !(1..=1024).contains(&count)) {
                wrong(&format!("{path}.{key}"), "`workers` must be between 1 and 1024", "write `workers: 1`", findings);
            }
        }
        if let Some(load) = self.cpu.as_ref().and_then(|cpu| cpu.load)
            && !is_whole(load.fraction())
        {
            let path = format!("{path}.cpu.load");
            wrong(&path, "the load is counted in whole percent, from 1%", "write `load: 80%`", findings);
        }
        if let Some(memory) = &self.memory
            && !memory.size.bytes().is_multiple_of(u64::from(memory.workers.unwrap_or(1).max(1)))
        {
            let path = format!("{path}.memory.size");
            wrong(
                &path,
                "this size is not divisible by the number of workers",
                "choose a multiple of the number of workers",
                findings,
            );
        }
        containers(path, &self.containers, findings);
    }

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// CPU time to consume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StressCpu {
    /// The number of processes. Each takes the share `load` of one core.
    #[schemars(range(min = 1, max = 1024), extend("examples" = [2]))]
    pub workers: u32,
    /// The share of one core that each process takes. Default `100%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Percent>,
}

impl StressCpu {
    /// The CPU time of all processes together, in cores.
    pub fn cores(&self) -> f64 {
        f64::from(self.workers) * self.load.map_or(1.0, Percent::fraction)
    }
}

/// Memory to consume. The kernel kills a container that exceeds its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StressMemory {
    /// The total size, divided among the processes.
    pub size: Size,
    /// The number of processes. Default `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024), extend("examples" = [1]))]
    pub workers: Option<u32>,
}
