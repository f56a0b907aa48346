//! The journal: before each act on a cluster, what is about to be done and how it is undone, on disk and synced; after
//! it, how it ended. With it, a run whose process is gone can be undone to the letter, and a run that lives can show
//! that nothing was done which it did not write down first.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::keys::Act;
use crate::keys::Item;

/// The journal's file in a run's folder.
pub const FILE: &str = "journal.ndjson";

/// Where an act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// It is about to be done.
    Intent,
    /// It is done.
    Done,
    /// It failed: it may or may not have been done.
    Failed,
}

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    run: String,
    seq: u64,
    at: jiff::Timestamp,
    step: Step,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
    /// The command that undoes it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    run: String,
    inner: Mutex<(File, u64)>,
}

impl Journal {
    /// Opens the journal of a run in its folder, at its end, and keeps it locked until it is dropped.
    ///
    /// # Errors
    /// When the file cannot be written, or another run that lives writes to it.
    pub fn open(folder: &Path, run: &str) -> std::io::Result<Self> {
        let mut file = File::options().create(true).read(true).append(true).open(folder.join(FILE))?;
        match file.try_lock() {
            // A file system without locks costs only what the lock is for.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(std::io::Error::other("another run writes to this folder: choose another one with --out"));
            }
        }
        // The torn last line of a run that was killed must not spoil our first one.
        if file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        file.sync_all()?;
        // The file's name is on disk only when its folder is.
        if let Ok(folder) = File::open(folder) {
            _ = folder.sync_all();
        }
        Ok(Self { run: run.to_owned(), inner: Mutex::new((file, 0)) })
    }

    /// Writes down that an act is about to be done, and returns its number. Only when this returns may it be done.
    /// `by_hand` completes the command that undoes it.
    ///
    /// # Errors
    /// When it could not be written and synced.
    pub fn intend(&self, act: &Act, by_hand: impl Fn(&str) -> String) -> std::io::Result<u64> {
        let mut inner = self.lock();
        inner.1 += 1;
        let seq = inner.1;
        let undo = act.undo().map(|item| by_hand(&item.command()));
        let line = self.line(seq, Step::Intent, Some(act.clone()), undo, None);
        append(&mut inner.0, &line)?;
        Ok(seq)
    }

    /// Writes down how an act ended. A journal that cannot say so only makes the cleanup try what is done already.
    pub fn settle(&self, seq: u64, error: Option<String>) {
        let step = if error.is_some() { Step::Failed } else { Step::Done };
        let line = self.line(seq, step, None, None, error);
        _ = append(&mut self.lock().0, &line);
    }

    fn line(&self, seq: u64, step: Step, act: Option<Act>, undo: Option<String>, error: Option<String>) -> Line {
        Line { run: self.run.clone(), seq, at: jiff::Timestamp::now(), step, act, undo, error }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (File, u64)> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn append(file: &mut File, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    // One write, so that a crash leaves a whole line or a torn last one, which reading passes over.
    file.write_all(&text)?;
    file.sync_data()
}

/// Whether the process that writes a journal still lives. Only meaningful on the machine where it was written.
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

/// What a journal says may still be in the cluster, each with its run: everything that was begun and whose undo is not
/// known to be done, the latest first. A torn line is passed over: the act of a torn intent was never begun, and a torn
/// end only makes the cleanup look.
///
/// # Errors
/// When a line is not one of a journal.
pub fn outstanding(text: &str) -> Result<Vec<(String, Item)>, String> {
    let mut acts: BTreeMap<(String, u64), (Act, bool)> = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) if error.is_eof() && line.starts_with('{') => continue,
            Err(error) => return Err(format!("line {} is not one of a journal: {error}", index + 1)),
        };
        match (line.act, line.step) {
            (Some(act), Step::Intent) => {
                acts.insert((line.run, line.seq), (act, false));
            }
            (_, Step::Done) => {
                if let Some((_, done)) = acts.get_mut(&(line.run, line.seq)) {
                    *done = true;
                }
            }
            _ => {}
        }
    }
    let mut left: Vec<(String, Item)> = Vec::new();
    for ((run, _), (act, done)) in acts {
        if let (Some(item), true) = (act.undoes(), done) {
            left.retain(|(its, known)| *its != run || !known.same(&item));
        }
        if let Some(item) = act.undo() {
            left.push((run, item));
        }
    }
    left.reverse();
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, ObjectKey};

    fn key(name: &str) -> ObjectKey {
        ObjectKey { kind: Kind::NetworkPolicy, namespace: "n".into(), name: name.into(), uid: None }
    }

    fn typed(command: &str) -> String {
        format!("{command} --context c")
    }

    fn read(folder: &Path) -> String {
        std::fs::read_to_string(folder.join(FILE)).unwrap()
    }

    fn left(folder: &Path) -> Vec<Item> {
        let (runs, items): (Vec<String>, Vec<Item>) = outstanding(&read(folder)).unwrap().into_iter().unzip();
        assert!(runs.iter().all(|run| run == "r"));
        items
    }

    #[test]
    fn what_was_begun_and_not_undone_is_outstanding() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "r").unwrap();
        let pod = ObjectKey { kind: Kind::Pod, ..key("pod") };
        let mark = journal.intend(&Act::Mark(pod.clone(), "l".into()), typed).unwrap();
        assert_eq!(left(folder.path()), [Item::Mark(pod.clone(), "l".into())], "before its end");
        journal.settle(mark, None);
        let made = journal.intend(&Act::Create(key("a")), typed).unwrap();
        journal.settle(made, Some("no answer".into()));
        let both = [Item::Object(key("a")), Item::Mark(pod.clone(), "l".into())];
        assert_eq!(left(folder.path()), both, "a failed act may have been done");
        let gone = journal.intend(&Act::Delete(ObjectKey { uid: Some("u".into()), ..key("a") }), typed).unwrap();
        assert_eq!(left(folder.path()), both, "an undo counts when it is done");
        journal.settle(gone, None);
        let off = journal.intend(&Act::Unmark(pod, "l".into()), typed).unwrap();
        journal.settle(off, None);
        assert_eq!(left(folder.path()), []);
    }

    #[test]
    fn a_torn_line_is_passed_over_and_nonsense_is_not() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path(), "r").unwrap().intend(&Act::Create(key("a")), typed).unwrap();
        let path = folder.path().join(FILE);
        // Killed in the middle of a line, at every byte of it; then another run writes to the same folder.
        let whole = std::fs::read(&path).unwrap();
        for length in 1..whole.len() {
            let mut torn = whole.clone();
            torn.extend(&whole[..length]);
            std::fs::write(&path, torn).unwrap();
            assert_eq!(outstanding(&read(folder.path())).unwrap().len(), 1, "{length}");
            Journal::open(folder.path(), "s").unwrap().intend(&Act::Create(key("b")), typed).unwrap();
            let left = outstanding(&read(folder.path())).unwrap();
            assert_eq!(left.iter().map(|(run, _)| run.as_str()).collect::<Vec<_>>(), ["s", "r"], "{length}");
        }
        let text = read(folder.path());
        assert!(outstanding(&format!("nonsense\n{text}")).unwrap_err().contains("line 1"));
    }

    #[test]
    fn a_journal_is_locked_while_its_run_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let journal = Journal::open(folder.path(), "r").unwrap();
        assert!(is_written(&path).unwrap());
        assert!(Journal::open(folder.path(), "s").unwrap_err().to_string().contains("--out"));
        drop(journal);
        assert!(!is_written(&path).unwrap());
    }

    #[test]
    fn every_entry_says_how_it_is_undone_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path(), "r").unwrap().intend(&Act::Create(key("a")), typed).unwrap();
        assert!(read(folder.path()).contains(r#""undo":"kubectl -n n delete networkpolicy a --context c""#));
    }
}
