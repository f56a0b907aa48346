//! One failed request in detail, for the report: a name such as `check` or `tls` does not say what to fix. There is one
//! sample per failure and segment, so memory does not grow with the number of failures.

use std::collections::BTreeMap;

use super::Failure;

/// The number of bytes of an answer's body that a sample keeps.
pub const SAMPLE_BODY: usize = 512;

/// The most failures that have a sample within one segment.
const MOST_KINDS: usize = 24;

/// One failed request. A field is empty if its value is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// When it was due, in nanoseconds since the load's start.
    pub due_ns: u64,
    /// When it ended, in nanoseconds since the load's start.
    pub end_ns: u64,
    /// The request's name. Empty for a load with one request.
    pub request: String,
    /// The status of the answer. None without an answer.
    pub status: Option<u16>,
    /// The headers that may explain the failure, in the order of the answer. Names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The first [`SAMPLE_BODY`] bytes of the answer's body. Without a status: of a head that is not complete or cannot be
    /// read.
    pub body: Vec<u8>,
    /// True when the body was longer.
    pub is_cut: bool,
    /// The cause in words: the error of TLS or of the connection with its causes, the error message of the API, or the
    /// condition of the `check` that failed.
    pub cause: String,
}

impl Sample {
    /// Appends a chunk of the body, up to [`SAMPLE_BODY`] bytes in total.
    pub fn add_body(&mut self, piece: &[u8]) {
        let room = SAMPLE_BODY - self.body.len().min(SAMPLE_BODY);
        self.body.extend_from_slice(&piece[..room.min(piece.len())]);
        self.is_cut |= piece.len() > room;
    }

    /// True when the sample has no room for more of the body.
    pub fn is_full(&self) -> bool {
        self.body.len() >= SAMPLE_BODY
    }
}

/// The samples of one segment: the earliest for each failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples(BTreeMap<Failure, Sample>);

impl Samples {
    /// Keeps the sample if it is the earliest of its failure. A later version of the same request's sample replaces it.
    pub fn keep(&mut self, failure: Failure, sample: Sample) {
        let has_room = self.0.len() < MOST_KINDS;
        match self.0.get_mut(&failure) {
            Some(known) if sample.due_ns <= known.due_ns => *known = sample,
            None if has_room => _ = self.0.insert(failure, sample),
            _ => {}
        }
    }

    /// Adds the samples of another share of the load.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(failure, sample)| self.keep(failure, sample));
    }

    /// All samples, by failure.
    pub fn iter(&self) -> impl Iterator<Item = (Failure, &Sample)> {
        self.0.iter().map(|(failure, sample)| (*failure, sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_earliest_sample_of_each_failure_up_to_a_limit() {
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
    fn truncates_the_body_and_marks_it_as_cut() {
        let mut sample = Sample::default();
        (0..3).for_each(|_| sample.add_body(&[b'x'; 200]));
        assert!(sample.is_full() && sample.is_cut && sample.body.len() == SAMPLE_BODY);
        let mut whole = Sample::default();
        whole.add_body(&[b'x'; SAMPLE_BODY]);
        assert!(whole.is_full() && !whole.is_cut);
    }
}
