//! Regular expressions that read a text of any length through, piece by piece, and keep one number of it.

use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;

/// A compiled expression: a table of states.
pub type Pattern = dense::DFA<Vec<u32>>;

/// The largest table, in bytes.
const MAX_TABLE: usize = 16 << 20;

const TOO_BIG: &str = "it takes too much memory; use smaller numbers of repetitions";

/// Compiles an expression of the syntax of Rust's `regex`.
///
/// # Errors
/// What is wrong with it, in a sentence: its syntax, a word boundary of Unicode, or a table of more than 16 MiB.
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
        // A body can be anything: what is no UTF-8 is passed over.
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
    fn what_cannot_be_compiled_says_why() {
        compile(r"order-\d+ (?-u:\b)x$").expect("an expression");
        for (text, why) in [("(", "unclosed"), (r"\bx", "(?-u:"), (r"(\w{200}){50}", "too much memory")] {
            let error = compile(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
