//! The part of an execution that acts: everything is put up, the timeline runs, and everything is taken down again.

use std::collections::BTreeSet;

use shakedown_schemas::EventKind;
use shakedown_schemas::result::{AddressInfo, Leftover, LoadInfo, RequestInfo, ScenarioResult};
use tokio::sync::watch;

use super::context::{Execution, Signal, contained};
use super::ready::prepare;
use crate::arm::{Armed, ArmedLoad};
use crate::collectors::{Gatherer, Zero};
use crate::diagnostics;
use crate::events::Events;
use crate::plan::Plan;
use crate::timeline::{self, Outcome, Stop, Timeline};
use shakedown_faults::ArmedFault;
use shakedown_guard::{Guard, Remains};
use shakedown_judge as judge;
use shakedown_load::Engine;
use shakedown_observe::LoadObservations;

/// What a run has seen.
pub(super) struct Seen {
    /// What happened.
    pub outcome: Outcome,
    /// The loads with what became of their requests.
    pub loads: Vec<LoadInfo>,
    /// What the reader should know, in words.
    pub warnings: Vec<String>,
    /// The pods as they were before, which the diagnostics compare with.
    pub before: Option<diagnostics::Before>,
}

impl Execution<'_> {
    /// Runs what was armed. What could not be removed is in the result at once: whatever goes wrong later, it is reported.
    pub(super) async fn run(
        &self,
        plan: &Plan,
        armed: Armed,
        mut guard: Option<Guard>,
        result: &mut ScenarioResult,
    ) -> Seen {
        let Armed { loads, engine, mut faults } = armed;
        self.announce(plan, &loads, result);
        let before = self.look_before(plan).await;
        let mut warnings = Vec::new();
        if !plan.faults.is_empty() && plan.fuses.is_empty() {
            warnings.push("there was no fuse: the undo depended on the runner being alive (--no-fuse)".to_owned());
        }
        let collectors = Gatherer::start(&self.document.scenario, self.context.cluster, &plan.namespace).await;
        // Whatever fails in here, what was put up is taken down.
        let acting = contained(self.act(plan, engine, &mut faults, guard.as_mut())).await;
        let mut outcome = acting.unwrap_or_else(|panic| Outcome { errors: vec![panic], ..Outcome::default() });
        result.leftovers = self.take_down(guard, &mut outcome).await;
        let zero = self.events.zero().map(|at| Zero { at, wall: diagnostics::zero(result, &self.events.log()) });
        if !self.is_interrupted() {
            warnings.extend(collectors.finish(&mut outcome.observations, zero).await);
        }
        let counted = |load: &ArmedLoad| {
            let seen = outcome.observations.loads.iter().find(|seen| seen.name == load.name());
            seen.map_or_else(|| load.info(), |seen| counted(load.info(), seen))
        };
        let loads = loads.iter().map(counted).collect();
        Seen { outcome, loads, warnings, before }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.context.signal.borrow().is_some()
    }

    /// Says how the loads get to their services and which pods were chosen.
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

    /// Looks at the pods of all namespaces that the scenario touches.
    async fn look_before(&self, plan: &Plan) -> Option<diagnostics::Before> {
        let cluster = self.context.cluster?;
        let namespaces = plan.faults.iter().flat_map(|fault| &fault.plan.namespaces).chain([&plan.namespace]);
        let namespaces: BTreeSet<String> = namespaces.filter(|it| !it.is_empty()).cloned().collect();
        Some(diagnostics::Before::look(cluster, namespaces).await)
    }

    /// Gets everything ready and runs the timeline.
    async fn act(
        &self,
        plan: &Plan,
        engine: Engine,
        faults: &mut Vec<ArmedFault>,
        mut guard: Option<&mut Guard>,
    ) -> Outcome {
        let context = self.context;
        if let Err(message) = prepare(context, faults, &plan.fuses, guard.as_deref_mut()).await {
            self.events.emit(EventKind::Error { message: message.clone() });
            let mut errors = vec![message];
            for (fault, driver) in faults {
                if let Err(error) = driver.dismiss().await {
                    errors.push(format!("what fault {} had got ready could not be removed: {error}", fault.name));
                }
            }
            return Outcome { errors, ..Outcome::default() };
        }
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

    /// Takes locks and fuses down, and looks for what is left.
    async fn take_down(&self, guard: Option<Guard>, outcome: &mut Outcome) -> Vec<Leftover> {
        let cluster = self.context.cluster;
        let mut leftovers = std::mem::take(&mut outcome.leftovers);
        if let Some(guard) = guard {
            let remains = contained(guard.stand_down(self.context.holder, self.is_interrupted())).await;
            let remains = remains.unwrap_or_else(|panic| Remains { unknown: Some(panic), ..Remains::default() });
            leftovers.extend(remains.leftovers);
            if let Some(error) = remains.unknown {
                let look = format!("shakedown cleanup --check --run {}", self.options.run);
                let look = cluster.map_or_else(|| look.clone(), |cluster| cluster.by_hand(&look));
                let message = format!("it is not known whether something is left: {error}\nhelp: `{look}` looks again");
                outcome.errors.push(message);
            }
        }
        if let Some(cluster) = cluster {
            // What made them knows the object, and not how this cluster is reached.
            leftovers.iter_mut().for_each(|left| left.command = cluster.by_hand(&left.command));
        }
        once_each(leftovers)
    }
}

/// Each leftover once: the fault that made it knows best why it is left and what removes it, and the guard finds it again.
pub(super) fn once_each(mut leftovers: Vec<Leftover>) -> Vec<Leftover> {
    let mut told = BTreeSet::new();
    leftovers.retain(|left| told.insert(left.what.clone()));
    leftovers
}

/// A load with what became of its requests.
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
    // A single address is that of the target, which the report shows already.
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
        // A closed channel would mean that no stop can come any more.
        sender.closed().await;
    });
    receiver
}

/// The first value, which may never come.
async fn first<T: Clone>(receiver: Option<watch::Receiver<Option<T>>>) -> T {
    if let Some(mut receiver) = receiver {
        let value = receiver.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        if let Some(value) = value {
            return value;
        }
    }
    std::future::pending().await
}
