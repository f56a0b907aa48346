//! The journal: before each action on a cluster, it records the action and its undo, on disk and synced; after it, its
//! outcome. A dead run can then be undone exactly, and an active run can show that it recorded every action first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::Kind;
pub use crate::keys::Mask;
use crate::keys::{Item, ObjectAction, ObjectKey};

/// The journal's file in a run's folder.
pub const FILE: &str = "journal.ndjson";

/// Where an act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// The action is about to be taken.
    Intent,
    /// The action succeeded. For a delete: it was accepted; another line records that the object is gone.
    Done,
    /// The server refused the action, so it has no effect.
    Refused,
    /// The outcome is unknown: the action may have been carried out, or may still be.
    Unclear,
    /// An undo that failed.
    Failed,
    /// Its object was read back and does not exist.
    Gone,
    /// The whole run is in a sandbox, which ends with the run.
    Sandbox,
}

/// The outcome of an action, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded. Contains the UID of the created object.
    Done(Option<String>),
    /// The server refused it, so it has no effect.
    Refused(String),
    /// Its outcome is unknown: it may have been carried out, or may be carried out late.
    Unclear(String),
    /// It was an undo, and it failed.
    Failed(String),
    /// Its object is proven to be gone and can no longer appear.
    Gone,
}

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    run: String,
    seq: u64,
    at: jiff::Timestamp,
    step: Step,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<ObjectAction>,
    /// The command that undoes it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    /// The UID of the created object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An open journal.
pub struct Journal {
    run: String,
    mask: Mask,
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    /// The number of the last action.
    seq: u64,
    /// Whether the file may end within a line after a failed write.
    torn: bool,
}

impl fmt::Debug for Journal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Journal").field("run", &self.run).finish_non_exhaustive()
    }
}

/// The number of attempts to lock a folder, and the pause before each.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

impl Journal {
    /// Opens the journal of a run in its folder, at its end, and keeps it locked until it is dropped. `mask` removes secrets
    /// from everything that is written.
    ///
    /// # Errors
    /// When the file cannot be written, or another live run writes to it.
    pub fn open(folder: &Path, run: &str, mask: Mask) -> std::io::Result<Self> {
        let mut file = File::options().create(true).read(true).append(true).open(folder.join(FILE))?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                // A file system without locks only loses the protection of the lock.
                Ok(()) | Err(TryLockError::Error(_)) => break,
                // A child process shares the open files of its parent, and their locks, until its exec.
                Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let error = "another run writes to this folder: choose another one with --out";
                    return Err(std::io::Error::other(error));
                }
            }
        }
        // The torn last line of a run that was killed must not spoil our first one.
        let mut torn = false;
        if file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            torn = last != *b"\n";
        }
        file.sync_all()?;
        // The file's name is durable only after a sync of its folder.
        if let Ok(folder) = File::open(folder) {
            _ = folder.sync_all();
        }
        Ok(Self { run: run.to_owned(), mask, inner: Mutex::new(Inner { file, seq: 0, torn }) })
    }

    /// Records that the run acts in a sandbox.
    ///
    /// # Errors
    /// When it could not be written and synced.
    pub fn in_sandbox(&self) -> std::io::Result<()> {
        self.lock().append(&self.line(0, Step::Sandbox))
    }

    /// Records that an action is about to be taken, and returns its number. The action may be taken only after this returns.
    /// `by_hand` completes the command that undoes it.
    ///
    /// # Errors
    /// When it could not be written and synced.
    pub fn intend(&self, act: &ObjectAction, by_hand: impl Fn(&str) -> String) -> std::io::Result<u64> {
        let mut inner = self.lock();
        inner.seq += 1;
        let seq = inner.seq;
        let undo = act.undo().map(|item| (self.mask)(&by_hand(&item.command())));
        let line = Line { act: Some(act.masked(&self.mask)), undo, ..self.line(seq, Step::Intent) };
        inner.append(&line)?;
        Ok(seq)
    }

    /// Records the outcome of an action, or a later change of it. Without this entry, a cleanup only checks objects
    /// that are already gone.
    pub fn settle(&self, seq: u64, outcome: Outcome) {
        let (step, uid, error) = match outcome {
            Outcome::Done(uid) => (Step::Done, uid, None),
            Outcome::Refused(error) => (Step::Refused, None, Some(error)),
            Outcome::Unclear(error) => (Step::Unclear, None, Some(error)),
            Outcome::Failed(error) => (Step::Failed, None, Some(error)),
            Outcome::Gone => (Step::Gone, None, None),
        };
        let line = Line { uid, error: error.map(|error| (self.mask)(&error)), ..self.line(seq, step) };
        _ = self.lock().append(&line);
    }

    fn line(&self, seq: u64, step: Step) -> Line {
        let run = self.run.clone();
        Line { run, seq, at: jiff::Timestamp::now(), step, act: None, undo: None, uid: None, error: None }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = if self.torn { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
        // One write, so that a crash leaves a whole line or a torn last one. After a partial write, the next one starts
        // on a new line.
        let written = self.file.write_all(&text);
        self.torn = written.is_err();
        written?;
        self.file.sync_data()
    }
}

