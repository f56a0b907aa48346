//! Where each load's requests go.

use std::time::Duration;

use shakedown_schemas::Document;
use shakedown_schemas::result::LoadInfo;
use shakedown_schemas::scenario::{Arrival, Load, Sent};
use tokio::net::TcpStream;

use super::PlanError;
use shakedown_cluster::{Cluster, PortForward, parse_service};
use shakedown_load::{Endpoint, PlannedLoad};

/// How long a URL's address has to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Loads {
    pub(super) loads: Vec<PlannedLoad>,
    pub(super) infos: Vec<LoadInfo>,
    pub(super) forwards: Vec<Option<PortForward>>,
}

pub(super) async fn plan(
    document: &Document,
    cluster: Option<&Cluster>,
    namespace: &str,
    seed: u64,
) -> Result<Loads, PlanError> {
    let scenario = &document.scenario;
    let mut planned = Loads { loads: Vec::new(), infos: Vec::new(), forwards: Vec::new() };
    for (name, load) in &scenario.load {
        let way = match (load.service(), load.url()) {
            (Some(service), _) => by_service(name, load, service, cluster, namespace).await?,
            (None, Some(url)) => by_url(name, url).await?,
            (None, None) => return Err(PlanError::Scenario(format!("load `{name}` names no service and no url"))),
        };
        planned.infos.push(LoadInfo {
            name: name.clone(),
            kind: load.sent().map_or("", Sent::kind).to_owned(),
            target: way.target,
            open_loop: load.rate.is_some(),
            schedule: schedule(load),
            reach: way.reach.to_owned(),
            address: match way.endpoint.addresses.first() {
                Some(address) => address.to_string(),
                None => way.endpoint.base.clone(),
            },
            reconnects: 0,
            issued: None,
            resent: 0,
            requests: Vec::new(),
        });
        let ready = PlannedLoad {
            name: name.clone(),
            load: load.clone(),
            endpoint: way.endpoint,
            files: document.files.clone(),
            seed,
        };
        ready.check().map_err(|error| PlanError::Scenario(error.to_string()))?;
        planned.loads.push(ready);
        planned.forwards.push(way.forward);
    }
    Ok(planned)
}

/// The pace of a load in words, as far as phases change nothing of it.
fn schedule(load: &Load) -> String {
    let pace = load.model().map_or_else(String::new, |model| model.to_string());
    match (load.arrival, load.think_time) {
        (Some(Arrival::Poisson), _) => format!("{pace}, Poisson arrivals"),
        (_, Some(time)) => format!("{pace}, thinking {time}"),
        _ => pace,
    }
}

struct Way {
    target: String,
    reach: &'static str,
    endpoint: Endpoint,
    forward: Option<PortForward>,
}

async fn by_service(
    name: &str,
    load: &Load,
    service: &str,
    cluster: Option<&Cluster>,
    namespace: &str,
) -> Result<Way, PlanError> {
    let cluster = cluster.ok_or_else(|| PlanError::Scenario(format!("load `{name}` needs a cluster")))?;
    let address =
        parse_service(service, namespace).map_err(|error| PlanError::Scenario(format!("load `{name}`: {error}")))?;
    let reached = cluster.reach(&address, load.reach()).await?;
    Ok(Way {
        target: format!("service {}:{} in namespace {}", address.name, address.port, address.namespace),
        reach: reached.how,
        endpoint: Endpoint {
            base: format!("{}://{}", if load.tls.is_some() { "https" } else { "http" }, reached.host),
            addresses: reached.addresses,
        },
        forward: reached.forward,
    })
}

/// A URL is connected to once before any load is sent: an address where nobody listens says nothing about a service
/// under a fault.
async fn by_url(name: &str, url: &str) -> Result<Way, PlanError> {
    let wrong = |what: String| PlanError::Scenario(format!("load `{name}`: {what}"));
    let uri: http::Uri = url.parse().map_err(|error| wrong(format!("`{url}` is not a URL: {error}")))?;
    let host = uri.host().ok_or_else(|| wrong(format!("`{url}` has no host")))?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect((bare, port))).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            return Err(wrong(format!(
                "nothing answers at {host}:{port}: {error}\nhelp: start the service first, or correct `url` in the scenario"
            )));
        }
        Err(_) => {
            return Err(wrong(format!(
                "nothing answers at {host}:{port} within {CONNECT_LIMIT:?}\nhelp: check the address and what lies between"
            )));
        }
    }
    Ok(Way {
        target: url.to_owned(),
        reach: "url",
        endpoint: Endpoint { base: url.to_owned(), addresses: Vec::new() },
        forward: None,
    })
}
