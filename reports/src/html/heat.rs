//! The latency heat map of a timeline: time by latency, darker with more requests. It shows patterns that percentiles hide,
//! such as a fast and a slow group of answers.

use shakedown_schemas::result::Heat;
use shakedown_schemas::words;

use super::panels::Area;
use crate::svg::{Path, Scale, Svg};

/// The number of shades.
const SHADES: usize = 6;

/// Draws the map: one path for each shade, so that thousands of cells stay small.
pub(crate) fn heat(svg: &mut Svg, area: &Area, heat: &Heat) {
    let edges: Vec<f64> = heat.edges_ms.iter().copied().filter(|edge| edge.is_finite() && *edge > 0.0).collect();
    let rows = || heat.cells.iter().map(|(_, row, _)| *row as usize).filter(|row| row + 1 < edges.len());
    let (Some(first), Some(last)) = (rows().min(), rows().max()) else { return };
    // The non-empty rows, and one more at each end. Empty decades would compress them.
    let (low, high) = (edges[first.saturating_sub(1)], edges[(last + 2).min(edges.len() - 1)]);
    let scale = Scale::log(low, high, area.vertical());
    area.grid(svg, "All requests by latency (stronger: more)", scale, &scale.ticks(4), words::millis);
    let most = heat.cells.iter().map(|(_, _, count)| *count).max().unwrap_or(1).max(2) as f64;
    let mut paths: [Path; SHADES] = Default::default();
    for run in runs(heat, &edges, most) {
        let start = f64::from(run.column) * heat.column_s;
        let (x0, x1) = (area.time.at(start), area.time.at(start + heat.column_s));
        let path = &mut paths[run.shade];
        path.start(x0, scale.at(edges[run.rows.0]));
        path.across(x1.max(x0 + 0.5));
        path.upright(scale.at(edges[run.rows.1]));
        path.across(x0);
        path.close();
    }
    for (shade, path) in paths.iter().enumerate() {
        svg.path(&format!("heat heat-{shade}"), path);
    }
}

/// Adjacent cells of one shade, in a column.
struct Run {
    column: u32,
    /// The lower and the upper edge.
    rows: (usize, usize),
    shade: usize,
}

/// The cells within the rows. Cells of the same shade are joined, so that the page of a long run stays small.
fn runs(heat: &Heat, edges: &[f64], most: f64) -> Vec<Run> {
    let mut list: Vec<Run> = Vec::new();
    for (column, row, count) in &heat.cells {
        let (column, row) = (*column, *row as usize);
        if *count == 0 || row + 1 >= edges.len() {
            continue;
        }
        // Logarithmic, so that a single slow request stays visible.
        let share = (*count as f64).ln() / most.ln();
        let shade = ((share * (SHADES - 1) as f64).round() as usize).min(SHADES - 1);
        match list.last_mut().filter(|run| (run.column, run.rows.1, run.shade) == (column, row, shade)) {
            Some(run) => run.rows.1 = row + 1,
            None => list.push(Run { column, rows: (row, row + 1), shade }),
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omits_cells_outside_the_rows_and_shows_single_requests() {
        let mut svg = Svg::new("chart", 100.0, 100.0, "map");
        let area = Area { x: [0.0, 100.0], y: [10.0, 90.0], time: Scale::linear(0.0, 10.0, (0.0, 100.0)) };
        let map =
            Heat { column_s: 1.0, edges_ms: vec![1.0, 10.0, 100.0], cells: vec![(0, 0, 1000), (3, 1, 1), (4, 9, 5)] };
        heat(&mut svg, &area, &map);
        let svg = svg.finish();
        assert!(svg.contains(r#"<path class="heat heat-5" d="M0 90H10V50H0Z"/>"#), "{svg}");
        assert!(svg.contains(r#"<path class="heat heat-0" d="M30 50H40V10H30Z"/>"#), "{svg}");
        assert_eq!(svg.matches("<path").count(), 2, "{svg}");
    }

    #[test]
    fn joins_cells_of_the_same_shade() {
        let edges = [1.0, 2.0, 4.0, 8.0, 16.0];
        let cells = vec![(0, 0, 90), (0, 1, 100), (0, 2, 1), (0, 3, 100), (1, 3, 100)];
        let map = Heat { column_s: 1.0, edges_ms: edges.to_vec(), cells };
        let found: Vec<_> = runs(&map, &edges, 100.0).iter().map(|it| (it.column, it.rows, it.shade)).collect();
        assert_eq!(found, [(0, (0, 2), 5), (0, (2, 3), 0), (0, (3, 4), 5), (1, (3, 4), 5)]);
    }
}
