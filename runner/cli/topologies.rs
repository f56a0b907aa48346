//! Topologies of the sandbox next to scenarios: distinguishes their files from scenarios, and checks those that scenarios name.

use std::path::{Path, PathBuf};

use shakedown_sandbox::Topology;
use shakedown_sandbox::topology::{self, BUILT_IN};
use shakedown_schemas::diagnostic::Code;
use shakedown_schemas::{Diagnostic, Document, Keys, MAX_FILE, read_file};

/// The first word of a path in a topology, for `explain`.
pub const TOPOLOGY: &str = "topology";

/// The keys of a topology.
pub fn keys() -> Keys {
    Keys::new(TOPOLOGY, topology::schema())
}

/// True for a file that describes a sandbox and not a scenario. It is recognised by its lines, because it may be invalid YAML.
pub fn is_topology(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let has = |key: &str| text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    has("workloads") && !has("phases") && !has("version")
}

/// The names of the built-in topologies.
pub fn built_in_names() -> String {
    BUILT_IN.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The topology of the sandbox that a scenario names: a built-in one, or a file next to the scenario.
pub fn named(document: &Document) -> Option<PathBuf> {
    let name = PathBuf::from(&document.scenario.sandbox.as_ref()?.topology);
    let is_built_in = name.to_str().is_some_and(|name| Topology::text(name).is_some());
    Some(if is_built_in { name } else { Path::new(&document.file).with_file_name(name) })
}

/// The topologies that scenarios run in, each once, and which of them is that of each scenario: the one of the command line, or
/// else the one that the scenario names, or else the default. A scenario with URLs only sees none, and asks for none.
pub fn of_each(given: Option<&Path>, documents: &[Document]) -> (Vec<PathBuf>, Vec<usize>) {
    let default = || given.map_or_else(|| PathBuf::from(BUILT_IN[0].0), Path::to_owned);
    let mut all: Vec<PathBuf> = Vec::new();
    let of = documents.iter().map(|document| {
        if document.scenario.needs_no_cluster() {
            return 0;
        }
        let path = named(document).filter(|_| given.is_none()).unwrap_or_else(default);
        all.iter().position(|it| *it == path).unwrap_or_else(|| {
            all.push(path);
            all.len() - 1
        })
    });
    let of = of.collect();
    if all.is_empty() {
        all.push(default());
    }
    (all, of)
}

/// The problems of the topologies that the scenarios name.
pub fn problems(documents: &[Document]) -> Vec<Diagnostic> {
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for (document, path) in documents.iter().filter_map(|document| Some((document, named(document)?))) {
        let name = path.display().to_string();
        if Topology::text(&name).is_some() || seen.contains(&path) {
            continue;
        }
        match read_file(&path, MAX_FILE) {
            Ok(bytes) => all.extend(Topology::read(&name, &bytes).err().unwrap_or_default()),
            Err(error) => {
                let problem = Diagnostic::error(Code::File, format!("the topology `{name}` {error}"));
                let help = format!("name a file next to the scenario, or one of {}", built_in_names());
                all.push(document.problem("sandbox.topology", problem.help(help)));
            }
        }
        seen.push(path);
    }
    all
}
