//! The settings of the programs, with defaults that fit a laptop.
//!
//! In scope: plain data. Out of scope: reading flags and variables (the command line does that).

use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shakedown_schemas::units::Duration;

/// Settings of the bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// The port for clients.
    pub port: u16,
    /// The most clients. Further ones are rejected.
    pub max_clients: usize,
    /// The most bytes that are queued for one client. A client that falls further behind is dropped.
    pub max_pending: usize,
    /// The largest message, bytes.
    pub max_payload: usize,
    /// The interval of PINGs to a silent client. After two PINGs without an answer, it is dropped.
    pub ping_interval: Duration,
    /// How long a write to a client may take whose `socket_buffer` is full. Then the client is dropped.
    pub write_deadline: Duration,
    /// The number of messages that the kernel takes for a client from which nothing comes back; the next write waits. Default:
    /// what the kernel of this machine takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_buffer: Option<usize>,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            port: 4222,
            max_clients: 1024,
            max_pending: 8 << 20,
            max_payload: 1 << 20,
            ping_interval: Duration::from_secs(5),
            write_deadline: Duration::from_secs(10),
            socket_buffer: None,
        }
    }
}

impl BusConfig {
    /// Checks the rules that the types cannot express.
    ///
    /// # Errors
    /// A setting that the program cannot work with.
    pub fn check(&self) -> io::Result<()> {
        positive("write_deadline", self.write_deadline)?;
        positive("ping_interval", self.ping_interval)
    }
}

/// Settings of the registry of workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiscoveryConfig {
    /// The port for workers and frontends.
    pub port: u16,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self { port: 2379 }
    }
}

/// How requests reach a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// As messages on the bus.
    #[default]
    Bus,
    /// Over a connection from the frontend to the worker (`tcp` in NVIDIA Dynamo). Needs `discovery`.
    Direct,
}

/// Settings of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// The worker's name, unique in the deployment: a word without dots, such as its pod's name.
    pub id: String,
    /// The model that it announces.
    pub model: String,
    /// The bus: `host:port`.
    pub bus: String,
    /// The registry of workers: `host:port`. Default: none, and the worker announces itself by heartbeats on the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["etcd:2379"]))]
    pub discovery: Option<String>,
    /// How long the registry lists the worker after its last sign of life. A worker that learns that its lease is over ends
    /// with an error.
    pub lease: Duration,
    /// How requests arrive.
    pub plane: Plane,
    /// The port for requests with `plane: direct`.
    pub request_port: u16,
    /// The port of `GET /health` and `GET /ready`.
    pub health_port: u16,
    /// Whether `/ready` fails while the worker has no bus. Off, as in most deployments: then a cut from the bus does not
    /// restart or unlist the pod.
    pub ready_needs_bus: bool,
    /// The time from the start of a request to its first token, after its prefill.
    pub time_to_first_token: Duration,
    /// The additional time of a prompt's prefill.
    pub prefill: Duration,
    /// A folder for the results of prefills, as a model server offloads its KV cache. Cached prompts need no `prefill`. A
    /// failed read repeats the prefill, and a failed write is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/cache"]))]
    pub cache: Option<String>,
    /// The time between tokens.
    pub inter_token: Duration,
    /// Both times vary by up to this share in each direction: 0 to 1.
    pub jitter: f64,
    /// Makes the jitter repeatable; the worker's name is mixed in.
    pub seed: u64,
    /// The number of concurrent requests.
    pub slots: usize,
    /// The most requests that wait for a slot. Further ones are refused.
    pub queue: usize,
    /// The interval of heartbeats.
    pub heartbeat: Duration,
    /// How long the bus may be silent until the worker gives up the connection. Until then, the connection resumes if TCP does.
    pub bus_dead_after: Duration,
    /// The pause before it reconnects to a lost bus. A long one makes a deployment slow to recover.
    pub reconnect_after: Duration,
    /// The longest pause between failed tries to reconnect. The pause begins with 300 ms and doubles.
    pub reconnect_max: Duration,
    /// How long a connection to a frontend may take.
    pub connect_timeout: Duration,
    /// The time limit of running requests after the worker was stopped.
    pub drain: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            id: "worker".into(),
            model: "Qwen/Qwen3-0.6B".into(),
            bus: "nats:4222".into(),
            discovery: None,
            lease: Duration::from_secs(10),
            plane: Plane::Bus,
            request_port: 9091,
            health_port: 9090,
            ready_needs_bus: false,
            time_to_first_token: Duration::from_millis(20),
            prefill: Duration::ZERO,
            cache: None,
            inter_token: Duration::from_millis(4),
            jitter: 0.1,
            seed: 0,
            slots: 8,
            queue: 256,
            heartbeat: Duration::from_millis(500),
            bus_dead_after: Duration::from_secs(2),
            reconnect_after: Duration::from_millis(300),
            reconnect_max: Duration::from_millis(300),
            connect_timeout: Duration::from_secs(1),
            drain: Duration::from_secs(2),
        }
    }
}

