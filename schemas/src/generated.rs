//! Parts of documents that are generated from the descriptions of the kinds. A part begins with `<!-- generated: NAME -->`
//! and ends with `<!-- end -->`. A test fails if a document is stale, and `cargo run -- schema --write` updates it.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::scenario::{Expectation, Fault, Load, Means};

/// The mark at the beginning of a generated part, before its name.
pub const BEGIN: &str = "<!-- generated: ";
/// The mark at its end.
pub const END: &str = "<!-- end -->";

/// The documents with lists of kinds, by their paths in a checkout.
pub const DOCUMENTS: [&str; 3] = ["runner/faults/README.md", "runner/judge/README.md", "scenarios/LOAD.md"];

/// The lists of kinds.
pub fn lists() -> BTreeMap<&'static str, String> {
    [("faults", faults()), ("expectations", expectations()), ("loads", loads())].into()
}

/// The document with these parts refreshed. Everything else is kept.
pub fn fill(document: &str, parts: &BTreeMap<&'static str, String>) -> String {
    let mut out = String::new();
    let mut rest = document;
    while let Some(at) = rest.find(BEGIN) {
        let name = rest[at + BEGIN.len()..].split(" -->").next().unwrap_or_default();
        let line = at + rest[at..].find('\n').map_or(rest.len() - at, |end| end + 1);
        out.push_str(&rest[..line]);
        rest = &rest[line..];
        if let Some(part) = parts.get(name) {
            out.push('\n');
            out.push_str(part);
            out.push('\n');
            rest = rest.find(END).map_or("", |end| &rest[end..]);
        }
    }
    out.push_str(rest);
    out
}

fn faults() -> String {
    let mut out = "| fault | what it does | engine |\n| --- | --- | --- |\n".to_owned();
    for kind in Fault::KINDS {
        let engines: Vec<&str> = kind.facts.means.iter().map(engine).collect();
        _ = writeln!(out, "| `{}` | {} | {} |", kind.name, kind.summary(), engines.join(", or "));
    }
    out
}

const fn engine(means: &Means) -> &'static str {
    match means {
        Means::NetworkPolicy => "NetworkPolicy",
        Means::Kubernetes { .. } => "Kubernetes",
        Means::ChaosMesh(_) => "Chaos Mesh",
    }
}

fn expectations() -> String {
    let mut out = "| expectation | what it measures |\n| --- | --- |\n".to_owned();
    for kind in Expectation::KINDS {
        _ = writeln!(out, "| `{}` | {} |", kind.name, kind.summary());
    }
    out
}

fn loads() -> String {
    let mut out = "| load | what it sends |\n| --- | --- |\n".to_owned();
    for kind in Load::KINDS {
        _ = writeln!(out, "| `{}` | {} |", kind.name, kind.summary());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::json_schema::REFRESH;

    #[test]
    fn the_lists_of_kinds_are_up_to_date() {
        let mut found = String::new();
        for file in DOCUMENTS {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
            let document = std::fs::read_to_string(&path).expect("the document");
            let fresh = fill(&document, &lists());
            if std::env::var("INSTA_UPDATE").is_ok_and(|it| it == "always") {
                std::fs::write(&path, &fresh).expect("the document's file");
            }
            let now = std::fs::read_to_string(&path).expect("the document");
            assert!(now == fresh, "{file} is stale; refresh it with `{REFRESH}`");
            found.push_str(&now);
        }
        for (name, list) in lists() {
            assert!(found.contains(&format!("{BEGIN}{name} -->\n\n{list}")), "no document has the list `{name}`");
        }
    }

    #[test]
    fn a_part_that_is_not_known_is_kept() {
        let text = "a\n<!-- generated: other -->\nkept\n<!-- end -->\nb\n";
        assert_eq!(fill(text, &lists()), text);
        assert_eq!(
            fill("a\n<!-- generated: faults -->\nold\n<!-- end -->\nb\n", &[("faults", "new\n".to_owned())].into()),
            "a\n<!-- generated: faults -->\n\nnew\n\n<!-- end -->\nb\n"
        );
    }
}
