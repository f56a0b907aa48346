//! `shakedown schema`: the JSON Schemas of the file formats, and the documents that are generated from the same types.

use std::path::Path;

use super::args::{Schema, SchemaName};
use super::{Failure, exit, print};
use shakedown_cluster::permissions;
use shakedown_sandbox::topology;
use shakedown_schemas::Explained;
use shakedown_schemas::generated;

/// Where the generated files can be written.
const CHECKOUT: &str = "run it at the top of a checkout of shakedown";

/// Prints a schema, or writes all of them into a checkout.
///
/// # Errors
/// If a file cannot be written.
pub fn schema(args: &Schema) -> Result<u8, Failure> {
    if args.write {
        let written = shakedown_schemas::json_schema::write(Path::new("schemas"));
        written.map_err(|error| {
            Failure::environment(Explained::new(format!("could not write the schemas: {error}"), CHECKOUT))
        })?;
        let written = std::fs::write(topology::SCHEMA_FILE, shakedown_schemas::json_schema::text(&topology::schema()));
        written.map_err(|error| {
            Failure::environment(Explained::new(format!("could not write the topology's schema: {error}"), CHECKOUT))
        })?;
        documents().map_err(|error| {
            Failure::environment(Explained::new(format!("could not write the documents: {error}"), CHECKOUT))
        })?;
        return Ok(exit::PASSED);
    }
    let schema = match args.which {
        SchemaName::Scenario => shakedown_schemas::json_schema::scenario_schema(),
        SchemaName::Result => shakedown_schemas::json_schema::result_schema(),
        SchemaName::Event => shakedown_schemas::json_schema::event_schema(),
        SchemaName::Topology => topology::schema(),
    };
    print::text(&shakedown_schemas::json_schema::text(&schema));
    Ok(exit::PASSED)
}

/// Writes the documents of a checkout that are generated from the same descriptions, if their folders exist.
fn documents() -> std::io::Result<()> {
    let reference = Path::new(shakedown_schemas::reference::FILE);
    if reference.parent().is_some_and(Path::is_dir) {
        std::fs::write(reference, shakedown_schemas::reference::text())?;
    }
    let path = Path::new(permissions::FILE);
    if path.exists() {
        std::fs::write(path, permissions::fill(&std::fs::read_to_string(path)?))?;
    }
    let lists = generated::lists();
    for path in generated::DOCUMENTS.map(Path::new).into_iter().filter(|path| path.exists()) {
        std::fs::write(path, generated::fill(&std::fs::read_to_string(path)?, &lists))?;
    }
    Ok(())
}
