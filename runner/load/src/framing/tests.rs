//! Hand-written answers, cut into any pieces, and compared with hyper's parser.

use proptest::prelude::*;

use super::*;

/// A parsed answer: its status and body, whether it is complete and the last one, and the bytes after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ParsedAnswer {
    status: Option<u16>,
    body: Vec<u8>,
    is_over: bool,
    is_last: bool,
    rest: Vec<u8>,
}

/// Parses the answer to a `GET` or a `HEAD` from these pieces, after which the connection ends.
fn read<'p>(is_head: bool, pieces: impl IntoIterator<Item = &'p [u8]>) -> (ParsedAnswer, Result<Cut, Malformed>) {
    let mut reader = Reader::new();
    reader.begin(is_head);
    let mut seen = ParsedAnswer::default();
    for mut bytes in pieces {
        loop {
            match reader.next(&mut bytes, |status, _| seen.status = Some(status)) {
                Err(error) => return (seen, Err(error)),
                Ok(None) => break,
                Ok(Some(AnswerPart::Head)) => {}
                Ok(Some(AnswerPart::Body(piece))) => seen.body.extend_from_slice(piece),
                Ok(Some(AnswerPart::End)) => {
                    seen.is_over = true;
                    seen.rest.extend_from_slice(bytes);
                    break;
                }
            }
        }
    }
    seen.is_last = reader.is_last();
    (seen, reader.cut())
}

fn whole(text: &str) -> (ParsedAnswer, Result<Cut, Malformed>) {
    read(false, [text.as_bytes()])
}

#[test]
fn the_body_is_as_long_as_the_head_says() {
    const H: &str = "HTTP/1.1 200 OK\r\n";
    // The text after the status line, the body, whether the answer ends before the connection, and whether it is the last.
    for (text, body, is_over, is_last) in [
        ("content-length: 5\r\n\r\nhello", "hello", true, false),
        ("Content-Length: 5, 5\r\ncontent-length: 5\r\n\r\nhello", "hello", true, false),
        ("content-length: 0\r\nConnection: Upgrade, Close\r\n\r\n", "", true, true),
        ("Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\nx: y\r\n\r\n", "hello", true, false),
        ("transfer-encoding: gzip, chunked\r\n\r\n1\r\nh\r\n0\r\n\r\n", "h", true, false),
        // A length in addition to chunks is ignored, and the connection is not reused.
        ("transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n1\r\nh\r\n0\r\n\r\n", "h", true, true),
        ("transfer-encoding: gzip\r\n\r\n1\r\nh", "1\r\nh", false, true),
        ("\r\nhello", "hello", false, true),
    ] {
        let (seen, cut) = whole(&(H.to_owned() + text));
        let wanted = ParsedAnswer { status: Some(200), body: body.into(), is_over, is_last, rest: Vec::new() };
        assert_eq!((seen, cut), (wanted, Ok(Cut::End)), "{text}");
    }
}

