//! Matches over the kinds of faults, expectations and loads: a new kind does not compile before each of them has an answer.

use syn::visit::Visit;

use crate::layers::{files, names};
use crate::support::{none_of, root};

/// The enums of the kinds.
const KINDS: [&str; 3] = ["Fault", "Expectation", "Sent"];

/// Finds the matches that name a kind and have an arm for all the others. A piece of code about one kind alone is an
/// `if let`.
#[derive(Default)]
struct Defaults(Vec<String>);

impl Visit<'_> for Defaults {
    fn visit_expr_match(&mut self, it: &syn::ExprMatch) {
        if it.arms.iter().any(|arm| names_kind(&arm.pat)) {
            let others = it.arms.iter().filter(|arm| is_default(&arm.pat));
            self.0.extend(others.map(|arm| quote::ToTokens::to_token_stream(&arm.pat).to_string()));
        }
        syn::visit::visit_expr_match(self, it);
    }
}

/// Whether a pattern names a kind.
fn names_kind(pattern: &syn::Pat) -> bool {
    struct Paths(bool);
    impl Visit<'_> for Paths {
        fn visit_path(&mut self, path: &syn::Path) {
            let before_last = path.segments.iter().rev().nth(1);
            self.0 |= before_last.is_some_and(|segment| KINDS.iter().any(|kind| segment.ident == kind));
            syn::visit::visit_path(self, path);
        }
    }
    let mut paths = Paths(false);
    paths.visit_pat(pattern);
    paths.0
}

/// Whether a pattern takes everything.
fn is_default(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(it) => it.subpat.is_none(),
        syn::Pat::Tuple(it) => it.elems.iter().all(is_default),
        _ => false,
    }
}

fn defaults(code: &str) -> Vec<String> {
    let code = names::without_tests(code.parse().expect("Rust"));
    let mut found = Defaults::default();
    found.visit_file(&syn::parse2(code).expect("a file of Rust"));
    found.0
}

#[test]
fn no_match_over_kinds_has_an_arm_for_all_others() {
    let of = |body: &str| defaults(&format!("fn f() {{ {body} }}"));
    assert_eq!(of("match it { Fault::Netem(_) => 1, _ => 2 }"), ["_"]);
    assert_eq!(of("match it { Some(Fault::Netem(a)) if a.b => 1, other => 2 }"), ["other"]);
    assert_eq!(of("match (a, b) { (scenario::Expectation::Pods(_), c) => 1, (a, _) => 2 }"), ["(a , _)"]);
    assert_eq!(of("match it { Fault::Netem(_) => 1, Fault::Io(_) => match 2 { 2 => 3, _ => 4 } }"), [""; 0]);
    assert_eq!(defaults("#[cfg(test)] mod tests { fn f() { match it { Sent::Http(_) => 1, _ => 2 } } }"), [""; 0]);
    let mut problems = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(root().join(&file)).expect("a readable file");
        // Most files name no kind, and parsing takes time.
        if KINDS.iter().any(|kind| text.contains(&format!("{kind}::"))) {
            let found = defaults(&text).into_iter();
            problems.extend(found.map(|arm| format!("{}: `{arm} =>` decides for all other kinds", file.display())));
        }
    }
    none_of(&problems);
}
