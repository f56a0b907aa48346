//! `shakedown calibrate`: runs scenarios many times without faults and shows the rate of false alarms of each
//! expectation.

use shakedown_reports::Redactor;
use shakedown_schemas::Explained;

use super::args::Calibrate;
use super::console::Style;
use super::table::table;
use super::{Failure, exit, plan, print, run, select};
use shakedown_judge::{self as judge, Calibration};

/// Runs, writes the reports as `run` does, and prints a row per expectation.
///
/// # Errors
/// If the run cannot start, or the reports cannot be written.
pub async fn calibrate(
    mut args: Calibrate,
    style: Style,
    quiet: bool,
    verbose: u8,
    redactor: &Redactor,
) -> Result<u8, Failure> {
    refuse(&args)?;
    if args.run.course.dry_run {
        return plan::plan(args.run.into_plan(), style, redactor).await;
    }
    let mut selected = select::suite(&args.run.selection, style, redactor)?;
    let documents = selected.documents.iter();
    selected.documents = documents.flat_map(|it| std::iter::repeat_n(it.clone(), args.runs.get() as usize)).collect();
    args.run.gate.control = true;
    let result = run::all(args.run, selected, style, quiet, verbose, redactor).await?;
    let rows = judge::calibrate(&redactor.result(&result).scenarios);
    print::text(&format!("\n{}", shown(&rows, args.markdown)));
    let alarms: u64 = rows.iter().map(|row| row.false_alarms).sum();
    print::line(format_args!(
        "\n{}",
        if alarms == 0 { "no false alarm".to_owned() } else { format!("{alarms} false alarms") }
    ));
    Ok(if result.exit_code == exit::FAILED || result.exit_code == exit::INCONCLUSIVE {
        if alarms > 0 { exit::FAILED } else { exit::INCONCLUSIVE }
    } else {
        result.exit_code
    })
}

/// Refuses flags that would not apply.
fn refuse(args: &Calibrate) -> Result<(), Failure> {
    let (gate, course) = (&args.run.gate, &args.run.course);
    let unfit = [
        (gate.overkill, "--overkill"),
        (gate.quick, "--quick"),
        (gate.speed.is_some(), "--speed"),
        (course.last_failed, "--last-failed"),
    ];
    match unfit.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, flag)) => Err(Failure::usage(Explained::new(
            format!(
                "{flag} does not apply to `calibrate`, which runs every selected scenario without faults and at full length"
            ),
            format!("leave {flag} out"),
        ))),
    }
}

fn shown(rows: &[Calibration], markdown: bool) -> String {
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let row = |it: &Calibration| {
        vec![
            it.scenario.clone(),
            it.title.clone(),
            format!("{} of {}", it.false_alarms, it.runs),
            format!("{} to {}", percent(it.interval[0]), percent(it.interval[1])),
            it.inconclusive.to_string(),
            it.observed.as_ref().map_or_else(String::new, |values| values.join(", ")),
            it.suggestion.clone().unwrap_or_default(),
        ]
    };
    let head = ["scenario", "expectation", "false alarms", "95 %", "inconclusive", "least, middle, most", "better"];
    table(&head, &rows.iter().map(row).collect::<Vec<_>>(), markdown)
}
