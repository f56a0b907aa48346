//! Checks of a load's target.

use crate::check::{Findings, dns_label, is_dns_label};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Reach, Scheme};

/// Checks a `service` or a `url`, exactly one of which is given.
pub(crate) fn target(
    path: &str,
    service: Option<&str>,
    url: Option<&str>,
    schemes: [Scheme; 2],
    reach: Option<Reach>,
    findings: &mut Findings<'_>,
) {
    match (service, url) {
        (None, None) => findings.push(
            path,
            Diagnostic::error(Code::ExactlyOne, "this load has no target").help(format!(
                "write `service: name:port` for a service of the cluster, or `url: {}://host:port`",
                schemes[0].name
            )),
        ),
        (Some(_), Some(_)) => findings.push_at_key(
            &format!("{path}.url"),
            Diagnostic::error(Code::ExactlyOne, "this load has both `service` and `url`").help("keep one of them"),
        ),
        (Some(text), None) => service_address(&format!("{path}.service"), text, findings),
        (None, Some(text)) => {
            url_address(&format!("{path}.url"), text, schemes, findings);
            if reach.is_some() {
                findings.push_at_key(
                    &format!("{path}.reach"),
                    Diagnostic::error(Code::ExactlyOne, "`reach` is for `service`; a `url` is always reached directly")
                        .help("remove it"),
                );
            }
        }
    }
}

/// `name:port` or `name.namespace:port`, the port by number or name.
fn service_address(path: &str, text: &str, findings: &mut Findings<'_>) {
    if text.contains("://") {
        return findings.push(
            path,
            Diagnostic::error(Code::Service, "`service` needs a name, and this is a URL")
                .help(format!("write `url: {text}`")),
        );
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return findings.push(
            path,
            Diagnostic::error(Code::Service, format!("the service `{text}` has no port")).help(
                match within_cluster(text) {
                    Some(name) => format!("write `service: \"{name}:80\"`"),
                    None => format!("write `service: \"{text}:80\"`"),
                },
            ),
        );
    };
    let numbered = port.bytes().all(|b| b.is_ascii_digit());
    let good_port =
        if numbered { port.parse::<u16>().is_ok_and(|port| port > 0) } else { port.len() <= 15 && is_dns_label(port) };
    if !good_port {
        findings.push(
            path,
            Diagnostic::error(Code::Service, format!("`{port}` is not a port"))
                .help("write a number from 1 to 65535, or the name of the service's port"),
        );
    }
    if let Some(name) = within_cluster(host) {
        return findings.push(
            path,
            Diagnostic::error(Code::Service, format!("`{host}` is not a service"))
                .help(format!("write `service: \"{name}:{port}\"`")),
        );
    }
    let parts: Vec<&str> = host.split('.').collect();
    match parts.as_slice() {
        [name] => dns_label(name, "service", path, findings),
        [name, namespace] => {
            dns_label(name, "service", path, findings);
            dns_label(namespace, "namespace", path, findings);
        }
        _ => findings.push(
            path,
            Diagnostic::error(Code::Service, format!("`{host}` is not a service"))
                .help("write `name:port`, or `name.namespace:port`; use `url` for any other host"),
        ),
    }
}

/// The name of a service in the notations of DNS and of kubectl: `shop.prod` of `shop.prod.svc.cluster.local` and `prod/shop`.
fn within_cluster(host: &str) -> Option<String> {
    let is_name = |text: &str| text.split('.').count() <= 2 && text.split('.').all(is_dns_label);
    let name = match host.split_once('/') {
        Some((namespace, name)) => format!("{}.{namespace}", name.trim_start_matches("service/")),
        None => host.strip_suffix(".svc").or_else(|| host.strip_suffix(".svc.cluster.local"))?.to_owned(),
    };
    is_name(&name).then_some(name)
}

