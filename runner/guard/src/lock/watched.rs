//! Whether a lock's holder lives, as client-go's leader election finds it out: a Lease that is not written for a whole
//! lease duration has run out. Only our own monotonic clock is read. The times that a Lease states are its holder's,
//! whose clock may be minutes or years away from ours.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// How long a lock holds without being renewed, measured by the clock of the run that waits for it.
pub(super) const DURATION: Duration = Duration::from_secs(30);
/// The longest lease duration that is believed: a forged one must not make a lock last for ever.
const LONGEST: Duration = Duration::from_secs(300);

/// What was seen of the Leases of some runs since we began to look.
#[derive(Debug, Default)]
pub struct Watched {
    /// By UID.
    leases: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    run: String,
    version: String,
    /// When this version was seen first.
    since: Instant,
    lasts: Duration,
    renewed: bool,
}

/// What is known of a run by its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// None of its locks was written for a whole lease duration.
    Dead,
    /// It is not known yet, and will be after this long without a renewal.
    Unknown(Duration),
    /// It renewed a lock while we looked. If it dies now, its locks run out after this long.
    Renewed(Duration),
}

impl Watched {
    /// Takes note of the Leases as they are now. One that is not among them any more was given back.
    pub fn look(&mut self, leases: &[Value]) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.leases);
        for lease in leases {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let uid = text(&lease["metadata"]["uid"]);
            let version = text(&lease["metadata"]["resourceVersion"]);
            let run = text(&lease["spec"]["holderIdentity"]);
            let seen = match before.remove(&uid) {
                // Another holder starts anew: what the one before it did says nothing about it.
                Some(seen) if seen.run != run => Seen { run, version, since: now, lasts: lasts(lease), renewed: false },
                Some(seen) if seen.version == version => seen,
                Some(_) => Seen { run, version, since: now, lasts: lasts(lease), renewed: true },
                None => Seen { run, version, since: now, lasts: lasts(lease), renewed: false },
            };
            self.leases.insert(uid, seen);
        }
    }

    /// What is known of a run now. One without a lock is dead.
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

/// How long a Lease has to stay unwritten. Never less than what our own locks last: their holders renew them in its time.
fn lasts(lease: &Value) -> Duration {
    let stated = lease["spec"]["leaseDurationSeconds"].as_u64().map_or(DURATION, Duration::from_secs);
    stated.clamp(DURATION, LONGEST)
}
