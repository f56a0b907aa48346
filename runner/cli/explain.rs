//! `shakedown explain`: the meaning of a code or a key.

use super::args::Explain;
use super::topologies::{self, TOPOLOGY};
use super::{Failure, exit, print};

/// Prints the text about a topic.
///
/// # Errors
/// Exit code 2 if there is no such topic.
pub fn explain(args: &Explain) -> Result<u8, Failure> {
    let topic = args.topic.as_deref();
    let in_topology = topic.and_then(|it| it.strip_prefix(TOPOLOGY)).filter(|it| it.is_empty() || it.starts_with('.'));
    let text = match in_topology {
        Some(path) => topologies::keys().explain(path.trim_start_matches('.'), args.recursive),
        None => shakedown_schemas::explain(topic, args.recursive),
    };
    let mut text = text.map_err(Failure::usage)?;
    if in_topology == Some("") {
        // A scenario has a key of this name as well.
        text = format!("{}\n{text}", shakedown_schemas::explain(topic, args.recursive).map_err(Failure::usage)?);
    }
    print::prose(&text);
    Ok(exit::PASSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_topology_has_a_type_a_meaning_and_an_example() {
        let keys = topologies::keys();
        let topics = keys.topics();
        assert!(topics.len() > 90, "{}", topics.len());
        let mut lacking = Vec::new();
        for topic in &topics {
            let path = topic.strip_prefix("topology.").unwrap_or_else(|| panic!("{topic}"));
            let text = keys.explain(path, false).unwrap_or_else(|why| panic!("{topic}: {why}"));
            assert!(text.contains("KEY:      topology."), "{topic}: {text}");
            let meaning = text.split("\n\n").nth(1).unwrap_or_default();
            if !text.contains("TYPE:") || meaning.trim().is_empty() || !text.contains("EXAMPLE") {
                lacking.push(text);
            }
        }
        assert!(lacking.is_empty(), "{}", lacking.join("\n"));
    }

    #[test]
    fn a_key_of_a_topology_is_found_as_in_the_file_and_by_its_program() {
        let keys = topologies::keys();
        let long = keys.explain("workloads[0].program.service.calls", false).unwrap();
        assert!(long.contains("KEY:      topology.workloads.program.service.calls\n"), "{long}");
        for part in ["TYPE:     list of Call", "The calls of each request, one after the other.", "http  <HttpCall>"] {
            assert!(long.contains(part), "{part}: {long}");
        }
        assert_eq!(keys.explain("service.calls", false).unwrap(), long);
        for (path, meant) in [
            ("services.calls", "`services` is not a key of a topology\nhelp: did you mean `topology.service`?"),
            ("workloads.replica", "did you mean `topology.workloads.replicas`?"),
            ("redis.maxmemory", "did you mean `topology.workloads.program.redis.max_memory`?"),
            ("zzzzzzzz", "`shakedown explain topology` lists its keys"),
        ] {
            let why = keys.explain(path, false).unwrap_err();
            assert!(why.to_string().contains(meant), "{path}: {why}");
        }
    }
}
