//! The acting part of an execution: it creates the guard, runs the timeline, and removes everything again.

use std::collections::BTreeSet;

use shakedown_schemas::EventKind;
use shakedown_schemas::Explained;
use shakedown_schemas::result::{AddressInfo, Leftover, LoadInfo, RequestInfo, ScenarioResult};
use tokio::sync::watch;

use super::context::{Execution, Signal, contained};
use super::ready::prepare;
use crate::arm::{Armed, ArmedLoad};
use crate::collectors::{Collectors, Zero};
use crate::diagnostics;
use crate::events::Events;
use crate::plan::Plan;
use crate::timeline::{self, Outcome, Stop, Timeline};
use shakedown_faults::ArmedFault;
use shakedown_guard::{Guard, Remains};
use shakedown_judge as judge;
use shakedown_load::Engine;
use shakedown_observe::LoadObservations;

/// The data that a run recorded.
pub(super) struct RunRecord {
    /// The outcome of the timeline.
    pub outcome: Outcome,
    /// The loads with the counts of their requests.
    pub loads: Vec<LoadInfo>,
    /// Warnings for the report.
    pub warnings: Vec<String>,
    /// The pods before the run, for comparison in the diagnostics.
    pub before: Option<diagnostics::Before>,
}

impl Execution<'_> {
    /// Runs the armed plan. Leftovers enter the result at once, so that they are reported even if a later step fails.
    pub(super) async fn run(
        &self,
        plan: &Plan,
        armed: Armed,
        mut guard: Option<Guard>,
        result: &mut ScenarioResult,
    ) -> RunRecord {
        let Armed { loads, engine, mut faults } = armed;
        self.announce(plan, &loads, result);
        let before = self.look_before(plan).await;
        let mut warnings = Vec::new();
        if !plan.faults.is_empty() && plan.fuses.is_empty() {
            warnings.push(
                "the run had no fuse (--no-fuse): if the runner had died, its faults would have stayed".to_owned(),
            );
        }
        let collectors = Collectors::start(&self.document.scenario, self.context.cluster, &plan.namespace).await;
        let mut recording = None;
        // Errors and panics in here must not prevent the removal below.
        let record = async { recording = self.record(plan, &mut warnings).await };
        let acting = contained(self.act(plan, engine, &mut faults, guard.as_mut(), record)).await;
        let mut outcome = acting.unwrap_or_else(|panic| Outcome { errors: vec![panic], ..Outcome::default() });
        result.leftovers = self.take_down(guard, &mut outcome).await;
        if let Some(recording) = recording {
            warnings.extend(recording.finish().await);
        }
        let zero = self.events.zero().map(|at| Zero { at, wall: diagnostics::zero(result, &self.events.log()) });
        if !self.is_interrupted() {
            warnings.extend(collectors.finish(&mut outcome.observations, zero).await);
        }
        let counted = |load: &ArmedLoad| {
            let seen = outcome.observations.load(load.name());
            seen.map_or_else(|| load.info(), |seen| counted(load.info(), seen))
        };
        let loads = loads.iter().map(counted).collect();
        RunRecord { outcome, loads, warnings, before }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.context.signal.borrow().is_some()
    }

    /// Reports how the loads reach their services, and the chosen targets.
    fn announce(&self, plan: &Plan, loads: &[ArmedLoad], result: &mut ScenarioResult) {
        result.namespace.clone_from(&plan.namespace);
        result.loads = loads.iter().map(ArmedLoad::info).collect();
        for load in &result.loads {
            self.events.emit(EventKind::Reached { load: load.name.clone(), how: load.reached() });
        }
        for fault in plan.faults.iter().map(|fault| &fault.plan) {
            let pods = fault.targets.iter().map(|pod| pod.name.clone()).collect();
            self.events.emit(EventKind::TargetsChosen { fault: fault.name.clone(), pods });
        }
    }

    /// Records the pods of all namespaces of the scenario.
    async fn look_before(&self, plan: &Plan) -> Option<diagnostics::Before> {
        let cluster = self.context.cluster?;
        let namespaces = plan.faults.iter().flat_map(|fault| &fault.plan.namespaces).chain([&plan.namespace]);
        let namespaces: BTreeSet<String> = namespaces.filter(|it| !it.is_empty()).cloned().collect();
        Some(diagnostics::Before::look(cluster, namespaces).await)
    }

    /// Prepares the run, begins to `record` it, and runs the timeline. Canaries are not recorded.
    async fn act(
        &self,
        plan: &Plan,
        engine: Engine,
        faults: &mut Vec<ArmedFault>,
        mut guard: Option<&mut Guard>,
        record: impl Future<Output = ()>,
    ) -> Outcome {
        let context = self.context;
        let prepared = prepare(context, faults, plan, guard.as_deref_mut()).await;
        for message in prepared.iter().flatten() {
            self.events.emit(EventKind::Warning { message: message.clone() });
        }
        if let Err(message) = prepared {
            self.events.emit(EventKind::Error { message: message.clone() });
            let mut errors = vec![message];
            for (fault, driver) in faults {
                if let Err(error) = driver.dismiss().await {
                    errors.push(format!("the preparations of fault {} could not be removed: {error}", fault.name));
                }
            }
            return Outcome { errors, ..Outcome::default() };
        }
        record.await;
        let scenario = &self.document.scenario;
        let (judged, seed) = (scenario.clone(), context.seed);
        let gate: timeline::Gate = Box::new(move |seen| judge::problems(&judged, seen, seed));
        timeline::run(Timeline {
            scenario,
            faults: std::mem::take(faults),
            load: Box::new(engine),
            events: self.events.clone(),
            stop: stops(context.signal.clone(), guard.as_deref(), self.events),
            undo_limit: context.undo_limit,
            gate: (!context.inject_anyway).then_some(gate),
        })
        .await
    }

    /// Removes locks and fuses, and checks for leftovers.
    async fn take_down(&self, guard: Option<Guard>, outcome: &mut Outcome) -> Vec<Leftover> {
        let cluster = self.context.cluster;
        let mut leftovers = std::mem::take(&mut outcome.leftovers);
        if let Some(mut guard) = guard {
            guard.gave_up(&leftovers);
            let remains = contained(guard.stand_down(self.context.holder, self.is_interrupted())).await;
            let remains = remains.unwrap_or_else(|panic| Remains { unknown: Some(panic), ..Remains::default() });
            leftovers.extend(remains.leftovers);
            for left in leftovers.iter_mut().filter(|left| left.command.starts_with("kubectl ")) {
                if let Some((command, why)) = remains.held.get(&left.what) {
                    (left.command, left.error) = (command.clone(), why.clone());
                }
            }
            if let Some(error) = remains.unknown {
                let look = format!("shakedown cleanup --check --run {}", self.options.run);
                let look = cluster.map_or_else(|| look.clone(), |cluster| cluster.by_hand(&look));
                let message = Explained::new(
                    format!("it is not known whether leftovers exist: {error}"),
                    format!("check again with `{look}`"),
                );
                outcome.errors.push(message.to_string());
            }
        }
        if let Some(cluster) = cluster {
            // The code that recorded the leftovers does not know the flags that reach this cluster.
            leftovers.iter_mut().for_each(|left| left.command = cluster.by_hand(&left.command));
        }
        once_each(leftovers)
    }
}

