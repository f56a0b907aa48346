//! The result of a scenario: first empty, then filled with the facts and the answers.

use shakedown_schemas::Document;
use shakedown_schemas::result::{ScenarioResult, Verdict};

use super::context::Execution;
use super::judge::Judged;
use super::run::RunRecord;
use crate::plan::Options;
use crate::shorten;
use crate::timeline::Outcome;
use shakedown_cluster::Cluster;
use shakedown_judge::{Conclusion, remarks, scenario_verdict};

impl Execution<'_> {
    /// Adds the facts, the answers and the cluster's diagnostics to the result.
    pub(super) async fn report(&self, seen: RunRecord, judged: Judged, result: &mut ScenarioResult) {
        let RunRecord { outcome, loads, warnings, before } = seen;
        let Outcome { errors, duration, .. } = outcome;
        result.loads = loads;
        result.expectations = judged.expectations;
        result.phases = judged.phases;
        result.series = judged.series;
        result.recoveries = judged.recoveries;
        result.faults = judged.faults;
        result.warnings.extend(warnings.into_iter().chain(judged.warnings));
        let lost = result.inconsistencies();
        let lost = lost.into_iter().map(|what| format!("the numbers of this run are inconsistent: {what}"));
        result.errors.extend(lost.chain(errors));
        result.duration_s = duration.as_secs_f64();
        if let (Some(before), Some(cluster)) = (before, self.context.cluster)
            && !self.is_interrupted()
        {
            result.events = self.events.log();
            before.tell(cluster, self.events.zero(), result).await;
        }
    }
}

/// An empty result.
pub(super) fn empty(document: &Document, cluster: Option<&Cluster>, options: &Options) -> ScenarioResult {
    let scenario = &document.scenario;
    ScenarioResult {
        name: scenario.name.clone(),
        description: scenario.description.clone(),
        file: document.file.clone(),
        tags: scenario.tags.clone(),
        verdict: Verdict::Error,
        reason: String::new(),
        cause: None,
        trial: None,
        shard_run: None,
        flaky: false,
        attempts: Vec::new(),
        started_at: jiff::Timestamp::now(),
        duration_s: 0.0,
        // A scenario with URLs only may run next to others that need one.
        cluster: cluster.filter(|_| !document.scenario.needs_no_cluster()).map(|cluster| cluster.info().clone()),
        namespace: scenario.namespace.clone().or_else(|| options.namespace.clone()).unwrap_or_default(),
        vars: document.vars.clone(),
        matrix: document.matrix.clone(),
        source: document.text.clone(),
        resolved: document.resolved.clone(),
        loads: Vec::new(),
        phases: Vec::new(),
        faults: Vec::new(),
        expectations: Vec::new(),
        series: Vec::new(),
        recoveries: Vec::new(),
        errors: Vec::new(),
        warnings: document.warnings.iter().map(|warning| warning.message.clone()).collect(),
        leftovers: Vec::new(),
        pod_events: Vec::new(),
        logs: Vec::new(),
        events: Vec::new(),
    }
}

/// Sets the verdict, derived from the whole result.
pub(super) fn conclude(result: &mut ScenarioResult) {
    let Conclusion { verdict, reason, cause } =
        scenario_verdict(&result.expectations, &result.faults, &result.errors, &result.leftovers);
    (result.verdict, result.reason, result.cause) = (verdict, reason, cause);
    if result.verdict == Verdict::Pass {
        remarks(result).iter().for_each(|remark| result.reason.push_str(&format!("; {remark}")));
    }
    shorten::demote(result);
}
