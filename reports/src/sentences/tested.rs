//! What was tested: the load and the service that it was sent to.

use shakedown_schemas::result::{LoadInfo, ScenarioResult};

/// The most loads that are named.
const LOADS: usize = 3;

/// The loads and their targets: `users, 20/s to frontend:80/checkout`. Empty without loads.
pub fn tested(scenario: &ScenarioResult) -> String {
    let shown = scenario.loads.iter().take(LOADS).map(|load| one(scenario, load));
    let more = scenario.loads.len().saturating_sub(LOADS);
    shown.chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join("; ")
}

fn one(scenario: &ScenarioResult, load: &LoadInfo) -> String {
    let target = if load.service.is_empty() { &load.target } else { &load.service };
    let path = match load.endpoint.as_str() {
        "" => scenario.resolved["load"][&load.name][&load.kind]["path"].as_str().unwrap_or_default(),
        endpoint => endpoint,
    };
    format!("{}, {} to {target}{path}", load.name, load.schedule)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample;

    #[test]
    fn a_load_has_its_schedule_and_its_target() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let load = &mut scenario.loads[0];
        (load.name, load.kind, load.schedule) = ("users".to_owned(), "http".to_owned(), "20/s".to_owned());
        (load.service, load.endpoint) = ("frontend:80".to_owned(), String::new());
        scenario.resolved = json!({"load": {"users": {"http": {"path": "/checkout"}}}});
        assert_eq!(tested(&scenario), "users, 20/s to frontend:80/checkout");
        let mut other = scenario.loads[0].clone();
        (other.name, other.target, other.service) =
            ("chat".to_owned(), "https://shop.example:8443".to_owned(), String::new());
        other.endpoint = "/v1/chat/completions".to_owned();
        scenario.loads.push(other);
        let both = "users, 20/s to frontend:80/checkout; chat, 20/s to https://shop.example:8443/v1/chat/completions";
        assert_eq!(tested(&scenario), both);
        scenario.loads.clear();
        assert_eq!(tested(&scenario), "");
    }
}
