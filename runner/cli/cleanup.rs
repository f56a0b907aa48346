//! `shakedown cleanup`: removes what earlier runs left in a cluster: from a run's journal, or by the labels that
//! everything of ours carries. What a live run still holds is left alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shakedown_reports::Redactor;
use shakedown_schemas::units::Duration;

use super::args;
use super::sandbox::Environment;
use super::{Failure, exit};
use crate::cluster::Cluster;
use crate::sweep::{self, Item};
use crate::{journal, lock};

/// Finds and removes, or only finds with `--check`.
///
/// # Errors
/// When there is no journal, the cluster does not answer, or it refuses.
pub async fn cleanup(args: args::Cleanup, redactor: &Redactor) -> Result<u8, Failure> {
    let by_labels = args.run.is_some() || args.all || args.older_than.is_some();
    let from_journal = if by_labels { None } else { Some(outstanding(args.results.as_deref())?) };
    let environment = Environment::open(&args.target, true, redactor).await?;
    let Some(cluster) = environment.cluster() else { return Ok(exit::PASSED) };
    let found = match from_journal {
        Some(items) => sweep::existing(cluster, items).await.map_err(Failure::environment)?,
        None => by_label(cluster, &args).await?,
    };
    if found.is_empty() {
        println!("nothing is left");
        return Ok(exit::PASSED);
    }
    if args.check {
        for item in &found {
            println!("left: {item}\n  {}", item.command());
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

/// What a journal says may still be there.
fn outstanding(results: Option<&Path>) -> Result<Vec<(String, Item)>, Failure> {
    let given = results.map_or_else(|| PathBuf::from("shakedown-results/latest"), Path::to_owned);
    let path = if given.is_dir() { given.join(journal::FILE) } else { given };
    let name = path.display();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::usage(format!(
            "could not read the journal `{name}`: {error}\nhelp: name a run's result folder, or use --run ID or --all to \
             find what is left by its labels"
        ))
    })?;
    journal::outstanding(&text).map_err(|error| Failure::usage(format!("`{name}`: {error}")))
}

/// What the labels say, without the live runs.
async fn by_label(cluster: &Cluster, args: &args::Cleanup) -> Result<Vec<Item>, Failure> {
    let found = sweep::find_with_runs(cluster, args.run.as_deref()).await.map_err(Failure::environment)?;
    let leases = sweep::leases(cluster).await.map_err(Failure::environment)?;
    let now = Timestamp::now();
    let live: BTreeSet<String> = leases
        .iter()
        .filter(|lease| lock::is_live(lease, now))
        .filter_map(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
        .collect();
    if let Some(run) = args.run.as_ref().filter(|run| live.contains(*run)) {
        return Err(Failure::environment(format!(
            "run {run} is still going on: it holds a lock that it renews\nhelp: end it with Ctrl-C, which undoes everything; \
             when its process is gone, its lock runs out within half a minute"
        )));
    }
    for run in &live {
        eprintln!("run {run} is going on: what it holds is left alone");
    }
    Ok(found
        .into_iter()
        .filter(|(run, _)| !live.contains(run))
        .filter(|(run, _)| args.older_than.is_none_or(|age| is_older(run, age, now)))
        .map(|(_, item)| item)
        .collect())
}

/// Whether a run began longer ago; its id begins with the time. One whose id does not say so counts as old.
fn is_older(run: &str, age: Duration, now: Timestamp) -> bool {
    let begun = run.get(..15).and_then(|text| jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", text).ok());
    let begun = begun.and_then(|begun| begun.to_zoned(jiff::tz::TimeZone::UTC).ok());
    begun.is_none_or(|begun| now.duration_since(begun.timestamp()).as_secs_f64() > age.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_tells_its_age_by_its_id() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let hour = Duration::from_secs(3600);
        assert!(is_older("20260301-105959-abcde", hour, now));
        assert!(!is_older("20260301-110001-abcde", hour, now));
        assert!(is_older("by-hand", hour, now));
    }
}
