//! Every file of `tests-cases`: the valid ones parse, the invalid ones give exactly the problems that are recorded
//! beside them. `INSTA_UPDATE=always cargo test -p shakedown-schemas` records them anew; look at the difference.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::Code;
use crate::{Overrides, parse};

fn cases(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests-cases").join(folder);
    let mut cases: Vec<(String, PathBuf)> = fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no case in {}", folder.display());
    cases
}

#[test]
fn valid_files_parse() {
    for (name, path) in cases("valid") {
        let bytes = fs::read(&path).expect("a case");
        match parse(&name, &bytes, &Overrides::default()) {
            // The design's own example asks for a ratio of 1.2, which draws its warning.
            Ok(document) => assert!(document.warnings.iter().all(|it| it.code == Code::TightRatio), "{name}"),
            Err(problems) => panic!("{name}:\n{}", problems.iter().map(|it| it.render(false)).collect::<String>()),
        }
    }
}

#[test]
fn invalid_files_give_the_recorded_problems() {
    for (name, path) in cases("invalid") {
        let bytes = fs::read(&path).expect("a case");
        let problems = match parse(&format!("{name}.yaml"), &bytes, &Overrides::default()) {
            Ok(document) => document.warnings,
            Err(problems) => problems,
        };
        let text: Vec<String> = problems.iter().map(|problem| problem.render(false)).collect();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../tests-cases/invalid" }, {
            insta::assert_snapshot!(name.clone(), text.join("\n\n"));
        });
    }
}
