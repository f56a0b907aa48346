//! Reaches a Service from the runner: directly if its addresses answer, otherwise by a port-forward through the API server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;
use serde_json::Value;
use shakedown_schemas::scenario::Reach;
use shakedown_schemas::{EventKind, Explained};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::forward::{Carried, Forwarder, Pods, PortForward};
use super::{Cluster, ClusterError};

/// The timeout of a connection, after which an address counts as unreachable.
const DIRECT_LIMIT: Duration = Duration::from_secs(2);

/// How long, and how often, a refusing address is tried again if there is no other route.
const REFUSED_LIMIT: Duration = Duration::from_secs(5);
const REFUSED_STEP: Duration = Duration::from_millis(100);

/// A service as a scenario writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceAddress {
    /// The Service's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its port, a number or a name.
    pub port: String,
}

/// Reads `name:port` or `name.namespace:port`.
///
/// # Errors
/// When the port is missing.
pub fn parse_service(text: &str, default_namespace: &str) -> Result<ServiceAddress, String> {
    let (host, port) = text
        .rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && !port.is_empty())
        .ok_or_else(|| format!("`{text}` has no port: write `name:port`, such as `{text}:80`"))?;
    let (name, namespace) = host.split_once('.').unwrap_or((host, default_namespace));
    // `name.namespace.svc.cluster.local` is the name that a pod would use.
    let namespace = namespace.split('.').next().unwrap_or(namespace);
    Ok(ServiceAddress { name: name.to_owned(), namespace: namespace.to_owned(), port: port.to_owned() })
}

/// How a service is reached: plain data. Nothing is open yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRoute {
    /// The service.
    pub service: ServiceAddress,
    /// The `Host` to send: the service's own name and port.
    pub host: String,
    /// The address that answers directly; none where a port-forward has to be opened.
    pub direct: Option<SocketAddr>,
    /// The ready endpoints of a service without an address of its own (a headless one), where they answer directly.
    pub endpoints: Vec<SocketAddr>,
}

/// The interval at which the endpoints of a followed service are read.
const FOLLOW_STEP: Duration = Duration::from_secs(1);

