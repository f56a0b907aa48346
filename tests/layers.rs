//! The layers: which crate may use which, and that no files of a crate use each other in a circle.
//!
//! A file uses another one when its code names an item that the other one defines: in a `use`, in a path, in the arguments
//! of a macro or in an attribute. `mod child;` and a re-export are no use, so a parent may list its children; a child that
//! uses items of its parent, while the parent uses items of the child, is a circle. Code that only tests compile
//! (`#[cfg(test)]`, the feature `testing`) is exempt. A call of a method does not name the file that defines it, so the
//! check does not see an `impl` that continues in another file.

mod graph;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{none_of, root};
use graph::{circles, describe, graph};
use names::Crate;

/// The crates of this workspace that each crate may use, the lowest layer first.
const LAYERS: [(&str, &[&str]); 16] = [
    ("fakes", &[]),
    ("features", &[]),
    ("schemas", &[]),
    ("secrets", &[]),
    ("reports", &["schemas", "secrets"]),
    ("observe", &["schemas"]),
    ("judge", &["observe", "schemas"]),
    ("load", &["observe", "schemas", "secrets"]),
    ("policy", &["schemas"]),
    ("cluster", &["policy", "schemas"]),
    ("guard", &["cluster", "schemas"]),
    ("probe", &[]),
    ("faults", &["cluster", "guard", "policy", "probe", "schemas"]),
    ("sandbox", &["policy", "probe", "schemas"]),
    ("engine", &["cluster", "faults", "guard", "judge", "load", "observe", "policy", "probe", "reports", "schemas"]),
    (ROOT, &["cluster", "engine", "faults", "guard", "judge", "load", "probe", "reports", "sandbox", "schemas"]),
];

/// The crate of the program.
const ROOT: &str = "shakedown";

/// The workspace's packages: for each its library's root file and what it depends on, apart from what its tests need. An
/// optional dependency belongs to the feature `testing`.
fn packages() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let short = |name: &str| name.strip_prefix("shakedown-").unwrap_or(name).to_owned();
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let packages = list(&metadata["packages"]).into_iter().map(|package| {
        let is_library = |target: &serde_json::Value| list(&target["kind"]).contains(&"lib".into());
        let library = list(&package["targets"]).into_iter().find(is_library).expect("a library");
        let file = PathBuf::from(text(&library["src_path"]));
        let used =
            list(&package["dependencies"]).into_iter().filter(|one| one["kind"] != "dev" && one["optional"] != true);
        let used = used.map(|one| short(&text(&one["name"]))).collect();
        (short(&text(&package["name"])), (file, used))
    });
    packages.collect()
}

#[test]
fn every_crate_uses_only_the_layers_below_it() {
    let packages = packages();
    let layers = BTreeMap::from(LAYERS);
    let mut problems = Vec::new();
    assert!(packages.keys().map(String::as_str).eq(layers.keys().copied()), "not the crates of LAYERS");
    for (name, (_, used)) in &packages {
        let may = layers[name.as_str()];
        for one in used.iter().filter(|one| packages.contains_key(*one) && !may.contains(&one.as_str())) {
            problems.push(format!("{name} must not depend on {one}"));
        }
        if used.contains("kube") && name != "cluster" {
            problems.push(format!("{name} must not depend on kube: access to a cluster is the crate cluster's"));
        }
    }
    none_of(&problems);
}

/// What a build of tests compiles of other people's: the packages with their features.
fn compiled(selection: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = Command::new(cargo)
        .args(["tree", "--offline", "--edges", "normal,build,dev", "--prefix", "none"])
        .args(["--format", "{p} [{f}]", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .args(selection)
        .output()
        .expect("cargo runs");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let text = String::from_utf8(asked.stdout).expect("text");
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)"));
    lines.filter(|line| !line.is_empty() && !line.contains(" (/")).map(str::to_owned).collect()
}

#[test]
fn the_tests_of_one_crate_use_what_those_of_all_crates_compile() {
    let all = compiled(&["--workspace"]);
    let mut problems = Vec::new();
    for name in packages().into_keys() {
        let package = if name == ROOT { name.clone() } else { format!("{ROOT}-{name}") };
        for other in compiled(&["--package", &package]).difference(&all) {
            problems.push(format!("{name}: {other} is compiled again, add its features to tests/features/Cargo.toml"));
        }
    }
    none_of(&problems);
}

#[test]
fn a_layer_uses_none_above_it() {
    let mut below = BTreeSet::new();
    for (name, may) in LAYERS {
        for one in may {
            assert!(below.contains(one), "{name} may use {one}, which is not below it");
        }
        below.insert(name);
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut problems = Vec::new();
    for (file, _) in packages().into_values() {
        let read = Crate::read(root(), file.strip_prefix(root()).expect("below the root"));
        let graph = graph(&read);
        problems.extend(circles(&graph).iter().map(|circle| describe(&graph, circle)));
    }
    none_of(&problems);
}

/// The Rust files below a folder, without those of tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of this checkout") {
        let path = entry.expect("an entry").path();
        match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("tests") => {}
            _ if path.is_dir() => sources(&path, found),
            _ => found.extend(path.extension().is_some_and(|it| it == "rs").then_some(path)),
        }
    }
}

