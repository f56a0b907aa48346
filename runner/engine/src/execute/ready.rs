//! The last step before the load starts. Every check that can refuse the run is made here at the latest.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::context::{Context, Signal};
use shakedown_faults::ArmedFault;
use shakedown_guard::Guard;

/// How long an action in progress may take to end after a signal.
const ACTION_LIMIT: Duration = Duration::from_secs(2);

/// Checks the faults, creates fuses and locks, and runs the preparations of the faults.
pub(super) async fn prepare(
    context: &Context<'_>,
    faults: &mut [ArmedFault],
    fuses: &[Value],
    guard: Option<&mut Guard>,
) -> Result<(), String> {
    for (fault, driver) in faults.iter_mut() {
        driver.preflight().await.map_err(|error| format!("fault {}: {error}", fault.name))?;
    }
    let Some(guard) = guard else { return Ok(()) };
    let namespaces = faults.iter().flat_map(|(fault, _)| fault.namespaces.clone()).collect();
    guard
        .put_up(namespaces, fuses, context.holder, &mut context.signal.clone())
        .await
        .map_err(|error| error.to_string())?;
    for (_, driver) in faults.iter_mut() {
        driver.owned_by(guard.fuses());
    }
    let preparing = faults.iter_mut().map(|(fault, driver)| async {
        driver.prepare().await.map_err(|error| format!("fault {}: {error}", fault.name))
    });
    let prepared = interruptible(join_all(preparing), &context.signal).await?;
    let problems: Vec<String> = prepared.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
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
