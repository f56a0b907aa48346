//! Checks of what is done inside pods.

use super::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{ContainerKill, DnsFault, HttpFault, IoFault, PodKill, Stress};

fn wrong(path: &str, message: impl Into<String>, help: &str, findings: &mut Findings<'_>) {
    findings.push(path, Diagnostic::error(Code::Degradation, message).help(help));
}

pub(super) fn pod_kill(path: &str, kill: &PodKill, findings: &mut Findings<'_>) {
    if kill.grace_period.is_some_and(|grace| grace.get().subsec_nanos() != 0) {
        let path = format!("{path}.grace_period");
        wrong(&path, "Kubernetes counts grace periods in whole seconds", "write whole seconds, such as `5s`", findings);
    }
}

pub(super) fn containers(path: &str, containers: &[String], findings: &mut Findings<'_>) {
    for (index, name) in containers.iter().enumerate() {
        crate::check::dns_label(name, "container", &format!("{path}.containers[{index}]"), findings);
    }
}

pub(super) fn container_kill(path: &str, kill: &ContainerKill, findings: &mut Findings<'_>) {
    if kill.containers.is_empty() {
        let path = format!("{path}.containers");
        wrong(&path, "no container is named", "write `containers: [worker]`", findings);
    }
}

pub(super) fn stress(path: &str, stress: &Stress, findings: &mut Findings<'_>) {
    if stress.cpu.is_none() && stress.memory.is_none() {
        let help = "write `cpu: {workers: 2}` or `memory: {size: 256MiB}`";
        wrong(path, "this takes neither processor time nor memory", help, findings);
    }
    let workers = [
        ("cpu.workers", stress.cpu.as_ref().map(|cpu| cpu.workers)),
        ("memory.workers", stress.memory.as_ref().and_then(|memory| memory.workers)),
    ];
    for (key, count) in workers {
        if count.is_some_and(|count| !(1..=1024).contains(&count)) {
            wrong(&format!("{path}.{key}"), "there can be 1 to 1024 workers", "write `workers: 1`", findings);
        }
    }
    if let Some(load) = stress.cpu.as_ref().and_then(|cpu| cpu.load)
        && !is_whole(load.fraction())
    {
        let path = format!("{path}.cpu.load");
        wrong(&path, "the load is counted in whole percent, from 1%", "write `load: 80%`", findings);
    }
    if let Some(memory) = &stress.memory
        && !memory.size.bytes().is_multiple_of(u64::from(memory.workers.unwrap_or(1).max(1)))
    {
        let path = format!("{path}.memory.size");
        wrong(&path, "the workers cannot share this evenly", "choose a size that their number divides", findings);
    }
}

/// A share that is a whole number of percent above zero.
fn is_whole(fraction: f64) -> bool {
    let percent = fraction * 100.0;
    percent >= 1.0 && (percent - percent.round()).abs() < 1e-9
}

pub(super) fn http(path: &str, http: &HttpFault, findings: &mut Findings<'_>) {
    if http.port == 0 {
        wrong(&format!("{path}.port"), "a port is a number from 1 to 65535", "write `port: 8000`", findings);
    }
    if !http.abort && http.delay.is_none() && http.status.is_none() && !findings.map.gone(path) {
        let help = "write one of `abort: true`, `delay: 2s` and `status: 503`";
        wrong(path, "this does nothing to the requests", help, findings);
    }
    if http.abort && (http.delay.is_some() || http.status.is_some()) {
        let path = format!("{path}.abort");
        wrong(&path, "a broken connection has no answer that could be late or changed", "keep one of them", findings);
    }
    if http.delay.is_some_and(|delay| delay.is_zero()) {
        wrong(&format!("{path}.delay"), "`delay` is no time at all", "write `delay: 2s`", findings);
    }
    if let Some(status) = http.status.filter(|status| !(100..=599).contains(status)) {
        let path = format!("{path}.status");
        findings.push(
            &path,
            Diagnostic::error(Code::Request, format!("HTTP has no status {status}")).help("write `status: 503`"),
        );
    }
    if let Some(method) = &http.method
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
    if http.path.as_deref().is_some_and(|path| !path.starts_with('/')) {
        findings.push(
            &format!("{path}.path"),
            Diagnostic::error(Code::Request, "a path begins with `/`").help("write `path: /v1/*`"),
        );
    }
}

pub(super) fn dns(path: &str, dns: &DnsFault, findings: &mut Findings<'_>) {
    for (index, pattern) in dns.patterns.iter().enumerate() {
        let star = pattern.find('*');
        if pattern.is_empty() || star.is_some_and(|at| at + 1 != pattern.len()) {
            findings.push(
                &format!("{path}.patterns[{index}]"),
                Diagnostic::error(Code::Degradation, format!("`{pattern}` is not a pattern of names"))
                    .help("write a name, perhaps with one `*` at its end, such as `nats.*`"),
            );
        }
    }
}

pub(super) fn io(path: &str, io: &IoFault, findings: &mut Findings<'_>) {
    match (io.delay, io.error) {
        (None, None) if !findings.map.gone(path) => {
            let help = "write `delay: 100ms` or `error: EIO`";
            wrong(path, "this does nothing to the files", help, findings);
        }
        (Some(_), Some(_)) => {
            let path = format!("{path}.error");
            wrong(&path, "an operation can be slow or fail, and this asks for both", "make them two faults", findings);
        }
        _ => {}
    }
    if io.delay.is_some_and(|delay| delay.is_zero()) {
        wrong(&format!("{path}.delay"), "`delay` is no time at all", "write `delay: 100ms`", findings);
    }
    if io.share.is_some_and(|share| !is_whole(share.fraction())) {
        let path = format!("{path}.share");
        wrong(&path, "the share is counted in whole percent, from 1%", "write `share: 50%`", findings);
    }
    if !io.volume.starts_with('/') || io.volume == "/" {
        let path = format!("{path}.volume");
        wrong(
            &path,
            "this is not where a volume is mounted",
            "write its path in the container: `volume: /data`",
            findings,
        );
    }
    if io.path.as_ref().is_some_and(|file| !file.starts_with(&io.volume)) {
        let help = "begin it with the volume's path, such as `/data/**/*.log`";
        wrong(&format!("{path}.path"), "this pattern matches nothing on the volume", help, findings);
    }
}
