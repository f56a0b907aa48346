//! Servers of the benchmark's own: one that streams tokens whose timing is known, and one that holds every request.

use std::io::{BufRead, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;

/// Tokens of a stream: the first comes 50 ms after the request, then one every 10 ms.
pub const TOKENS: u64 = 100;

/// How long requests are held.
const HELD: Duration = Duration::from_secs(6);

/// A server in a process of its own, so that its processor time and its memory are not the client's.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts one on a free port of loopback: `tokens` or `hold`.
    pub fn start(kind: &str) -> Self {
        let command = super::own(&["--server", kind]);
        let child = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the server starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        std::io::BufReader::new(stdout).read_line(&mut address).expect("it says where it is");
        Self { child, address: address.trim().to_owned() }
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// When the first token of each stream since the last call was written, in nanoseconds of the monotonic clock.
    pub fn stamps(&self) -> Vec<f64> {
        let mut stream = std::net::TcpStream::connect(&self.address).expect("the server is there");
        stream.write_all(b"GET /stamps HTTP/1.1\r\nconnection: close\r\n\r\n").expect("it can be asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        body.split_whitespace().filter_map(|stamp| stamp.parse().ok()).collect()
    }

    /// Stops it for a time, after a time.
    pub fn stop_for(&self, from_now: Duration, duration: Duration) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        std::thread::sleep(from_now);
        kill_process(pid, Signal::STOP).expect("the server stops");
        std::thread::sleep(duration);
        kill_process(pid, Signal::CONT).expect("the server goes on");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The monotonic clock, in nanoseconds: the same in all processes of a machine.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The server's own process.
pub fn run(words: &[String]) {
    super::raise_file_limit();
    let holds = words.first().is_some_and(|kind| kind == "hold");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let listener: TcpListener = socket.listen(16_384).expect("it listens");
        println!("{}", listener.local_addr().expect("its address"));
        let stamps: Arc<Mutex<Vec<u64>>> = Arc::default();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let stamps = Arc::clone(&stamps);
            tokio::spawn(
                async move { if holds { hold(stream).await.ok() } else { serve(stream, &stamps).await.ok() } },
            );
        }
    });
}

async fn hold(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 4 << 10];
    while stream.read(&mut buffer).await? > 0 {
        tokio::time::sleep(HELD).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
    }
    Ok(())
}

async fn serve(mut stream: TcpStream, stamps: &Mutex<Vec<u64>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 10];
    let filler = "x".repeat(60);
    let data = format!(
        "data: {{\"id\":\"cmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{{\"index\":0,\
         \"delta\":{{\"content\":\"{filler}\"}},\"finish_reason\":null}}]}}\n\n"
    );
    let chunk = format!("{:x}\r\n{data}\r\n", data.len());
    // A request comes in one piece: it is small, and the client waits for the answer before the next.
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if buffer.starts_with(b"GET /stamps") {
            let all = std::mem::take(&mut *stamps.lock().expect("no panic"));
            let words: Vec<String> = all.iter().map(u64::to_string).collect();
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", words.join(" ")).as_bytes())
                .await?;
            return Ok(());
        }
        let begin = tokio::time::Instant::now() + Duration::from_millis(50);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        let mut ticks = tokio::time::interval_at(begin, Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0..TOKENS {
            ticks.tick().await;
            if number == 0 {
                stamps.lock().expect("no panic").push(monotonic_ns());
            }
            stream.write_all(chunk.as_bytes()).await?;
        }
        stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await?;
    }
}
