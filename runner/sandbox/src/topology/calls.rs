//! The calls of a topology: each has to reach a program that answers it, and none may come back to its caller.
//!
//! A name means here what it means to the pods (`dns`). A call that nothing answers makes requests fail without any fault.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use shakedown_schemas::Diagnostic;
use shakedown_schemas::diagnostic::{Code, suggestion};

use super::{Topology, Workload};
use crate::inference::{FRONTEND_GETS, Plane, WORKER_GETS};
use crate::program::Program;
use crate::shop::{Call, SERVICE_CHECKS, split};

/// A call of a program.
struct Link<'a> {
    /// Where it is written.
    path: String,
    /// `host:port`.
    server: &'a str,
    wants: Wants<'a>,
}

/// What the caller speaks.
#[derive(Clone, Copy, PartialEq)]
enum Wants<'a> {
    /// GET of this path.
    Http(&'a str),
    Redis,
    Postgres,
    Bus,
    Discovery,
}

impl Topology {
    /// The calls that nothing answers, and those that come back to their callers.
    pub(super) fn wrong_calls(&self) -> Vec<(String, Diagnostic)> {
        let mut found = Vec::new();
        // The requests that a service sends to others: where each is written, and to whom it goes.
        let mut requests: BTreeMap<usize, Vec<(String, usize)>> = BTreeMap::new();
        for (caller, workload) in self.workloads.iter().enumerate() {
            for link in links(&format!("workloads[{caller}].program"), &workload.program) {
                match self.answering(self.namespace_of(workload), &link) {
                    Err((key, problem)) => found.push((format!("{}.{key}", link.path), *problem)),
                    Ok(Some(called)) if link.asks_for_more(&self.workloads[called].program) => {
                        requests.entry(caller).or_default().push((link.path, called));
                    }
                    Ok(_) => {}
                }
            }
        }
        found.extend(self.circles(&requests));
        found
    }

    /// The workload that answers a call. None for one by address.
    ///
    /// # Errors
    /// The key of the call that is wrong, and the problem.
    fn answering(&self, namespace: &str, link: &Link<'_>) -> Result<Option<usize>, (&'static str, Box<Diagnostic>)> {
        let wrong = |key, message: String, help: Option<String>| {
            Err((key, Box::new(Diagnostic::error(Code::Call, message).maybe_help(help))))
        };
        let Ok((host, port)) = split(link.server) else {
            return wrong(link.key(), format!("`{}` is not `host:port`", link.server), None);
        };
        if host.parse::<IpAddr>().is_ok() {
            return Ok(None);
        }
        let Some(called) = self.named(host, namespace) else {
            let near: Vec<_> = self.workloads.iter().filter(|it| self.namespace_of(it) == namespace).collect();
            let names: Vec<&str> = near.iter().filter(|it| it.service).map(|it| it.name.as_str()).collect();
            let hidden = near.iter().find(|it| it.name == host);
            let elsewhere = self.workloads.iter().find(|it| it.service && it.name == host);
            let help = match (hidden, elsewhere) {
                (Some(_), _) => Some(format!("remove `service: false` of the workload `{host}`")),
                (None, Some(it)) => Some(format!("write `{host}.{}:{port}`", self.namespace_of(it))),
                (None, None) => suggestion(host, &names, "service"),
            };
            return wrong(link.key(), format!("there is no service `{host}` in the namespace `{namespace}`"), help);
        };
        let Workload { name, program, .. } = &self.workloads[called];
        let Some(right) = link.wants.port_of(program) else {
            let help = match program {
                Program::Redis(_) | Program::Postgres(_)
                    if matches!(link.wants, Wants::Http(_) | Wants::Redis | Wants::Postgres) =>
                {
                    Some(format!(
                        "write `{}: {{server: \"{}\"}}`, with the keys of that call",
                        program.name(),
                        link.server
                    ))
                }
                Program::Service(_) if matches!(link.wants, Wants::Redis | Wants::Postgres) => {
                    Some(format!("write `http: {{server: \"{}\"}}`", link.server))
                }
                _ => None,
            };
            let message = format!("`{name}` runs `{}`, which does not speak {}", program.name(), link.wants.words());
            return wrong(link.key(), message, help);
        };
        if port != right {
            let message = format!("`{name}` does not answer {} on port {port}", link.wants.words());
            return wrong(link.key(), message, Some(format!("write `{host}:{right}`")));
        }
        match (link.wants, paths(program)) {
            (Wants::Http(path), Some(served)) if !served.contains(&without_query(path)) => {
                let help = suggestion(without_query(path), served, "path");
                wrong("path", format!("`{name}` runs `{}`, which does not serve GET `{path}`", program.name()), help)
            }
            _ => Ok(Some(called)),
        }
    }

