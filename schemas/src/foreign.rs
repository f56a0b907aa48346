//! Recognises files and notations of other tools, as opposed to a scenario with mistakes.

use crate::diagnostic::{Code, Diagnostic, words};
use crate::source::{Node, Step, Value};

/// The kinds of Chaos Mesh, and the faults that are the same here.
pub(crate) const CHAOS_MESH: &[(&str, &[&str])] = &[
    ("NetworkChaos", &["partition", "netem"]),
    ("PodChaos", &["pod_kill", "pod_failure", "container_kill"]),
    ("StressChaos", &["stress"]),
    ("IOChaos", &["io"]),
    ("DNSChaos", &["dns"]),
    ("TimeChaos", &["time"]),
    ("HTTPChaos", &["http"]),
];

const INIT: &str = "`shakedown init` writes a first scenario";
const IMPORT: &str = "`shakedown import` makes a scenario of it";

/// The problem that a file is one of another tool.
pub(crate) fn tool(tree: &Node, text: &str) -> Option<Diagnostic> {
    let Value::Map(entries) = &tree.value else { return is_script(text).then(script) };
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    if find("phases").is_some() {
        return None;
    }
    let (what, place, help) = if let (Some(version), Some(kind)) = (find("apiVersion"), find("kind")) {
        let (api, name) = (of_text(&version.node), of_text(&kind.node));
        let same = CHAOS_MESH.iter().find(|(it, _)| *it == name).map(|(_, faults)| *faults).unwrap_or_default();
        let what = match api.split('/').next().unwrap_or_default() {
            "chaos-mesh.org" => "a resource of Chaos Mesh",
            "litmuschaos.io" => "a resource of Litmus",
            _ => "a manifest of Kubernetes",
        };
        let help = match same {
            [] if api.starts_with("litmuschaos.io") || matches!(name, "Workflow" | "Schedule") => IMPORT.to_owned(),
            [] => format!("{INIT}; a fault can create an object: `manifest: {{object: {{kind: {name}}}}}`"),
            _ => format!("{IMPORT}; what this does is the fault {} here", words(same)),
        };
        (format!("{what} (`{name}`)"), version.key_span, help)
    } else if let Some(entry) =
        find("steady-state-hypothesis").or_else(|| find("method").filter(|_| find("title").is_some()))
    {
        let help = format!(
            "{IMPORT}; the steady state is the `expect` of a phase, the method is the `faults` of the next one, and each is \
             undone without `rollbacks`"
        );
        ("an experiment of the Chaos Toolkit".to_owned(), entry.key_span, help)
    } else if let Some(entry) = find("scenarios").or_else(|| find("stages")).filter(|_| find("load").is_none()) {
        if let Some(config) = find("config") {
            let problem = Diagnostic::error(Code::OtherFile, "this is a script of Artillery, not a scenario");
            let help = format!(
                "{INIT}; `target` is the `service` or `url` of a load, `arrivalRate` is `rate`, a flow is the `steps` of `http`"
            );
            return Some(problem.at(config.key_span).help(help));
        }
        if find("thresholds").is_none() && find("name").is_some() {
            return None;
        }
        ("options of k6".to_owned(), entry.key_span, k6_help())
    } else {
        return None;
    };
    Some(Diagnostic::error(Code::OtherFile, format!("this is {what}, not a scenario")).at(place).help(help))
}

fn k6_help() -> String {
    format!("{INIT}; {K6}")
}

/// What its words are here.
const K6: &str =
    "virtual users are `concurrency`, an arrival rate is `rate`, stages are `phases`, thresholds are `expect`";

fn script() -> Diagnostic {
    Diagnostic::error(Code::OtherFile, "this is a script of k6, not a scenario").help(format!("{IMPORT}; {K6}"))
}

