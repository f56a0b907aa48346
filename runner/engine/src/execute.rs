//! One scenario from its file to its result, in five steps: plan, arm, run, judge, report.

mod clocks;
mod context;
mod judge;
mod ready;
mod record;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod traffic;

use std::fmt::Display;
use std::sync::Arc;

use shakedown_schemas::result::ScenarioResult;
use shakedown_schemas::{Document, EventKind};

use crate::arm::{self, Armed};
use crate::events::Events;
use crate::plan::{self, Options, Permissions, Plan, PlanError};
use crate::trial;
use context::Execution;
use shakedown_cluster::Cluster;
use shakedown_guard::Guard;

pub use context::{Context, Signal, contained};

/// Runs one scenario. Errors and panics become part of the result.
pub async fn execute(document: &Document, context: &Context<'_>, options: &Options, events: &Events) -> ScenarioResult {
    let (done, asked) = trial::documents(document, context.trial);
    let it = Execution { document: &asked, context, options, events };
    let mut result = report::empty(&asked, context.cluster, options);
    result.trial = context.trial;
    result.warnings.extend(context.trial.map(trial::warning));
    events.emit(EventKind::ScenarioStarted { file: document.file.clone() });
    let cluster = context.cluster.filter(|it| it.info().topology.is_some() && !document.scenario.needs_no_cluster());
    if let Some(sandbox) = cluster {
        events.emit(EventKind::Cluster { message: sandbox.info().name() });
    }
    let carried_out = contained(it.carry_out(&done, &mut result)).await;
    if let Err(message) = carried_out.and_then(|ended| ended) {
        events.emit(EventKind::Error { message: message.clone() });
        result.errors.push(message);
    }
    report::conclude(&mut result);
    events.emit(EventKind::ScenarioEnded { verdict: result.outcome(), reason: result.reason.clone() });
    result.events = events.log();
    result
}

/// The result of a scenario that could not be planned.
pub fn refused(document: &Document, options: &Options, message: &str) -> ScenarioResult {
    let mut result = report::empty(document, None, options);
    result.errors.push(message.to_owned());
    report::conclude(&mut result);
    result
}

impl Execution<'_> {
    /// Runs the scenario. `done` is the document to run; in a control run it lacks the faults of the judged document.
    async fn carry_out(&self, done: &Document, result: &mut ScenarioResult) -> Result<(), String> {
        let cluster = self.context.cluster.map(|cluster| {
            let events = self.events.clone();
            cluster.clone().notifying(Arc::new(move |kind| events.emit(kind)))
        });
        let guard = cluster.as_ref().map(|cluster| Guard::new(cluster, self.context.wait_lock));
        let (plan, armed) = self.ready(done, cluster.as_ref(), guard.as_ref()).await?;
        let seen = self.run(&plan, armed, guard, result).await;
        let judged = self.judge(&plan, &seen);
        self.report(seen, judged, result).await;
        Ok(())
    }

    /// Plans and arms the scenario, once no other run acts on the same namespaces. Permissions are checked first: without them
    /// the run waits for nothing.
    async fn ready(
        &self,
        done: &Document,
        cluster: Option<&Cluster>,
        guard: Option<&Guard>,
    ) -> Result<(Plan, Armed), String> {
        let mut permissions = match cluster {
            Some(cluster) => {
                Some(self.unless_interrupted(Permissions::of_scenario(done, cluster, self.options)).await?)
            }
            None => None,
        };
        let lacks_some = permissions.as_ref().is_some_and(Permissions::are_missing);
        if let (Some(guard), Some(cluster), false) = (guard, cluster, lacks_some) {
            let namespaces = plan::target_namespaces(&done.scenario, cluster, self.options);
            let waited = guard.wait(&namespaces, self.context.holder, &mut self.context.signal.clone()).await;
            waited.map_err(|error| error.to_string())?;
        }
        let planning = async {
            let planned = plan::plan(done, cluster, self.options).await;
            let asked = match &mut permissions {
                Some(permissions) => permissions.of_plan(&planned).await,
                None => Ok(()),
            };
            Ok((planned, asked))
        };
        let (planned, asked) = self.unless_interrupted::<_, PlanError>(planning).await?;
        if let Some(permissions) = &permissions {
            if let Some(message) = permissions.refusal().await {
                return Err(message.to_string());
            }
            if let Some([_, message]) = permissions.without_witness().await {
                self.events.emit(EventKind::Warning { message: message.to_string() });
            }
            if permissions.are_unknown() {
                self.events.emit(EventKind::Warning { message: plan::REFUSED.to_owned() });
            }
        }
        let plan = planned.and_then(|plan| asked.map(|()| plan)).map_err(|error| error.to_string())?;
        let armed = self.unless_interrupted(arm::arm(&plan, cluster)).await?;
        Ok((plan, armed))
    }

    /// Runs work that changes nothing in the cluster, until a signal arrives.
    async fn unless_interrupted<T, E: Display>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, String> {
        let mut signal = self.context.signal.clone();
        tokio::select! {
            done = work => done.map_err(|error| error.to_string()),
            Ok(name) = signal.wait_for(Option::is_some) => Err(format!("interrupted by {}", name.unwrap_or("a signal"))),
        }
    }
}
