//! The HTML report: one file that needs no network and is readable without JavaScript.
//!
//! This module assembles the page. `view` prepares its content; `timeline`, `quantiles` and `bar` draw; the templates
//! define the layout. The page loads nothing: the policy in its head forbids it, and allows only the page's own script and
//! style sheet.

mod bar;
mod doses;
mod heat;
mod lanes;
mod panels;
mod places;
mod quantiles;
mod rich;
mod slots;
#[cfg(test)]
mod tests;
mod timeline;
mod view;

use base64::Engine as _;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest, Sha256};
use shakedown_schemas::result::RunResult;

use crate::RenderError;
use crate::tame::tamed;

const PAGE: &str = include_str!("../templates/report.html");
const SCENARIO: &str = include_str!("../templates/scenario.html");
const GENERATOR: &str = include_str!("../templates/generator.html");
const STYLE: &str = include_str!("../templates/report.css");
const SCRIPT: &str = include_str!("../templates/report.js");

/// The run as one self-contained HTML page.
///
/// # Errors
/// Only on a defect of the templates: every result can be rendered.
pub fn html(result: &RunResult) -> Result<String, RenderError> {
    let view = view::View::new(&tamed(result))?;
    let mut environment = environment()?;
    environment.add_template("report.html", PAGE)?;
    environment.add_template("scenario.html", SCENARIO)?;
    environment.add_template("generator.html", GENERATOR)?;
    let context = context! {
        view => Serde(&view),
        style => STYLE,
        style_hash => source_hash(STYLE),
        script => SCRIPT,
        script_hash => source_hash(SCRIPT),
    };
    Ok(environment.get_template("report.html")?.render(context)?)
}

/// The template environment of all pages.
pub(crate) fn environment<'a>() -> Result<Environment<'a>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("rich", |text: &str| minijinja::Value::from_safe_string(rich::rich(text)));
    Ok(environment)
}

/// The style sheet of all pages.
pub(crate) const fn style() -> &'static str {
    STYLE
}

/// The hash source of a script or a style sheet in a content security policy.
pub(crate) fn source_hash(text: &str) -> String {
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text)))
}
