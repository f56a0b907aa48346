//! The recording of what Chaos Mesh does with the objects of a scenario (`--record`).

use std::path::{Path, PathBuf};

use super::context::Execution;
use crate::plan::{Action, Plan};
use shakedown_cluster::labels;
use shakedown_faults::chaos::{Recording, Scope};

impl Execution<'_> {
    /// Begins the recording, if one is requested. If it cannot begin, that is a warning.
    pub(super) async fn record(&self, plan: &Plan, warnings: &mut Vec<String>) -> Option<Recording> {
        let (parent, cluster) = (self.context.record?, self.context.cluster?);
        let scope = scope(plan);
        if scope == Scope::default() {
            warnings.push("nothing was recorded: no fault of this scenario uses Chaos Mesh".to_owned());
            return None;
        }
        let redactor = self.events.redactor().clone();
        let text = redactor.text(&self.document.text);
        let begun = fresh(parent, &labels::name_part(&plan.scenario))
            .and_then(|folder| std::fs::write(folder.join("scenario.yaml"), text).map(|()| folder));
        match begun {
            Ok(folder) => Recording::start(cluster, &scope, &folder, Box::new(move |it| redactor.value(it))).await,
            Err(error) => {
                warnings.push(format!("nothing was recorded: {}: {error}", parent.display()));
                None
            }
        }
    }
}

/// The objects of Chaos Mesh that the faults of a plan involve.
fn scope(plan: &Plan) -> Scope {
    let mut scope = Scope::default();
    for fault in &plan.faults {
        match &fault.action {
            Action::ChaosMesh(spec) => scope.fault(spec),
            Action::Kubernetes(it) => it.spec().objects().into_iter().for_each(|key| scope.object(key)),
            Action::NetworkPolicy(_) => {}
        }
    }
    scope
}

/// A new folder of this name. A scenario that is repeated gets another one.
fn fresh(parent: &Path, name: &str) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(parent)?;
    let names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}-{number}")));
    for folder in names.map(|name| parent.join(name)) {
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
    unreachable!("there is always another number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_never_added_to_another_one() {
        let parent = std::env::temp_dir().join(format!("shakedown-record-{:x}", std::process::id()));
        let names = ["a", "a", "b", "a"].map(|name| fresh(&parent, name).unwrap());
        assert_eq!(names, ["a", "a-2", "b", "a-3"].map(|name| parent.join(name)));
        std::fs::remove_dir_all(parent).unwrap();
    }
}
