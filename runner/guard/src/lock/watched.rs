//! Whether a lock's holder is alive, by the rule of client-go's leader election: a Lease that is not written for a whole
//! lease duration has expired. Only the local monotonic clock counts. The times in a Lease come from its holder, whose
//! clock may be off by minutes or years.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// How long a lock is valid without a renewal, by the clock of the run that waits for it.
pub(super) const DURATION: Duration = Duration::from_secs(30);
/// The longest accepted lease duration. A forged Lease must not lock a namespace for ever.
const LONGEST: Duration = Duration::from_secs(300);

/// The Leases of some runs as observed since the first look.
#[derive(Debug, Default)]
pub struct Watched {
    /// By UID.
    leases: BTreeMap<String, LeaseSample>,
}

#[derive(Debug)]
struct LeaseSample {
    run: String,
    version: String,
    /// When this version was first observed.
    since: Instant,
    lasts: Duration,
    renewed: bool,
}

/// Whether a run is alive, derived from its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// The run wrote none of its locks for a whole lease duration.
    Dead,
    /// Not known yet. Without a renewal, the run counts as dead after this long.
    Unknown(Duration),
    /// It renewed a lock during the watch. If it dies now, its locks expire after this long.
    Renewed(Duration),
}

impl Watched {
    /// Records the current Leases. A Lease that is missing from the list was released.
    pub fn look(&mut self, leases: &[Value]) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.leases);
        for lease in leases {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let uid = text(&lease["metadata"]["uid"]);
            let version = text(&lease["metadata"]["resourceVersion"]);
            let run = text(&lease["spec"]["holderIdentity"]);
            let seen = match before.remove(&uid) {
                // A new holder starts from zero: the previous holder's renewals prove nothing about it.
                Some(seen) if seen.run != run => {
                    LeaseSample { run, version, since: now, lasts: lasts(lease), renewed: false }
                }
                Some(seen) if seen.version == version => seen,
                Some(_) => LeaseSample { run, version, since: now, lasts: lasts(lease), renewed: true },
                None => LeaseSample { run, version, since: now, lasts: lasts(lease), renewed: false },
            };
            self.leases.insert(uid, seen);
        }
    }

    /// Whether a run is alive now. A run without a lock is dead.
    pub fn life(&self, run: &str) -> Life {
        let its = || self.leases.values().filter(|seen| seen.run == run);
        let left = its().map(|seen| seen.lasts.saturating_sub(seen.since.elapsed())).max().unwrap_or_default();
        match (left, its().any(|seen| seen.renewed)) {
            (Duration::ZERO, _) => Life::Dead,
            (left, true) => Life::Renewed(left),
            (left, false) => Life::Unknown(left),
        }
    }
}

/// After how long without a write a Lease expires. It is never less than [`DURATION`], within which our own holders renew.
fn lasts(lease: &Value) -> Duration {
    let stated = lease["spec"]["leaseDurationSeconds"].as_u64().map_or(DURATION, Duration::from_secs);
    stated.clamp(DURATION, LONGEST)
}
