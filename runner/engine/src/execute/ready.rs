//! The last step before the load starts. Every check that can refuse the run is made here at the latest.

use std::time::Duration;

use super::context::{Context, Signal};
use crate::plan::{NO_CANARY, Plan};
use futures::future::join_all;
use shakedown_faults::ArmedFault;
use shakedown_faults::chaos::canary::Canaries;
use shakedown_guard::Guard;
use shakedown_guard::fuse::Fuses;

/// How long an action in progress may take to end after a signal.
const ACTION_LIMIT: Duration = Duration::from_secs(2);

/// Checks the faults, creates fuses and locks, and runs the canaries and the preparations of the faults. Returns warnings.
pub(super) async fn prepare(
    context: &Context<'_>,
    faults: &mut [ArmedFault],
    plan: &Plan,
    guard: Option<&mut Guard>,
) -> Result<Vec<String>, String> {
    for (fault, driver) in faults.iter_mut() {
        driver.preflight().await.map_err(|error| format!("fault {}: {error}", fault.name))?;
    }
    let Some(guard) = guard else { return Ok(Vec::new()) };
    let namespaces = faults.iter().flat_map(|(fault, _)| fault.namespaces.clone()).collect();
    guard
        .put_up(namespaces, &plan.fuses, context.holder, &mut context.signal.clone())
        .await
        .map_err(|error| error.to_string())?;
    for (_, driver) in faults.iter_mut() {
        driver.owned_by(guard.fuses());
    }
    let preparing = faults.iter_mut().map(|(fault, driver)| async {
        driver.prepare().await.map_err(|error| format!("fault {}: {error}", fault.name))
    });
    let work = futures::future::join(join_all(preparing), canaries(context, plan, guard.fuses()));
    let (prepared, tried) = interruptible(work, &context.signal).await?;
    let mut problems: Vec<String> = prepared.into_iter().filter_map(Result::err).collect();
    let warnings = tried.unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    });
    if problems.is_empty() { Ok(warnings) } else { Err(problems.join("\n")) }
}

/// Runs the canaries of the plan. Returns warnings. The fuse and the guard remove a canary that is interrupted.
async fn canaries(context: &Context<'_>, plan: &Plan, fuses: &Fuses) -> Result<Vec<String>, String> {
    let Some(cluster) = context.cluster.filter(|_| !plan.canaries.is_empty()) else { return Ok(Vec::new()) };
    let Some(image) = &plan.canary_image else {
        return Ok(vec![format!("canaries were {NO_CANARY}")]);
    };
    Canaries { cluster, run: &plan.run, serial: plan.serial, image, fuses }.check(&plan.canaries).await
}

/// Waits for the preparations, which may take long. After a signal, it waits at most [`ACTION_LIMIT`] for actions in
/// progress: an interrupted action could still reach the server after its undo.
async fn interruptible<T>(ready: impl Future<Output = T>, signal: &Signal) -> Result<T, String> {
    let mut signal = signal.clone();
    tokio::pin!(ready);
    let name = tokio::select! {
        ready = &mut ready => return Ok(ready),
        Ok(name) = signal.wait_for(Option::is_some) => name.unwrap_or("a signal"),
    };
    tokio::time::timeout(ACTION_LIMIT, ready).await.map_err(|_| format!("interrupted by {name}"))
}
