//! The last step before any load is sent: everything that can still refuse does so here.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::context::{Context, Signal};
use shakedown_faults::ArmedFault;
use shakedown_guard::Guard;

/// How long an action that is under way when a signal comes has to end.
const ACTION_LIMIT: Duration = Duration::from_secs(2);

/// Checks the faults, puts fuses and locks up, and prepares what faults need to be ready. Nothing else is made.
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

/// Waits for what gets ready, which may take long; from a signal on only for what is under way: an action that is cut off
/// could still arrive after its undo.
async fn interruptible<T>(ready: impl Future<Output = T>, signal: &Signal) -> Result<T, String> {
    let mut signal = signal.clone();
    tokio::pin!(ready);
    let name = tokio::select! {
        ready = &mut ready => return Ok(ready),
        Ok(name) = signal.wait_for(Option::is_some) => name.unwrap_or("a signal"),
    };
    tokio::time::timeout(ACTION_LIMIT, ready).await.map_err(|_| format!("interrupted by {name}"))
}
