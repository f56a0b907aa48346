//! JUnit: a suite for each scenario, and a case for each expectation, each injection and each undo. A breached expectation
//! is a failure. An inconclusive verdict or an error is an error. A scenario that did not pass never has a green suite. Only a
//! scenario that did not run is skipped. An overkill run must fail: there, the case `overkill` is the only one that can be red
//! for a verdict, as its exit code is.

use std::collections::BTreeSet;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{ExpectationResult, FaultResult, NotRun, Proof, RunResult, ScenarioResult, Verdict};
use shakedown_schemas::scenario::FaultEngine;
use shakedown_schemas::words;

use crate::tame::tamed;
use crate::text::one_line;
use crate::{RenderError, sentences};

/// The longest body of a case, in characters. CI systems truncate or reject much longer ones.
const BODY: usize = 20_000;

/// The most kinds of failures that are shown with a sample.
const KINDS: usize = 8;

/// The most lines about steps and groups.
const PARTS: usize = 30;

/// The HTML report in the same folder.
const PAGE: &str = "report.html";

/// The run as JUnit XML, for Jenkins, GitLab, GitHub Actions and Azure.
pub fn junit(result: &RunResult) -> Result<String, RenderError> {
    junit_with(result, PAGE)
}

/// The same with the path of the HTML report for GitLab, relative to the checkout. GitLab shows the file next to a case
/// whose output names it.
pub fn junit_with(result: &RunResult, page: &str) -> Result<String, RenderError> {
    let attachment = format!("[[ATTACHMENT|{}]]", one_line(page));
    let attachment = attachment.as_str();
    let result = tamed(result);
    let mut report = Report::new("shakedown");
    report.set_time(duration(result.run.duration_s));
    let mut classes = BTreeSet::new();
    for scenario in &result.scenarios {
        let file = ScenarioFile { file: &scenario.file, name: &scenario.name, is_one_of: !scenario.matrix.is_empty() };
        let class = unique(&mut classes, file.class());
        report.add_test_suite(suite(&result, scenario, &class, attachment));
    }
    if result.scenarios.is_empty() {
        let mut suite = TestSuite::new("shakedown");
        let reason = format!("no scenario ran: {}", words::exit_code(result.exit_code));
        suite.add_test_case(case("run", "shakedown", result.verdict.max(Verdict::Error), &reason, &reason, attachment));
        report.add_test_suite(suite);
    }
    for it in &result.not_run {
        let file = ScenarioFile { file: &it.file, name: &it.name, is_one_of: false };
        report.add_test_suite(skipped(it, &unique(&mut classes, file.class())));
    }
    // The common schema allows this count for suites but not for the whole report, whose tag is the first.
    Ok(report.to_string()?.replacen(&format!(r#" skipped="{}""#, result.not_run.len()), "", 1))
}

/// The suite of a scenario that did not run.
fn skipped(it: &NotRun, class: &str) -> TestSuite {
    let mut suite = TestSuite::new(one_line(&it.name));
    suite.extra.insert("file".into(), one_line(&it.file).into());
    let mut status = TestCaseStatus::skipped();
    status.set_message(one_line(&it.reason));
    let mut case = TestCase::new("run", status);
    case.set_classname(class);
    suite.add_test_case(case);
    suite
}

fn suite(result: &RunResult, scenario: &ScenarioResult, class: &str, attachment: &str) -> TestSuite {
    let mut suite = TestSuite::new(one_line(&scenario.name));
    suite.timestamp = scenario.started_at.to_string().parse().ok();
    suite.set_time(duration(scenario.duration_s));
    suite.extra.insert("file".into(), one_line(&scenario.file).into());
    if !result.run.host.is_empty() {
        suite.extra.insert("hostname".into(), one_line(&result.run.host).into());
    }
    for (name, value) in properties(result, scenario) {
        suite.add_property(Property::new(one_line(&name), value));
    }

    let mut names = BTreeSet::new();
    if let Some((verdict, reason)) = sentences::overkill(scenario) {
        let name = unique(&mut names, "overkill: the scenario fails".to_owned());
        let mut case = case(&name, class, verdict, &reason, &scenario.reason, attachment);
        place(&mut case, scenario, None);
        suite.add_test_case(case);
    }
    // In an overkill run these verdicts are no result by themselves.
    let shown = |verdict: Verdict| match (sentences::overkill(scenario), verdict) {
        (Some(_), Verdict::Fail | Verdict::Inconclusive) => Verdict::Pass,
        (_, verdict) => verdict,
    };
    for it in sentences::expectations(scenario) {
        let name = unique(&mut names, expectation_name(scenario, it));
        let body = expectation_body(scenario, it);
        let mut case = case(&name, class, shown(it.verdict), &it.reason, &body, attachment);
        if let Some(phase) = scenario.phases.iter().find(|phase| phase.name == it.phase) {
            case.set_time(duration(phase.end_s - phase.start_s));
            case.timestamp = moment(scenario, phase.start_s).and_then(|text| text.parse().ok());
        }
        place(&mut case, scenario, it.line);
        suite.add_test_case(case);
    }
    for it in &scenario.faults {
        for (verb, verdict, from, to) in [
            ("inject", it.injection, it.injecting_s, it.claimed_s.or(it.proven_s).or(it.injected_s)),
            ("undo", it.undo, it.undoing_s, it.undone_s),
        ] {
            let name = unique(&mut names, format!("{verb}: {}", one_line(&it.name)));
            let (reason, body) = fault_texts(it, verb == "undo", verdict);
            let mut case = case(&name, class, shown(verdict), &reason, &body, attachment);
            if let Some(from) = from {
                case.timestamp = moment(scenario, from).and_then(|text| text.parse().ok());
                case.set_time(duration(to.map_or(0.0, |to| to - from)));
            }
            place(&mut case, scenario, it.line);
            suite.add_test_case(case);
        }
    }
    if let Some(mut case) = run_case(scenario, class, (suite.failures, suite.errors), attachment) {
        place(&mut case, scenario, None);
        case.set_time(duration(scenario.duration_s));
        suite.add_test_case(case);
    }
    suite.set_system_out(format!(
        "{}: {}\n{}\n{attachment}\n",
        words::verdict(scenario.outcome()),
        match sentences::overkill(scenario) {
            Some(_) => sentences::headline(scenario),
            None => scenario.reason.clone(),
        },
        sentences::notes(scenario).join("\n"),
    ));
    suite
}

/// The case `run`: the errors of the scenario as a whole, and any verdict that no other case shows.
fn run_case(
    scenario: &ScenarioResult,
    class: &str,
    (failures, errors): (usize, usize),
    attachment: &str,
) -> Option<TestCase> {
    let shown = match scenario.verdict {
        _ if sentences::overkill(scenario).is_some() => true,
        Verdict::Pass => !(scenario.expectations.is_empty() && scenario.faults.is_empty()),
        Verdict::Fail => failures > 0,
        Verdict::Inconclusive | Verdict::Error => errors > 0,
    };
    if shown && scenario.errors.is_empty() && scenario.leftovers.is_empty() {
        return None;
    }
    let broken = !scenario.errors.is_empty() || !scenario.leftovers.is_empty();
    let verdict = if broken { Verdict::Error } else { scenario.verdict };
    let mut body = scenario.errors.join("\n");
    for it in &scenario.leftovers {
        body.push_str(&format!("\nleft behind: {} ({})\nremove it with: {}", it.what, it.error, it.command));
    }
    Some(case("run", class, verdict, &scenario.reason, body.trim(), attachment))
}

fn case(name: &str, class: &str, verdict: Verdict, reason: &str, body: &str, attachment: &str) -> TestCase {
    let body: String = body.chars().take(BODY).collect();
    let kind = match verdict {
        Verdict::Pass => None,
        Verdict::Fail => Some(NonSuccessKind::Failure),
        Verdict::Inconclusive | Verdict::Error => Some(NonSuccessKind::Error),
    };
    let mut case = match kind {
        None => {
            let mut case = TestCase::new(name, TestCaseStatus::success());
            case.set_system_out(format!("{reason}\n{body}"));
            case
        }
        Some(kind) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(one_line(reason)).set_type(verdict.word()).set_description(body);
            let mut case = TestCase::new(name, status);
            case.set_system_out(attachment);
            case
        }
    };
    case.set_classname(class);
    case
}

/// The body of an expectation's case.
fn expectation_body(scenario: &ScenarioResult, it: &ExpectationResult) -> String {
    let mut lines = vec![
        format!("verdict: {}", it.verdict.word()),
        format!("observed: {}", it.observed_text),
        format!("limit: {}", it.limit_text),
    ];
    if let Some(interval) = it.interval {
        lines.push(format!("interval: {}", words::interval(it.unit, interval)));
    }
    if !it.terms.contains_key("requests") {
        lines.push(format!("requests: {}", it.samples));
    }
    if it.censored {
        lines.push("censored: the true value is at least the observed one".to_owned());
    }
    lines.extend(it.terms.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.push(format!("phase: {}", it.phase));
    lines.push(format!("load: {}", it.load));
    let failures = sentences::failures(scenario).into_iter();
    let asked = failures.filter(|failed| failed.phase == it.phase && (it.load.is_empty() || failed.load == it.load));
    for failed in asked.take(KINDS) {
        lines.push(format!("one of {}: {}", failed.counted(), sentences::said(failed.sample)));
    }
    lines.extend(sentences::part_lines(scenario, &it.phase, &it.load).into_iter().take(PARTS));
    lines.join("\n")
}

/// The sentence about an injection or an undo, and its evidence.
fn fault_texts(it: &FaultResult, undo: bool, verdict: Verdict) -> (String, String) {
    let done = match undo {
        true if it.injecting_s.is_none() => "nothing to undo: it was never injected".to_owned(),
        true if it.state == FaultState::Undone => "undone, confirmed by reading back".to_owned(),
        true => sentences::undo(it),
        false if it.is_claimed() && it.engine == FaultEngine::NetworkPolicy => sentences::injection(it),
        false if it.is_claimed() => format!("applied; {}", sentences::injection(it)),
        false => format!("applied and proven{}", sentences::amounts(it)),
    };
    let not = if undo { "its removal is not confirmed" } else { "it is not proven to act" };
    let reason = match (verdict, &it.problem) {
        (Verdict::Pass, _) => format!("{}: {done}", it.name),
        (_, Some(problem)) => format!("{}: {not}: {problem}", it.name),
        (_, None) => format!("{}: {not}", it.name),
    };
    let mut lines = vec![it.description.clone(), format!("targets: {}", sentences::pods(&it.targets, 20))];
    if it.felt == Some(false) && !undo {
        lines.push("it had no effect on the requests".to_owned());
    }
    let unproven = sentences::unproven(it);
    if !unproven.is_empty() && !undo {
        lines.push(format!("without proof: {unproven}"));
    }
    for evidence in it.evidence.iter().filter(|evidence| (evidence.shows == Proof::Removed) == undo) {
        let holds = if evidence.holds { "holds" } else { "does not hold" };
        let shows = evidence.shows.word();
        lines.push(format!("{} {shows}, {holds}: {}", words::moment(evidence.at_s), evidence.detail));
    }
    (reason, lines.join("\n"))
}

/// The title with its phase, and with its load if there are several.
fn expectation_name(scenario: &ScenarioResult, it: &ExpectationResult) -> String {
    let load = if sentences::names_load(scenario, &it.load) { format!(" [{}]", it.load) } else { String::new() };
    one_line(&format!("{}: {}{load}", it.phase, it.title))
}

/// A name that is unique in the suite, because CI systems merge cases with equal names.
fn unique(names: &mut BTreeSet<String>, name: String) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !names.insert(candidate.clone()) {
        candidate = format!("{name} ({number})");
        number += 1;
    }
    candidate
}

/// The file and the name of a scenario.
struct ScenarioFile<'a> {
    file: &'a str,
    name: &'a str,
    /// True for one of several scenarios of the same file.
    is_one_of: bool,
}

impl ScenarioFile<'_> {
    /// The path of the file without its extension, as packages: `team/checkout.yaml` is `team.checkout`. Files with the same
    /// name in several folders therefore have different classes. The location of the checkout is irrelevant: of an absolute
    /// path only the last folder counts. Without a file, the scenario's name.
    fn class(&self) -> String {
        let file = self.file.strip_suffix(".yaml").or_else(|| self.file.strip_suffix(".yml")).unwrap_or(self.file);
        let parts: Vec<&str> = file.split(['/', '\\']).filter(|part| !matches!(*part, "" | "." | "..")).collect();
        let is_absolute = file.starts_with('/') || file.contains(":\\");
        let shown = if is_absolute { parts.len().saturating_sub(2) } else { 0 };
        let mut parts: Vec<String> = parts[shown..].iter().map(|part| one_line(part).replace('.', "_")).collect();
        if self.is_one_of {
            parts.push(one_line(self.name).replace('.', "_"));
        }
        if parts.is_empty() { one_line(self.name).replace('.', "_") } else { parts.join(".") }
    }
}

