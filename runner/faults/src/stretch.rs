//! Stretches of time in which a fault may not act on everything that it should act on: pods were replaced or created, or may
//! have been without being observed, and the fault was not adjusted yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Instant;

/// A stretch without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Its beginning.
    pub from: Instant,
    /// Its end; none while it lasts.
    pub to: Option<Instant>,
    /// Why, in words.
    pub why: String,
    /// The UID of the one target that the fault does not act on, because it is gone; none when it concerns the whole fault.
    pub target: Option<String>,
}

/// Why changes of a source can be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// Its watch is broken.
    Watch,
    /// One of its changes could not be processed yet.
    Taking,
}

/// What a fault does not act on yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Objects of the fault must be adjusted.
    Adjust,
    /// The peer with this number has addresses that cannot be cut off.
    Peer(usize),
    /// This pod's replacement cannot be found, or its address cannot be cut off.
    Pod(String),
    /// The target with this UID is gone, and the fault acts on no replacement.
    Lost(String),
}

impl Cause {
    fn target(&self) -> Option<String> {
        match self {
            Self::Lost(uid) => Some(uid.clone()),
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
struct Doubt {
    since: Instant,
    why: String,
    /// The latest error.
    error: Option<String>,
}

impl Doubt {
    fn text(&self) -> String {
        match &self.error {
            Some(error) => format!("{}: {error}", self.why),
            None => self.why.clone(),
        }
    }
}

/// The current and past doubts about faults. `S` names the sources of changes. Faults have numbers.
#[derive(Debug)]
pub(super) struct Doubts<S> {
    /// Since when changes of a source may have been missed.
    blind: BTreeMap<(S, Gap), Doubt>,
    open: BTreeMap<(usize, Cause), Doubt>,
    over: Vec<(usize, Stretch)>,
}

impl<S> Default for Doubts<S> {
    fn default() -> Self {
        Self { blind: BTreeMap::new(), open: BTreeMap::new(), over: Vec::new() }
    }
}

impl<S: Ord + Clone> Doubts<S> {
    /// Changes of a source may be missed from then on.
    pub fn blind(&mut self, source: S, gap: Gap, since: Instant, why: String) {
        let doubt = self.blind.entry((source, gap)).or_insert(Doubt { since, why: String::new(), error: None });
        doubt.since = doubt.since.min(since);
        doubt.why = why;
    }

    /// Records that every change of a source is known again.
    pub fn sees(&mut self, source: &S, gap: Gap) {
        self.blind.remove(&(source.clone(), gap));
    }

    /// Since when changes of a source may have been missed, and why. None if none were.
    pub fn blindness(&self, source: &S) -> Option<(Instant, String)> {
        let both = [Gap::Watch, Gap::Taking].into_iter().filter_map(|gap| self.blind.get(&(source.clone(), gap)));
        both.min_by_key(|doubt| doubt.since).map(|doubt| (doubt.since, doubt.why.clone()))
    }

    /// Records that a fault may not act on everything from then on. True if that is new.
    pub fn open(&mut self, fault: usize, cause: Cause, since: Instant, why: String) -> bool {
        let known = self.open.len();
        let fresh = Doubt { since, why, error: None };
        let doubt = self.open.entry((fault, cause)).or_insert(fresh);
        doubt.since = doubt.since.min(since);
        self.open.len() > known
    }

    /// Records the latest reason why a fault does not act on everything. True if the reason has changed.
    pub fn failed(&mut self, fault: usize, cause: &Cause, error: String) -> bool {
        let Some(doubt) = self.open.get_mut(&(fault, cause.clone())) else { return false };
        let is_new = doubt.error.as_ref() != Some(&error);
        doubt.error = Some(error);
        is_new
    }

    /// Records that this cause no longer applies.
    pub fn close(&mut self, fault: usize, cause: &Cause) {
        if let Some(doubt) = self.open.remove(&(fault, cause.clone())) {
            let to = Some(Instant::now());
            let stretch = Stretch { from: doubt.since, to, why: doubt.text(), target: cause.target() };
            self.over.push((fault, stretch));
        }
    }

    /// Records that a pod replaced a lost target and that the fault has to act on it. In between, there was no pod to act on.
    pub fn replaced(&mut self, fault: usize, uid: &str) {
        self.open.remove(&(fault, Cause::Lost(uid.to_owned())));
    }

    /// The faults for which this cause is open.
    pub fn waiting(&self, cause: &Cause) -> Vec<usize> {
        self.open.keys().filter(|(_, open)| open == cause).map(|(fault, _)| *fault).collect()
    }

    /// The stretches of a fault that depends on these sources, in the order of their beginning.
    pub fn of(&self, fault: usize, sources: &BTreeSet<S>) -> Vec<Stretch> {
        let over = self.over.iter().filter(|(of, _)| *of == fault).map(|(_, stretch)| stretch.clone());
        let open =
            self.open.iter().filter(|((of, _), _)| *of == fault).map(|((_, cause), doubt)| (cause.target(), doubt));
        let blind =
            self.blind.iter().filter(|((source, _), _)| sources.contains(source)).map(|(_, doubt)| (None, doubt));
        let lasting = open.chain(blind);
        let lasting = lasting.map(|(target, doubt)| Stretch { from: doubt.since, to: None, why: doubt.text(), target });
        let mut all: Vec<Stretch> = over.chain(lasting).collect();
        all.sort_by_key(|stretch| stretch.from);
        all
    }
}

/// The pauses between attempts at a failing action.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
    at: Option<Instant>,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Waits for the next attempt. Never returns if none is due.
    pub async fn due(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Schedules another attempt after a pause, which doubles with each failure. An attempt that is already due is not delayed.
    pub fn failed(&mut self) {
        if self.at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.at = Some(Instant::now() + Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST));
        self.failures += 1;
    }

    /// Schedules the next attempt after this time.
    pub fn again_in(&mut self, pause: Duration) {
        // An earlier moment is kept: frequent calls must not delay it for ever.
        let now = Instant::now();
        let at = self.at.filter(|at| *at > now).map_or(now + pause, |at| at.min(now + pause));
        (self.failures, self.at) = (0, Some(at));
    }

    /// No try is due.
    pub fn done(&mut self) {
        *self = Self::default();
    }
}

/// Waits for the next change or the next attempt. Returns the change, if any, and since when it may have existed. None after
/// the end of the changes.
pub(super) async fn turn<T>(
    changes: &mut (impl Stream<Item = T> + Unpin),
    waiting: &mut Waiting,
    back_off: &BackOff,
) -> Option<(Option<T>, Instant)> {
    waiting.idle();
    let change = tokio::select! {
        change = changes.next() => Some(change?),
        () = back_off.due() => None,
    };
    Some((change, waiting.came()))
}

/// Since when a change may have been waiting. Changes wait while an earlier one is being processed.
#[derive(Debug)]
pub(super) struct Waiting {
    work: Instant,
    idle: Instant,
}

impl Waiting {
    /// A change that arrived after more than this time did not wait.
    const AT_ONCE: Duration = Duration::from_millis(5);

    /// Nothing was dealt with yet.
    pub fn new() -> Self {
        let now = Instant::now();
        Self { work: now, idle: now }
    }

    /// Records that the earlier changes are processed.
    pub fn idle(&mut self) {
        self.idle = Instant::now();
    }

    /// Records that a change has arrived. Returns since when it may have existed.
    pub fn came(&mut self) -> Instant {
        let now = Instant::now();
        let waited = now - self.idle <= Self::AT_ONCE;
        let since = if waited { self.work } else { now };
        self.work = now;
        since
    }
}