impl WorkerConfig {
    /// Checks the rules that the types cannot express.
    ///
    /// # Errors
    /// A setting that the program cannot work with.
    pub fn check(&self) -> io::Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.id.is_empty() || !self.id.chars().all(plain) {
            return Err(invalid(format!("`id` must be of letters, digits, `-` and `_`, and `{}` is not", self.id)));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(invalid(format!("`jitter` must be between 0 and 1, and {} is not", self.jitter)));
        }
        if self.slots == 0 || self.slots > LIMIT || self.queue > LIMIT {
            return Err(invalid(format!("`slots` must be between 1 and {LIMIT}, and `queue` at most {LIMIT}")));
        }
        if self.plane == Plane::Direct && self.discovery.is_none() {
            return Err(invalid("`plane: direct` needs `discovery`".into()));
        }
        positive("lease", self.lease)?;
        positive("bus_dead_after", self.bus_dead_after)?;
        positive("reconnect_after", self.reconnect_after)?;
        positive("heartbeat", self.heartbeat)
    }
}

/// Settings of the frontend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FrontendConfig {
    /// The model that is served; requests for another are refused.
    pub model: String,
    /// The bus: `host:port`.
    pub bus: String,
    /// The port of the OpenAI API.
    pub port: u16,
    /// The port to which workers send their answers; 0 takes a free port.
    pub response_port: u16,
    /// The address at which workers reach this frontend. Without it: the pod's address in the sandbox, elsewhere the
    /// address that the connection to the bus has at this end.
    #[schemars(extend("examples" = ["10.0.0.7"]))]
    pub advertise: Option<String>,
    /// The registry of workers: `host:port`. Default: none, and workers are known by their heartbeats on the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["etcd:2379"]))]
    pub discovery: Option<String>,
    /// How requests reach a worker.
    pub plane: Plane,
    /// How long a worker may take to accept a request. Then the request fails: with status 503 if it went over the bus, and 504
    /// if it went to the worker directly.
    pub accept_timeout: Duration,
    /// How often a request is sent to another worker after a failure. It continues with the token at which it failed.
    pub migration_limit: u32,
    /// The interval at which all workers that were set aside return. Without it, each returns after `sidelined`, with one
    /// request as a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<Duration>,
    /// How long the bus may be silent until the frontend gives up the connection.
    pub bus_dead_after: Duration,
    /// A worker without heartbeats for this long is dropped, and its requests fail. Not with `discovery`.
    pub heartbeat_timeout: Duration,
    /// The largest difference between a worker's clock and the frontend's. Heartbeats beyond it are taken for delayed old ones
    /// and ignored.
    pub clock_tolerance: Duration,
    /// How long a worker may take to its first token, and between tokens.
    pub response_timeout: Duration,
    /// How long a worker gets no requests after one of them timed out while the worker sent nothing at all.
    pub sidelined: Duration,
    /// The most HTTP connections. Further ones wait to be accepted.
    pub max_connections: usize,
    /// The most requests in flight. Further ones are refused with 503.
    pub max_requests: usize,
    /// The largest request body, bytes.
    pub max_body: usize,
    /// The most tokens that a request may ask for.
    pub max_tokens: u32,
}

impl Default for FrontendConfig {
    fn default() -> Self {
        Self {
            model: "Qwen/Qwen3-0.6B".into(),
            bus: "nats:4222".into(),
            port: 8000,
            response_port: 8001,
            advertise: None,
            discovery: None,
            plane: Plane::Bus,
            accept_timeout: Duration::from_secs(10),
            migration_limit: 0,
            reconcile: None,
            bus_dead_after: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(2),
            clock_tolerance: Duration::from_secs(30),
            response_timeout: Duration::from_secs(3),
            sidelined: Duration::from_secs(4),
            max_connections: 4096,
            max_requests: 4096,
            max_body: 1 << 20,
            max_tokens: 4096,
        }
    }
}

impl FrontendConfig {
    /// Checks the rules that the types cannot express.
    ///
    /// # Errors
    /// A setting that the program cannot work with.
    pub fn check(&self) -> io::Result<()> {
        if self.max_requests > LIMIT || self.max_connections > LIMIT {
            return Err(invalid(format!("`max_requests` and `max_connections` must be at most {LIMIT}")));
        }
        if self.plane == Plane::Direct && self.discovery.is_none() {
            return Err(invalid("`plane: direct` needs `discovery`".into()));
        }
        if let Some(reconcile) = self.reconcile {
            positive("reconcile", reconcile)?;
        }
        positive("accept_timeout", self.accept_timeout)?;
        positive("bus_dead_after", self.bus_dead_after)?;
        positive("heartbeat_timeout", self.heartbeat_timeout)?;
        positive("response_timeout", self.response_timeout)
    }
}

/// The upper limit of all counts. A larger number is a typing error.
const LIMIT: usize = 1 << 20;

fn positive(name: &str, value: Duration) -> io::Result<()> {
    if value.is_zero() { Err(invalid(format!("`{name}` must be longer than zero"))) } else { Ok(()) }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
