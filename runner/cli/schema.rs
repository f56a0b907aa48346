//! `shakedown schema`: the JSON Schemas of the file formats.

use std::path::Path;

use super::args::{Schema, SchemaName};
use super::{Failure, exit, print};

/// Prints a schema, or writes all of them into a checkout.
///
/// # Errors
/// When a file cannot be written.
pub fn schema(args: &Schema) -> Result<u8, Failure> {
    if args.write {
        let written = shakedown_schemas::json_schema::write(Path::new("schemas"));
        written.map_err(|error| Failure::environment(format!("could not write the schemas: {error}")))?;
        return Ok(exit::PASSED);
    }
    let schema = match args.which {
        SchemaName::Scenario => shakedown_schemas::json_schema::scenario_schema(),
        SchemaName::Result => shakedown_schemas::json_schema::result_schema(),
        SchemaName::Event => shakedown_schemas::json_schema::event_schema(),
    };
    print::text(&shakedown_schemas::json_schema::text(&schema));
    Ok(exit::PASSED)
}
