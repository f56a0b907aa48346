//! The body of an answer with `Content-Encoding: gzip`, unpacked as it arrives, with a bound on its size.

use std::io::{self, Read, Write};

use flate2::{read, write::MultiGzDecoder};
use http::header::CONTENT_ENCODING;

use crate::headers::Headers;

/// The most bytes that one answer unpacks to.
const MOST: u64 = 256 << 20;

/// The packed bytes that are unpacked at a time. One byte unpacks to at most 1032 bytes, so this bounds the memory.
const AT_ONCE: usize = 1 << 10;

/// Why a body was not unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotUnpacked {
    /// It unpacks to more than [`MOST`] bytes.
    TooLarge,
    /// It is not gzip, in words.
    Broken(String),
}

/// A body that is being unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    decoder: MultiGzDecoder<Vec<u8>>,
    length: u64,
    /// No byte came: an answer without a body may carry the header as well, as to HEAD or with status 204.
    is_empty: bool,
}

/// Whether an answer with these headers is packed with gzip.
pub(super) fn is_packed(headers: &(impl Headers + ?Sized)) -> bool {
    let mut codings = headers.values(&CONTENT_ENCODING);
    codings.next().is_some_and(is_gzip) && codings.next().is_none()
}

/// Whether the value of `Content-Encoding` names gzip.
pub(crate) fn is_gzip(coding: &[u8]) -> bool {
    [&b"gzip"[..], b"x-gzip"].iter().any(|it| coding.trim_ascii().eq_ignore_ascii_case(it))
}

/// At most `most` bytes of what the beginning of a packed body unpacks to. The bytes themselves if they are not gzip.
pub(crate) fn beginning(packed: &[u8], most: usize) -> Vec<u8> {
    let mut unpacked = Vec::new();
    // The beginning ends in the middle of the stream, which is an error after its last byte.
    _ = read::MultiGzDecoder::new(packed).take(most as u64).read_to_end(&mut unpacked);
    if unpacked.is_empty() { packed.to_vec() } else { unpacked }
}

impl Unpacked {
    pub(super) fn new() -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()), length: 0, is_empty: true }
    }

    /// Unpacks the next bytes, and passes the result to `take` in pieces of limited size.
    ///
    /// # Errors
    /// When the bytes are not gzip, or are too many.
    pub(super) fn piece(&mut self, piece: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), NotUnpacked> {
        self.is_empty &= piece.is_empty();
        for packed in piece.chunks(AT_ONCE) {
            // The tokens of a stream are read as they come: the decoder holds nothing back that the server has flushed.
            self.decoder.write_all(packed).and_then(|()| self.decoder.flush()).map_err(|error| broken(&error))?;
            self.drain(&mut take)?;
        }
        Ok(())
    }

    /// Passes the last bytes of a complete body to `take`.
    ///
    /// # Errors
    /// As [`Unpacked::piece`], and when the body ended too early.
    pub(super) fn end(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), NotUnpacked> {
        if self.is_empty {
            return Ok(());
        }
        self.decoder.try_finish().map_err(|error| broken(&error))?;
        self.drain(&mut take)
    }

    fn drain(&mut self, take: &mut impl FnMut(&[u8])) -> Result<(), NotUnpacked> {
        let unpacked = self.decoder.get_mut();
        self.length += unpacked.len() as u64;
        if self.length > MOST {
            return Err(NotUnpacked::TooLarge);
        }
        if !unpacked.is_empty() {
            take(unpacked);
            unpacked.clear();
        }
        Ok(())
    }
}

fn broken(error: &io::Error) -> NotUnpacked {
    NotUnpacked::Broken(format!("the body is not gzip, although its `content-encoding` says so: {error}"))
}

#[cfg(test)]
pub(crate) fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A text as a server has flushed it, without the end of its compression.
#[cfg(test)]
pub(super) fn flushed(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(bytes: &[u8], step: usize) -> Result<Vec<u8>, NotUnpacked> {
        let (mut it, mut all) = (Unpacked::new(), Vec::new());
        for piece in bytes.chunks(step) {
            it.piece(piece, |piece| all.extend_from_slice(piece))?;
        }
        it.end(|piece| all.extend_from_slice(piece))?;
        Ok(all)
    }

    #[test]
    fn unpacks_in_pieces_of_any_size_and_finds_damage() {
        let text = "hello hello hello and more".repeat(1000).into_bytes();
        let bytes = packed(&text);
        for step in [1, 7, bytes.len()] {
            assert_eq!(unpacked(&bytes, step).unwrap(), text);
        }
        assert!(matches!(unpacked(&bytes[..bytes.len() - 9], 5), Err(NotUnpacked::Broken(_))), "it ended early");
        assert_eq!(unpacked(b"", 1).unwrap(), b"", "there is no body");
        assert!(matches!(unpacked(b"no gzip at all", 5), Err(NotUnpacked::Broken(_))));
    }

    #[test]
    fn what_a_server_has_flushed_comes_at_once() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let (mut it, mut seen, mut sent) = (Unpacked::new(), Vec::new(), 0);
        for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            it.piece(&encoder.get_ref()[sent..], |piece| seen.extend_from_slice(piece)).unwrap();
            sent = encoder.get_ref().len();
            assert!(seen.ends_with(event.as_bytes()), "{}", String::from_utf8_lossy(&seen));
        }
    }

    #[test]
    fn a_small_body_cannot_unpack_to_any_size() {
        let bytes = packed(&vec![0; 300 << 20]);
        let (mut it, mut largest) = (Unpacked::new(), 0);
        let result = it.piece(&bytes, |piece| largest = largest.max(piece.len()));
        assert_eq!(result, Err(NotUnpacked::TooLarge));
        assert!(largest <= 2 << 20, "{largest} bytes at once");
    }
}