fn place(case: &mut TestCase, scenario: &ScenarioResult, line: Option<u32>) {
    case.extra.insert("file".into(), one_line(&scenario.file).into());
    if let Some(line) = line {
        case.extra.insert("line".into(), line.to_string().into());
    }
}

fn properties(result: &RunResult, scenario: &ScenarioResult) -> Vec<(String, String)> {
    let run = sentences::run_of(&result.run, scenario);
    let mut list: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| list.push((name.to_owned(), value));
    add("run_id", run.id.clone());
    add("seed", run.seed.to_string());
    add("verdict", scenario.verdict.word().to_owned());
    add("reason", scenario.reason.clone());
    add("tool_version", run.tool_version.clone());
    add("command", sentences::command(&run));
    if let Some(sha) = &run.git_sha {
        add("git_sha", sha.clone());
    }
    if let Some(url) = &run.ci_job_url {
        add("ci_job_url", url.clone());
    }
    if let Some(cluster) = &scenario.cluster {
        add("cluster.server", cluster.server.clone());
        add("cluster.version", cluster.version.clone());
        add("cluster.sandbox", cluster.sandbox.to_string());
        if let Some(context) = &cluster.context {
            add("cluster.context", context.clone());
        }
        if let Some(topology) = &cluster.topology {
            add("cluster.topology", topology.clone());
        }
    }
    add("namespace", scenario.namespace.clone());
    for phase in &scenario.phases {
        for load in &phase.loads {
            let prefix = format!("{}.{}", phase.name, load.load);
            add(&format!("{prefix}.requests"), load.stats.requests.to_string());
            add(&format!("{prefix}.throughput_per_s"), format!("{:.3}", load.stats.throughput));
            if let Some(rate) = load.stats.success_rate() {
                add(&format!("{prefix}.success_rate"), format!("{rate:.6}"));
            }
            if let Some(latency) = &load.stats.latency {
                for (name, value) in [
                    ("p50_ms", latency.p50_ms),
                    ("p95_ms", latency.p95_ms),
                    ("p99_ms", latency.p99_ms),
                    ("max_ms", latency.max_ms),
                ] {
                    add(&format!("{prefix}.{name}"), format!("{value:.3}"));
                }
            }
        }
    }
    for it in &scenario.recoveries {
        // Without an onset there is nothing to recover from.
        let from = it.struck_s.or(it.removed_s).filter(|_| it.onset_s.is_some());
        if let (Some(from), Some(recovered)) = (from, it.recovered_s) {
            add(&format!("{}.{}.recovery_s", it.phase, it.load), format!("{:.3}", (recovered - from).max(0.0)));
        }
    }
    list
}

