//! The settings of the programs, with defaults. Plain data and its rules.

use std::io;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shakedown_schemas::units::Duration;

/// The most rows of a table at the start.
const MAX_ROWS: usize = 10_000;
/// The most calls of a service, nested ones included.
const MAX_CALLS: usize = 32;

/// An HTTP service. It answers every path with JSON after its calls have ended, `/health` at once, and `/ready` according to
/// the calls with `ready: true`. A failed call is an answer with status 503, one without an answer in time 504.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceConfig {
    /// The port.
    pub port: u16,
    /// The time of the service's own work for each request.
    pub work: Duration,
    /// The calls of each request, one after the other.
    pub calls: Vec<Call>,
    /// The most connections. Further ones wait to be accepted.
    pub max_connections: usize,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self { port: 8080, work: Duration::from_millis(2), calls: Vec::new(), max_connections: 4096 }
    }
}

/// A call to another service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// An HTTP request.
    Http(HttpCall),
    /// A lookup in a cache.
    Redis(RedisCall),
    /// A query.
    Postgres(PostgresCall),
}

/// A GET request on a connection of its own. A status from 200 to 299 is a success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCall {
    /// Where: `host:port`.
    #[schemars(extend("examples" = ["payments:8080"]))]
    pub server: String,
    /// The path.
    #[serde(default = "root")]
    #[schemars(extend("examples" = ["/pay"]))]
    pub path: String,
    /// How long the answer may take, connecting included.
    #[serde(default = "a_second")]
    pub timeout: Duration,
    /// The number of further tries after a failure.
    #[serde(default)]
    pub retries: u32,
    /// Whether the request fails with this call.
    #[serde(default = "yes")]
    pub required: bool,
    /// Whether `/ready` fails while the server's port does not accept connections.
    #[serde(default)]
    pub ready: bool,
}

/// GET of a key, on a kept connection. If the key is not there or the cache does not answer, the calls of `otherwise` are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisCall {
    /// Where: `host:port`.
    #[schemars(extend("examples" = ["redis:6379"]))]
    pub server: String,
    /// The key.
    #[schemars(extend("examples" = ["prices"]))]
    pub key: String,
    /// How long the answer may take, connecting included.
    #[serde(default = "a_moment")]
    pub timeout: Duration,
    /// How long the result of `otherwise` is kept in the cache.
    #[serde(default = "a_second")]
    pub ttl: Duration,
    /// The calls after a miss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<Call>,
    /// Whether the request fails if the cache does not answer.
    #[serde(default)]
    pub required: bool,
    /// Whether `/ready` fails while the cache does not answer PING.
    #[serde(default)]
    pub ready: bool,
}

/// A query, on a kept connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresCall {
    /// Where: `host:port`.
    #[schemars(extend("examples" = ["postgres:5432"]))]
    pub server: String,
    /// The SQL.
    #[serde(default = "ping")]
    #[schemars(extend("examples" = ["SELECT item, price FROM prices"]))]
    pub query: String,
    /// How long the answer may take, connecting included.
    #[serde(default = "a_second")]
    pub timeout: Duration,
    /// Whether the request fails with this call.
    #[serde(default = "yes")]
    pub required: bool,
    /// Whether `/ready` fails while the database does not answer `SELECT 1`.
    #[serde(default)]
    pub ready: bool,
}

/// A cache with the protocol of Redis. It knows PING, ECHO, GET, SET, DEL, EXISTS, INCR, TTL, DBSIZE, FLUSHALL and what clients
/// ask when they connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// The port.
    pub port: u16,
    /// The most clients. Further ones are refused.
    pub max_clients: usize,
    /// The most bytes of all keys and values. Then SET fails, as with the policy `noeviction`.
    pub max_memory: usize,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self { port: 6379, max_clients: 1000, max_memory: 16 << 20 }
    }
}

