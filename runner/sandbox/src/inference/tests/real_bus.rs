//! The same client and the same deployment with Debian's real `nats-server`, where it is installed.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use http::StatusCode;

use super::bus::{routes_messages, serves_our_client};
use super::harness::{Town, until};
use crate::inference::{FrontendConfig, WorkerConfig};
use crate::net::Net;

/// A running `nats-server`; it ends with this value.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// `None`, and a line that says so, where the program is not installed.
    fn start(port: u16) -> Option<Self> {
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Some(Self { child, port }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: this test needs `nats-server` (Debian: apt-get install nats-server)");
                None
            }
            Err(error) => panic!("cannot start nats-server: {error}"),
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn the_real_server_routes_messages_as_ours_does() {
    let Some(server) = Server::start(free_port()) else { return };
    routes_messages("127.0.0.1", server.port).await;
}

#[tokio::test]
async fn the_real_server_serves_our_client() {
    let Some(server) = Server::start(free_port()) else { return };
    serves_our_client(Net::host(), format!("127.0.0.1:{}", server.port)).await;
}

#[tokio::test]
async fn the_deployment_runs_on_the_real_server_and_comes_back_to_it() {
    let Some(mut server) = Server::start(free_port()) else { return };
    let port = server.port;
    let bus = format!("127.0.0.1:{port}");
    let mut town = Town::new();
    town.frontend(FrontendConfig { bus: bus.clone(), ..FrontendConfig::default() });
    for worker in ["w0", "w1"] {
        town.worker(worker, WorkerConfig { bus: bus.clone(), ..WorkerConfig::default() });
    }
    town.await_workers(2).await;
    assert_eq!(town.complete(3).await.0, StatusCode::OK);
    server.kill();
    until("all workers are dropped", async || town.workers().await.is_empty()).await;
    assert_eq!(town.complete(3).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let _server = Server::start(port).expect("it was there a moment ago");
    until("they are back", async || town.workers().await.len() == 2).await;
    assert_eq!(town.complete(3).await.0, StatusCode::OK);
}
