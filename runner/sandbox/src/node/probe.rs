//! Readiness probes of containers, made from the node.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::net::{Net, Stream};
use crate::object;

/// A probe of a container.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Probe {
    /// The kind of probe.
    kind: ProbeKind,
    /// The port.
    address: SocketAddr,
    /// The interval between probes.
    pub period: Duration,
    /// The delay before the first probe.
    pub delay: Duration,
    /// How long an answer may take.
    timeout: Duration,
    /// The number of consecutive failures that makes a container unready.
    pub failures: i64,
}

#[derive(Debug, Clone, PartialEq)]
enum ProbeKind {
    /// The port accepts connections.
    Connect,
    /// The path answers with a status from 200 to 399.
    Get(String),
}

impl Probe {
    /// The readiness probe of a container. `None` if it has none, or one that the sandbox does not support (`exec`,
    /// `grpc`): it is then ready as soon as it runs.
    pub fn of(container: &Value, ip: Ipv4Addr) -> Option<Self> {
        let probe = container.get("readinessProbe")?;
        let (kind, port) = match (probe.get("httpGet"), probe.get("tcpSocket")) {
            (Some(get), _) => {
                let path = get["path"].as_str().unwrap_or("/");
                (ProbeKind::Get(path.to_string()), &get["port"])
            }
            (None, Some(socket)) => (ProbeKind::Connect, &socket["port"]),
            (None, None) => return None,
        };
        let number = match port {
            Value::String(name) => object::list(container, "/ports")
                .iter()
                .find(|p| p["name"] == name.as_str())
                .and_then(|p| p["containerPort"].as_u64()),
            other => other.as_u64(),
        };
        let seconds = |key: &str, default: u64| Duration::from_secs(probe[key].as_u64().unwrap_or(default));
        Some(Self {
            kind,
            address: SocketAddr::new(ip.into(), u16::try_from(number?).ok()?),
            period: seconds("periodSeconds", 10),
            delay: seconds("initialDelaySeconds", 0),
            timeout: seconds("timeoutSeconds", 1),
            failures: probe["failureThreshold"].as_i64().unwrap_or(3),
        })
    }

    /// Probes once, from outside the pods.
    pub async fn ask(&self, net: &Net) -> bool {
        let asked = async {
            let mut stream = net.connect(&self.address.ip().to_string(), self.address.port()).await?;
            match &self.kind {
                ProbeKind::Connect => Ok(true),
                ProbeKind::Get(path) => get(&mut stream, path, self.address).await,
            }
        };
        matches!(timeout(self.timeout, asked).await, Ok(Ok::<bool, std::io::Error>(true)))
    }
}

/// The first line of the answer decides.
async fn get(stream: &mut Stream, path: &str, host: SocketAddr) -> std::io::Result<bool> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    let code = std::str::from_utf8(&answer[9..]).ok().and_then(|code| code.parse::<u16>().ok());
    Ok(answer.starts_with(b"HTTP/1.") && code.is_some_and(|code| (200..400).contains(&code)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shakedown_fakes::{Answer, HttpServer, Step};
    use tokio::net::TcpListener;

    async fn answered(answer: &'static str) -> bool {
        let server = HttpServer::start(move |_| Answer::raw(answer).then(Step::Close));
        let container = json!({"readinessProbe": {"httpGet": {"path": "/up", "port": server.address().port()}}});
        let ready = Probe::of(&container, Ipv4Addr::LOCALHOST).unwrap().ask(&Net::host()).await;
        assert_eq!(server.requests()[0].line, "GET /up HTTP/1.1");
        ready
    }

    #[tokio::test]
    async fn the_status_of_the_answer_decides() {
        assert!(answered("HTTP/1.1 200 OK\r\n\r\n").await);
        assert!(answered("HTTP/1.1 302 Found\r\n\r\n").await);
        assert!(!answered("HTTP/1.1 503 Service Unavailable\r\n\r\n").await);
        assert!(!answered("not http at all\r\n").await);
    }

    #[tokio::test]
    async fn a_closed_port_is_not_ready() {
        let port = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let container =
            json!({"ports": [{"name": "p", "containerPort": port}], "readinessProbe": {"tcpSocket": {"port": "p"}}});
        assert!(!Probe::of(&container, Ipv4Addr::LOCALHOST).unwrap().ask(&Net::host()).await);
        assert_eq!(Probe::of(&json!({"readinessProbe": {"exec": {}}}), Ipv4Addr::LOCALHOST), None);
    }
}