/// A database with the protocol of PostgreSQL. It knows the simple query protocol with `SELECT` of literals or from a table
/// with one condition, `INSERT`, transactions without effect, `SET` and `SHOW`. It accepts every user and database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// The port.
    pub port: u16,
    /// The time of each query.
    pub work: Duration,
    /// The most clients. Further ones are refused, as by PostgreSQL.
    pub max_connections: usize,
    /// The tables: for each its rows at the start. The first row has all columns.
    #[schemars(extend("examples" = [{"prices": [{"item": "tea", "price": 3}]}]))]
    pub tables: IndexMap<String, Vec<IndexMap<String, Value>>>,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self { port: 5432, work: Duration::from_millis(1), max_connections: 100, tables: IndexMap::new() }
    }
}

impl Call {
    /// The server that it calls.
    pub fn server(&self) -> &str {
        match self {
            Self::Http(call) => &call.server,
            Self::Redis(call) => &call.server,
            Self::Postgres(call) => &call.server,
        }
    }

    /// Its `server` with a port, and its `path`, of an address in another notation.
    fn address(&self) -> String {
        let server = self.server();
        let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let port = match self {
            Self::Http(_) => 8080,
            Self::Redis(_) => 6379,
            Self::Postgres(_) => 5432,
        };
        let host = if split(host).is_ok() { host.to_owned() } else { format!("{}:{port}", host.trim_end_matches(':')) };
        match self {
            Self::Http(_) if !path.is_empty() => format!("server: \"{host}\", path: /{path}"),
            _ => format!("server: \"{host}\""),
        }
    }

    /// The calls that follow a miss.
    pub fn inner(&self) -> &[Self] {
        match self {
            Self::Redis(call) => &call.otherwise,
            _ => &[],
        }
    }
}

impl ServiceConfig {
    /// Checks the rules that the types cannot express.
    ///
    /// # Errors
    /// A setting that the program cannot work with.
    pub fn check(&self) -> io::Result<()> {
        let (mut all, mut open) = (0, self.calls.iter().collect::<Vec<_>>());
        while let Some(call) = open.pop() {
            all += 1;
            let server = call.server();
            split(server).map_err(|error| invalid(format!("{error}\nwrite `{}`", call.address())))?;
            if let Call::Http(call) = call
                && !call.path.starts_with('/')
            {
                return Err(invalid(format!("the path `{}` must begin with `/`", call.path)));
            }
            open.extend(call.inner());
        }
        if all > MAX_CALLS { Err(invalid(format!("{all} calls are more than {MAX_CALLS}"))) } else { Ok(()) }
    }
}

impl PostgresConfig {
    /// Checks the rules that the types cannot express.
    ///
    /// # Errors
    /// A table that cannot be.
    pub fn check(&self) -> io::Result<()> {
        for (name, rows) in &self.tables {
            let Some(first) = rows.first() else {
                return Err(invalid(format!(
                    "the table `{name}` needs a first row, which has its columns\nwrite `{name}: [{{id: 1}}]`"
                )));
            };
            if rows.len() > MAX_ROWS {
                return Err(invalid(format!("the table `{name}` has more than {MAX_ROWS} rows")));
            }
            let odd = |row: &&IndexMap<String, Value>| row.keys().any(|column| !first.contains_key(column));
            if let Some(row) = rows.iter().find(odd) {
                let keys: Vec<_> = row.keys().map(String::as_str).collect();
                return Err(invalid(format!("the table `{name}` has no columns {}", keys.join(", "))));
            }
            if first.values().any(|value| value.is_array() || value.is_object()) {
                return Err(invalid(format!("the values of the table `{name}` must be numbers, texts or booleans")));
            }
        }
        Ok(())
    }
}

/// The two parts of `host:port`.
///
/// # Errors
/// Text of another form.
pub(crate) fn split(server: &str) -> io::Result<(&str, u16)> {
    let parts = server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| invalid(format!("`{server}` is not `host:port`")))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn root() -> String {
    "/".into()
}

fn ping() -> String {
    "SELECT 1".into()
}

fn yes() -> bool {
    true
}

fn a_second() -> Duration {
    Duration::from_secs(1)
}

fn a_moment() -> Duration {
    Duration::from_millis(250)
}