    /// The workload behind a name, seen from a namespace: that of a service, or of one of its pods.
    fn named(&self, host: &str, namespace: &str) -> Option<usize> {
        let host = host.trim_end_matches('.');
        let short = host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
        let service = |name: &str, namespace: &str| {
            let is_it = |it: &Workload| it.service && it.name == name && self.namespace_of(it) == namespace;
            self.workloads.iter().position(is_it)
        };
        match short.split('.').collect::<Vec<_>>().as_slice() {
            [name] => service(name, namespace),
            [name, space] => service(name, space).or_else(|| service(space, namespace)),
            [_, name, space] => service(name, space),
            _ => None,
        }
    }

    /// The circles of requests, each at the first request that closes it.
    fn circles(&self, requests: &BTreeMap<usize, Vec<(String, usize)>>) -> Vec<(String, Diagnostic)> {
        let mut found = Vec::new();
        let mut told = BTreeSet::new();
        for (caller, calls) in requests {
            for (path, called) in calls {
                let Some(way) = way(requests, *called, *caller) else { continue };
                if !told.insert(way.iter().copied().collect::<BTreeSet<_>>()) {
                    continue;
                }
                let names = std::iter::once(caller).chain(&way).map(|it| self.workloads[*it].name.as_str());
                let names: Vec<&str> = names.collect();
                let message = format!("the request comes back to its caller: {}", names.join(" → "));
                let problem = Diagnostic::error(Code::Call, message).help(
                    "each request would cause further ones until they time out: remove one of these calls, or call `/health`, \
                     which is answered at once",
                );
                found.push((format!("{path}.server"), problem));
            }
        }
        found
    }
}

/// The shortest way of requests from one workload to another, both included.
fn way(requests: &BTreeMap<usize, Vec<(String, usize)>>, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = vec![vec![from]];
    while !ways.is_empty() {
        if let Some(way) = ways.iter().find(|way| way.last() == Some(&to)) {
            return Some(way.clone());
        }
        let mut longer = Vec::new();
        for way in &ways {
            let next = way.last().and_then(|last| requests.get(last)).into_iter().flatten().map(|(_, called)| *called);
            longer.extend(next.filter(|it| seen.insert(*it)).map(|it| [way.as_slice(), &[it]].concat()));
        }
        ways = longer;
    }
    None
}

impl Link<'_> {
    /// The last part of the path at which its server is written.
    fn key(&self) -> &'static str {
        match self.wants {
            Wants::Bus => "bus",
            Wants::Discovery => "discovery",
            Wants::Http(_) | Wants::Redis | Wants::Postgres => "server",
        }
    }

    /// Whether the program that answers makes its own calls for it.
    fn asks_for_more(&self, program: &Program) -> bool {
        match (self.wants, program) {
            (Wants::Http(path), Program::Service(_)) => !SERVICE_CHECKS.contains(&without_query(path)),
            _ => false,
        }
    }
}

impl Wants<'_> {
    const fn words(self) -> &'static str {
        match self {
            Self::Http(_) => "HTTP",
            Self::Redis => "the protocol of Redis",
            Self::Postgres => "the protocol of PostgreSQL",
            Self::Bus => "the protocol of the bus",
            Self::Discovery => "the protocol of the registry",
        }
    }

    /// The port on which a program answers this.
    const fn port_of(self, program: &Program) -> Option<u16> {
        match (self, program) {
            (Self::Http(_), Program::Service(_) | Program::Frontend(_) | Program::Worker(_))
            | (Self::Redis, Program::Redis(_))
            | (Self::Postgres, Program::Postgres(_))
            | (Self::Bus, Program::Bus(_))
            | (Self::Discovery, Program::Discovery(_)) => program.port(),
            _ => None,
        }
    }
}