/// Whether the process that writes a journal is still alive. Only meaningful on the machine where it was written.
///
/// # Errors
/// When the file cannot be read.
pub fn is_written(path: &Path) -> std::io::Result<bool> {
    match File::open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The state of the cluster according to a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The objects that may still exist: those of all actions that were started, not refused, and not proven to be
    /// gone. The latest first.
    pub outstanding: Vec<Outstanding>,
    /// The objects of Chaos Mesh that are proven to be gone, each with its run: objects that they created may still exist.
    pub gone: Vec<(String, ObjectKey)>,
    /// The pods of other owners of which it is not known whether their run ended them, each with its run and since when.
    pub unclear_ends: Vec<(String, ObjectKey, jiff::Timestamp)>,
    /// The numbers of the lines that could not be read, from 1.
    pub unreadable: Vec<usize>,
    /// True if all its runs were in a sandbox.
    pub is_sandboxed: bool,
}

/// An object or label that may still exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Its run.
    pub run: String,
    /// The object, with its UID if the server returned it.
    pub item: Item,
    /// Since when its outcome is unknown. None if it is known. The server may still carry it out for a while.
    pub unclear: Option<jiff::Timestamp>,
}

/// Reads a journal. An unreadable line affects no other line: an action whose intent is torn was never taken, and a torn
/// outcome only makes the cleanup check the object.
///
/// # Errors
/// If the text is not empty and no line belongs to a journal.
pub fn read(text: &str) -> Result<Contents, String> {
    let mut acts: BTreeMap<(String, u64), (ObjectAction, Outstanding)> = BTreeMap::new();
    // Actions with an unanswered attempt. The answer to another attempt does not settle it.
    let mut unanswered: BTreeSet<(String, u64)> = BTreeSet::new();
    let mut ends: BTreeMap<(String, u64), (ObjectKey, jiff::Timestamp)> = BTreeMap::new();
    let mut made: BTreeSet<ObjectKey> = BTreeSet::new();
    let (mut gone, mut unreadable) = (Vec::new(), Vec::new());
    let (mut runs, mut sandboxed) = (BTreeSet::new(), BTreeSet::new());
    for (index, text) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some(line) = whole(text) else {
            unreadable.push(index + 1);
            continue;
        };
        if line.whole != text.trim() {
            unreadable.push(index + 1);
        }
        let Line { run, seq, at, step, act, uid, .. } = line.line;
        let id = (run.clone(), seq);
        runs.insert(run.clone());
        match &act {
            Some(ObjectAction::Create(key)) => _ = made.insert(ObjectKey { uid: None, ..key.clone() }),
            Some(ObjectAction::Delete(key)) if key.kind == Kind::Pod => _ = ends.insert(id.clone(), (key.clone(), at)),
            None if step == Step::Unclear => _ = ends.get_mut(&id).map(|(_, since)| *since = at),
            None => _ = ends.remove(&id),
            _ => {}
        }
        match (act, step) {
            (_, Step::Sandbox) => _ = sandboxed.insert(run),
            (Some(act), Step::Intent) => {
                if let Some(item) = act.undo() {
                    // The outcome is unknown until it is recorded.
                    acts.insert(id, (act, Outstanding { run, item, unclear: Some(at) }));
                }
            }
            (_, Step::Refused) => _ = acts.remove(&id),
            (_, Step::Gone) => {
                if let Some((_, Outstanding { run, item: Item::Object(key), .. })) = acts.remove(&id)
                    && key.kind.is_chaos()
                {
                    gone.push((run, key));
                }
            }
            (_, Step::Done) => {
                // An unanswered attempt may still create an object of this name, with another UID.
                if let Some((_, left)) = acts.get_mut(&id).filter(|_| !unanswered.contains(&id)) {
                    left.unclear = None;
                    if let Item::Object(key) = &mut left.item {
                        key.uid = uid;
                    }
                }
            }
            (_, Step::Unclear | Step::Failed) => {
                if step == Step::Unclear {
                    unanswered.insert(id.clone());
                }
                if let Some((_, left)) = acts.get_mut(&id) {
                    left.unclear = Some(at);
                }
            }
            (None, Step::Intent) => {}
        }
    }
    if runs.is_empty() && !unreadable.is_empty() {
        return Err("none of its lines belongs to a journal".to_owned());
    }
    // A journal of several runs lists the runs by name, and the actions of each in order.
    let outstanding = acts.into_values().rev().map(|(_, left)| left).collect();
    let is_sandboxed = !runs.is_empty() && runs == sandboxed;
    // The pods of a run itself are outstanding until they are gone.
    ends.retain(|_, (key, _)| !made.contains(&ObjectKey { uid: None, ..key.clone() }));
    let unclear_ends = ends.into_iter().map(|((run, _), (key, since))| (run, key, since)).collect();
    Ok(Contents { outstanding, gone, unclear_ends, unreadable, is_sandboxed })
}

/// A line and its text.
struct Whole<'a> {
    line: Line,
    whole: &'a str,
}

/// The complete line at the end of a text: the part before it is torn.
fn whole(text: &str) -> Option<Whole<'_>> {
    let text = text.trim();
    let begins = text.match_indices(r#"{"run":"#).map(|(at, _)| &text[at..]);
    begins.filter_map(|whole| Some(Whole { line: serde_json::from_str(whole).ok()?, whole })).next()
}

#[cfg(test)]
mod tests;
