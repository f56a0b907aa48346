//! Finds a cluster and checks that it answers.

use std::sync::Arc;
use std::time::Duration;

use shakedown_schemas::result::ClusterInfo;

use super::capabilities::{Capabilities, is_sandbox};
use super::config::configuration;
use super::options::ConnectOptions;
use super::{Cluster, ClusterError, error::chain, transport};

/// Connects and reads the server's version, within 10 s.
///
/// # Errors
/// If no cluster is configured, or the cluster does not answer or refuses the request.
pub async fn connect(options: &ConnectOptions) -> Result<Cluster, ClusterError> {
    let (config, context) = configuration(options).await?;
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let default_namespace = config.default_namespace.clone();
    // Credentials are read again for this context, even if the current context has changed by then.
    let chosen = ConnectOptions { context: context.clone().or_else(|| options.context.clone()), ..options.clone() };
    let client = transport::client(chosen, config)?;
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
        sandbox: is_sandbox(&version),
        context: context.filter(|_| !is_sandbox(&version)),
        server,
        version,
        topology: None,
    };
    Ok(Cluster {
        client,
        capabilities: Capabilities::of(&info.version),
        info,
        default_namespace,
        flags: options.flags(),
        notify: Arc::new(|_| {}),
        journal: None,
        retry_limit: super::RETRY_LIMIT,
        ledger: Arc::default(),
        part: 0,
    })
}
