//! Parts of a scenario in other files: `extends` at the top of a file, `use` in a phase and in a load. The parts are merged
//! into the tree before anything else reads it: maps are joined, and any other value of the file replaces that of the part.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic};
use crate::files::{MAX_FILE, read_file};
use crate::foreign;
use crate::source::{self, Entry, Node, Span, Value};

/// The key at the top of a file.
const EXTENDS: &str = "extends";
/// The key in a phase and in a load.
const USE: &str = "use";
/// The most files of one scenario. A file counts each time it is used.
const MOST: usize = 100;

/// The files of a scenario with their texts. The first one is the scenario itself.
#[derive(Debug)]
pub(crate) struct Sources {
    files: Vec<(String, String)>,
}

impl Sources {
    /// A scenario without other files.
    pub(crate) fn of(file: &str, text: &str) -> Self {
        Self { files: vec![(file.to_owned(), text.to_owned())] }
    }

    /// The text of the scenario itself.
    pub(crate) fn text(&self) -> &str {
        self.files.first().map_or("", |(_, text)| text)
    }

    /// The number of a file. A file that is used twice has one.
    fn add(&mut self, file: &str, text: &str) -> u16 {
        let known = self.files.iter().position(|(name, _)| name == file);
        let number = known.unwrap_or_else(|| {
            self.files.push((file.to_owned(), text.to_owned()));
            self.files.len() - 1
        });
        // There are far fewer files.
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// A problem with the name of its file and its lines.
    pub(crate) fn placed(&self, problem: Diagnostic) -> Diagnostic {
        let number = problem.span.map_or(0, |span| usize::from(span.file));
        match self.files.get(number) {
            Some((file, text)) => problem.in_file(file, text),
            None => problem,
        }
    }
}

/// Merges the parts into the tree of a scenario in this folder, and returns the problems.
pub(crate) fn merge(tree: &mut Node, folder: &Path, sources: &mut Sources) -> Vec<Diagnostic> {
    let asks = |node: &Node| entries(node).iter().any(|it| it.key == EXTENDS || it.key == USE);
    let parts = entries(tree).iter().filter(|it| it.key == "phases" || it.key == "load");
    if !asks(tree) && !parts.flat_map(|it| children(&it.node)).any(asks) {
        return Vec::new();
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(root) = folder.canonicalize() else { return Vec::new() };
    let first = sources.files.first().map(|(file, _)| PathBuf::from(file)).unwrap_or_default();
    let chain = vec![first.canonicalize().unwrap_or(first)];
    let mut parts = Parts { root, sources, problems: Vec::new(), files: 0 };
    parts.scenario(tree, folder, &chain);
    parts.problems
}

/// The entries of a map.
fn entries(node: &Node) -> &[Entry] {
    if let Value::Map(entries) = &node.value { entries } else { &[] }
}

/// The values of a map or a list.
fn children(node: &Node) -> Vec<&Node> {
    match &node.value {
        Value::Seq(nodes) => nodes.iter().collect(),
        Value::Map(entries) => entries.iter().map(|entry| &entry.node).collect(),
        _ => Vec::new(),
    }
}

struct Parts<'s> {
    /// The folder of the scenario, which no part leaves.
    root: PathBuf,
    sources: &'s mut Sources,
    problems: Vec<Diagnostic>,
    files: usize,
}

impl Parts<'_> {
    /// A whole scenario, or a file that a scenario extends.
    fn scenario(&mut self, tree: &mut Node, folder: &Path, chain: &[PathBuf]) {
        if let Value::Map(entries) = &mut tree.value {
            for entry in entries {
                match (entry.key.as_str(), &mut entry.node.value) {
                    ("phases", Value::Seq(nodes)) => {
                        nodes.iter_mut().for_each(|node| self.part(node, USE, folder, chain));
                    }
                    ("load", Value::Map(loads)) => {
                        loads.iter_mut().for_each(|load| self.part(&mut load.node, USE, folder, chain));
                    }
                    _ => {}
                }
            }
        }
        self.part(tree, EXTENDS, folder, chain);
    }

    /// Merges the parts that a map names under its key.
    fn part(&mut self, node: &mut Node, key: &str, folder: &Path, chain: &[PathBuf]) {
        let Value::Map(own) = &mut node.value else { return };
        let Some(at) = own.iter().position(|entry| entry.key == key) else { return };
        let named = own.remove(at).node;
        let names = match named.value {
            Value::Seq(nodes) => nodes,
            _ => vec![named],
        };
        let mut base = Vec::new();
        for name in names {
            let Value::String(path) = &name.value else {
                let problem =
                    Diagnostic::error(Code::WrongType, format!("`{key}` is the path of a file, or a list of them"));
                self.problems.push(problem.at(name.span).help(format!("write `{key}: parts/base.fragment.yaml`")));
                continue;
            };
            if let Some(part) = self.read(path, name.span, key, folder, chain) {
                join(&mut base, part);
            }
        }
        join(&mut base, std::mem::take(own));
        *own = base;
    }

