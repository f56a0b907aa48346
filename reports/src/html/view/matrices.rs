//! The tables and curves of files with a matrix.

use serde::Serialize;
use shakedown_schemas::result::RunResult;

use super::parts::{Badge, ROWS, anchor};
use crate::html::doses::doses;
use crate::matrix::{self, Matrix, Row};

/// The scenarios of one file.
#[derive(Debug, Serialize)]
pub(super) struct MatrixView {
    file: String,
    axes: Vec<String>,
    rows: Vec<MatrixRow>,
    left_out: usize,
    curves: Vec<String>,
}

/// One combination.
#[derive(Debug, Serialize)]
struct MatrixRow {
    id: String,
    values: Vec<String>,
    verdict: Badge,
    success: String,
    p95: String,
    recovery: String,
}

/// All of a result.
pub(super) fn matrices(result: &RunResult) -> Vec<MatrixView> {
    matrix::matrices(result).iter().map(view).collect()
}

fn view(it: &Matrix<'_>) -> MatrixView {
    MatrixView {
        file: it.file.to_owned(),
        axes: it.axes.iter().map(|axis| (*axis).to_owned()).collect(),
        rows: it.rows.iter().take(ROWS).map(row).collect(),
        left_out: it.rows.len().saturating_sub(ROWS),
        curves: doses(it),
    }
}

fn row(it: &Row<'_>) -> MatrixRow {
    let [success, p95, recovery] = it.measures.texts();
    MatrixRow {
        id: anchor(it.index),
        values: it.values.clone(),
        verdict: Badge::new(it.scenario.outcome()),
        success,
        p95,
        recovery,
    }
}
