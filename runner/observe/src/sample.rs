//! One failed request as it was, kept for the report: a name such as `check` or `tls` does not say what to mend. Of each kind
//! of failure and stretch of the timeline there is one, so that memory does not grow with the number of failures.

use std::collections::BTreeMap;

use super::Failure;

/// So much of an answer's body is kept, in bytes.
pub const SAMPLE_BODY: usize = 512;

/// So many kinds of failures have a sample within one stretch.
const MOST_KINDS: usize = 24;

/// One failed request, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// When it was due, in nanoseconds since the load's start.
    pub due_ns: u64,
    /// When it ended, in nanoseconds since the load's start.
    pub end_ns: u64,
    /// The request's name; empty for a load of one request.
    pub request: String,
    /// The status of its answer; none without one.
    pub status: Option<u16>,
    /// Headers of the answer that may say why, in its order: names in lower case.
    pub headers: Vec<(String, String)>,
    /// The first [`SAMPLE_BODY`] bytes of the answer's body.
    pub body: Vec<u8>,
    /// The body goes on after that.
    pub is_cut: bool,
    /// The error of TLS or of the connection with its causes, what the server of an API says about the failure, or the condition
    /// of the `check` that failed, in words.
    pub cause: String,
}

impl Sample {
    /// Adds a piece of the body, as far as there is room.
    pub fn add_body(&mut self, piece: &[u8]) {
        let room = SAMPLE_BODY - self.body.len().min(SAMPLE_BODY);
        self.body.extend_from_slice(&piece[..room.min(piece.len())]);
        self.is_cut |= piece.len() > room;
    }

    /// True when nothing more of the body has room.
    pub fn is_full(&self) -> bool {
        self.body.len() >= SAMPLE_BODY
    }
}

/// The samples of one stretch: the earliest of each kind of failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples(BTreeMap<Failure, Sample>);

impl Samples {
    /// Keeps the sample if it is the first of its kind. One of the same request replaces what was known of it before.
    pub fn keep(&mut self, failure: Failure, sample: Sample) {
        let has_room = self.0.len() < MOST_KINDS;
        match self.0.get_mut(&failure) {
            Some(known) if sample.due_ns <= known.due_ns => *known = sample,
            None if has_room => _ = self.0.insert(failure, sample),
            _ => {}
        }
    }

    /// Adds those of another part of the load.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(failure, sample)| self.keep(failure, sample));
    }

    /// All of them, by kind.
    pub fn iter(&self) -> impl Iterator<Item = (Failure, &Sample)> {
        self.0.iter().map(|(failure, sample)| (*failure, sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_each_kind_is_kept_and_kinds_are_bounded() {
        let at = |due_ns| Sample { due_ns, ..Sample::default() };
        let mut samples = Samples::default();
        for due_ns in [5, 3, 9] {
            samples.keep(Failure::Tls, at(due_ns));
        }
        let mut more = Samples::default();
        (0..200).for_each(|status| more.keep(Failure::Status(status), at(1)));
        samples.merge(more);
        assert_eq!(samples.iter().next().unwrap().1.due_ns, 3);
        assert_eq!(samples.iter().count(), MOST_KINDS);
    }

    #[test]
    fn a_body_is_bounded_and_says_that_it_goes_on() {
        let mut sample = Sample::default();
        (0..3).for_each(|_| sample.add_body(&[b'x'; 200]));
        assert!(sample.is_full() && sample.is_cut && sample.body.len() == SAMPLE_BODY);
        let mut whole = Sample::default();
        whole.add_body(&[b'x'; SAMPLE_BODY]);
        assert!(whole.is_full() && !whole.is_cut);
    }
}
