//! A server on loopback that answers as the request's path says: well, badly, or not at all. Written on bare sockets,
//! because no HTTP library sends what some of these answers are.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The server; it ends with the test.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    counts: Arc<Counts>,
    frozen: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// What was asked: the line, the headers in lower case, and the body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) head: String,
    pub(super) body: String,
}

#[derive(Debug, Default)]
struct Counts {
    seen: Mutex<Vec<Seen>>,
    requests: AtomicU64,
    connections: AtomicU64,
    at_once: AtomicU64,
    most_at_once: AtomicU64,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let (frozen, when_frozen) = watch::channel(false);
        let task = tokio::spawn({
            let counts = Arc::clone(&counts);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    counts.connections.fetch_add(1, Ordering::Relaxed);
                    let (counts, frozen) = (Arc::clone(&counts), when_frozen.clone());
                    connections.spawn(async move { drop(serve(stream, &counts, frozen).await) });
                }
            }
        });
        Self { address, counts, frozen, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that were read.
    pub(super) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// What was asked so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.counts.seen.lock().unwrap().clone()
    }

    /// Connections that were accepted.
    pub(super) fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// The most requests that were being answered at once.
    pub(super) fn most_at_once(&self) -> u64 {
        self.counts.most_at_once.load(Ordering::Relaxed)
    }

    /// Answers nothing from now on, or everything again.
    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

/// Serves one connection until it ends.
async fn serve(mut stream: TcpStream, counts: &Counts, mut frozen: watch::Receiver<bool>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(seen) = read_request(&mut stream, &mut buffer).await? else { return Ok(()) };
        let path = seen.line.split(' ').nth(1).unwrap_or_default().to_lowercase();
        counts.seen.lock().unwrap().push(seen);
        counts.requests.fetch_add(1, Ordering::Relaxed);
        let at_once = counts.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        counts.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        let stays = frozen.wait_for(|frozen| !frozen).await.is_ok();
        let stays = stays && answer(&mut stream, &path).await?;
        counts.at_once.fetch_sub(1, Ordering::Relaxed);
        if !stays {
            return Ok(());
        }
    }
}

