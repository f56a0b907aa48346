//! The errors of a cluster, with messages that name the next step.

use std::fmt;
use std::time::Duration;

use shakedown_schemas::Explained;

/// A request to the cluster failed.
#[derive(Debug)]
pub enum ClusterError {
    /// No cluster is configured.
    NotConfigured(String),
    /// The kubeconfig or the proxy that it names is invalid.
    Kubeconfig(Explained),
    /// No credentials could be obtained.
    Credentials(Explained),
    /// The API server does not accept the credentials.
    Unauthenticated {
        /// What was tried.
        action: String,
        /// The server's words.
        message: String,
    },
    /// The API server does not answer.
    Unreachable {
        /// The API server's address.
        server: String,
        /// The cause.
        cause: String,
    },
    /// The account has no permission.
    Forbidden {
        /// The action.
        action: String,
        /// The server's words.
        message: String,
    },
    /// The object does not exist.
    NotFound(Explained),
    /// The requested version is older than the server's history.
    Expired(String),
    /// The object already exists, or another client changed it.
    Conflict {
        /// The action.
        action: String,
        /// The server's words.
        message: String,
    },
    /// The answer took too long.
    Timeout {
        /// The action.
        action: String,
        /// How long we waited.
        limit: Duration,
    },
    /// The server is overloaded and says when to try again.
    Busy {
        /// The action.
        action: String,
        /// The server's words.
        message: String,
        /// The wait that it asks for.
        wait: Duration,
    },
    /// The outcome is unknown: the connection ended before the answer, or an intermediate server answered. The request may
    /// have been carried out, or may still be.
    Unclear {
        /// The action.
        action: String,
        /// The server's or the connection's words.
        message: String,
        /// The wait that it asks for.
        wait: Duration,
    },
    /// Any other error of the server or the connection.
    Other {
        /// The action.
        action: String,
        /// The server's or the connection's words.
        message: String,
        /// Whether the same request may succeed later.
        transient: bool,
    },
}

impl ClusterError {
    /// Converts kube's error. `action` completes "could not ...".
    pub(super) fn from_kube(action: &str, error: &kube::Error) -> Self {
        let action = action.to_owned();
        match error {
            kube::Error::Api(status) => {
                let message = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
                let wait = retry_after(status);
                if is_unclear(status) {
                    return Self::Unclear { action, message, wait: wait.unwrap_or_default() };
                }
                if let Some(wait) = wait {
                    return Self::Busy { action, message, wait };
                }
                match status.code {
                    401 => Self::Unauthenticated { action, message },
                    403 => Self::Forbidden { action, message },
                    404 => Self::NotFound(message.into()),
                    410 => Self::Expired(message),
                    409 => Self::Conflict { action, message },
                    code => Self::Other { action, message, transient: code == 429 || code >= 500 },
                }
            }
            kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => {
                Self::Other { action, message: error.to_string(), transient: false }
            }
            other if was_refused(other) => Self::Other { action, message: chain(other), transient: true },
            other => Self::Unclear { action, message: chain(other), wait: Duration::ZERO },
        }
    }

    /// The message and the next step.
    pub fn explained(&self) -> Explained {
        match self {
            Self::NotConfigured(cause) => Explained::new(
                format!("no cluster is configured: {cause}"),
                "set KUBECONFIG or give --kubeconfig and --context, or use --sandbox to run without a cluster",
            ),
            Self::Kubeconfig(cause) => cause.clone().about("the kubeconfig cannot be used"),
            Self::Credentials(cause) => cause.clone().about("there are no credentials for the cluster"),
            Self::Unauthenticated { action, message } => Explained::new(
                format!("could not {action}: the cluster does not accept the credentials: {message}"),
                "log in again; `kubectl config view --minify` shows the user of this context",
            ),
            Self::Unreachable { server, cause } => Explained::new(
                format!("the cluster at {server} does not answer: {cause}"),
                "check that it runs and that `kubectl --request-timeout 5s version` answers, or use --sandbox to run without \
                 a cluster",
            ),
            Self::Forbidden { action, message } => Explained::new(
                format!("this account may not {action}: {message}"),
                "`kubectl auth can-i` shows the permissions of this account; grant it a Role that allows this",
            ),
            Self::NotFound(what) => what.clone(),
            Self::Expired(message) => message.as_str().into(),
            Self::Timeout { action, limit } => {
                format!("could not {action}: the API server did not answer within {limit:?}").into()
            }
            Self::Busy { action, message, wait } => {
                format!("could not {action}: {message} (asked to wait for {} s)", wait.as_secs()).into()
            }
            Self::Conflict { action, message }
            | Self::Unclear { action, message, .. }
            | Self::Other { action, message, .. } => format!("could not {action}: {message}").into(),
        }
    }

    /// Whether the request may have been carried out, or may still be, without an answer.
    pub const fn is_unclear(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unclear { .. })
    }

    /// Whether the same request may succeed when it is sent again.
    pub const fn is_transient(&self) -> bool {
        self.is_unclear() || matches!(self, Self::Busy { .. } | Self::Other { transient: true, .. })
    }

    /// The wait that the server asks for before the next attempt. Zero if it asks for none.
    pub const fn wait(&self) -> Duration {
        match self {
            Self::Busy { wait, .. } | Self::Unclear { wait, .. } => *wait,
            _ => Duration::ZERO,
        }
    }

    /// Whether the object is not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.explained().fmt(out)
    }
}

impl From<ClusterError> for Explained {
    fn from(error: ClusterError) -> Self {
        error.explained()
    }
}

impl std::error::Error for ClusterError {}

/// True when the outcome of the failed request is unknown. An overloaded server (429, 503) refuses before it starts,
/// and webhooks run before anything is stored.
fn is_unclear(status: &kube::core::Status) -> bool {
    status.code >= 500 && status.code != 503 && !status.message.contains("webhook")
}

/// Whether nothing was sent, because the connection was refused.
fn was_refused(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The retry time of an overloaded server; `transport` stores the header `Retry-After` here.
fn retry_after(status: &kube::core::Status) -> Option<Duration> {
    let seconds = status.details.as_ref()?.retry_after_seconds;
    let overloaded = status.code == 429 || status.code >= 500;
    (overloaded && seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// An error with its causes, which usually explain it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