/// Each leftover once. The entry of the fault comes first: it knows the reason and the command, and the guard finds the object
/// again.
pub(super) fn once_each(mut leftovers: Vec<Leftover>) -> Vec<Leftover> {
    let mut seen = BTreeSet::new();
    leftovers.retain(|left| seen.insert(left.what.clone()));
    leftovers
}

/// A load with the counts of its requests.
fn counted(info: LoadInfo, seen: &LoadObservations) -> LoadInfo {
    let requests = seen.requests.iter().map(|(name, (succeeded, failed))| RequestInfo {
        name: name.clone(),
        succeeded: *succeeded,
        failed: *failed,
    });
    let addresses = seen.addresses.iter().map(|(address, (connections, requests))| AddressInfo {
        address: address.to_string(),
        connections: *connections,
        requests: *requests,
    });
    // A single address is the target's, which the report already shows.
    let addresses = if seen.addresses.len() > 1 { addresses.collect() } else { Vec::new() };
    let peculiarities = seen.peculiarities.iter().map(|it| it.words().to_owned()).collect();
    let (requests, issued) = (requests.collect(), Some(seen.issued));
    LoadInfo { requests, addresses, issued, resent: seen.resent, peculiarities, ..info }
}

/// One channel for everything that ends a run early. The task ends with its listeners.
fn stops(signal: Signal, guard: Option<&Guard>, events: &Events) -> watch::Receiver<Option<Stop>> {
    let (sender, receiver) = watch::channel(None);
    let events = events.clone();
    let (lost, burned) = (guard.map(Guard::lost), guard.map(Guard::burned));
    tokio::spawn(async move {
        let stop = tokio::select! {
            biased;
            name = first(Some(signal)) => Stop::Signal(name),
            reason = first(burned) => Stop::Fuse(reason),
            reason = first(lost) => Stop::Because(reason),
            () = sender.closed() => return,
        };
        if let Stop::Because(reason) | Stop::Fuse(reason) = &stop {
            events.emit(EventKind::Error { message: format!("stopped: {reason}") });
        }
        _ = sender.send(Some(stop));
        // Keep the channel open: closed, it would mean that no stop can arrive.
        sender.closed().await;
    });
    receiver
}

/// Waits for the first value. It may never arrive.
async fn first<T: Clone>(receiver: Option<watch::Receiver<Option<T>>>) -> T {
    if let Some(mut receiver) = receiver {
        let value = receiver.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        if let Some(value) = value {
            return value;
        }
    }
    std::future::pending().await
}
