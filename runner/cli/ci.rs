//! Output for CI systems in addition to the result folder: GitHub Actions gets annotations on the lines of the scenario
//! files and a step summary. The variables that a CI system sets identify it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use shakedown_reports::{Redactor, words};
use shakedown_schemas::Explained;
use shakedown_schemas::RunResult;

use super::checked::Checked;

/// GitHub refuses a step summary of 1 MiB or more, counted over all commands of the step.
const SUMMARY: u64 = 1 << 20;

/// The CI system that runs this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ci {
    /// Whether the system reads commands in the log, on stdout and on stderr.
    annotates: bool,
    /// The file whose Markdown the system shows as the step summary.
    summary: Option<PathBuf>,
    /// The directory to which the paths of annotations are relative.
    workspace: Option<PathBuf>,
}

impl Ci {
    /// Detected from the environment.
    pub fn detect() -> Self {
        Self::from(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from(var: impl Fn(&str) -> Option<OsString>) -> Self {
        Self {
            annotates: var("GITHUB_ACTIONS").is_some_and(|value| value == "true"),
            summary: var("GITHUB_STEP_SUMMARY").map(PathBuf::from),
            workspace: var("GITHUB_WORKSPACE").map(PathBuf::from),
        }
    }

    /// Whether the log has folds.
    pub const fn folds(&self) -> bool {
        self.annotates
    }

    /// The annotations of expectations that did not pass, and of warnings, one per line. Empty on other systems.
    pub fn annotations(&self, result: &RunResult) -> Vec<String> {
        if !self.annotates {
            return Vec::new();
        }
        let mut result = result.clone();
        let here = std::env::current_dir().unwrap_or_default();
        for scenario in &mut result.scenarios {
            scenario.file = relative(&scenario.file, &here, self.workspace.as_deref());
        }
        shakedown_reports::github_annotations(&result)
    }

    /// The annotations of invalid files, one per line. Empty on other systems.
    pub fn problems(&self, checked: &Checked, redactor: &Redactor) -> Vec<String> {
        if !self.annotates {
            return Vec::new();
        }
        let here = std::env::current_dir().unwrap_or_default();
        let path = |file: &str| relative(file, &here, self.workspace.as_deref());
        let unread = checked
            .unread
            .iter()
            .map(|it| shakedown_reports::github_problem(true, &path(&it.path), None, "unreadable", &it.why.message));
        let found = checked.problems.iter().map(|it| {
            let why = Explained { message: it.message.clone(), help: it.help.clone() };
            let text = redactor.text(&why.to_string());
            let place = it.line().zip(it.column());
            shakedown_reports::github_problem(it.is_error(), &path(&it.file), place, it.code.id(), &text)
        });
        unread.chain(found).collect()
    }

    /// Appends to the step's summary.
    ///
    /// # Errors
    /// A warning for the user. The run's verdict is not affected.
    pub fn summarize(&self, result: &RunResult) -> Result<(), String> {
        let Some(path) = &self.summary else { return Ok(()) };
        let append = || {
            let mut file = File::options().append(true).create(true).open(path)?;
            let before = file.metadata()?.len();
            let mut text = format!("{}\n", shakedown_reports::markdown(result));
            if before + text.len() as u64 >= SUMMARY {
                text = format!(
                    "\nshakedown: {}; the step summary has reached its size limit.\n",
                    words::verdict(result.verdict)
                );
            }
            if before + (text.len() as u64) < SUMMARY { file.write_all(text.as_bytes()) } else { Ok(()) }
        };
        append().map_err(|error: std::io::Error| {
            format!("could not append to the step summary {}: {error}", path.display())
        })
    }
}

/// The path of the HTML report for readers of JUnit: next to it, or for GitLab relative to the checkout.
pub fn page(path: &Path) -> String {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    page_in(path, &std::env::current_dir().unwrap_or_default(), var("GITLAB_CI").and(var("CI_PROJECT_DIR")).as_deref())
}

fn page_in(path: &Path, here: &Path, checkout: Option<&OsStr>) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    checkout.map_or(name, |checkout| relative(&path.to_string_lossy(), here, Some(Path::new(checkout))))
}

/// A scenario's file, relative to the workspace if it is inside, or as given.
fn relative(file: &str, here: &Path, workspace: Option<&Path>) -> String {
    let mut whole = PathBuf::new();
    for component in here.join(file).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = whole.pop(),
            other => whole.push(other),
        }
    }
    match workspace.and_then(|workspace| whole.strip_prefix(workspace).ok()) {
        Some(path) => path.to_string_lossy().into_owned(),
        None => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ci(summary: Option<&Path>) -> Ci {
        Ci::from(|name| match name {
            "GITHUB_ACTIONS" => Some("true".into()),
            "GITHUB_STEP_SUMMARY" => summary.map(|path| path.as_os_str().to_owned()),
            _ => None,
        })
    }

    fn result() -> RunResult {
        shakedown_reports::sample::failing()
    }

    #[test]
    fn other_systems_get_no_annotations() {
        let nowhere = Ci::from(|_| None);
        assert_eq!(nowhere, Ci::default());
        assert!(nowhere.annotations(&result()).is_empty());
        assert_eq!(nowhere.summarize(&result()), Ok(()));
    }

    #[test]
    fn failures_are_annotated() {
        let lines = ci(None).annotations(&result());
        assert_eq!(lines.len(), 3, "two failures and a warning");
        assert!(ci(None).folds() && !Ci::default().folds());
        assert!(lines[0].starts_with("::error file=scenarios/quickstart.yaml,line=39,"), "{}", lines[0]);
    }

    #[test]
    fn paths_are_relative_to_the_workspace() {
        let (here, workspace) = (Path::new("/w/repo/chaos"), Some(Path::new("/w/repo")));
        assert_eq!(relative("./a.yaml", here, workspace), "chaos/a.yaml");
        assert_eq!(relative("../b.yaml", here, workspace), "b.yaml");
        assert_eq!(relative("/w/repo/x/c.yaml", here, workspace), "x/c.yaml");
        assert_eq!(relative("/tmp/d.yaml", here, workspace), "/tmp/d.yaml");
        assert_eq!(relative("a.yaml", here, None), "a.yaml");
    }

    #[test]
    fn gitlab_gets_the_page_relative_to_its_checkout() {
        let (path, here) = (Path::new("shakedown-results/x/report.html"), Path::new("/w/repo/chaos"));
        assert_eq!(page_in(path, here, None), "report.html");
        assert_eq!(page_in(path, here, Some(OsStr::new("/w/repo"))), "chaos/shakedown-results/x/report.html");
        assert_eq!(page_in(Path::new("/tmp/report.html"), here, Some(OsStr::new("/w/repo"))), "/tmp/report.html");
    }

    #[test]
    fn the_summary_is_appended_and_limited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.md");
        std::fs::write(&path, "before\n").unwrap();
        ci(Some(&path)).summarize(&result()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("before\n") && text.contains("worker-loses-nats"));
        std::fs::write(&path, "x".repeat((1 << 20) - 500)).unwrap();
        ci(Some(&path)).summarize(&result()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 1 << 20 && text.ends_with("its size limit.\n"), "{}", text.len());
        assert!(ci(Some(folder.path())).summarize(&result()).is_err(), "a folder is no file");
    }
}
