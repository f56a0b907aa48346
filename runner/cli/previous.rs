//! The result of a previous run in a result folder: it is kept when another run writes there, and `--last-failed` reads it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shakedown_schemas::read_file;
use shakedown_schemas::result::{Identity, RunResult, Trial};

use super::totals;

/// The subfolder of kept results.
pub const FOLDER: &str = "earlier";

/// The result of a run, from which every report is rendered.
pub const RESULT: &str = "result.json";

/// The largest result that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// Moves these files of another run's result into `earlier/RUN-ID`, and returns that folder. Does nothing without a result,
/// or if the result is that of this run. The journal stays: it may hold objects that still exist.
///
/// # Errors
/// If a file cannot be moved.
pub fn keep(folder: &Path, run: &str, files: &[&str]) -> io::Result<Option<PathBuf>> {
    let there = folder.join(RESULT);
    if !there.is_file() {
        return Ok(None);
    }
    let id = id(&there);
    if id.as_deref() == Some(run) {
        return Ok(None);
    }
    let name = id.unwrap_or_else(|| "unknown".to_owned());
    let places = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    let place = places.map(|name| folder.join(FOLDER).join(name)).find(|place| !place.exists()).unwrap_or_default();
    fs::create_dir_all(&place)?;
    // The result goes last: an interrupted move is completed by the next run.
    for file in files.iter().filter(|file| **file != RESULT).chain(&[RESULT]) {
        match fs::rename(folder.join(file), place.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(Some(place))
}

/// The run's id in a result, if it can be the name of a folder.
fn id(result: &Path) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(&read_file(result, LARGEST).ok()?).ok()?;
    let id = value["run"]["id"].as_str()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!id.is_empty() && id.len() <= 80 && id.chars().all(fits)).then(|| id.to_owned())
}

/// How the scenarios of an earlier result ended.
pub struct Ended {
    /// The kinds of run in it.
    trials: Vec<Option<Trial>>,
    /// Each scenario by file and name, and whether it had the outcome that its kind of run requires.
    scenarios: Vec<(String, String, bool)>,
}

impl Ended {
    /// Of this result.
    pub fn of(result: &RunResult) -> Self {
        let ran = result.scenarios.iter().map(|it| (it.identity(), totals::did_as_it_must(it)));
        let left = result.not_run.iter().map(|it| (it.identity(), false));
        let own = |(it, done): (Identity<'_>, bool)| (it.file.to_owned(), it.name.to_owned(), done);
        Self {
            trials: result.scenarios.iter().map(|it| it.trial).collect(),
            scenarios: ran.chain(left).map(own).collect(),
        }
    }

    /// Another kind of run in it.
    pub fn unlike(&self, trial: Option<Trial>) -> Option<Option<Trial>> {
        self.trials.iter().copied().find(|it| *it != trial)
    }

    /// Whether this scenario is done. None if it is not in that result.
    pub fn is_done(&self, file: &str, name: &str) -> Option<bool> {
        let mut all = self
            .scenarios
            .iter()
            .filter(|(of, named, _)| Identity::new(of, named) == Identity::new(file, name))
            .peekable();
        all.peek()?;
        Some(all.all(|(.., done)| *done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::sample;

    #[test]
    fn an_earlier_result_is_moved_and_the_same_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let files = ["report.html", "result.json", "junit.xml"];
        assert_eq!(keep(folder.path(), "new", &files).unwrap(), None, "nothing is there");
        for place in ["earlier/20260131-120000-k3x9", "earlier/20260131-120000-k3x9-2"] {
            write("result.json", &serde_json::to_string(&sample::passing()).unwrap());
            write("report.html", "page");
            write("journal.ndjson", "");
            assert_eq!(keep(folder.path(), "20260131-120000-k3x9", &files).unwrap(), None, "the same run");
            let moved = keep(folder.path(), "new", &files).unwrap().unwrap();
            assert_eq!(moved, folder.path().join(place));
            assert_eq!(fs::read_to_string(moved.join("report.html")).unwrap(), "page");
            assert!(moved.join("result.json").exists() && !folder.path().join("result.json").exists());
            assert!(folder.path().join("journal.ndjson").exists(), "cleanup needs it");
        }
        write("result.json", "{\"run\": {\"id\": \"../../x\"}}");
        assert_eq!(keep(folder.path(), "new", &files).unwrap().unwrap(), folder.path().join("earlier/unknown"));
    }

    #[test]
    fn what_did_not_pass_is_asked_for_again() {
        let ended = Ended::of(&sample::cut_short());
        assert_eq!(ended.is_done("./scenarios/single-worker.yaml", "single-worker"), Some(false));
        assert_eq!(ended.is_done("scenarios/worker-killed.yaml", "worker-killed"), Some(false), "it did not run");
        assert_eq!(ended.is_done("scenarios/quickstart.yaml", "worker-loses-nats"), Some(true));
        assert_eq!(ended.is_done("scenarios/other.yaml", "other"), None);
    }

    #[test]
    fn a_trial_is_done_if_it_ended_as_it_must() {
        let mut overkill = sample::failing();
        overkill.scenarios[0].trial = Some(Trial::Overkill);
        let ended = Ended::of(&overkill);
        assert_eq!(ended.is_done(&overkill.scenarios[0].file, &overkill.scenarios[0].name), Some(true));
        assert_eq!((ended.unlike(Some(Trial::Overkill)), ended.unlike(None)), (None, Some(Some(Trial::Overkill))));
    }
}