    /// The entries of a part, with its own parts merged.
    fn read(&mut self, path: &str, at: Span, key: &str, folder: &Path, chain: &[PathBuf]) -> Option<Vec<Entry>> {
        let refuse = |parts: &mut Self, message: String, help: &str| {
            parts.problems.push(Diagnostic::error(Code::Reuse, message).at(at).help(help));
            None
        };
        let file = folder.join(path);
        let real = match file.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                let help = "the path is relative to the file in which it is written";
                return refuse(self, format!("`{path}` cannot be read: {error}"), help);
            }
        };
        if Path::new(path).is_absolute() || !real.starts_with(&self.root) {
            let help = "move it below the folder of the scenario, so that the scenario is the same on all machines";
            return refuse(self, format!("`{path}` is outside the folder of the scenario"), help);
        }
        if chain.contains(&real) {
            let names = chain.iter().chain([&real]).filter_map(|it| it.file_name());
            let names: Vec<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();
            let message = format!("`{path}` uses itself: {}", names.join(" uses "));
            return refuse(self, message, "remove one of the references");
        }
        self.files += 1;
        if self.files > MOST {
            return refuse(self, format!("the scenario uses more than {MOST} files"), "write some of them out");
        }
        let bytes = match read_file(&real, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(error) => return refuse(self, format!("`{path}` {error}"), "a part is a YAML file"),
        };
        let mut tree = self.parsed(&file.display().to_string(), &bytes)?;
        let mut longer = chain.to_vec();
        longer.push(real);
        let inside = file.parent().unwrap_or(folder).to_owned();
        match key {
            EXTENDS => self.scenario(&mut tree, &inside, &longer),
            key => self.part(&mut tree, key, &inside, &longer),
        }
        match tree.value {
            // Anchors of a part are expanded by now.
            Value::Map(entries) => Some(entries.into_iter().filter(|it| !it.key.starts_with("x-")).collect()),
            _ => {
                let message = "a part is a map of keys, and the file holds something else";
                self.problems.push(
                    Diagnostic::error(Code::WrongType, message)
                        .at(tree.span)
                        .help("write `key: value`, as in a scenario"),
                );
                None
            }
        }
    }

    /// The tree of a file that is added to the sources.
    fn parsed(&mut self, file: &str, bytes: &[u8]) -> Option<Node> {
        let text = source::text(bytes);
        let number = self.sources.add(file, text.as_ref().copied().unwrap_or_default());
        let first = Span { file: number, ..Span::default() };
        let problem = match text.map(|text| (text, source::parse(text))) {
            Ok((_, Ok(mut tree))) => {
                tree.put_into(number);
                return Some(tree);
            }
            Ok((text, Err(problem))) => foreign::syntax(*problem, text),
            Err(problem) => *problem,
        };
        let span = problem.span.map_or(first, |span| Span { file: number, ..span });
        self.problems.push(problem.at(span));
        None
    }
}