/// The only paths that a program serves. None if it serves every path.
const fn paths(program: &Program) -> Option<&'static [&'static str]> {
    match program {
        Program::Frontend(_) => Some(FRONTEND_GETS),
        Program::Worker(_) => Some(WORKER_GETS),
        _ => None,
    }
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

/// The calls of a program, whose settings are at this path.
fn links<'a>(path: &str, program: &'a Program) -> Vec<Link<'a>> {
    let mut found = Vec::new();
    let of = |key: &str| format!("{path}.{key}");
    let mut inference = |name: &str, plane: Plane, bus: &'a String, discovery: &'a Option<String>| {
        if plane == Plane::Bus || discovery.is_none() {
            found.push(Link { path: of(name), server: bus, wants: Wants::Bus });
        }
        found.extend(discovery.iter().map(|server| Link { path: of(name), server, wants: Wants::Discovery }));
    };
    match program {
        Program::Worker(it) => inference("worker", it.plane, &it.bus, &it.discovery),
        Program::Frontend(it) => inference("frontend", it.plane, &it.bus, &it.discovery),
        Program::Service(it) => follow(&of("service.calls"), &it.calls, &mut found),
        Program::Bus(_) | Program::Discovery(_) | Program::Redis(_) | Program::Postgres(_) | Program::Probe(_) => {}
    }
    found
}