/// Reads a request and its body; none at the connection's end.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Seen>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let line = String::from_utf8_lossy(&buffer[..end]).lines().next().unwrap_or_default().to_owned();
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head
                .split("content-length:")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().unwrap_or_default().trim().parse::<usize>().unwrap_or(0));
            if buffer.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
                buffer.drain(..end + 4 + length);
                return Ok(Some(Seen { line, head, body }));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn token(text: &str) -> String {
    chunk(&format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"))
}

/// Answers as the path says. False when the connection is to be closed.
async fn answer(stream: &mut TcpStream, path: &str) -> std::io::Result<bool> {
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match words.as_slice() {
        ["status", "204-empty"] => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?,
        ["hints"] => {
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
            stream.write_all(format!("{hints}{OK}content-length: 2\r\n\r\nok").as_bytes()).await?;
        }
        ["last"] => {
            stream.write_all(format!("{OK}content-length: 2\r\nconnection: close\r\n\r\nok").as_bytes()).await?
        }
        ["more"] => stream.write_all(format!("{OK}content-length: 2\r\n\r\nok and more").as_bytes()).await?,
        ["status", status] => {
            stream.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nno").as_bytes()).await?;
        }
        ["slow", milliseconds] => {
            tokio::time::sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0))).await;
            stream.write_all(format!("{OK}content-length: 2\r\n\r\nok").as_bytes()).await?;
        }
        // Accepts and never answers.
        ["never"] => std::future::pending().await,
        ["never-ends"] => {
            stream.write_all(format!("{OK}content-length: 100\r\n\r\nstart").as_bytes()).await?;
            std::future::pending::<()>().await;
        }
        ["drip"] => {
            stream.write_all(format!("{OK}content-length: 100000\r\n\r\n").as_bytes()).await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        ["close"] => return Ok(false),
        // Closes its half and goes on listening.
        ["half-close"] => {
            stream.shutdown().await?;
            std::future::pending::<()>().await;
        }
        // Linger 0 makes the kernel send RST instead of FIN.
        ["reset"] => {
            stream.set_zero_linger()?;
            return Ok(false);
        }
        ["reset-in-body"] => {
            stream.write_all(format!("{OK}content-length: 100\r\n\r\nstart").as_bytes()).await?;
            // The client must have read the start first: a reset throws away what is still on its way.
            tokio::time::sleep(Duration::from_millis(30)).await;
            stream.set_zero_linger()?;
            return Ok(false);
        }
        ["short"] => {
            stream.write_all(format!("{OK}content-length: 100\r\n\r\nshort").as_bytes()).await?;
            return Ok(false);
        }
        ["cut-chunks"] => {
            stream.write_all(format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nhel").as_bytes()).await?;
            return Ok(false);
        }
        ["bad-chunks"] => {
            stream.write_all(format!("{OK}transfer-encoding: chunked\r\n\r\nxyz\r\nhello").as_bytes()).await?;
            return Ok(false);
        }
        // A number of a chunk's bytes without end.
        ["endless-chunk-size"] => {
            stream.write_all(format!("{OK}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            loop {
                stream.write_all(&[b'f'; 4096]).await?;
            }
        }
        ["garbage"] => {
            stream.write_all(b"220 smtp.example ESMTP ready\r\n\r\n").await?;
            return Ok(false);
        }
        // Headers without end.
        ["flood"] => {
            stream.write_all(OK.as_bytes()).await?;
            for number in 0.. {
                stream.write_all(format!("x-{number}: {}\r\n", "y".repeat(1000)).as_bytes()).await?;
            }
        }
        // Without a length: the body ends with the connection.
        ["until-close"] => {
            stream.write_all(format!("{OK}\r\nall of it").as_bytes()).await?;
            return Ok(false);
        }
        // Half a megabyte twenty times, without saying how much it will be.
        ["huge"] => {
            stream.write_all(format!("{OK}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
            let piece = chunk(&"z".repeat(512 << 10));
            for _ in 0..20 {
                stream.write_all(piece.as_bytes()).await?;
            }
            stream.write_all(format!("{}0\r\n\r\n", chunk("needle")).as_bytes()).await?;
        }
        // Answers once and then closes the idle connection without having said so.
        ["close-when-idle"] => {
            stream.write_all(format!("{OK}content-length: 2\r\n\r\nok").as_bytes()).await?;
            return Ok(false);
        }
        [_, "v1", ..] => return openai(stream, words[0]).await,
        _ => stream.write_all(format!("{OK}content-length: 5\r\n\r\nhello").as_bytes()).await?,
    }
    Ok(true)
}

/// The OpenAI API, well or badly as `how` says.
async fn openai(stream: &mut TcpStream, how: &str) -> std::io::Result<bool> {
    let plain = match how {
        "plain" => Some(r#"{"choices":[{"message":{"role":"assistant","content":"hello there"}}]}"#),
        "no-choice" => Some(r#"{"choices":[]}"#),
        "error" => Some(r#"{"error":{"message":"overloaded"}}"#),
        _ => None,
    };
    if let Some(body) = plain {
        let head = format!("{OK}content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).await?;
        return Ok(true);
    }
    let done = chunk("data: [DONE]\n\n");
    let start = format!("{CHUNKED}{}{}", token(""), token("hello "));
    let rest = match how {
        "stream" => token("there") + &done + "0\r\n\r\n",
        "no-done" => token("there") + "0\r\n\r\n",
        "mid-error" => chunk("data: {\"error\":{\"message\":\"worker lost\"}}\n\n") + &done + "0\r\n\r\n",
        "empty" => {
            stream.write_all((CHUNKED.to_owned() + &token("") + &done + "0\r\n\r\n").as_bytes()).await?;
            return Ok(true);
        }
        // Says again and again that it is still there, and brings no token.
        "stall" => token("there"),
        // "cut", "hang" and whatever is misspelt.
        _ => String::new(),
    };
    stream.write_all(start.as_bytes()).await?;
    if how == "hang" {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    stream.write_all(rest.as_bytes()).await?;
    if how == "stall" {
        loop {
            stream.write_all(chunk(": still there\n\n").as_bytes()).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(how != "cut")
}
