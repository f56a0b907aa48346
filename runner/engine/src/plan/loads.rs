//! Plans the loads: the address and the schedule of their requests.

use std::time::Duration;

use shakedown_schemas::Document;
use shakedown_schemas::Explained;
use shakedown_schemas::scenario::{Arrival, Fault, Load, Sent};
use tokio::net::TcpStream;

use super::error::PlanError;
use super::spec::{LoadSpec, Route};
use shakedown_cluster::{Cluster, parse_service};
use shakedown_load::{CompiledLoad, Endpoint, PlannedLoad};

/// The timeout of a connection to a URL's address.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn plan(
    document: &Document,
    cluster: Option<&Cluster>,
    namespace: &str,
    seed: u64,
) -> Result<Vec<LoadSpec>, PlanError> {
    let mut planned = Vec::new();
    for (name, load) in &document.scenario.load {
        let called = match (load.service(), load.url()) {
            (Some(service), _) => by_service(name, load, service, cluster, namespace).await?,
            (None, Some(url)) => by_url(name, load, url).await?,
            (None, None) => return Err(PlanError::load(name, "it has neither `service` nor `url`")),
        };
        planned.push(spec(document, name, load, called, seed)?);
    }
    Ok(planned)
}

/// The target of a load.
struct Called {
    /// In words.
    target: String,
    /// The base URL.
    base: String,
    route: Route,
}

fn spec(document: &Document, name: &str, load: &Load, called: Called, seed: u64) -> Result<LoadSpec, PlanError> {
    let Called { target, base, route } = called;
    let addresses = match route {
        Route::Direct { address, .. } => vec![address],
        Route::Endpoints { ref addresses, .. } => addresses.clone(),
        Route::Url | Route::PortForward { .. } => Vec::new(),
    };
    let compiled = CompiledLoad::new(&PlannedLoad {
        name: name.to_owned(),
        load: load.clone(),
        endpoint: Endpoint { base: base.clone(), addresses },
        files: document.files.clone(),
        seed,
    })
    .map_err(|error| PlanError::Scenario(error.to_string().into()))?
    .in_phases(&document.scenario);
    let faults = document.scenario.phases.iter().flat_map(|phase| phase.faults.values());
    let shifts_clocks = faults.into_iter().any(|fault| matches!(fault, Fault::Time(_)));
    let compiled = if shifts_clocks { compiled.reading_dates() } else { compiled };
    Ok(LoadSpec {
        name: name.to_owned(),
        kind: load.sent().map_or("", Sent::kind),
        target,
        base,
        endpoint: load.sent().and_then(Sent::endpoint).unwrap_or_default(),
        route,
        open_loop: load.rate.is_some(),
        schedule: schedule(load),
        timeout: load.timeout.get(),
        observation_timeout: compiled.observation_timeout(),
        compiled,
    })
}

/// The pace of a load as text, without changes by phases.
fn schedule(load: &Load) -> String {
    let pace = load.model().map_or_else(String::new, |model| model.to_string());
    match (load.arrival, load.think_time) {
        (Some(Arrival::Poisson), _) => format!("{pace}, Poisson arrivals"),
        (Some(Arrival::Steady), _) => format!("{pace}, steady"),
        (_, Some(time)) => format!("{pace}, thinking {time}"),
        _ => pace,
    }
}

async fn by_service(
    name: &str,
    load: &Load,
    service: &str,
    cluster: Option<&Cluster>,
    namespace: &str,
) -> Result<Called, PlanError> {
    let cluster = cluster.ok_or_else(|| PlanError::load(name, "it needs a cluster"))?;
    let address = parse_service(service, namespace).map_err(|error| PlanError::load(name, error))?;
    let found = cluster.route(&address, load.reach()).await?;
    Ok(Called {
        target: format!("service {}:{} in namespace {}", address.name, address.port, address.namespace),
        base: format!("{}://{}", scheme(load)?, found.host),
        route: match found.direct {
            Some(_) if !found.endpoints.is_empty() => {
                Route::Endpoints { service: found.service, addresses: found.endpoints }
            }
            Some(address) => Route::Direct { service: found.service, address },
            None => Route::PortForward { service: found.service },
        },
    })
}

/// The scheme of the URL of a service.
fn scheme(load: &Load) -> Result<&'static str, PlanError> {
    let sent = load.sent().ok_or_else(|| PlanError::Scenario("a load has no kind of request".into()))?;
    let [plain, tls] = sent.info().facts.schemes;
    Ok(if load.tls.is_some() { tls.name } else { plain.name })
}

/// Connects to a URL once before the load starts. If the service is down from the start, the run shows nothing about
/// faults.
async fn by_url(name: &str, load: &Load, url: &str) -> Result<Called, PlanError> {
    let wrong = |why: Explained| PlanError::load(name, why);
    let uri: http::Uri = url.parse().map_err(|error| wrong(format!("`{url}` is not a URL: {error}").into()))?;
    let host = uri.host().ok_or_else(|| wrong(format!("`{url}` has no host").into()))?;
    let known = load.sent().into_iter().flat_map(|sent| sent.info().facts.schemes);
    let default = known.into_iter().find(|scheme| uri.scheme_str() == Some(scheme.name)).and_then(|scheme| scheme.port);
    let port = uri.port_u16().or(default).ok_or_else(|| wrong(format!("`{url}` has no port").into()))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect((bare, port))).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            return Err(wrong(Explained::new(
                format!("cannot connect to {host}:{port}: {error}"),
                "start the service first, or correct `url` in the scenario",
            )));
        }
        Err(_) => {
            return Err(wrong(Explained::new(
                format!("cannot connect to {host}:{port} within {CONNECT_LIMIT:?}"),
                "check the address, firewalls and proxies",
            )));
        }
    }
    Ok(Called { target: url.to_owned(), base: url.to_owned(), route: Route::Url })
}