/// The calls with which a text is split or searched.
const SEARCHES: [&str; 6] = ["split(", "split_once(", "contains(", "strip_prefix(", "trim_start_matches(", ".find("];

/// Whether a line of code writes a message and its help as one text.
fn joins_a_help(line: &str) -> bool {
    line.contains(r"\nhelp: ")
}

/// Whether a line of code takes a help out of a text.
fn splits_a_help(line: &str) -> bool {
    line.find("help: ").is_some_and(|at| SEARCHES.iter().any(|call| line[..at].contains(call)))
}

#[test]
fn a_help_is_a_field_and_no_part_of_a_text() {
    assert!(splits_a_help(r#"let (cause, help) = why.split_once("\nhelp: ").unwrap_or((why, ""));"#));
    assert!(!splits_a_help(r#"format!("{message}\nhelp: {help}")"#));
    assert!(joins_a_help(r#"format!("{message}\nhelp: {help}")"#));
    let mut files = Vec::new();
    ["reports/src", "runner", "schemas/src"].iter().for_each(|folder| sources(&root().join(folder), &mut files));
    // A result's texts are read again where they were written.
    let own = root().join("schemas/src/explained.rs");
    assert!(files.len() > 300 && files.contains(&own), "{}", files.len());
    let mut problems = Vec::new();
    for file in files.into_iter().filter(|file| *file != own) {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| splits_a_help(line) || joins_a_help(line));
        problems.extend(lines.map(|(at, line)| format!("{}:{}: {}", file.display(), at + 1, line.trim())));
    }
    none_of(&problems);
}

/// Writes a crate of these files, and describes its circles.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    let graph = graph(&Crate::read(folder.path(), Path::new("lib.rs")));
    circles(&graph).iter().map(|circle| describe(&graph, circle)).collect()
}

#[test]
fn two_files_that_use_each_other_are_a_circle_with_its_names() {
    let found = circles_of(&[
        ("lib.rs", "mod one; mod two;"),
        ("one.rs", "use crate::two::Two; pub struct One(Two); pub fn make() {}"),
        ("two.rs", "use super::one; pub struct Two; fn f() { one::make() }"),
    ]);
    assert_eq!(found, ["a circle of 2 files\n  one.rs uses Two of two.rs\n  two.rs uses make of one.rs"]);
}

#[test]
fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
    let child = ("one/child.rs", "use super::One; pub fn f(_: &One) {}");
    let found = circles_of(&[
        ("lib.rs", "mod one;"),
        ("one.rs", "mod child; pub struct One; fn g() { child::f(&One) }"),
        child,
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    let found =
        circles_of(&[("lib.rs", "mod one;"), ("one.rs", "mod child; pub use child::f; pub struct One;"), child]);
    assert_eq!(found, [""; 0], "a re-export uses nothing");
    let found = circles_of(&[
        ("lib.rs", "mod one;"),
        ("one.rs", "mod child; pub use child::f; pub struct One; const F: fn(&One) = f;"),
        child,
    ]);
    assert_eq!(found.len(), 1, "a re-export that its file uses: {found:?}");
}

#[test]
fn a_re_export_leads_to_the_file_that_defines_the_item() {
    let found = circles_of(&[
        ("lib.rs", "mod one; mod two; pub use two::*;"),
        ("one.rs", "use crate::Two as Second; pub struct One(Second);"),
        ("two.rs", "mod leaf; pub use leaf::Two; fn f(_: crate::one::One) {}"),
        ("two/leaf.rs", "pub struct Two;"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn names_in_macros_attributes_and_functions_count() {
    let one = ("one.rs", "pub fn make() -> u8 { crate::two::two() }");
    for two in [
        "pub fn two() -> u8 { 2 } fn f() { println!(\"{}\", crate::one::make()) }",
        "pub fn two() -> u8 { 2 } #[derive(Deserialize)] struct S { #[serde(default = \"crate::one::make\")] s: u8 }",
        "pub fn two() -> u8 { 2 } fn f() { use crate::one::make; make(); }",
        "use super::*; pub fn two() -> u8 { 2 } fn f() { one::make(); }",
        "pub fn two() -> u8 { 2 } mod inner { fn f() { super::super::one::make(); } }",
    ] {
        let found = circles_of(&[("lib.rs", "mod one; mod two;"), one, ("two.rs", two)]);
        assert_eq!(found.len(), 1, "{two}: {found:?}");
    }
}

#[test]
fn tests_documents_and_other_crates_are_exempt() {
    let one = ("one.rs", "use crate::two::two; pub fn make() { two() }");
    for two in [
        "pub fn two() {} #[cfg(test)] mod tests { use crate::one::make; }",
        "pub fn two() {} #[cfg(any(test, feature = \"testing\"))] pub fn f<A, B>() { crate::one::make() }",
        "#[cfg(test)] use crate::one::{make}; pub fn two() {}",
        "/// See [`crate::one::make`].\npub fn two() {}",
        "pub fn two() { ::one::make(); other::one::make() }",
    ] {
        let found = circles_of(&[("lib.rs", "mod one; mod two;"), one, ("two.rs", two)]);
        assert_eq!(found, [""; 0], "{two}");
    }
}
