//! `shakedown cleanup`: removes what earlier runs left in a cluster, by its labels.

use super::args;
use super::sandbox::Environment;
use super::{Failure, exit};
use crate::sweep;

/// Finds and removes, or only finds with `--check`.
///
/// # Errors
/// When the cluster does not answer or refuses.
pub async fn cleanup(args: args::Cleanup) -> Result<u8, Failure> {
    let environment = Environment::open(&args.target, true).await?;
    let Some(cluster) = environment.cluster() else { return Ok(exit::PASSED) };
    let found = sweep::find(cluster, args.run.as_deref()).await.map_err(Failure::environment)?;
    if found.is_empty() {
        println!("nothing is left");
        return Ok(exit::PASSED);
    }
    if args.check {
        for item in &found {
            println!("left: {item}");
        }
        return Ok(exit::LEFTOVERS);
    }
    let mut code = exit::PASSED;
    for item in &found {
        match sweep::remove(cluster, item).await {
            Ok(()) => println!("removed: {item}"),
            Err(error) => {
                eprintln!("could not remove {item}: {error}\n  {}", item.command());
                code = exit::LEFTOVERS;
            }
        }
    }
    Ok(code)
}
