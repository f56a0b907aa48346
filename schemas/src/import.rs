//! Scenarios from the files of other tools: Chaos Mesh, Chaos Toolkit, Litmus, krkn and k6. Pure: text in, a scenario and notes
//! out.
//!
//! A key of the other tool is either carried over or named in a note with its line: [`read::Fields`] counts which keys were
//! read.

pub(crate) mod chaos_mesh;
mod draft;
mod k6;
mod krkn;
mod litmus;
mod read;
#[cfg(test)]
mod tests;
mod toolkit;
mod values;
mod write;

use draft::Draft;
pub use read::ImportNote;
use read::{Fields, Notes};

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{self, Node, Value};
use crate::{document, foreign, variables::Overrides};

/// A scenario that was made from a file of another tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The name of the other tool.
    pub tool: &'static str,
    /// The scenario as YAML.
    pub scenario: String,
    /// The parts that were not converted, and the assumptions made instead, in the order of the lines.
    pub notes: Vec<ImportNote>,
    /// The errors of the scenario, which have to be mended by hand. Their positions are those in the scenario.
    pub problems: Vec<Diagnostic>,
}

/// Makes a scenario from a file of another tool. The file has no load, except for the HTTP probes of some tools and the requests
/// of a script: `service` (`NAME:PORT`) receives the load otherwise.
///
/// # Errors
/// The file is not YAML or JSON, belongs to no known tool, or contains no fault, or for a script no request, that can be carried
/// over.
pub fn import(file: &str, bytes: &[u8], service: Option<&str>) -> Result<Imported, Box<Diagnostic>> {
    let text = source::text(bytes)?;
    let mut notes = Notes::default();
    if foreign::is_script(text) {
        let scenario = k6::scenario(text, file, service, &mut notes).map_err(|why| {
            let why = format!("{why}{}", in_lines(&notes));
            Box::new(Diagnostic::error(Code::OtherFile, why).help("`shakedown init` writes a first scenario"))
        })?;
        return Ok(imported(file, "k6", scenario, notes));
    }
    let mut draft = Draft::default();
    let mut tool = None;
    let mut foreign = Vec::new();
    for (first_line, part) in documents(text) {
        let node = source::parse(part)?;
        notes.offset = first_line;
        match one(&node, &mut draft, &mut notes) {
            Some(found) => tool = Some(found),
            None => foreign.push(node),
        }
        if let (Some(_), [node]) = (tool, &foreign[..]) {
            notes.at(node, "this document belongs to no tool whose files can be imported");
            foreign.clear();
        }
    }
    let tool = match (tool, foreign.first()) {
        (Some(tool), _) => tool,
        (None, Some(node)) => return Err(unknown(node)),
        (None, None) => return Err(Box::new(other("the file has no content"))),
    };
    if draft.steps.iter().all(|step| step.faults.is_empty()) {
        let why = in_lines(&notes);
        return Err(Box::new(other(&format!("no fault of this file of {tool} can be carried over{why}"))));
    }
    let scenario = write::scenario(draft, file, tool, service, &mut notes);
    Ok(imported(file, tool, scenario, notes))
}

/// The notes after an error.
fn in_lines(notes: &Notes) -> String {
    let why: Vec<String> = notes.list.iter().map(|note| format!("line {}: {}", note.line, note.message)).collect();
    if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) }
}

/// The import with what has to be mended in the scenario.
fn imported(file: &str, tool: &'static str, scenario: String, mut notes: Notes) -> Imported {
    let mut problems = document::parse(file, scenario.as_bytes(), &Overrides::default()).err().unwrap_or_default();
    problems.retain(Diagnostic::is_error);
    notes.list.sort();
    notes.list.dedup();
    Imported { tool, scenario, notes: notes.list, problems }
}

/// Adds one document to the draft. None if it belongs to no known tool.
fn one(node: &Node, draft: &mut Draft, notes: &mut Notes) -> Option<&'static str> {
    if let Value::Seq(items) = &node.value {
        return krkn::list(items, draft, notes).then_some("krkn");
    }
    let fields = Fields::of(node, "")?;
    let api = fields.text("apiVersion").unwrap_or_default();
    match api.split('/').next().unwrap_or_default() {
        "chaos-mesh.org" => {
            chaos_mesh::resource(&fields, draft, notes);
            Some("Chaos Mesh")
        }
        "litmuschaos.io" => {
            litmus::engine(&fields, draft, notes);
            Some("Litmus")
        }
        "" if fields.has("method") || fields.has("steady-state-hypothesis") => {
            toolkit::experiment(&fields, draft, notes);
            Some("Chaos Toolkit")
        }
        "" => krkn::map(&fields, draft, notes).then_some("krkn"),
        _ => None,
    }
}

/// The documents of a file, each with the number of lines before it. Empty ones are left out.
fn documents(text: &str) -> Vec<(u32, &str)> {
    let mut all = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" {
            all.push((begin_line, &text[begin..at]));
            begin = at + line.len();
            begin_line = u32::try_from(number).unwrap_or(u32::MAX - 1) + 1;
        }
        at += line.len();
    }
    all.push((begin_line, &text[begin..]));
    let has_content =
        |part: &str| part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    all.retain(|(_, part)| has_content(part));
    all
}

fn unknown(node: &Node) -> Box<Diagnostic> {
    Box::new(other("the file belongs to no tool whose files can be imported").at(node.span))
}

fn other(message: &str) -> Diagnostic {
    let help = "`import` reads manifests of Chaos Mesh, experiments of Chaos Toolkit, a ChaosEngine of Litmus, scenarios of krkn \
                and scripts of k6; `shakedown init` writes a first scenario";
    Diagnostic::error(Code::OtherFile, message).help(help)
}
