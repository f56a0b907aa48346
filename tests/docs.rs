//! The documents: their links lead somewhere, their examples are valid, their commands and flags exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::shakedown::Shakedown;
use crate::support::{none_of, root};

/// Every document of this checkout with its text, by its path from the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of this checkout") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                let skipped =
                    name == "target" || name == "shakedown-results" || name.starts_with('.') && name != ".github";
                folders.extend((!skipped).then_some(path));
            } else if name.ends_with(".md") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                found.insert(path.strip_prefix(root()).expect("below the root").to_owned(), text);
            }
        }
    }
    assert!(found.len() > 8 && found.contains_key(Path::new("README.md")), "not all are found: {:?}", found.keys());
    found
}

/// The code blocks of a language, each with the line that it begins on.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, bool)> = None;
    for (line, number) in text.lines().zip(1..) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some((number + 1, String::new(), info == language)),
            (Some(_), Some(_)) => {
                let (begin, code, wanted) = open.take().expect("an open block");
                found.extend(wanted.then_some((begin, code)));
            }
            (None, Some((_, code, _))) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a code block has no end");
    found
}

/// No library has doc tests (`doctest = false`): `cargo test --workspace` took 3 s to find none, and printed fifteen sections.
#[test]
fn no_doc_comment_holds_an_example_that_nothing_runs() {
    let mut folders =
        ["reports", "runner", "schemas", "tests/fakes", "tests/features"].map(|it| root().join(it)).to_vec();
    let (mut problems, mut files) = (Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of this checkout") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files += 1;
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let found = text.lines().position(is_example);
                problems.extend(found.map(|line| format!("{}:{}: code in a doc comment", path.display(), line + 1)));
            }
        }
    }
    assert!(files > 400, "not all are found: {files}");
    none_of(&problems);
    assert!(
        is_example("    /// ```")
            && is_example("//!     let a = 1;")
            && !is_example("/// A list:")
            && !is_example("// ```")
    );
}

/// Whether a line of Rust is code in a doc comment.
fn is_example(line: &str) -> bool {
    let line = line.trim_start();
    let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
    doc.is_some_and(|text| text.trim_start().starts_with("```") || text.starts_with("     "))
}

#[test]
fn every_link_leads_to_a_file() {
    let mut problems = Vec::new();
    let mut links = 0;
    for (path, text) in documents() {
        let folder = root().join(&path).parent().expect("a folder").to_owned();
        // `](target)`, also where the link's text is broken over two lines.
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            if !folder.join(file).exists() {
                problems.push(format!("{}: there is no {target}", path.display()));
            }
        }
    }
    assert!(links > 40, "{links} links are not all of them");
    none_of(&problems);
}

#[test]
fn every_scenario_and_every_load_of_the_documents_is_valid() {
    let shakedown = Shakedown::new();
    shakedown.file("users.csv", "user,query\nada,mug\n");
    let mut names = Vec::new();
    for (path, text) in documents() {
        for (line, code) in blocks(&text, "yaml") {
            let whole = if code.contains("version: 1\n") {
                code
            } else if code.starts_with("load:\n") {
                format!(
                    "version: 1\nname: part\nnamespace: shop\n{code}\nphases:\n  - {{name: all, duration: 60s, expect: [success_rate: {{min: 99%}}]}}\n"
                )
            } else {
                continue;
            };
            let name = format!("{}-line-{line}.yaml", path.display().to_string().replace('/', "-"));
            names.push(shakedown.file(&name, whole));
        }
    }
    assert!(names.len() >= 2, "{names:?} are not all of them");
    for name in &names {
        let finished = shakedown.run(&["validate", name]).expect_code(0).expect_stdout(&["is valid"]);
        assert!(!finished.stderr.contains("warning"), "an example should be exemplary\n{finished}");
    }
}

#[test]
fn the_commands_and_flags_of_the_documents_exist() {
    let shakedown = Shakedown::new();
    let mut helps = BTreeMap::new();
    let mut problems = Vec::new();
    let mut lines = 0;
    for (path, text) in documents() {
        for (_, code) in blocks(&text, "sh") {
            for line in code.lines() {
                let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
                let ["shakedown", command, rest @ ..] = &words[..] else { continue };
                lines += 1;
                let help = helps
                    .entry((*command).to_owned())
                    .or_insert_with(|| shakedown.run(&[command, "--help"]).expect_code(0).stdout);
                let known = |flag: &str| help.split([' ', ',', '\n', '[']).any(|word| word == flag);
                for flag in rest.iter().filter(|word| word.starts_with('-') && !known(word)) {
                    problems.push(format!("{}: `shakedown {command}` has no {flag}", path.display()));
                }
            }
        }
    }
    assert!(lines > 10, "{lines} lines are not all of them");
    none_of(&problems);
}

#[test]
fn the_readme_lists_every_command_and_every_exit_code() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let help = Shakedown::new().run(&["--help"]).expect_code(0).stdout;
    let rows = |header: &str| -> Vec<String> {
        let table = readme.lines().skip_while(|line| !line.starts_with(header)).skip(2);
        let cells = table.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
        cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let documented: Vec<String> =
        // A row may have two commands: "`validate`, `list`".
        rows("| command |").iter().flat_map(|cell| cell.split("`, `")).filter_map(|command| command.split_whitespace().next()).map(str::to_owned).collect();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert_eq!(documented, commands);
    // "Exit codes: 0 passed, 1 an expectation failed, ..., 130 and 143 interrupted."
    let sentence = help.split("Exit codes:").nth(1).and_then(|rest| rest.split("Usage:").next()).expect("exit codes");
    let number = |word: &str| word.trim_matches(',').parse::<u8>().ok();
    let codes: Vec<u8> = sentence.split_whitespace().filter_map(number).collect();
    let documented: Vec<u8> =
        rows("| exit code |").iter().flat_map(|cell| cell.split(',').map(str::trim).filter_map(number)).collect();
    assert_eq!(documented, codes);
    for command in ["cargo run --release -- run --sandbox scenarios/quickstart.yaml", "cargo test --workspace"] {
        assert!(readme.lines().any(|line| line == command), "the README has no `{command}`");
    }
}