/// The wall-clock time of a moment on the scenario's timeline.
fn moment(scenario: &ScenarioResult, seconds: f64) -> Option<String> {
    let offset = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    Some(scenario.started_at.checked_add(offset).ok()?.to_string())
}

/// Seconds as a duration. Negative and undefined values are zero.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::Trial;

    use super::*;
    use crate::sample;

    fn read(result: &RunResult) -> Report {
        let xml = junit(result).unwrap();
        Report::deserialize_from_str(&xml).unwrap_or_else(|error| panic!("{error}\n{xml}"))
    }

    fn worst(suite: &TestSuite) -> Verdict {
        match (suite.failures, suite.errors) {
            (0, 0) => Verdict::Pass,
            (_, 0) => Verdict::Fail,
            _ => Verdict::Error,
        }
    }

    #[test]
    fn a_body_has_the_requests_once() {
        let scenario = sample::passing().scenarios.remove(0);
        let mut it = scenario.expectations[0].clone();
        let lines = |it: &ExpectationResult| expectation_body(&scenario, it).matches("requests: ").count();
        assert_eq!(lines(&it), 1);
        it.terms.insert("requests".to_owned(), it.samples.to_string());
        assert_eq!(lines(&it), 1);
    }

    /// The case of a fault that the run did not come to said "undone, confirmed by reading back".
    #[test]
    fn what_was_never_injected_is_not_undone() {
        let mut it = sample::passing().scenarios[0].faults[0].clone();
        let reason = |it: &FaultResult| fault_texts(it, true, Verdict::Pass).0;
        assert_eq!(reason(&it), "nats-cut: undone, confirmed by reading back");
        it.state = FaultState::NothingToUndo;
        assert_eq!(reason(&it), "nats-cut: nothing to undo");
        it.state = FaultState::Unclear;
        assert_eq!(reason(&it), "nats-cut: unclear");
        (it.state, it.injecting_s) = (FaultState::Planned, None);
        assert_eq!(reason(&it), "nats-cut: nothing to undo: it was never injected");
    }

    #[test]
    fn golden() {
        insta::assert_snapshot!("junit_failing", junit(&sample::failing()).unwrap());
        insta::assert_snapshot!("junit_errored", junit(&sample::errored()).unwrap());
    }

    #[test]
    fn the_report_can_be_parsed() {
        let report = read(&sample::suite());
        assert_eq!(report.test_suites.len(), 3);
        let failing = &report.test_suites[1];
        assert_eq!((failing.tests, failing.failures, failing.errors, failing.skipped), (7, 2, 0, 0));
        let first = &failing.test_cases[0];
        assert_eq!(&*first.name, "partition: p95 at most 3 times baseline");
        assert_eq!(first.classname.as_deref(), Some("scenarios.single-worker"));
        assert_eq!(first.extra.get("line").map(|line| &**line), Some("39"));
        let TestCaseStatus::NonSuccess { kind, message, description, .. } = &first.status else {
            panic!("a breached expectation is a failure")
        };
        assert_eq!(*kind, NonSuccessKind::Failure);
        assert_eq!(message.as_deref(), Some("p95 rose to 3.8 times the baseline (3.4 to 4.3), allowed 3"));
        assert!(description.as_ref().unwrap().contains("interval: 3.4x to 4.3x"));
        assert!(failing.system_out.as_ref().unwrap().contains("[[ATTACHMENT|report.html]]"));
        let elsewhere = junit_with(&sample::failing(), "out/a\n]]>/report.html").unwrap();
        assert_eq!(elsewhere.matches("[[ATTACHMENT|out/a ").count(), 3, "{elsewhere}");
        assert!(!elsewhere.contains("|report.html]]") && !elsewhere.contains("]]>"));
    }

    #[test]
    fn a_suite_is_green_only_when_its_scenario_passed() {
        for result in [
            sample::passing(),
            sample::failing(),
            sample::inconclusive(),
            sample::errored(),
            sample::stillborn(),
            sample::suite(),
        ] {
            let report = read(&result);
            for (suite, scenario) in report.test_suites.iter().zip(&result.scenarios) {
                assert!(suite.tests > 0 && suite.skipped == 0, "{}", scenario.reason);
                let expected = match scenario.verdict {
                    Verdict::Inconclusive => Verdict::Error,
                    other => other,
                };
                assert_eq!(worst(suite), expected, "{}", scenario.reason);
            }
        }
        let mut nothing = sample::stillborn();
        nothing.scenarios.clear();
        assert_eq!(read(&nothing).errors, 1);
    }

    /// A run whose cut nothing noticed had exit code 1 and a green report, and one that failed as it must a red report.
    #[test]
    fn an_overkill_run_is_green_only_when_its_scenario_failed() {
        for (mut result, expected) in [
            (sample::passing(), Verdict::Fail),
            (sample::inconclusive(), Verdict::Fail),
            (sample::failing(), Verdict::Pass),
            (sample::errored(), Verdict::Error),
            (sample::stillborn(), Verdict::Error),
        ] {
            result.scenarios.iter_mut().for_each(|it| it.trial = Some(Trial::Overkill));
            let report = read(&result);
            let (suite, scenario) = (&report.test_suites[0], &result.scenarios[0]);
            assert_eq!(worst(suite), expected, "{}: {suite:?}", scenario.reason);
            let first = &suite.test_cases[0];
            assert_eq!(&*first.name == "overkill: the scenario fails", expected != Verdict::Error, "{:?}", first.name);
        }
    }

    #[test]
    fn a_scenario_that_did_not_run_is_skipped() {
        let result = sample::cut_short();
        let report = read(&result);
        let skipped: Vec<&TestSuite> = report.test_suites.iter().filter(|suite| suite.skipped > 0).collect();
        let names: Vec<&str> = skipped.iter().map(|suite| &*suite.name).collect();
        assert_eq!(names, ["unenforced-policy", "worker-killed"]);
        let case = &skipped[0].test_cases[0];
        assert_eq!((&*case.name, case.classname.as_deref()), ("run", Some("scenarios.unenforced-policy")));
        let TestCaseStatus::Skipped { message, .. } = &case.status else { panic!("{case:?}") };
        assert_eq!(message.as_deref(), Some("--fail-fast: single-worker did not pass"));
        let xml = junit(&result).unwrap();
        let head = xml.split("<testsuite ").next().unwrap();
        assert!(head.contains("<testsuites") && !head.contains("skipped"), "{head}");
    }

    #[test]
    fn a_verdict_that_no_case_shows_has_its_own_case() {
        let mut result = sample::passing();
        for verdict in [Verdict::Fail, Verdict::Inconclusive, Verdict::Error] {
            result.scenarios[0].verdict = verdict;
            let report = read(&result);
            assert_eq!(report.failures + report.errors, 1, "{verdict:?}");
            assert_eq!(&*report.test_suites[0].test_cases.last().unwrap().name, "run");
        }
        result.scenarios[0].expectations.clear();
        result.scenarios[0].faults.clear();
        result.scenarios[0].verdict = Verdict::Pass;
        assert_eq!(read(&result).tests, 1);
    }

    /// CI systems merge cases with the same class and name, even across suites.
    #[test]
    fn files_with_the_same_name_have_different_classes() {
        let of = |files: &[&str]| -> Vec<String> {
            let mut result = sample::passing();
            let one = result.scenarios.remove(0);
            let scenarios = files.iter().map(|file| ScenarioResult { file: (*file).to_owned(), ..one.clone() });
            result.scenarios.extend(scenarios);
            read(&result)
                .test_suites
                .iter()
                .map(|suite| suite.test_cases[0].classname.as_deref().unwrap().to_owned())
                .collect()
        };
        assert_eq!(of(&["a/scenario.yaml", "b/scenario.yaml"]), ["a.scenario", "b.scenario"]);
        assert_eq!(of(&["x.yaml", "x.yml", "./v1.2/x.yaml"]), ["x", "x (2)", "v1_2.x"]);
        assert_eq!(of(&["/home/ci/build-7/shop/x.yaml", "..\\shop\\y.yaml"]), ["shop.x", "shop.y"]);
    }

    #[test]
    fn the_combinations_of_a_matrix_have_different_classes() {
        let report = read(&sample::matrix());
        let class = |suite: &TestSuite| suite.test_cases[0].classname.as_deref().unwrap().to_owned();
        let classes: BTreeSet<String> = report.test_suites.iter().map(class).collect();
        assert_eq!(classes.len(), 6);
        assert!(classes.contains("scenarios.degrade.degrade-10-decode"), "{classes:?}");
    }

    #[test]
    fn a_failed_case_shows_a_failed_request() {
        let report = read(&sample::failing());
        let texts = format!("{report:?}");
        assert!(texts.contains("no worker is <ready>: NATS request timed out"), "{texts}");
    }

    #[test]
    fn cases_have_unique_names() {
        let mut result = sample::hour();
        let all = result.scenarios[0].expectations.clone();
        result.scenarios[0].expectations.extend(all);
        let report = read(&result);
        let names: BTreeSet<&str> = report.test_suites[0].test_cases.iter().map(|case| &*case.name).collect();
        assert_eq!(names.len(), report.tests);
        assert!(names.contains("partition: p95 at most 3 times baseline [completions]"), "{names:#?}");
        assert!(names.contains("partition: p95 at most 3 times baseline [completions] (2)"), "{names:#?}");
    }

    #[test]
    fn hostile_text_changes_nothing() {
        let xml = junit(&sample::hostile()).unwrap();
        let forbidden = |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{fffe}'..='\u{ffff}').contains(&c);
        assert!(!xml.contains(forbidden) && !xml.contains("]]>") && !xml.contains("</script>"));
        assert!(xml.len() < 200_000, "{}", xml.len());
        let (hostile, errored) = (read(&sample::hostile()), read(&sample::errored()));
        assert_eq!(hostile.test_suites.len(), errored.test_suites.len() + 1, "and the one that did not run");
        assert_eq!(hostile.test_suites[0].tests, 8);
        assert_eq!(junit(&sample::hostile()).unwrap(), xml, "the same result gives the same bytes");
    }
}