/// Adds the calls of a list, and those within them.
fn follow<'a>(path: &str, calls: &'a [Call], found: &mut Vec<Link<'a>>) {
    for (index, call) in calls.iter().enumerate() {
        let (kind, wants) = match call {
            Call::Http(call) => ("http", Wants::Http(&call.path)),
            Call::Redis(_) => ("redis", Wants::Redis),
            Call::Postgres(_) => ("postgres", Wants::Postgres),
        };
        let path = format!("{path}[{index}].{kind}");
        follow(&format!("{path}.otherwise"), call.inner(), found);
        found.push(Link { path, server: call.server(), wants });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topology in which `web` makes this call, next to one of each program.
    fn web(call: &str) -> Result<Topology, Vec<Diagnostic>> {
        Topology::parse(&format!(
            "namespace: shop
workloads:
  - {{name: web, program: {{service: {{calls: [
      {call}
    ]}}}}}}
  - {{name: payments, program: {{service: {{port: 8081}}}}}}
  - {{name: redis, kind: stateful_set, program: {{redis: {{}}}}}}
  - {{name: postgres, program: {{postgres: {{}}}}}}
  - {{name: nats, program: {{bus: {{}}}}}}
  - {{name: api, program: {{frontend: {{port: 8000}}}}}}
  - {{name: worker, service: false, program: {{worker: {{}}}}}}
  - {{name: ledger, namespace: bank, program: {{service: {{}}}}}}
"
        ))
    }

    #[test]
    fn a_call_that_is_answered_is_no_problem() {
        for call in [
            "{http: {server: \"payments:8081\", path: /anything}}",
            "{http: {server: \"payments.shop.svc.cluster.local:8081\"}}",
            "{http: {server: \"ledger.bank:8080\"}}",
            "{http: {server: \"10.0.0.1:80\"}}",
            "{http: {server: \"api:8000\", path: \"/v1/models?all=1\"}}",
            "{redis: {server: \"redis:6379\", key: a}}",
            "{redis: {server: \"redis-0.redis:6379\", key: a, otherwise: [{postgres: {server: \"postgres:5432\"}}]}}",
        ] {
            web(call).unwrap_or_else(|problems| panic!("{call}: {problems:#?}"));
        }
    }

    #[test]
    fn a_call_that_nothing_answers_is_refused_where_it_is_written() {
        for (call, column, message, help) in [
            (
                "{http: {server: \"paymnts:8081\"}}",
                23,
                "there is no service `paymnts` in the namespace `shop`",
                "did you mean `payments`?",
            ),
            ("{http: {server: \"ledger:8080\"}}", 23, "no service `ledger`", "write `ledger.bank:8080`"),
            ("{http: {server: \"worker:9090\"}}", 23, "no service `worker`", "remove `service: false`"),
            (
                "{http: {server: \"payments:80\"}}",
                23,
                "`payments` does not answer HTTP on port 80",
                "write `payments:8081`",
            ),
            (
                "{http: {server: \"redis:6379\"}}",
                23,
                "`redis` runs `redis`, which does not speak HTTP",
                "write `redis: {server: \"redis:6379\"}`",
            ),
            (
                "{postgres: {server: \"payments:8081\"}}",
                27,
                "`payments` runs `service`, which does not speak the protocol of PostgreSQL",
                "write `http: {server: \"payments:8081\"}`",
            ),
            (
                "{http: {server: \"api:8000\", path: /v1/model}}",
                41,
                "`api` runs `frontend`, which does not serve GET `/v1/model`",
                "did you mean `/v1/models`?",
            ),
            (
                "{redis: {server: \"redis:6379\", key: a, otherwise: [{postgres: {server: \"postgress:5432\"}}]}}",
                78,
                "no service `postgress`",
                "did you mean `postgres`?",
            ),
        ] {
            let found = web(call).unwrap_err();
            let [problem] = found.as_slice() else { panic!("{call}: {found:#?}") };
            assert_eq!((problem.line(), problem.column()), (Some(4), Some(column)), "{call}");
            assert_eq!(problem.code.id(), "S088");
            assert!(problem.message.contains(message), "{call}: {}", problem.message);
            assert!(problem.help.as_deref().unwrap_or_default().contains(help), "{call}: {:?}", problem.help);
        }
    }

    #[test]
    fn a_worker_without_its_bus_is_refused_even_if_the_bus_is_a_default() {
        let found =
            Topology::parse("namespace: a\nworkloads:\n  - {name: worker, program: {worker: {}}}\n").unwrap_err();
        let [problem] = found.as_slice() else { panic!("{found:#?}") };
        assert!(problem.message.contains("there is no service `nats`"), "{problem:?}");
        assert_eq!((problem.line(), problem.column()), (Some(3), Some(30)), "at the program");
    }

    /// Services that call each other: each name, and whom it calls at which path.
    fn calling(all: &[(&str, &[(&str, &str)])]) -> Result<Topology, Vec<Diagnostic>> {
        let call = |(name, path): &(&str, &str)| format!("{{http: {{server: \"{name}:8080\", path: {path}}}}}");
        let workload = |(name, calls): &(&str, &[(&str, &str)])| {
            let calls: Vec<String> = calls.iter().map(call).collect();
            format!("  - {{name: {name}, program: {{service: {{calls: [{}]}}}}}}\n", calls.join(", "))
        };
        Topology::parse(&format!("namespace: a\nworkloads:\n{}", all.iter().map(workload).collect::<String>()))
    }

    #[test]
    fn requests_that_come_back_to_their_caller_are_refused_once_for_each_circle() {
        let messages = |all: &[(&str, &[(&str, &str)])]| -> Vec<String> {
            let problems = calling(all).err().unwrap_or_default();
            problems.into_iter().map(|it| format!("{}: {}", it.line().unwrap_or_default(), it.message)).collect()
        };
        let none: [String; 0] = [];
        assert_eq!(messages(&[("a", &[("b", "/"), ("c", "/")]), ("b", &[("c", "/")]), ("c", &[])]), none, "a diamond");
        assert_eq!(messages(&[("a", &[("b", "/")]), ("b", &[("a", "/health")])]), none, "`/health` calls nothing");
        assert_eq!(
            messages(&[("a", &[("b", "/")]), ("b", &[("c", "/x")]), ("c", &[("a", "/")])]),
            ["3: the request comes back to its caller: a → b → c → a"]
        );
        assert_eq!(messages(&[("a", &[("a", "/")])]), ["3: the request comes back to its caller: a → a"]);
        assert_eq!(
            messages(&[("a", &[("b", "/")]), ("b", &[("a", "/")]), ("c", &[("d", "/")]), ("d", &[("c", "/")])]),
            [
                "3: the request comes back to its caller: a → b → a",
                "5: the request comes back to its caller: c → d → c"
            ]
        );
    }
}
