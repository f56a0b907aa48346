//! Selects the cluster and its configuration by kubectl's rules.

mod credentials;
pub(crate) mod kubeconfig;
mod plugin;
mod proxy;

use std::time::Duration;

use kube::config::ExecAuthCluster;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use self::kubeconfig::Selection;
use super::error::{ClusterError, chain};
use super::options::ConnectOptions;

/// The configuration, and the name of its context. The transport calls it again when the server refuses the credentials:
/// files and plugins may have new ones by then.
///
/// # Errors
/// When no cluster is configured, the kubeconfig is invalid, or the credentials cannot be obtained.
pub(super) async fn configuration(options: &ConnectOptions) -> Result<(kube::Config, Option<String>), ClusterError> {
    let selection = match kubeconfig::read(options)? {
        Some(read) => kubeconfig::select(read, options.context.as_deref())?,
        None => None,
    };
    let (mut config, proxy_url, context) = match selection {
        Some(selection) => of_context(selection)?,
        None => (in_cluster(options)?, None, None),
    };
    config.auth_info = credentials::resolve(config.auth_info).await?;
    config.proxy_url = proxy::proxy(&config.cluster_url, proxy_url.as_deref(), |name| std::env::var(name).ok())
        .map_err(|error| ClusterError::Kubeconfig(error.into()))?;
    // Retries are ours: bounded, and visible in the events.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok((config, context))
}

/// A context's configuration, its `proxy-url` and its name.
fn of_context(selection: Selection) -> Result<(kube::Config, Option<String>, Option<String>), ClusterError> {
    let Selection { context, namespace, cluster, mut user } = selection;
    let wrong = |what: &str, error: &dyn std::error::Error| {
        ClusterError::Kubeconfig(format!("the {what} of context `{context}` cannot be used: {}", chain(error)).into())
    };
    let server = cluster.server.as_deref().unwrap_or_default();
    let mut config = kube::Config::new(server.parse().map_err(|error| wrong("server address", &error))?);
    if let Some(path) = &cluster.certificate_authority {
        kubeconfig::regular(path.as_ref()).map_err(|error| ClusterError::Kubeconfig(error.into()))?;
    }
    // The certificates are decoded here. A plugin with `provideClusterInfo` receives this configuration.
    let decoded = ExecAuthCluster::try_from(&cluster).map_err(|error| wrong("certificate authority", &error))?;
    if let Some(pem) = &decoded.certificate_authority_data {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem).map(|der| der.map(|der| der.to_vec())).collect();
        config.root_cert = Some(certificates.map_err(|error| wrong("certificate authority", &error))?);
    }
    if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(decoded);
    }
    config.default_namespace = namespace.unwrap_or(config.default_namespace);
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
    config.disable_compression = cluster.disable_compression.unwrap_or_default();
    config.tls_server_name = cluster.tls_server_name.filter(|name| !name.is_empty());
    config.auth_info = user;
    Ok((config, cluster.proxy_url, Some(context)))
}

/// The configuration of a pod.
fn in_cluster(options: &ConnectOptions) -> Result<kube::Config, ClusterError> {
    let asked = options.kubeconfig.is_some() || options.kubeconfig_text.is_some() || options.context.is_some();
    if !asked && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return kube::Config::incluster().map_err(|error| ClusterError::NotConfigured(chain(&error)));
    }
    Err(ClusterError::NotConfigured(match (&options.kubeconfig, std::env::var("KUBECONFIG")) {
        (Some(path), _) => format!("{} has no contexts", path.display()),
        (None, Ok(list)) if !list.is_empty() => format!("no file of KUBECONFIG={list} has a context"),
        (None, _) => "KUBECONFIG is not set and ~/.kube/config has no context".to_owned(),
    }))
}
