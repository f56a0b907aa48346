//! The same client and the same deployment with Debian's real `nats-server`.

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
    fn start(port: u16) -> Self {
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("this test needs `nats-server` (Debian: apt-get install nats-server): {error}")
        });
        Self { child, port }
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
#[ignore = "needs nats-server"]
async fn the_real_server_routes_messages_as_ours_does() {
    let server = Server::start(free_port());
    routes_messages("127.0.0.1", server.port).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_real_server_serves_our_client() {
    let server = Server::start(free_port());
    serves_our_client(Net::host(), format!("127.0.0.1:{}", server.port)).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_deployment_runs_on_the_real_server_and_comes_back_to_it() {
    let mut server = Server::start(free_port());
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
    let _server = Server::start(port);
    until("they are back", async || town.workers().await.len() == 2).await;
    assert_eq!(town.complete(3).await.0, StatusCode::OK);
}
