//! Regular expressions for streams: they search text of any length piece by piece and store only a state number.

use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;

/// A compiled expression, as a table of states.
pub type Pattern = dense::DFA<Vec<u32>>;

/// The maximum size of the table, in bytes.
const MAX_TABLE: usize = 16 << 20;

const TOO_BIG: &str = "it takes too much memory; use smaller numbers of repetitions";

/// Compiles an expression in the syntax of Rust's `regex`.
///
/// # Errors
/// A sentence on the problem: a syntax error, a Unicode word boundary, or a table of more than 16 MiB.
pub fn compile(text: &str) -> Result<Pattern, String> {
    match regex::Regex::new(text) {
        Ok(_) => {}
        Err(regex::Error::CompiledTooBig(_)) => return Err(TOO_BIG.to_owned()),
        Err(error) => {
            let error = error.to_string();
            return Err(error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned());
        }
    }
    let compiled = dense::Builder::new()
        .configure(
            dense::Config::new()
                .start_kind(StartKind::Unanchored)
                .dfa_size_limit(Some(MAX_TABLE))
                .determinize_size_limit(Some(4 * MAX_TABLE)),
        )
        // A body may contain bytes that are not UTF-8. They match nothing.
        .syntax(syntax::Config::new().utf8(false))
        .thompson(thompson::Config::new().utf8(false).which_captures(WhichCaptures::None))
        .build(text);
    compiled.map_err(|error| {
        if error.is_size_limit_exceeded() {
            TOO_BIG.to_owned()
        } else {
            "a word boundary must be of ASCII, `(?-u:\\b)`, to be looked for in a body".to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_reason() {
        compile(r"order-\d+ (?-u:\b)x$").expect("an expression");
        for (text, why) in [("(", "unclosed"), (r"\bx", "(?-u:"), (r"(\w{200}){50}", "too much memory")] {
            let error = compile(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
