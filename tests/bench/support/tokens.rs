//! A server of token streams whose timing is known: the first token comes 50 ms after the request, then 99 more, one
//! every 10 ms.

use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;

/// Tokens of a stream.
pub const TOKENS: u64 = 100;

/// The server, in a process of its own so that its processor time is not the client's.
#[derive(Debug)]
pub struct Tokens {
    child: Child,
    address: String,
}

impl Tokens {
    /// Starts it on a free port of loopback.
    pub fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child =
            Command::new(program).arg("--tokens").stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        std::io::BufReader::new(stdout).read_line(&mut address).expect("it says where it is");
        Self { child, address: address.trim().to_owned() }
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The server's own process.
pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("its address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move { serve(stream).await.ok() });
        }
    });
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 10];
    let filler = "x".repeat(60);
    let data = format!(
        "data: {{\"id\":\"cmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{{\"index\":0,\
         \"delta\":{{\"content\":\"{filler}\"}},\"finish_reason\":null}}]}}\n\n"
    );
    let chunk = format!("{:x}\r\n{data}\r\n", data.len());
    // A request comes in one piece: it is small, and the client waits for the answer before the next.
    while stream.read(&mut buffer).await? > 0 {
        let begin = tokio::time::Instant::now() + Duration::from_millis(50);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        let mut ticks = tokio::time::interval_at(begin, Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..TOKENS {
            ticks.tick().await;
            stream.write_all(chunk.as_bytes()).await?;
        }
        stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await?;
    }
    Ok(())
}
