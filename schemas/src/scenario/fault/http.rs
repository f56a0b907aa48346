//! `http`: aborts, delays or answers HTTP requests to the target pods.

use super::kind::{ChaosMesh, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::check::inside::wrong;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::Duration;

fault! {
    /// Acts on HTTP requests to a port of the target pods, through a proxy that Chaos Mesh adds to each pod. At least
    /// one of `abort`, `delay` and `status`. Only new connections are affected, and HTTPS is not. Needs Chaos Mesh.
    pub struct HttpFault {
        /// The port on which the target pods serve.
        #[schemars(range(min = 1), extend("examples" = [8000]))]
        pub port: u16,
        /// Only requests with this path. `*` matches any text. Default: all paths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["/v1/*"]))]
        pub path: Option<String>,
        /// Only requests with this method. Default: all methods.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["POST"]))]
        pub method: Option<String>,
        /// Abort the connection. Default `false`.
        #[serde(default)]
        pub abort: bool,
        /// Delay each answer by this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delay: Option<Duration>,
        /// Answer with this status code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 100, max = 599), extend("examples" = [503]))]
        pub status: Option<u16>,
    }
    pods, own, follow, prove {
        /// Only Chaos Mesh reports that this fault acts. With `auto`, a change in the run's own requests proves it; otherwise
        /// it is claimed, not proven. `strict` and `traffic` require that change, and `applied` does not look for it.
    }, after, lasts,
}

impl FaultKind for HttpFault {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh::inside("httpchaos"))],
        sandbox: Sandbox::Modelled,
        rules: &[Rule::Some(&["abort", "delay", "status"])],
        not_settings: &[],
        link: between,
        confirmed_by: "",
        observed_by: "",
        unfelt_because: ", or the connections are older than the fault, or do not come through the pods' network (a \
                         port-forward)",
        ends: Ends::Nothing,
        cuts_links: false,
        reads_usage: false,
        shifts_clocks: false,
        example: "{pods: {labels: {app: web}}, port: 8000, path: /v1/*, status: 503}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        if self.port == 0 {
            wrong(&format!("{path}.port"), "a port is a number from 1 to 65535", "write `port: 8000`", findings);
        }
        if !self.abort && self.delay.is_none() && self.status.is_none() && !findings.map.gone(path) {
            let help = "write one of `abort: true`, `delay: 2s` and `status: 503`";
            wrong(path, "this fault does not change the requests", help, findings);
        }
        if self.abort && (self.delay.is_some() || self.status.is_some()) {
            let path = format!("{path}.abort");
            wrong(&path, "an aborted connection has no answer to delay or to change", "keep one of them", findings);
        }
        if self.delay.is_some_and(|delay| delay.is_zero()) {
            wrong(&format!("{path}.delay"), "`delay` is zero", "write `delay: 2s`", findings);
        }
        if let Some(status) = self.status.filter(|status| !(100..=599).contains(status)) {
            let path = format!("{path}.status");
            findings.push(
                &path,
                Diagnostic::error(Code::Request, format!("HTTP has no status {status}")).help("write `status: 503`"),
            );
        }
        if let Some(method) = &self.method
            && (method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()))
        {
            findings.push(
                &format!("{path}.method"),
                Diagnostic::error(Code::Request, format!("`{method}` is not a method")).help(format!(
                    "write it in capital letters, such as `{}`",
                    if method.is_empty() { "POST".to_owned() } else { method.to_ascii_uppercase() }
                )),
            );
        }
        if self.path.as_deref().is_some_and(|path| !path.starts_with('/')) {
            findings.push(
                &format!("{path}.path"),
                Diagnostic::error(Code::Request, "a path begins with `/`").help("write `path: /v1/*`"),
            );
        }
    }

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
