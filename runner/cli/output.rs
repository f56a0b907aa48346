//! The result folder. Every file is written completely or not at all, even if the run fails or is interrupted.

use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shakedown_reports::Redactor;
use shakedown_schemas::{Event, Explained, RunResult};

use super::previous::{self, RESULT};
use super::{Failure, ci, print};
use shakedown_cluster::journal::{self, Journal};
use shakedown_engine::events::Listener;

/// The folder of all results, inside the working directory.
const RESULTS: &str = "shakedown-results";
/// The link to the newest of them.
pub const LATEST: &str = "shakedown-results/latest";
/// The size of the reports of an ordinary run, in bytes.
const ROOM: usize = 256 << 10;

/// The file that people open.
const PAGE: &str = "report.html";
/// The file of all events.
const EVENTS: &str = "events.ndjson";

/// A run's folder.
#[derive(Debug, Clone)]
pub struct Output {
    folder: PathBuf,
    linked: bool,
    redactor: Redactor,
    /// The lock of the folder, which ends with the process.
    _lock: Option<Arc<File>>,
}

impl Output {
    /// Creates the folder and reserves space for the reports, so that a full disk or a missing permission is detected
    /// before the first action on a cluster. The result of an earlier run in the folder is kept in its subfolder `earlier`.
    ///
    /// # Errors
    /// If that fails: with exit code 2 if the folder is a file, or another process writes into it.
    pub fn create(out: Option<&Path>, run: &str, redactor: &Redactor) -> Result<Self, Failure> {
        let folder = out.map_or_else(|| Path::new(RESULTS).join(run), Path::to_owned);
        let mut output = Self { folder, linked: out.is_none(), redactor: redactor.clone(), _lock: None };
        let shown = output.folder.display().to_string();
        let describe = |error| {
            Failure::environment(Explained::new(
                format!("could not write to the result folder `{shown}`: {error}"),
                "free some space or choose another folder with --out",
            ))
        };
        if let Some(file) = output.folder.ancestors().find(|it| it.is_file()) {
            return Err(Failure::usage(Explained::new(
                format!(
                    "the result folder `{}` cannot be created: `{}` is a file",
                    output.folder.display(),
                    file.display()
                ),
                "choose another folder with --out",
            )));
        }
        fs::create_dir_all(&output.folder).map_err(describe)?;
        output.lock()?;
        let files = [PAGE, "junit.xml", "summary.md", EVENTS, RESULT];
        if let Some(kept) = previous::keep(&output.folder, run, &files).map_err(describe)? {
            print::note(format_args!("the earlier result in {} is now in {}", output.folder.display(), kept.display()));
        }
        output.write(".room", &vec![0; ROOM]).map_err(describe)?;
        fs::remove_file(output.path(".room")).map_err(describe)?;
        output.write(EVENTS, b"").map_err(describe)?;
        Ok(output)
    }

    /// Keeps other processes out of the folder: two runs would mix their files.
    fn lock(&mut self) -> Result<(), Failure> {
        // Not every system can lock a folder.
        let Ok(folder) = File::open(&self.folder) else { return Ok(()) };
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Failure::usage(Explained::new(
                format!("another process of shakedown is writing to the result folder `{}`", self.folder.display()),
                "choose another folder with --out, or wait until it has ended",
            ))),
            Err(TryLockError::Error(_)) => Ok(()),
            Ok(()) => {
                self._lock = Some(Arc::new(folder));
                Ok(())
            }
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A listener that appends every event to `events.ndjson`.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn recorder(&self) -> Result<Recorder, Failure> {
        let path = self.path(EVENTS);
        let file = File::options().append(true).open(&path).map_err(|error| Failure::unwritten(&path, &error))?;
        Ok(Recorder { file: BufWriter::new(file), failed: false })
    }

