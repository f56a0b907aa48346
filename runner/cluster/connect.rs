//! Finding a cluster and saying hello to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use shakedown_schemas::result::ClusterInfo;

use super::{Cluster, ClusterError, error::chain, transport};

/// Which cluster, by kubectl's rules.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// The kubeconfig's path; else `KUBECONFIG`, else `~/.kube/config`, else the in-cluster configuration.
    pub kubeconfig: Option<PathBuf>,
    /// A kubeconfig's text, instead of any file.
    pub kubeconfig_text: Option<String>,
    /// The context; else the kubeconfig's current one.
    pub context: Option<String>,
}

/// Connects and asks for the version, within 10 s.
///
/// # Errors
/// When no cluster is configured, it does not answer, or it refuses us.
pub async fn connect(options: &ConnectOptions) -> Result<Cluster, ClusterError> {
    let (config, context) = configuration(options).await?;
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let default_namespace = config.default_namespace.clone();
    let client = transport::client(options.clone(), config)?;
    let unreachable = |cause: String| ClusterError::Unreachable { server: server.clone(), cause };
    let version = match tokio::time::timeout(Duration::from_secs(10), client.apiserver_version()).await {
        Err(_) => return Err(unreachable("no answer within 10 s".to_owned())),
        Ok(Err(kube::Error::Api(status))) => {
            return Err(ClusterError::from_kube("ask for its version", &kube::Error::Api(status)));
        }
        Ok(Err(error)) => return Err(unreachable(chain(&error))),
        Ok(Ok(version)) => version.git_version,
    };
    let info = ClusterInfo {
        sandbox: version.contains("shakedown-sandbox"),
        context: context.filter(|_| !version.contains("shakedown-sandbox")),
        server,
        version,
    };
    Ok(Cluster {
        client,
        info,
        default_namespace,
        notify: Arc::new(|_| {}),
        journal: None,
        patience: super::PATIENCE,
        unclear: Arc::default(),
    })
}

/// Reads the configuration, and which context it is. It is read again when the server does not know us any more: files
/// and plugins may have new credentials by then.
pub(super) async fn configuration(options: &ConnectOptions) -> Result<(kube::Config, Option<String>), ClusterError> {
    let not_configured = |error: &dyn std::error::Error| ClusterError::NotConfigured(chain(error));
    let context = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let named = match (&options.kubeconfig_text, &options.kubeconfig) {
        (Some(text), _) => Some(Kubeconfig::from_yaml(text).map_err(|error| not_configured(&error))?),
        (None, Some(path)) => Some(Kubeconfig::read_from(path).map_err(|error| not_configured(&error))?),
        (None, None) => None,
    };
    let mut shown_context = options.context.clone();
    let mut config = match named {
        Some(kubeconfig) => {
            shown_context = shown_context.or_else(|| kubeconfig.current_context.clone());
            kube::Config::from_custom_kubeconfig(kubeconfig, &context).await.map_err(|error| not_configured(&error))?
        }
        None if options.context.is_some() => {
            kube::Config::from_kubeconfig(&context).await.map_err(|error| not_configured(&error))?
        }
        None => {
            shown_context = Kubeconfig::read().ok().and_then(|kubeconfig| kubeconfig.current_context);
            kube::Config::infer().await.map_err(|error| not_configured(&error))?
        }
    };
    // Retries are ours: bounded, and visible in the events.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok((config, shown_context))
}