/// The help for an environment variable, which scenarios do not read.
fn of_shell(text: &str) -> Option<String> {
    let (before, behind) = text.split_once("${")?;
    let (name, rest) = behind.split_once('}')?;
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name = Some(name).filter(|name| is_name(name))?;
    let var = name.to_ascii_lowercase();
    Some(format!(
        "write `\"{before}{{{{ {var} }}}}{rest}\"` with `vars: {{{var}: http://127.0.0.1:8080}}`, and give it with \
         `--var {var}=\"${name}\"`"
    ))
}

/// Checks a URL of one of these schemes.
pub(crate) fn url_address(path: &str, text: &str, schemes: [Scheme; 2], findings: &mut Findings<'_>) {
    let [plain, tls] = schemes.map(|it| it.name);
    let name = plain.to_uppercase();
    let wrong = || {
        let article = if name.starts_with('H') { "an" } else { "a" };
        Diagnostic::error(Code::Url, format!("`{text}` is not {article} {name} URL"))
    };
    let lower = text.to_ascii_lowercase();
    let found = schemes.iter().find_map(|scheme| Some((scheme, scheme.strip(&lower)?)));
    let Some((scheme, rest)) = found else {
        return findings.push(
            path,
            wrong().help(if let Some(help) = of_shell(text) {
                help
            } else if text.contains("://") {
                format!("use `{plain}://` or `{tls}://`")
            } else {
                format!("write `{plain}://{text}`")
            }),
        );
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_port = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host_port.strip_prefix('[') {
        // An IPv6 address is in brackets.
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, port.strip_prefix(':')),
            _ => ("", None),
        },
        None => match host_port.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, None),
        },
    };
    let bad_host = host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control());
    let has_port = match port {
        Some(port) => port.parse::<u16>().is_ok_and(|port| port > 0),
        None => scheme.port.is_some(),
    };
    if bad_host || !has_port {
        findings.push(path, wrong().help(format!("write `{plain}://host:port`")));
    } else if !host.is_ascii() {
        findings.push(
            path,
            Diagnostic::error(Code::Url, format!("the host `{host}` has letters that DNS does not have"))
                .help("write it in Punycode, such as `xn--bcher-kva.example` for `bücher.example`"),
        );
    } else if !rest.is_ascii() {
        findings.push(
            path,
            Diagnostic::error(Code::Url, "the path has letters that a URL does not have")
                .help("write them percent-encoded in UTF-8, such as `%C3%BC` for `ü`"),
        );
    } else if authority.contains('@') {
        findings.push(
            path,
            Diagnostic::error(Code::Url, "a password in a URL would appear in every report")
                .help("send it as a header, such as `headers: {Authorization: \"{{ token }}\"}`"),
        );
    } else if rest.contains(['?', '#']) {
        findings.push(
            path,
            Diagnostic::error(Code::Url, "a base URL has no `?` or `#`")
                .help("remove it; put the query of an `http` load into its `path`, such as `path: /search?q=1`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Map;
    use crate::files::Reader;
    use crate::source::{Node, Span, Value};

    #[test]
    fn a_scheme_without_a_default_port_needs_one_in_its_urls() {
        let schemes = [Scheme { name: "tcp", port: None }, Scheme { name: "tls", port: Some(853) }];
        for (text, help) in [
            ("tcp://h:53", None),
            ("tls://h", None),
            ("TCP://h:53", None),
            ("tcp://h", Some("write `tcp://host:port`")),
            ("http://h:53", Some("use `tcp://` or `tls://`")),
            ("h:53", Some("write `tcp://h:53`")),
        ] {
            let tree = Node { span: Span::default(), value: Value::Map(Vec::new()) };
            let (map, reader) = (Map::new(&tree, &[]), Reader::of_scenario(""));
            let mut findings = Findings { map: &map, found: Vec::new(), reader };
            url_address("url", text, schemes, &mut findings);
            let helps: Vec<&str> = findings.found.iter().filter_map(|it| it.help.as_deref()).collect();
            assert_eq!(helps, help.into_iter().collect::<Vec<_>>(), "{text}");
        }
    }
}
