//! `shakedown explain`: the meaning of a code or a key.

use super::args::Explain;
use super::{Failure, exit, print};

/// Prints the text about a topic.
///
/// # Errors
/// Exit code 2 if there is no such topic.
pub fn explain(args: &Explain) -> Result<u8, Failure> {
    let text = shakedown_schemas::explain(args.topic.as_deref(), args.recursive).map_err(Failure::usage)?;
    print::text(&text);
    Ok(exit::PASSED)
}
