//! Entry points for the fuzz targets of `tests/fuzz`: the code of this crate that parses what servers send. An ordinary
//! test runs the seeds.

use serde_json::Value;

use crate::framing::{AnswerPart, Cut, Reader};
use crate::path::Path;
use crate::sse::{Event, Parser, TooLarge};

/// Cuts bytes into pieces. The lengths follow from the bytes themselves.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (first, _) = rest.split_first()?;
        let (piece, behind) = rest.split_at(usize::from(first % 7 + 1).min(rest.len()));
        rest = behind;
        Some(piece)
    })
}

/// Parses an HTTP/1.1 answer, as a whole and in pieces.
///
/// # Panics
/// When the results differ.
pub fn framing(bytes: &[u8]) {
    for is_head in [false, true] {
        assert_eq!(answer(is_head, [bytes]), answer(is_head, pieces(bytes)));
    }
}

/// The status, the body, and the state at the end of the connection. None for a malformed answer, of which more is read
/// when it arrives in pieces.
type Answer = Option<(Option<u16>, Vec<u8>, Cut)>;

fn answer<'p>(is_head: bool, pieces: impl IntoIterator<Item = &'p [u8]>) -> Answer {
    let mut reader = Reader::new();
    reader.begin(is_head);
    let (mut status, mut body) = (None, Vec::new());
    for mut bytes in pieces {
        loop {
            match reader.next(&mut bytes, |seen, _| status = Some(seen)) {
                Err(_) => return None,
                Ok(None) => break,
                Ok(Some(AnswerPart::Head)) => {}
                Ok(Some(AnswerPart::Body(piece))) => body.extend_from_slice(piece),
                Ok(Some(AnswerPart::End)) => return Some((status, body, Cut::End)),
            }
        }
    }
    reader.cut().ok().map(|cut| (status, body, cut))
}

/// Parses a stream of events, as a whole and in pieces.
///
/// # Panics
/// When the results differ.
pub fn sse(bytes: &[u8]) {
    assert_eq!(events(std::iter::once(bytes)), events(pieces(bytes)));
}

/// The names and data of events.
type Events = Vec<(Vec<u8>, Vec<u8>)>;

fn events<'p>(mut pieces: impl Iterator<Item = &'p [u8]>) -> (Events, Result<(), TooLarge>) {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    let mut keep = |event: Event<'_>| events.push((event.name.to_vec(), event.data.to_vec()));
    let ended = pieces.try_for_each(|piece| parser.feed(piece, &mut keep));
    parser.finish(&mut keep);
    (events, ended)
}

/// Evaluates a path (the first line) on an answer (the rest).
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((path, body)) = text.split_once('\n') else { return };
    // Validation of a scenario rejects longer paths.
    let (Ok(read), true) = (serde_json::from_str::<Value>(body), path.len() <= 500) else { return };
    if let Ok(path) = Path::parse(path) {
        _ = path.any(&read, body.len(), |_| false);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzz_targets_accept_their_seeds() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds");
        for (target, run) in [("framing", super::framing as fn(&[u8])), ("sse", super::sse), ("path", super::path)] {
            let files: Vec<_> = std::fs::read_dir(seeds.join(target)).unwrap().collect();
            assert!(!files.is_empty());
            files.into_iter().for_each(|file| run(&std::fs::read(file.unwrap().path()).unwrap()));
        }
    }
}
