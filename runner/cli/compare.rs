//! `shakedown compare`: the expectations and verdicts that changed significantly between two results, or between the newest
//! one and all earlier ones.

use std::path::Path;

use shakedown_reports::{Redactor, words};
use shakedown_schemas::Explained;
use shakedown_schemas::RunResult;

use super::args::Compare;
use super::previous::RESULT;
use super::table::table;
use super::{Failure, exit, print, report, totals};
use shakedown_judge::{self as judge, Change, Moved};

/// Prints a table of the changes.
///
/// # Errors
/// Exit code 2 if a file is not a result or the two are of different kinds of run, 5 if there is nothing to compare.
pub fn compare(args: &Compare, redactor: &Redactor) -> Result<u8, Failure> {
    let mut changes = match (&args.before, &args.after, &args.history) {
        (_, _, Some(folder)) => {
            let results: Vec<RunResult> = report::below(folder)?.iter().map(|it| redactor.result(it)).collect();
            judge::history(&results)
        }
        (Some(before), Some(after), None) => {
            let both = [one(before, redactor)?, one(after, redactor)?];
            totals::alike(&both).map_err(Failure::usage)?;
            judge::compare(&both[0], &both[1])
        }
        _ => {
            return Err(Failure::usage(Explained::new(
                "two results are needed",
                "name two result.json or their folders, the earlier one first, or give \
                 --history DIR",
            )));
        }
    };
    if changes.is_empty() {
        let why = match args.history {
            Some(_) => Explained::new(
                "nothing to compare: no scenario ran more than once there (control, overkill and shortened runs do not count)",
                "name a folder with the results of several runs",
            ),
            None => Explained::new(
                "nothing to compare: the results have no scenario in common",
                "name results of the same scenario; scenarios are matched by their `name`",
            ),
        };
        return Err(Failure { why, code: exit::NOTHING_SELECTED });
    }
    changes.sort_by_key(|change| change.moved);
    let worse = changes.iter().filter(|change| change.moved == Moved::Worse).count();
    let text = shown(&changes, args.all, args.markdown);
    if args.markdown {
        print::text(&text)
    } else {
        print::prose(&text)
    }
    Ok(if args.fail_on_regression && worse > 0 { exit::FAILED } else { exit::PASSED })
}

fn one(path: &Path, redactor: &Redactor) -> Result<RunResult, Failure> {
    let path = if path.is_dir() { path.join(RESULT) } else { path.to_owned() };
    report::read(&path).map(|result| redactor.result(&result)).map_err(Failure::usage)
}

/// The changes, the worst first, and how many of each kind there are.
fn shown(changes: &[Change], all: bool, markdown: bool) -> String {
    let row = |it: &Change| {
        vec![it.moved.word().to_owned(), it.scenario.clone(), it.title.clone(), it.before.clone(), it.after.clone()]
    };
    let listed: Vec<Vec<String>> = changes.iter().filter(|it| all || it.moved != Moved::Same).map(row).collect();
    let mut out = String::new();
    if !listed.is_empty() {
        out = table(&["moved", "scenario", "expectation", "before", "now"], &listed, markdown);
        out.push('\n');
    }
    let count = |moved| changes.iter().filter(|it| it.moved == moved).count();
    let kinds = [
        Moved::Worse,
        Moved::Elsewhere,
        Moved::Better,
        Moved::Unclear,
        Moved::OtherLimit,
        Moved::NewOrGone,
        Moved::Same,
    ];
    let counts = kinds.into_iter().filter(|moved| count(*moved) > 0);
    let counts: Vec<String> = counts.map(|moved| format!("{} {}", count(moved), moved.word())).collect();
    let scenarios = changes.iter().filter(|it| it.is_verdict()).count();
    let answers = words::plural(changes.len() - scenarios, "expectation");
    out.push_str(&format!("{}, {answers}: {}\n", words::plural(scenarios, "scenario"), counts.join(", ")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::sample;
    use shakedown_schemas::result::Trial;

    #[test]
    fn a_regression_is_exit_code_1_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, result: &RunResult| {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
            let text = serde_json::to_string(result).unwrap();
            std::fs::write(folder.path().join(name).join("result.json"), text).unwrap();
            folder.path().join(name)
        };
        let mut failing = sample::failing();
        failing.scenarios[0].cluster.clone_from(&sample::passing().scenarios[0].cluster);
        let (good, bad) = (write("good", &sample::passing()), write("bad", &failing));
        let run = |before: &Path, after: &Path, fail_on_regression| {
            let (before, after) = (Some(before.to_owned()), Some(after.to_owned()));
            let args = Compare { before, after, history: None, markdown: true, all: false, fail_on_regression };
            compare(&args, &Redactor::default())
        };
        assert_eq!(run(&good, &bad, false).unwrap(), exit::PASSED);
        assert_eq!(run(&good, &bad, true).unwrap(), exit::FAILED);
        assert_eq!(run(&bad, &good, true).unwrap(), exit::PASSED);
        assert_eq!(run(&good, &good.join("result.json"), true).unwrap(), exit::PASSED);
        assert_eq!(run(&good, Path::new("/nowhere"), true).unwrap_err().code, exit::USAGE);
        let changes = judge::compare(&sample::passing(), &sample::failing());
        let text = shown(&changes, false, true);
        let refused = |trial: fn(&mut RunResult)| {
            let mut other = sample::passing();
            trial(&mut other);
            run(&good, &write("trial", &other), true).unwrap_err()
        };
        let control = refused(|it| it.scenarios[0].trial = Some(Trial::Control));
        assert_eq!(control.code, exit::USAGE);
        assert!(control.why.message.contains("is an ordinary run, and run "), "{}", control.why);
        assert!(text.starts_with("| moved | scenario |") && text.contains("| worse | worker-loses-nats |"), "{text}");
        assert!(text.lines().last().unwrap().starts_with("1 scenario, 5 expectations: 3 worse"), "{text}");
    }
}
