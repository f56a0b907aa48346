//! `shakedown report`: renders the reports of a result, byte for byte as the run did, of the merged results of a suite's
//! shards, or the history of the expectations over many runs.

use std::io::Write;
use std::path::{Path, PathBuf};

use shakedown_reports::text::{SENTENCE, tame};
use shakedown_reports::{History, Redactor};
use shakedown_schemas::result::{RESULT_VERSION, RunDigest, RunInfo};
use shakedown_schemas::{Explained, RunResult, read_file};

use super::args::Report;
use super::ci::Ci;
use super::console::{Style, clean};
use super::output::Output;
use super::previous::RESULT;
use super::{Failure, exit, merge, print, summary};

/// The page of `--history`.
const HISTORY: &str = "history.html";
/// The maximum size of a result, in bytes. A result of a day of load has about 10 MB.
const LARGEST: u64 = 1 << 30;
/// The maximum depth of the search for results below the folder.
const DEPTH: usize = 8;

/// Reads results and writes their reports.
///
/// # Errors
/// Exit code 2 if a file is not a result, 3 if the reports cannot be written, 5 if there is no result.
pub fn report(args: &Report, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    match (&args.results[..], &args.history, &args.out) {
        ([], Some(folder), Some(out)) => history(folder, out, args.last.get(), redactor),
        (results @ [_, ..], None, Some(out)) if args.merge => merged(results, out, style, redactor),
        ([path], None, out) => one(path, out.as_deref(), redactor),
        ([_, _, ..], ..) => Err(Failure::usage(Explained::new(
            "there are several results",
            "--merge joins the shards of a suite, and `compare` compares two runs",
        ))),
        _ => Err(Failure::usage(Explained::new(
            "there is nothing to render",
            "name the result.json of a run, or give --history DIR and --out DIR",
        ))),
    }
}

/// Renders a result, next to it without another folder.
fn one(path: &Path, out: Option<&Path>, redactor: &Redactor) -> Result<u8, Failure> {
    let file = if path.is_dir() { path.join(RESULT) } else { path.to_owned() };
    let result = read(&file).map_err(Failure::usage)?;
    let next_to_it = || file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let output = Output::create(Some(out.unwrap_or_else(next_to_it)), &result.run.id, redactor)?;
    output.write_result(&result)?;
    output.write_events(&result)?;
    print::line(output.folder().display());
    Ok(exit::PASSED)
}

/// Joins the results of the shards. The exit code is that of a run of the whole suite.
fn merged(paths: &[PathBuf], out: &Path, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    let mut files = Vec::new();
    paths.iter().for_each(|path| shards(path, DEPTH, &mut files));
    if files.is_empty() {
        return Err(Failure {
            why: Explained::new("there is no result to merge", "name the result.json of each shard, or its folder"),
            code: exit::NOTHING_SELECTED,
        });
    }
    // A shard whose result cannot be read is not skipped: its scenarios would be missing.
    let results: Result<Vec<RunResult>, Explained> = files.iter().map(|file| read(file)).collect();
    let results = results.map_err(Failure::usage)?;
    let whole = merge::merge(results).map_err(Failure::usage)?;
    let output = Output::create(Some(out), &whole.run.id, redactor)?;
    output.write_result(&whole)?;
    output.write_events(&whole)?;
    let whole = redactor.result(&whole);
    print::prose(&summary::text(&whole, &output, style.for_stdout()));
    // The runs of the shards have annotated their own files.
    if let Err(warning) = Ci::detect().summarize(&whole) {
        _ = writeln!(std::io::stderr(), "warning: {}", clean(&tame(&warning, SENTENCE)));
    }
    Ok(whole.exit_code)
}

/// The results of shards: a file, the result of a run's folder, or those of the folders below. The earlier results within a
/// run's folder belong to other runs.
fn shards(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let own = path.join(RESULT);
    if !path.is_dir() {
        found.push(path.to_owned());
    } else if own.is_file() {
        found.push(own);
    } else if depth > 0 {
        let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|it| it.is_dir()).collect();
        folders.sort();
        folders.iter().for_each(|folder| shards(folder, depth - 1, found));
    }
}

pub(super) fn read(path: &Path) -> Result<RunResult, Explained> {
    let result: RunResult = parsed(path, |text| serde_json::from_slice(text))?;
    supported(path, result.format_version, &result.run)?;
    Ok(result)
}

/// The part of a result that the history needs.
fn digest(path: &Path) -> Result<RunDigest, Explained> {
    let digest: RunDigest = parsed(path, |text| serde_json::from_slice(text))?;
    supported(path, digest.format_version, &digest.run)?;
    Ok(digest)
}

