//! `manifest`: any object, with conditions that show that it acts and that it is gone.

mod check;
mod condition;

pub use condition::{Condition, Field, ObjectName};

use indexmap::IndexMap;
use serde_json::Value;

use super::kind::{AccessNeeds, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::Secret;
use crate::units::Duration;

fault! {
    /// Creates any object, waits until its conditions hold, and deletes it again. Use it for faults that have no kind
    /// of their own. The runner labels the object, gives it to the fuse and confirms its removal, as with every object.
    pub struct Manifest {
        /// The object, as YAML. Without `metadata.namespace` it is created in the scenario's namespace. Without
        /// `metadata.name` it gets a new name in each run.
        #[schemars(extend("examples" = [{
            "apiVersion": "chaos-mesh.org/v1alpha1",
            "kind": "KernelChaos",
            "spec": {"mode": "all", "selector": {"pods": {"shop": ["web-0"]}}, "failKernRequest": {"failtype": 0}},
        }]))]
        pub object: IndexMap<String, Value>,
        /// The conditions that must all hold for the fault to count as injected.
        #[schemars(length(min = 1))]
        pub active_when: Vec<Condition>,
        /// The conditions that must all hold, in addition to the object being gone, for the fault to count as undone.
        /// Each names an object with `of`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub gone_when: Vec<Condition>,
        /// The timeout for the conditions. Default `60s`, and for a Schedule its interval (`@every 2m`) more: its first object is
        /// created after one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub within: Option<Duration>,
    }
    own, optional pods, after, lasts,
}

impl FaultKind for Manifest {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::Kubernetes {
            // The scenario names its kind.
            creates: &[],
            needs: AccessNeeds::All(&[]),
            note: "get, create and delete on the kind of its object, and get on the objects that its conditions name",
        }],
        sandbox: Sandbox::Partly("objects of the kinds that it serves"),
        rules: &[],
        not_settings: &["object", "active_when", "gone_when", "within"],
        link: between,
        confirmed_by: "",
        observed_by: "",
        unfelt_because: "",
        ends: Ends::Nothing,
        cuts_links: false,
        reads_usage: false,
        shifts_clocks: false,
        example: "{object: {apiVersion: v1, kind: ConfigMap, data: {mode: maintenance}}, active_when: [{field: data.mode, \
                  equals: maintenance}]}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        check::object(&format!("{path}.object"), &self.object, findings);
        check::conditions(path, &self.active_when, &self.gone_when, findings);
        if self.within.is_some_and(Duration::is_zero) {
            let problem =
                Diagnostic::error(Code::ZeroDuration, "`within` is zero, so the conditions can never hold in time")
                    .help("write `within: 60s`");
            findings.push(&format!("{path}.within"), problem);
        }
        if let (Some(first), Some(within)) = (self.first_object(), self.within.filter(|within| !within.is_zero()))
            && within <= first
        {
            let message = format!("this Schedule creates its first object after {first}, but `within` is {within}");
            let help = "remove `within`, or lengthen it";
            findings.push(&format!("{path}.within"), Diagnostic::error(Code::FaultTime, message).help(help));
        }
    }

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        if self.object.get("kind").is_none_or(|kind| kind != "Secret") {
            return Vec::new();
        }
        let values =
            |key: &str| self.object.get(key).and_then(Value::as_object).into_iter().flat_map(|map| map.values());
        let texts = |key: &str| values(key).filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        let plain = texts("stringData").into_iter().map(Secret::Text);
        plain.chain(texts("data").into_iter().map(Secret::Base64)).collect()
    }
}

impl Manifest {
    /// How long after its creation a Schedule of Chaos Mesh creates its first object. None for a cron expression, and for every
    /// other object.
    pub fn first_object(&self) -> Option<Duration> {
        let text = |key: &str| self.object.get(key).and_then(Value::as_str).unwrap_or_default();
        let is_schedule = text("apiVersion").starts_with("chaos-mesh.org/") && text("kind") == "Schedule";
        is_schedule.then(|| self.object.get("spec").and_then(check::interval)).flatten()
    }
}