    /// The journal of the run's actions, in a sandbox or not.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn journal(&self, run: &str, is_sandbox: bool) -> Result<Arc<Journal>, Failure> {
        let describe = |error| Failure::unwritten(&self.path(journal::FILE), &error);
        let redactor = self.redactor.clone();
        let mask = Box::new(move |text: &str| redactor.text(text));
        let journal = Journal::open(&self.folder, run, mask).map_err(describe)?;
        if is_sandbox {
            journal.in_sandbox().map_err(describe)?;
        }
        Ok(Arc::new(journal))
    }

    /// Writes, without secrets, `result.json` and everything that is rendered from it, and points `latest` to the folder.
    ///
    /// # Errors
    /// The first file that could not be rendered or written. The others are still written.
    pub fn write_result(&self, result: &RunResult) -> Result<(), Failure> {
        let result = &self.redactor.result(result);
        let mut problems = Vec::new();
        let mut keep = |name: &str, bytes: Result<Vec<u8>, String>| {
            let written = bytes.and_then(|bytes| self.write(name, &bytes).map_err(|error| error.to_string()));
            if let Err(error) = written {
                problems.push(format!("{}: {error}", self.path(name).display()));
            }
        };
        keep(RESULT, result_json(result));
        for (name, bytes) in rendered(result, &ci::page(&self.path(PAGE))) {
            keep(name, bytes);
        }
        if self.linked {
            self.link_latest();
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Failure::environment(Explained::new(
                format!("could not write every report:\n   {}", problems.join("\n  ")),
                format!(
                    "free some space; `shakedown report {} --out DIR` renders \
                 them again",
                    self.path(RESULT).display()
                ),
            )))
        }
    }

    /// Rewrites `events.ndjson` from a complete result. A recorder that still writes to the old file has no effect.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_events(&self, result: &RunResult) -> Result<(), Failure> {
        let mut events: Vec<&Event> =
            result.events.iter().chain(result.scenarios.iter().flat_map(|scenario| &scenario.events)).collect();
        events.sort_by_key(|event| event.at);
        let text: String = events.into_iter().map(line).collect();
        self.write(EVENTS, text.as_bytes()).map_err(|error| Failure::unwritten(&self.path(EVENTS), &error))
    }

    /// Writes a file next to the final one, syncs and renames it, so readers see either the old or the new content.
    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.path(name);
        let partial = self.path(&format!(".{name}.partial"));
        let result = (|| {
            let mut file = File::create(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        })();
        if result.is_err() {
            _ = fs::remove_file(&partial);
        }
        result
    }

    /// `shakedown-results/latest` is optional: systems without symbolic links do not get it.
    fn link_latest(&self) {
        #[cfg(unix)]
        if let (Some(parent), Some(name)) = (self.folder.parent(), self.folder.file_name()) {
            let partial = parent.join(".latest.partial");
            _ = fs::remove_file(&partial);
            if std::os::unix::fs::symlink(name, &partial).is_ok() {
                _ = fs::rename(&partial, parent.join("latest"));
            }
        }
    }
}

/// The result as text, the source of every report.
///
/// # Errors
/// If a number cannot be represented in JSON.
pub fn result_json(result: &RunResult) -> Result<Vec<u8>, String> {
    let mut text = serde_json::to_vec_pretty(result).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(text)
}

/// Every report that is rendered from a result, by file name. `page` is where JUnit's readers find the HTML report.
pub fn rendered(result: &RunResult, page: &str) -> Vec<(&'static str, Result<Vec<u8>, String>)> {
    vec![
        (PAGE, shakedown_reports::html(result).map(String::into_bytes).map_err(|error| error.to_string())),
        ("junit.xml", shakedown_reports::junit_with(result, page).map(String::into_bytes).map_err(|it| it.to_string())),
        ("summary.md", Ok(shakedown_reports::markdown(result).into_bytes())),
    ]
}

/// Appends events to a file, line by line.
pub struct Recorder {
    file: BufWriter<File>,
    failed: bool,
}

impl Listener for Recorder {
    fn event(&mut self, event: &Event) {
        // A full disk must not end the run: the result contains the events as well.
        if self.failed {
            return;
        }
        self.failed = self.file.write_all(line(event).as_bytes()).and_then(|()| self.file.flush()).is_err();
    }
}

/// An event as a line of `events.ndjson`.
fn line(event: &Event) -> String {
    let mut line = serde_json::to_string(event).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_engine::events::Events;
    use shakedown_reports::sample;
    use shakedown_schemas::EventKind;

    /// Plants a secret in every text of a result and of an event. No file may contain it.
    #[test]
    fn no_file_contains_a_planted_secret() {
        let secret = "hunter2/and more";
        let planted = serde_json::to_string(&sample::failing()).unwrap();
        let planted = planted.replace("nats", secret).replace("completions", secret);
        let result: RunResult = serde_json::from_str(&planted).unwrap();
        let redactor = Redactor::default();
        assert!(redactor.learn(secret));
        let folder = tempfile::tempdir().unwrap();
        let output = Output::create(Some(folder.path()), "run", &redactor).unwrap();
        let events = Events::new(vec![Box::new(output.recorder().unwrap())]).redacted(redactor);
        events.emit(EventKind::Warning { message: format!("sent {secret}") });
        output.write_result(&result).unwrap();
        let mut files = 0;
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains(secret), "{} holds the secret", path.display());
            // Markdown escapes the brackets of the mask.
            assert!(text.contains("redacted"), "{} never held it", path.display());
            files += 1;
        }
        assert_eq!(files, 5);
        assert!(!serde_json::to_string(&events.log()).unwrap().contains(secret));
    }
}
