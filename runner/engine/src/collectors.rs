//! Collects data other than requests for expectations: the cluster's pods once a second during the scenario, Prometheus
//! and the pods' logs after it. Without a matching expectation, nothing is read.
//!
//! Collectors do not judge, and they never fail a run. Data that could not be read is recorded as a gap, and the judge
//! decides which expectations a gap leaves inconclusive.

mod logs;
mod pods;
mod prometheus;
mod zero;

use std::collections::BTreeMap;

use shakedown_schemas::Scenario;
use shakedown_schemas::scenario::{Collected, Expectation, PodSelector};

use self::pods::Selectors;
pub use self::zero::Zero;
use shakedown_cluster::Cluster;
use shakedown_observe::{Observations, Outside};

/// The collectors of one scenario.
pub struct Collectors<'a> {
    scenario: &'a Scenario,
    cluster: Option<&'a Cluster>,
    namespace: String,
    watch: Option<pods::Watch>,
    /// The pods of log expectations as they were at the beginning, by the expectation's path.
    before: Vec<(String, Vec<serde_json::Value>)>,
    warnings: Vec<String>,
}

/// The expectations with their phases and paths.
fn asked(scenario: &Scenario) -> impl Iterator<Item = (usize, String, &Expectation)> {
    scenario.phases.iter().enumerate().flat_map(|(phase, spec)| {
        let expectations = spec.expect.iter().enumerate();
        expectations.map(move |(index, it)| (phase, format!("phases[{phase}].expect[{index}]"), it))
    })
}

/// The pods of an expectation: those that it selects, else those that the scenario's faults may act on.
fn selectors(scenario: &Scenario, selector: Option<&PodSelector>) -> Selectors {
    match selector {
        Some(selector) => vec![selector.clone()],
        None => {
            let faults = scenario.phases.iter().flat_map(|phase| phase.faults.values());
            let targets = faults.filter_map(shakedown_schemas::scenario::Fault::pods);
            targets.map(|pods| PodSelector { count: None, percent: None, ..pods.clone() }).collect()
        }
    }
}

impl<'a> Collectors<'a> {
    /// Starts to watch the pods of the expectations.
    pub async fn start(scenario: &'a Scenario, cluster: Option<&'a Cluster>, namespace: &str) -> Self {
        let mut collectors = Self {
            scenario,
            cluster,
            namespace: namespace.to_owned(),
            watch: None,
            before: Vec::new(),
            warnings: Vec::new(),
        };
        let Some(cluster) = cluster else { return collectors };
        let mut watched = Vec::new();
        for (_, path, expectation) in asked(scenario) {
            match expectation.collected() {
                Some(Collected::Pods(it)) => watched.push((path, selectors(scenario, it.select.as_ref()))),
                Some(Collected::Logs(it)) => {
                    let selectors = selectors(scenario, it.select.as_ref());
                    match pods::matching(cluster, &selectors, namespace).await {
                        Ok(pods) => collectors.before.push((path.clone(), pods)),
                        Err(error) => collectors.warnings.push(format!("the pods could not be listed: {error}")),
                    }
                    watched.push((path, selectors));
                }
                Some(Collected::Prometheus(_)) | None => {}
            }
        }
        if !watched.is_empty() {
            collectors.watch = Some(pods::Watch::start(cluster.clone(), watched, namespace.to_owned()));
        }
        collectors
    }

    /// Stops the watch, reads Prometheus and the logs, and adds everything to the observations. Returns warnings for the report.
    pub async fn finish(mut self, observations: &mut Observations, zero: Option<Zero>) -> Vec<String> {
        let Some(zero) = zero else { return self.warnings };
        let mut looks = BTreeMap::new();
        if let Some(watch) = self.watch.take() {
            let (seen, problems) = watch.end(zero.at);
            self.warnings.extend(problems);
            looks = seen;
        }
        for (phase, path, expectation) in asked(self.scenario) {
            let looks = looks.remove(&path);
            let seen = match expectation.collected() {
                Some(Collected::Pods(_)) => looks.map(Outside::Pods),
                Some(Collected::Prometheus(it)) => {
                    Some(Outside::Series(prometheus::series(it, phase, observations, &zero).await))
                }
                Some(Collected::Logs(it)) => match (self.cluster, self.before.iter().find(|(asked, _)| *asked == path))
                {
                    (Some(cluster), Some((_, before))) => {
                        let selectors = selectors(self.scenario, it.select.as_ref());
                        let end_ns = observations.phases.last().map_or(0, |span| span.end_ns);
                        let (looks, namespace) = (&looks.unwrap_or_default()[..], &self.namespace[..]);
                        let search = logs::LogSearch { it, selectors, namespace, before, looks, end_ns };
                        Some(Outside::Lines(logs::lines(cluster, &search, &zero).await))
                    }
                    _ => None,
                },
                None => None,
            };
            if let Some(seen) = seen {
                observations.outside.insert(path, seen);
            }
        }
        self.warnings
    }
}