/// Follows the endpoints of a service until it is dropped.
pub struct Following(#[expect(dead_code, reason = "it is kept, not read")] AbortOnDropHandle<()>);

/// The endpoints that a service lost and gained, in words.
fn moved(service: &ServiceAddress, before: &[SocketAddr], now: &[SocketAddr]) -> String {
    let list = |of: &[SocketAddr], without: &[SocketAddr]| {
        let left: Vec<String> = of.iter().filter(|it| !without.contains(it)).map(ToString::to_string).collect();
        if left.is_empty() { "none".to_owned() } else { left.join(", ") }
    };
    format!(
        "the ready endpoints of service {} changed: gone {}, new {}, {} now",
        service.name,
        list(before, now),
        list(now, before),
        now.len()
    )
}

impl Cluster {
    /// Finds the route to a service. It tries direct connections if they are allowed, and opens no port-forward.
    ///
    /// # Errors
    /// When the service or its port does not exist, no ready pod is behind it, or it cannot be reached in the way asked
    /// for.
    pub async fn route(&self, service: &ServiceAddress, reach: Reach) -> Result<ServiceRoute, ClusterError> {
        let ServiceAddress { name, namespace, .. } = service;
        let object = self.service_object(service).await?;
        let port = service_port(&object, service)?;
        let number = port["port"].as_u64().unwrap_or_default() as u16;
        let host = format!("{name}:{number}");
        if reach != Reach::PortForward {
            let mut addresses = cluster_addresses(&object, number);
            let is_headless = addresses.is_empty();
            if is_headless {
                addresses = self.endpoint_addresses(service, port).await?;
            }
            // Otherwise there is another route, and no reason to wait.
            let retry_limit = if reach == Reach::Direct { REFUSED_LIMIT } else { Duration::ZERO };
            if let Some(address) = first_that_answers(&addresses, retry_limit).await {
                let endpoints = if is_headless { addresses } else { Vec::new() };
                return Ok(ServiceRoute { service: service.clone(), host, direct: Some(address), endpoints });
            }
            if reach == Reach::Direct {
                return Err(ClusterError::NotFound(Explained::new(
                    format!(
                        "the runner cannot connect directly to service `{name}` in namespace `{namespace}` ({})",
                        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                    ),
                    format!(
                        "check that its pods are ready (`kubectl -n {namespace} get endpoints {name}`), or use `reach: \
                         port-forward`"
                    ),
                )));
            }
        }
        self.require_endpoints(service, port).await?;
        Ok(ServiceRoute { service: service.clone(), host, direct: None, endpoints: Vec::new() })
    }

    async fn service_object(&self, service: &ServiceAddress) -> Result<Value, ClusterError> {
        let ServiceAddress { name, namespace, .. } = service;
        let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
        match self.raw(&format!("read service {name}"), &path).await {
            Err(ClusterError::NotFound(_)) => {
                self.require_namespace(namespace).await?;
                Err(ClusterError::NotFound(self.no_service(namespace, name).await))
            }
            other => other,
        }
    }

    async fn require_endpoints(&self, service: &ServiceAddress, port: &Value) -> Result<(), ClusterError> {
        if !self.endpoints(service, port).await?.is_empty() {
            return Ok(());
        }
        let ServiceAddress { name, namespace, .. } = service;
        Err(ClusterError::NotFound(Explained::new(
            format!("service `{name}` in namespace `{namespace}` has no ready pod"),
            format!("`kubectl -n {namespace} get endpoints {name}` shows its endpoints"),
        )))
    }

    /// The pods behind a service's port: names, addresses and the port's number there.
    async fn endpoints(
        &self,
        service: &ServiceAddress,
        port: &Value,
    ) -> Result<Vec<(String, SocketAddr)>, ClusterError> {
        let ServiceAddress { name, namespace, .. } = service;
        let path = format!("/api/v1/namespaces/{namespace}/endpoints/{name}");
        let object = match self.raw(&format!("read the endpoints of service {name}"), &path).await {
            Err(ClusterError::NotFound(_)) => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for subset in object["subsets"].as_array().into_iter().flatten() {
            let ports = subset["ports"].as_array().into_iter().flatten();
            let Some(target) =
                ports.clone().find(|candidate| candidate["name"] == port["name"]).or(ports.clone().next())
            else {
                continue;
            };
            let number = target["port"].as_u64().unwrap_or_default() as u16;
            for address in subset["addresses"].as_array().into_iter().flatten() {
                let ip = address["ip"].as_str().and_then(|ip| ip.parse().ok());
                if let (Some(ip), Some(pod)) = (ip, address["targetRef"]["name"].as_str()) {
                    found.push((pod.to_owned(), SocketAddr::new(ip, number)));
                }
            }
        }
        Ok(found)
    }

    async fn endpoint_addresses(
        &self,
        service: &ServiceAddress,
        port: &Value,
    ) -> Result<Vec<SocketAddr>, ClusterError> {
        Ok(self.endpoints(service, port).await?.into_iter().map(|(_, address)| address).collect())
    }

    /// Follows the ready endpoints of a service: `changed` receives all of them once and after every change, until the
    /// returned value is dropped. While the API server does not answer, they stay as they were.
    ///
    /// # Errors
    /// When the service or its port does not exist.
    pub async fn follow(
        &self,
        service: &ServiceAddress,
        mut changed: impl FnMut(&[SocketAddr]) + Send + 'static,
    ) -> Result<Following, ClusterError> {
        let object = self.service_object(service).await?;
        let port = service_port(&object, service)?.clone();
        let (cluster, service) = (self.clone(), service.clone());
        let task = tokio::spawn(async move {
            let mut known: Option<Vec<SocketAddr>> = None;
            loop {
                if let Ok(mut now) = cluster.endpoint_addresses(&service, &port).await {
                    now.sort_unstable();
                    if known.as_ref() != Some(&now) {
                        changed(&now);
                        if let Some(before) = &known {
                            (cluster.notify)(EventKind::Cluster { message: moved(&service, before, &now) });
                        }
                        known = Some(now);
                    }
                }
                tokio::time::sleep(FOLLOW_STEP).await;
            }
        });
        Ok(Following(AbortOnDropHandle::new(task)))
    }

    /// Prepares a port-forward to a service and tests it. It lasts until the returned value is dropped.
    ///
    /// # Errors
    /// When the service or its port does not exist, no ready pod is behind it, or the pods refuse the connection.
    pub async fn forward(&self, service: &ServiceAddress) -> Result<PortForward, ClusterError> {
        let ServiceAddress { name, namespace, .. } = service;
        let object = self.service_object(service).await?;
        let port = service_port(&object, service)?.clone();
        self.require_endpoints(service, &port).await?;
        let pods = ServicePods { cluster: self.clone(), service: service.clone(), port };
        let forwarder = Arc::new(Forwarder::new(pods));
        if !forwarder.answers().await {
            return Err(ClusterError::NotFound(Explained::new(
                format!(
                    "service `{name}` in namespace `{namespace}` refuses every connection, directly and through a port-forward"
                ),
                format!(
                    "check that its pods listen on the service's targetPort (`kubectl -n {namespace} describe service \
                     {name}`) and that this account may create pods/portforward"
                ),
            )));
        }
        Ok(PortForward::new(forwarder))
    }
}

/// The pods behind a service, reached through the API server.
struct ServicePods {
    cluster: Cluster,
    service: ServiceAddress,
    port: Value,
}

impl Pods for ServicePods {
    type Stream = Box<dyn Carried>;

    async fn ready(&self) -> Result<Vec<(String, u16)>, String> {
        let found = self.cluster.endpoints(&self.service, &self.port).await.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|(pod, address)| (pod, address.port())).collect())
    }

    async fn open(&self, pod: &str, port: u16) -> Result<Self::Stream, String> {
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.cluster.client.clone(), &self.service.namespace);
        let mut forwarder = pods.portforward(pod, &[port]).await.map_err(|error| error.to_string())?;
        let stream = forwarder.take_stream(port).ok_or("the API server opened no stream")?;
        Ok(Box::new(stream))
    }

    fn lost(&self, pod: &str) {
        (self.cluster.notify)(EventKind::Cluster {
            message: format!(
                "the port-forward to service {} lost pod {pod} and selects another one",
                self.service.name
            ),
        });
    }
}