fn parsed<T>(path: &Path, parse: fn(&[u8]) -> serde_json::Result<T>) -> Result<T, Explained> {
    let name = path.display();
    let text = read_file(path, LARGEST)
        .map_err(|error| Explained::new(format!("`{name}` {error}"), "give the result.json of a run"))?;
    parse(&text).map_err(|error| {
        Explained::new(format!("`{name}` is not a result of shakedown: {error}"), "give the result.json of a run")
    })
}

fn supported(path: &Path, version: u32, run: &RunInfo) -> Result<(), Explained> {
    if version == RESULT_VERSION {
        return Ok(());
    }
    Err(Explained::new(
        format!("`{}` has format version {version}, and this program reads {RESULT_VERSION}", path.display()),
        format!(
            "use the version of shakedown \
         that wrote it ({})",
            run.tool_version
        ),
    ))
}

fn history(folder: &Path, out: &Path, last: usize, redactor: &Redactor) -> Result<u8, Failure> {
    let mut history = History::new(last);
    // Only the page's part of each result is kept, so that the memory does not grow with the number of runs.
    each_below(folder, digest, |run| history.add(redactor.digest(run)))?;
    let page = history.page().map_err(|error| Failure::environment(error.to_string()))?;
    let path = out.join(HISTORY);
    std::fs::create_dir_all(out)
        .and_then(|()| std::fs::write(&path, page))
        .map_err(|error| Failure::unwritten(&path, &error))?;
    print::line(path.display());
    Ok(exit::PASSED)
}

/// The results below a folder, at least one.
///
/// # Errors
/// Exit code 2 if the folder cannot be read, 5 if there is no result.
pub(super) fn below(folder: &Path) -> Result<Vec<RunResult>, Failure> {
    let mut results = Vec::new();
    each_below(folder, read, |result| results.push(result))?;
    Ok(results)
}

/// Reads every result below a folder, several at once, and hands them over in the order of their paths.
///
/// # Errors
/// Exit code 2 if the folder cannot be read, 5 if there is no result.
fn each_below<T: Send>(
    folder: &Path,
    read: fn(&Path) -> Result<T, Explained>,
    mut take: impl FnMut(T),
) -> Result<(), Failure> {
    let mut paths = Vec::new();
    find(folder, DEPTH, &mut paths).map_err(|error| Failure::unread(folder, &error))?;
    paths.sort();
    let mut found = false;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    for paths in paths.chunks(threads) {
        let results: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = paths.iter().map(|path| scope.spawn(|| read(path))).collect();
            readers.into_iter().map(|it| it.join().unwrap_or_else(|_| Err("a reader panicked".into()))).collect()
        });
        for result in results {
            // An invalid file does not hide the others.
            match result {
                Ok(result) => {
                    found = true;
                    take(result);
                }
                Err(error) => {
                    print::remark(format_args!("warning: skipped: {}", super::console::clean(&error.to_string())))
                }
            }
        }
    }
    if found {
        return Ok(());
    }
    Err(Failure {
        why: Explained::new(
            format!("there is no result.json of shakedown below `{}`", folder.display()),
            "name the folder that `run --out` wrote, or one above it",
        ),
        code: exit::NOTHING_SELECTED,
    })
}

/// All `result.json` below a folder. Links are not followed: `latest` is one of its sibling folders.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            // An unreadable subfolder is skipped.
            _ = find(&entry.path(), depth - 1, found);
        } else if kind.is_file() && entry.file_name() == RESULT {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Color;
    use shakedown_reports::sample;

    #[test]
    fn the_history_of_a_folder_skips_files_that_are_not_results() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a", serde_json::to_string(&sample::passing()).unwrap()),
            ("b/deeper", serde_json::to_string(&sample::failing()).unwrap()),
            ("c", "{}".to_owned()),
        ] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("result.json"), text).unwrap();
        }
        let out = folder.path().join("out");
        let args = |folder: &Path| Report {
            results: Vec::new(),
            merge: false,
            history: Some(folder.to_owned()),
            last: std::num::NonZeroUsize::new(30).unwrap(),
            out: Some(out.clone()),
        };
        let report = |args: Report| report(&args, Style::new(Color::Never), &Redactor::default());
        assert_eq!(report(args(folder.path())).unwrap(), exit::PASSED);
        let page = std::fs::read_to_string(out.join(HISTORY)).unwrap();
        assert!(page.contains("worker-loses-nats"));
        // The part of each result is enough: the page is that of the whole results.
        assert_eq!(page, shakedown_reports::history(&[sample::passing(), sample::failing()], 30).unwrap());
        let nothing = report(args(&out)).unwrap_err();
        assert_eq!(nothing.code, exit::NOTHING_SELECTED);
        assert_eq!(report(args(Path::new("/nowhere"))).unwrap_err().code, exit::USAGE);
    }
}
