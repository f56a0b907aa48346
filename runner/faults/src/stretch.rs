//! Stretches of time in which a fault is not known to act on everything that it should act on: pods were replaced or came,
//! or that may have happened unseen, and the fault was not adjusted yet.

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

/// How what a source says can be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// Its watch is broken.
    Watch,
    /// Something that it said could not be taken in yet.
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
    /// The target of this UID is gone, and nothing that the fault acts on has replaced it.
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

/// What is not known about faults, and was not. `S` names the sources of changes. Faults have numbers.
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

    /// Everything about a source is known again.
    pub fn sees(&mut self, source: &S, gap: Gap) {
        self.blind.remove(&(source.clone(), gap));
    }

    /// Since when changes of a source may have been missed, and why; none when none were.
    pub fn blindness(&self, source: &S) -> Option<(Instant, String)> {
        let both = [Gap::Watch, Gap::Taking].into_iter().filter_map(|gap| self.blind.get(&(source.clone(), gap)));
        both.min_by_key(|doubt| doubt.since).map(|doubt| (doubt.since, doubt.why.clone()))
    }

    /// A fault may not act on everything from then on. True when that is new.
    pub fn open(&mut self, fault: usize, cause: Cause, since: Instant, why: String) -> bool {
        let known = self.open.len();
        let fresh = Doubt { since, why, error: None };
        let doubt = self.open.entry((fault, cause)).or_insert(fresh);
        doubt.since = doubt.since.min(since);
        self.open.len() > known
    }

    /// The latest reason why a fault still does not act on everything. True when it is another one than before.
    pub fn failed(&mut self, fault: usize, cause: &Cause, error: String) -> bool {
        let Some(doubt) = self.open.get_mut(&(fault, cause.clone())) else { return false };
        let is_new = doubt.error.as_ref() != Some(&error);
        doubt.error = Some(error);
        is_new
    }

    /// The fault acts on everything again, as far as this cause is concerned.
    pub fn close(&mut self, fault: usize, cause: &Cause) {
        if let Some(doubt) = self.open.remove(&(fault, cause.clone())) {
            let to = Some(Instant::now());
            let stretch = Stretch { from: doubt.since, to, why: doubt.text(), target: cause.target() };
            self.over.push((fault, stretch));
        }
    }

    /// A lost target was replaced by a pod that the fault is to act on. In between there was nothing to act on.
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

/// The pauses between two tries of something that fails.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
    at: Option<Instant>,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Waits for the next try; for ever when none is due.
    pub async fn due(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Another try is due after a pause, which doubles with each failure. A try that is due already is not put off.
    pub fn failed(&mut self) {
        if self.at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.at = Some(Instant::now() + Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST));
        self.failures += 1;
    }

    /// The next try is due after this time.
    pub fn again_in(&mut self, pause: Duration) {
        // An earlier moment is kept: what comes often must not delay it for ever.
        let now = Instant::now();
        let at = self.at.filter(|at| *at > now).map_or(now + pause, |at| at.min(now + pause));
        (self.failures, self.at) = (0, Some(at));
    }

    /// No try is due.
    pub fn done(&mut self) {
        *self = Self::default();
    }
}

/// Waits for the next change, or until something is to be tried again. Returns the change, if any, and since when it may have
/// been there; none once the changes have ended.
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

/// Since when a change may have been waiting. Changes that come while an earlier one is dealt with have to wait.
#[derive(Debug)]
pub(super) struct Waiting {
    work: Instant,
    idle: Instant,
}

impl Waiting {
    /// A change that took longer than this to come did not wait.
    const AT_ONCE: Duration = Duration::from_millis(5);

    /// Nothing was dealt with yet.
    pub fn new() -> Self {
        let now = Instant::now();
        Self { work: now, idle: now }
    }

    /// The earlier changes are dealt with.
    pub fn idle(&mut self) {
        self.idle = Instant::now();
    }

    /// A change is there. Returns since when it may have been.
    pub fn came(&mut self) -> Instant {
        let now = Instant::now();
        let waited = now - self.idle <= Self::AT_ONCE;
        let since = if waited { self.work } else { now };
        self.work = now;
        since
    }
}
