//! Checks of the transport of requests.

use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Connections, HttpVersion, Load, Scheme, TlsOptions};

/// The largest number of streams on one connection. No server allows more.
const MAX_STREAMS: u32 = 10_000;

pub(super) fn check(path: &str, load: &Load, findings: &mut Findings<'_>) {
    if let Some(streams) = load.streams {
        let at = format!("{path}.streams");
        if load.version != Some(HttpVersion::Http2) && !findings.map.damaged(&format!("{path}.version")) {
            findings.push_at_key(
                &at,
                Diagnostic::error(Code::Transport, "`streams` is for HTTP/2: HTTP/1.1 has one request on a connection")
                    .help("add `version: http2`, or remove it"),
            );
        } else if load.connections == Some(Connections::PerRequest) {
            findings.push_at_key(
                &at,
                Diagnostic::error(Code::Transport, "`streams` has no effect if each request opens its own connection")
                    .help("remove it, or `connections: per_request`"),
            );
        }
        if !(1..=MAX_STREAMS).contains(&streams) {
            findings.push(
                &at,
                Diagnostic::error(Code::LoadLimit, format!("`streams` is {streams}, outside 1 to {MAX_STREAMS}"))
                    .help("write `streams: 100`"),
            );
        }
    }
    if let Some(it) = &load.tls {
        let plain = load.all_sent().first().map(|sent| sent.info().facts.schemes);
        tls(&format!("{path}.tls"), it, load.url().zip(plain), findings);
    }
}

fn tls(path: &str, it: &TlsOptions, url: Option<(&str, [Scheme; 2])>, findings: &mut Findings<'_>) {
    if let Some((rest, [plain, tls])) = url.and_then(|(url, schemes)| Some((schemes[0].strip(url)?, schemes))) {
        findings.push_at_key(
            path,
            Diagnostic::error(Code::Transport, format!("a URL with `{}://` does not use TLS", plain.name))
                .help(format!("write `url: {}://{rest}`, or remove `tls`", tls.name)),
        );
    }
    for (key, other, given, has_other) in
        [("cert", "key", it.cert.is_some(), it.key.is_some()), ("key", "cert", it.key.is_some(), it.cert.is_some())]
    {
        if given && !has_other && !findings.map.gone(path) {
            findings.push_at_key(
                &format!("{path}.{key}"),
                Diagnostic::error(Code::Transport, format!("`{key}` needs `{other}`"))
                    .help(format!("add `{other}: client.pem`")),
            );
        }
    }
    let pem = [
        (&it.ca, "ca", "CERTIFICATE-----"),
        (&it.cert, "cert", "CERTIFICATE-----"),
        (&it.key, "key", "PRIVATE KEY-----"),
    ];
    for (file, key, mark) in pem {
        let Some(file) = file else { continue };
        let path = format!("{path}.{key}");
        let Some(bytes) = findings.read(&path, file) else { continue };
        if !bytes.windows(mark.len()).any(|window| window == mark.as_bytes()) {
            let what = if key == "key" { "private key" } else { "certificate" };
            findings.push(
                &path,
                Diagnostic::error(Code::File, format!("there is no {what} in `{file}`"))
                    .help(format!("a PEM file has a line `-----BEGIN {mark}`")),
            );
        }
    }
    if let Some(name) = it.server_name.as_deref().filter(|name| !is_host(name)) {
        findings.push(
            &format!("{path}.server_name"),
            Diagnostic::error(Code::Transport, format!("`{name}` is not the name of a server"))
                .help("write a host name or an address, without a scheme and a port"),
        );
    }
    if it.insecure {
        for key in ["ca", "server_name"] {
            if findings.map.has(&format!("{path}.{key}")) {
                findings.push_at_key(
                    &format!("{path}.{key}"),
                    Diagnostic::error(
                        Code::Transport,
                        format!("`{key}` has no effect with `insecure`, which trusts every server"),
                    )
                    .help("remove one of them"),
                );
            }
        }
        let load = path.trim_start_matches("load.").trim_end_matches(".tls");
        findings.push(
            &format!("{path}.insecure"),
            Diagnostic::warning(
                Code::Transport,
                format!("load {load} trusts every server: the server's certificate is not verified (`insecure`)"),
            )
            .help("name the CA certificate to trust: `ca: ca.pem`"),
        );
    }
}

fn is_host(name: &str) -> bool {
    let is_name = name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        });
    is_name || name.parse::<std::net::IpAddr>().is_ok()
}
