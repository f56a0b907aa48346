//! A run's result folder, read as its consumers read it: each file by its own format.

use std::path::{Path, PathBuf};

use quick_junit::{Report, TestCaseStatus};
use shakedown_schemas::result::{
    ExpectationResult, FaultResult, PhaseResult, Proof, RunResult, ScenarioResult, Verdict,
};
use shakedown_schemas::{Event, RunResult as Result};

/// The reports that every run leaves.
pub const FILES: [&str; 5] = ["events.ndjson", "junit.xml", "report.html", "result.json", "summary.md"];

/// The file that a run against a cluster writes in addition: each of its actions, for `cleanup`.
const JOURNAL: &str = "journal.ndjson";

/// The folder with the results of earlier runs in the same folder.
const EARLIER: &str = "earlier";

/// A result folder.
pub struct Reports {
    folder: PathBuf,
    pub result: Result,
    pub junit: Report,
    pub events: Vec<Event>,
}

impl Reports {
    /// Reads a folder; fails the test if a file is missing, is not of its format, or is one too many.
    #[track_caller]
    pub fn of(folder: &Path) -> Self {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("no result folder {}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.retain(|name| name != JOURNAL && name != EARLIER);
        assert_eq!(names, FILES, "the result folder holds exactly these files, none of them partial");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("UTF-8");
        let text = read("result.json");
        against_schema("result", [serde_json::from_str(&text).expect("JSON")]);
        let result: RunResult = serde_json::from_str(&text).expect("a result");
        let junit = Report::deserialize_from_str(&read("junit.xml")).expect("JUnit");
        let lines = read("events.ndjson");
        against_schema("event", lines.lines().map(|line| serde_json::from_str(line).expect("JSON")));
        let events = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the event {line}")))
            .collect();
        Self { folder: folder.to_owned(), result, junit, events }
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a report")
    }

    /// A file's text.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).expect("UTF-8")
    }

    /// The only scenario.
    #[track_caller]
    pub fn scenario(&self) -> &ScenarioResult {
        assert_eq!(self.result.scenarios.len(), 1, "one scenario ran");
        &self.result.scenarios[0]
    }

    /// The only fault of the only scenario.
    #[track_caller]
    pub fn fault(&self) -> &FaultResult {
        let faults = &self.scenario().faults;
        assert_eq!(faults.len(), 1, "one fault was made");
        &faults[0]
    }

    /// A phase of the only scenario.
    #[track_caller]
    pub fn phase(&self, name: &str) -> &PhaseResult {
        let phases = &self.scenario().phases;
        phases.iter().find(|phase| phase.name == name).unwrap_or_else(|| panic!("no phase {name} ran"))
    }

    /// An expectation of the only scenario.
    #[track_caller]
    pub fn expectation(&self, phase: &str, kind: &str) -> &ExpectationResult {
        self.scenario()
            .expectations
            .iter()
            .find(|it| it.phase == phase && it.kind == kind)
            .unwrap_or_else(|| panic!("nothing expected {kind} of {phase}"))
    }

    /// What the expectations found, for messages.
    pub fn found(&self) -> String {
        let mut lines = Vec::new();
        for scenario in &self.result.scenarios {
            lines.push(format!("{}: {:?}: {}", scenario.name, scenario.verdict, scenario.reason));
            for it in &scenario.expectations {
                let (verdict, phase, kind) = (it.verdict, &it.phase, &it.kind);
                lines.push(format!("  {verdict:?} {phase} {kind}: {} ({})", it.observed_text, it.reason));
            }
            lines.extend(scenario.errors.iter().map(|error| format!("  error: {error}")));
        }
        lines.join("\n")
    }

    /// Every fault was injected and undone, by the verdicts on them.
    #[track_caller]
    pub fn expect_injected_and_undone(&self) {
        for scenario in &self.result.scenarios {
            for it in &scenario.faults {
                let name = format!("{}: {}", scenario.name, it.name);
                assert_eq!((it.injection, it.undo), (Verdict::Pass, Verdict::Pass), "{name}: {:?}", it.problem);
            }
        }
    }

    /// Whether every fault was proven, and its removal confirmed: what a pass must rest on.
    #[track_caller]
    pub fn expect_proven_and_undone(&self) {
        self.expect_injected_and_undone();
        for fault in self.result.scenarios.iter().flat_map(|scenario| &scenario.faults) {
            let name = &fault.name;
            for shows in [Proof::Applied, Proof::Removed] {
                let mut evidence = fault.evidence.iter().filter(|it| it.shows == shows).peekable();
                assert!(evidence.peek().is_some(), "{name}: nothing shows {shows:?}");
            }
            assert!(fault.proven_s < fault.undoing_s && fault.undoing_s <= fault.undone_s, "{name}: {fault:?}");
        }
    }

    /// The JUnit cases that did not succeed, by name.
    pub fn junit_failures(&self) -> Vec<String> {
        let cases = self.junit.test_suites.iter().flat_map(|suite| &suite.test_cases);
        cases
            .filter(|case| !matches!(case.status, TestCaseStatus::Success { .. }))
            .map(|case| case.name.to_string())
            .collect()
    }
}

/// All of these are what the checked-in schema says.
#[track_caller]
fn against_schema(name: &str, values: impl IntoIterator<Item = serde_json::Value>) {
    let path = super::root().join(format!("schemas/{name}.schema.json"));
    let schema = serde_json::from_str(&std::fs::read_to_string(path).expect("the schema")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut problems: Vec<String> = Vec::new();
    for value in values {
        let errors = validator.iter_errors(&value);
        problems.extend(errors.map(|error| format!("{error} at {}, in {name}", error.instance_path())));
    }
    super::none_of(&problems);
}
