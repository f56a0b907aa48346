//! Filters the valid scenarios of a command by tag, by `--filter` and by `--shard`. It prints the scenarios that it leaves
//! out, so that a narrow selection is not taken for the whole suite. The selection itself is pure.

use shakedown_schemas::result::{Identity, Shard};
use shakedown_schemas::{Document, Explained, first_few};

use super::args::{Selection, SuitePart};
use super::{Failure, exit, print};

/// The most names that are listed.
const LISTED: usize = 12;

/// The help of every empty selection.
const HELP: &str = "`shakedown list` shows the scenarios of a folder with their tags";

/// The selected scenarios of a command.
pub struct Selected {
    /// The scenarios, in the order of the command line.
    pub documents: Vec<Document>,
    /// Their part of the suite, with `--shard`.
    pub shard: Option<Shard>,
}

/// Selects, and prints what is left out.
///
/// # Errors
/// Exit code 5 if no scenario is left.
pub fn filter(documents: Vec<Document>, selection: &Selection) -> Result<Selected, Failure> {
    let all = documents.len();
    let (documents, mut left_out) = by_words(documents, selection);
    let suite = documents.len();
    let (documents, others) = match selection.shard {
        Some(part) => by_shard(documents, part),
        None => (documents, Vec::new()),
    };
    left_out.extend(others.into_iter().map(|name| (name, "--shard")));
    if documents.is_empty() {
        let why = match selection.shard {
            Some(part) if suite > 0 => {
                let scenarios = if suite == 1 { "scenario" } else { "scenarios" };
                let (number, of) = (part.number, part.of);
                Explained::new(
                    format!("part {number} of {of} is empty: the suite has {suite} {scenarios}"),
                    format!(
                        "start at most {suite} shards, or \
                     let the job pass on exit code 5"
                    ),
                )
            }
            _ => Explained::new(format!("no scenario is selected{}", said(&left_out)), HELP),
        };
        return Err(Failure { why, code: exit::NOTHING_SELECTED });
    }
    if !left_out.is_empty() {
        print::note(format_args!("{} of {all} scenarios selected{}", documents.len(), said(&left_out)));
    }
    let shard = selection.shard.map(|part| Shard { number: part.number, of: part.of, suite });
    Ok(Selected { documents, shard })
}

/// A name, and the flag that left it out.
type LeftOut = (String, &'static str);

/// By tag and by filter.
fn by_words(documents: Vec<Document>, selection: &Selection) -> (Vec<Document>, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let mut kept = Vec::new();
    for document in documents {
        match refused_by(&document, selection) {
            Some(flag) => left_out.push((document.scenario.name, flag)),
            None => kept.push(document),
        }
    }
    (kept, left_out)
}

/// The flag that leaves a scenario out.
fn refused_by(document: &Document, selection: &Selection) -> Option<&'static str> {
    let scenario = &document.scenario;
    let has = |wanted: &[String]| wanted.iter().any(|tag| scenario.tags.contains(tag));
    // Without the extension, which every path has and a text could match by accident.
    let path = document.file.strip_suffix(".yaml").or_else(|| document.file.strip_suffix(".yml"));
    let texts = [scenario.name.as_str(), path.unwrap_or(&document.file)];
    let meets = || selection.filter.iter().any(|filter| filter.meets(texts));
    if !selection.tag.is_empty() && !has(&selection.tag) {
        Some("--tag")
    } else if has(&selection.skip_tag) {
        Some("--skip-tag")
    } else if !selection.filter.is_empty() && !meets() {
        Some("--filter")
    } else {
        None
    }
}

/// One part of the suite, and the names of the others. The parts follow from the sorted paths and names: not from the
/// order of the command line, nor from the machine. They differ in size by at most one scenario.
fn by_shard(documents: Vec<Document>, part: SuitePart) -> (Vec<Document>, Vec<String>) {
    let mut order: Vec<usize> = (0..documents.len()).collect();
    let of = |index: &usize| Identity::new(&documents[*index].file, &documents[*index].scenario.name);
    order.sort_by(|one, other| of(one).cmp(&of(other)));
    let ours: Vec<usize> = order.into_iter().skip(part.number - 1).step_by(part.of).collect();
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    for (index, document) in documents.into_iter().enumerate() {
        if ours.contains(&index) {
            kept.push(document);
        } else {
            others.push(document.scenario.name);
        }
    }
    (kept, others)
}

/// The names that were left out, by flag: `; --filter leaves out a, b`.
fn said(left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    for flag in ["--tag", "--skip-tag", "--filter", "--shard"] {
        let names: Vec<&str> = left_out.iter().filter(|(_, by)| *by == flag).map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        text.push_str(&format!("; {flag} leaves out {}", first_few(&names, LISTED)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_schemas::{Overrides, parse};

    fn document(file: &str, name: &str) -> Document {
        let text = format!(
            "version: 1\nname: {name}\nload: {{a: {{http: {{url: 'http://127.0.0.1:1'}}, rate: 50/s}}}}\n\
             phases: [{{name: p, duration: 10s}}]\n"
        );
        parse(file, text.as_bytes(), &Overrides::default()).unwrap()
    }

    fn names(documents: &[Document]) -> Vec<&str> {
        documents.iter().map(|it| it.scenario.name.as_str()).collect()
    }

    /// Each scenario is in one part, whatever the order of the command line.
    #[test]
    fn the_parts_are_the_suite_and_do_not_depend_on_the_order() {
        let suite = || vec![document("c.yaml", "c"), document("./a.yaml", "a"), document("b/x.yaml", "x")];
        let mut reversed = suite();
        reversed.reverse();
        let mut all = Vec::new();
        for number in 1..=2 {
            let part = SuitePart { number, of: 2 };
            let (ours, others) = by_shard(suite(), part);
            assert_eq!(ours.len() + others.len(), 3);
            let mut same = by_shard(reversed.clone(), part).0;
            same.reverse();
            assert_eq!(names(&ours), names(&same));
            all.extend(names(&ours).into_iter().map(str::to_owned));
        }
        all.sort();
        assert_eq!(all, ["a", "c", "x"]);
        assert_eq!(names(&by_shard(suite(), SuitePart { number: 1, of: 2 }).0), ["c", "a"], "the order stays");
    }

    #[test]
    fn every_flag_names_what_it_leaves_out() {
        let left: Vec<LeftOut> =
            (0..14).map(|n| (format!("s{n}"), "--filter")).chain([("t".into(), "--tag")]).collect();
        assert_eq!(
            said(&left),
            "; --tag leaves out t; --filter leaves out s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11 and 2 more"
        );
    }
}
