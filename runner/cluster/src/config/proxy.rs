//! The proxy between the runner and the API server.
//!
//! A kubeconfig's `proxy-url` always applies. Else the environment decides by the rules of Go's `httpproxy` package, which
//! kubectl uses: `HTTPS_PROXY` or `HTTP_PROXY` by the server's scheme, except for loopback addresses and `NO_PROXY`.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// The proxy for a server, or none. `variable` reads the environment.
///
/// # Errors
/// A sentence when the proxy's address cannot be parsed or its scheme is not supported.
pub(super) fn proxy(
    server: &Uri,
    proxy_url: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, String> {
    if let Some(url) = proxy_url.filter(|url| !url.is_empty()) {
        return parse(url, "proxy-url").map(Some);
    }
    let either = |upper: &'static str, lower: &'static str| {
        [upper, lower].into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))
    };
    let configured = match server.scheme_str() {
        Some("http") => either("HTTP_PROXY", "http_proxy"),
        _ => either("HTTPS_PROXY", "https_proxy"),
    };
    let Some((name, url)) = configured else { return Ok(None) };
    let exceptions = either("NO_PROXY", "no_proxy").map(|(_, list)| list).unwrap_or_default();
    if is_exempt(server, &exceptions) { Ok(None) } else { parse(&url, name).map(Some) }
}

fn parse(url: &str, name: &str) -> Result<Uri, String> {
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    // The connection to a SOCKS proxy hands it the name in both forms.
    let full = full.strip_prefix("socks5h://").map_or(full.clone(), |rest| format!("socks5://{rest}"));
    // The address may hold a password.
    let uri: Uri = full.parse().map_err(|_| format!("the address in {name} is not a URL"))?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5") if uri.host().is_some() => Ok(uri),
        Some(scheme) => Err(format!("{name} has the scheme `{scheme}`, but a proxy needs http, https or socks5")),
        None => Err(format!("the address in {name} is not a URL")),
    }
}

/// Whether requests to a server bypass the proxies of the environment.
fn is_exempt(server: &Uri, exceptions: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Ok(block) = entry.parse::<IpNet>() {
            return address.is_some_and(|address| block.contains(&address));
        }
        let (name, wanted) = with_port(&entry);
        if name.is_empty() || wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        match name.parse::<IpAddr>() {
            Ok(other) => address == Some(other),
            Err(_) => matches_domain(&host, name),
        }
    })
}

/// An entry's host and port. An IPv6 address with a port is in brackets.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    if entry.parse::<IpAddr>().is_ok() {
        return (entry, None);
    }
    match entry.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host.trim_matches(['[', ']']), Some(port)),
        None => (entry.trim_matches(['[', ']']), None),
    }
}

/// `example.com` matches the domain and what is below it; `.example.com` and `*.example.com` only what is below it.
fn matches_domain(host: &str, entry: &str) -> bool {
    let below = entry.strip_prefix('*').unwrap_or(entry);
    match below.strip_prefix('.') {
        Some(_) => host.ends_with(below),
        None => host == below || host.strip_suffix(below).is_some_and(|rest| rest.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(server: &str, proxy_url: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| variables.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        Ok(proxy(&server.parse().unwrap(), proxy_url, variable)?.map(|uri| uri.to_string()))
    }

    #[test]
    fn the_environment_decides_as_in_kubectl() {
        const P: &str = "http://proxy:3128";
        let server = "https://api.example.com:6443";
        for (case, server, variables, expected) in [
            ("none", server, vec![], false),
            ("upper case", server, vec![("HTTPS_PROXY", P)], true),
            ("lower case", server, vec![("https_proxy", P)], true),
            ("an empty one", server, vec![("HTTPS_PROXY", "")], false),
            ("the other scheme", server, vec![("HTTP_PROXY", P)], false),
            ("plain HTTP", "http://api.example.com", vec![("http_proxy", P)], true),
            ("localhost", "https://localhost:6443", vec![("HTTPS_PROXY", P)], false),
            ("loopback", "https://127.0.0.2:6443", vec![("HTTPS_PROXY", P)], false),
            ("loopback of IPv6", "https://[::1]:6443", vec![("HTTPS_PROXY", P)], false),
        ] {
            assert_eq!(of(server, None, &variables).unwrap().is_some(), expected, "{case}");
        }
    }

    #[test]
    fn exceptions_name_domains_addresses_blocks_and_ports() {
        let exempt = |server: &str, list: &str| is_exempt(&server.parse().unwrap(), list);
        for (list, server, expected) in [
            ("", "https://api.example.com", false),
            ("*", "https://api.example.com", true),
            ("example.com", "https://api.example.com", true),
            ("example.com", "https://example.com", true),
            ("example.com", "https://badexample.com", false),
            (".example.com", "https://example.com", false),
            ("*.example.com", "https://API.example.com", true),
            ("a.b, .svc", "https://kubernetes.default.svc", true),
            ("example.com:6443", "https://api.example.com:6443", true),
            ("example.com:443", "https://api.example.com:6443", false),
            ("example.com:443", "https://api.example.com", true),
            ("10.0.0.0/8", "https://10.1.2.3:6443", true),
            ("10.0.0.0/8", "https://11.1.2.3:6443", false),
            ("10.1.2.3", "https://10.1.2.3", true),
            ("10.1.2.3:6443", "https://10.1.2.3:443", false),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("fd00::1", "https://[fd00::1]:6443", true),
        ] {
            assert_eq!(exempt(server, list), expected, "{list} {server}");
        }
    }

    #[test]
    fn the_kubeconfig_goes_before_the_environment() {
        let variables = [("HTTPS_PROXY", "http://other:1"), ("NO_PROXY", "*")];
        let uri = of("https://localhost:6443", Some("socks5h://proxy:1080"), &variables).unwrap();
        assert_eq!(uri.as_deref(), Some("socks5://proxy:1080/"));
        assert_eq!(of("https://a", Some("proxy:3128"), &[]).unwrap().as_deref(), Some("http://proxy:3128/"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_without_its_password() {
        let error = of("https://a", Some("ftp://me:hunter2@proxy"), &[]).unwrap_err();
        assert!(error.contains("`ftp`") && !error.contains("hunter2"), "{error}");
        let error = of("https://a", None, &[("HTTPS_PROXY", "http://me:hunter2@pro xy")]).unwrap_err();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("hunter2"), "{error}");
    }
}
