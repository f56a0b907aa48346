//! The parts of the current answer that a report would show if it failed. A success needs no memory, because each
//! connection reuses its buffers.

use super::answer;
use super::capture::names_credential;
use super::failure::{Failed, bounded};
use super::headers::Headers;
use super::job::Job;
use shakedown_observe::{Failure, SAMPLE_BODY, Sample};
use shakedown_secrets::MASK;

/// Headers that may explain a failure. None of them contains a credential.
const OF_NOTE: [&str; 18] = [
    "content-type",
    "content-encoding",
    "content-length",
    "location",
    "server",
    "via",
    "retry-after",
    "allow",
    "www-authenticate",
    "grpc-status",
    "grpc-message",
    "x-request-id",
    "x-correlation-id",
    "x-error",
    "x-amzn-errortype",
    "x-ratelimit-remaining",
    "x-cache",
    "x-envoy-response-flags",
];

/// The maximum length of a header's value, in characters.
const VALUE: usize = 200;

/// One answer as far as it was received.
#[derive(Debug, Default)]
pub(super) struct Excerpt {
    status: Option<u16>,
    headers: Vec<(&'static str, Vec<u8>)>,
    /// The beginning of the body, or of a head that is not complete.
    body: Vec<u8>,
    /// The number of its received bytes.
    length: u64,
    keeps_body: bool,
}

impl Excerpt {
    /// Resets everything for the next answer.
    pub(super) fn clear(&mut self) {
        self.status = None;
        self.headers.clear();
        self.body.clear();
        (self.length, self.keeps_body) = (0, false);
    }

    /// The body of an answer with this status begins. Its start is kept if `keeps_body` is true.
    pub(super) fn begin(&mut self, status: u16, keeps_body: bool) {
        self.clear();
        self.status = Some(status);
        self.keeps_body = keeps_body;
    }

    /// Keeps the headers that may explain a failure.
    pub(super) fn note(&mut self, headers: &(impl Headers + ?Sized)) {
        headers.each(&mut |name, value| {
            if let Some(name) = of_note(name) {
                self.headers.push((name, value[..value.len().min(4 * VALUE + 4)].to_vec()));
            }
        });
    }

    /// The next bytes of a head that is not complete, or cannot be read.
    pub(super) fn head(&mut self, piece: &[u8]) {
        if self.status.is_none() {
            self.keeps_body = true;
            self.piece(piece);
        }
    }

    /// The next chunk of the body.
    pub(super) fn piece(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        if self.keeps_body && self.body.len() < SAMPLE_BODY {
            let room = SAMPLE_BODY - self.body.len();
            self.body.extend_from_slice(&piece[..room.min(piece.len())]);
        }
    }

    /// The bytes of the body that were received, in words.
    fn received(&self) -> String {
        let length = self.headers.iter().find(|(name, _)| *name == "content-length");
        match length.and_then(|(_, value)| std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok()) {
            Some(whole) => format!("{} of {whole} bytes of its body were received", self.length),
            None => format!("{} bytes of its body were received", self.length),
        }
    }

    /// The progress of the answer, in words.
    pub(super) fn progress(&self, sent: bool) -> String {
        match (self.status, sent) {
            (Some(_), _) => format!("the answer began but did not end: {}", self.received()),
            (None, true) if self.length > 0 => {
                format!("the head of the answer began but did not end: {} bytes were received", self.length)
            }
            (None, true) => "the request was sent and no byte of an answer came".to_owned(),
            (None, false) => "no connection was made".to_owned(),
        }
    }