fn service_port<'a>(object: &'a Value, service: &ServiceAddress) -> Result<&'a Value, ClusterError> {
    let ports = object["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number: Option<u64> = service.port.parse().ok();
    ports
        .iter()
        .find(|port| match number {
            Some(number) => port["port"].as_u64() == Some(number),
            None => port["name"] == service.port.as_str(),
        })
        .ok_or_else(|| {
            let known: Vec<String> = ports
                .iter()
                .map(|port| match port["name"].as_str() {
                    Some(name) => format!("{} ({name})", port["port"]),
                    None => port["port"].to_string(),
                })
                .collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let ServiceAddress { name, namespace, port } = service;
            ClusterError::NotFound(
                format!("service `{name}` in namespace `{namespace}` has no port `{port}`; it has {known}").into(),
            )
        })
}

/// A service's own addresses, of both families; none for a headless one. A server before 1.20 knows only the first.
fn cluster_addresses(object: &Value, port: u16) -> Vec<SocketAddr> {
    let spec = &object["spec"];
    let several = spec["clusterIPs"].as_array().map_or(std::slice::from_ref(&spec["clusterIP"]), Vec::as_slice);
    let ips = several.iter().filter_map(|ip| ip.as_str()?.parse().ok());
    ips.map(|ip| SocketAddr::new(ip, port)).collect()
}

/// The first address that accepts a connection. While an address refuses, all are tried again until this limit: a
/// service's address refuses until every node knows its first ready pod. An address that does not answer is
/// unreachable.
async fn first_that_answers(addresses: &[SocketAddr], retry_limit: Duration) -> Option<SocketAddr> {
    let begun = Instant::now();
    loop {
        let mut is_refused = false;
        for address in addresses {
            match tokio::time::timeout(DIRECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Some(*address),
                Ok(Err(error)) => is_refused |= error.kind() == io::ErrorKind::ConnectionRefused,
                Err(_) => {}
            }
        }
        if !is_refused || begun.elapsed() >= retry_limit {
            return None;
        }
        tokio::time::sleep(REFUSED_STEP).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn services_are_named_with_their_port() {
        let parsed = |text| parse_service(text, "here").unwrap();
        let address = |name: &str, namespace: &str, port: &str| ServiceAddress {
            name: name.into(),
            namespace: namespace.into(),
            port: port.into(),
        };
        assert_eq!(parsed("shop:80"), address("shop", "here", "80"));
        assert_eq!(parsed("shop.there:http"), address("shop", "there", "http"));
        assert_eq!(parsed("shop.there.svc.cluster.local:80"), address("shop", "there", "80"));
        assert!(parse_service("shop", "here").unwrap_err().contains("shop:80"));
    }

    #[test]
    fn a_dual_stack_service_has_an_address_of_each_family() {
        let of = |spec: Value| -> Vec<String> {
            cluster_addresses(&serde_json::json!({"spec": spec}), 80).iter().map(ToString::to_string).collect()
        };
        let both = serde_json::json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"]});
        assert_eq!(of(both), ["10.96.0.7:80", "[fd00::7]:80"]);
        assert_eq!(of(serde_json::json!({"clusterIP": "10.96.0.7"})), ["10.96.0.7:80"]);
        let headless = serde_json::json!({"clusterIP": "None", "clusterIPs": ["None"]});
        assert_eq!(of(headless), [""; 0]);
    }

    /// A dual-stack service whose first address is unreachable from here.
    #[tokio::test]
    async fn the_second_family_is_tried_as_well() {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
        let port = listener.local_addr().unwrap().port();
        let both = serde_json::json!({"spec": {"clusterIPs": ["127.0.0.1", "::1"]}});
        let found = first_that_answers(&cluster_addresses(&both, port), Duration::ZERO).await;
        assert_eq!(found, Some(SocketAddr::new("::1".parse().unwrap(), port)));
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let addresses = [address];
        drop(listener);
        assert_eq!(first_that_answers(&addresses, Duration::ZERO).await, None);
        // The first attempt is made before the port is open.
        let asked = first_that_answers(&addresses, Duration::from_secs(60));
        let (found, _listener) = tokio::join!(asked, async { TcpListener::bind(address).await.unwrap() });
        assert_eq!(found, Some(address));
    }
}
