//! The facts and checks of the kind `http`.

use crate::check::Findings;
use crate::check::load::{Rows, request};
use crate::rule::Rule;
use crate::scenario::load::kind::{LoadFacts, LoadKind};
use crate::scenario::load::scheme::Scheme;
use crate::scenario::{Http, Reach, Secret};

impl LoadKind for Http {
    const FACTS: LoadFacts = LoadFacts {
        sent: &[
            &["path"],
            &["headers", "*"],
            &["body"],
            &["requests", "[]", "path"],
            &["requests", "[]", "headers", "*"],
            &["requests", "[]", "body"],
            &["steps", "[]", "path"],
            &["steps", "[]", "headers", "*"],
            &["steps", "[]", "body"],
        ],
        schemes: Scheme::HTTP,
        uses: &["version", "connections", "streams", "tls", "feeder", "group_by"],
        rules: &[Rule::One(&["service", "url"]), Rule::NotBoth("requests", "steps")],
        hint: "{service: \"shop:80\"}",
        example: "{service: \"shop:80\", path: /items}",
    };

    fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn reach(&self) -> Option<Reach> {
        self.reach
    }

    fn endpoint(&self) -> Option<&'static str> {
        None
    }

    fn same_as(&self) -> Option<&str> {
        None
    }

    fn check(&self, path: &str, rows: &mut Rows, findings: &mut Findings<'_>) {
        request::http(path, self, rows, findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        self.all_requests().iter().flat_map(|request| Secret::headers(&request.headers)).collect()
    }
}
