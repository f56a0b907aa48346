//! Reads other YAML files of shakedown, such as the topology of a sandbox, as scenarios are read: every problem of the file at
//! once, each with its position, and a suggestion for a misspelled key.

use serde::de::DeserializeOwned;

use crate::check::Map;
use crate::diagnostic::{self, Diagnostic};
use crate::source;
use crate::typed;

/// The problems of a file that its types cannot express.
pub struct Problems<'m> {
    map: &'m Map,
    found: Vec<Diagnostic>,
}

impl Problems<'_> {
    /// Adds a problem of the value at a path such as `workloads[1].name`, unless that value is already known to be invalid.
    pub fn push(&mut self, path: &str, problem: Diagnostic) {
        if !self.map.damaged(path) {
            self.found.push(match self.map.value(path) {
                Some(span) => problem.at(span),
                None => problem,
            });
        }
    }
}

/// Reads a value from YAML. `file` is its name for messages. `begin` says how to begin such a file, for an empty one. `check`
/// adds the problems that the types cannot express.
///
/// # Errors
/// All problems of the file, in its order.
pub fn read_yaml<T: DeserializeOwned>(
    file: &str,
    bytes: &[u8],
    begin: &str,
    check: impl FnOnce(&T, &mut Problems<'_>),
) -> Result<T, Vec<Diagnostic>> {
    let text = source::text(bytes).map_err(|problem| vec![problem.in_file(file, "")])?;
    let tree = source::parse_or_begin(text, begin).map_err(|problem| vec![problem.in_file(file, text)])?;
    let mut reading = typed::read::<T>(tree);
    let map = Map::new(&reading.tree, &reading.damage);
    let mut found = std::mem::take(&mut reading.errors);
    if let Some(value) = &reading.value {
        let mut problems = Problems { map: &map, found: Vec::new() };
        check(value, &mut problems);
        found.append(&mut problems.found);
    }
    diagnostic::sort(&mut found);
    match reading.value {
        Some(value) if found.is_empty() => Ok(value),
        _ => Err(found.into_iter().map(|problem| problem.in_file(file, text)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::diagnostic::Code;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Town {
        houses: Vec<House>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct House {
        number: u32,
    }

    fn read(text: &str) -> Result<Town, Vec<Diagnostic>> {
        read_yaml("town.yaml", text.as_bytes(), "build a house", |town: &Town, problems| {
            for (index, house) in town.houses.iter().enumerate().filter(|(_, house)| house.number == 0) {
                let message = format!("a house cannot have the number {}", house.number);
                problems.push(&format!("houses[{index}].number"), Diagnostic::error(Code::InvalidValue, message));
            }
        })
    }

    #[test]
    fn all_problems_have_a_position_and_unknown_keys_a_suggestion() {
        assert_eq!(read("houses: [{number: 3}]\n").unwrap().houses[0].number, 3);
        let found = read("houses:\n  - number: 0\n  - numbr: 2\n  - number: many\n").unwrap_err();
        let shown: Vec<_> =
            found.iter().map(|it| (it.line(), it.column(), it.code.id(), it.help.as_deref().unwrap_or(""))).collect();
        assert_eq!((shown[0].0, shown[0].1, shown[0].2), (Some(2), Some(13), "S015"), "{shown:?}");
        assert_eq!(shown[1], (Some(3), Some(5), "S010", "did you mean `number`?"));
        assert_eq!((shown[2].0, shown[2].2), (Some(3), "S011"), "and it lacks the right one");
        assert_eq!((shown[3].0, shown[3].1, shown[3].2), (Some(4), Some(13), "S012"));
        assert!(found[0].render(false).contains("town.yaml:2:13"), "{}", found[0].render(false));
    }

    #[test]
    fn text_that_is_no_yaml_is_one_problem() {
        for text in ["houses: [", "", "\u{0}"] {
            assert_eq!(read(text).unwrap_err().len(), 1, "{text}");
        }
    }
}
