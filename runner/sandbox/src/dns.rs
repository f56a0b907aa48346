//! Resolves the name of a service inside the cluster: DNS and service addresses in one step.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::net::Resolve;
use super::object;
use super::registry::Registry;
use super::resource::{ENDPOINTS, PODS, SERVICES};

/// Answers pods that ask for a service.
pub(crate) struct Dns(pub Arc<Registry>);

impl Resolve for Dns {
    fn resolve(&self, host: &str, port: u16, namespace: &str) -> Option<Vec<SocketAddr>> {
        match self.find(host, namespace)? {
            Found::Service(service) => Some(ready_endpoints(&self.0, &service, port)),
            Found::Pod(ip) => Some(vec![SocketAddr::new(ip, port)]),
        }
    }

    fn service(&self, host: &str, port: u16, namespace: &str) -> Option<SocketAddr> {
        let Some(Found::Service(service)) = self.find(host, namespace) else { return None };
        // A headless service has the address `None`.
        Some(SocketAddr::new(object::text(&service, "/spec/clusterIP").parse().ok()?, port))
    }
}

/// The object behind a name.
enum Found {
    Service(Arc<Value>),
    Pod(IpAddr),
}

impl Dns {
    fn find(&self, host: &str, namespace: &str) -> Option<Found> {
        let host = host.trim_end_matches('.');
        let short = host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
        if host.parse::<IpAddr>().is_ok() {
            let services = self.0.store.list(&SERVICES, "");
            return services.into_iter().find(|s| object::text(s, "/spec/clusterIP") == host).map(Found::Service);
        }
        let parts: Vec<&str> = short.split('.').collect();
        let (pod, name, namespace) = match parts.as_slice() {
            [name] => (None, *name, namespace),
            [name, space] => match self.0.store.get(&SERVICES, space, name) {
                Some(_) => (None, *name, *space),
                // `nats-0.nats`: a pod of a service in the own namespace.
                None => (Some(*name), *space, namespace),
            },
            [pod, name, space] => (Some(*pod), *name, *space),
            _ => return None,
        };
        let service = self.0.store.get(&SERVICES, namespace, name)?;
        match pod {
            None => Some(Found::Service(service)),
            Some(hostname) => {
                let pod = self.0.store.get(&PODS, namespace, hostname)?;
                object::text(&pod, "/status/podIP").parse().ok().map(Found::Pod)
            }
        }
    }

    /// The addresses of a name in DNS: the service's own, or the pods' for a headless service.
    pub fn addresses(&self, host: &str, namespace: &str) -> Vec<IpAddr> {
        match self.find(host, namespace) {
            Some(Found::Pod(ip)) => vec![ip],
            Some(Found::Service(service)) => match object::text(&service, "/spec/clusterIP").parse() {
                Ok(ip) => vec![ip],
                Err(_) => ready_addresses(&self.0, &service),
            },
            None => Vec::new(),
        }
    }
}

fn ready_addresses(registry: &Registry, service: &Value) -> Vec<IpAddr> {
    let endpoints = registry.store.get(&ENDPOINTS, object::namespace(service), object::name(service));
    let subsets = endpoints.as_deref().map_or(&[][..], |endpoints| object::list(endpoints, "/subsets"));
    let addresses = subsets.iter().flat_map(|subset| object::list(subset, "/addresses"));
    addresses.filter_map(|address| object::text(address, "/ip").parse().ok()).collect()
}

/// The ready endpoints behind a port of a service.
pub(crate) fn ready_endpoints(registry: &Registry, service: &Value, port: u16) -> Vec<SocketAddr> {
    let ports = object::list(service, "/spec/ports");
    let Some(asked) = ports.iter().find(|p| p["port"].as_u64() == Some(port.into())) else { return Vec::new() };
    let Some(endpoints) = registry.store.get(&ENDPOINTS, object::namespace(service), object::name(service)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for subset in object::list(&endpoints, "/subsets") {
        let target = object::list(subset, "/ports").iter().find(|p| p.get("name") == asked.get("name"));
        let Some(target) = target.and_then(|p| p["port"].as_u64()).and_then(|p| u16::try_from(p).ok()) else {
            continue;
        };
        for address in object::list(subset, "/addresses") {
            if let Ok(ip) = object::text(address, "/ip").parse() {
                found.push(SocketAddr::new(ip, target));
            }
        }
    }
    found
}