#[test]
fn some_answers_have_no_body_regardless_of_their_length() {
    for status in [204, 304] {
        let (seen, _) = whole(&format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\nmore"));
        assert_eq!((seen.is_over, seen.is_last, seen.rest), (true, false, b"more".to_vec()), "{status}");
    }
    let (seen, _) = read(true, [&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"[..]]);
    assert!(seen.is_over && !seen.is_last);
    let (seen, _) = whole("HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02");
    assert!(seen.is_over && seen.is_last && seen.status == Some(101));
}

#[test]
fn interim_answers_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let (seen, _) = whole(&format!("{interim}HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok"));
    assert_eq!((seen.status, seen.body.as_slice(), seen.is_over), (Some(201), &b"ok"[..], true));
    assert_eq!(whole(interim).1, Ok(Cut::Head));
}

#[test]
fn old_servers_close_unless_they_say_otherwise() {
    for (text, is_last) in [
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n", false),
        ("HTTP/1.1 200 OK\ncontent-length: 0\n\n", false),
    ] {
        assert_eq!(whole(text).0.is_last, is_last, "{text}");
    }
}

/// RFC 9112, section 5.2: a client replaces a fold by blanks. The header is read at any cut.
#[test]
fn folded_headers_are_one_line() {
    let text = b"HTTP/1.1 200 OK\r\nX-Old: one\r\n\ttwo\nContent-Length:\r\n  2\r\nName : value\r\n\r\n 7";
    for cut in 0..text.len() {
        let (seen, end) = read(false, [&text[..cut], &text[cut..]]);
        assert_eq!(
            (seen.status, seen.body, seen.is_over, end.is_ok()),
            (Some(200), b" 7".to_vec(), true, true),
            "cut at {cut}"
        );
    }
    let many = format!("HTTP/1.1 200 OK\r\nContent-Length:\n 0\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(read(false, [many.as_bytes()]).0.status, Some(200));
}

#[test]
fn rejects_malformed_answers() {
    const H: &str = "HTTP/1.1 200 OK\r\n";
    for text in [
        "220 smtp.example ESMTP ready\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        format!("{H}bad header\r\n\r\n"),
        format!("{H}content-length: 5\r\ncontent-length: 6\r\n\r\n"),
        format!("{H}content-length: +5\r\n\r\n"),
        format!("{H}content-length: \r\n\r\n"),
        format!("{H}content-length: 99999999999999999999\r\n\r\n"),
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        format!("{H}transfer-encoding: chunked\r\n\r\nx"),
        format!("{H}transfer-encoding: chunked\r\n\r\n\r\n\r\n"),
        format!("{H}transfer-encoding: chunked\r\n\r\n;x\r\n\r\n"),
        format!("{H}transfer-encoding: chunked\r\n\r\n0\r\nnone\r\n\r\n"),
        format!("{H}transfer-encoding: chunked\r\n\r\n-1\r\n"),
        format!("{H}transfer-encoding: chunked\r\n\r\n1\r\nhello"),
        format!("{H}transfer-encoding: chunked\r\n\r\n1\r\nh\n"),
        format!("{H}transfer-encoding: chunked\r\n\r\nfffffffffffffffff"),
    ] {
        assert!(whole(&text).1.is_err(), "{text}");
    }
}

#[test]
fn interprets_the_end_of_the_connection() {
    const H: &str = "HTTP/1.1 200 OK\r\n";
    for (text, cut) in [
        (String::new(), Ok(Cut::Head)),
        (H.to_owned(), Ok(Cut::Head)),
        (format!("{H}content-length: 5\r\n\r\n"), Ok(Cut::Body)),
        (format!("{H}content-length: 5\r\n\r\nhell"), Ok(Cut::Body)),
        (format!("{H}transfer-encoding: chunked\r\n\r\n2\r\nhe"), Ok(Cut::Body)),
        (format!("{H}transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n"), Ok(Cut::Body)),
        (format!("{H}\r\nhello"), Ok(Cut::End)),
    ] {
        assert_eq!(whole(&text).1, cut, "{text}");
    }
    // A head that arrived byte by byte is parsed as a whole only at the end.
    assert!(read(false, [&b"HTTP/"[..], b"x"]).1.is_err());
}

#[test]
fn gives_up_endless_heads_and_lines() {
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let line = [b"x: ".to_vec(), vec![b'y'; 1000], b"\r\n".to_vec()].concat();
    let chunks = [head.clone(), b"transfer-encoding: chunked\r\n\r\n".to_vec()].concat();
    for (begin, more, most) in [
        (head.clone(), vec![b'x'; 1000], MAX_HEAD),
        (head.clone(), line.clone(), MAX_HEAD),
        (head.clone(), b"a: b\r\n".to_vec(), MAX_HEAD),
        ([chunks.clone(), b"1;".to_vec()].concat(), vec![b'e'; 1000], MAX_LINE),
        ([chunks.clone(), b"0\r\n".to_vec()].concat(), line, MAX_LINE),
        ([chunks, b"0\r\n".to_vec()].concat(), vec![b't'; 1000], MAX_LINE),
    ] {
        let endless = std::iter::once(begin.as_slice()).chain(std::iter::repeat(more.as_slice()));
        let mut read_so_far = 0;
        let counted = endless.inspect(|piece| read_so_far += piece.len());
        assert!(read(false, counted).1.is_err());
        assert!(read_so_far <= begin.len() + most + more.len(), "{read_so_far}");
    }
}

/// Valid answers and almost valid ones.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    const LINES: &[&str] =
        &["HTTP/1.1 200 OK\r\n", "HTTP/1.1 204 No\r\n", "HTTP/1.0 404 No\n", "HTTP/1.1 100 Go\r\n\r\n"];
    const HEADERS: &[&str] = &[
        "transfer-encoding: chunked\r\n",
        "content-length: 5\r\n",
        "content-length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "connection: close\r\n",
        "x: y\n",
    ];
    // Without the bare `\n` among trailers, after which hyper accepts any bytes.
    const BODIES: &[&str] = &["5\r\nhello\r\n", "0\r\n", "\r\n", "3;x\r\n", "a", "\r", "\0", "x: y\r\n"];
    const ANY: &[&str] = &[LINES[0], HEADERS[0], BODIES[2], BODIES[0], BODIES[4], BODIES[5], "\n"];
    let some = |of: &'static [&'static str], count| prop::collection::vec(prop::sample::select(of), count);
    let well = (some(LINES, 1..3), some(HEADERS, 0..3), some(BODIES, 0..6)).prop_map(|(lines, headers, bodies)| {
        [lines.concat(), headers.concat(), "\r\n".into(), bodies.concat()].concat()
    });
    let badly = some(ANY, 0..9).prop_map(|words| words.concat());
    prop_oneof![3 => well, 1 => badly].prop_map(String::into_bytes)
}

/// hyper's result for an answer to a `GET` after which the connection ends: status and body, if both are complete.
async fn by_hyper(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    use http_body_util::{BodyExt, Empty};
    use tokio::io::AsyncWriteExt;
    let (client, mut server) = tokio::io::duplex(1 << 16);
    let stream = hyper_util::rt::TokioIo::new(client);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let request = http::Request::new(Empty::<bytes::Bytes>::new());
    let answered = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        Some((head.status.as_u16(), body.collect().await.ok()?.to_bytes().to_vec()))
    };
    let served = async {
        let mut request = [0; 1 << 10];
        tokio::io::AsyncReadExt::read(&mut server, &mut request).await.unwrap();
        // hyper may have closed the connection already.
        server.write_all(bytes).await.ok();
        drop(server);
    };
    let (answered, ..) = tokio::join!(answered, connection, served);
    answered
}

proptest! {
    /// This parser accepts exactly the answers that hyper accepts.
    #[test]
    fn agrees_with_hyper(bytes in answers()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let theirs = runtime.block_on(by_hyper(&bytes));
        let (seen, cut) = read(false, (!bytes.is_empty()).then_some(bytes.as_slice()));
        let is_whole = seen.is_over || cut == Ok(Cut::End);
        let ours = seen.status.filter(|_| is_whole).map(|status| (status, seen.body));
        prop_assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&bytes));
    }

    /// The result does not depend on how an answer is cut.
    #[test]
    fn cuts_do_not_change_the_result(bytes in answers(), cuts in prop::collection::vec(1..9_usize, 1..40)) {
        let mut rest = bytes.as_slice();
        let mut sizes = cuts.iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let size = sizes.next().copied().unwrap_or(1).min(rest.len());
            let (piece, others) = rest.split_at(size);
            rest = others;
            (!piece.is_empty()).then_some(piece)
        });
        let in_pieces = read(false, pieces.collect::<Vec<_>>());
        let at_once = read(false, (!bytes.is_empty()).then_some(bytes.as_slice()));
        prop_assert_eq!(in_pieces, at_once);
    }
}
