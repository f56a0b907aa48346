//! A server for HTTP/1.1, on loopback or in memory.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::{Answer, Step};

/// The bytes that fit into one direction of a connection in memory.
const PIPE: usize = 64 << 10;

/// A request as it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The request line, such as `GET / HTTP/1.1`.
    pub line: String,
    /// The header lines after it, as they were sent.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
    /// Its number among the server's requests, from 0.
    pub number: usize,
}

impl Request {
    /// The method.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The target of the request line: the path, and the query if there is one.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The whole request as text.
    pub fn whole(&self) -> String {
        format!("{}\r\n{}\r\n\r\n{}", self.line, self.headers, self.text())
    }
}

type Respond = dyn Fn(&Request) -> Answer + Send + Sync;

/// What the connections of a server share.
struct ServerState {
    respond: Box<Respond>,
    frozen: watch::Sender<bool>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl ServerState {
    fn new(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            respond: Box::new(respond),
            frozen: watch::Sender::new(false),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection until it ends.
    async fn serve(&self, mut stream: impl Connection) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let mut frozen = self.frozen.subscribe();
        let mut buffer = Vec::new();
        while let Some(mut request) = read(&mut stream, &mut buffer).await? {
            {
                let mut requests = self.lock();
                request.number = requests.len();
                requests.push(request.clone());
            }
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            let stays = frozen.wait_for(|frozen| !frozen).await.is_ok();
            let stays = stays && send(&mut stream, (self.respond)(&request)).await?;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            if !stays {
                break;
            }
        }
        Ok(())
    }
}

/// The two ends of a connection that a server can have.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the connection end with RST when it is dropped.
    fn reset(&self) -> io::Result<()>;
}

impl Connection for TcpStream {
    fn reset(&self) -> io::Result<()> {
        // With a linger time of 0 the kernel sends RST instead of FIN.
        self.set_zero_linger()
    }
}

impl Connection for DuplexStream {
    fn reset(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a request with its body; none at the connection's end.
async fn read(stream: &mut impl Connection, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
            let (line, headers) = (line.to_owned(), headers.to_owned());
            let mut request = Request { line, headers, body: Vec::new(), number: 0 };
            let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let whole = end + 4 + length;
            while buffer.len() < whole {
                if stream.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
            }
            request.body = buffer[end + 4..whole].to_vec();
            buffer.drain(..whole);
            return Ok(Some(request));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Goes through the steps of an answer. False when the connection is to be closed.
async fn send(stream: &mut impl Connection, answer: Answer) -> io::Result<bool> {
    for step in answer.steps {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Repeat(bytes, pause) => loop {
                stream.write_all(&bytes).await?;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            },
            Step::HalfClose => {
                stream.shutdown().await?;
                std::future::pending::<()>().await;
            }
            Step::Hang => std::future::pending::<()>().await,
            Step::Close => return Ok(false),
            Step::Reset => {
                stream.reset()?;
                return Ok(false);
            }
        }
    }
    stream.flush().await?;
    Ok(true)
}

/// What every server counts.
macro_rules! counts {
    () => {
        /// The requests that were read so far, in order.
        pub fn requests(&self) -> Vec<Request> {
            self.state.lock().clone()
        }

        /// The number of requests that were read so far.
        pub fn count(&self) -> u64 {
            self.state.lock().len() as u64
        }

        /// The number of connections that were accepted so far.
        pub fn connections(&self) -> u64 {
            self.state.connections.load(Ordering::SeqCst) as u64
        }

        /// The largest number of requests that were being answered at the same time.
        pub fn most_at_once(&self) -> u64 {
            self.state.most_at_once.load(Ordering::SeqCst) as u64
        }

        /// Answers nothing from now on, or everything again.
        pub fn freeze(&self, frozen: bool) {
            self.state.frozen.send_replace(frozen);
        }
    };
}

/// A server on loopback, in a thread of its own. It ends with this value.
pub struct HttpServer {
    address: SocketAddr,
    state: Arc<ServerState>,
    /// The thread, and what ends it when it is dropped.
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl HttpServer {
    /// Starts a server that answers each request by this function.
    ///
    /// # Panics
    /// Without a free port of loopback, or without another thread.
    pub fn start(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the listener's address");
        let state = ServerState::new(respond);
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    // The sender is never used: this ends when it is dropped.
                    _ = stopped => {}
                    () = accept(listener, shared) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("fake-server".to_owned()).spawn(run).expect("a thread");
        Self { address, state, thread: Some((stop, thread)) }
    }

    /// Starts a server that runs until the process ends, and returns its URL.
    ///
    /// # Panics
    /// As [`HttpServer::start`].
    pub fn forever(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
        let server = Self::start(respond);
        let url = server.url();
        std::mem::forget(server);
        url
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    counts!();
}

impl Drop for HttpServer {
    /// Returns when the port is closed.
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, state: Arc<ServerState>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // A connection that breaks is an answer as well.
            _ = stream.set_nodelay(true);
            _ = state.serve(stream).await;
        });
    }
}

/// A server without sockets, on the runtime of the test. With paused time, its answers take exactly their pauses.
#[derive(Clone)]
pub struct MemoryServer {
    state: Arc<ServerState>,
}

impl MemoryServer {
    /// A server that answers each request by this function.
    pub fn new(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self { state: ServerState::new(respond) }
    }

    /// Connects to it, on the current runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            _ = state.serve(theirs).await;
        });
        ours
    }

    counts!();
}

impl std::fmt::Debug for MemoryServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryServer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_in_pieces_is_one_and_the_next_one_on_the_connection_is_another() {
        let server = MemoryServer::new(|request| Answer::new(200, request.text()));
        let mut stream = server.connect();
        for piece in ["POST /a?b HTTP/1.1\r\nCon", "tent-Length: 4\r\n\r\nbo", "dyGET / HTTP/1.1\r\n\r\n"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        while !answer.ends_with("content-length: 0\r\n\r\n") {
            let mut buffer = [0; 256];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        let requests = server.requests();
        let seen: Vec<_> = requests.iter().map(|it| (it.method(), it.target(), it.text())).collect();
        assert_eq!(seen, [("POST", "/a?b", "body".to_owned()), ("GET", "/", String::new())]);
        assert!(answer.contains("\r\n\r\nbody") && server.connections() == 1, "{answer}");
    }

    #[test]
    fn the_port_is_closed_when_the_server_is_gone() {
        let server = HttpServer::start(|_| 200.into());
        let address = server.address();
        assert!(std::net::TcpStream::connect(address).is_ok());
        drop(server);
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