/// True for a script of k6.
pub(crate) fn is_script(text: &str) -> bool {
    let begins = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    let imports = |module: &str| text.lines().any(|line| line.starts_with("import ") && line.contains(module));
    begins("export default function")
        || ["const", "let", "var"].iter().any(|word| begins(&format!("export {word} options")))
        || ["'k6/http'", "\"k6/http\"", "'k6'", "\"k6\""].iter().any(|module| imports(module))
}

fn of_text(node: &Node) -> &str {
    match &node.value {
        Value::String(text) => text,
        _ => "",
    }
}

/// A problem of YAML that comes from the notation of another tool.
pub(crate) fn syntax(problem: Diagnostic, text: &str) -> Diagnostic {
    if is_script(text) {
        return script();
    }
    let line = problem.line().and_then(|line| text.lines().nth(line as usize - 1));
    let compared = line.and_then(|line| {
        // `>` begins a text of several lines.
        let (key, value) = line.split_once(": >")?;
        let key = key.trim_start_matches([' ', '-']);
        let value = value.trim_start_matches('=').trim();
        let is_word = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_word && value.starts_with(|c: char| c.is_ascii_digit())).then(|| format!("write `{key}: {{min: {value}}}`"))
    });
    problem.maybe_help(compared)
}

/// Where `${NAME}` may be meant as it is: texts for people and for others.
const OTHERS: &[&str] = &[
    "description",
    "matches",
    "contains",
    "equals",
    "not_equals",
    "object",
    "body",
    "prompt",
    "prompts",
    "parameters",
    "query",
];

/// The problem that a text has a variable as a shell writes it. `path` leads to the text.
pub(crate) fn shell(text: &str, path: &[Step]) -> Option<Diagnostic> {
    let is_others = |step: &Step| matches!(step, Step::Key(key) if OTHERS.contains(&key.as_str()));
    if path.iter().any(is_others) {
        return None;
    }
    let is_upper = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let alone = text.strip_prefix('$').filter(is_upper).map(|name| ("", name, ""));
    let within = || {
        let (before, rest) = text.split_once("${")?;
        let (name, after) = rest.split_once('}')?;
        Some((before, name, after))
    };
    let (before, name, after) = alone.or_else(within)?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let shown = alone.map_or_else(|| format!("${{{name}}}"), |_| text.to_owned());
    let variable = name.to_ascii_lowercase();
    let value = format!("\"{before}{{{{ {variable} }}}}{after}\"");
    let line = match path.last() {
        Some(Step::Key(key)) => format!("{key}: {value}"),
        _ => value,
    };
    Some(
        Diagnostic::error(
            Code::Template,
            format!("`{shown}` is not replaced here: variables are template expressions"),
        )
        .help(format!("write `{line}`, and `--var \"{variable}=${name}\"` on the command line")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_of_chaos_mesh_exist_here() {
        for name in CHAOS_MESH.iter().flat_map(|(_, faults)| *faults) {
            assert!(crate::scenario::FaultInfo::of(name).is_some(), "{name}");
        }
        for kind in crate::scenario::Fault::KINDS {
            let Some(chaos) = kind.chaos_mesh() else { continue };
            let is_named = |(resource, faults): &(&str, &[&str])| {
                resource.eq_ignore_ascii_case(chaos.resource) && faults.contains(&kind.name)
            };
            assert!(CHAOS_MESH.iter().any(is_named), "a file with `{}` is not recognised", kind.name);
        }
    }

    #[test]
    fn texts_for_others_may_have_a_shells_variables() {
        let path = |keys: &[&str]| keys.iter().map(|key| Step::Key((*key).to_owned())).collect::<Vec<_>>();
        assert!(shell("${NAMESPACE}", &path(&["namespace"])).is_some());
        for keys in
            [&["load", "main", "http", "body"][..], &["description"], &["phases", "f", "manifest", "object", "a"]]
        {
            assert!(shell("${NAMESPACE}", &path(keys)).is_none(), "{keys:?}");
        }
        for text in ["$namespace", "$5", "${}", "${1}", "${a b}", "${"] {
            assert!(shell(text, &path(&["namespace"])).is_none(), "{text}");
        }
    }
}