    /// The sample of a failed request.
    pub(super) fn sample(&self, job: &Job, end_ns: u64, request: &str, failed: &Failed) -> Sample {
        let text = |value: &[u8]| bounded(&String::from_utf8_lossy(value), VALUE);
        let cause = match (self.status, failed.kind) {
            (Some(_), Failure::Truncated | Failure::Reset) => format!("{}; {}", failed.cause, self.received()),
            _ => failed.cause.to_string(),
        };
        Sample {
            due_ns: job.due_ns,
            end_ns,
            request: request.to_owned(),
            status: self.status,
            headers: self.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
            body: match self.status {
                Some(_) => self.body.clone(),
                None => bare_head(&self.body),
            },
            is_cut: self.keeps_body && self.length > self.body.len() as u64,
            cause: bounded(&cause, 2 * SAMPLE_BODY),
        }
    }
}

/// A sample whose body is unpacked, if it is gzip. Secrets are masked afterwards.
pub(super) fn unpacked(mut sample: Sample) -> Sample {
    let is_packed = |(name, value): &(String, String)| name == "content-encoding" && answer::is_gzip(value.as_bytes());
    if sample.status.is_some() && sample.headers.iter().any(is_packed) {
        sample.body = answer::beginning(&sample.body, SAMPLE_BODY);
        sample.is_cut |= sample.body.len() == SAMPLE_BODY;
    }
    sample
}

/// The name of a header that may explain a failure.
fn of_note(name: &str) -> Option<&'static str> {
    OF_NOTE.into_iter().find(|known| known.len() == name.len() && known.eq_ignore_ascii_case(name))
}

/// A head with the values of headers that may explain a failure. Of the others, only the names remain.
fn bare_head(head: &[u8]) -> Vec<u8> {
    let mut bare = Vec::new();
    let mut hides = false;
    for (number, line) in lines(head).enumerate() {
        let text = line.trim_ascii_end();
        let colon = text.iter().position(|byte| *byte == b':');
        let name = &text[..colon.unwrap_or(text.len())];
        let known = String::from_utf8_lossy(name);
        // A line that begins with a blank continues the header before it.
        let continues = hides && matches!(line.first(), Some(b' ' | b'\t'));
        // The first line is a status, or what another protocol says: it has blanks in front of its colon.
        let is_header = colon.is_some() && (number > 0 || !name.contains(&b' '));
        let is_hidden = if is_header { of_note(known.trim()).is_none() } else { names_credential(&known) };
        hides = continues || is_hidden;
        if hides {
            let name = if colon.is_some() && !continues { &[name, b": "].concat() } else { &b""[..] };
            [name, MASK.as_bytes(), &line[text.len()..]].iter().for_each(|part| bare.extend_from_slice(part));
        } else {
            bare.extend_from_slice(line);
        }
    }
    bare.truncate(SAMPLE_BODY);
    bare
}

/// The lines with their ends. Some servers end them with a carriage return alone.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let end = end.map_or(rest.len(), |at| at + 1 + usize::from(rest[at..].starts_with(b"\r\n")));
        let (line, behind) = rest.split_at(end);
        rest = behind;
        (!line.is_empty()).then_some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_head_only_values_of_note_are_kept() {
        for (head, shown) in [
            (
                "HTTP/1.1 200 OK\r\nX-Jwt: eyJh\r\nServer: a\r\n",
                "HTTP/1.1 200 OK\r\nX-Jwt: [redacted]\r\nServer: a\r\n",
            ),
            (
                "HTTP/1.1 200 OK\nX-Jwt: a\n b\nVia: c\n d\nX-J",
                "HTTP/1.1 200 OK\nX-Jwt: [redacted]\n[redacted]\nVia: c\n d\nX-J",
            ),
            ("X-Jwt: eyJh\n", "X-Jwt: [redacted]\n"),
            (
                "HTTP/1.1 200 OK\rServer: a\rX-Jwt: eyJh\r b",
                "HTTP/1.1 200 OK\rServer: a\rX-Jwt: [redacted]\r[redacted]",
            ),
            ("HTTP/1.1 200 OK\nX Jwt : eyJh", "HTTP/1.1 200 OK\nX Jwt : [redacted]"),
            ("-ERR unknown command: GET\r\n", "-ERR unknown command: GET\r\n"),
            ("HTTP/1.1 200 OK\nset-cookie", "HTTP/1.1 200 OK\n[redacted]"),
        ] {
            assert_eq!(String::from_utf8(bare_head(head.as_bytes())).unwrap(), shown);
        }
    }
}