/// Joins entries into those of a part: maps are joined, any other value replaces that of the part.
fn join(base: &mut Vec<Entry>, own: Vec<Entry>) {
    for entry in own {
        match base.iter_mut().find(|it| it.key == entry.key) {
            None => base.push(entry),
            Some(known) => match (&mut known.node.value, entry.node.value) {
                (Value::Map(inner), Value::Map(more)) => {
                    join(inner, more);
                    (known.key_span, known.node.span) = (entry.key_span, entry.node.span);
                }
                (_, value) => {
                    known.key_span = entry.key_span;
                    known.node = Node { span: entry.node.span, value };
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::diagnostic::Code;
    use crate::{Diagnostic, Document, Overrides, parse};

    const BASE: &str = "version: 1\nname: base\nload: {main: {http: {url: \"http://127.0.0.1:1\"}, rate: 20/s, timeout: 2s}}\nphases: \
                        [{name: p, duration: 30s}]\n";

    /// Parses `one.yaml` in a folder with these files.
    fn parsed(files: &[(&str, &str)]) -> Result<Document, Vec<Diagnostic>> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join("suite").join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let path = folder.path().join("suite/one.yaml");
        parse(&path.display().to_string(), &fs::read(&path).expect("the scenario"), &Overrides::default())
    }

    #[test]
    fn a_file_extends_another_one_and_its_own_values_win() {
        let document = parsed(&[
            ("one.yaml", "extends: parts/base.fragment.yaml\nname: one\nload: {main: {rate: 50/s}}\n"),
            ("parts/base.fragment.yaml", &format!("extends: ../more.fragment.yaml\n{BASE}")),
            ("more.fragment.yaml", "description: from more\ntags: [a]\nname: more\n"),
        ]);
        let document = document.unwrap_or_else(|found| panic!("{found:#?}"));
        let scenario = &document.scenario;
        assert_eq!((scenario.name.as_str(), scenario.description.as_deref()), ("one", Some("from more")));
        assert_eq!(document.resolved["load"]["main"]["rate"], "50/s");
        assert_eq!(document.resolved["load"]["main"]["timeout"], "2s", "the rest of the load stays");
        assert!(document.resolved.get("extends").is_none());
        assert_eq!(document.line("name"), Some(2));
        assert_eq!(document.line("phases[0]"), None, "it is in another file");
    }

    #[test]
    fn a_phase_and_a_load_use_parts() {
        let one = BASE.replace("rate: 20/s, timeout: 2s", "use: load.fragment.yaml, rate: 30/s").replace(
            "{name: p, duration: 30s}",
            "{use: phase.fragment.yaml, name: first}, {use: [phase.fragment.yaml]}",
        );
        let document = parsed(&[
            ("one.yaml", &one),
            ("load.fragment.yaml", "rate: 20/s\ntimeout: 3s\n"),
            ("phase.fragment.yaml", "name: p\nduration: 40s\n"),
        ]);
        let document = document.unwrap_or_else(|found| panic!("{found:#?}"));
        let names: Vec<&str> = document.scenario.phases.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["first", "p"]);
        assert_eq!(document.scenario.phases[0].duration.get().as_secs(), 40);
        assert_eq!(document.scenario.load["main"].timeout.get().as_secs(), 3);
    }

    #[test]
    fn a_problem_of_a_part_that_is_used_twice_is_said_once() {
        let one = BASE.replace("{name: p, duration: 30s}", "{use: p.fragment.yaml, name: a}, {use: p.fragment.yaml}");
        for part in ["name: p\nduration: 30s\nduratn: 1s\n", "name: p: x\n"] {
            let found = parsed(&[("one.yaml", one.as_str()), ("p.fragment.yaml", part)]).expect_err(part);
            assert_eq!(found.len(), 1, "{part}: {found:#?}");
        }
    }

    #[test]
    fn problems_have_the_place_in_their_own_file() {
        let one = "extends: base.fragment.yaml\nname: one\n";
        for (files, code, place, part) in [
            (
                vec![("base.fragment.yaml", BASE.replace("30s", "30"))],
                Code::InvalidValue,
                ("base.fragment.yaml", 4),
                "30",
            ),
            (vec![("base.fragment.yaml", "a: b: c\n".to_owned())], Code::Syntax, ("base.fragment.yaml", 1), "YAML"),
            (vec![("base.fragment.yaml", "- 1\n".to_owned())], Code::WrongType, ("base.fragment.yaml", 1), "map"),
            (vec![], Code::Reuse, ("one.yaml", 1), "cannot be read"),
            (
                vec![("base.fragment.yaml", format!("extends: one.yaml\n{BASE}"))],
                Code::Reuse,
                ("base.fragment.yaml", 1),
                "one.yaml uses base.fragment.yaml uses one.yaml",
            ),
            (
                vec![
                    ("base.fragment.yaml", format!("extends: ../outside.yaml\n{BASE}")),
                    ("../outside.yaml", BASE.to_owned()),
                ],
                Code::Reuse,
                ("base.fragment.yaml", 1),
                "outside the folder",
            ),
            (
                vec![("base.fragment.yaml", format!("extends: /etc/hostname\n{BASE}"))],
                Code::Reuse,
                ("base.fragment.yaml", 1),
                "`/etc/hostname`",
            ),
        ] {
            let mut all = vec![("one.yaml", one)];
            all.extend(files.iter().map(|(name, text)| (*name, text.as_str())));
            let found = parsed(&all).expect_err(part);
            let problem = found.iter().find(|it| it.code == code).unwrap_or_else(|| panic!("{part}: {found:#?}"));
            assert!(problem.file.ends_with(place.0) && problem.line() == Some(place.1), "{part}: {problem:#?}");
            assert!(problem.render(false).contains(part), "{part}: {}", problem.render(false));
        }
    }
}
