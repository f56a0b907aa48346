//! The texts in the code that users read: their flags exist, and their quantities can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};
use shakedown_schemas::scenario::PortRange;
use shakedown_schemas::units::{Bandwidth, Duration, Offset, Percent, Rate, Size};

use crate::layers::{files, names};
use crate::support::shakedown::Shakedown;
use crate::support::{none_of, root};

/// Flags in messages that no help of a command lists, with their program.
const FOREIGN: [(&str, &[&str]); 4] = [
    ("kubectl", &["--minify", "--raw", "--request-timeout", "--resource", "--show-labels", "--type", "--verb"]),
    ("helm", &["--create-namespace"]),
    ("a program in a pod of the sandbox", &["--config"]),
    ("shakedown schema, for contributors", &["--write"]),
];

/// Every string of the code of all crates, without tests, and every documentation comment that becomes help of a flag or of
/// a scenario's key.
fn texts() -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    for path in files() {
        let code = std::fs::read_to_string(root().join(&path)).expect("a readable file").parse().expect("Rust");
        let is_help = path.starts_with("runner/cli/args")
            || path.ends_with("cli/args.rs")
            || path.starts_with("schemas/src/scenario");
        let mut found = Vec::new();
        strings(names::without_tests(code), is_help, &mut found);
        texts.extend(found.into_iter().map(|text| (path.clone(), text)));
    }
    assert!(texts.len() > 5_000, "{} are not all of them", texts.len());
    texts
}

/// The strings in some code, with or without its documentation.
fn strings(code: TokenStream, documentation: bool, found: &mut Vec<String>) {
    let mut is_doc = false;
    for token in code {
        match token {
            TokenTree::Group(group) => strings(group.stream(), documentation, found),
            TokenTree::Literal(literal) => match syn::Lit::new(literal) {
                syn::Lit::Str(text) if documentation || !is_doc => found.push(text.value()),
                _ => {}
            },
            TokenTree::Ident(word) => is_doc = word == "doc",
            TokenTree::Punct(mark) => is_doc &= mark.as_char() == '=',
        }
    }
}

/// What a text quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The flags of each command, from its help.
fn commands() -> BTreeMap<String, BTreeSet<String>> {
    let shakedown = Shakedown::new();
    let help = |args: &[&str]| shakedown.run(args).expect_code(0).stdout;
    let whole = help(&["--help"]);
    let (_, list) = whole.split_once("Commands:\n").expect("the commands");
    let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(|name| (name.to_owned(), flags(&help(&[name, "--help"])).map(str::to_owned).collect())).collect()
}

/// The long flags in a text.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word[2..].starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The flags of a text that no command has, or not the command that the text names before it.
fn unknown<'t>(text: &'t str, commands: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'t str> {
    let of = |part: &str| part.strip_prefix("shakedown ").and_then(|rest| commands.get(rest.split(' ').next()?));
    let wrong = quoted(text).filter_map(|part| Some((part, of(part)?)));
    let wrong = wrong.flat_map(|(part, own)| flags(part).filter(move |flag| !own.contains(*flag)));
    let known = |flag: &str| commands.values().any(|own| own.contains(flag));
    wrong.chain(flags(text).filter(|flag| !known(flag))).collect()
}

#[test]
fn the_flags_in_messages_exist() {
    let commands = commands();
    assert!(commands.len() > 10, "{:?}", commands.keys());
    let of = |text: &'static str| unknown(text, &commands).into_iter().collect::<Vec<_>>();
    assert_eq!(of("use `shakedown run --sandbox`, or --tag"), [""; 0]);
    assert_eq!(of("use `shakedown explain --sandbox`"), ["--sandbox"]);
    assert_eq!(of("use --sandbx=1 or --tga"), ["--sandbx", "--tga"]);
    let mut foreign: BTreeSet<&str> = FOREIGN.iter().flat_map(|(_, flags)| *flags).copied().collect();
    let mut problems = Vec::new();
    let mut others = BTreeSet::new();
    let texts = texts();
    // A string that is a flag alone is compared with one, or names one of another tool.
    for (path, text) in texts.iter().filter(|(_, text)| text.contains(' ')) {
        for flag in unknown(text, &commands) {
            if foreign.contains(flag) {
                others.insert(flag);
            } else {
                problems.push(format!("{}: no command has {flag}: {text}", path.display()));
            }
        }
    }
    foreign.retain(|flag| !others.contains(flag));
    problems.extend(foreign.into_iter().map(|flag| format!("no message has {flag}: remove it from FOREIGN")));
    none_of(&problems);
}

/// Whether a quoted text is written like a quantity: a number and a unit.
fn is_quantity(text: &str) -> bool {
    let unit = text.trim_start_matches(['+', '-']).trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_number = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
    // An address or a date has other signs.
    let is_unit = unit.chars().all(|c| c.is_ascii_alphanumeric() || c == '%' || c == '/');
    is_number && is_unit && unit.contains(|c: char| c.is_ascii_alphabetic() || c == '%')
}

/// Whether a scenario can have this quantity.
fn is_read(text: &str) -> bool {
    text.parse::<Duration>().is_ok()
        || text.parse::<Percent>().is_ok()
        || text.parse::<Rate>().is_ok()
        || text.parse::<Size>().is_ok()
        || text.parse::<Bandwidth>().is_ok()
        || text.parse::<Offset>().is_ok()
        || text.parse::<PortRange>().is_ok()
}

#[test]
fn the_quantities_in_messages_can_be_read() {
    assert!(is_quantity("10mbit") && !is_read("10mbit"));
    assert!(is_quantity("-1.5h") && is_read("-1.5h"));
    assert!(!is_quantity("203.0.113.0/24") && !is_quantity("2") && !is_quantity("p95"));
    let mut problems = Vec::new();
    let mut read = 0;
    for (path, text) in texts() {
        for quantity in quoted(&text).filter(|it| is_quantity(it)) {
            read += 1;
            if !is_read(quantity) {
                problems.push(format!("{}: `{quantity}` is no quantity: {text}", path.display()));
            }
        }
    }
    assert!(read > 30, "{read} are not all of them");
    none_of(&problems);
}
